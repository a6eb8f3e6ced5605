//! What a database's own definitions would do to rows, and what is done about it.
//!
//! A database that the host of an older version defined overwrites times on every
//! write, or has types that refuse rows which the methods write and which other
//! databases hold. Such definitions are altered; what a user added (defaults,
//! assertions, permissions, comments) stays.

use super::{
    initialize::kind_of,
    table::{Column, Kind, Table},
};
use crate::rows::Row;
use plugin_api::value::Value;

/// Whose database it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// The host's own.
    Primary,
    /// A copy: it takes whatever the primary has.
    Replica,
}

/// A table as a database defines it.
#[derive(Debug)]
pub(super) struct ExistingTable {
    pub(super) name: String,
    schemafull: bool,
    drop: bool,
    fields: Vec<Field>,
}

#[derive(Debug)]
struct Field {
    /// As SurrealQL: quoted where it has to be.
    name: String,
    kind: Option<String>,
    value: Option<String>,
    default: Option<String>,
    default_always: bool,
    computed: Option<String>,
    readonly: bool,
    flexible: bool,
}

/// What is to be done about a table.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Findings {
    /// Statements that mend it.
    pub(super) alterations: Vec<String>,
    /// What cannot be mended: each says what happens to rows, and the remedy.
    pub(super) problems: Vec<String>,
    /// The columns that a new row gets if it comes without them.
    pub(super) defaults: Vec<String>,
}

impl ExistingTable {
    /// From its row in `INFO FOR DB STRUCTURE` and its `INFO FOR TABLE … STRUCTURE`.
    pub(super) fn new(table: &Row, structure: &Value) -> Self {
        let fields = structure
            .as_object()
            .and_then(|structure| structure.get("fields"));
        let fields = Row::all(fields.cloned().unwrap_or_default());
        let field = |row: &Row| {
            let text = |column| row.optional_text(column).into_option().map(String::from);
            Field {
                name: row.text("name").into_string(),
                kind: text("kind"),
                value: text("value"),
                default: text("default"),
                default_always: row.flag("default_always"),
                computed: text("computed"),
                readonly: row.flag("readonly"),
                flexible: row.flag("flexible"),
            }
        };
        Self {
            name: table.text("name").into_string(),
            schemafull: table.flag("schemafull"),
            drop: table.flag("drop"),
            fields: fields.iter().map(field).collect(),
        }
    }

    /// Does it look like a table of relationships: with ends, by any name?
    pub(super) fn has_ends(&self) -> bool {
        let has = |name| self.fields.iter().any(|field| field.plain_name() == name);
        (has("in") && has("out")) || (has("from_entity") && has("to_entity"))
    }

    /// What its definitions would do to rows of `table`.
    pub(super) fn findings(&self, table: &Table, role: Role) -> Findings {
        let mut found = Findings::default();
        let name = &self.name;
        // Rows may have columns that this database does not know.
        let becomes_schemaless =
            self.schemafull && (role == Role::Replica || table.is_relationships());
        if becomes_schemaless {
            found
                .alterations
                .push(format!("ALTER TABLE `{name}` SCHEMALESS;"));
        }
        if self.drop {
            found.problems.push(format!(
                "the table {name} drops every row that is written (DROP): define it without"
            ));
        }
        let schemafull = self.schemafull && !becomes_schemaless;
        for field in &self.fields {
            let column = table
                .columns
                .iter()
                .find(|column| column.name == field.plain_name());
            let clauses = field.clauses(column, schemafull, role);
            if !clauses.is_empty() {
                let clauses = clauses.join(" ");
                found
                    .alterations
                    .push(format!("ALTER FIELD {} ON `{name}` {clauses};", field.name));
            }
            let problem = |what: &str, clause: &str| {
                format!(
                    "{}.{}: {what}, so rows can differ from the primary's for good; ALTER FIELD {} \
                     ON {name} {clause}",
                    name,
                    field.plain_name(),
                    field.name
                )
            };
            if field.computed.is_some() {
                found
                    .problems
                    .push(problem("the database computes it", "DROP COMPUTED"));
            } else if field.value.is_some() && field.new_default().is_none() {
                found.problems.push(problem(
                    "a VALUE clause changes what is written",
                    "DROP VALUE",
                ));
            }
            if field.default_after(column).is_some() && !field.is_nested() {
                found.defaults.push(field.plain_name().to_owned());
            }
        }
        found
    }
}

