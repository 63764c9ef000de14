//! What a person could do next about a Rollout: a Decision that has an effect now, or something else. No I/O.

use serde::Serialize;

use super::Seen;
use crate::decision::api::DecisionAction;
use crate::rollout::api::{EndingResult, FailureReason, Phase};
use crate::rollout::spec::Step;

/// One thing that a person could do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Advice {
    /// The Decision on this Rollout that does it; nothing, where it takes something else.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decision: Option<DecisionAction>,
    /// In the name of one of these groups, where it takes one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    /// What that does, or what to do.
    pub what: String,
}

fn decide(action: DecisionAction, what: impl Into<String>) -> Advice {
    Advice {
        decision: Some(action),
        groups: Vec::new(),
        what: what.into(),
    }
}

fn otherwise(what: impl Into<String>) -> Advice {
    Advice {
        decision: None,
        groups: Vec::new(),
        what: what.into(),
    }
}

/// What a person could do, what is most likely wanted first.
pub(super) fn advice(seen: &Seen) -> Vec<Advice> {
    let is_leaving = seen.rollout.metadata.deletion_timestamp.is_some();
    if is_leaving || !seen.is_looked_at() {
        return Vec::new();
    }
    match seen.reason() {
        "InvalidSpec" => {
            return vec![otherwise(
                "edit the spec: every problem is listed with its path",
            )];
        }
        "ForeignService" => {
            return vec![otherwise(
                "do with the Service as the message says, or name another one in spec.traffic.services",
            )];
        }
        "NoRelease" => return vec![otherwise(no_release(seen))],
        _ => {}
    }
    let mut all = Vec::new();
    if seen.change.is_some() {
        of_change(seen, &mut all);
    } else if has_failed(seen) {
        of_failure(seen, &mut all);
    } else {
        at_rest(seen, &mut all);
    }
    all
}

fn no_release(seen: &Seen) -> String {
    let release = seen.rollout.spec.release.as_ref();
    let name = release.map_or("", |release| release.environment.name.as_str());
    format!("look at Environment {name}: it has no Release for this Rollout yet")
}

fn of_change(seen: &Seen, all: &mut Vec<Advice>) {
    let progress = seen.status.progress.as_ref();
    if progress.is_some_and(|progress| progress.paused.is_some()) {
        all.push(decide(DecisionAction::Resume, "lets the change go on"));
    }
    if seen.rollout.spec.paused.unwrap_or(false) {
        all.push(otherwise("set spec.paused to false: lets the change go on"));
    }
    if seen.stuck().is_some() {
        of_stuck(seen, all);
    }
    if !seen.is_held() {
        of_step(seen, all);
        let what = "holds the change where it is, until a Resume";
        all.push(decide(DecisionAction::Pause, what));
    }
    let has_steps_left = seen.present_step().is_some();
    // Pods have to serve before anything goes on.
    if !is_of_pods(seen) && (has_steps_left || seen.stuck().is_some()) {
        let what = "ends all steps that are left: all of the traffic to the canary";
        all.push(decide(DecisionAction::Promote, what));
    }
    let what = "gives the change up: all of the traffic back to stable";
    all.push(decide(DecisionAction::Abort, what));
}

/// Whether pods that do not serve hold the change.
fn is_of_pods(seen: &Seen) -> bool {
    let reason = seen.stuck().map(|stuck| stuck.reason.as_str());
    reason
        .and_then(FailureReason::named)
        .is_some_and(FailureReason::is_of_pods)
}

/// A failure that waits for people.
fn of_stuck(seen: &Seen, all: &mut Vec<Advice>) {
    if is_of_pods(seen) {
        all.push(otherwise(look_at_pods(seen)));
        let what = "once its pods serve: a Decision Retry, and it goes on where it was held";
        return all.push(otherwise(what));
    }
    let what = "goes on where it was held, and measures afresh: once what was wrong is mended";
    all.push(decide(DecisionAction::Retry, what));
}

