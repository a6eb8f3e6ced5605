//! The host's side of the modules' lifecycle.
//!
//! - [`discover`] opens every library in a directory and asks what it is;
//! - [`selections`] reads from the YAML which modules are enabled, in which order;
//! - [`ModuleManager`] creates those, provisions and validates them, lets them
//!   wrap the storage, and cleans them up in reverse order.

mod discovery;
mod manager;
mod selection;

pub use discovery::{Discovery, Found, Refused, discover};
pub use manager::{LoadedModule, ManagerError, ModuleManager, Surroundings};
pub use selection::{Selection, selections};
