//! The 64 storage methods over SurrealDB, with the official SDK.
//!
//! The host uses it for its primary, embedded or remote; the replication module
//! uses it for each of its secondaries.
//!
//! | module | what is in it |
//! | --- | --- |
//! | [`target`] | the address of a database and who signs in: [`Target`], [`Credentials`], [`Timeouts`] |
//! | [`connection`] | [`Connection`]: an open client that runs SurrealQL under a timeout |
//! | [`schema`] | the tables as data, and the statements made from them |
//! | [`value`] | conversion between the contract's values and the database's |
//! | [`storage`] | [`SurrealStorage`]: the contract's traits |
//! | [`table_scan`] | reads a table page by page, of any database with the contract's traits |
//! | `methods` | what each of the 64 methods does |
//! | `rows` | rows of the database, read column by column |
//! | `errors`, `retry` | the meaning of the database's errors; retrying after a conflict |
//! | `tls` | which certificates of servers are accepted |
//! | `blocking` | from a thread that may block into the async runtime and back |

mod blocking;
pub mod connection;
mod errors;
mod methods;
mod retry;
mod rows;
pub mod schema;
pub mod storage;
pub mod table_scan;
pub mod target;
mod tls;
pub mod value;

pub use connection::{Connection, MESSAGE_BYTES};
pub use methods::check_document_path;
pub use rows::{optional_embedding, record_id, stored_embedding, stored_floats};
pub use storage::SurrealStorage;
pub use target::{Credentials, Target, Timeouts};
