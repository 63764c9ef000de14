//! Lines for tests.

use jiff::Timestamp;

use super::record::{Line, Trouble};
use crate::promotion::api::{PromotionKind, PromotionPhase};

/// A time as people write it.
pub(crate) fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// A promotion that succeeded.
pub(crate) fn promoted(number: u32, release: &str, finished_at: &str) -> Line {
    Line {
        uid: format!("uid-{number}"),
        promotion: format!("production-{number}"),
        number,
        pipeline: "shop".to_owned(),
        release: release.to_owned(),
        members: Vec::new(),
        previous: None,
        kind: PromotionKind::Promote,
        is_hotfix: false,
        asked_at: at(finished_at),
        finished_at: at(finished_at),
        phase: PromotionPhase::Succeeded,
        leads: Vec::new(),
        incidents: Vec::new(),
    }
}

impl Line {
    /// The same, which brought commits of so many hours ago.
    pub(crate) fn hours(mut self, hours: &[i64]) -> Self {
        self.leads = hours.iter().map(|hours| hours * 3600).collect();
        self
    }

    /// The same, which ended otherwise.
    pub(crate) fn ended(mut self, phase: PromotionPhase) -> Self {
        self.phase = phase;
        self
    }

    /// The same as a hotfix.
    pub(crate) fn hotfix(mut self) -> Self {
        self.is_hotfix = true;
        self
    }

    /// The same as a rollback from a Release, asked for at a time.
    pub(crate) fn back_from(mut self, release: &str, asked_at: &str) -> Self {
        self.kind = PromotionKind::Rollback;
        self.previous = Some(release.to_owned());
        self.asked_at = at(asked_at);
        self
    }

    /// The same with templates alone.
    pub(crate) fn config(mut self) -> Self {
        self.kind = PromotionKind::Config;
        self
    }

    /// The same with an incident.
    pub(crate) fn incident(mut self, from: &str, to: Option<&str>) -> Self {
        self.incidents.push(Trouble {
            key: format!("i{}", self.incidents.len()),
            started_at: at(from),
            resolved_at: to.map(at),
        });
        self
    }
}
