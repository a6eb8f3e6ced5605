//! [`reconcile`]: compares the positions of a secondary that has just connected
//! with the log, and claims them for the log's epoch.

use super::{
    context::Context,
    statement::{LogPartition, position_value},
};
use crate::{
    connection::Session,
    error_policy::{Call, Failure},
    sync_queue::{EVERY_TABLE, Epoch, PARTITIONS, Position, QueueError},
};
use plugin_api::{
    error::{ErrorKind, StorageError, StorageResult},
    value::{Object, Value},
};
use std::{collections::BTreeMap, time::Duration};
use surreal_storage::{Connection, schema::POSITION_TABLE};

/// How often positions are read again because they moved before they could be
/// claimed: by a request of a former session, or by another log.
const ATTEMPTS: usize = 8;

/// What a secondary has of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Reached {
    position: Position,
    /// The epoch that claimed it; none if a version did that had no epochs.
    epoch: Option<Epoch>,
}

/// What a secondary has, by partition.
type Positions = BTreeMap<u16, Reached>;

/// Reads the positions of the secondary, requests a resync if they do not fit the
/// log ([`resync_reason`]), and claims them. Afterwards both agree on every
/// position, and no request of a former epoch has an effect.
///
/// # Errors
/// Those of the secondary and of the log.
pub(super) async fn reconcile(context: &Context, session: &Session) -> Result<(), Failure> {
    let of_secondary = |error| Failure::of(Call::Apply, error);
    let queue = &context.queue;
    let secondary = context.name();
    let timeout = context.config.operation_timeout;
    for _ in 0..ATTEMPTS {
        // Before the secondary is asked: a worker of the former session may still
        // be at work, and the answer need not have what it acknowledges now.
        let confirmed = queue.confirmed(secondary);
        let partitions: Vec<_> = (0..PARTITIONS).map(|it| context.partition(it)).collect();
        let reached = read(&session.connection, &partitions, timeout)
            .await
            .map_err(of_secondary)?;
        let Some(kept) = kept(context, &reached) else {
            queue.take_new_log_id(secondary)?;
            continue;
        };
        if let Some(reason) = resync_reason(context, &reached, &confirmed, &kept)? {
            tracing::info!(
                secondary,
                reason,
                "the secondary is resynced from the primary"
            );
            queue.request_resync(secondary, EVERY_TABLE, reason);
        }
        let claims: Vec<_> = partitions
            .iter()
            .zip(confirmed)
            .filter_map(|(partition, confirmed)| {
                let reached = reached.get(&partition.partition).copied();
                let kept = kept.get(&partition.partition).copied().unwrap_or_default();
                // What the log has lost is nothing that it can go on from.
                let at = reached.map(|reached| reached.position.min(kept));
                let position = at.unwrap_or_default().max(confirmed);
                let claimed = Reached {
                    position,
                    epoch: Some(partition.epoch),
                };
                (reached != Some(claimed)).then_some((partition, position))
            })
            .collect();
        if claim(&session.connection, &claims, &reached, timeout)
            .await
            .map_err(of_secondary)?
        {
            return Ok(queue.set_bootstrapped(secondary)?);
        }
    }
    Err(of_secondary(StorageError::conflict(
        "the secondary's positions were moved again and again while they were compared with the \
         log; if it goes on, another host uses a copy of queue_dir",
    )))
}

/// Up to where the log still has what each position stands for. `None` if one
/// belongs to another log.
fn kept(context: &Context, reached: &Positions) -> Option<BTreeMap<u16, Position>> {
    let kept = reached.iter().map(|(&partition, reached)| {
        let kept = context.queue.kept_of(reached.epoch)?;
        Some((partition, *kept.get(usize::from(partition))?))
    });
    kept.collect()
}

/// Why the secondary has to be resynced; none if it fits the log.
fn resync_reason(
    context: &Context,
    reached: &Positions,
    confirmed: &[Position],
    kept: &BTreeMap<u16, Position>,
) -> Result<Option<&'static str>, QueueError> {
    let queue = &context.queue;
    let is_behind = || {
        (0..PARTITIONS)
            .zip(confirmed)
            .any(|(partition, confirmed)| {
                let reached = reached.get(&partition);
                reached.map(|reached| reached.position).unwrap_or_default() < *confirmed
            })
    };
    let is_ahead = || {
        reached
            .iter()
            .any(|(partition, reached)| kept.get(partition) < Some(&reached.position))
    };
    Ok(
        match (reached.is_empty(), queue.is_bootstrapped(context.name())?) {
            (true, true) => {
                Some("the secondary has lost its replication positions (emptied or recreated)")
            }
            // It may be that it gets a new id of the log, and its resync is due.
            (true, false) if is_resync_due(context)? => None,
            (true, false) => context.config.initial_sync.then_some("initial sync"),
            // Its backlog was kept under its former name, and is gone.
            (false, false) => Some("the secondary was renamed, or was not configured for a while"),
            (false, true) if is_behind() => {
                Some("the secondary is behind its acknowledged position (rolled back or restored)")
            }
            (false, true) if is_ahead() => {
                Some("the secondary is ahead of the log (the log has lost its latest entries)")
            }
            (false, true) => None,
        },
    )
}

