//! Connecting, closing, and running SurrealQL.

use crate::{schema, storage::Call};
use plugin_api::{
    error::StorageResult,
    value::{Object, Value},
};
use std::time::Instant;

impl Call {
    pub(crate) async fn connect(self) -> StorageResult<()> {
        self.shared()
            .connection(self.time_left()?, true)
            .await
            .map(drop)
    }

    pub(crate) async fn close(self) -> StorageResult<()> {
        self.shared().close(self.time_left()?).await
    }

    pub(crate) async fn ping(self) -> StorageResult<()> {
        let connection = self.connection().await?;
        let started = Instant::now();
        let result = connection.ping(self.time_left()?).await;
        self.drop_if_lost(&connection, started, result)
    }

    pub(crate) async fn initialize_schema(self) -> StorageResult<()> {
        let connection = self.connection().await?;
        let started = Instant::now();
        let result = schema::initialize(&connection, self.time_left()?).await;
        self.drop_if_lost(&connection, started, result).map(drop)
    }

    pub(crate) async fn query(self, sql: String, parameters: Object) -> StorageResult<Value> {
        Ok(Value::from(self.ask_all(&sql, parameters).await?))
    }
}
