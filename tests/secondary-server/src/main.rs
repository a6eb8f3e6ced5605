//! The `surreal` server program, as published, under a name of this workspace.
//!
//! `secondary-server start --bind 127.0.0.1:8000 --user root --pass root memory`
//!
//! With `SECONDARY_SERVER_ENDS_WITH_INPUT` in its environment it ends when its
//! input does: a test that was killed leaves no server behind.
#![recursion_limit = "512"]

use std::{
    env, io,
    process::{self, ExitCode},
    thread,
};

fn main() -> ExitCode {
    if env::var_os("SECONDARY_SERVER_ENDS_WITH_INPUT").is_some() {
        thread::spawn(|| {
            // An input that cannot be read has ended, too.
            let _ = io::copy(&mut io::stdin(), &mut io::sink());
            process::exit(1);
        });
    }
    surrealdb_server::init(surrealdb_server::core::CommunityComposer())
}
