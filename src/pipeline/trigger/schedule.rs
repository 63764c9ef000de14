//! Triggers by the clock on the wall. A time is counted on that clock and turned into a point in time afterwards, so that it
//! means the same on days on which clocks change: one that is left out counts later by as much as the clocks went forward, one
//! that is there twice counts the first time. No I/O.

use croner::Cron;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::super::api::{PipelineSpec, ScheduleStatus, ScheduleTrigger};
use crate::model::zone;

/// No clock is moved by more.
const SLACK: SignedDuration = SignedDuration::from_hours(4);
/// Most times that are counted for one answer: every minute of a day and more.
const MOST: usize = 3000;

/// The times of a trigger around now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Times {
    /// The last one that is not over for good.
    pub due: Option<Timestamp>,
    /// The next one.
    pub next: Option<Timestamp>,
}

/// Checks that a schedule can be read.
///
/// # Errors
/// Says what to write instead.
pub fn check(trigger: &ScheduleTrigger) -> Result<(), String> {
    parts(trigger).map(drop)
}

fn parts(trigger: &ScheduleTrigger) -> Result<(Cron, TimeZone), String> {
    let zone = zone::named(trigger.time_zone.as_deref())?;
    let text = &trigger.cron;
    let cron = text
        .parse::<Cron>()
        .map_err(|error| format!("cron {text} cannot be read: {error}"))?;
    Ok((cron, zone))
}

/// The times of a trigger: the last one after `since` that may still start, and the next one.
///
/// # Errors
/// As for [`check`].
pub fn times(trigger: &ScheduleTrigger, since: Timestamp, now: Timestamp) -> Result<Times, String> {
    let (cron, zone) = parts(trigger)?;
    let deadline = SignedDuration::try_from(trigger.starting_deadline());
    let deadline = deadline.unwrap_or(SignedDuration::MAX);
    let earliest = now.checked_sub(deadline).unwrap_or(Timestamp::MIN);
    // After a long outage nobody counts what is over anyway.
    let from = since.max(earliest);
    let wall = zone.to_datetime(from);
    let mut at = wall.checked_sub(SLACK).unwrap_or(DateTime::MIN);
    let mut times = Times::default();
    for _ in 0..MOST {
        // There is a last one for who asks for a year that is over, and none for the 30th of February.
        let Ok(wall) = cron.find_next_occurrence(&at, false) else {
            break;
        };
        at = wall;
        let Ok(time) = zone.to_ambiguous_timestamp(wall).compatible() else {
            break;
        };
        if time > now {
            times.next = Some(time);
            break;
        }
        if time > since && time >= earliest {
            times.due = Some(time);
        }
    }
    Ok(times)
}

/// What the record of a trigger is of.
pub fn rule_of(spec: &PipelineSpec, trigger: &ScheduleTrigger) -> String {
    let branch = branch_of(spec, trigger);
    let zone = trigger.time_zone.as_deref().unwrap_or("UTC");
    format!("{} {zone} {branch}", trigger.cron)
}

/// The branch that is run.
pub fn branch_of<'a>(spec: &'a PipelineSpec, trigger: &'a ScheduleTrigger) -> &'a str {
    trigger.branch.as_deref().unwrap_or(&spec.source.git.branch)
}

/// The record of a trigger, begun anew where it is of another rule: times before that start nothing.
pub fn record(
    known: &[ScheduleStatus],
    name: &str,
    rule: String,
    now: Timestamp,
) -> ScheduleStatus {
    let found = known
        .iter()
        .find(|known| known.name == name && known.rule == rule);
    found.cloned().unwrap_or(ScheduleStatus {
        name: name.to_owned(),
        rule,
        last_at: Time(now),
        next_at: None,
    })
}
