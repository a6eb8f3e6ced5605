//! [`Timestamp`]: a point in time.

use crate::ffi::Text;
use abi_stable::StableAbi;
use chrono::{DateTime, Datelike as _, SecondsFormat};
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
    /// RFC 3339 with nanoseconds; as seconds for a year that it cannot express.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match DateTime::from_timestamp(self.seconds, self.nanos) {
            Some(time) if (0..=9999).contains(&time.year()) => {
                f.write_str(&time.to_rfc3339_opts(SecondsFormat::Nanos, true))
            }
            _ => write!(f, "{}s{}ns since 1970", self.seconds, self.nanos),
        }
    }
}

impl FromStr for Timestamp {
    type Err = String;

    /// Reads RFC 3339, with any offset; without one it is UTC.
    fn from_str(text: &str) -> Result<Self, String> {
        let time = DateTime::parse_from_rfc3339(text)
            .or_else(|error| DateTime::parse_from_rfc3339(&format!("{text}Z")).map_err(|_| error))
            .map_err(|error| {
                format!(
                    "\"{text}\" is not a time like 2026-01-31T12:00:00Z or \
                     2026-01-31T13:00:00+01:00: {error}"
                )
            })?;
        // A leap second has more nanoseconds than fit in a second.
        let start = Self {
            seconds: time.timestamp(),
            nanos: 0,
        };
        Ok(start.after(Duration::from_nanos(time.timestamp_subsec_nanos().into())))
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

    #[test]
    fn times_have_any_offset_and_may_be_before_1970() {
        let time = |seconds, nanos| Timestamp { seconds, nanos };
        for (text, expected) in [
            ("1970-01-01T01:00:00+01:00", time(0, 0)),
            ("1969-12-31T23:59:59.25Z", time(-1, 250_000_000)),
            ("1969-12-31T18:30:00-05:00", time(-1800, 0)),
            ("1970-01-01 00:00:01", time(1, 0)),
            ("1970-01-01T00:00:01", time(1, 0)),
            ("0001-01-01T00:00:00Z", time(-62_135_596_800, 0)),
            ("2016-12-31T23:59:60Z", time(1_483_228_800, 0)),
        ] {
            assert_eq!(text.parse(), Ok(expected), "{text}");
            assert_eq!(expected.to_string().parse(), Ok(expected), "{expected}");
        }
        let early = time(-1, 250_000_000);
        assert_eq!(early.to_string(), "1969-12-31T23:59:59.250000000Z");
        for wrong in ["", "yesterday", "2026-13-01T00:00:00Z", "2026-01-01"] {
            let error = Timestamp::from_str(wrong).err();
            assert!(error.is_some_and(|text| text.contains("+01:00")), "{wrong}");
        }
        for extreme in [i64::MIN, i64::MAX, 253_402_300_800] {
            assert!(time(extreme, 0).to_string().contains("since 1970"));
        }
    }
}
