//! What is shipped: one archive for this platform.
//!
//! | module | what it does |
//! | --- | --- |
//! | [`linked`] | asks Cargo which packages are linked into the library |
//! | [`notices`] | writes their licences down: names, expressions, full texts |
//! | [`archive`] | puts library, configuration, documentation and licences together, with their SHA-256 sums |
//!
//! Which licences are acceptable is not decided here: `deny.toml` says so, and
//! `cargo deny` checks it.

pub mod archive;
pub mod linked;
pub mod notices;

#[cfg(test)]
mod links;
