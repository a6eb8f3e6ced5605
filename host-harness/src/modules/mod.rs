//! Modules: found in a directory, chosen by the host's YAML, led through their life.
//!
//! - [`discover`] opens every library of a directory and asks what it is;
//! - [`selections`] reads which modules the YAML wants, in which order;
//! - [`ModuleManager`] makes those, provisions and validates them, lets them
//!   wrap the storage, and cleans them up in the reverse order.

mod discovery;
mod manager;
mod selection;

pub use discovery::{Discovery, Found, Refused, discover};
pub use manager::{LoadedModule, ModuleError, ModuleManager, Surroundings};
pub use selection::{Selection, selections};
