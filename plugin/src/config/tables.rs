//! Which tables are replicated.

use super::value_types::{ValueType, show};
use plugin_api::value::Value;
use std::collections::BTreeSet;
use surreal_storage::schema::{RELATIONSHIPS, TABLES, Table};

/// Which tables are replicated.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum TableSelection {
    /// Every one.
    #[default]
    All,
    /// These; [`RELATIONSHIPS`] among them stands for every relationship type.
    Only(BTreeSet<&'static str>),
}

impl TableSelection {
    /// Is this table replicated? One without a fixed name belongs to a
    /// relationship type.
    pub fn includes(&self, table: &str) -> bool {
        match self {
            Self::All => true,
            Self::Only(names) => names.contains(Table::of(table).name),
        }
    }
}

/// The names that a selection may hold.
pub(crate) fn selectable() -> impl Iterator<Item = &'static str> {
    let tables: BTreeSet<&'static str> = TABLES.iter().map(|table| table.name).collect();
    tables.into_iter().chain([RELATIONSHIPS.name])
}

/// The value type of a [`TableSelection`].
pub(super) struct Tables;

impl ValueType for Tables {
    type Out = TableSelection;

    fn parse(&self, value: &Value) -> Result<TableSelection, String> {
        if value.as_str() == Some("all") {
            return Ok(TableSelection::All);
        }
        let items = value
            .as_array()
            .ok_or_else(|| format!("{} is neither all nor a list of tables", show(value)))?;
        if items.is_empty() {
            return Ok(TableSelection::All);
        }
        items
            .iter()
            .map(|item| {
                let name = item.as_str().unwrap_or_default();
                selectable().find(|&table| table == name).ok_or_else(|| {
                    let near = super::nearest(name, selectable())
                        .map(|table| format!("; did you mean {table}?"))
                        .unwrap_or_default();
                    format!("{} is no table of the host{near}", show(item))
                })
            })
            .collect::<Result<_, _>>()
            .map(TableSelection::Only)
    }

    fn accepts(&self) -> String {
        let names: Vec<&str> = selectable().collect();
        format!("all or [] for all, or a list of {}", names.join(", "))
    }
}
