//! Entities and the relationships between them.

use super::parameters;
use crate::{
    rows::{Row, receipt, record_id},
    schema::{ENTITIES, relationships},
    storage::Call,
};
use abi_stable::std_types::RVec;
use plugin_api::{
    error::{StorageError, StorageResult},
    records::{Entity, WriteReceipt},
    storage::{Ids, MaybeEntity},
    value::{Object, RecordId, Value},
};
use std::time::Instant;

pub(super) fn entity(row: &Row) -> StorageResult<Entity> {
    let entity_type = row.optional_text("entity_type");
    Ok(Entity {
        id: row.id()?,
        // An older host wrote the type under another name.
        entity_type: entity_type.unwrap_or_else(|| row.text("type")),
        name: row.text("name"),
        properties: row.object("properties"),
        created_at: row.time("created_at"),
    })
}

/// The forms in which an edge may refer to an entity: normally the text of its
/// id, or the id itself.
pub(super) fn end_values<'a>(ids: impl IntoIterator<Item = &'a RecordId>) -> Value {
    ids.into_iter()
        .flat_map(|id| [Value::from(id.to_string()), Value::from(id.clone())])
        .collect()
}

const WANTS_AN_ID: &str = "delete_entity takes the id of an entity, as get_entity and create_entity return it, not a name";

impl Call {
    pub(crate) async fn create_entity(
        self,
        entity_type: String,
        name: String,
        properties: Object,
    ) -> StorageResult<WriteReceipt> {
        let row = parameters! { entity_type: entity_type, name: name, properties: properties };
        self.upsert(&ENTITIES, vec![row]).await
    }

    pub(crate) async fn create_relationship(
        self,
        from: String,
        to: String,
        relationship_type: String,
        properties: Object,
    ) -> StorageResult<WriteReceipt> {
        relationships::relationship_type(&relationship_type)?;
        let from = self.existing_entity(&from).await?;
        let to = self.existing_entity(&to).await?;
        self.define_relationship(&relationship_type).await?;
        let statement = format!(
            "CREATE `{relationship_type}` SET
                from_entity = $from, to_entity = $to, relationship_type = $type,
                properties = $properties, created_at = time::now()
             RETURN AFTER"
        );
        let parameters = parameters! {
            from: from.to_string(),
            to: to.to_string(),
            type: relationship_type,
            properties: properties,
        };
        receipt(self.write(&statement, parameters).await?)
    }

    async fn existing_entity(&self, id_or_name: &str) -> StorageResult<RecordId> {
        match self.find_entity(id_or_name).await? {
            Some(entity) => Ok(entity.id),
            None => Err(StorageError::not_found(format!(
                "there is no entity with the id or name {id_or_name:?}"
            ))),
        }
    }

    /// Creates the table of a type, once for each connection.
    async fn define_relationship(&self, name: &str) -> StorageResult<()> {
        if self.shared().relationships().lock().contains(name) {
            return Ok(());
        }
        let connection = self.connection().await?;
        let started = Instant::now();
        let result = relationships::define(&connection, name, self.time_left()?).await;
        self.drop_if_lost(&connection, started, result)?;
        self.shared().relationships().lock().insert(name.to_owned());
        Ok(())
    }

    pub(super) async fn relationship_types(&self) -> StorageResult<Vec<String>> {
        let connection = self.connection().await?;
        let started = Instant::now();
        let result = relationships::list(&connection, self.time_left()?).await;
        self.drop_if_lost(&connection, started, result)
    }

    pub(crate) async fn get_entity(self, id_or_name: String) -> StorageResult<MaybeEntity> {
        Ok(self.find_entity(&id_or_name).await?.into())
    }

    pub(super) async fn find_entity(&self, id_or_name: &str) -> StorageResult<Option<Entity>> {
        let by_id: Value = record_id(ENTITIES.name, id_or_name).into_iter().collect();
        let answer = self
            .ask(
                "RETURN (SELECT * FROM $by_id)[0]
                    ?? (SELECT * FROM entities WHERE name = $name ORDER BY id ASC LIMIT 1)[0]",
                parameters! { by_id: by_id, name: id_or_name },
            )
            .await?;
        Row::first(answer).as_ref().map(entity).transpose()
    }

    pub(crate) async fn delete_entity(self, id: String) -> StorageResult<()> {
        let record = record_id(ENTITIES.name, &id).map_err(|error| {
            StorageError::new(error.kind, format!("{}; {WANTS_AN_ID}", error.message))
        })?;
        let edges: String = self
            .relationship_types()
            .await?
            .iter()
            .map(|name| {
                format!("DELETE `{name}` WHERE from_entity IN $ends OR to_entity IN $ends;")
            })
            .collect();
        let ends = end_values([&record]);
        // Several entities may have a name, so none of them is deleted by it.
        let statement = format!(
            "{{
                LET $named = IF (SELECT VALUE id FROM $id)[0] = NONE {{
                    (SELECT VALUE id FROM entities WHERE name = $name ORDER BY id ASC LIMIT 1)[0]
                }};
                IF $named = NONE {{ DELETE $id; {edges} }};
                RETURN $named;
            }}"
        );
        let parameters = parameters! { id: record, ends: ends, name: id.as_str() };
        match self.write(&statement, parameters).await? {
            Value::RecordId(named) => Err(StorageError::invalid_input(format!(
                "{id:?} is the name of the entity {}; {WANTS_AN_ID}",
                *named
            ))),
            _ => Ok(()),
        }
    }

    pub(crate) async fn list_entity_ids(self) -> StorageResult<Ids> {
        let answer = self
            .ask("SELECT VALUE id FROM entities", Object::new())
            .await?;
        let ids = answer.as_array().unwrap_or_default().iter();
        let mut ids: Vec<(String, RecordId)> = ids
            .filter_map(Value::as_record_id)
            .map(|id| (id.to_string(), id.clone()))
            .collect();
        ids.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(ids.into_iter().map(|(_, id)| id).collect::<RVec<_>>())
    }
}
