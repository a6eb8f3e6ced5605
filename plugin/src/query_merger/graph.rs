//! The graph over the union: entities by name, and the walk.

use super::{QueryMerger, backend::Backend, fan_out::FanOut, order, row::MergeableRow};
use abi_stable::std_types::{ROption, RVec};
use plugin_api::{
    error::StorageResult,
    records::{Entity, GraphResult, Relationship},
    storage::{CallContext, GraphResults, MaybeEntity},
    value::{Object, RecordId, Value},
};
use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
    time::Instant,
};
use surreal_storage::schema::relationships;

const ENTITIES: &str = "entities";

/// All edges that leave some entities, over the tables that hold edges: those
/// that a relationship can name and whose rows have ends.
const EDGES: &str = "\
    RETURN (INFO FOR DB).tables.keys() \
        .filter(|$table| $table NOT IN $known \
            AND (!$only OR $table = $only) \
            AND (SELECT VALUE from_entity FROM type::table($table) LIMIT 1)[0] != NONE) \
        .map(|$table| (SELECT * FROM type::table($table) WHERE from_entity IN $from)) \
        .flatten()";

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
            return Ok(ROption::RSome(found));
        }
        let mut fan_out = FanOut::new(self, context).since(started);
        Ok(self.entity_beyond_primary(&mut fan_out, id_or_name)?.into())
    }

    /// The secondaries' entity of that id, or else of that name.
    fn entity_beyond_primary(
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
        let by_name = self.beyond_primary(
            fan_out,
            order::entity,
            Some(1),
            move |backend, context, limit| {
                let sql = "SELECT * FROM entities WHERE name = $name ORDER BY id LIMIT $limit";
                let parameters = Object::new()
                    .with("name", name.as_str())
                    .with("limit", limit);
                rows(backend, context, sql, &parameters, entity)
            },
        )?;
        Ok(by_name.into_iter().next())
    }

    /// The entities of these ids, as far as any side has them, sorted by id.
    fn entities(
        &self,
        fan_out: &mut FanOut<'_>,
        ids: Vec<RecordId>,
    ) -> StorageResult<RVec<Entity>> {
        let parameters = Object::new().with("ids", ids.into_iter().collect::<Value>());
        self.list_on(fan_out, order::entity, None, move |backend, context, _| {
            rows(backend, context, "SELECT * FROM $ids", &parameters, entity)
        })
    }

    /// See the contract.
    ///
    /// # Errors
    /// The primary's.
    pub fn traverse_graph(
        &self,
        context: &CallContext,
        start: &str,
        relationship_type: &str,
        depth: u32,
    ) -> StorageResult<GraphResults> {
        let mut fan_out = FanOut::new(self, context);
        if fan_out.is_empty() {
            return self
                .primary()
                .traverse_graph(context, start, relationship_type, depth);
        }
        if !relationship_type.is_empty() {
            relationships::relationship_type(relationship_type)?;
        }
        // A secondary that drops out on the way has left its mark on the steps
        // before: the walk is repeated without it.
        loop {
            let participants = fan_out.ranks();
            let found = self.walk(&mut fan_out, start, relationship_type, depth)?;
            if fan_out.ranks() == participants {
                return Ok(found);
            }
        }
    }

    fn walk(
        &self,
        fan_out: &mut FanOut<'_>,
        start: &str,
        relationship_type: &str,
        depth: u32,
    ) -> StorageResult<GraphResults> {
        let start = match self.primary().get_entity(&fan_out.context(), start)? {
            ROption::RSome(entity) => Some(entity),
            ROption::RNone => self.entity_beyond_primary(fan_out, start)?,
        };
        let Some(start) = start else {
            return Ok(RVec::new());
        };
        let mut seen = HashSet::from([start.id.to_string()]);
        let mut results = vec![GraphResult {
            path: [start.id.clone()].into_iter().collect(),
            entity: start,
            relationship: ROption::RNone,
            depth: 0,
        }];
        let mut reached = 0;
        for depth in 1..=depth {
            let frontier = reached..results.len();
            reached = frontier.end;
            let sources: Vec<RecordId> = results[frontier.clone()]
                .iter()
                .map(|result| result.entity.id.clone())
                .collect();
            if sources.is_empty() {
                break;
            }
            let mut leaving: HashMap<String, Vec<Relationship>> = HashMap::new();
            for edge in self.edges(fan_out, &sources, relationship_type)? {
                if !seen.contains(&edge.to.to_string()) {
                    leaving.entry(edge.from.to_string()).or_default().push(edge);
                }
            }
            let targets: HashMap<String, RecordId> = leaving
                .values()
                .flatten()
                .map(|edge| (edge.to.to_string(), edge.to.clone()))
                .collect();
            if targets.is_empty() {
                break;
            }
            let entities = self.entities(fan_out, targets.into_values().collect())?;
            let mut entities: HashMap<String, Entity> = entities
                .into_iter()
                .map(|entity| (entity.id.to_string(), entity))
                .collect();
            // In the order in which their sources were reached.
            for from in frontier {
                let source = &results[from];
                let path = source.path.clone();
                for edge in leaving
                    .remove(&source.entity.id.to_string())
                    .unwrap_or_default()
                {
                    // Each entity once; an edge that leads nowhere is skipped.
                    let Some(entity) = entities.remove(&edge.to.to_string()) else {
                        continue;
                    };
                    seen.insert(entity.id.to_string());
                    let mut path = path.clone();
                    path.push(entity.id.clone());
                    results.push(GraphResult {
                        entity,
                        relationship: ROption::RSome(edge),
                        path,
                        depth,
                    });
                }
            }
        }
        Ok(results.into())
    }

    /// The edges that leave these entities, sorted by id.
    fn edges(
        &self,
        fan_out: &mut FanOut<'_>,
        from: &[RecordId],
        relationship_type: &str,
    ) -> StorageResult<RVec<Relationship>> {
        let known: Value = relationships::taken_names().collect();
        // An edge may name its ends by text or by record id.
        let from: Value = from
            .iter()
            .flat_map(|id| [Value::from(id.to_string()), Value::from(id.clone())])
            .collect();
        let parameters = Object::new()
            .with("known", known)
            .with("only", relationship_type)
            .with("from", from);
        self.list_on(fan_out, order::edge, None, move |backend, context, _| {
            rows(backend, context, EDGES, &parameters, relationship)
        })
    }
}

