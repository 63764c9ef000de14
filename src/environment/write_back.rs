//! What runs, written back to Git: what a file is to say, and how far it is. Pure.
//!
//! It is about what runs and has passed everything (`status.current`), never about what is on its way. Each change of that is
//! written once, and what people make of the file afterwards is theirs. What is on record here is a hash of what is to be written and
//! what became of it; whether it has been done is asked of the repository each time, so nothing is done twice whatever is lost.
//!
//! ```text
//! Pending --(the branch says so)--> Written
//!    |  ^--(in vain: later)--+
//!    +--(a pull request asks)--> Proposed --(merged)--> Written
//!                                   +--(closed)--> Declined
//! anything --(something else runs)--> Pending
//! ```

mod wanted;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::api::{Deployed, WriteBack, WriteBackPull, WriteBackState, WriteBackStatus};
use super::observed::Observed;
use crate::model::action::{Action, Reply, Request};
use crate::model::change::{Answer, Trouble};
use crate::model::plan::Why;
use crate::model::span::whole_second;
use crate::model::text::truncate;
use crate::outbox;
use crate::provider::api::ProviderType;
use wanted::Wanted;

/// Key of the exchange.
pub const QUESTION: &str = "write-back";
/// The condition.
pub const WRITTEN_BACK: &str = "WrittenBack";
/// How often an open pull request is looked at.
const LOOK: SignedDuration = SignedDuration::from_mins(10);
/// Longest message, in bytes.
const MAX_MESSAGE: usize = 1024;

/// What is done about it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outlook {
    /// What is asked.
    pub action: Option<Action>,
    /// What is on record.
    pub status: Option<WriteBackStatus>,
    /// When to look again.
    pub wake: Option<Timestamp>,
}

impl Outlook {
    /// Nothing is asked now.
    fn resting(status: WriteBackStatus, now: Timestamp) -> Self {
        let next = status.next_at.as_ref().map(|at| at.0);
        Self {
            action: None,
            status: Some(status),
            wake: next.filter(|next| *next > now),
        }
    }
}

/// What is to be done about it, while `current` runs. With `may_ask` nothing is more urgent.
pub fn plan(seen: &Observed, current: &[Deployed], may_ask: bool, now: Timestamp) -> Outlook {
    let Some(wanted) = Wanted::of(seen, current) else {
        return Outlook::default();
    };
    let known = seen.status.write_back.as_ref();
    let mut status = match known.filter(|known| known.content == wanted.content) {
        Some(known) => known.clone(),
        None => wanted.begun(known, now),
    };
    let is_proposed = status.state == WriteBackState::Proposed;
    let is_open = is_proposed || status.state == WriteBackState::Pending;
    let next = status.next_at.as_ref().map(|at| at.0);
    if !is_open || next.is_some_and(|next| next > now) {
        return Outlook::resting(status, now);
    }
    let trouble = match &seen.write_back {
        Err(problem) => Trouble::new("NotFound", problem.clone()),
        Ok(_) if wanted.lacks_provider(seen) => {
            let problem = "writeBack.repository.url is no address at a provider";
            Trouble::new("Refused", problem)
        }
        Ok(_) if !may_ask => return Outlook::resting(status, now),
        Ok(ca_bundle) => {
            let change = wanted.change(seen, ca_bundle.as_deref(), is_proposed);
            let action = Action::Fetch {
                key: QUESTION.to_owned(),
                request: Request::for_change(change),
            };
            return Outlook {
                action: Some(action),
                status: Some(status),
                wake: None,
            };
        }
    };
    in_vain(&mut status, &trouble, now);
    Outlook::resting(status, now)
}

/// What is on record once an answer has come.
pub fn taken(
    seen: &Observed,
    status: &WriteBackStatus,
    reply: &Result<Reply, String>,
    now: Timestamp,
) -> WriteBackStatus {
    let now = whole_second(now);
    let mut status = status.clone();
    let url = |commit: &str| {
        let spec = seen.spec.write_back.as_ref()?;
        page_of(spec, commit)
    };
    match read(reply) {
        Answer::Written { commit, .. } => {
            settle(&mut status, WriteBackState::Written);
            status.url = url(&commit);
            status.commit = Some(commit);
            status.written_at = Some(Time(now));
            status.pull_request = None;
        }
        Answer::Proposed { commit, pull } => {
            settle(&mut status, WriteBackState::Proposed);
            status.url = url(&commit);
            status.commit = Some(commit);
            status.pull_request = Some(WriteBackPull {
                number: pull.number,
                url: truncate(&pull.url, MAX_MESSAGE).to_owned(),
            });
            status.next_at = now.checked_add(LOOK).ok().map(Time);
        }
        Answer::Declined => settle(&mut status, WriteBackState::Declined),
        Answer::Refused(trouble) => in_vain(&mut status, &trouble, now),
    }
    status
}

