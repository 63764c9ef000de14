//! The protection that approvals are bound to: when it changed, what was said before does not count any more. No I/O.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::super::api::{Policy, Protection};
use super::super::observed::{Act, Observed};
use crate::model::key::short_hash;

impl Policy {
    /// The protection as it is, and since when. What the status says counts. Where it was lost, a Promotion that waits and was
    /// made under another protection tells that it has changed; when is not known, so it is now.
    pub(in super::super) fn read(seen: &Observed, now: Timestamp) -> Self {
        let hash = hash(&seen.spec.protection);
        let since = match &seen.status.policy {
            Some(known) if known.hash == hash => known.since.clone(),
            Some(_) => Some(Time(now)),
            None => {
                let last = seen.promotions.last();
                let last = last.filter(|record| record.status.finished_at.is_none());
                let other = last.and_then(|record| record.spec.policy_hash.as_ref());
                other.filter(|other| **other != hash).map(|_| Time(now))
            }
        };
        Self { hash, since }
    }

    /// When the protection changed, if that was after something was decided, or in the same second.
    pub(super) fn changed_after(&self, act: &Act) -> Option<Timestamp> {
        let since = self.since.as_ref().map(|since| since.0);
        since.filter(|since| act.at <= *since)
    }
}

fn hash(protection: &Protection) -> String {
    let text = serde_json::to_string(protection).unwrap_or_default();
    short_hash(text.as_bytes(), 64)
}
