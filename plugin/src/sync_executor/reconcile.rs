//! [`reconcile`]: compares the replication positions of a secondary that has
//! just connected with the log.

use super::{context::Context, statement::position_value};
use crate::{
    connection::Session,
    error_policy::{Call, Failure},
    sync_queue::{EVERY_TABLE, PARTITIONS, Position, QueueError, Watermark},
};
use plugin_api::{
    error::StorageResult,
    value::{Object, Value},
};
use std::collections::BTreeMap;
use surreal_storage::schema::POSITION_TABLE;

/// The positions of a secondary, by partition.
type Positions = BTreeMap<u16, Position>;

/// Reads the positions that the secondary has applied, and requests a resync if
/// they do not fit the log ([`resync_reason`]). Afterwards both agree on every
/// position.
///
/// # Errors
/// Those of the secondary and of the log.
pub(super) async fn reconcile(context: &Context, session: &Session) -> Result<(), Failure> {
    let of_secondary = |error| Failure::of(Call::Apply, error);
    let queue = &context.queue;
    let secondary = context.name();
    // Before the secondary is asked: a worker of the former session may still
    // be at work, and the answer need not have what it acknowledges now.
    let acked = queue.acked(secondary);
    let applied = read_positions(context, session)
        .await
        .map_err(of_secondary)?;
    if let Some(reason) = resync_reason(context, &applied, &acked)? {
        tracing::info!(
            secondary,
            reason,
            "the secondary is resynced from the primary"
        );
        queue.request_resync(secondary, EVERY_TABLE, reason);
    }
    for (&partition, &position) in &applied {
        queue.raise_end(partition, position);
    }
    raise_positions(context, session, &applied)
        .await
        .map_err(of_secondary)?;
    Ok(queue.set_bootstrapped(secondary)?)
}

/// Why the secondary has to be resynced; none if it fits the log.
fn resync_reason(
    context: &Context,
    applied: &Positions,
    acked: &[Watermark],
) -> Result<Option<&'static str>, QueueError> {
    let queue = &context.queue;
    let is_bootstrapped = queue.is_bootstrapped(context.name())?;
    let is_behind = || {
        (0..PARTITIONS).any(|partition| {
            let applied = applied.get(&partition).copied().unwrap_or_default();
            applied < acked[usize::from(partition)].position
        })
    };
    Ok(match (applied.is_empty(), is_bootstrapped) {
        (true, true) => {
            Some("the secondary has lost its replication positions (emptied or recreated)")
        }
        (true, false) => context.config.initial_sync.then_some("initial sync"),
        // Its backlog was kept under its former name, and is gone.
        (false, false) => Some("the secondary was renamed, or was not configured for a while"),
        (false, true) if is_behind() => {
            Some("the secondary is behind its acknowledged position (rolled back or restored)")
        }
        (false, true) if queue.is_ahead_of_log(applied) => {
            Some("the secondary is ahead of the log (the log has lost its latest entries)")
        }
        (false, true) => None,
    })
}

async fn read_positions(context: &Context, session: &Session) -> StorageResult<Positions> {
    let sql = format!(
        "DEFINE TABLE IF NOT EXISTS {POSITION_TABLE} SCHEMALESS;\n\
         SELECT partition, position FROM $rows;"
    );
    // By their ids: the table has the rows of former logs too.
    let rows = (0..PARTITIONS).map(|partition| context.partition(partition).position_row());
    let parameters = Object::new().with("rows", rows.collect::<Value>());
    let results = session
        .connection
        .query(&sql, parameters, context.config.operation_timeout)
        .await?;
    Ok(positions(results.last()))
}

/// Writes every acknowledged position to the secondary that it lacks, so that
/// being behind one of them means something.
async fn raise_positions(
    context: &Context,
    session: &Session,
    applied: &Positions,
) -> StorageResult<()> {
    let rows: Value = context
        .queue
        .acked(context.name())
        .iter()
        .zip(0u16..)
        .filter(|(acked, partition)| applied.get(partition).is_none_or(|at| *at < acked.position))
        .map(|(acked, partition)| {
            let source = context.partition(partition);
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
        .query(RAISE, parameters, context.config.operation_timeout)
        .await
        .map(drop)
}

/// Moves positions forward, in one transaction, and never back: the secondary
/// may have advanced since they were read.
const RAISE: &str = "\
    BEGIN;\n\
    FOR $row IN $rows {\n\
    LET $reached = (SELECT VALUE position FROM ONLY $row.id) ?? -1;\n\
    IF $reached < $row.position { UPSERT $row.id CONTENT $row RETURN NONE; };\n\
    };\n\
    COMMIT;";

/// The positions in the rows of the position table, by partition.
fn positions(rows: Option<&Value>) -> Positions {
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::{sync_executor::statement::LogPartition, test_server};
    use plugin_api::storage::{CallContext, Storage as _};

    #[test]
    fn a_position_only_ever_moves_forward() {
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
