//! [`CopyTransactions`]: the transactions that copy rows into the partitions of a
//! secondary. None of them runs late, over a newer state.

use super::super::{
    apply::Conflicts,
    batch::Change,
    context::Context,
    statement::{self, CopyPoint, PositionRange, Write, Writing},
};
use crate::{
    connection::Session,
    error_policy::{Call, Failure},
    fail_points,
    sync_queue::PARTITIONS,
};
use parking_lot::Mutex;
use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};
use surreal_storage::Connection;

/// Copies rows in transactions. Those of one partition are sent one at a time, under
/// its lock.
pub(super) struct CopyTransactions {
    context: Arc<Context>,
    /// How many copies have been made into each partition, as far as is known.
    copies: Vec<AtomicU64>,
    /// Partitions with a request for rows of a table that was not answered, or not
    /// yet, and may still run. The next copy into the partition ends that.
    unanswered: Mutex<BTreeSet<(u16, String)>>,
}

/// How a transaction ended.
pub(super) enum Written {
    /// The rows are copied.
    Copied,
    /// The secondary has applied a batch that is not acknowledged yet: it has to be.
    Behind,
}

impl CopyTransactions {
    pub(super) fn new(context: Arc<Context>) -> Self {
        Self {
            context,
            copies: (0..PARTITIONS).map(|_| AtomicU64::new(0)).collect(),
            unanswered: Mutex::default(),
        }
    }

    /// The partitions with an unanswered request for rows of the table.
    pub(super) fn unanswered(&self, table: &str) -> Vec<u16> {
        let unanswered = self.unanswered.lock();
        let of_table = unanswered.iter().filter(|(_, of)| of == table);
        of_table.map(|(partition, _)| *partition).collect()
    }

    /// Copies rows of a table into a partition. `creates` says that they are new to
    /// the secondary, as far as is known.
    pub(super) async fn write(
        &self,
        session: &Session,
        connection: &Connection,
        (partition, table): (u16, &str),
        changes: &[Change],
        creates: &AtomicBool,
    ) -> Result<Written, Failure> {
        let Context { queue, config, .. } = &*self.context;
        let secondary = self.context.name();
        let timeout = config.operation_timeout;
        let of_secondary = |error| Failure::of(Call::Apply, error);
        let source = self.context.partition(partition);
        let place = usize::from(partition);
        let watermark = queue.acked(secondary)[place];
        let confirmed = queue.confirmed(secondary)[place];
        if confirmed < watermark.position {
            // Its backlog was evicted. A batch of that may still be on its way, and
            // has no effect once the secondary is past it.
            let range = PositionRange {
                from: confirmed,
                to: watermark.position,
            };
            let nothing = Writing::nothing(&session.schema);
            statement::apply(connection, &source, range, &[], &nothing, timeout)
                .await
                .map_err(of_secondary)?;
            queue.ack(secondary, partition, watermark)?;
        }
        let mut point = CopyPoint {
            position: watermark.position,
            copies: self.copies[place].load(Ordering::Relaxed),
        };
        loop {
            fail_points::pass("before_copy");
            let request = (partition, table.to_owned());
            self.unanswered.lock().insert(request);
            let mut conflicts = Conflicts::new(&self.context.progress.metrics);
            let reached = loop {
                let write = match creates.load(Ordering::Relaxed) {
                    true => Write::Create,
                    false => Write::Upsert,
                };
                let written = statement::copy(
                    connection,
                    &source,
                    point,
                    changes,
                    &Writing {
                        write,
                        replaces_same_key: &|table| {
                            conflicts.count() > 1
                                || session.schema.without_unique_index.contains(&table)
                        },
                        schema: &session.schema,
                    },
                    timeout,
                )
                .await;
                if written.is_err() {
                    // Perhaps because of a row that the secondary has already.
                    creates.store(false, Ordering::Relaxed);
                }
                if !conflicts.repeats(&written).await {
                    break written.map_err(of_secondary)?;
                }
            };
            self.unanswered.lock().retain(|(of, _)| *of != partition);
            if reached == point {
                self.copies[place].store(point.copies + 1, Ordering::Relaxed);
                return Ok(Written::Copied);
            }
            if reached.position != point.position && queue.has_backlog(secondary, partition) {
                return Ok(Written::Behind);
            }
            // Earlier copies that were not known to have run; or a position without
            // an operation. Nothing of the log lies in between.
            point = reached;
        }
    }
}
