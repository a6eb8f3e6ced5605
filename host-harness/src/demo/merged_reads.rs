//! Rows that only the secondary has, rows that differ on both sides, and what a
//! read through the host returns for them.

use super::{Checks, USER, deployment::Deployment};
use crate::{embedder::embed, output::say};
use plugin_api::{
    error::StorageResult,
    storage::{CallContext, MaybeValue, Storage},
    value::{Object, Value},
};

const SECONDARY_FACT: &str = "only/on-secondary";
const CONFLICTING_FACT: &str = "differs/on-both";
const SECONDARY_DOCUMENT: &str = "only/zeppelins.md";
const CONFLICTING_DOCUMENT: &str = "differs/harbour.md";

/// Writes such rows, reads them on each side and through the host, and makes the
/// two databases equal again.
pub(super) fn show(deployment: &mut Deployment, checks: &mut Checks) -> anyhow::Result<()> {
    let context = CallContext::new();
    let secondary = deployment.secondary()?;
    let none = Object::new();

    // Both sides get the primary's version, then the secondary a stale one.
    let document = "The harbour opens at seven in the morning";
    let stale = "The harbour is closed and zeppelins land there";
    let host = deployment.host().storage();
    host.save_fact(
        &context,
        USER,
        CONFLICTING_FACT,
        &Value::from("the primary's"),
    )?;
    host.save_document(
        &context,
        CONFLICTING_DOCUMENT,
        document,
        &embed(document),
        &none,
    )?;
    deployment.wait_until_caught_up("replicating two rows")?;
    secondary.save_fact(
        &context,
        USER,
        CONFLICTING_FACT,
        &Value::from("the secondary's"),
    )?;
    secondary.save_document(&context, CONFLICTING_DOCUMENT, stale, &embed(stale), &none)?;

    // Only the secondary has these.
    let only = "Zeppelins cross the sea in three days";
    secondary.save_fact(
        &context,
        USER,
        SECONDARY_FACT,
        &Value::from("the secondary's"),
    )?;
    secondary.save_document(&context, SECONDARY_DOCUMENT, only, &embed(only), &none)?;
    let entity = secondary.create_entity(&context, "airship", "zeppelin", &none)?;

    let host = deployment.host().storage();
    let primary = deployment.host().primary();
    say(format_args!(
        "  {:<28} {:<18} {:<18} {:<18}",
        "", "on the primary", "on the secondary", "through the host"
    ))?;
    for key in [SECONDARY_FACT, CONFLICTING_FACT] {
        say(format_args!(
            "  {:<28} {:<18} {:<18} {:<18}",
            format!("fact {key}"),
            cell(primary.get_fact(&context, USER, key))?,
            cell(secondary.get_fact(&context, USER, key))?,
            cell(host.get_fact(&context, USER, key))?,
        ))?;
    }
    let fact = |key| {
        host.get_fact(&context, USER, key)
            .map(|value| value.into_option())
    };
    checks.check(
        "a fact that only the secondary has is found",
        fact(SECONDARY_FACT)? == Some(Value::from("the secondary's")),
    )?;
    checks.check(
        "a fact that both have is read from the primary",
        fact(CONFLICTING_FACT)? == Some(Value::from("the primary's")),
    )?;
    let facts = host.list_facts(&context, USER)?;
    checks.check(
        "a list has each fact once, and the primary's value where both have one",
        facts.get(SECONDARY_FACT) == Some(&Value::from("the secondary's"))
            && facts.get(CONFLICTING_FACT) == Some(&Value::from("the primary's")),
    )?;
    checks.check(
        "an entity that only the secondary has is found by its name",
        host.get_entity(&context, "zeppelin")?.is_some(),
    )?;
    let found = host.search_documents(&context, &embed("zeppelins"), 50)?;
    let text_of = |path: &str| {
        let hit = found.iter().find(|hit| hit.document.file_path == path);
        hit.map(|hit| hit.document.content.as_str())
    };
    checks.check(
        "a search ranks the document that only the secondary has first",
        found
            .first()
            .is_some_and(|hit| hit.document.file_path == SECONDARY_DOCUMENT),
    )?;
    checks.check(
        "a search never returns the secondary's version of a document that the primary has",
        text_of(CONFLICTING_DOCUMENT).is_none_or(|text| text == document),
    )?;
    checks.check(
        "the primary alone does not have what was found on the secondary",
        primary.get_fact(&context, USER, SECONDARY_FACT)?.is_none(),
    )?;

    // The next write of a key replaces the secondary's version.
    secondary.delete_fact(&context, USER, SECONDARY_FACT)?;
    secondary.delete_document(&context, SECONDARY_DOCUMENT)?;
    if let Some(row) = entity.rows.first() {
        secondary.delete_entity(&context, &row.id.to_string())?;
    }
    host.save_fact(
        &context,
        USER,
        CONFLICTING_FACT,
        &Value::from("the primary's"),
    )?;
    host.save_document(
        &context,
        CONFLICTING_DOCUMENT,
        document,
        &embed(document),
        &none,
    )?;
    deployment.wait_until_caught_up("replicating two rows")?;
    let comparison = deployment.compare()?;
    if !comparison.is_equal() {
        say(&comparison)?;
    }
    checks.check(
        "the next write replaces the secondary's versions: all rows are equal again",
        comparison.is_equal(),
    )
}

fn cell(fact: StorageResult<MaybeValue>) -> StorageResult<String> {
    fact.map(|value| value.map_or("-".to_owned(), |value| value.to_string()))
}