/// What the condition says: whether it is good, a word, and a sentence.
pub fn said(spec: &WriteBack, status: &WriteBackStatus) -> (bool, String, String) {
    let branch = spec.repository.branch();
    let release = &status.release;
    let short = |commit: &Option<String>| {
        let commit = commit.as_deref().unwrap_or_default();
        commit.get(..12).unwrap_or(commit).to_owned()
    };
    let pull = status.pull_request.as_ref();
    let number = pull.map_or(0, |pull| pull.number);
    let trouble = status.reason.as_deref();
    let problem = status.message.as_deref().unwrap_or_default();
    match (status.state, trouble) {
        (WriteBackState::Written, _) => {
            let text = format!("{branch} says {release} since {}", short(&status.commit));
            (true, "Written".to_owned(), text)
        }
        (WriteBackState::Pending | WriteBackState::Proposed, Some(reason)) => {
            let text = format!("{branch} does not say {release} yet: {problem}");
            (false, reason.to_owned(), text)
        }
        (WriteBackState::Pending, None) => {
            let text = format!("{release} is being written to {branch}");
            (false, "Pending".to_owned(), text)
        }
        (WriteBackState::Proposed, None) => {
            let text = format!("pull request {number} asks for {release}; merge it");
            (false, "Proposed".to_owned(), text)
        }
        (WriteBackState::Declined, _) => {
            let text = format!(
                "pull request {number} was closed, and {branch} does not say {release}; the next change of what runs makes another"
            );
            (false, "Declined".to_owned(), text)
        }
    }
}

/// What is news between two statuses, for an Event: that it was written, proposed or declined, or what stands against it.
pub fn news(
    spec: &WriteBack,
    before: Option<&WriteBackStatus>,
    after: Option<&WriteBackStatus>,
) -> Option<Why> {
    let after = after?;
    let (is_good, reason, text) = said(spec, after);
    let is_same = before
        .is_some_and(|before| before.content == after.content && said(spec, before).1 == reason);
    if is_same || reason == "Pending" {
        return None;
    }
    let words = REASONS.iter().find(|(word, _)| *word == reason);
    let event = words.map_or("WriteBackFailed", |(_, event)| *event);
    let is_normal = is_good || after.state == WriteBackState::Proposed && after.reason.is_none();
    Some(if is_normal {
        Why::normal(event, text)
    } else {
        Why::warning(event, text)
    })
}

/// Reasons of the condition, and what the Event is called.
const REASONS: [(&str, &str); 3] = [
    ("Written", "WrittenBack"),
    ("Proposed", "WriteBackProposed"),
    ("Declined", "WriteBackDeclined"),
];

fn read(reply: &Result<Reply, String>) -> Answer {
    let unread = |problem: String| Answer::Refused(Trouble::new("Unreachable", problem));
    match reply {
        Ok(reply) => serde_json::from_slice(&reply.body)
            .unwrap_or_else(|_| unread("the exchange broke off".to_owned())),
        Err(error) => unread(error.clone()),
    }
}

fn settle(status: &mut WriteBackStatus, state: WriteBackState) {
    status.state = state;
    status.attempts = None;
    status.next_at = None;
    status.reason = None;
    status.message = None;
}

/// Notes what stands against it, and when it is tried again.
fn in_vain(status: &mut WriteBackStatus, trouble: &Trouble, now: Timestamp) {
    let attempts = status.attempts.unwrap_or(0).saturating_add(1);
    status.attempts = Some(attempts);
    status.next_at = Some(Time(outbox::later(now, attempts)));
    status.reason = Some(truncate(&trouble.reason, 64).to_owned());
    status.message = Some(truncate(&trouble.message, MAX_MESSAGE).to_owned());
}

/// Page of a commit.
fn page_of(spec: &WriteBack, commit: &str) -> Option<String> {
    let provider = spec.repository.provider.as_ref()?;
    let url = spec.repository.url.trim_end_matches('/');
    let url = url.trim_end_matches(".git");
    Some(match provider.type_ {
        ProviderType::GitHub | ProviderType::Gitea => format!("{url}/commit/{commit}"),
        ProviderType::GitLab => format!("{url}/-/commit/{commit}"),
    })
}

#[cfg(test)]
mod tests;
