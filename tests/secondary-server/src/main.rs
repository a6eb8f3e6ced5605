//! The `surreal` server program, as published, under a name of this workspace.
//!
//! `secondary-server start --bind 127.0.0.1:8000 --user root --pass root memory`
#![recursion_limit = "512"]

use std::process::ExitCode;

fn main() -> ExitCode {
    surrealdb_server::init(surrealdb_server::core::CommunityComposer())
}
