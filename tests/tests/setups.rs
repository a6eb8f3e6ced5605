//! The servers, topologies and habits that users have, through the loaded library.
//!
//! | module | what is in it |
//! | --- | --- |
//! | `loops` | a secondary that is the primary, or that replicates to it |
//! | `tls` | certificates, wrong schemes and wrong paths, a server of 2.x |
//! | `credentials` | passwords that change while the host runs |
//! | `hardened` | servers that deny functions, sessions that expire |
//! | `sizes` | answers of more than a message holds |
//! | `tables` | edges made by RELATE, and tables that no method of the host reads |
//! | `writes` | updates of rows that only a secondary has; documents named like chunks |

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "setups/credentials.rs"]
mod credentials;
#[path = "setups/hardened.rs"]
mod hardened;
#[path = "setups/loops.rs"]
mod loops;
#[path = "setups/sizes.rs"]
mod sizes;
#[path = "setups/tables.rs"]
mod tables;
#[path = "setups/tls.rs"]
mod tls;
#[path = "setups/writes.rs"]
mod writes;

use host_harness::host::Host;
use replication_tests::{site::secondaries, wait};
use serde_json::Value as Json;

/// Waits until the first secondary is in this state, and returns its status.
fn reaches(host: &Host, state: &str) -> Json {
    let first = || secondaries(host).remove(0);
    wait::until(state, first, |status| status["state"] == state)
}

/// The latest error of a secondary's connection.
fn error(status: &Json) -> &str {
    status["last_error"]["message"].as_str().unwrap()
}
