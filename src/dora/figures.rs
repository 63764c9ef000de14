//! Rates, medians and performance bands of what was counted. Pure.
//!
//! Bands are those of the clusters that DORA published in the Accelerate State of DevOps Report 2023, whose limits, unlike those of
//! the year after, go one way for every figure. Of the rework rate it has published none.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::api::{Band, DoraFrequency, DoraShare, DoraSpan, DoraStatus, DoraWindow};
use super::record::Ledger;
use super::tally::Tally;
use super::{DAY, Window};

/// Limits of the bands of change failure rates, in percent: the best, and those after it.
const FAILURES: [u64; 3] = [5, 10, 15];
/// Limits of the bands of lead times, in seconds: a day, a week, 30 days.
const LEADS: [u64; 3] = [86_400, 604_800, 2_592_000];
/// Limits of the bands of recovery times, in seconds: an hour, a day, a week.
const RECOVERIES: [u64; 3] = [3_600, 86_400, 604_800];

/// What an Environment shows of its figures at a time; nothing while nothing was ever deployed.
pub fn status(ledger: &Ledger, since: Timestamp, now: Timestamp) -> Option<DoraStatus> {
    if ledger.lines().is_empty() {
        return None;
    }
    let end = ledger.ends_at(now);
    let tallies = Tally::of_all(ledger, end, since);
    let windows = tallies.iter();
    let windows = windows.map(|(window, tally)| figures(tally, *window));
    Some(DoraStatus {
        at: Some(Time(end)),
        windows: windows.collect(),
    })
}

/// The five figures of what was counted.
pub fn figures(tally: &Tally, window: Window) -> DoraWindow {
    let share = |count, of| share(count, of, None);
    DoraWindow {
        window: window.as_str().to_owned(),
        frequency: frequency(tally.deployments, tally.seconds),
        lead_time: span(&tally.leads, LEADS),
        change_failures: self::share(tally.failed, tally.changes, Some(FAILURES)),
        recovery_time: span(&tally.recoveries, RECOVERIES),
        unrecovered: (tally.unrecovered > 0).then_some(tally.unrecovered),
        rework: share(tally.unplanned, tally.all),
    }
}

/// Elite: more than once a day. High: once a week at least. Medium: once in 30 days at least.
fn frequency(deployments: u32, seconds: i64) -> DoraFrequency {
    let count = i64::from(deployments);
    let band = if count * DAY > seconds {
        Band::Elite
    } else if count * DAY * 7 >= seconds {
        Band::High
    } else if count * DAY * 30 >= seconds {
        Band::Medium
    } else {
        Band::Low
    };
    DoraFrequency {
        deployments,
        per_day: decimal(count.saturating_mul(DAY), seconds),
        band,
    }
}

fn span(seconds: &[i64], limits: [u64; 3]) -> Option<DoraSpan> {
    let known = seconds.iter().filter_map(|one| u64::try_from(*one).ok());
    let mut sorted: Vec<u64> = known.collect();
    sorted.sort_unstable();
    let count = u64::try_from(sorted.len()).ok()?;
    let middle = sorted.len() / 2;
    let upper = *sorted.get(middle)?;
    let lower = if sorted.len().is_multiple_of(2) {
        *sorted.get(middle.checked_sub(1)?)?
    } else {
        upper
    };
    let median = lower.midpoint(upper);
    let sum = sorted
        .iter()
        .fold(0_u64, |sum, one| sum.saturating_add(*one));
    Some(DoraSpan {
        median_seconds: median,
        mean_seconds: sum.checked_div(count)?,
        count: u32::try_from(count).unwrap_or(u32::MAX),
        band: band(|limit| median < limit, limits),
    })
}

fn share(count: u32, of: u32, limits: Option<[u64; 3]>) -> Option<DoraShare> {
    let within = |limit: u64| u64::from(count) * 100 <= limit * u64::from(of);
    (of > 0).then(|| DoraShare {
        ratio: decimal(count.into(), of.into()),
        count,
        of,
        band: limits.map(|limits| band(within, limits)),
    })
}

fn band(within: impl Fn(u64) -> bool, [elite, high, medium]: [u64; 3]) -> Band {
    if within(elite) {
        Band::Elite
    } else if within(high) {
        Band::High
    } else if within(medium) {
        Band::Medium
    } else {
        Band::Low
    }
}

/// A quotient of whole numbers that are not negative, with four decimals, rounded half up.
fn decimal(count: i64, of: i64) -> String {
    let of = i128::from(of.max(1));
    let scaled = (i128::from(count) * 20_000 + of) / (2 * of);
    format!("{}.{:04}", scaled / 10_000, scaled % 10_000)
}
