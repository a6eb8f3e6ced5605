//! Facts: values under a user and a key.

use super::{parameters, updated};
use crate::{
    rows::Row,
    schema::{FACTS, identifier},
    storage::Call,
};
use plugin_api::{
    error::{ErrorKind, StorageResult},
    records::WriteReceipt,
    storage::{MaybeValue, Names},
    value::{Object, Value},
};

/// A fact exists even if its value is none, which is stored as null.
fn null_if_none(value: Value) -> Value {
    if value == Value::None {
        Value::Null
    } else {
        value
    }
}

impl Call {
    pub(crate) async fn save_fact(
        self,
        user_id: String,
        key: String,
        value: Value,
    ) -> StorageResult<WriteReceipt> {
        let row = parameters! { user_id: user_id, key: key, value: null_if_none(value) };
        self.upsert(&FACTS, vec![row]).await
    }

    pub(crate) async fn update_fact(
        self,
        user_id: String,
        key: String,
        value: Value,
    ) -> StorageResult<WriteReceipt> {
        let parameters =
            parameters! { user: user_id.as_str(), key: key.as_str(), value: null_if_none(value) };
        let answer = self
            .write(
                "UPDATE kv_memories
                 SET value = $value, created_at = created_at ?? time::now(), updated_at = time::now()
                 WHERE user_id = $user AND key = $key RETURN AFTER",
                parameters,
            )
            .await?;
        updated(answer, || format!("fact {key:?} of user {user_id:?}"))
    }

    pub(crate) async fn get_fact(self, user_id: String, key: String) -> StorageResult<MaybeValue> {
        let answer = self
            .ask(
                "SELECT id, value FROM kv_memories WHERE user_id = $user AND key = $key LIMIT 1",
                parameters! { user: user_id, key: key },
            )
            .await?;
        let value = Row::first(answer).map(|mut row| null_if_none(row.take("value")));
        Ok(value.into())
    }

    pub(crate) async fn delete_fact(self, user_id: String, key: String) -> StorageResult<()> {
        self.write(
            "DELETE kv_memories WHERE user_id = $user AND key = $key",
            parameters! { user: user_id, key: key },
        )
        .await
        .map(drop)
    }

    pub(crate) async fn list_facts(self, user_id: String) -> StorageResult<Object> {
        self.facts_of(&user_id).await
    }

    pub(crate) async fn facts_of(&self, user_id: &str) -> StorageResult<Object> {
        let answer = self
            .ask(
                "SELECT id, key, value FROM kv_memories WHERE user_id = $user",
                parameters! { user: user_id },
            )
            .await?;
        let facts = Row::all(answer).into_iter();
        Ok(facts
            .map(|mut row| (row.text("key"), null_if_none(row.take("value"))))
            .collect())
    }

    pub(crate) async fn list_fact_keys(self, user_id: String) -> StorageResult<Names> {
        let answer = self
            .ask(
                "SELECT VALUE key FROM kv_memories WHERE user_id = $user",
                parameters! { user: user_id },
            )
            .await?;
        Ok(sorted_texts(&answer))
    }

    pub(crate) async fn list_user_ids(self, table: String) -> StorageResult<Names> {
        let table = identifier("a table", &table)?;
        let statement = format!(
            "RETURN array::distinct(SELECT VALUE user_id FROM `{table}` WHERE type::is_string(user_id))"
        );
        absent_is_empty(self.ask(&statement, Object::new()).await)
            .map(|answer| sorted_texts(&answer))
    }
}

/// The texts of an answer, sorted and without duplicates.
pub(super) fn sorted_texts(answer: &Value) -> Names {
    let texts = answer.as_array().unwrap_or_default().iter();
    let sorted: std::collections::BTreeSet<&str> = texts.filter_map(Value::as_str).collect();
    sorted.into_iter().map(Into::into).collect()
}

/// A table that does not exist has no rows.
pub(super) fn absent_is_empty(answer: StorageResult<Value>) -> StorageResult<Value> {
    match answer {
        Err(error) if error.kind == ErrorKind::NOT_FOUND => Ok(Value::None),
        answer => answer,
    }
}
