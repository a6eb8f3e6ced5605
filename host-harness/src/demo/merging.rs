//! Rows that only the secondary has, rows that both have and not alike, and
//! what a read through the host gives.

use super::{Checks, USER, stage::Stage};
use crate::{embedder::embed, output::say};
use plugin_api::{
    error::StorageResult,
    storage::{CallContext, MaybeValue, Storage},
    value::{Object, Value},
};

const FACT_OF_SECONDARY: &str = "written/elsewhere";
const CONFLICTING_FACT: &str = "written/on-both";
const DOCUMENT_OF_SECONDARY: &str = "elsewhere/zeppelins.md";
const CONFLICTING_DOCUMENT: &str = "both/harbour.md";

/// Shows it, and puts the two databases back in step.
pub(super) fn show(stage: &mut Stage, checks: &mut Checks) -> anyhow::Result<()> {
    let context = CallContext::new();
    let secondary = stage.secondary()?;
    let none = Object::new();

    // Both sides get the primary's version, then the secondary another one.
    let document = "The harbour opens at seven in the morning";
    let stale = "The harbour is closed and zeppelins land there";
    let host = stage.host().storage();
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
    stage.wait_until_copied("copying two rows")?;
    secondary.save_fact(
        &context,
        USER,
        CONFLICTING_FACT,
        &Value::from("the secondary's"),
    )?;
    secondary.save_document(&context, CONFLICTING_DOCUMENT, stale, &embed(stale), &none)?;

    // And these only the secondary has.
    let only = "Zeppelins cross the sea in three days";
    secondary.save_fact(
        &context,
        USER,
        FACT_OF_SECONDARY,
        &Value::from("the secondary's"),
    )?;
    secondary.save_document(&context, DOCUMENT_OF_SECONDARY, only, &embed(only), &none)?;
    let entity = secondary.create_entity(&context, "airship", "zeppelin", &none)?;

    let host = stage.host().storage();
    let primary = stage.host().primary();
    say(format_args!(
        "  {:<28} {:<18} {:<18} {:<18}",
        "", "on the primary", "on the secondary", "through the host"
    ))?;
    for key in [FACT_OF_SECONDARY, CONFLICTING_FACT] {
        say(format_args!(
            "  {:<28} {:<18} {:<18} {:<18}",
            format!("fact {key}"),
            shown(primary.get_fact(&context, USER, key))?,
            shown(secondary.get_fact(&context, USER, key))?,
            shown(host.get_fact(&context, USER, key))?,
        ))?;
    }
    let fact = |key| {
        host.get_fact(&context, USER, key)
            .map(|value| value.into_option())
    };
    checks.check(
        "a fact that only the secondary has is read",
        fact(FACT_OF_SECONDARY)? == Some(Value::from("the secondary's")),
    )?;
    checks.check(
        "of a fact that both have, the primary's is read",
        fact(CONFLICTING_FACT)? == Some(Value::from("the primary's")),
    )?;
    let facts = host.list_facts(&context, USER)?;
    checks.check(
        "a list has each fact once, with the primary's value",
        facts.get(FACT_OF_SECONDARY) == Some(&Value::from("the secondary's"))
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
        "a search finds the document that only the secondary has, first",
        found
            .first()
            .is_some_and(|hit| hit.document.file_path == DOCUMENT_OF_SECONDARY),
    )?;
    checks.check(
        "and never the secondary's version of a document that the primary has",
        text_of(CONFLICTING_DOCUMENT).is_none_or(|text| text == document),
    )?;
    checks.check(
        "without a word of it in the primary's own answer",
        primary
            .get_fact(&context, USER, FACT_OF_SECONDARY)?
            .is_none(),
    )?;

    // The next write of a key mends the secondary's version of it.
    secondary.delete_fact(&context, USER, FACT_OF_SECONDARY)?;
    secondary.delete_document(&context, DOCUMENT_OF_SECONDARY)?;
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
    stage.wait_until_copied("copying two rows")?;
    let comparison = stage.compare()?;
    if !comparison.is_equal() {
        say(&comparison)?;
    }
    checks.check(
        "the next write mends the secondary: all rows are equal again",
        comparison.is_equal(),
    )
}

fn shown(fact: StorageResult<MaybeValue>) -> StorageResult<String> {
    fact.map(|value| value.map_or("-".to_owned(), |value| value.to_string()))
}
