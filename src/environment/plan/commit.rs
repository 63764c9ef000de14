//! Whether the provider of a repository says of the commit of a Release what it has to say. No I/O.
//!
//! The provider is the one that the Release's Pipeline names. Of a set each commit is asked about. What was not said yet is no
//! failure: it is waited for, and told apart from what was said and is none of a success.

use jiff::SignedDuration;

use super::super::api::{CommitStatuses, ExternalGate};
use super::super::observed::GATE;
use super::Draft;
use super::external::{MAX_PROBLEM, Said};
use super::gate::Gates;
use super::history::Entry;
use crate::model::action::{Action, Reply, Request};
use crate::model::span::due_again;
use crate::model::text::truncate;
use crate::provider::{CommitState, CommitStatus, PAGE};
use crate::release::api::Release;

/// Pages of statuses that are looked at.
const MAX_PAGES: u32 = 4;
/// Digits of a commit that are told.
const SHOWN: usize = 7;

impl<'a> Draft<'a> {
    /// What providers say of the commits of a promotion.
    pub(super) fn said_of_commits(
        &self,
        entry: &Entry<'a>,
        (rule, statuses): (&ExternalGate, &CommitStatuses),
        gates: &mut Gates,
    ) -> Said {
        let parts = self.order.parts(entry.release());
        let mut members = entry.record.spec.members.iter();
        if let Some(gone) = members.find(|of| self.order.part(&of.release).is_none()) {
            return Said::Unknown(format!("the Release {} is gone", gone.release));
        }
        let said = parts
            .into_iter()
            .map(|part| self.said_of_commit(entry, (rule, statuses), part, gates));
        let gone = || Said::Unknown(format!("the Release {} is gone", entry.release()));
        said.reduce(Said::and).unwrap_or_else(gone)
    }

    fn said_of_commit(
        &self,
        entry: &Entry<'a>,
        (rule, statuses): (&ExternalGate, &CommitStatuses),
        release: &Release,
        gates: &mut Gates,
    ) -> Said {
        let pipeline = &release.spec.pipeline;
        let provider = match self.seen.providers.get(pipeline) {
            None => {
                return Said::Unknown(format!(
                    "Pipeline {pipeline} is not there, or nothing says who hosts its repository: set its source.git.provider"
                ));
            }
            Some(Err(why)) => return Said::Unknown(format!("Pipeline {pipeline}: {why}")),
            Some(Ok(provider)) => provider,
        };
        let sha = release.spec.commit.sha.as_str();
        let mut found: Vec<CommitStatus> = Vec::new();
        let mut is_whole = false;
        for page in 1..=MAX_PAGES {
            let of = (self.seen.generation, entry.name());
            let key = format!(
                "{GATE}{}/{}/{pipeline}/{sha}/{page}/{}",
                of.0, of.1, rule.name
            );
            let request = || provider.statuses(sha, page);
            let Some(reply) = self.answer_to(key, rule, request, gates) else {
                return Said::Asking;
            };
            let read = match provider.read_statuses(reply) {
                Ok(read) => read,
                Err(refusal) => {
                    return Said::Unknown(truncate(&refusal.message, MAX_PROBLEM).to_owned());
                }
            };
            is_whole = read.len() < PAGE;
            found.extend(read);
            if is_whole {
                break;
            }
        }
        match judge(statuses, &found, sha) {
            // What was not read may be no success.
            Said::Agreed if !is_whole => Said::Unknown(format!(
                "of commit {} there are more statuses than the {} that are read",
                sha.get(..SHOWN).unwrap_or(sha),
                found.len()
            )),
            said @ (Said::Agreed | Said::Refused(_) | Said::Unknown(_) | Said::Asking) => said,
        }
    }

    /// What was answered to a question, which is asked where that is due.
    fn answer_to(
        &self,
        key: String,
        rule: &ExternalGate,
        request: impl FnOnce() -> Request,
        gates: &mut Gates,
    ) -> Option<&'a Result<Reply, String>> {
        let interval = SignedDuration::try_from(rule.interval()).unwrap_or(SignedDuration::MAX);
        let answer = self.seen.answers.get(&key);
        if let Some(due) = due_again(answer.map(|answer| answer.at), interval, self.now) {
            gates.ask_again(due);
        } else {
            let request = request();
            gates.questions.push(Action::Fetch { key, request });
        }
        answer.map(|answer| &answer.reply)
    }
}

/// The contexts that nothing was said of.
fn lacking<'s>(
    statuses: &'s CommitStatuses,
    found: &'s [CommitStatus],
) -> impl Iterator<Item = &'s String> {
    let is_said = |context: &String| found.iter().any(|said| said.context == *context);
    let contexts = statuses.contexts.iter();
    contexts.filter(move |context| !is_said(context))
}

