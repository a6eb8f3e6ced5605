//! Every table with its key, its columns and its indexes.

/// A table with a fixed name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Table {
    /// Its name.
    pub name: &'static str,
    /// The columns that tell one row from another; `id` where nothing else does.
    pub key: &'static [&'static str],
    /// Its columns beyond the id. Rows may have more, written by a newer host.
    pub columns: &'static [Column],
    /// Columns that are searched together, beside the key.
    pub indexes: &'static [&'static [&'static str]],
}

/// A column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: &'static str,
    /// What it holds.
    pub kind: Kind,
    /// What a write does to it.
    pub rule: Rule,
}

/// What a column holds. Beside its kind, each may hold nothing or null; a
/// column of a key may not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Text that every row has.
    Key,
    /// A whole number that every row has.
    KeyNumber,
    /// Text.
    Text,
    /// A whole number.
    Int,
    /// A floating-point number.
    Float,
    /// True or false.
    Bool,
    /// Keys and values.
    Object,
    /// Anything.
    Any,
    /// A point in time.
    Time,
    /// 768 floats.
    Embedding,
}

/// What a write does to a column of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// Sets what the caller gives.
    Given,
    /// Sets what the caller gives, or else the time of the write.
    GivenOrNow,
    /// Keeps what is there; of a new row, sets what the caller gives.
    Kept,
    /// Keeps what is there; of a new row, sets the time of the write.
    Created,
    /// Sets the time of the write.
    Updated,
    /// Leaves it alone: an older host's column, only read.
    Legacy,
}

impl Table {
    /// Is a row found by its id alone?
    pub fn is_keyed_by_id(&self) -> bool {
        self.key == ["id"]
    }
}

/// The table of that name, if it is one of [`TABLES`].
pub fn table(name: &str) -> Option<&'static Table> {
    TABLES.iter().find(|table| table.name == name)
}

const fn column(name: &'static str, kind: Kind) -> Column {
    Column {
        name,
        kind,
        rule: Rule::Given,
    }
}

const fn ruled(name: &'static str, kind: Kind, rule: Rule) -> Column {
    Column { name, kind, rule }
}

const CREATED: Column = ruled("created_at", Kind::Time, Rule::Created);
const UPDATED: Column = ruled("updated_at", Kind::Time, Rule::Updated);
const EMBEDDING: Column = column("embedding", Kind::Embedding);

pub(crate) const FACTS: Table = Table {
    name: "kv_memories",
    key: &["user_id", "key"],
    columns: &[
        column("user_id", Kind::Key),
        column("key", Kind::Key),
        column("value", Kind::Any),
        CREATED,
        UPDATED,
    ],
    indexes: &[],
};

pub(crate) const VECTORS: Table = Table {
    name: "vector_memories",
    key: &["id"],
    columns: &[
        column("user_id", Kind::Text),
        column("content", Kind::Text),
        EMBEDDING,
        column("metadata", Kind::Object),
        CREATED,
        UPDATED,
    ],
    indexes: &[&["user_id"]],
};

pub(crate) const ENTITIES: Table = Table {
    name: "entities",
    key: &["id"],
    columns: &[
        column("entity_type", Kind::Text),
        ruled("type", Kind::Text, Rule::Legacy),
        column("name", Kind::Text),
        column("properties", Kind::Object),
        CREATED,
    ],
    indexes: &[&["name"]],
};

pub(crate) const DOCUMENTS: Table = Table {
    name: "knowledge_base",
    key: &["file_path"],
    columns: &[
        column("file_path", Kind::Key),
        column("content", Kind::Text),
        EMBEDDING,
        column("metadata", Kind::Object),
        column("source_file", Kind::Text),
        column("chunk_index", Kind::Int),
        column("chunk_count", Kind::Int),
        CREATED,
        UPDATED,
    ],
    indexes: &[&["source_file"]],
};

pub(crate) const EVENTS: Table = Table {
    name: "events",
    key: &["id"],
    columns: &[
        column("user_id", Kind::Text),
        column("subject", Kind::Text),
        column("content", Kind::Text),
        EMBEDDING,
        column("metadata", Kind::Object),
        CREATED,
    ],
    indexes: &[&["user_id", "subject"]],
};

