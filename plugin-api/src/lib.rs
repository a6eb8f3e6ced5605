//! The stable contract between Remembrances-MCP (the host) and its modules.
//!
//! A module is a shared library. The host finds it in its modules directory,
//! checks that both sides were built against compatible versions of this crate,
//! and from then on the two talk through the types below, which have the same
//! memory layout on both sides whatever compiled them.
//!
//! | module | what is in it |
//! | --- | --- |
//! | [`module`] | [`Module`](module::Module): lifecycle and capabilities, what the host gives it, what its library exports |
//! | [`loading`] | how a host opens a library, and why it rejects one |
//! | [`storage`] | the 64 storage methods as one list, the traits made from it, and [`FullStorage`](storage::FullStorage), which carries them across the boundary |
//! | [`records`] | what the methods take and return: vectors, entities, documents, events, code |
//! | [`value`] | free-form data: [`Value`](value::Value), [`Object`](value::Object), [`RecordId`](value::RecordId), [`Timestamp`](value::Timestamp) |
//! | [`error`] | the error of every call, and the kinds that a caller can act on |
//! | [`mod@panic`] | why no panic crosses the boundary |
//! | [`ffi`] | plain names for the ABI library's types |
//!
//! # Writing a module
//!
//! Implement [`Module`](module::Module) for your type and the three traits of
//! [`storage`] for your storage: they are ordinary Rust traits over `&str`,
//! `&[f32]` and `Result`. [`FullStorage::new`](storage::FullStorage::new) turns
//! an implementation into the form that crosses the boundary. Then export the
//! module (with `abi_stable` among the dependencies, for the attribute):
//!
//! ```ignore
//! struct Factory;
//!
//! impl ModuleFactory for Factory {
//!     fn info() -> ModuleInfo { ModuleInfo { id: "my_module".into(), ..ModuleInfo::default() } }
//!     fn create() -> ModuleResult<ModuleHandle> { Ok(ModuleHandle::new(MyModule::default())) }
//! }
//!
//! #[export_root_module]
//! fn root() -> ModuleRoot_Ref {
//!     ModuleRoot::of::<Factory>()
//! }
//! ```
//!
//! # How the contract grows
//!
//! The contract's version is this crate's. Versions are compatible if they
//! differ in the last number only (from 1.0 on: if the first number is the
//! same); either side may be the newer one. [`loading::open`] checks the
//! layout of everything below, and rejects a library whose contract is not the
//! host's with something appended, or the other way round.
//!
//! | what | how it grows | what a side without it sees |
//! | --- | --- | --- |
//! | storage methods | appended to a trait of [`storage_methods!`], with `#[since]` | a call of it answers `Unsupported` |
//! | capabilities of a module | appended to the list in `module/mod.rs` | `None` |
//! | [`ModuleInfo`](module::ModuleInfo), [`ModuleConfig`](module::ModuleConfig), [`HttpRoute`](module::HttpRoute), [`HttpRequest`](module::HttpRequest), [`HttpResponse`](module::HttpResponse) | a field appended to `optional` | the default of the field's type |
//! | methods of [`HostLogger`](module::HostLogger) and of the capabilities' traits | appended to the stable trait, with a body | the result of that body |
//! | [`CallContext`](storage::CallContext) | a name in `extensions` | ignores it |
//! | [`ErrorKind`](error::ErrorKind), [`LogLevel`](module::LogLevel) | a new number | treats it as `INTERNAL`, as the next lower level |
//! | kinds of values | [`Value::Extension`](value::Value::Extension): a name, a readable text, lossless bytes | passes it on |
//!
//! What cannot grow within compatible versions, and what to do instead:
//!
//! - **[`records`]**, [`Value`](value::Value), [`RecordId`](value::RecordId),
//!   [`Timestamp`](value::Timestamp) and
//!   [`PluginError`](error::PluginError) cross by value or in slices, without a
//!   conversion: their size is part of the layout. A new column or search
//!   criterion comes with a new method and a new record, so that a side that
//!   does not know it says so (`Unsupported`) and does not silently ignore it.
//! - **The signature of a method** is fixed, and so are the names of its
//!   arguments and the order of the list. Instead: a new method.
//! - **A storage trait** holds at most 61 methods, a limit of abi_stable:
//!   [`Storage`](storage::Storage) has room for 28 more,
//!   [`StatsProvider`](storage::StatsProvider) for 59,
//!   [`CodeStorage`](storage::CodeStorage) for 32. A further trait cannot be
//!   added to [`FullStorage`](storage::FullStorage).
//! - **Removing, renaming or changing** anything, and another minor version of
//!   abi_stable, need a new incompatible version.

#![allow(
    non_local_definitions,
    reason = "sabi_trait implements its own traits that way"
)]

pub mod error;
pub mod ffi;
pub mod loading;
pub mod module;
pub mod panic;
pub mod records;
pub mod storage;
pub mod value;

/// The ABI library, for the attributes and macros that modules need of it.
pub use abi_stable;
