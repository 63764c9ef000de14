//! Which pull requests are over: a provider says so, and says so again when one is opened anew. What nobody told is not
//! concluded from anything: a list that is empty or cannot be read closes nothing. No I/O.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::super::api::ClosedPullRequest;
use super::event::{Event, What};
use crate::model::span::whole_second;

/// How many are kept.
const KEPT: usize = 500;

/// What is on record once an event is taken in. `now` stands in where the provider tells no time.
pub fn taken_in(
    known: &[ClosedPullRequest],
    event: &Event,
    now: Timestamp,
) -> Vec<ClosedPullRequest> {
    let mut all = known.to_vec();
    match &event.what {
        What::Closed { number } => {
            if !all.iter().any(|closed| closed.number == *number) {
                let at = Time(whole_second(event.at.unwrap_or(now)));
                let number = *number;
                all.push(ClosedPullRequest { number, at });
            }
            let surplus = all.len().saturating_sub(KEPT);
            all.drain(..surplus);
        }
        // A delivery from before it was closed, that comes again, opens nothing.
        What::PullRequest { pull_request, .. } => all.retain(|closed| {
            let is_newer = event.at.is_none_or(|at| at > closed.at.0);
            closed.number != pull_request.number || !is_newer
        }),
        What::Labels { .. } | What::Push { .. } | What::Tag | What::Release { .. } => {}
    }
    all
}

/// What is on record once a provider has said that a pull request is open at a commit that was found at that time. It may have been
/// closed since it was found.
pub fn opened(known: &mut Vec<ClosedPullRequest>, number: u64, found_at: Timestamp) {
    known.retain(|closed| closed.number != number || closed.at.0 >= found_at);
}

/// Whether what an event says of this is on record.
pub fn is_taken_in(known: &[ClosedPullRequest], event: &Event, now: Timestamp) -> bool {
    taken_in(known, event, now) == known
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline_run::api::PullRequest;

    fn event(what: What, at: Option<i64>) -> Event {
        Event {
            what,
            git_ref: "refs/pull/7/head".to_owned(),
            sha: None,
            actor: "github:alice".to_owned(),
            message: None,
            labels: None,
            at: at.map(|at| Timestamp::from_second(at).unwrap()),
            renews: false,
        }
    }

    fn closed(number: u64, at: i64) -> Event {
        event(What::Closed { number }, Some(at))
    }

    fn pushed(at: Option<i64>) -> Event {
        let pull_request = PullRequest {
            number: 7,
            base: None,
            fork: false,
        };
        let draft = false;
        event(
            What::PullRequest {
                pull_request,
                draft,
            },
            at,
        )
    }

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    #[test]
    fn it_is_closed_once_and_open_again_by_what_comes_later() {
        let known = taken_in(&[], &closed(7, 100), NOW);
        assert_eq!(known.len(), 1);
        assert_eq!(taken_in(&known, &closed(7, 200), NOW), known);
        assert_eq!(taken_in(&known, &pushed(Some(90)), NOW), known);
        assert!(!is_taken_in(&known, &pushed(Some(101)), NOW));
        assert_eq!(taken_in(&known, &pushed(Some(101)), NOW), []);
        assert_eq!(taken_in(&known, &pushed(None), NOW), []);
    }

    #[test]
    fn the_last_ones_are_kept() {
        let mut known = Vec::new();
        for number in 1..=520 {
            known = taken_in(&known, &closed(number, 100), NOW);
        }
        assert_eq!(known.len(), KEPT);
        assert_eq!(known[0].number, 21);
    }
}
