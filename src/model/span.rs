//! Spans and points of time, as people read them. No I/O.

use std::fmt::Write;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

/// The second that a point of time is in: the API server keeps no finer ones, and what counted finer would not know its own
/// records again.
pub fn whole_second(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second()).unwrap_or(at)
}

/// A span as people write it in a spec: `15m`, `1h30m`, `1m30s`, `500ms`; `0s` for none.
pub fn span(of: Duration) -> String {
    let seconds = of.as_secs();
    let parts = [
        (seconds / 3600, "h"),
        (seconds / 60 % 60, "m"),
        (seconds % 60, "s"),
        (u64::from(of.subsec_millis()), "ms"),
    ];
    join(parts.into_iter())
}

/// The two largest units of a span, as in the ages that kubectl shows: `3d4h`, `5m20s`.
pub fn rough(of: Duration) -> String {
    let seconds = of.as_secs();
    let parts = [
        (seconds / 86_400, "d"),
        (seconds / 3600 % 24, "h"),
        (seconds / 60 % 60, "m"),
        (seconds % 60, "s"),
    ];
    let first = parts.iter().position(|(count, _)| *count > 0);
    join(parts.into_iter().skip(first.unwrap_or(3)).take(2))
}

fn join(parts: impl Iterator<Item = (u64, &'static str)>) -> String {
    let mut text = String::new();
    for (count, unit) in parts.filter(|(count, _)| *count > 0) {
        // Writing to a String cannot fail.
        let _ = write!(text, "{count}{unit}");
    }
    if text.is_empty() {
        text.push_str("0s");
    }
    text
}

/// A point in time, and a span later; the end of time where that is beyond it.
pub fn after(at: Timestamp, span: Duration) -> Timestamp {
    later(
        at,
        SignedDuration::try_from(span).unwrap_or(SignedDuration::MAX),
    )
}

/// The same for a span that may be negative.
pub fn later(at: Timestamp, span: SignedDuration) -> Timestamp {
    at.checked_add(span).unwrap_or(Timestamp::MAX)
}

/// When something is due again that is done once in so long, unless that is now; `last` is when it was done, if it ever was.
pub fn due_again(
    last: Option<Timestamp>,
    every: SignedDuration,
    now: Timestamp,
) -> Option<Timestamp> {
    last.map(|last| later(last, every)).filter(|due| *due > now)
}

/// The earlier of two points in time, of which there may have been none so far.
pub fn earliest(known: Option<Timestamp>, at: Timestamp) -> Option<Timestamp> {
    Some(known.map_or(at, |known| known.min(at)))
}

/// A point in time as objects have it, to the second: `2027-01-15T08:15:00Z`.
pub fn exact(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// The time of day of it: `08:15:00Z`.
pub fn time_of_day(at: Timestamp) -> String {
    at.strftime("%H:%M:%SZ").to_string()
}

/// A point in time, both ways: `2027-01-15T08:15:00Z (in 12m)`.
pub fn moment(at: Timestamp, now: Timestamp) -> String {
    format!("{} ({})", exact(at), relative(at, now))
}

/// A point in time, seen from now: `in 12m`, `5m20s ago`, `now`.
pub fn relative(at: Timestamp, now: Timestamp) -> String {
    let apart = at.duration_since(now);
    if apart.abs() < SignedDuration::from_secs(1) {
        return "now".to_owned();
    }
    let text = rough(apart.unsigned_abs());
    if apart.is_positive() {
        format!("in {text}")
    } else {
        format!("{text} ago")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::constant(1_800_000_000, 0);

    #[test]
    fn a_span_reads_as_it_is_written() {
        let table = [
            (0, "0s"),
            (500, "500ms"),
            (90_000, "1m30s"),
            (5_400_000, "1h30m"),
            (172_800_000, "48h"),
            (1_500, "1s500ms"),
        ];
        for (millis, text) in table {
            assert_eq!(span(Duration::from_millis(millis)), text);
        }
    }

    #[test]
    fn no_span_leads_beyond_the_end_of_time() {
        assert_eq!(after(NOW, Duration::MAX), Timestamp::MAX);
        assert_eq!(later(NOW, SignedDuration::MAX), Timestamp::MAX);
        assert_eq!(
            later(NOW, SignedDuration::from_secs(-1)).as_second(),
            1_799_999_999
        );
    }

    #[test]
    fn what_was_never_done_is_due_now() {
        let minute = SignedDuration::from_mins(1);
        assert_eq!(due_again(None, minute, NOW), None);
        assert_eq!(due_again(Some(NOW), minute, NOW), Some(NOW + minute));
        assert_eq!(due_again(Some(NOW), minute, NOW + minute), None);
    }

    #[test]
    fn the_earlier_one_counts() {
        let soon = NOW + SignedDuration::from_secs(1);
        assert_eq!(earliest(None, soon), Some(soon));
        assert_eq!(earliest(Some(NOW), soon), Some(NOW));
        assert_eq!(earliest(Some(soon), NOW), Some(NOW));
    }

    #[test]
    fn a_point_in_time_is_told_both_ways() {
        let at = |seconds| NOW + SignedDuration::from_secs(seconds);
        assert_eq!(moment(at(740), NOW), "2027-01-15T08:12:20Z (in 12m20s)");
        assert_eq!(relative(at(-320), NOW), "5m20s ago");
        assert_eq!(relative(at(-93_784), NOW), "1d2h ago");
        assert_eq!(relative(at(3600), NOW), "in 1h");
        assert_eq!(relative(NOW, NOW), "now");
        assert_eq!(time_of_day(NOW), "08:00:00Z");
    }
}