/// Has a resync of every table been requested, and not begun?
fn is_resync_due(context: &Context) -> Result<bool, QueueError> {
    let requests = context.queue.resync_requests(context.name())?;
    Ok(requests.iter().any(|it| it.table == EVERY_TABLE))
}

/// What the secondary has of these partitions.
async fn read(
    connection: &Connection,
    partitions: &[LogPartition],
    timeout: Duration,
) -> StorageResult<Positions> {
    let sql = format!(
        "DEFINE TABLE IF NOT EXISTS {POSITION_TABLE} SCHEMALESS;\n\
         SELECT partition, position, epoch FROM $rows;"
    );
    // By their ids: the table has the rows of former logs too.
    let rows: Value = partitions.iter().map(LogPartition::position_row).collect();
    let parameters = Object::new().with("rows", rows);
    let results = connection.query(&sql, parameters, timeout).await?;
    Ok(positions(results.last()))
}

/// Moves these positions and makes them those of the log's epoch, unless one of
/// them is not as it was `read` any more: then all stay, and this is false.
async fn claim(
    connection: &Connection,
    claims: &[(&LogPartition, Position)],
    read: &Positions,
    timeout: Duration,
) -> StorageResult<bool> {
    if claims.is_empty() {
        return Ok(true);
    }
    let ids: Value = claims.iter().map(|(it, _)| it.position_row()).collect();
    let were: Value = claims
        .iter()
        .filter_map(|(partition, _)| {
            let read = read.get(&partition.partition)?;
            Some(Value::from(vec![
                i64::from(partition.partition).into(),
                position_value(read.position),
                read.epoch.map_or(0, Epoch::to_int).into(),
            ]))
        })
        .collect();
    let rows: Value = claims
        .iter()
        .map(|(partition, position)| {
            Object::new()
                .with("id", partition.position_row())
                .with("queue", partition.log.as_str())
                .with("partition", i64::from(partition.partition))
                .with("position", position_value(*position))
                .with("epoch", partition.epoch.to_int())
        })
        .collect();
    let parameters = Object::new()
        .with("ids", ids)
        .with("were", were)
        .with("rows", rows);
    match connection.query(CLAIM, parameters, timeout).await {
        Ok(results) => Ok(results.iter().find_map(Value::as_bool) == Some(true)),
        // Another claim, or a batch, was first.
        Err(error) if error.kind == ErrorKind::CONFLICT => Ok(false),
        Err(error) => Err(error),
    }
}

const CLAIM: &str = "\
    BEGIN;\n\
    LET $are = (SELECT VALUE [partition, position, epoch ?? 0] FROM $ids);\n\
    LET $unmoved = ($are == $were);\n\
    IF $unmoved { FOR $row IN $rows { UPSERT $row.id CONTENT $row RETURN NONE; }; };\n\
    RETURN $unmoved;\n\
    COMMIT;";

