//! A small host for modules of Remembrances-MCP: loads them as the real host does,
//! calls them, and shows what they do.
//!
//! It reaches a module only through its library and its HTTP routes; it does not
//! depend on the module's code.
//!
//! | module | what it has |
//! | --- | --- |
//! | [`config`] | the host's YAML |
//! | [`modules`] | finds libraries, selects modules, manages their lifecycle |
//! | [`host`] | [`Host`](host::Host): a primary, wrapped by the modules |
//! | [`logging`] | the log lines of host and modules |
//! | [`call`] | calls any of the 64 methods by name, in JSON |
//! | [`exercise`] | calls all 64 and checks each answer, on the primary and through the module |
//! | [`compare`] | compares two databases row by row |
//! | [`server`] | a real SurrealDB server to start, kill and pause |
//! | [`http`] | serves the modules' HTTP routes |
//! | [`admin`] | a client of db-sync-server's HTTP routes, in this process or on another host |
//! | [`embedder`] | turns text into 768 floats |
//! | [`corpus`] | reads a project as records for every table |
//! | [`demo`] | replication at work, on a project's own text |
//! | [`upgrade_export`] | makes an export of SurrealDB 2.x one for 3.x |
//! | [`cli`] | the command line |
//! | [`artifacts`] | finds and builds the plugin's library |

pub mod admin;
pub mod artifacts;
pub mod call;
pub mod cli;
pub mod compare;
pub mod config;
pub mod corpus;
pub mod demo;
pub mod embedder;
pub mod exercise;
pub mod host;
pub mod http;
pub mod logging;
pub mod modules;
mod nearest;
mod output;
pub mod server;
pub mod upgrade_export;
