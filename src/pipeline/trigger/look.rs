//! What has to be known of a commit that polling found, before it is clear that it starts a run: polling tells of refs and commits
//! alone, and a commit may say that it is not to be run, or change nothing that a trigger is about. No I/O.

use super::super::api::{PipelineSpec, PushTrigger};
use super::event::{Event, What};
use crate::git::changes::Told;

/// A commit that is to be looked into.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Look {
    /// Full ref.
    pub git_ref: String,
    /// The commit.
    pub sha: String,
    /// The commit of the last run, where it matters which files differ from it.
    pub from: Option<String>,
}

impl Look {
    /// What has to be looked into before an event starts a run of a trigger; nothing where that could change nothing. `last` is
    /// the commit of the last run of the ref: what counts was changed since then.
    pub fn at(
        spec: &PipelineSpec,
        event: &Event,
        trigger: &str,
        last: Option<&str>,
    ) -> Option<Self> {
        let sha = event.sha.clone()?;
        let looks_at_files = match &event.what {
            What::Push { .. } => {
                let rules = spec.triggers();
                let rule = rules.iter().find(|rule| rule.name == trigger);
                let push = rule.and_then(|rule| rule.push.as_ref());
                push.is_some_and(PushTrigger::looks_at_files)
            }
            What::Tag => false,
            What::PullRequest { .. }
            | What::Closed { .. }
            | What::Labels { .. }
            | What::Release { .. } => return None,
        };
        let from = last.filter(|last| looks_at_files && *last != sha);
        (from.is_some() || spec.looks_at_messages()).then(|| Self {
            git_ref: event.git_ref.clone(),
            sha,
            from: from.map(str::to_owned),
        })
    }

    /// The question, as answers are told apart.
    pub fn question(&self, url: &str) -> String {
        let Self { git_ref, sha, from } = self;
        let from = from.as_deref().unwrap_or("nothing");
        format!("{url}@{sha} {git_ref} since {from}")
    }
}

/// The event with what was found out about its commit.
pub fn told(event: Event, told: Told) -> Event {
    let what = match event.what {
        What::Push { before, .. } => What::Push {
            files: told.files,
            before,
        },
        what @ (What::Tag
        | What::Release { .. }
        | What::PullRequest { .. }
        | What::Closed { .. }
        | What::Labels { .. }) => what,
    };
    Event {
        what,
        message: Some(told.message),
        ..event
    }
}