/// The positions in the rows of the position table, by partition.
fn positions(rows: Option<&Value>) -> Positions {
    rows.and_then(Value::as_array)
        .unwrap_or_default()
        .iter()
        .filter_map(|row| {
            let row = row.as_object()?;
            let partition = u16::try_from(row.get("partition")?.as_int()?).ok()?;
            let reached = Reached {
                position: Position(u64::try_from(row.get("position")?.as_int()?).ok()?),
                epoch: row
                    .get("epoch")
                    .and_then(Value::as_int)
                    .and_then(Epoch::from_int),
            };
            Some((partition, reached))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::{
        sync_executor::{
            batch,
            statement::{self, Applied, PositionRange, Writing},
        },
        sync_queue::Watermark,
        sync_types::{RowImage, SyncOperation},
        test_server,
    };
    use plugin_api::value::RecordId;
    use server_process::SecondaryServer;
    use surreal_storage::{Timeouts, schema::SchemaReport};

    const TIMEOUT: Duration = Duration::from_secs(30);

    async fn connect(server: &SecondaryServer) -> Connection {
        let target = test_server::secondary(server, "root", "root")
            .target()
            .unwrap();
        let timeouts = Timeouts {
            connect: TIMEOUT,
            operation: TIMEOUT,
        };
        Connection::open(&target, &timeouts).await.unwrap()
    }

    fn partitions(epoch: i64) -> Vec<LogPartition> {
        let of = |partition| LogPartition {
            log: "log".to_owned(),
            partition,
            epoch: Epoch::from_int(epoch).unwrap(),
        };
        (0..PARTITIONS).map(of).collect()
    }

    async fn claim_at(connection: &Connection, epoch: i64, at: u64, read: &Positions) -> bool {
        let partitions = partitions(epoch);
        let claims: Vec<_> = partitions.iter().map(|it| (it, Position(at))).collect();
        claim(connection, &claims, read, TIMEOUT).await.unwrap()
    }

    async fn read_all(connection: &Connection) -> Positions {
        let reached = read(connection, &partitions(1), TIMEOUT).await.unwrap();
        assert!(reached.is_empty() || reached.len() == usize::from(PARTITIONS));
        reached
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn positions_are_claimed_only_as_they_were_read() {
        let server = test_server::start();
        let connection = connect(&server).await;
        let none = read_all(&connection).await;
        assert!(claim_at(&connection, 1, 5, &none).await);
        assert!(
            !claim_at(&connection, 2, 0, &none).await,
            "they are no longer missing"
        );
        let first = read_all(&connection).await;
        let all_at = |reached: &Positions, epoch, position| {
            let expected = Reached {
                position: Position(position),
                epoch: Epoch::from_int(epoch),
            };
            reached.values().all(|reached| *reached == expected)
        };
        assert!(all_at(&first, 1, 5), "{first:?}");
        // Down as well: no request of a former epoch has an effect any more.
        assert!(claim_at(&connection, 2, 3, &first).await);
        assert!(!claim_at(&connection, 1, 5, &first).await, "a late claim");
        let second = read_all(&connection).await;
        assert!(all_at(&second, 2, 3), "{second:?}");

        // Of several at once, one succeeds.
        let mut claims = tokio::task::JoinSet::new();
        for epoch in 3..9 {
            let (connection, second) = (connect(&server).await, second.clone());
            claims.spawn(async move { claim_at(&connection, epoch, 7, &second).await });
        }
        let claimed = claims.join_all().await;
        assert_eq!(claimed.iter().filter(|claimed| **claimed).count(), 1);
        let last = read_all(&connection).await;
        let epoch = last[&0].epoch.map_or(0, Epoch::to_int);
        assert!(all_at(&last, epoch, 7), "{last:?}");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_batch_of_an_epoch_that_does_not_hold_the_claim_has_no_effect() {
        let server = test_server::start();
        let connection = connect(&server).await;
        let apply = async |epoch: i64, from: u64, to: u64| {
            let row = RowImage {
                id: RecordId::new("kv_memories", "k"),
                columns: Object::new().with("value", epoch),
                embedding: None,
            };
            let write = SyncOperation::upsert("kv_memories", row);
            let place = Watermark {
                position: Position(to),
                ..Watermark::default()
            };
            let changes = batch::last_of_each_key(vec![(place, write)], Position(0));
            let range = PositionRange {
                from: Position(from),
                to: Position(to),
            };
            let source = partitions(epoch).remove(0);
            let schema = SchemaReport::default();
            let writing = Writing::nothing(&schema);
            statement::apply(&connection, &source, range, &changes, &writing, TIMEOUT).await
        };
        let value = async || {
            let sql = "SELECT VALUE value FROM kv_memories:k";
            let rows = connection.query(sql, Object::new(), TIMEOUT).await;
            let rows = rows.unwrap_or_default();
            rows.first()
                .and_then(Value::as_array)
                .and_then(|rows| rows.first()?.as_int())
        };
        let refused = async |epoch, from, to| {
            let error = apply(epoch, from, to).await.unwrap_err();
            assert_eq!(error.kind, ErrorKind::NOT_FOUND, "{error}");
        };
        // A version that had no epochs.
        let rows =
            "CREATE db_sync_position:['log', 0] SET queue = 'log', partition = 0, position = 5";
        connection
            .query(rows, Object::new(), TIMEOUT)
            .await
            .unwrap();
        refused(1, 5, 6).await;
        let read = read(&connection, &partitions(1), TIMEOUT).await.unwrap();
        assert_eq!(read[&0].epoch, None);
        assert!(claim_at(&connection, 1, 5, &read).await);
        assert_eq!(apply(1, 5, 6).await.unwrap(), Applied::Now);
        assert_eq!(apply(1, 5, 6).await.unwrap(), Applied::AlreadyApplied);
        refused(1, 7, 8).await;
        assert_eq!(value().await, Some(1));
        let read = read_all(&connection).await;
        assert!(claim_at(&connection, 2, 4, &read).await);
        // Neither at the position that it left, nor where it now is.
        refused(1, 6, 7).await;
        refused(1, 4, 5).await;
        assert_eq!(value().await, Some(1));
        assert_eq!(apply(2, 4, 5).await.unwrap(), Applied::Now);
        assert_eq!(value().await, Some(2));
    }
}
