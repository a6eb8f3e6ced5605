//! The 64 storage methods over SurrealDB, with the official SDK.
//!
//! The host keeps its primary with it, embedded or remote; a module that
//! replicates keeps each of its secondaries with it.
//!
//! | room | what is in it |
//! | --- | --- |
//! | [`target`] | where a database is and who asks: [`Target`], [`Credentials`], [`Timeouts`] |
//! | [`connection`] | [`Connection`]: an open client that runs SurrealQL under a timeout |
//! | [`schema`] | the tables as data, and what is made from them |
//! | [`value`] | the contract's values and the database's, one into the other |
//! | [`storage`] | [`SurrealStorage`]: the contract's traits |

mod blocking;
pub mod connection;
mod failure;
mod methods;
mod retry;
mod rows;
pub mod schema;
pub mod storage;
pub mod target;
pub mod value;

pub use connection::Connection;
pub use rows::{optional_embedding, record_id, stored_embedding, stored_floats};
pub use storage::SurrealStorage;
pub use target::{Credentials, Target, Timeouts};
