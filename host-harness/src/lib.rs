//! A host for modules of Remembrances-MCP: loads them, drives them, shows what
//! they do.
//!
//! It reaches a module only through its library, as the real host does, and
//! knows nothing of any module's insides.
//!
//! | room | what is in it |
//! | --- | --- |
//! | [`config`] | the host's YAML |
//! | [`modules`] | libraries found, chosen, led through their life |
//! | [`host`] | [`Host`](host::Host): a primary with its modules around it |
//! | [`logging`] | log lines of host and modules |
//! | [`call`] | any of the 64 methods by name, in JSON |
//! | [`exercise`] | all 64, each answer checked, bare and wrapped |
//! | [`compare`] | two databases, row by row |
//! | [`server`] | a real secondary server to start, kill and pause |
//! | [`steering`] | a module's HTTP routes, called without a network or with one |
//! | [`http`] | the same routes on a port |
//! | [`embedder`] | text to 768 floats |
//! | [`corpus`] | a project as records for every table |
//! | [`demo`] | the whole thing on real input |
//! | [`cli`] | the command line |
//! | [`artifacts`] | where what was built is |

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
pub mod steering;
