//! The statement that stores rows under their keys.

use super::table::{Rule, Table};
use plugin_api::value::{Object, Value};

/// A statement that stores rows under their keys, in one transaction.
///
/// An existing row keeps its id, its creation time and columns that this version
/// does not know; a new one gets a random id, as existing hosts assign them. If two
/// callers create the same key at once, one of them fails with a conflict, on the
/// unique index or between their transactions, and retries.
///
/// `before` runs first, in the same transaction. The answer is the rows as
/// stored, in the order given, without their embeddings unless `with_embeddings`. The parameters are
/// those of [`upsert_parameters`].
pub(crate) fn upsert_statement(table: &Table, before: &str, with_embeddings: bool) -> String {
    let name = table.name;
    let fresh = format!("type::record('{name}', rand::id())");
    let id = if table.is_keyed_by_id() {
        fresh
    } else {
        let same_key = table
            .key
            .iter()
            .map(|column| format!("{column} = $key.{column}"))
            .collect::<Vec<_>>()
            .join(" AND ");
        format!("(SELECT VALUE id FROM ONLY {name} WHERE {same_key} LIMIT 1) ?? {fresh}")
    };
    let assignments = assignments(table);
    let omit = if with_embeddings {
        ""
    } else {
        "OMIT embedding"
    };
    format!(
        "{{
            {before}
            LET $now = time::now();
            LET $ids = $keys.map(|$key| {id});
            FOR $row IN $rows {{
                UPSERT $ids[$row.{POSITION}] SET {assignments} RETURN NONE;
            }};
            RETURN SELECT * {omit} FROM $ids;
        }}"
    )
}

/// The column that has a row's position in `$rows`.
const POSITION: &str = "at";

/// The parameters of [`upsert_statement`]: `$rows`, and their keys in `$keys`,
/// since a statement that iterates the rows twice copies them with their embeddings.
pub(crate) fn upsert_parameters(table: &Table, rows: Vec<Object>) -> Object {
    let key_of = |row: &Object| -> Object {
        let columns = table.key.iter().copied();
        columns
            .filter_map(|column| Some((column, row.get(column)?.clone())))
            .collect()
    };
    let keys: Value = rows.iter().map(key_of).collect();
    let rows: Value = rows
        .into_iter()
        .zip(0_i64..)
        .map(|(row, at)| row.with(POSITION, at))
        .collect();
    Object::new().with("keys", keys).with("rows", rows)
}

/// What a write sets, from `$row` and `$now`: `name = $row.name, …`.
pub(crate) fn assignments(table: &Table) -> String {
    table
        .columns
        .iter()
        .filter_map(|column| {
            let name = column.name;
            let value = match column.rule {
                Rule::Given => format!("$row.{name}"),
                Rule::GivenOrNow => format!("$row.{name} ?? $now"),
                Rule::GivenOrKept => format!("$row.{name} ?? {name}"),
                Rule::Kept => format!("{name} ?? $row.{name}"),
                Rule::Created => format!("{name} ?? $now"),
                Rule::Updated => "$now".to_owned(),
                Rule::Legacy => return None,
            };
            Some(format!("{name} = {value}"))
        })
        .collect::<Vec<_>>()
        .join(", ")
}
