//! [`CallContext`]: how long a call may take, and what it is called in the log.

use abi_stable::{
    StableAbi,
    std_types::{RDuration, ROption, RString},
};
use std::time::Duration;

/// Travels with every call.
#[repr(C)]
#[derive(StableAbi, Clone, Debug, Default, PartialEq)]
pub struct CallContext {
    /// How much time is left when the call is made; none is no limit. A
    /// duration and not a time of day, so that no clock has to agree.
    pub time_left: ROption<RDuration>,
    /// The host's name for the request, for logs; may be empty.
    pub request_id: RString,
}

impl CallContext {
    /// A call without a deadline.
    pub fn new() -> Self {
        Self::default()
    }

    /// A call that has `time_left` to finish.
    pub fn with_timeout(time_left: Duration) -> Self {
        Self {
            time_left: ROption::RSome(time_left.into()),
            ..Self::default()
        }
    }

    /// The time left, or `default` if the caller set none; whichever is shorter.
    pub fn time_left_or(&self, default: Duration) -> Duration {
        self.time_left
            .map_or(default, |left| Duration::from(left).min(default))
    }
}
