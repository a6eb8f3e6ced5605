//! What the host contributes to the configuration.

/// The host's values that defaults and relative paths refer to.
#[derive(Clone, Copy, Debug)]
pub struct HostContext<'a> {
    /// The primary's namespace.
    pub namespace: &'a str,
    /// The primary's database.
    pub database: &'a str,
    /// The host's data directory.
    pub data_dir: &'a str,
}
