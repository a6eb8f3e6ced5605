//! [`Timestamp`]: a point in time.

use crate::ffi::Text;
use abi_stable::StableAbi;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::{
    fmt,
    str::FromStr,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// A point in time (UTC) to the nanosecond.
#[repr(C)]
#[derive(StableAbi, Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp {
    /// Whole seconds since 1970-01-01T00:00:00Z; negative before.
    pub seconds: i64,
    /// Nanoseconds past the second, below 1,000,000,000.
    pub nanos: u32,
}

impl Timestamp {
    /// The current time.
    pub fn now() -> Self {
        SystemTime::now().into()
    }

    /// This time moved back by `duration`.
    #[must_use]
    pub fn before(self, duration: Duration) -> Self {
        let nanos = i64::from(self.nanos) - i64::from(duration.subsec_nanos());
        let seconds = self
            .seconds
            .saturating_sub_unsigned(duration.as_secs())
            .saturating_add(nanos.div_euclid(1_000_000_000));
        Self {
            seconds,
            nanos: u32::try_from(nanos.rem_euclid(1_000_000_000)).unwrap_or(0),
        }
    }

    /// This time moved on by `duration`.
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        let nanos = self.nanos + duration.subsec_nanos();
        Self {
            seconds: self
                .seconds
                .saturating_add_unsigned(duration.as_secs())
                .saturating_add(i64::from(nanos / 1_000_000_000)),
            nanos: nanos % 1_000_000_000,
        }
    }

    /// How long ago this was; zero for a time in the future.
    pub fn elapsed(self) -> Duration {
        Self::now().since(self)
    }

    /// How much later this is than `earlier`; zero if it is not.
    pub fn since(self, earlier: Self) -> Duration {
        if self <= earlier {
            return Duration::ZERO;
        }
        let nanos = i128::from(self.seconds) - i128::from(earlier.seconds);
        let nanos = nanos * 1_000_000_000 + i128::from(self.nanos) - i128::from(earlier.nanos);
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

impl From<SystemTime> for Timestamp {
    fn from(time: SystemTime) -> Self {
        match time.duration_since(UNIX_EPOCH) {
            Ok(since) => Self {
                seconds: i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
                nanos: since.subsec_nanos(),
            },
            Err(before) => Self::default().before(before.duration()),
        }
    }
}

impl fmt::Display for Timestamp {
    /// RFC 3339 with nanoseconds. Times before 1970 show as seconds.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let since = u64::try_from(self.seconds)
            .ok()
            .and_then(|seconds| UNIX_EPOCH.checked_add(Duration::new(seconds, self.nanos)));
        match since {
            // The formatter rejects years past 9999.
            Some(time) if self.seconds < 253_402_300_800 => {
                write!(f, "{}", humantime::format_rfc3339_nanos(time))
            }
            _ => write!(f, "{}s{}ns since 1970", self.seconds, self.nanos),
        }
    }
}

impl FromStr for Timestamp {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        humantime::parse_rfc3339_weak(text)
            .map(Self::from)
            .map_err(|error| format!("\"{text}\" is not a time like 2026-01-31T12:00:00Z: {error}"))
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Text::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moves_across_a_second() {
        let time = Timestamp {
            seconds: 10,
            nanos: 5,
        };
        assert_eq!(
            time.before(Duration::from_nanos(6)),
            Timestamp {
                seconds: 9,
                nanos: 999_999_999
            }
        );
        assert_eq!(
            time.before(Duration::from_nanos(6))
                .after(Duration::from_nanos(6)),
            time
        );
    }

    #[test]
    fn text_round_trips_to_the_nanosecond() {
        let time = Timestamp {
            seconds: 1_790_000_000,
            nanos: 123_456_789,
        };
        assert_eq!(time.to_string().parse(), Ok(time));
    }
}
