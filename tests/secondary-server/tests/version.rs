//! The program runs. Since this test names it, `cargo test` builds it also for the
//! tests of other packages that start it.

use std::process::Command;

#[test]
fn the_program_prints_its_version() -> std::io::Result<()> {
    let output = Command::new(env!("CARGO_BIN_EXE_secondary-server"))
        .arg("version")
        .output()?;
    assert!(output.status.success());
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("3.3.5"), "{text}");
    Ok(())
}
