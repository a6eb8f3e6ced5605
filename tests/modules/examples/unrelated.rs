//! A shared library that is no module.

/// The only thing in it.
#[unsafe(no_mangle)]
pub extern "C" fn answer() -> u32 {
    42
}
