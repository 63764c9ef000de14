//! When windows of a freeze are open: RRULE and cron in a time zone, from what people wrote and the time. No I/O.
//!
//! Both are counted on the clock on the wall, and only what comes out is turned into points in time: so both mean the same on the
//! days on which clocks change, and the only time zone database is the one that is compiled in. A wall time that there is not
//! (clocks go forward) or twice (they go back) is taken so that a window which denies is as long as it can be; a window which
//! allows begins and ends at the first of two, or as much later as the clocks went forward.

use std::time::Duration;

use croner::Cron;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use rrule::RRuleSet;

use super::api::{Freeze, FreezeKind};
use crate::model::zone;

/// Most windows that are counted for one answer.
const MOST: usize = 20_000;
/// No clock is moved by more.
const SLACK: SignedDuration = SignedDuration::from_hours(4);

/// A window of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Its beginning.
    pub start: Timestamp,
    /// Its end, which is not part of it.
    pub end: Timestamp,
}

/// The windows around a point in time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct At {
    /// The window that is open: all that overlap are one.
    pub open: Option<Window>,
    /// When the next one opens.
    pub next: Option<Timestamp>,
}

/// The windows of a freeze at a point in time.
///
/// # Errors
/// Says which field cannot be read, and what to write instead.
pub fn at(freeze: &Freeze, now: Timestamp) -> Result<At, String> {
    let zone = zone::named(freeze.time_zone.as_deref())?;
    let length = match (&freeze.start, &freeze.end, freeze.duration) {
        (_, _, Some(duration)) => {
            SignedDuration::try_from(Duration::from(duration)).unwrap_or(SignedDuration::MAX)
        }
        (Some(start), Some(end), None) => wall("end", end)?.duration_since(wall("start", start)?),
        _ => return Err("it has neither duration nor start and end".to_owned()),
    };
    let here = zone.to_datetime(now);
    let back = length.checked_add(SLACK).unwrap_or(SignedDuration::MAX);
    let from = here.checked_sub(back).unwrap_or(DateTime::MIN);
    let mut found = At::default();
    for start in starts(freeze, from)? {
        let start = start?;
        let window = window(freeze.kind, &zone, start, length)?;
        if window.start > now {
            found.next = Some(window.start);
            break;
        }
        if window.end > now {
            let known = found.open.unwrap_or(window);
            found.open = Some(Window {
                start: known.start.min(window.start),
                end: known.end.max(window.end),
            });
        }
    }
    Ok(found)
}

fn window(
    kind: FreezeKind,
    zone: &TimeZone,
    start: DateTime,
    length: SignedDuration,
) -> Result<Window, String> {
    let end = start.checked_add(length).unwrap_or(DateTime::MAX);
    let (start, end) = (
        zone.to_ambiguous_timestamp(start),
        zone.to_ambiguous_timestamp(end),
    );
    let (start, end) = match kind {
        FreezeKind::Deny => (start.earlier(), end.later()),
        FreezeKind::Allow => (start.compatible(), end.compatible()),
    };
    let outside = |error: jiff::Error| format!("it leaves the calendar: {error}");
    Ok(Window {
        start: start.map_err(outside)?,
        end: end.map_err(outside)?,
    })
}

fn wall(field: &str, text: &str) -> Result<DateTime, String> {
    let read = text.parse::<DateTime>();
    read.map_err(|_| format!("{field} is no date that there is: {text}"))
}

type Starts = Box<dyn Iterator<Item = Result<DateTime, String>>>;

/// When windows begin, from some time on, in order.
fn starts(freeze: &Freeze, from: DateTime) -> Result<Starts, String> {
    let start = freeze.start.as_deref().map(|start| wall("start", start));
    let start = start.transpose()?;
    if let Some(cron) = &freeze.cron {
        return by_cron(cron, from);
    }
    let Some(start) = start else {
        return Err("it says neither start nor cron".to_owned());
    };
    match &freeze.rrule {
        Some(rule) => by_rule(rule, start, from),
        None => Ok(Box::new(std::iter::once(Ok(start)))),
    }
}

fn by_cron(text: &str, from: DateTime) -> Result<Starts, String> {
    let cron = text
        .parse::<Cron>()
        .map_err(|error| format!("cron {text} cannot be read: {error}"))?;
    let mut at = Some(from);
    let mut left = MOST;
    Ok(Box::new(std::iter::from_fn(move || {
        let after = at?;
        left = left.saturating_sub(1);
        if left == 0 {
            at = None;
            return Some(Err(too_many()));
        }
        // There is a last one for who asks for a year that is over, and none for the 30th of February.
        let next = cron.find_next_occurrence(&after, false).ok();
        at = next;
        next.map(Ok)
    })))
}