pub(crate) const PROJECTS: Table = Table {
    name: "code_projects",
    key: &["project_id"],
    columns: &[
        column("project_id", Kind::Key),
        column("name", Kind::Text),
        column("root_path", Kind::Text),
        column("language_stats", Kind::Object),
        column("last_indexed_at", Kind::Time),
        column("indexing_status", Kind::Text),
        ruled("watcher_enabled", Kind::Bool, Rule::Kept),
        CREATED,
        UPDATED,
    ],
    indexes: &[],
};

pub(crate) const FILES: Table = Table {
    name: "code_files",
    key: &["project_id", "file_path"],
    columns: &[
        column("project_id", Kind::Key),
        column("file_path", Kind::Key),
        column("language", Kind::Text),
        column("file_hash", Kind::Text),
        column("symbols_count", Kind::Int),
        ruled("indexed_at", Kind::Time, Rule::GivenOrNow),
    ],
    indexes: &[],
};

pub(crate) const SYMBOLS: Table = Table {
    name: "code_symbols",
    key: &["project_id", "name_path"],
    columns: &[
        column("project_id", Kind::Key),
        column("file_path", Kind::Text),
        column("language", Kind::Text),
        column("symbol_type", Kind::Text),
        column("name", Kind::Text),
        column("name_path", Kind::Key),
        column("start_line", Kind::Int),
        column("end_line", Kind::Int),
        column("start_byte", Kind::Int),
        column("end_byte", Kind::Int),
        column("source_code", Kind::Text),
        column("signature", Kind::Text),
        column("doc_string", Kind::Text),
        EMBEDDING,
        column("parent_id", Kind::Text),
        column("metadata", Kind::Object),
        CREATED,
        UPDATED,
    ],
    indexes: &[&["project_id", "file_path"], &["project_id", "parent_id"]],
};

pub(crate) const CHUNKS: Table = Table {
    name: "code_chunks",
    key: &["symbol_id", "chunk_index"],
    columns: &[
        column("symbol_id", Kind::Key),
        column("project_id", Kind::Text),
        column("file_path", Kind::Text),
        column("chunk_index", Kind::KeyNumber),
        column("chunk_count", Kind::Int),
        column("content", Kind::Text),
        column("start_offset", Kind::Int),
        column("end_offset", Kind::Int),
        EMBEDDING,
        column("symbol_name", Kind::Text),
        column("symbol_type", Kind::Text),
        column("language", Kind::Text),
        CREATED,
    ],
    indexes: &[&["project_id", "file_path"]],
};

pub(crate) const JOBS: Table = Table {
    name: "code_indexing_jobs",
    key: &["id"],
    columns: &[
        column("project_id", Kind::Text),
        column("project_path", Kind::Text),
        column("status", Kind::Text),
        column("progress", Kind::Float),
        column("files_total", Kind::Int),
        column("files_indexed", Kind::Int),
        ruled("started_at", Kind::Time, Rule::GivenOrNow),
        column("completed_at", Kind::Time),
        column("error", Kind::Text),
    ],
    indexes: &[&["project_id"], &["status"]],
};

/// The tables with a fixed name. Beside them there is a table for each type of
/// relationship: see [`relationships`](super::relationships).
pub const TABLES: &[Table] = &[
    FACTS, VECTORS, ENTITIES, DOCUMENTS, EVENTS, PROJECTS, FILES, SYMBOLS, CHUNKS, JOBS,
];

/// Where the replication module leaves the dirty flags of its logs, in a
/// primary.
pub const DIRTY_FLAG_TABLE: &str = "db_sync_log";

/// Where the replication module keeps how far a secondary has come, by queue
/// and partition, in that secondary.
pub const POSITION_TABLE: &str = "db_sync_position";

/// Tables of the host and of the replication module that hold no memories: no
/// relationship can have such a name, and they are neither copied nor merged.
pub(crate) const OTHER_TABLES: &[&str] = &[
    "user_stats",
    "schema_version",
    "relationships",
    DIRTY_FLAG_TABLE,
    POSITION_TABLE,
];
