//! A real SurrealDB server in a process of its own, on a free loopback port: it can
//! be killed, paused and restarted. It ends with the process that started it.
//!
//! | module | what it has |
//! | --- | --- |
//! | `built` | finds programs and libraries that were built |
//! | `server` | [`SecondaryServer`] |

mod built;
mod server;

pub use built::find;
pub use server::{PASSWORD, SecondaryServer, ServerError, ServerStorage, USER};
