//! The 64 storage methods, and how they cross the boundary.
//!
//! [`contract`] lists every method once: what it does, its arguments, its
//! answer, and whether it writes, reads, deletes or administers which table.
//! From that one list come
//!
//! - the traits [`Storage`] (33), [`StatsProvider`] (2) and [`CodeStorage`]
//!   (29): ordinary Rust, implemented by whoever stores;
//! - [`FullStorage`], which carries an implementation across the boundary and
//!   is itself an implementation on the other side;
//! - [`METHODS`], the list as data.
//!
//! Every method takes a [`CallContext`] and blocks until it has its answer. A
//! host on an async runtime calls it from a thread that may block.

mod argument;
mod context;
mod contract;
mod full;
mod methods;

pub use argument::Argument;
pub use context::CallContext;
pub use contract::{CodeStorage, StatsProvider, Storage};
pub use full::FullStorage;
pub use methods::{METHODS, Method, MethodKind, method};

use crate::{
    records::{
        CodeChunk, CodeFile, CodeProject, CodeSymbol, Document, Entity, Event, FoundDocument,
        FoundEvent, FoundVector, GraphResult, IndexingJob, Scored, Stored, UserCount,
    },
    value::{RecordId, Value},
};
use abi_stable::std_types::{ROption, RString, RVec};

/// No answer beyond success.
pub type Unit = ();
/// A fact's value, if there is one.
pub type MaybeValue = ROption<Value>;
/// Names, paths or user ids, sorted.
pub type Names = RVec<RString>;
/// Record ids, sorted by their text.
pub type Ids = RVec<RecordId>;
/// Vector memories, the nearest first.
pub type FoundVectors = RVec<FoundVector>;
/// An entity, if there is one.
pub type MaybeEntity = ROption<Entity>;
/// Entities in the order that a breadth-first walk reaches them.
pub type GraphResults = RVec<GraphResult>;
/// A document, if there is one.
pub type MaybeDocument = ROption<Document>;
/// Documents and chunks, the nearest first.
pub type FoundDocuments = RVec<FoundDocument>;
/// Events, the oldest first.
pub type Events = RVec<Event>;
/// Events, the most relevant or else the newest first.
pub type FoundEvents = RVec<FoundEvent>;
/// Counts by user, the user ids sorted.
pub type UserCounts = RVec<UserCount>;
/// A project, if there is one.
pub type MaybeProject = ROption<Stored<CodeProject>>;
/// Projects, sorted by name and then by id.
pub type Projects = RVec<Stored<CodeProject>>;
/// A file, if there is one.
pub type MaybeFile = ROption<Stored<CodeFile>>;
/// Files, sorted by path.
pub type Files = RVec<Stored<CodeFile>>;
/// A symbol, if there is one.
pub type MaybeSymbol = ROption<Stored<CodeSymbol>>;
/// Symbols, in the order that the method promises.
pub type Symbols = RVec<Stored<CodeSymbol>>;
/// Symbols, the nearest first.
pub type FoundSymbols = RVec<Scored<Stored<CodeSymbol>>>;
/// Chunks of a symbol, in order.
pub type Chunks = RVec<Stored<CodeChunk>>;
/// Chunks, the nearest first.
pub type FoundChunks = RVec<Scored<Stored<CodeChunk>>>;
/// An indexing job, if there is one.
pub type MaybeJob = ROption<Stored<IndexingJob>>;
/// Indexing jobs, the oldest first.
pub type Jobs = RVec<Stored<IndexingJob>>;
