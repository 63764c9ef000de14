//! Whose a burn is, of the promotions that are watched. No I/O.
//!
//! It is of the last one that started while nothing burnt yet: a row that pages burnt at its short window at the start of
//! each that started after it, and of none when it started. And it has to be true with nothing but the requests counted as
//! failed that did so since: what burnt before all of them is people's, going back would not end it.

use jiff::Timestamp;
use serde::Serialize;

use super::{Answers, Slos, burnt_before, fresh, since_only};
use crate::slo::Slo;
use crate::slo::reading::Reading;

/// A promotion whose effect on the SLOs is watched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Watch {
    /// Its name.
    pub promotion: String,
    /// When it started.
    pub since: Timestamp,
}

impl Watch {
    /// How long ago it started, in seconds.
    pub fn elapsed(&self, now: Timestamp) -> u64 {
        u64::try_from(now.duration_since(self.since).as_secs()).unwrap_or(0)
    }
}

/// A promotion that burns a budget.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blame {
    /// Its name.
    pub promotion: String,
    /// What burns, in words.
    pub because: String,
}

impl Slos<'_> {
    /// The promotion that is to blame for what burns of an SLO now; nobody, as long as something is not known of it.
    pub(super) fn blame(
        &self,
        slo: &Slo,
        answers: &Answers,
        burning: &Reading,
        now: Timestamp,
    ) -> Option<Blame> {
        for watch in &self.watches {
            let before = answers.get(&self.before_key(slo, watch))?;
            if burnt_before(slo, &Reading::read(&before.reply).ok()?) {
                continue;
            }
            let since = fresh(answers, &self.since_key(slo, watch), now)?;
            let since = Reading::read(&since.reply).ok()?;
            let because = since_only(slo, &burning.clone().with(since))?;
            return Some(Blame {
                promotion: watch.promotion.clone(),
                because: format!("SLO {} {because}", slo.name),
            });
        }
        None
    }
}
