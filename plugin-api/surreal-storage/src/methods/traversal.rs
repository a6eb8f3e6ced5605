//! Traversal of the graph.

use super::{
    graph::{end_values, entity},
    parameters,
};
use crate::{rows::Row, schema::relationships, storage::Call};
use abi_stable::std_types::{ROption, RVec};
use plugin_api::{
    error::StorageResult,
    records::{Entity, GraphResult, Relationship},
    storage::GraphResults,
    value::{RecordId, Value},
};
use std::collections::{HashMap, HashSet};

fn relationship(row: &Row, table: &str) -> StorageResult<Option<Relationship>> {
    let (Some(from), Some(to)) = (row.reference("from_entity"), row.reference("to_entity")) else {
        return Ok(None);
    };
    let named = row.optional_text("relationship_type");
    Ok(Some(Relationship {
        id: row.id()?,
        from,
        to,
        relationship_type: named.unwrap_or_else(|| table.into()),
        properties: row.object("properties"),
        created_at: row.time("created_at"),
    }))
}

impl Call {
    /// Among entities at the same depth, those reached from an earlier entity
    /// come first, then those over an edge whose type, then whose id, is
    /// smaller.
    pub(crate) async fn traverse_graph(
        self,
        start: String,
        relationship_type: String,
        depth: u32,
    ) -> StorageResult<GraphResults> {
        self.traverse(&start, &relationship_type, depth).await
    }

    pub(super) async fn traverse(
        &self,
        start: &str,
        relationship_type: &str,
        depth: u32,
    ) -> StorageResult<GraphResults> {
        if !relationship_type.is_empty() {
            relationships::relationship_type(relationship_type)?;
        }
        let Some(start) = self.find_entity(start).await? else {
            return Ok(RVec::new());
        };
        let mut types = if depth == 0 {
            Vec::new()
        } else {
            self.relationship_types().await?
        };
        if !relationship_type.is_empty() {
            types.retain(|name| name == relationship_type);
        }
        let mut seen = HashSet::from([start.id.to_string()]);
        let mut results = vec![GraphResult {
            path: vec![start.id.clone()].into(),
            entity: start,
            relationship: ROption::RNone,
            depth: 0,
        }];
        let mut level = 0..1;
        for depth in 1..=depth {
            if types.is_empty() || level.is_empty() {
                break;
            }
            let ids = results[level.clone()]
                .iter()
                .map(|result| &result.entity.id);
            let edges = self.edges_from(ids, &types).await?;
            let mut entities = self.entities_behind(&edges).await?;
            let mut edges_of: HashMap<String, Vec<Relationship>> = HashMap::new();
            for edge in edges {
                edges_of
                    .entry(edge.from.to_string())
                    .or_default()
                    .push(edge);
            }
            let next = results.len();
            for position in level {
                let from = results[position].entity.id.to_string();
                for edge in edges_of.remove(&from).unwrap_or_default() {
                    let to = edge.to.to_string();
                    // An edge may have outlived its entity.
                    let Some(entity) = entities.remove(&to) else {
                        continue;
                    };
                    if !seen.insert(to) {
                        continue;
                    }
                    let mut path = results[position].path.clone();
                    path.push(entity.id.clone());
                    results.push(GraphResult {
                        entity,
                        relationship: ROption::RSome(edge),
                        path,
                        depth,
                    });
                }
            }
            level = next..results.len();
        }
        Ok(results.into())
    }

    /// The edges of these types that lead from these entities, by type and id.
    async fn edges_from(
        &self,
        ids: impl Iterator<Item = &RecordId>,
        types: &[String],
    ) -> StorageResult<Vec<Relationship>> {
        let statements: String = types
            .iter()
            .map(|name| {
                format!("SELECT * FROM `{name}` WHERE from_entity IN $ends ORDER BY id ASC;")
            })
            .collect();
        let answers = self
            .ask_all(&statements, parameters! { ends: end_values(ids) })
            .await?;
        let mut edges = Vec::new();
        for (name, answer) in types.iter().zip(answers) {
            for row in Row::all(answer) {
                edges.extend(relationship(&row, name)?);
            }
        }
        Ok(edges)
    }

    /// The entities that edges lead to, by the text of their ids.
    async fn entities_behind(
        &self,
        edges: &[Relationship],
    ) -> StorageResult<HashMap<String, Entity>> {
        let ids: Value = edges.iter().map(|edge| edge.to.clone()).collect();
        let answer = self
            .ask(
                "SELECT * FROM array::distinct($ids)",
                parameters! { ids: ids },
            )
            .await?;
        let rows = Row::all(answer);
        let entities = rows.iter().map(|row| {
            let entity = entity(row)?;
            Ok((entity.id.to_string(), entity))
        });
        entities.collect()
    }
}
