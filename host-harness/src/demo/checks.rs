//! [`Checks`]: what the demo checks, and its verdict.

use crate::output::say;

/// The checks so far.
#[derive(Default)]
pub(super) struct Checks {
    held: usize,
    failed: Vec<String>,
    skipped: Vec<String>,
}

impl Checks {
    /// Counts and prints one check.
    pub(super) fn check(&mut self, what: &str, holds: bool) -> anyhow::Result<()> {
        if holds {
            self.held += 1;
            say(format_args!("  ✓ {what}"))?;
        } else {
            self.failed.push(what.to_owned());
            say(format_args!("  ✗ {what}"))?;
        }
        Ok(())
    }

    /// Notes and prints what cannot be shown here, and why. The demo does not
    /// fail for it, and the verdict names it.
    pub(super) fn skip(&mut self, what: &str) -> anyhow::Result<()> {
        self.skipped.push(what.to_owned());
        say(format_args!("  SKIPPED {what}"))?;
        Ok(())
    }

    /// Did every check hold?
    pub(super) fn all_held(&self) -> bool {
        self.failed.is_empty()
    }

    /// How many held; what failed and what was skipped, by name.
    pub(super) fn verdict(&self) -> String {
        let held = self.held;
        let mut verdict = match self.failed.as_slice() {
            [] => format!("all {held} checks held"),
            failed => format!(
                "{held} checks held, {} FAILED: {}",
                failed.len(),
                failed.join("; ")
            ),
        };
        if !self.skipped.is_empty() {
            verdict.push_str(&format!("\n  SKIPPED: {}", self.skipped.join("; ")));
        }
        verdict
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn the_verdict_names_what_failed_and_what_was_skipped() {
        let mut checks = Checks::default();
        checks.check("one", true).unwrap();
        assert_eq!(checks.verdict(), "all 1 checks held");
        checks.skip("two: not here").unwrap();
        assert!(checks.all_held());
        assert_eq!(
            checks.verdict(),
            "all 1 checks held\n  SKIPPED: two: not here"
        );
        checks.check("three", false).unwrap();
        assert!(!checks.all_held());
        assert_eq!(
            checks.verdict(),
            "1 checks held, 1 FAILED: three\n  SKIPPED: two: not here"
        );
    }
}
