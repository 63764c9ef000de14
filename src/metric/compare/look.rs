//! One look at a comparison: how it is counted, and how people read it. No I/O.

use std::fmt;

use jiff::Timestamp;

use super::claim::{Evidence, Found};
use crate::analysis::api::Metric;
use crate::rollout::api::Tally;

/// What one look at everything so far has found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Look {
    /// When the comparison began.
    pub since: Timestamp,
    /// How many intervals with data on both sides it was made on: its number.
    pub number: u32,
    /// How many looks are planned.
    pub planned: u32,
    /// What it has found.
    pub evidence: Evidence,
}

impl Look {
    /// Counts it: looks that found nothing worse are the good samples. One that settles the matter, or the last that
    /// was planned, counts for all that a good verdict needs.
    pub fn counted(&self, metric: &Metric, tally: &Tally) -> Tally {
        let mut tally = Tally {
            since: Some(self.since),
            taken: tally.taken.saturating_add(1),
            errors: 0,
            no_data: 0,
            ..tally.clone()
        };
        if self.evidence.found == Found::Worse {
            tally.failed = tally.failed.saturating_add(1);
            return tally;
        }
        let is_settled = self.evidence.found == Found::NotWorse
            && self.number >= metric.min_samples.unwrap_or(1)
            || self.number >= self.planned;
        let good = if is_settled {
            metric.min_samples()
        } else {
            self.number.saturating_sub(tally.failed)
        };
        tally.passed = tally.passed.max(good);
        tally
    }
}

impl fmt::Display for Look {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Evidence { found, shift, p } = self.evidence;
        let percent = (shift * 100.0).abs();
        if shift.is_nan() {
            write!(f, "nothing to compare on either side")?;
        } else if shift.is_infinite() {
            write!(f, "above stable, which has none")?;
        } else if shift >= 1.0 {
            write!(f, "{:.1} times stable", shift + 1.0)?;
        } else if percent < 0.5 {
            write!(f, "as stable")?;
        } else {
            let way = if shift > 0.0 { "higher" } else { "lower" };
            write!(f, "{percent:.0} % {way} than stable")?;
        }
        match found {
            Found::Worse => write!(f, ", worse")?,
            Found::NotWorse => write!(f, ", not worse")?,
            Found::Undecided => {}
        }
        if p < 0.0001 {
            write!(f, ", p < 0.0001")?;
        } else if p < 0.1 {
            write!(f, ", p = {p:.4}")?;
        } else {
            write!(f, ", p = {p:.2}")?;
        }
        write!(
            f,
            ", look {} of {}",
            self.number.min(self.planned),
            self.planned
        )
    }
}
