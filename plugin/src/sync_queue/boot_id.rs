//! Which run of the machine this is.

/// A name for the time since the machine was started; none where the system
/// does not tell.
pub(super) fn current() -> Option<String> {
    // Elsewhere than on Linux nothing is known, which is taken for another
    // boot: an unclean end costs a comparison then.
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(id.trim().to_owned()).filter(|id| !id.is_empty())
}
