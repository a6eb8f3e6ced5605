//! The stable contract between Remembrances-MCP (the host) and its modules.
//!
//! A module is a shared library. The host finds it in its modules directory,
//! checks that both were built against compatible versions of this crate, and
//! from then on the two talk through the types below, which have the same
//! memory layout on both sides whatever compiled them.
//!
//! | room | what is in it |
//! | --- | --- |
//! | [`module`] | [`Module`](module::Module), its capabilities, what the host hands it, the root of a library |
//! | [`loading`] | how a host opens a library, and what it is told when the two do not fit |
//! | [`storage`] | the 64 storage methods as three traits, [`FullStorage`](storage::FullStorage) that carries them across, and the table that describes each |
//! | [`records`] | what the methods take and give: vectors, entities, documents, events, code |
//! | [`value`] | free-form data: [`Value`](value::Value), [`Object`](value::Object), [`RecordId`](value::RecordId), [`Timestamp`](value::Timestamp) |
//! | [`error`] | [`StorageError`](error::StorageError) and the kinds that a caller can act on |
//! | [`mod@panic`] | why no panic crosses the boundary |
//!
//! # Writing a module
//!
//! ```ignore
//! #[export_root_module]
//! fn root() -> ModuleRoot_Ref {
//!     ModuleRoot { module_info, new }.leak_into_prefix()
//! }
//! ```
//!
//! Implement [`Module`](module::Module) for your type and the three traits of
//! [`storage`] for your storage: they are ordinary Rust traits over `&str`,
//! `&[f32]` and `Result`. [`FullStorage::new`](storage::FullStorage::new) turns
//! an implementation into the form that crosses.
//!
//! # How the contract grows
//!
//! - a new storage method, module method or capability is added at the end of
//!   its trait with a default: an older host never asks for it;
//! - a new kind of error is a new constant of [`ErrorKind`](error::ErrorKind),
//!   which is open: an older host shows its number and treats it as internal;
//! - a new kind of value crosses as [`Value::Extension`](value::Value), which
//!   carries a name, a readable text and lossless bytes.

#![allow(
    non_local_definitions,
    reason = "sabi_trait implements its own traits that way"
)]

pub mod error;
pub mod loading;
pub mod module;
pub mod panic;
pub mod records;
pub mod storage;
pub mod value;

/// The abi_stable types that appear in this crate's signatures.
pub use abi_stable;
