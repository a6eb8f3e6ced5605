//! The traversal of the graph that all databases form together.

use super::{
    QueryMerger,
    entities::{object, select},
    fan_out::FanOut,
    order,
    read_specs::ReadMethod,
    row::MergeableRow,
};
use abi_stable::std_types::{ROption, RVec};
use plugin_api::{
    error::StorageResult,
    records::{Entity, GraphResult, Relationship},
    storage::{CallContext, GraphResults},
    value::{Object, RecordId, Value},
};
use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
    ops::Range,
};
use surreal_storage::schema::relationships;

/// The tables that hold edges: those that a relationship type can name and that
/// this crate's storage has made, or that have a row with ends, whatever their
/// other rows are. `$only` is one type, or empty for all.
macro_rules! relationship_tables {
    () => {
        "(INFO FOR DB STRUCTURE).tables.filter(|$table| $table.name NOT IN $known \
            AND (!$only OR $table.name = $only) \
            AND ($table.comment = 'relationship' \
                OR (SELECT VALUE id FROM type::table($table.name) \
                    WHERE from_entity != NONE AND from_entity != NULL \
                    AND to_entity != NONE AND to_entity != NULL LIMIT 1)[0] != NONE)\
            ).map(|$table| $table.name)"
    };
}

/// The names of these tables.
pub(super) const RELATIONSHIP_TABLES: &str = concat!("RETURN ", relationship_tables!());

/// All edges that leave the entities `$from`.
const EDGES: &str = concat!(
    "RETURN ",
    relationship_tables!(),
    ".map(|$table| (SELECT * FROM type::table($table) WHERE from_entity IN $from)).flatten()"
);

/// The parameters of [`RELATIONSHIP_TABLES`].
pub(super) fn relationship_parameters(relationship_type: &str) -> Object {
    let known: Value = relationships::taken_names().collect();
    Object::new()
        .with("known", known)
        .with("only", relationship_type)
}

impl QueryMerger {
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
        let mut fan_out = FanOut::new(self, ReadMethod::traverse_graph, context);
        if fan_out.is_empty() {
            return self
                .primary()
                .traverse_graph(context, start, relationship_type, depth);
        }
        if !relationship_type.is_empty() {
            relationships::relationship_type(relationship_type)?;
        }
        // The steps before a secondary drops out contain its rows: the traversal
        // is repeated without it.
        loop {
            let participants = fan_out.ranks();
            let found = self.traverse(&mut fan_out, start, relationship_type, depth)?;
            if fan_out.ranks() == participants {
                return Ok(found);
            }
        }
    }

    fn traverse(
        &self,
        fan_out: &mut FanOut<'_>,
        start: &str,
        relationship_type: &str,
        max_depth: u32,
    ) -> StorageResult<GraphResults> {
        let start = match self.primary().get_entity(&fan_out.context(), start)? {
            ROption::RSome(entity) => Some(entity),
            ROption::RNone => self.secondary_entity(fan_out, start)?,
        };
        let Some(start) = start else {
            return Ok(RVec::new());
        };
        let mut traversal = Traversal::from(start);
        for depth in 1..=max_depth {
            let frontier = traversal.next_frontier();
            if frontier.is_empty() {
                break;
            }
            let sources = traversal.ids(frontier.clone());
            let edges = self.edges(fan_out, &sources, relationship_type)?;
            let edges = traversal.unvisited(edges);
            if edges.is_empty() {
                break;
            }
            let targets: HashMap<String, RecordId> = edges
                .iter()
                .map(|edge| (edge.to.to_string(), edge.to.clone()))
                .collect();
            let entities = self.entities(fan_out, targets.into_values().collect())?;
            traversal.visit(frontier, edges, entities, depth);
        }
        Ok(traversal.results.into())
    }

    /// The edges that leave these entities, in the order of their ids.
    fn edges(
        &self,
        fan_out: &mut FanOut<'_>,
        from: &[RecordId],
        relationship_type: &str,
    ) -> StorageResult<RVec<Relationship>> {
        // An edge holds its ends as text or as record ids.
        let from: Value = from
            .iter()
            .flat_map(|id| [Value::from(id.to_string()), Value::from(id.clone())])
            .collect();
        let parameters = relationship_parameters(relationship_type).with("from", from);
        self.list_on(fan_out, order::edge, None, move |backend, context, _| {
            select(backend, context, EDGES, &parameters, relationship)
        })
    }
}

/// A breadth-first traversal: the entities visited so far, in order.
struct Traversal {
    results: Vec<GraphResult>,
    visited: HashSet<String>,
    /// How many of the results were a frontier already.
    expanded: usize,
}

impl Traversal {
    fn from(start: Entity) -> Self {
        Self {
            visited: HashSet::from([start.id.to_string()]),
            results: vec![GraphResult {
                path: [start.id.clone()].into_iter().collect(),
                entity: start,
                relationship: ROption::RNone,
                depth: 0,
            }],
            expanded: 0,
        }
    }

    /// The results of the last step.
    fn next_frontier(&mut self) -> Range<usize> {
        let frontier = self.expanded..self.results.len();
        self.expanded = frontier.end;
        frontier
    }

    fn ids(&self, results: Range<usize>) -> Vec<RecordId> {
        let results = self.results[results].iter();
        results.map(|result| result.entity.id.clone()).collect()
    }

    /// The edges that lead to entities that were not visited.
    fn unvisited(&self, edges: RVec<Relationship>) -> Vec<Relationship> {
        let edges = edges.into_iter();
        edges
            .filter(|edge| !self.visited.contains(&edge.to.to_string()))
            .collect()
    }

    /// Visits the entities that the edges lead to, each once, in the order in
    /// which the edges' sources were visited. An edge to an entity that does not
    /// exist is skipped.
    fn visit(
        &mut self,
        frontier: Range<usize>,
        edges: Vec<Relationship>,
        entities: RVec<Entity>,
        depth: u32,
    ) {
        let mut leaving: HashMap<String, Vec<Relationship>> = HashMap::new();
        for edge in edges {
            leaving.entry(edge.from.to_string()).or_default().push(edge);
        }
        let mut entities: HashMap<String, Entity> = entities
            .into_iter()
            .map(|entity| (entity.id.to_string(), entity))
            .collect();
        for source in frontier {
            let source = &self.results[source];
            let path = source.path.clone();
            let edges = leaving.remove(&source.entity.id.to_string());
            for edge in edges.unwrap_or_default() {
                let Some(entity) = entities.remove(&edge.to.to_string()) else {
                    continue;
                };
                self.visited.insert(entity.id.to_string());
                let mut path = path.clone();
                path.push(entity.id.clone());
                self.results.push(GraphResult {
                    entity,
                    relationship: ROption::RSome(edge),
                    path,
                    depth,
                });
            }
        }
    }
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
