//! Writing rows by their keys.

use super::tables::{Rule, Table};

/// A statement that stores each of `$rows` under its key, in one transaction.
///
/// A row that is there keeps its id, its creation time and columns that this
/// version does not know; a new one gets a random id, as the existing host
/// gives them. Two callers that create the same key at once meet in the unique
/// index, or in the conflict of their transactions, and one tries again.
///
/// `before` runs first, in the same transaction. The answer is the rows as
/// stored, in the order of `$rows`, without their embeddings.
pub(crate) fn upsert_statement(table: &Table, before: &str) -> String {
    let name = table.name;
    let fresh = format!("type::record('{name}', rand::id())");
    let id = if table.is_keyed_by_id() {
        fresh
    } else {
        let same_key = table
            .key
            .iter()
            .map(|column| format!("{column} = $row.{column}"))
            .collect::<Vec<_>>()
            .join(" AND ");
        format!("(SELECT VALUE id FROM ONLY {name} WHERE {same_key} LIMIT 1) ?? {fresh}")
    };
    let assignments = assignments(table);
    format!(
        "{{
            {before}
            LET $now = time::now();
            LET $ids = $rows.map(|$row| {id});
            FOR $at IN 0..array::len($ids) {{
                LET $row = $rows[$at];
                UPSERT $ids[$at] SET {assignments} RETURN NONE;
            }};
            RETURN SELECT * OMIT embedding FROM $ids;
        }}"
    )
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
