//! Which tables are replicated.

use super::value_types::{ValueType, show};
use plugin_api::value::Value;
use std::collections::BTreeSet;
use surreal_storage::schema::{RELATIONSHIPS, TABLES, Table, identifier, relationships};

/// Stands for all of the host's tables.
const ALL: &str = "all";

/// Which tables are replicated.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TableSelection {
    /// Those of the host.
    pub host: HostTables,
    /// Others, which no method of the host reads: a user's own.
    pub others: BTreeSet<String>,
}

/// Which of the host's tables.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum HostTables {
    /// Every one.
    #[default]
    All,
    /// These; [`RELATIONSHIPS`] among them stands for every relationship type.
    Only(BTreeSet<&'static str>),
}

impl TableSelection {
    /// Is this table replicated? One that is neither the host's nor named belongs to
    /// a relationship type.
    pub fn includes(&self, table: &str) -> bool {
        let of_host = match &self.host {
            HostTables::All => true,
            HostTables::Only(names) => names.contains(Table::of(table).name),
        };
        of_host || self.others.contains(table)
    }

    fn add(&mut self, item: &Value) -> Result<(), String> {
        let Some(name) = item.as_str() else {
            return Err(format!("{} is no table", show(item)));
        };
        if name == ALL {
            self.host = HostTables::All;
            return Ok(());
        }
        if let Some(table) = selectable().find(|&table| table == name) {
            if let HostTables::Only(tables) = &mut self.host {
                tables.insert(table);
            }
            return Ok(());
        }
        if let Some(near) = super::nearest(name, selectable().chain([ALL])) {
            return Err(format!(
                "{} is no table of the host; did you mean {near}?",
                show(item)
            ));
        }
        if relationships::is_of_module(name) {
            return Err(format!("{name} is a table of this module"));
        }
        identifier("a table", name).map_err(|error| error.message.into_string())?;
        self.others.insert(name.to_owned());
        Ok(())
    }
}

/// The names of the host's tables that a selection may hold.
pub(crate) fn selectable() -> impl Iterator<Item = &'static str> {
    let tables: BTreeSet<&'static str> = TABLES.iter().map(|table| table.name).collect();
    tables.into_iter().chain([RELATIONSHIPS.name])
}

/// The value type of a [`TableSelection`].
pub(super) struct Tables;

impl ValueType for Tables {
    type Out = TableSelection;

    fn parse(&self, value: &Value) -> Result<TableSelection, String> {
        let items = match value {
            Value::Array(items) if items.is_empty() => return Ok(TableSelection::default()),
            Value::Array(items) => items,
            all if all.as_str() == Some(ALL) => return Ok(TableSelection::default()),
            other => {
                return Err(format!(
                    "{} is neither all nor a list of tables",
                    show(other)
                ));
            }
        };
        let has_all = items.iter().any(|item| item.as_str() == Some(ALL));
        let mut selection = TableSelection {
            host: match has_all {
                true => HostTables::All,
                false => HostTables::Only(BTreeSet::new()),
            },
            others: BTreeSet::new(),
        };
        for item in items {
            selection.add(item)?;
        }
        Ok(selection)
    }

    fn accepts(&self) -> String {
        let names: Vec<&str> = selectable().collect();
        format!(
            "all or [] for all of the host's, or a list of {}, all, and tables of your own",
            names.join(", ")
        )
    }
}