fn judge(statuses: &CommitStatuses, found: &[CommitStatus], sha: &str) -> Said {
    let sha = sha.get(..SHOWN).unwrap_or(sha);
    // A provider may have several of a context, one of each ref.
    let bad = |context: &String| {
        let mut all = found.iter().filter(|said| said.context == *context);
        let said = all.find(|said| said.state != CommitState::Success)?;
        let words: String = said
            .description
            .chars()
            .filter(|c| !c.is_control())
            .collect();
        Some(format!(
            "{context} of commit {sha} is {}: {words}",
            said.state
        ))
    };
    let bad = statuses.contexts.iter().filter_map(bad);
    let missing = lacking(statuses, found);
    let missing = missing.map(|context| format!("{context} of commit {sha} was not said yet"));
    let all: Vec<String> = bad.chain(missing).collect();
    if all.is_empty() {
        return Said::Agreed;
    }
    Said::Refused(truncate(&all.join("; "), MAX_PROBLEM).to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::environment::testing::{Nature, World};
    use crate::provider::{PAGE, Provider};

    /// A shop whose staging asks for two statuses of the commit.
    fn world() -> World {
        let mut world = World::shop();
        let gate = json!({"name": "checks", "commitStatus": {"contexts": ["ci/scan", "ci/unit"]}});
        world.edit("staging", &json!({"protection": {"gates": [gate]}}));
        let git = json!({
            "url": "https://git.example/shop/shop.git", "branch": "main",
            "provider": {"type": "GitHub", "tokenSecretRef": {"name": "git", "key": "token"}},
        });
        let git = serde_json::from_value(git).unwrap();
        let provider = Provider::of(&git, "shop", None).unwrap();
        world.providers.insert("shop".into(), Ok(provider));
        world
    }

    fn says(world: &mut World, states: &[(&str, &str)]) {
        let statuses = states.iter().map(|(context, state)| {
            json!({"context": context, "state": state, "description": "two\nlines"})
        });
        let statuses: Vec<Value> = statuses.collect();
        let said = json!({"statuses": statuses});
        world.others.insert("checks".into(), said);
    }

    #[test]
    fn a_commit_is_waited_for_until_everything_was_said_of_it() {
        let mut world = world();
        says(&mut world, &[("ci/unit", "success")]);
        world.release(1, Nature::Good);
        world.settle();
        let message = world.message("staging");
        assert!(
            message.contains("ci/scan of commit 0000000 was not said yet"),
            "{message}"
        );
        assert!(!message.contains("ci/unit"), "{message}");
        says(
            &mut world,
            &[("ci/unit", "success"), ("ci/scan", "failure")],
        );
        world.tick(61);
        world.settle();
        let message = world.message("staging");
        assert!(
            message.contains("ci/scan of commit 0000000 is Failure: twolines"),
            "{message}"
        );
        assert_eq!(world.told("staging"), ["Promote shop-1 Pending"]);
        says(
            &mut world,
            &[("ci/scan", "success"), ("ci/unit", "success")],
        );
        world.tick(61);
        world.settle();
        assert_eq!(world.told("staging"), ["Promote shop-1 Succeeded"]);
    }

    #[test]
    fn no_answer_and_no_provider_are_no_success() {
        let mut world = world();
        world.release(1, Nature::Good);
        world.settle();
        let message = world.message("staging");
        assert!(message.contains("cannot reach others.example"), "{message}");
        world.providers.clear();
        world.tick(61);
        world.settle();
        let message = world.message("staging");
        assert!(message.contains("set its source.git.provider"), "{message}");
        assert_eq!(world.told("staging"), ["Promote shop-1 Pending"]);
    }

    #[test]
    fn each_status_of_a_context_has_to_be_a_success() {
        let mut world = world();
        says(
            &mut world,
            &[
                ("ci/scan", "success"),
                ("ci/unit", "success"),
                ("ci/scan", "failure"),
            ],
        );
        world.release(1, Nature::Good);
        world.settle();
        let message = world.message("staging");
        assert!(
            message.contains("ci/scan of commit 0000000 is Failure"),
            "{message}"
        );
        assert_eq!(world.told("staging"), ["Promote shop-1 Pending"]);
    }

    #[test]
    fn what_is_not_read_is_no_success() {
        let mut world = world();
        let mut page: Vec<(&str, &str)> = vec![("ci/unit", "success"); PAGE - 1];
        page.push(("ci/scan", "success"));
        says(&mut world, &page);
        world.release(1, Nature::Good);
        world.settle();
        let message = world.message("staging");
        assert!(message.contains("more statuses than the"), "{message}");
        assert_eq!(world.told("staging"), ["Promote shop-1 Pending"]);
    }

    #[test]
    fn so_many_pages_are_read_and_no_more() {
        let mut world = world();
        let page: Vec<(&str, &str)> = vec![("ci/unit", "success"); 30];
        says(&mut world, &page);
        world.release(1, Nature::Good);
        world.settle();
        let message = world.message("staging");
        assert!(
            message.contains("ci/scan of commit 0000000 was not said yet"),
            "{message}"
        );
    }
}
