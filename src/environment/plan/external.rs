//! Whether other systems agree to a promotion: servers that are asked, and objects of Slipway's. No I/O.
//!
//! They are asked only once nothing that is cheaper to find out stands against the Release, and again after their interval. An
//! answer counts for its interval: no promotion starts on one that is older. No answer is no agreement.

use std::time;

use jiff::SignedDuration;

use super::super::api::{ExternalGate, ObjectCondition, Unknown};
use super::super::observed::{Check, GATE};
use super::super::render;
use super::gate::{Gates, HOLD, gate};
use super::history::Entry;
use super::overrule::Overruled;
use super::smoke::LEAST;
use super::{Draft, after};
use crate::analysis::api::Metric;
use crate::analysis::api::provider::Provider;
use crate::check::Outcome;
use crate::check::api::CheckJob;
use crate::expression::{self, Fact, Scope};
use crate::metric::placeholder;
use crate::metric::provider::{self, Credentials, Window};
use crate::model::action::{Action, Request};
use crate::model::condition;
use crate::model::span::due_again;
use crate::model::text::truncate;

/// What texts of a gate may have in them.
const PLACEHOLDERS: &str =
    "release.name, release.commit, release.digest, release.previous, environment, namespace";
/// Longest value that is shown, in bytes.
const MAX_VALUE: usize = 64;
/// Longest problem that is shown, in bytes.
pub(super) const MAX_PROBLEM: usize = 300;

/// What is known of an agreement.
pub(super) enum Said {
    Agreed,
    Refused(String),
    Unknown(String),
    /// It is being asked for.
    Asking,
}

impl Said {
    /// What two say together: who refuses counts first, and then who has not answered.
    pub(super) fn and(self, other: Self) -> Self {
        let weight = |said: &Self| match said {
            Self::Refused(_) => 3,
            Self::Asking => 2,
            Self::Unknown(_) => 1,
            Self::Agreed => 0,
        };
        if weight(&other) > weight(&self) {
            other
        } else {
            self
        }
    }
}

impl<'a> Draft<'a> {
    /// What others say, added to the gates.
    pub(super) fn ask_others(
        &self,
        entry: &Entry<'a>,
        overruled: &Overruled<'a>,
        gates: &mut Gates,
    ) {
        // A hold does not stand against mending the database.
        let is_of_database = entry.record.spec.kind.is_of_database();
        let may_ask = gates.open().all(|open| is_of_database && open.name == HOLD);
        for (index, rule) in self.seen.spec.protection.gates.iter().enumerate() {
            let said = match (&rule.object, &rule.job) {
                (Some(object), _) => self.said_of_object(object),
                (None, Some(job)) if may_ask => self.said_of_job(entry, (rule, job), gates),
                (None, None) if may_ask => match &rule.commit_status {
                    Some(statuses) => self.said_of_commits(entry, (rule, statuses), gates),
                    None => self.said_of_server(entry, (index, rule), gates),
                },
                (None, _) => {
                    let text = "asked once nothing else stands against the Release";
                    gates.add(overruled.over(gate(&rule.name, Some(text.to_owned()), None)));
                    continue;
                }
            };
            let is_lenient = rule.on_error.unwrap_or_default() == Unknown::Allow;
            let text = match said {
                Said::Agreed => None,
                Said::Refused(why) => Some(why),
                Said::Unknown(_) if is_lenient => None,
                Said::Unknown(why) => Some(format!("it is not known: {why}")),
                Said::Asking => Some("asking".to_owned()),
            };
            let gate = gate(&rule.name, text, None);
            gates.add(overruled.over(gate));
        }
    }

    fn said_of_object(&self, object: &ObjectCondition) -> Said {
        let ObjectCondition {
            kind,
            name,
            condition: type_,
        } = object;
        let known: Option<&Vec<_>> = self.seen.conditions.get(&(*kind, name.clone()));
        let Some(known) = known else {
            return Said::Unknown(format!("there is no {kind} {name}, or its status is old"));
        };
        if condition::is_true(known, type_) {
            return Said::Agreed;
        }
        match known.iter().find(|known| known.type_ == *type_) {
            Some(known) => Said::Refused(format!(
                "{type_} of {kind} {name} is {}: {}",
                known.status,
                truncate(&known.message, MAX_PROBLEM)
            )),
            None => Said::Refused(format!("{kind} {name} has no condition {type_}")),
        }
    }

    /// What a Job says, and the Job where it is not there.
    fn said_of_job(
        &self,
        entry: &Entry<'a>,
        (rule, job): (&ExternalGate, &CheckJob),
        gates: &mut Gates,
    ) -> Said {
        let record = entry.record;
        let name = render::gate_job_name(record, &rule.name);
        let check = self.seen.checks.get(&name);
        let check = check.filter(|check| check.promotion == record.target.uid);
        match check.map(|check| &check.outcome) {
            Some(Outcome::Passed) => Said::Agreed,
            Some(Outcome::Running) => Said::Refused(format!("Job {name} runs")),
            Some(Outcome::Failed(why) | Outcome::Stuck(why)) => Said::Refused(format!(
                "its Job failed: {}; delete Job {name} to have it run again",
                truncate(why, MAX_PROBLEM)
            )),
            Some(Outcome::Lost(why)) => self.said_of_lost(check, why, gates),
            None => {
                let commit = self.commit_of(entry);
                let timeout = rule.provider().timeout();
                let job = (rule.name.as_str(), job);
                let job = render::gate_job(self.seen, record, job, commit, timeout);
                gates.questions.push(Action::Create(job));
                Said::Asking
            }
        }
    }