impl Field {
    fn plain_name(&self) -> &str {
        self.name.trim_matches(['`', '⟨', '⟩'])
    }

    /// Is it a part of another field, such as `embedding.*`?
    fn is_nested(&self) -> bool {
        self.name.contains(['.', '['])
    }

    /// The default that takes the place of a `VALUE` clause which overwrites what
    /// is written; none for a clause that depends on it.
    fn new_default(&self) -> Option<&str> {
        let value = self.value.as_deref().filter(|value| !value.contains('$'));
        value.and_then(|value| self.default.as_deref().or(Some(value)))
    }

    /// The default that it has in the end.
    fn default_after(&self, column: Option<&Column>) -> Option<&str> {
        let known = column.and_then(Column::default);
        self.default.as_deref().or(self.new_default()).or(known)
    }

    /// The clauses of the statement that mends it; none if nothing has to be.
    fn clauses(&self, column: Option<&Column>, schemafull: bool, role: Role) -> Vec<String> {
        let mut clauses = Vec::new();
        let flexible = self.flexible && schemafull;
        match self.wider_kind(column) {
            Some(kind) => {
                let object = column.is_some_and(|column| column.kind == Kind::Object);
                let flexible = schemafull && (object || flexible && kind.contains("object"));
                clauses.push(format!("TYPE {kind}"));
                if flexible {
                    clauses.push("FLEXIBLE".to_owned());
                } else if self.flexible {
                    clauses.push("DROP FLEXIBLE".to_owned());
                }
            }
            None if self.flexible && !flexible => clauses.push("DROP FLEXIBLE".to_owned()),
            None if schemafull
                && !self.flexible
                && column.is_some_and(|column| column.kind == Kind::Object) =>
            {
                clauses.push("FLEXIBLE".to_owned());
            }
            None => {}
        }
        if self.new_default().is_some() {
            clauses.push("DROP VALUE".to_owned());
        }
        if self.readonly && (column.is_some() || role == Role::Replica) {
            clauses.push("DROP READONLY".to_owned());
        }
        let default = self.default_after(column);
        if default != self.default.as_deref() || self.default_always {
            clauses.extend(default.map(|default| format!("DEFAULT {default}")));
        }
        clauses
    }

    /// The type that it needs to take every row, unless it has one that does.
    fn wider_kind(&self, column: Option<&Column>) -> Option<String> {
        let kind = self.kind.as_deref()?;
        let has = alternatives(kind);
        if has.contains(&"any") {
            return None;
        }
        let Some(column) = column else {
            // Rows of another database may come without it.
            let optional = has.contains(&"none") && has.contains(&"null");
            return (!optional && !self.is_nested() && self.default.is_none())
                .then(|| format!("option<null | {kind}>"));
        };
        let wanted = kind_of(column);
        let inner = wanted
            .strip_prefix("option<")
            .and_then(|kind| kind.strip_suffix('>'));
        let mut needs = alternatives(inner.unwrap_or(wanted));
        if inner.is_some() {
            needs.push("none");
        }
        let fits = needs.iter().all(|need| has.contains(need));
        (!fits).then(|| wanted.to_owned())
    }
}

/// The alternatives of a type: `none | string` has two.
fn alternatives(kind: &str) -> Vec<&str> {
    let mut depth = 0_u32;
    let parts = kind.split(|character| {
        match character {
            '<' | '{' | '[' | '(' => depth += 1,
            '>' | '}' | ']' | ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        character == '|' && depth == 0
    });
    parts.map(str::trim).collect()
}
