//! Times at which nothing is promoted, and times at which something may be. No I/O.

use kube::core::Duration;
use schemars::{JsonSchema, Schema};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::schema::{self, closed_set};

closed_set! {
    /// What a window of time means.
    pub enum FreezeKind {
        /// Nothing is promoted while it is open.
        Deny,
        /// Something may be promoted while it is open; outside of all of these nothing is.
        Allow,
    }
}

/// Windows of time at which nothing is promoted, or something may be. Times are those of clocks on the wall in `timeZone`, also
/// on days on which clocks change: a window that a change of clocks makes ambiguous is as long as it can be where it denies. What
/// has started goes on.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = schema::Rules(&[
    ("has(self.rrule) ? has(self.start) && has(self.duration) && !has(self.cron) && !has(self.end) : has(self.cron) ? has(self.duration) && !has(self.start) && !has(self.end) : has(self.start) && has(self.end) && !has(self.duration)",
     "a freeze is one of three: start and end, once; rrule with start and duration; cron with duration"),
    ("!has(self.end) || !has(self.start) || self.start < self.end",
     "end must be later than start"),
    ("!has(self.duration) || duration(self.duration) <= duration('744h')",
     "duration must be at most 744h (31 days)"),
    ("!has(self.maxDeploys) || self.kind == 'Allow'",
     "maxDeploys is for windows of kind Allow"),
]))]
pub struct Freeze {
    /// Name of the freeze. Example: `holidays`.
    #[schemars(transform = schema::name)]
    pub name: String,
    /// What its windows mean: `Deny` or `Allow`.
    pub kind: FreezeKind,
    /// Beginning of the first window, without an offset. Example: `2026-12-23T00:00:00`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = wall_time)]
    pub start: Option<String>,
    /// End of the only window, without an offset. Example: `2027-01-02T00:00:00`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = wall_time)]
    pub end: Option<String>,
    /// When windows begin again after `start`: a rule of RFC 5545 with FREQ DAILY, WEEKLY, MONTHLY or YEARLY.
    /// Example: `FREQ=WEEKLY;BYDAY=FR`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = rrule)]
    pub rrule: Option<String>,
    /// When windows begin: minute, hour, day of the month, month, day of the week. Example: `0 9 * * MON-FRI`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::cron)]
    pub cron: Option<String>,
    /// How long a window is open, by the clock on the wall. A duration of at most `744h`. Example: `8h`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::duration)]
    pub duration: Option<Duration>,
    /// Name of the time zone in the IANA database. Default `UTC`. Example: `Europe/Madrid`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::zone)]
    pub time_zone: Option<String>,
    /// Number of promotions that may start in one window, 1 to 100; rollbacks do not count. Default: any. Example: `3`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub max_deploys: Option<u32>,
}

fn wall_time(schema: &mut Schema) {
    schema.insert("maxLength".to_owned(), 19.into());
    let rule = "self.matches('^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])T([01][0-9]|2[0-3])(:[0-5][0-9]){2}$')";
    let message = "must be a time without an offset, such as 2026-12-23T00:00:00";
    schema.insert(
        "x-kubernetes-validations".to_owned(),
        json!([{"rule": rule, "message": message}]),
    );
}

fn rrule(schema: &mut Schema) {
    schema.insert("maxLength".to_owned(), 256.into());
    let rule = "self.matches('^FREQ=(DAILY|WEEKLY|MONTHLY|YEARLY)(;[A-Z]+=[A-Z0-9,+-]+)*$')";
    let message = "must be a rule such as FREQ=WEEKLY;BYDAY=FR, with FREQ first: DAILY, WEEKLY, MONTHLY or YEARLY";
    schema.insert(
        "x-kubernetes-validations".to_owned(),
        json!([{"rule": rule, "message": message}]),
    );
}
