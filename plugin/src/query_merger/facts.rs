//! Facts: a user's keys and values.

use super::{
    QueryMerger,
    backend::Backend,
    order,
    read_specs::ReadMethod,
    row::{PartialRow, column_texts},
};
use abi_stable::std_types::RString;
use plugin_api::{
    error::StorageResult,
    storage::{CallContext, MaybeValue, Names},
    value::{Object, Value},
};
use surreal_storage::schema;

/// A fact as a row. The value may be left out.
fn fact(user_id: &str, key: &str, value: Value) -> PartialRow {
    let columns = Object::new()
        .with("user_id", user_id)
        .with("key", key)
        .with("value", value);
    PartialRow::new(schema::FACTS.name, columns)
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
        let user_id = user_id.to_owned();
        let facts = self.list(
            ReadMethod::list_facts,
            context,
            order::fact,
            None,
            move |backend, context, _| {
                let facts = backend.list_facts(context, &user_id)?.into_iter();
                Ok(facts
                    .map(|(key, value)| fact(&user_id, &key, value))
                    .collect())
            },
        )?;
        Ok(facts
            .into_iter()
            .map(|mut fact| {
                let value = fact.columns.remove("value").unwrap_or_default();
                (RString::from(fact.text("key")), value)
            })
            .collect())
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
            move |backend, context, _| {
                let keys = backend.list_fact_keys(context, &user_id)?;
                Ok(keys
                    .iter()
                    .map(|key| fact(&user_id, key, Value::None))
                    .collect())
            },
        )?;
        Ok(column_texts(&facts, "key"))
    }
}
