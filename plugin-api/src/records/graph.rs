//! The knowledge graph: entities and the relationships between them.

use crate::{
    ffi::{List, Maybe, Text},
    value::{Object, RecordId, Timestamp},
};
use abi_stable::StableAbi;
use serde::{Deserialize, Serialize};

/// A node of the graph.
#[repr(C)]
#[derive(StableAbi, Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entity {
    /// The row's id.
    pub id: RecordId,
    /// Its type: person, crate, file.
    pub entity_type: Text,
    /// Its name; several entities may share one.
    pub name: Text,
    /// Free-form data of the caller.
    pub properties: Object,
    /// When the row was created.
    pub created_at: Timestamp,
}

/// An edge of the graph. Its type is the name of the table that it is stored in.
#[repr(C)]
#[derive(StableAbi, Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Relationship {
    /// The row's id.
    pub id: RecordId,
    /// The entity where it starts.
    pub from: RecordId,
    /// The entity where it ends.
    pub to: RecordId,
    /// Its type: an identifier such as `depends_on`.
    pub relationship_type: Text,
    /// Free-form data of the caller.
    pub properties: Object,
    /// When the row was created.
    pub created_at: Timestamp,
}

/// One entity reached by a traversal.
#[repr(C)]
#[derive(StableAbi, Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GraphResult {
    /// The entity.
    pub entity: Entity,
    /// The edge that led to it; none for the start.
    pub relationship: Maybe<Relationship>,
    /// The ids from the start to this entity, both included.
    pub path: List<RecordId>,
    /// The number of edges from the start: 0 for the start itself.
    pub depth: u32,
}
