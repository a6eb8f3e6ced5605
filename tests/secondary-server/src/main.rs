//! The published `surreal` server program, built in this workspace.
//!
//! `secondary-server start --bind 127.0.0.1:8000 --user root --pass root memory`
//!
//! With `SECONDARY_SERVER_EXIT_AT_END_OF_INPUT` in its environment it exits when its input
//! ends: a test that is killed leaves no server behind.
#![recursion_limit = "512"]

use std::{
    env, io,
    process::{self, ExitCode},
    thread,
};

fn main() -> ExitCode {
    if env::var_os("SECONDARY_SERVER_EXIT_AT_END_OF_INPUT").is_some() {
        thread::spawn(|| {
            // An input that cannot be read has ended as well.
            let _ = io::copy(&mut io::stdin(), &mut io::sink());
            process::exit(1);
        });
    }
    surrealdb_server::init(surrealdb_server::core::CommunityComposer())
}
