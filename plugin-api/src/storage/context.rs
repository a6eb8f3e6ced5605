//! [`CallContext`]: a call's deadline and request id.

use crate::{
    ffi::{Maybe, Text, TimeSpan},
    value::Object,
};
use abi_stable::StableAbi;
use std::time::Duration;

/// Passed by reference with every storage call.
#[repr(C)]
#[derive(StableAbi, Clone, Debug, Default, PartialEq)]
pub struct CallContext {
    /// How much time is left when the call is made; none means no limit. A
    /// duration and not a time of day, so that no clocks have to agree.
    pub time_left: Maybe<TimeSpan>,
    /// The host's id for the request, for logs; may be empty.
    pub request_id: Text,
    /// Hints of a newer contract, by name. Pass them on; ignore those that you
    /// do not know. Empty, it costs no allocation.
    pub extensions: Object,
}

impl CallContext {
    /// A call without a deadline.
    pub fn new() -> Self {
        Self::default()
    }

    /// A call that has `time_left` to finish.
    pub fn with_timeout(time_left: Duration) -> Self {
        Self::new().limited_to(time_left)
    }

    /// The same context with `time_left` as the time left.
    #[must_use]
    pub fn limited_to(mut self, time_left: Duration) -> Self {
        self.time_left = Maybe::RSome(time_left.into());
        self
    }

    /// The context for a further call on behalf of this one, after `elapsed` of
    /// its time has passed.
    #[must_use]
    pub fn after(&self, elapsed: Duration) -> Self {
        Self {
            time_left: self
                .time_left
                .map(|left| Duration::from(left).saturating_sub(elapsed).into()),
            ..self.clone()
        }
    }

    /// The shorter of the time left and `limit`.
    pub fn time_left_or(&self, limit: Duration) -> Duration {
        self.time_left
            .map_or(limit, |left| Duration::from(left).min(limit))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_further_call_has_less_time_and_the_same_id_and_hints() {
        let context = CallContext {
            request_id: "r1".into(),
            extensions: Object::new().with("trace", "t1"),
            ..CallContext::with_timeout(Duration::from_secs(3))
        };
        let further = context.after(Duration::from_secs(2));
        assert_eq!(further, context.clone().limited_to(Duration::from_secs(1)));
        let late = context.after(Duration::from_secs(4));
        assert_eq!(late, context.limited_to(Duration::ZERO));
        let unlimited = CallContext::new();
        assert_eq!(unlimited.after(Duration::from_secs(1)), unlimited);
    }
}
