//! Comparing the canary with stable: values, or ratios, of both over the same time, looked at again and again. No I/O.
//!
//! [`claim::Claim`] says what would be worse; [`ratio`] and [`rank`] are the two tests. Each is a function of all intervals so far,
//! which are asked for anew at every look: nothing of them is remembered in between, so nothing can get lost.
//! `docs/comparison.md` has the formulas with their sources, and what they were measured to do.

pub mod claim;
pub mod look;
pub mod rank;
pub mod ratio;
pub mod series;
pub mod spending;

use std::time::Duration;

use super::Sample;
use super::provider::prometheus;
use super::provider::{Credentials, Window, connected};
use crate::analysis::api::compare::{Comparison, Test};
use crate::model::access::{FORM, form};
use crate::model::action::{Reply, Request};
use claim::Claim;
use look::Look;
use rank::Pair;
use series::{Part, Series};

/// Most intervals that are asked for: in a longer comparison intervals are put together.
const MOST: u32 = 240;

/// So many intervals without events on one side are no data.
const SILENCE: usize = 4;

/// The request for everything since the comparison began: one range query for all series, so that they are of one moment.
pub fn request(
    of: &Comparison,
    credentials: &Credentials,
    window: &Window,
    timeout: Duration,
) -> Request {
    let side = |part: Part, query: &str| {
        // A line of its own, because the query may end in a comment.
        format!(
            "label_replace((\n{query}\n), \"{}\", \"{}\", \"\", \"\")",
            series::LABEL,
            part.as_str()
        )
    };
    let queries = &of.prometheus;
    let mut sides = vec![
        side(Part::Grid, "vector(1)"),
        side(Part::Canary, &queries.canary),
        side(Part::Stable, &queries.stable),
    ];
    let totals = [
        (Part::CanaryTotal, &queries.canary_total),
        (Part::StableTotal, &queries.stable_total),
    ];
    let totals = totals.iter().filter_map(|(part, query)| {
        let query = query.as_deref()?;
        Some(side(*part, query))
    });
    sides.extend(totals);
    let (start, step, end) = grid(of, window);
    let [start, step, end] = [start, step, end].map(|seconds| seconds.to_string());
    let body = form(&[
        ("query", &sides.join(" or ")),
        ("start", &start),
        ("end", &end),
        ("step", &step),
    ]);
    let address = queries.address.trim_end_matches('/');
    let request = Request::post(format!("{address}/api/v1/query_range"), FORM, body, timeout);
    connected(request, &queries.connection, credentials)
}

/// First point, step and last point, in seconds. With it, all points are at the same times in every look.
fn grid(of: &Comparison, window: &Window) -> (i64, i64, i64) {
    let start = window.since.as_second();
    let interval = i64::try_from(window.interval.as_secs())
        .unwrap_or(i64::MAX)
        .max(1);
    let passed = window.now.as_second().saturating_sub(start).max(0);
    let most = i64::from(MOST);
    let intervals = (passed / interval).max(1);
    match of.test {
        // No look comes after the last that was planned.
        Test::MannWhitney => (start, interval, start + interval * intervals.min(most)),
        Test::Ratio => {
            let together = interval.saturating_mul((intervals + most - 1) / most);
            let whole = (passed / together).max(1);
            (
                start,
                together,
                start.saturating_add(together.saturating_mul(whole)),
            )
        }
    }
}

/// What the reply says.
pub fn read(of: &Comparison, planned: u32, reply: &Reply) -> Sample {
    let answer = prometheus::answer(reply);
    let series = answer.and_then(|answer| Series::of(&answer));
    match series.and_then(|series| look(of, planned, &series)) {
        Ok(Some(look)) => Sample::Compared(look),
        Ok(None) => Sample::Empty,
        Err(problem) => Sample::Error(problem),
    }
}

fn look(of: &Comparison, planned: u32, series: &Series) -> Result<Option<Look>, String> {
    let claim = Claim {
        worse: of.worse(),
        tolerance: of.tolerance(),
        alpha: of.alpha(),
    };
    let (number, evidence) = match of.test {
        Test::Ratio => {
            let intervals = series.intervals()?;
            let latest = intervals.iter().rev().take(SILENCE);
            if !latest.clone().any(ratio::Interval::is_usable) {
                return Ok(None);
            }
            let usable = intervals.iter().filter(|interval| interval.is_usable());
            (
                usable.count(),
                ratio::test(&intervals, series.step(), &claim),
            )
        }
        Test::MannWhitney => {
            let pairs = series.pairs()?;
            let latest = pairs.iter().rev().take(SILENCE);
            if !latest.clone().any(Option::is_some) {
                return Ok(None);
            }
            let usable: Vec<Pair> = pairs.iter().flatten().copied().collect();
            (usable.len(), rank::test(&usable, planned, &claim))
        }
    };
    Ok(Some(Look {
        since: series.since(),
        number: u32::try_from(number).unwrap_or(u32::MAX),
        planned,
        evidence,
    }))
}

/// How long an interval of a comparison is at most taken to be: a step that Prometheus did not tell.
const UNTOLD: Duration = Duration::from_mins(1);

#[cfg(test)]
mod tests;
