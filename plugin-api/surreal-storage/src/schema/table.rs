//! [`Table`]: what is known of a table, as data.

use super::tables::{RELATIONSHIPS, TABLES};
use plugin_api::value::{Object, Value};

/// A replicated table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Table {
    /// Its name.
    pub name: &'static str,
    /// The columns that tell one row from another; `id` where nothing else does.
    pub key: &'static [&'static str],
    /// The columns that say which group a row belongs to; the first that has a
    /// value does. The rows of a group are written, deleted and replicated as
    /// one: a document with its chunks. Empty where each row stands for itself.
    pub group_by: &'static [&'static str],
    /// The column that numbers the rows of a group, from 0. The only row of a group
    /// has none.
    pub group_index: Option<&'static str>,
    /// The columns by which a copy of the row in another database is recognised:
    /// the key, unless that is the id, and those by which a delete of several rows
    /// selects them.
    pub identity: &'static [&'static str],
    /// Its columns beyond the id. Rows may have more, written by a newer host.
    pub columns: &'static [Column],
    /// Columns that are searched together, beside the key.
    pub indexes: &'static [&'static [&'static str]],
    /// The column with a full-text index, if there is one.
    pub full_text: Option<&'static str>,
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
    /// Sets what the caller gives, or else keeps what is there.
    GivenOrKept,
    /// Keeps what is there; of a new row, sets what the caller gives.
    Kept,
    /// Keeps what is there; of a new row, sets the time of the write.
    Created,
    /// Sets the time of the write.
    Updated,
    /// Leaves it alone: an older host's column, only read.
    Legacy,
}

impl Column {
    /// The SurrealQL expression that a row gets which another program writes
    /// without this column: the times of a row are set by default.
    pub fn default(&self) -> Option<&'static str> {
        let sets_time = matches!(self.rule, Rule::GivenOrNow | Rule::Created | Rule::Updated);
        sets_time.then_some("time::now()")
    }
}

impl Table {
    /// The table of that name: one of [`TABLES`], or else [`RELATIONSHIPS`],
    /// since every other replicated table belongs to a relationship type.
    pub fn of(name: &str) -> &'static Self {
        table(name).unwrap_or(&RELATIONSHIPS)
    }

    /// Is a row found by its id alone?
    pub fn is_keyed_by_id(&self) -> bool {
        self.key == ["id"]
    }

    /// Does it stand for the tables of all relationship types?
    pub fn is_relationships(&self) -> bool {
        self.name == RELATIONSHIPS.name
    }

    /// Do several rows belong together, as a document and its chunks do?
    pub fn is_grouped(&self) -> bool {
        !self.group_by.is_empty()
    }

    /// The group that a row with these columns belongs to: the path of its
    /// document. None where rows are not grouped, or the row has no group.
    pub fn group_of<'a>(&self, columns: &'a Object) -> Option<&'a Value> {
        let mut values = self.group_by.iter().filter_map(|name| columns.get(name));
        values.find(|value| !value.is_nullish())
    }

    /// The SurrealQL condition that holds for the rows of the group `group`, an
    /// expression: `(source_file = $path OR file_path = $path)`.
    pub fn group_condition(&self, group: &str) -> String {
        let columns = self.group_by.iter();
        let conditions: Vec<String> = columns.map(|name| format!("{name} = {group}")).collect();
        format!("({})", conditions.join(" OR "))
    }

    /// Is a row with these columns the first of its group? A group has one.
    pub fn leads_group(&self, columns: &Object) -> bool {
        let index = self.group_index.and_then(|name| columns.get(name));
        self.is_grouped() && index.is_none_or(|index| index.is_nullish() || *index == Value::Int(0))
    }

    /// Does a row have an embedding?
    pub fn has_embedding(&self) -> bool {
        let mut columns = self.columns.iter();
        columns.any(|column| column.kind == Kind::Embedding)
    }
}

/// The table of that name, if it is one of [`TABLES`].
pub fn table(name: &str) -> Option<&'static Table> {
    TABLES.iter().find(|table| table.name == name)
}