    /// What a Job says that came to no verdict: nothing. It is taken away after a while, and so is made again.
    fn said_of_lost(&self, check: Option<&Check>, why: &str, gates: &mut Gates) -> Said {
        let ended = check.and_then(|check| check.finished_at);
        let backoff = time::Duration::from(self.seen.spec.promotion.retries.backoff);
        let at = ended.map_or(self.now, |ended| after(ended, backoff.max(LEAST)));
        if at > self.now {
            gates.ask_again(at);
        } else if let Some(check) = check {
            gates.questions.push(Action::Delete {
                target: check.target.clone(),
                orphan: false,
            });
        }
        Said::Unknown(format!(
            "its Job came to no verdict: {}; it is made again at {at}",
            truncate(why, MAX_PROBLEM)
        ))
    }

    /// What a server says, and the question to it where that is due.
    fn said_of_server(
        &self,
        entry: &Entry<'a>,
        (index, rule): (usize, &ExternalGate),
        gates: &mut Gates,
    ) -> Said {
        let path = format!("protection.gates[{index}]");
        let value = |name: &str, _: &str| self.value_of(entry, name).map(Some);
        let mut provider = match placeholder::filled(&rule.provider(), &path, &value) {
            Ok(provider) => provider,
            Err(misplaced) => return Said::Unknown(format!("{}: {misplaced}", misplaced.path)),
        };
        if rule.evidence == Some(true)
            && let Err(problem) = self.add_dossier(entry, &mut provider)
        {
            return Said::Unknown(format!("{path}.evidence: {problem}"));
        }
        let metric = metric(rule, provider);
        if let Err((field, problem)) = provider::check(&metric) {
            return Said::Unknown(format!("{path}{field}: {problem}"));
        }
        // What was answered before an edit, or to another promotion, is not about what is asked now.
        let key = format!(
            "{GATE}{}/{}/{}",
            self.seen.generation,
            entry.name(),
            rule.name
        );
        let interval = SignedDuration::try_from(rule.interval()).unwrap_or(SignedDuration::MAX);
        let answer = self.seen.answers.get(&key);
        if let Some(due) = due_again(answer.map(|answer| answer.at), interval, self.now) {
            gates.ask_again(due);
        } else {
            let Some(request) = self.asks(&metric, rule) else {
                return Said::Unknown("nobody is asked".to_owned());
            };
            gates.questions.push(Action::Fetch { key, request });
        }
        let Some(answer) = answer else {
            return Said::Asking;
        };
        match provider::facts(&metric, &answer.reply) {
            Ok(facts) => judge(&metric, facts),
            Err(problem) => Said::Unknown(truncate(&problem, MAX_PROBLEM).to_owned()),
        }
    }

    fn asks(&self, metric: &Metric, rule: &ExternalGate) -> Option<Request> {
        let credentials = Credentials {
            namespace: self.seen.key.namespace.clone(),
            ..Credentials::default()
        };
        let window = Window {
            since: self.now,
            interval: rule.interval(),
            now: self.now,
        };
        provider::request(metric, &credentials, &window)
    }

    fn value_of(&self, entry: &Entry<'a>, name: &str) -> Result<String, String> {
        let digest = || {
            let first = entry.images().first()?;
            let (_, digest) = first.reference.split_once('@')?;
            Some(digest.to_owned())
        };
        match name {
            "release.name" => Ok(entry.release().to_owned()),
            "release.commit" => Ok(self.commit_of(entry).unwrap_or_default().to_owned()),
            "release.digest" => Ok(digest().unwrap_or_default()),
            "release.previous" => Ok(entry.record.spec.previous.clone().unwrap_or_default()),
            "environment" => Ok(self.seen.key.name.clone()),
            "namespace" => Ok(self.seen.key.namespace.clone()),
            _ => Err(format!("there is no such value; there is {PLACEHOLDERS}")),
        }
    }
}

/// Whether every value is a good one. No value is none.
fn judge(metric: &Metric, facts: Vec<Fact>) -> Said {
    let pass = metric.pass.as_deref().unwrap_or_default();
    let may_show = !provider::asks_with_secrets(metric);
    if facts.is_empty() {
        return Said::Unknown("the answer has no value".to_owned());
    }
    for fact in facts {
        let shown = match &fact {
            _ if !may_show => "the value".to_owned(),
            Fact::Number(number) => format!("value {number}"),
            Fact::Flag(flag) => format!("value {flag}"),
            Fact::Text(text) => format!("value '{}'", truncate(text, MAX_VALUE)),
            Fact::Count(_) | Fact::Texts(_) | Fact::Group(_) | Fact::Map(_) => {
                "the value".to_owned()
            }
        };
        match expression::evaluate(pass, Scope::new([("value", fact)])) {
            Ok(true) => {}
            Ok(false) => return Said::Refused(format!("{shown} is not what it takes ({pass})")),
            Err(error) => return Said::Unknown(format!("{shown}, and pass ({pass}): {error}")),
        }
    }
    Said::Agreed
}

fn metric(rule: &ExternalGate, provider: Provider) -> Metric {
    Metric {
        name: rule.name.clone(),
        interval: None,
        provider,
        pass: rule.pass.clone(),
        fail: None,
        failure_limit: None,
        inconclusive_limit: None,
        error_limit: None,
        success_limit: None,
        no_data: None,
        min_samples: None,
        count: None,
        dry_run: None,
        retain: None,
    }
}
