//! The 64 storage methods, and how they cross the boundary.
//!
//! | file | what is in it |
//! | --- | --- |
//! | `contract.rs` | the list of the methods ([`storage_methods!`](crate::storage_methods)): meaning, arguments, answer, kind and table of each; and the Rust traits [`Storage`] (33), [`StatsProvider`] (2) and [`CodeStorage`] (29) that an implementation implements |
//! | `methods.rs` | the list as data: [`METHODS`] |
//! | `stable.rs` | the traits in the form that crosses the boundary, and the answer to a method that the other side does not have |
//! | `full.rs` | [`FullStorage`]: carries an implementation across; itself an implementation on the other side |
//! | `argument.rs` | how each type of argument crosses: borrowed, without a copy |
//! | `context.rs` | [`CallContext`]: deadline and request id |
//!
//! Every method takes a [`CallContext`] and blocks until it has its answer. A
//! host on an async runtime calls it from a thread that may block.

// First those that define the macros of the others.
#[macro_use]
mod argument;
#[macro_use]
mod contract;

mod context;
mod full;
mod methods;
#[allow(non_camel_case_types, reason = "abi_stable names its objects so")]
mod stable;

pub use argument::Argument;
pub use context::CallContext;
pub use contract::{CodeStorage, StatsProvider, Storage};
pub use full::FullStorage;
pub use methods::{METHODS, Method, MethodKind, method};

use crate::{
    ffi::{List, Maybe, Text},
    records::{
        CodeChunk, CodeFile, CodeProject, CodeSymbol, Document, Entity, Event, FoundDocument,
        FoundEvent, FoundVector, GraphResult, IndexingJob, Scored, Stored, UserCount,
    },
    value::{RecordId, Value},
};

/// Success, without further data.
pub type Unit = ();
/// A fact's value, if there is one.
pub type MaybeValue = Maybe<Value>;
/// Names, paths or user ids, sorted.
pub type Names = List<Text>;
/// Record ids, sorted by their text.
pub type Ids = List<RecordId>;
/// Vector memories, the nearest first.
pub type FoundVectors = List<FoundVector>;
/// An entity, if there is one.
pub type MaybeEntity = Maybe<Entity>;
/// Entities in breadth-first order.
pub type GraphResults = List<GraphResult>;
/// A document, if there is one.
pub type MaybeDocument = Maybe<Document>;
/// Documents and chunks, the nearest first.
pub type FoundDocuments = List<FoundDocument>;
/// Events, the oldest first.
pub type Events = List<Event>;
/// Events, the most relevant or else the newest first.
pub type FoundEvents = List<FoundEvent>;
/// Counts by user, the user ids sorted.
pub type UserCounts = List<UserCount>;
/// A project, if there is one.
pub type MaybeProject = Maybe<Stored<CodeProject>>;
/// Projects, sorted by name and then by id.
pub type Projects = List<Stored<CodeProject>>;
/// A file, if there is one.
pub type MaybeFile = Maybe<Stored<CodeFile>>;
/// Files, sorted by path.
pub type Files = List<Stored<CodeFile>>;
/// A symbol, if there is one.
pub type MaybeSymbol = Maybe<Stored<CodeSymbol>>;
/// Symbols, in the order that the method documents.
pub type Symbols = List<Stored<CodeSymbol>>;
/// Symbols, the nearest first.
pub type FoundSymbols = List<Scored<Stored<CodeSymbol>>>;
/// Chunks of a symbol, in order.
pub type Chunks = List<Stored<CodeChunk>>;
/// Chunks, the nearest first.
pub type FoundChunks = List<Scored<Stored<CodeChunk>>>;
/// An indexing job, if there is one.
pub type MaybeJob = Maybe<Stored<IndexingJob>>;
/// Indexing jobs, the oldest first.
pub type Jobs = List<Stored<IndexingJob>>;
