//! How each type of argument crosses the boundary: borrowed, without a copy.

use crate::{
    ffi::{ListRef, TextRef},
    records::{CodeChunk, CodeFile, CodeProject, CodeSymbol, EventSearch, IndexingJob},
    value::{Object, Value},
};
use abi_stable::StableAbi;

/// The type of an argument of the contract as Rust sees it: `&str` for `str`,
/// `&[f32]` for `[f32]`, `&Value` for `Value`. For callbacks of
/// [`storage_methods!`](crate::storage_methods).
#[macro_export]
macro_rules! rust_type {
    (str) => {
        &str
    };
    (bool) => {
        bool
    };
    (u32) => {
        u32
    };
    (f64) => {
        f64
    };
    ([$item:ty]) => {
        &[$item]
    };
    ($record:ident) => {
        &$record
    };
}

/// A type that storage methods take: how Rust sees it, and its stable form.
pub trait Argument: 'static {
    /// What an implementation receives: `&str`, `&[f32]`, `u32`, `&CodeSymbol`.
    type Rust<'a>: Copy;
    /// What crosses the boundary.
    type Stable<'a>: StableAbi;
    /// From Rust to the stable form.
    fn lower<'a>(rust: Self::Rust<'a>) -> Self::Stable<'a>;
    /// And back.
    fn lift<'a>(stable: Self::Stable<'a>) -> Self::Rust<'a>;
}

impl Argument for str {
    type Rust<'a> = &'a str;
    type Stable<'a> = TextRef<'a>;

    fn lower<'a>(rust: Self::Rust<'a>) -> Self::Stable<'a> {
        rust.into()
    }

    fn lift<'a>(stable: Self::Stable<'a>) -> Self::Rust<'a> {
        stable.as_str()
    }
}

impl<T: StableAbi + 'static> Argument for [T] {
    type Rust<'a> = &'a [T];
    type Stable<'a> = ListRef<'a, T>;

    fn lower<'a>(rust: Self::Rust<'a>) -> Self::Stable<'a> {
        rust.into()
    }

    fn lift<'a>(stable: Self::Stable<'a>) -> Self::Rust<'a> {
        stable.as_slice()
    }
}

macro_rules! by_value {
    ($($type:ty),*) => {
        $(
            impl Argument for $type {
                type Rust<'a> = $type;
                type Stable<'a> = $type;

                fn lower<'a>(rust: Self::Rust<'a>) -> Self::Stable<'a> {
                    rust
                }

                fn lift<'a>(stable: Self::Stable<'a>) -> Self::Rust<'a> {
                    stable
                }
            }
        )*
    };
}

macro_rules! by_reference {
    ($($type:ty),*) => {
        $(
            impl Argument for $type {
                type Rust<'a> = &'a $type;
                type Stable<'a> = &'a $type;

                fn lower<'a>(rust: Self::Rust<'a>) -> Self::Stable<'a> {
                    rust
                }

                fn lift<'a>(stable: Self::Stable<'a>) -> Self::Rust<'a> {
                    stable
                }
            }
        )*
    };
}

by_value!(bool, u32, f64);
by_reference!(
    Value,
    Object,
    EventSearch,
    CodeProject,
    CodeFile,
    CodeSymbol,
    CodeChunk,
    IndexingJob
);
