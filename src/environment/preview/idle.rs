//! Whether anybody asks for a preview: a Prometheus is asked, and what it does not tell counts for nothing. No I/O.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::super::api::{PreviewIdle, PreviewPhase};
use super::{Draft, Run, Space, copy};
use crate::analysis::api::provider::PrometheusQuery;
use crate::metric::Sample;
use crate::metric::provider::{Credentials, prometheus};
use crate::model::action::Action;
use crate::model::span::{after, due_again, later};

/// Questions about previews begin with this.
pub const PREFIX: &str = "preview/";
/// Time between two questions about one.
const EVERY: SignedDuration = SignedDuration::from_mins(5);
/// An answer that is older says nothing any more.
const STALE: SignedDuration = SignedDuration::from_mins(15);
/// Longest wait for an answer.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Previews that are asked about by one plan at most.
const AT_ONCE: usize = 10;

impl Draft<'_> {
    /// Since when it is known that nobody asks for a preview. Asks, where it is time to.
    pub(super) fn idle_since(&mut self, space: &Space) -> Option<Timestamp> {
        let rule = self.of.spec.idle.as_ref()?;
        let updated_at = space.record.at.as_ref().map_or(space.created_at, |at| at.0);
        let earliest = after(updated_at, rule.after.into());
        if earliest > self.now {
            self.wake_at(earliest);
            return None;
        }
        // What it shows is not settled yet, or is about to change.
        space.record.applied.as_ref()?;
        let query = self.query(rule, space)?;
        let key = format!("{PREFIX}{}/{}", space.number, query.query);
        let answer = self.of.answers.get(&key);
        match due_again(answer.map(|answer| answer.at), EVERY, self.now) {
            Some(due) => self.wake_at(due),
            None if self.questions.len() < AT_ONCE => {
                let credentials = Credentials {
                    namespace: self.of.key.namespace.clone(),
                    ..Credentials::default()
                };
                let request = prometheus::request(&query, &credentials, TIMEOUT);
                self.questions.push(Action::Fetch { key, request });
            }
            None => self.wake_at(later(self.now, EVERY)),
        }
        let is_fresh = |at: Timestamp| at >= earliest && later(at, STALE) > self.now;
        let answer = answer.filter(|answer| is_fresh(answer.at))?;
        let reply = answer.reply.as_ref().ok()?;
        let Ok(Sample::Value(count)) = prometheus::read(&query, reply) else {
            return None;
        };
        (count <= 0.0).then_some(answer.at)
    }

    /// What is asked about one.
    fn query(&self, rule: &PreviewIdle, space: &Space) -> Option<PrometheusQuery> {
        let server = self.of.prometheus?;
        let span: Duration = rule.after.into();
        let seconds = span.as_secs().max(1);
        let query = copy::placed(self.of, space.number, &rule.query);
        Some(PrometheusQuery {
            address: server.address.clone(),
            query: query.replace("{{after}}", &format!("{seconds}s")),
            range: None,
            connection: server.connection.clone(),
        })
    }

    /// Whether the preview of a run went because nobody asked for it.
    pub(super) fn went_idle(&self, run: &Run) -> bool {
        let mut before = self.of.before.iter();
        before.any(|item| {
            item.number == run.number
                && item.phase == PreviewPhase::Idle
                && item.run.as_ref() == Some(&run.name)
        })
    }
}
