//! Entities: by id, by name, and all of them.

use super::{
    QueryMerger, backend::Backend, fan_out::FanOut, methods::merged_reads, order,
    read_specs::ReadMethod,
};
use abi_stable::std_types::{ROption, RVec};
use plugin_api::{
    error::StorageResult,
    records::Entity,
    storage::{CallContext, Ids, MaybeEntity},
    value::{Object, RecordId, Value},
};
use std::time::Instant;
use surreal_storage::schema::ENTITIES;

merged_reads! {
    list list_entity_ids() -> Ids, order::id_text;
}

impl QueryMerger {
    /// See the contract.
    ///
    /// # Errors
    /// The primary's.
    pub fn get_entity(
        &self,
        context: &CallContext,
        id_or_name: &str,
    ) -> StorageResult<MaybeEntity> {
        let started = Instant::now();
        if let ROption::RSome(found) = self.primary().get_entity(context, id_or_name)? {
            self.not_needed(ReadMethod::get_entity);
            return Ok(ROption::RSome(found));
        }
        let mut fan_out = FanOut::new(self, ReadMethod::get_entity, context).since(started);
        Ok(self.secondary_entity(&mut fan_out, id_or_name)?.into())
    }

    /// The id of the entity that a merged read finds by its id or its name, where the
    /// primary has none.
    ///
    /// # Errors
    /// The primary's.
    pub(crate) fn entity_of_secondary(
        &self,
        context: &CallContext,
        id_or_name: &str,
    ) -> StorageResult<Option<RecordId>> {
        let started = Instant::now();
        if self.primary().get_entity(context, id_or_name)?.is_some() {
            return Ok(None);
        }
        let mut fan_out = FanOut::new(self, ReadMethod::get_entity, context).since(started);
        let found = self.secondary_entity(&mut fan_out, id_or_name)?;
        Ok(found.map(|entity| entity.id))
    }

    /// The entity that the primary has neither by id nor by name, from the
    /// secondaries: by id, or else by name.
    pub(super) fn secondary_entity(
        &self,
        fan_out: &mut FanOut<'_>,
        id_or_name: &str,
    ) -> StorageResult<Option<Entity>> {
        if fan_out.is_empty() {
            return Ok(None);
        }
        if let Some(id) = entity_id(id_or_name) {
            let by_id = self.entities(fan_out, vec![id])?;
            if let Some(entity) = by_id.into_iter().next() {
                return Ok(Some(entity));
            }
        }
        let name = id_or_name.to_owned();
        let by_name = self.list_secondaries(
            fan_out,
            order::entity,
            Some(1),
            move |backend, context, limit| {
                let sql = "SELECT * FROM entities WHERE name = $name ORDER BY id LIMIT $limit";
                let parameters = Object::new()
                    .with("name", name.as_str())
                    .with("limit", limit);
                select(backend, context, sql, &parameters, entity)
            },
        )?;
        Ok(by_name.into_iter().next())
    }

    /// The entities with these ids that any database has, in the order of their
    /// ids.
    pub(super) fn entities(
        &self,
        fan_out: &mut FanOut<'_>,
        ids: Vec<RecordId>,
    ) -> StorageResult<RVec<Entity>> {
        let parameters = Object::new().with("ids", ids.into_iter().collect::<Value>());
        self.list_on(fan_out, order::entity, None, move |backend, context, _| {
            select(backend, context, "SELECT * FROM $ids", &parameters, entity)
        })
    }
}

/// The record id that a text means, with the table (`entities:abc`) or without (`abc`).
fn entity_id(text: &str) -> Option<RecordId> {
    let id: RecordId = match text.parse() {
        Ok(id) => id,
        Err(_) => format!("{}:{text}", ENTITIES.name).parse().ok()?,
    };
    (id.table == ENTITIES.name).then_some(id)
}

/// The rows of a query of one statement, each parsed by `parse`; rows that it
/// does not understand are left out.
pub(super) fn select<T>(
    backend: &dyn Backend,
    context: &CallContext,
    sql: &str,
    parameters: &Object,
    parse: fn(&Object) -> Option<T>,
) -> StorageResult<RVec<T>> {
    let answer = backend.query(context, sql, parameters)?;
    Ok(answer
        .first_rows()
        .iter()
        .filter_map(|row| parse(row.as_object()?))
        .collect())
}

fn text(row: &Object, column: &str) -> Option<String> {
    row.get(column).and_then(Value::as_str).map(str::to_owned)
}

/// The object in a column; empty if it holds none.
pub(super) fn object(row: &Object, column: &str) -> Object {
    row.get(column)
        .and_then(Value::as_object)
        .cloned()
        .unwrap_or_default()
}

fn entity(row: &Object) -> Option<Entity> {
    let created_at = row.get("created_at").and_then(Value::as_datetime);
    Some(Entity {
        id: row.get("id")?.as_record_id()?.clone(),
        entity_type: text(row, "entity_type")
            .or_else(|| text(row, "type"))
            .unwrap_or_default()
            .into(),
        name: text(row, "name").unwrap_or_default().into(),
        properties: object(row, "properties"),
        created_at: created_at.unwrap_or_default(),
    })
}
