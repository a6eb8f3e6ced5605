//! [`Call`]: one method call in flight.

use super::Shared;
use crate::{connection::Connection, retry::while_in_conflict};
use plugin_api::{
    error::{StorageError, StorageResult},
    value::{Object, Value},
};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// One method call in flight: its connection and its deadline. Each of the 64
/// methods is a method of it, in the file of its table.
pub(crate) struct Call {
    shared: Arc<Shared>,
    deadline: Instant,
}

impl Call {
    pub(super) fn new(shared: Arc<Shared>, deadline: Instant) -> Self {
        Self { shared, deadline }
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.shared
    }

    /// The time until the deadline.
    ///
    /// # Errors
    /// `Timeout` if there is none left.
    pub(crate) fn time_left(&self) -> StorageResult<Duration> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(StorageError::timeout("the call's deadline has passed"));
        }
        Ok(left)
    }

    pub(crate) async fn connection(&self) -> StorageResult<Connection> {
        self.shared.connection(self.time_left()?, false).await
    }

    /// Runs statements; one value for each.
    pub(crate) async fn ask_all(&self, sql: &str, parameters: Object) -> StorageResult<Vec<Value>> {
        let connection = self.connection().await?;
        let started = Instant::now();
        let result = connection.query(sql, parameters, self.time_left()?).await;
        self.drop_if_lost(&connection, started, result)
    }

    /// Returns the result, and drops the connection if the error means that it
    /// is lost.
    pub(crate) fn drop_if_lost<T>(
        &self,
        connection: &Connection,
        started: Instant,
        result: StorageResult<T>,
    ) -> StorageResult<T> {
        if let Err(error) = &result {
            self.shared
                .drop_if_lost(connection, error, started.elapsed());
        }
        result
    }

    /// Runs one statement; its value.
    pub(crate) async fn ask(&self, sql: &str, parameters: Object) -> StorageResult<Value> {
        let values = self.ask_all(sql, parameters).await?;
        Ok(values.into_iter().next().unwrap_or_default())
    }

    /// Runs one statement that writes; retries while it conflicts with another
    /// transaction.
    pub(crate) async fn write(&self, sql: &str, parameters: Object) -> StorageResult<Value> {
        while_in_conflict(|| self.ask(sql, parameters.clone())).await
    }
}