/// The id that a text names, with the table (`entities:abc`) or without (`abc`).
fn entity_id(text: &str) -> Option<RecordId> {
    let id: RecordId = match text.parse() {
        Ok(id) => id,
        Err(_) => format!("{ENTITIES}:{text}").parse().ok()?,
    };
    (id.table == ENTITIES).then_some(id)
}

/// The rows that a query of one statement gives, read with `read`; what it does
/// not understand is left out.
fn rows<T>(
    backend: &dyn Backend,
    context: &CallContext,
    sql: &str,
    parameters: &Object,
    read: fn(&Object) -> Option<T>,
) -> StorageResult<RVec<T>> {
    let answer = backend.query(context, sql, parameters)?;
    Ok(answer
        .first_rows()
        .iter()
        .filter_map(|row| read(row.as_object()?))
        .collect())
}

fn text(row: &Object, column: &str) -> Option<String> {
    row.get(column).and_then(Value::as_str).map(str::to_owned)
}

fn object(row: &Object, column: &str) -> Object {
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

fn relationship(row: &Object) -> Option<Relationship> {
    let end = |column| match row.get(column)? {
        Value::RecordId(id) => Some((**id).clone()),
        Value::String(text) => text.parse().ok(),
        _ => None,
    };
    let id = row.get("id")?.as_record_id()?.clone();
    let created_at = row.get("created_at").and_then(Value::as_datetime);
    Some(Relationship {
        from: end("from_entity")?,
        to: end("to_entity")?,
        relationship_type: id.table.clone(),
        properties: object(row, "properties"),
        created_at: created_at.unwrap_or_default(),
        id,
    })
}

impl MergeableRow for Relationship {
    fn table(&self) -> &str {
        &self.id.table
    }

    fn id(&self) -> Option<&RecordId> {
        Some(&self.id)
    }

    fn columns(&self) -> Cow<'_, Object> {
        let columns = Object::new()
            .with("from_entity", self.from.to_string())
            .with("to_entity", self.to.to_string());
        Cow::Owned(columns)
    }
}