fn by_rule(rule: &str, start: DateTime, from: DateTime) -> Result<Starts, String> {
    let bad = |why: &str| format!("rrule {rule} cannot be read: {why}");
    // What stands in it is checked by the API server too; a line of its own would be another property.
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "=;,+-".contains(c);
    if !rule.chars().all(is_plain) {
        return Err(bad("it has characters that no rule has"));
    }
    // The library counts in UTC, which has every wall time once.
    let first = start.strftime("%Y%m%dT%H%M%SZ");
    let text = format!("DTSTART:{first}\nRRULE:{rule}");
    let set: RRuleSet = text
        .parse()
        .map_err(|error: rrule::RRuleError| bad(&error.to_string()))?;
    let counted = set.into_iter().take(MOST + 1).enumerate();
    let civil = counted.map(|(index, at)| {
        if index >= MOST {
            return Err(too_many());
        }
        let at = Timestamp::from_second(at.timestamp());
        let at = at.map_err(|error| format!("it leaves the calendar: {error}"))?;
        Ok(TimeZone::UTC.to_datetime(at))
    });
    Ok(Box::new(civil.filter(move |at| {
        at.as_ref().map_or(true, |at| *at >= from)
    })))
}

fn too_many() -> String {
    format!("it has more than {MOST} windows up to now: let it begin later, or less often")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn freeze(rest: &Value) -> Freeze {
        let mut freeze = json!({"name": "f", "kind": "Deny"});
        json_patch::merge(&mut freeze, rest);
        serde_json::from_value(freeze).unwrap()
    }

    fn time(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn told(rest: &Value, now: &str) -> (Option<(String, String)>, Option<String>) {
        let at = at(&freeze(rest), time(now)).unwrap();
        let open = at
            .open
            .map(|open| (open.start.to_string(), open.end.to_string()));
        (open, at.next.map(|next| next.to_string()))
    }

    fn open(start: &str, end: &str) -> (String, String) {
        (start.to_owned(), end.to_owned())
    }

    #[test]
    fn a_freeze_once_is_open_from_its_start_and_not_at_its_end() {
        let holidays = json!({"start": "2026-12-23T00:00:00", "end": "2027-01-02T00:00:00",
                              "timeZone": "Europe/Madrid"});
        let whole = Some(open("2026-12-22T23:00:00Z", "2027-01-01T23:00:00Z"));
        assert_eq!(
            told(&holidays, "2026-12-22T22:59:59Z"),
            (None, Some("2026-12-22T23:00:00Z".into()))
        );
        assert_eq!(
            told(&holidays, "2026-12-22T23:00:00Z"),
            (whole.clone(), None)
        );
        assert_eq!(told(&holidays, "2027-01-01T22:59:59Z"), (whole, None));
        assert_eq!(told(&holidays, "2027-01-01T23:00:00Z"), (None, None));
    }

    #[test]
    fn an_rrule_and_a_cron_keep_to_the_clock_on_the_wall_when_clocks_change() {
        // Clocks go forward on 28 March 2027 and back on 31 October 2027.
        let rule = json!({"rrule": "FREQ=WEEKLY;BYDAY=FR", "start": "2026-01-02T15:00:00", "duration": "9h",
                          "timeZone": "Europe/Madrid"});
        let cron = json!({"cron": "0 15 * * FRI", "duration": "9h", "timeZone": "Europe/Madrid"});
        for weekly in [rule, cron] {
            assert_eq!(
                told(&weekly, "2027-03-26T14:00:00Z"),
                (
                    Some(open("2027-03-26T14:00:00Z", "2027-03-26T23:00:00Z")),
                    Some("2027-04-02T13:00:00Z".into())
                ),
                "{weekly}"
            );
            assert_eq!(
                told(&weekly, "2027-10-29T12:59:59Z"),
                (None, Some("2027-10-29T13:00:00Z".into()))
            );
            assert_eq!(
                told(&weekly, "2027-11-01T00:00:00Z").1.as_deref(),
                Some("2027-11-05T14:00:00Z")
            );
        }
    }

    #[test]
    fn a_window_over_a_change_of_clocks_denies_as_long_as_it_can_and_allows_once() {
        let night = |kind: &str, at: &str| json!({"kind": kind, "cron": at, "duration": "1h", "timeZone": "Europe/Madrid"});
        // 02:00 to 03:00 is there twice on 31 October 2027: from 00:00 to 01:00 and from 01:00 to 02:00 in UTC.
        let back = "0 2 * * *";
        assert_eq!(
            told(&night("Deny", back), "2027-10-31T01:30:00Z").0,
            Some(open("2027-10-31T00:00:00Z", "2027-10-31T02:00:00Z"))
        );
        // It is not there on 28 March 2027.
        assert_eq!(
            told(&night("Deny", back), "2027-03-28T00:30:00Z").0,
            Some(open("2027-03-28T00:00:00Z", "2027-03-28T01:00:00Z"))
        );
        let allowed = night("Allow", "30 2 * * *");
        assert_eq!(told(&allowed, "2027-03-28T01:30:00Z").0, None);
        assert_eq!(
            told(&allowed, "2027-10-31T00:30:00Z").0,
            Some(open("2027-10-31T00:30:00Z", "2027-10-31T02:30:00Z"))
        );
    }

    #[test]
    fn windows_that_overlap_are_one() {
        let often = json!({"cron": "0 * * * *", "duration": "90m"});
        assert_eq!(
            told(&often, "2027-01-01T10:15:00Z"),
            (
                Some(open("2027-01-01T09:00:00Z", "2027-01-01T11:30:00Z")),
                Some("2027-01-01T11:00:00Z".into())
            )
        );
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        for (rest, says) in [
            (
                json!({"cron": "0 9 * * *", "duration": "1h", "timeZone": "Mars/Olympus"}),
                "no time zone Mars/Olympus",
            ),
            (
                json!({"cron": "99 9 * * *", "duration": "1h"}),
                "cron 99 9 * * * cannot be read",
            ),
            (
                json!({"rrule": "FREQ=WEEKLY;BYDAY=XX", "start": "2026-01-02T15:00:00", "duration": "1h"}),
                "cannot be read",
            ),
            (
                json!({"rrule": "FREQ=DAILY\nRDATE:20260101T000000Z", "start": "2026-01-02T15:00:00", "duration": "1h"}),
                "characters that no rule has",
            ),
            (
                json!({"start": "2026-02-30T15:00:00", "end": "2026-03-01T00:00:00"}),
                "start is no date",
            ),
            (
                json!({"rrule": "FREQ=DAILY;BYHOUR=0,1,2,3,4,5,6,7,8,9;BYMINUTE=0,10,20,30,40,50", "start": "2020-01-01T00:00:00",
                       "duration": "1m"}),
                "more than 20000 windows",
            ),
        ] {
            let error = at(&freeze(&rest), time("2027-01-01T00:00:00Z")).unwrap_err();
            assert!(error.contains(says), "{error}");
        }
        assert_eq!(
            told(
                &json!({"cron": "0 0 30 2 *", "duration": "1h"}),
                "2027-01-01T00:00:00Z"
            ),
            (None, None)
        );
    }

    proptest! {
        /// Whatever the zone: a point in time is in the window that is said to be open, and before the next one.
        #[test]
        fn now_is_inside_of_what_is_open_and_before_what_is_next(
            second in 1_700_000_000_i64..2_000_000_000,
            zone in prop::sample::select(vec!["UTC", "Europe/Madrid", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu"]),
            hour in 0..24_u32,
            length in 1..72_u32,
            is_deny: bool,
        ) {
            let now = Timestamp::from_second(second).unwrap();
            let kind = if is_deny { "Deny" } else { "Allow" };
            let cron = json!({"kind": kind, "cron": format!("0 {hour} * * *"), "duration": format!("{length}h"), "timeZone": zone});
            let rule = json!({"kind": kind, "rrule": "FREQ=DAILY", "start": format!("2023-01-01T{hour:02}:00:00"),
                              "duration": format!("{length}h"), "timeZone": zone});
            let found = at(&freeze(&cron), now).unwrap();
            prop_assert_eq!(found, at(&freeze(&rule), now).unwrap());
            if let Some(open) = found.open {
                prop_assert!(open.start <= now && now < open.end);
            }
            prop_assert!(found.next.unwrap() > now);
            prop_assert!(length < 26 || found.open.is_some(), "{:?}", found);
        }
    }
}
