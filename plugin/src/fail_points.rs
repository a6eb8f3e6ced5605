//! Named steps at which a test can make the module fail.
//!
//! `DB_SYNC_FAIL_POINTS=after_primary_commit=panic,before_ack=abort` makes the
//! step of that name panic or end the process at once, as `kill -9` would. With
//! `*N` behind the action it happens at the N-th passing. Compiled into debug
//! builds only.

/// The steps between a write and its acknowledged position, in their order.
pub const STEPS: &[&str] = &[
    "before_intent",
    "before_primary_write",
    "after_primary_commit",
    "after_append",
    "before_apply",
    "after_apply",
    "after_ack",
];

/// Passes the step `name`.
#[cfg(debug_assertions)]
pub fn pass(name: &'static str) {
    debug_assert!(STEPS.contains(&name), "fail point {name} is not listed");
    armed::pass(name);
}

/// Passes the step `name`: nothing to do in a release build.
#[cfg(not(debug_assertions))]
#[inline(always)]
pub const fn pass(_name: &'static str) {}

#[cfg(debug_assertions)]
mod armed {
    use std::sync::{
        LazyLock,
        atomic::{AtomicU64, Ordering},
    };

    struct Point {
        name: String,
        action: String,
        at: u64,
        passed: AtomicU64,
    }

    static POINTS: LazyLock<Vec<Point>> = LazyLock::new(|| {
        let setting = std::env::var("DB_SYNC_FAIL_POINTS").unwrap_or_default();
        setting.split(',').filter_map(parse).collect()
    });

    fn parse(text: &str) -> Option<Point> {
        let (name, action) = text.trim().split_once('=')?;
        let (action, at) = action.split_once('*').unwrap_or((action, "1"));
        Some(Point {
            name: name.to_owned(),
            action: action.to_owned(),
            at: at.parse().ok()?,
            passed: AtomicU64::new(0),
        })
    }

    #[allow(clippy::panic, reason = "this is what a fail point is for")]
    pub(super) fn pass(name: &str) {
        for point in POINTS.iter().filter(|point| point.name == name) {
            if point.passed.fetch_add(1, Ordering::Relaxed) + 1 != point.at {
                continue;
            }
            match point.action.as_str() {
                "abort" => std::process::abort(),
                _ => panic!("fail point {name}"),
            }
        }
    }
}
