//! Comparing positions with a secondary that has just connected.

use super::{replicator::Replicator, statement::position_value};
use crate::{
    connection::Session,
    sync_queue::{EVERY_TABLE, PARTITIONS, Position, QueueError},
};
use plugin_api::{
    error::{StorageError, StorageResult},
    value::{Object, Value},
};
use std::collections::BTreeMap;
use surreal_storage::schema::POSITION_TABLE;

impl Replicator {
    /// Asks the secondary how far it has come. The same as the log says, as a
    /// rule. If it never heard of this log it is new, or it was emptied; if the
    /// log knows nothing of having bootstrapped it, it went by another name, or was not
    /// configured for a while; if it is behind what it had acknowledged, it was
    /// set back; if it is ahead of the log's end, the log has lost its end. All
    /// these end in a resync.
    pub(super) async fn reconcile(&self, session: &Session) -> StorageResult<()> {
        let queue = &self.queue;
        let name = self.name();
        let sql = format!(
            "DEFINE TABLE IF NOT EXISTS {POSITION_TABLE} SCHEMALESS;\n\
             SELECT partition, position FROM $rows;"
        );
        // By their ids: the table has the rows of former logs too.
        let rows = (0..PARTITIONS).map(|partition| self.source(partition).position_row());
        let parameters = Object::new().with("rows", rows.collect::<Value>());
        // Before it is asked: a worker of the former session may be at work, and
        // what it acknowledges now the answer need not have.
        let acked = queue.acked(name);
        let results = session
            .connection
            .query(&sql, parameters, self.config.operation_timeout)
            .await?;
        let reached = positions(results.last());

        let is_bootstrapped = queue.is_bootstrapped(name).map_err(log_failure)?;
        let reason = if reached.is_empty() {
            if is_bootstrapped {
                Some("the secondary was emptied")
            } else {
                self.config.initial_sync.then_some("initial sync")
            }
        } else if !is_bootstrapped {
            // What it had yet to get was kept under its former name, and is gone.
            Some("the secondary is back, or has another name")
        } else if (0..PARTITIONS).any(|partition| {
            let reached = reached.get(&partition).copied().unwrap_or_default();
            reached < acked[usize::from(partition)].position
        }) {
            Some("the secondary was set back")
        } else if queue.is_ahead_of_log(&reached) {
            Some("the log has lost its end")
        } else {
            None
        };
        if let Some(reason) = reason {
            tracing::info!(secondary = %name, %reason, "its tables are compared with the primary");
            queue.request_resync(name, EVERY_TABLE, reason);
        }
        for (&partition, &position) in &reached {
            queue.raise_tail(partition, position);
        }
        self.raise_positions(session, &reached).await?;
        queue.set_bootstrapped(name).map_err(log_failure)
    }

    /// Has the secondary know every position that the log takes for granted,
    /// so that falling behind one of them means something.
    async fn raise_positions(
        &self,
        session: &Session,
        reached: &BTreeMap<u16, Position>,
    ) -> StorageResult<()> {
        let rows: Value = self
            .queue
            .acked(self.name())
            .iter()
            .zip(0u16..)
            .filter(|(acked, partition)| {
                reached.get(partition).is_none_or(|at| *at < acked.position)
            })
            .map(|(acked, partition)| {
                let source = self.source(partition);
                Object::new()
                    .with("id", source.position_row())
                    .with("queue", source.queue)
                    .with("partition", i64::from(partition))
                    .with("position", position_value(acked.position))
            })
            .collect();
        let parameters = Object::new().with("rows", rows);
        session
            .connection
            .query(RAISE, parameters, self.config.operation_timeout)
            .await
            .map(drop)
    }
}

/// Moves positions forward, in one transaction, and never back: the secondary
/// may have come further since it was asked.
const RAISE: &str = "\
    BEGIN;\n\
    FOR $row IN $rows {\n\
    LET $reached = (SELECT VALUE position FROM ONLY $row.id) ?? -1;\n\
    IF $reached < $row.position { UPSERT $row.id CONTENT $row RETURN NONE; };\n\
    };\n\
    COMMIT;";

/// The positions in the rows of the position table, by partition.
fn positions(rows: Option<&Value>) -> BTreeMap<u16, Position> {
    rows.and_then(Value::as_array)
        .unwrap_or_default()
        .iter()
        .filter_map(|row| {
            let row = row.as_object()?;
            let partition = u16::try_from(row.get("partition")?.as_int()?).ok()?;
            let position = u64::try_from(row.get("position")?.as_int()?).ok()?;
            Some((partition, Position(position)))
        })
        .collect()
}

pub(super) fn log_failure(error: QueueError) -> StorageError {
    StorageError::internal(error.to_string())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::{sync_executor::statement::LogPartition, test_server};
    use plugin_api::storage::{CallContext, Storage as _};

    #[test]
    fn a_position_is_raised_and_never_set_back() {
        let server = test_server::start();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let storage = test_server::database(&server, runtime.handle());
        let context = CallContext::new();
        let ask = |sql: &str, parameters| storage.query(&context, sql, &parameters).unwrap();
        let define = format!("DEFINE TABLE {POSITION_TABLE} SCHEMALESS");
        ask(&define, Object::new());
        let raise = |to: [u64; 2]| {
            let row = |(partition, to)| {
                let source = LogPartition {
                    queue: "log",
                    partition,
                };
                Object::new()
                    .with("id", source.position_row())
                    .with("partition", i64::from(partition))
                    .with("position", position_value(Position(to)))
            };
            let rows: Value = (0..).zip(to).map(row).collect();
            ask(RAISE, Object::new().with("rows", rows));
            let sql = format!("SELECT partition, position FROM {POSITION_TABLE}");
            let rows = ask(&sql, Object::new());
            let reached = positions(Some(&rows.first_rows().to_vec().into_iter().collect()));
            reached.into_values().map(|at| at.0).collect::<Vec<_>>()
        };
        assert_eq!(raise([0, 5]), [0, 5], "new ones");
        assert_eq!(raise([7, 3]), [7, 5]);
    }
}
