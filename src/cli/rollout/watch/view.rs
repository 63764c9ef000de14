//! What is shown of a Rollout that is watched: how it is, what was seen before, and what the person is about to do. No I/O.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::analysis::template::Templates;
use crate::decision::api::DecisionAction;
use crate::rollout::api::Rollout;
use crate::rollout::explain::{Explanation, explain};

/// Looks and samples that are kept.
const KEPT: usize = 240;

/// What was seen so far.
#[derive(Clone, Debug, Default)]
pub(super) struct History {
    /// The canary's weight at each look, latest last.
    pub(super) weights: Vec<f64>,
    /// Samples of each metric that are numbers, latest last.
    pub(super) samples: BTreeMap<String, Vec<(Timestamp, f64)>>,
}

impl History {
    /// Adds a look.
    fn add(&mut self, seen: &Explanation) {
        let weight = seen.weights.as_ref().map_or(0, |weights| weights.canary);
        self.weights.push(f64::from(weight));
        trim(&mut self.weights);
        for metric in &seen.analysis {
            let tally = &metric.tally;
            let kept = tally.measurements.iter();
            let kept = kept.map(|one| (Some(one.at), one.value.as_ref()));
            // Without `retain` only the last one is there.
            let all = kept.chain(std::iter::once((tally.at, tally.value.as_ref())));
            let known = self.samples.entry(tally.name.clone()).or_default();
            for (at, value) in all {
                let value = value.and_then(|value| value.parse::<f64>().ok());
                let (Some(at), Some(value)) = (at, value.filter(|value| value.is_finite())) else {
                    continue;
                };
                if known.last().is_none_or(|(last, _)| *last < at) {
                    known.push((at, value));
                }
            }
            trim(known);
        }
    }
}

fn trim<T>(all: &mut Vec<T>) {
    let surplus = all.len().saturating_sub(KEPT);
    all.drain(..surplus);
}

/// What is shown.
#[derive(Clone, Debug)]
pub(super) struct View {
    /// How it is.
    pub(super) seen: Explanation,
    /// What was seen before.
    pub(super) history: History,
    /// What the person has to confirm.
    pub(super) asked: Option<DecisionAction>,
    /// What came of what the person did last.
    pub(super) notice: String,
}

/// What a key does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Press {
    /// It ends the view.
    Quit,
    /// It decides what was asked.
    Decide(DecisionAction),
    /// Nothing, but what is shown may have changed.
    Nothing,
}

/// What can be decided, by key.
pub(super) const KEYS: [(char, DecisionAction); 5] = [
    ('p', DecisionAction::Pause),
    ('r', DecisionAction::Resume),
    ('s', DecisionAction::Skip),
    ('P', DecisionAction::Promote),
    ('A', DecisionAction::Abort),
];

impl View {
    /// The first look.
    pub(super) fn new(rollout: &Rollout, templates: &Templates, now: Timestamp) -> Self {
        let seen = explain(rollout, templates, now);
        let mut history = History::default();
        history.add(&seen);
        Self {
            seen,
            history,
            asked: None,
            notice: String::new(),
        }
    }

    /// Another look.
    pub(super) fn look(&mut self, rollout: &Rollout, templates: &Templates, now: Timestamp) {
        self.seen = explain(rollout, templates, now);
        self.history.add(&self.seen);
    }

    /// A key was pressed. What changes something is asked for first.
    pub(super) fn press(&mut self, key: char) -> Press {
        if let Some(action) = self.asked.take() {
            return if key == 'y' {
                Press::Decide(action)
            } else {
                self.notice = format!("{action}: left alone");
                Press::Nothing
            };
        }
        if key == 'q' {
            return Press::Quit;
        }
        let found = KEYS.iter().find(|(known, _)| *known == key);
        self.asked = found.map(|(_, action)| *action);
        self.notice.clear();
        Press::Nothing
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;
    use crate::rollout::explain::testing::story;

    fn view() -> View {
        let story = story("pauses for a time");
        View::new(&story.rollout(), &Templates::new(), story.now())
    }

    #[test]
    fn what_changes_something_is_confirmed() {
        let mut view = view();
        assert_eq!(view.press('A'), Press::Nothing);
        assert_eq!(view.asked, Some(DecisionAction::Abort));
        assert_eq!(view.press('n'), Press::Nothing);
        assert_eq!(
            (view.asked, view.notice.as_str()),
            (None, "Abort: left alone")
        );
        view.press('s');
        assert_eq!(view.press('y'), Press::Decide(DecisionAction::Skip));
        assert_eq!(view.press('y'), Press::Nothing);
        assert_eq!(view.press('q'), Press::Quit);
    }

    #[test]
    fn a_sample_is_kept_once() {
        let story = story("waits for approvals");
        let mut rollout = story.rollout();
        let mut sampled = |view: &mut Option<View>, seconds: i64| {
            let at = story.now() + SignedDuration::from_secs(seconds);
            let status = rollout.status.as_mut().unwrap();
            for tally in &mut status.analysis {
                (tally.at, tally.value) = (Some(at), Some("0.99".to_owned()));
            }
            match view {
                Some(view) => view.look(&rollout, &Templates::new(), at),
                None => *view = Some(View::new(&rollout, &Templates::new(), at)),
            }
            view.as_ref().unwrap().history.samples["success-rate"].len()
        };
        let mut view = None;
        assert_eq!(sampled(&mut view, 1), 1);
        assert_eq!(sampled(&mut view, 1), 1);
        assert_eq!(sampled(&mut view, 31), 2);
        assert_eq!(view.unwrap().history.weights, [25.0, 25.0, 25.0]);
    }
}
