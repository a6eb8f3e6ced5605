//! [`VerifyReport`]: what a comparison found.

use crate::status::UnreplicatedTable;
use plugin_api::value::{Object, Value};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// Bytes of a value's text that an example keeps: a row may hold a whole document.
const MAX_VALUE: usize = 300;

/// The result of a comparison.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct VerifyReport {
    /// True if every secondary holds every row of the compared tables.
    pub equal: bool,
    /// Each table of each secondary that was compared.
    pub tables: Vec<TableReport>,
    /// Secondaries that could not be compared, each with the reason.
    pub skipped: BTreeMap<String, String>,
    /// Tables of the primary with rows that are not replicated and so were not
    /// compared.
    pub not_replicated: Vec<UnreplicatedTable>,
    /// By secondary, what its own schema does to rows and cannot be mended: such
    /// rows differ again after every repair.
    pub schema_problems: BTreeMap<String, Vec<String>>,
    /// Rows that were copied again because they differ.
    pub repairing: usize,
    /// True if it was stopped before it had compared everything.
    pub cancelled: bool,
}

/// One table of one secondary, compared with the primary's.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TableReport {
    /// The secondary.
    pub secondary: String,
    /// The table.
    pub table: String,
    /// Rows of the primary.
    pub rows: usize,
    /// Of these, rows that the secondary does not have.
    pub missing: usize,
    /// Of these, rows that differ on the secondary.
    pub different: usize,
    /// Of these, rows that are not equal yet because a write of them is on its way
    /// to the secondary; they count as neither missing nor different.
    pub in_flight: usize,
    /// Rows that only the secondary has: deleted on the primary, or its own.
    pub only_on_secondary: usize,
    /// The first rows that are missing or different.
    pub examples: Vec<RowExample>,
}

/// A row that is missing or different.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RowExample {
    /// The row's key, with its table.
    pub key: String,
    /// Its record id.
    pub id: String,
    /// How it differs.
    pub difference: Difference,
    /// The columns that differ; none of a row that is missing.
    pub columns: Vec<ColumnDifference>,
}

/// How a row differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Difference {
    /// The secondary does not have it.
    Missing,
    /// The secondary has other values.
    Different,
    /// The primary cannot read it, so it cannot be compared; copying it says why.
    Unreadable,
}

/// A column in which a row differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ColumnDifference {
    /// Its name.
    pub column: String,
    /// Its values; only where they were asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub values: Option<ColumnValues>,
}

/// The values of a column as JSON, shortened; null where there is none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ColumnValues {
    /// The primary's.
    pub primary: Option<String>,
    /// The secondary's.
    pub secondary: Option<String>,
}

impl VerifyReport {
    /// The same without the values of rows, which are not for everyone who may see
    /// that rows differ.
    #[must_use]
    pub fn without_values(mut self) -> Self {
        let examples = self.tables.iter_mut().flat_map(|one| &mut one.examples);
        for column in examples.flat_map(|example| &mut example.columns) {
            column.values = None;
        }
        self
    }
}

/// The columns in which two rows differ, with their values.
pub(super) fn differing_columns(primary: &Object, secondary: &Object) -> Vec<ColumnDifference> {
    let names: BTreeSet<&str> = primary
        .iter()
        .chain(secondary.iter())
        .map(|(name, _)| name)
        .collect();
    names
        .into_iter()
        .filter(|name| primary.get(name) != secondary.get(name))
        .map(|name| ColumnDifference {
            column: name.to_owned(),
            values: Some(values(primary.get(name), secondary.get(name))),
        })
        .collect()
}

/// Two different values as texts that differ, too.
fn values(primary: Option<&Value>, secondary: Option<&Value>) -> ColumnValues {
    let both = |text: fn(&Value) -> String| ColumnValues {
        primary: primary.map(text).map(shortened),
        secondary: secondary.map(text).map(shortened),
    };
    let values = both(Value::to_string);
    match values.primary == values.secondary {
        // Of different types, such as a time and its text.
        true => both(|value| format!("{value:?}")),
        false => values,
    }
}

fn shortened(mut text: String) -> String {
    if text.len() > MAX_VALUE {
        text.truncate(text.floor_char_boundary(MAX_VALUE));
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use serde_json::json;

    #[test]
    fn only_columns_that_differ_are_named_and_long_values_shortened() {
        let same = Object::new().with("user_id", "ada").with("count", 1_i64);
        let primary = same.clone().with("value", "é".repeat(MAX_VALUE));
        let secondary = same.with("count", "1").with("extra", true);
        let columns = differing_columns(&primary, &secondary);
        let names: Vec<&str> = columns.iter().map(|one| &*one.column).collect();
        assert_eq!(names, ["count", "extra", "value"]);
        let count = columns[0].values.clone().unwrap();
        assert_ne!(count.primary, count.secondary, "types are to be seen");
        let value = columns[2].values.clone().unwrap();
        assert!(value.primary.unwrap().len() <= MAX_VALUE + "…".len());
        assert_eq!(value.secondary, None);
    }

    #[test]
    fn a_report_without_values_names_the_columns() {
        let column = |name: &str| Object::new().with("value", name);
        let report = VerifyReport {
            tables: vec![TableReport {
                examples: vec![RowExample {
                    key: "kv_memories (\"ada\", \"k\")".to_owned(),
                    id: "kv_memories:1".to_owned(),
                    difference: Difference::Different,
                    columns: differing_columns(&column("secret"), &column("other")),
                }],
                ..TableReport::default()
            }],
            ..VerifyReport::default()
        };
        assert!(json!(report).to_string().contains("secret"));
        let shown = json!(report.without_values());
        let columns = &shown["tables"][0]["examples"][0]["columns"];
        assert_eq!(*columns, json!([{"column": "value"}]));
    }
}
