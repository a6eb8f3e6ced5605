//! Every method against the real engine, in memory and on disk.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod code;
mod documents;
mod events;
mod facts;
mod graph;
mod lifecycle;
mod remote;
mod replica;
mod server;
mod stats;
mod support;
mod untrusted;
mod vectors;
