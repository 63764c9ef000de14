//! A point in time as people say it: as such, or as how long ago it was. No I/O.

use std::str::FromStr;
use std::time::Duration;

use jiff::{RoundMode, Timestamp, TimestampRound, Unit};

/// A time, or how long ago it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// That time.
    At(Timestamp),
    /// So long before now.
    Ago(Duration),
}

impl FromStr for Moment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "now" {
            return Ok(Self::Ago(Duration::ZERO));
        }
        if let Ok(at) = text.parse() {
            return Ok(Self::At(at));
        }
        let ago = text.parse::<kube::core::Duration>().ok();
        let ago = ago.filter(|ago| !ago.is_negative());
        ago.map(|ago| Self::Ago(ago.into())).ok_or_else(|| {
            "is neither a time (2026-11-26T09:30:00Z) nor how long ago it was (2h, 90m; days are written in hours)".to_owned()
        })
    }
}

impl Moment {
    /// The time itself, to the second: that is how exactly people look back.
    pub fn before(self, now: Timestamp) -> Timestamp {
        let at = match self {
            Self::At(at) => at,
            // The beginning of time is long enough ago.
            Self::Ago(ago) => now.checked_sub(ago).unwrap_or(Timestamp::UNIX_EPOCH),
        };
        let whole = TimestampRound::new()
            .smallest(Unit::Second)
            .mode(RoundMode::Floor);
        at.round(whole).unwrap_or(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_said_as_such_or_as_how_long_ago() {
        let now: Timestamp = "2026-11-26T12:00:00.7Z".parse().unwrap();
        let at = |text: &str| {
            let moment = text.parse::<Moment>()?;
            Ok::<_, String>(moment.before(now).to_string())
        };
        for (text, wanted) in [
            ("2026-11-26T09:30:00Z", "2026-11-26T09:30:00Z"),
            ("2026-11-26T10:30:00.9+01:00", "2026-11-26T09:30:00Z"),
            ("90m", "2026-11-26T10:30:00Z"),
            ("0s", "2026-11-26T12:00:00Z"),
            ("now", "2026-11-26T12:00:00Z"),
        ] {
            assert_eq!(at(text).unwrap(), wanted, "{text}");
        }
        assert!(at("yesterday").unwrap_err().contains("how long ago"));
        assert!(at("-5m").is_err());
    }
}
