//! A real SurrealDB server in a process of its own: started on a free port of
//! loopback, killed, paused, and started again. It ends with whoever started it.
//!
//! | module | what it has |
//! | --- | --- |
//! | `built` | where programs and libraries that were built are |
//! | `server` | [`SecondaryServer`] |

mod built;
mod server;

pub use built::find;
pub use server::{Keeps, PASSWORD, SecondaryServer, ServerError, USER};
