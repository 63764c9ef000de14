//! Which labels pull requests have, of those that previews ask for. A provider says so: with a delivery, or when it is asked. Of
//! what nobody told it is not known, and nothing is concluded from that. No I/O.

use std::collections::BTreeSet;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::super::api::LabelledPullRequest;
use super::event::{Event, What};
use crate::model::span::whole_second;

/// How many pull requests are kept.
const KEPT: usize = 100;
/// How many different labels are looked for.
const WANTED: usize = 8;

/// The labels that are looked for: no more than statuses have room for.
pub fn wanted(all: impl Iterator<Item = String>) -> BTreeSet<String> {
    let all: BTreeSet<String> = all.collect();
    all.into_iter().take(WANTED).collect()
}

/// What is on record once an event is taken in. `now` stands in where the provider tells no time.
pub fn taken_in(
    known: &[LabelledPullRequest],
    event: &Event,
    wanted: &BTreeSet<String>,
    now: Timestamp,
) -> Vec<LabelledPullRequest> {
    let mut all = known.to_vec();
    let number = match &event.what {
        What::PullRequest { pull_request, .. } => pull_request.number,
        What::Labels { number } => *number,
        What::Closed { number } => {
            all.retain(|one| one.number != *number);
            return all;
        }
        What::Push { .. } | What::Tag | What::Release { .. } => return all,
    };
    let at = whole_second(event.at.unwrap_or(now));
    // A delivery from before the last change, that comes again, changes nothing.
    let is_older = |one: &LabelledPullRequest| one.number == number && one.at.0 > at;
    let labels = event.labels.as_ref();
    if let Some(labels) = labels.filter(|_| !all.iter().any(is_older)) {
        told(&mut all, number, (labels.as_slice(), wanted), at);
    }
    all
}

/// Notes which of the labels that are wanted a pull request has, and which it has not.
pub fn told(
    known: &mut Vec<LabelledPullRequest>,
    number: u64,
    (labels, wanted): (&[String], &BTreeSet<String>),
    at: Timestamp,
) {
    if wanted.is_empty() {
        return;
    }
    let (has, without): (Vec<String>, Vec<String>) = wanted
        .iter()
        .cloned()
        .partition(|label| labels.contains(label));
    let is_same = |one: &LabelledPullRequest| {
        one.number == number && one.labels == has && one.without == without
    };
    if known.iter().any(is_same) {
        return;
    }
    known.retain(|one| one.number != number);
    known.push(LabelledPullRequest {
        number,
        labels: has,
        without,
        at: Time(whole_second(at)),
    });
    // Those without any of the labels give way first: nothing is shown of them.
    while known.len() > KEPT {
        let without = known.iter().position(|one| one.labels.is_empty());
        known.remove(without.unwrap_or(0));
    }
}

/// Whether what an event says of this is on record.
pub fn is_taken_in(
    known: &[LabelledPullRequest],
    event: &Event,
    wanted: &BTreeSet<String>,
    now: Timestamp,
) -> bool {
    taken_in(known, event, wanted, now) == known
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    fn event(what: What, labels: Option<&[&str]>, at: Option<i64>) -> Event {
        let labels = labels.map(|labels| labels.iter().map(|label| (*label).to_owned()).collect());
        Event {
            what,
            git_ref: "refs/pull/7/head".to_owned(),
            sha: None,
            actor: "github:alice".to_owned(),
            message: None,
            labels,
            at: at.map(|at| Timestamp::from_second(at).unwrap()),
            renews: false,
        }
    }

    fn labels(labels: &[&str], at: Option<i64>) -> Event {
        event(What::Labels { number: 7 }, Some(labels), at)
    }

    fn asked() -> BTreeSet<String> {
        wanted(["preview".to_owned()].into_iter())
    }

    #[test]
    fn what_is_asked_for_is_noted_and_what_is_not_told_is_not_known() {
        let of =
            |known: &[LabelledPullRequest], event: &Event| taken_in(known, event, &asked(), NOW);
        let known = of(&[], &labels(&["bug", "preview"], Some(100)));
        assert_eq!(known[0].labels, ["preview"], "and no other label");
        assert!(known[0].without.is_empty());
        assert!(is_taken_in(
            &known,
            &labels(&["preview"], Some(200)),
            &asked(),
            NOW
        ));
        assert!(is_taken_in(
            &known,
            &labels(&["preview"], None),
            &asked(),
            NOW
        ));
        // A push that does not tell of labels.
        let silent = event(What::Labels { number: 7 }, None, Some(200));
        assert_eq!(of(&known, &silent), known);

        let off = of(&known, &labels(&["bug"], Some(300)));
        assert_eq!(
            (off[0].labels.len(), off[0].without.as_slice()),
            (0, &["preview".to_owned()][..])
        );
        assert_eq!(off[0].at.0, Timestamp::from_second(300).unwrap());
        // What was before, and comes again, changes nothing.
        assert_eq!(of(&off, &labels(&["preview"], Some(250))), off);
        assert_eq!(
            of(&off, &event(What::Closed { number: 7 }, None, Some(400))),
            []
        );
        assert_eq!(
            taken_in(&[], &labels(&["preview"], None), &BTreeSet::new(), NOW),
            []
        );
    }

    #[test]
    fn a_label_that_is_asked_for_later_is_not_known_to_be_missing() {
        let known = taken_in(
            &[],
            &labels(&["preview", "large"], Some(100)),
            &asked(),
            NOW,
        );
        assert!(!known[0].labels.contains(&"large".to_owned()));
        assert!(!known[0].without.contains(&"large".to_owned()));
    }

    #[test]
    fn the_last_ones_are_kept() {
        let mut known = Vec::new();
        for number in 1..=120 {
            let labels = ["preview".to_owned()];
            told(&mut known, number, (labels.as_slice(), &asked()), NOW);
        }
        assert_eq!((known.len(), known[0].number), (KEPT, 21));
        for number in 200..=400 {
            told(&mut known, number, ([].as_slice(), &asked()), NOW);
        }
        assert_eq!((known.len(), known[0].number), (KEPT, 21), "they stay");
        let many = (0..20).map(|number| number.to_string());
        assert_eq!(wanted(many).len(), WANTED);
    }
}