fn of_step(seen: &Seen, all: &mut Vec<Advice>) {
    match seen.present_step() {
        Some(Step::Pause(None)) => {
            all.push(decide(DecisionAction::Resume, "goes on with the next step"));
        }
        Some(Step::Pause(Some(_))) => {
            let what = "goes on with the next step at once";
            all.push(decide(DecisionAction::Skip, what));
        }
        Some(Step::Analyse { .. }) => {
            let what = "goes on with the next step, without a verdict";
            all.push(decide(DecisionAction::Skip, what));
        }
        Some(Step::Run { name, .. }) => {
            let what = format!("goes on with the next step, whatever comes of hook {name}");
            all.push(decide(DecisionAction::Skip, what));
        }
        Some(Step::Approve { required, groups }) => {
            let have = seen.change.map_or(0, |change| change.approvals.len());
            let what = format!("adds an approval: {have} of {required} so far");
            all.push(Advice {
                groups: groups.clone(),
                ..decide(DecisionAction::Approve, what)
            });
            all.push(decide(DecisionAction::Reject, "gives the change up"));
        }
        Some(Step::SetWeight(_) | Step::Route(_) | Step::Mirror(_) | Step::Scale(_)) | None => {}
    }
}

fn has_failed(seen: &Seen) -> bool {
    let progress = seen.status.progress.as_ref();
    progress.is_some_and(|progress| progress.failed.is_some())
}

fn is_undone(seen: &Seen) -> bool {
    let progress = seen.status.progress.as_ref();
    progress.is_some_and(|progress| progress.undo.is_some())
}

fn of_failure(seen: &Seen, all: &mut Vec<Advice>) {
    if seen.reason() == "StableDown" {
        all.push(otherwise(look_at_pods(seen)));
    }
    if is_undone(seen) {
        all.push(otherwise(
            "change the spec: what it asks for then counts again",
        ));
        let what = "runs what the spec asks for after all";
        return all.push(decide(DecisionAction::Retry, what));
    }
    if seen.rollout.spec.release.is_some() {
        let what = "bring a Release that repairs it, or a Decision Rollback on its Environment";
        all.push(otherwise(what));
    } else {
        all.push(otherwise(
            "repair it and change the spec: the next revision is tried",
        ));
    }
    let what = "tries the revision that was given up again, as it is";
    all.push(decide(DecisionAction::Retry, what));
}

fn at_rest(seen: &Seen, all: &mut Vec<Advice>) {
    let progress = seen.status.progress.as_ref();
    let is_held = progress.is_some_and(|progress| progress.paused.is_some());
    if is_held {
        all.push(decide(DecisionAction::Resume, "lets the next change go on"));
    }
    if progress.is_some_and(|progress| progress.restart.is_some()) {
        let what = "ends the restart where it is";
        all.push(decide(DecisionAction::Abort, what));
    }
    if seen.phase() == Phase::Degraded || seen.reason() == "WaitingForPods" {
        all.push(otherwise(look_at_pods(seen)));
    }
    if let Some(release) = &seen.rollout.spec.release {
        let name = &release.environment.name;
        all.push(otherwise(format!(
            "go back: a Decision Rollback on Environment {name}, which says what runs here"
        )));
    } else if has_earlier(seen) {
        let what = "goes back to the revision before, without steps";
        all.push(decide(DecisionAction::Undo, what));
    }
    if !is_held {
        let what = "holds the next change at its beginning, until a Resume";
        all.push(decide(DecisionAction::Pause, what));
    }
}

/// Whether another revision was stable before.
fn has_earlier(seen: &Seen) -> bool {
    let stable = seen.status.stable.as_ref();
    let mut endings = seen.status.history.iter();
    endings.any(|ending| {
        ending.result == EndingResult::Promoted
            && stable.is_some_and(|stable| stable.revision == ending.revision)
    })
}

fn look_at_pods(seen: &Seen) -> String {
    let name = seen.rollout.metadata.name.as_deref().unwrap_or_default();
    let namespace = seen
        .rollout
        .metadata
        .namespace
        .as_deref()
        .unwrap_or_default();
    format!(
        "look at its pods: kubectl -n {namespace} get pods -l slipway.dev/rollout={name} -L slipway.dev/revision"
    )
}
