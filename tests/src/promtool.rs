//! [`run`]: Prometheus' own tool, which checks metrics and rules as the server does.

use std::{
    env,
    io::{self, Write},
    path::Path,
    process::{Command, Stdio},
};

/// Set where a missing `promtool` is a failure.
const REQUIRED: &str = "REQUIRE_PROMTOOL";

/// Runs `promtool` in a directory, with this on its standard input. Returns what it
/// said; none, said loudly, where there is no `promtool`.
///
/// # Panics
/// It finds fault, or it is missing and `REQUIRE_PROMTOOL` is set.
pub fn run(directory: &Path, arguments: &[&str], input: &str) -> Option<String> {
    let started = Command::new("promtool")
        .args(arguments)
        .current_dir(directory)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut tool = match started {
        Ok(tool) => tool,
        Err(error) => {
            let required = env::var_os(REQUIRED).is_some();
            assert!(!required, "promtool cannot be started: {error}");
            // Not through `println`, which a test that passes keeps to itself.
            let _ = writeln!(
                io::stderr(),
                "\n*** SKIPPED: promtool {} was NOT run: it cannot be started ({error}). On \
                 Debian: apt-get install prometheus ***\n",
                arguments.join(" ")
            );
            return None;
        }
    };
    // It reads everything before it says anything. One that does not read its input
    // has ended: its status says why.
    let _ = tool.stdin.take().unwrap().write_all(input.as_bytes());
    let output = tool.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8(said).unwrap();
    assert!(output.status.success(), "promtool {arguments:?}: {said}");
    Some(said)
}
