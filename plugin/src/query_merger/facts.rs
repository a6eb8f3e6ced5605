//! Facts: a user's keys and values.

use super::{
    QueryMerger,
    backend::Backend,
    fan_out::{FanOut, Rank, Request},
    order,
    read_specs::ReadMethod,
    row::{PartialRow, column_texts},
};
use abi_stable::std_types::{RString, RVec};
use plugin_api::{
    error::StorageResult,
    storage::{CallContext, MaybeValue, Names},
    value::{Object, Value},
};
use std::collections::BTreeMap;
use surreal_storage::{
    schema,
    table_scan::{MAX_ROW_BYTES, Measured, PAGE_BYTES, read_measured, that_fit, why_unreadable},
};

/// How many facts' values are read at first, before their sizes are known.
const FIRST_VALUES: usize = 4;

/// The most facts whose values are read at once.
const MOST_VALUES: usize = 1000;

/// The values of the facts with the keys `$keys`, each a user and a key: for each an
/// object with a list of one, or of none. A lookup for each: one condition for all
/// keys would read every fact of the user.
const VALUES: &str = "$keys.map(|$k| { found: (SELECT VALUE value FROM kv_memories \
     WHERE user_id = $k[0] AND key = $k[1] LIMIT 1) })";

/// A fact as a row. The value may be left out.
fn fact(user_id: &str, key: &str, value: Value) -> PartialRow {
    let columns = Object::new()
        .with("user_id", user_id)
        .with("key", key)
        .with("value", value);
    PartialRow::new(schema::FACTS.name, columns)
}

fn value_of(fact: &PartialRow) -> &Value {
    fact.columns.get("value").unwrap_or(&Value::None)
}

/// The facts of a user without their values.
fn keys(
    backend: &dyn Backend,
    context: &CallContext,
    user_id: &str,
) -> StorageResult<RVec<PartialRow>> {
    let keys = backend.list_fact_keys(context, user_id)?;
    let keys = keys.iter().map(|key| fact(user_id, key, Value::None));
    Ok(keys.collect())
}

/// The values of facts that only secondaries have, each of the first that has it, in
/// answers of a bounded number of bytes. What is too large to be read is left out,
/// with a warning.
fn values_of_secondaries(
    fan_out: &mut FanOut<'_>,
    user_id: &str,
    mut missing: Vec<RString>,
) -> BTreeMap<RString, Value> {
    let mut values = BTreeMap::new();
    for rank in fan_out.ranks() {
        missing.retain(|key| !values.contains_key(key));
        let (mut rest, mut at_once) = (&*missing, FIRST_VALUES);
        while !rest.is_empty() {
            let part = &rest[..at_once.min(rest.len())];
            match read_values(fan_out, rank, user_id, part) {
                // It dropped out.
                None => break,
                Some(Measured::Values(found, bytes)) => {
                    let found = part.iter().zip(found);
                    values.extend(found.filter_map(|(key, found)| {
                        let found = found.as_object()?.get("found")?.as_array()?.first()?;
                        let value = match found {
                            // A fact exists even if its value is none.
                            Value::None => Value::Null,
                            value => value.clone(),
                        };
                        Some((key.clone(), value))
                    }));
                    rest = &rest[part.len()..];
                    if bytes * 8 < PAGE_BYTES {
                        at_once = (at_once * 4).min(MOST_VALUES);
                    }
                }
                Some(Measured::TooMany(sizes)) if part.len() == 1 => {
                    let mut reason = String::new();
                    let what = format!("the fact {:?} of the user {user_id:?}", part[0].as_str());
                    // Writing to a string cannot fail.
                    let _ = why_unreadable(&mut reason, &what, sizes.first().copied());
                    tracing::warn!(
                        table = schema::FACTS.name,
                        reason,
                        "a merged read leaves out a fact that only a secondary has"
                    );
                    rest = &rest[1..];
                }
                Some(Measured::TooMany(sizes)) => at_once = that_fit(&sizes, PAGE_BYTES),
            }
        }
    }
    values
}

/// What [`VALUES`] gives for these keys on one secondary; none if it drops out.
fn read_values(
    fan_out: &mut FanOut<'_>,
    rank: Rank,
    user_id: &str,
    keys: &[RString],
) -> Option<Measured> {
    let budget = match keys {
        [_] => MAX_ROW_BYTES,
        _ => PAGE_BYTES,
    };
    let key = |key: &RString| Value::from(vec![Value::from(user_id), key.clone().into()]);
    let keys: Value = keys.iter().map(key).collect();
    let parameters = Object::new().with("keys", keys);
    let request: Request<Measured> = Box::new(move |backend, context| {
        read_measured(backend, context, VALUES, &parameters, budget)
    });
    let in_flight = fan_out.send([(rank, request)]);
    fan_out.collect(in_flight).remove(&rank)
}

impl QueryMerger {
    /// See the contract.
    ///
    /// # Errors
    /// The primary's.
    pub fn get_fact(
        &self,
        context: &CallContext,
        user_id: &str,
        key: &str,
    ) -> StorageResult<MaybeValue> {
        let (user_id, key) = (user_id.to_owned(), key.to_owned());
        let found = self.point(
            ReadMethod::get_fact,
            context,
            move |backend: &dyn Backend, context: &CallContext| {
                let value = backend.get_fact(context, &user_id, &key)?.into_option();
                Ok(value.map(|value| fact(&user_id, &key, value)))
            },
        )?;
        Ok(found
            .and_then(|mut fact| fact.columns.remove("value"))
            .into())
    }

    /// See the contract.
    ///
    /// # Errors
    /// The primary's.
    pub fn list_facts(&self, context: &CallContext, user_id: &str) -> StorageResult<Object> {
        let mut fan_out = FanOut::new(self, ReadMethod::list_facts, context);
        let facts = {
            let (user, other) = (user_id.to_owned(), user_id.to_owned());
            // A secondary is asked for the values only that the primary has not got.
            self.list_with(
                &mut fan_out,
                order::fact,
                None,
                move |backend, context, _| {
                    let facts = backend.list_facts(context, &user)?.into_iter();
                    Ok(facts.map(|(key, value)| fact(&user, &key, value)).collect())
                },
                move |backend, context, _| keys(backend, context, &other),
            )?
        };
        let has_no_value = |fact: &&PartialRow| value_of(fact) == &Value::None;
        let missing = facts.iter().filter(has_no_value);
        let missing: Vec<RString> = missing.map(|fact| fact.text("key").into()).collect();
        let mut values = values_of_secondaries(&mut fan_out, user_id, missing);
        let facts = facts.into_iter().filter_map(|mut fact| {
            let key = RString::from(fact.text("key"));
            let value = match fact.columns.remove("value").unwrap_or_default() {
                Value::None => values.remove(&key)?,
                value => value,
            };
            Some((key, value))
        });
        Ok(facts.collect())
    }

    /// See the contract.
    ///
    /// # Errors
    /// The primary's.
    pub fn list_fact_keys(&self, context: &CallContext, user_id: &str) -> StorageResult<Names> {
        let user_id = user_id.to_owned();
        let facts = self.list(
            ReadMethod::list_fact_keys,
            context,
            order::fact,
            None,
            move |backend, context, _| keys(backend, context, &user_id),
        )?;
        Ok(column_texts(&facts, "key"))
    }
}
