//! The way of a change as one trace: commit, run with its stages, Release, promotions with their steps. No I/O.
//!
//! Nothing is kept for it: the trace follows from the commit, and each span from the name of what it is about. A part is made
//! when a record says for the first time that it is over, so that neither a restart nor a new leader breaks the trace.

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use crate::model::key::{Key, short_hash};
use crate::pipeline_run::api::{PipelineRunSpec, PipelineRunStatus, RunPhase, StagePhase};
use crate::promotion::api::{PromotionPhase, PromotionSpec, PromotionStatus, StepState};

/// One span, complete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Of which trace.
    pub trace: u128,
    /// Which it is.
    pub span: u64,
    /// The span that it is a part of.
    pub parent: Option<u64>,
    /// What it is, in a word or two.
    pub name: String,
    /// When it began.
    pub from: Timestamp,
    /// When it ended.
    pub to: Timestamp,
    /// What else is known.
    pub attributes: Vec<(&'static str, String)>,
    /// Why it failed, if it did.
    pub failure: Option<String>,
}

/// Makes the parts of one trace.
struct Trace(u128);

impl Trace {
    /// The trace of a commit; without one, of a Release.
    fn of(commit: Option<&str>, namespace: &str, release: &str) -> Self {
        let what = match commit {
            Some(commit) => format!("commit/{commit}"),
            None => format!("release/{namespace}/{release}"),
        };
        let digits = short_hash(format!("slipway/trace/{what}").as_bytes(), 32);
        // 0 is no trace.
        Self(u128::from_str_radix(&digits, 16).map_or(1, |id| id.max(1)))
    }

    fn part(&self, what: &str, parent: Option<&str>, (from, to): (Timestamp, Timestamp)) -> Part {
        Part {
            trace: self.0,
            span: span(what),
            parent: parent.map(span),
            name: what.split('/').next().unwrap_or_default().to_owned(),
            from,
            to: to.max(from),
            attributes: Vec::new(),
            failure: None,
        }
    }
}

/// The span of something, by the words that tell it apart.
fn span(what: &str) -> u64 {
    let digits = short_hash(format!("slipway/span/{what}").as_bytes(), 16);
    u64::from_str_radix(&digits, 16).map_or(1, |id| id.max(1))
}

fn of_commit(sha: &str) -> String {
    format!("commit/{sha}")
}

fn of_release(namespace: &str, name: &str) -> String {
    format!("release/{namespace}/{name}")
}

/// A run, as its object says.
#[derive(Clone, Copy, Debug)]
pub struct Run<'a> {
    /// Which one it is.
    pub key: &'a Key,
    /// What it is about.
    pub spec: &'a PipelineRunSpec,
    /// When it was made.
    pub created_at: Timestamp,
    /// The run that its Release says it was made by, where there is one.
    pub maker: Option<&'a str>,
}

/// The parts of a run that has just ended: its commit, itself, its stages, and the Release that it made: of several runs that
/// come to the same Release, the one that the Release names. Nothing, if it has
/// not, or had before.
pub fn of_run(run: Run<'_>, before: &Value, after: &Value) -> Vec<Part> {
    let read = |status: &Value| PipelineRunStatus::deserialize(status).unwrap_or_default();
    let ended = |status: &PipelineRunStatus| status.phase.filter(|phase| phase.is_finished());
    let status = read(after);
    let (None, Some(phase)) = (ended(&read(before)), ended(&status)) else {
        return Vec::new();
    };
    let Some(finished) = status.finished_at.as_ref().map(|at| at.0) else {
        return Vec::new();
    };
    let Key { namespace, name } = run.key;
    let sha = status.sha.as_deref().or(run.spec.sha.as_deref());
    let made = status.release.as_deref();
    let trace = Trace::of(sha, namespace, made.unwrap_or(name));
    let mut parts = Vec::new();
    let commit = status.commit.as_ref().map(|commit| of_commit(&commit.sha));
    if let (Some(commit), Some(what)) = (&status.commit, &commit) {
        let at = commit.committed_at.0;
        let mut part = trace.part(what, None, (at, at));
        let revision = ("vcs.ref.head.revision", commit.sha.clone());
        part.attributes.push(revision);
        parts.push(part);
    }
    let what = format!("run/{namespace}/{name}");
    let mut whole = trace.part(&what, commit.as_deref(), (run.created_at, finished));
    let pipeline = &run.spec.pipeline_ref.name;
    whole.attributes = vec![
        ("k8s.namespace.name", namespace.clone()),
        ("cicd.pipeline.name", pipeline.clone()),
        ("cicd.pipeline.run.id", name.clone()),
        ("cicd.pipeline.result", result(phase).to_owned()),
        ("vcs.ref.head.name", run.spec.git_ref.clone()),
    ];
    let revision = sha.map(|sha| ("vcs.ref.head.revision", sha.to_owned()));
    whole.attributes.extend(revision);
    let message = status.message.clone().unwrap_or_default();
    whole.failure = (phase != RunPhase::Succeeded).then_some(message);
    parts.push(whole);
    parts.extend(stages(&trace, &what, &status));
    let is_maker = run.maker.is_none_or(|maker| maker == name);
    if let Some(release) = made.filter(|_| is_maker) {
        let id = of_release(namespace, release);
        let mut part = trace.part(&id, Some(&what), (finished, finished));
        part.attributes = vec![
            ("k8s.namespace.name", namespace.clone()),
            ("slipway.release", release.to_owned()),
        ];
        parts.push(part);
    }
    parts
}

/// What the conventions of OpenTelemetry call the end of a run.
fn result(phase: RunPhase) -> &'static str {
    match phase {
        RunPhase::Succeeded => "success",
        RunPhase::Cancelled => "cancellation",
        RunPhase::TimedOut => "timeout",
        RunPhase::Failed | RunPhase::Queued | RunPhase::Running => "failure",
    }
}

/// The stages of a run that were started.
fn stages(trace: &Trace, run: &str, status: &PipelineRunStatus) -> Vec<Part> {
    let stages = status.stages.iter().filter_map(|stage| {
        let times = stage.started_at.as_ref().zip(stage.finished_at.as_ref())?;
        let what = format!("stage/{run}/{}", stage.name);
        let mut part = trace.part(&what, Some(run), (times.0.0, times.1.0));
        part.name = format!("stage {}", stage.name);
        part.attributes = vec![
            ("cicd.pipeline.task.name", stage.name.clone()),
            ("slipway.stage.type", stage.type_.as_str().to_owned()),
            ("slipway.result", stage.phase.as_str().to_owned()),
        ];
        let message = stage.message.clone().unwrap_or_default();
        let has_failed = matches!(
            stage.phase,
            StagePhase::Failed | StagePhase::Cancelled | StagePhase::TimedOut
        );
        part.failure = has_failed.then_some(message);
        Some(part)
    });
    stages.collect()
}

/// A Promotion, as its object says.
#[derive(Clone, Copy, Debug)]
pub struct Promotion<'a> {
    /// Which one it is.
    pub key: &'a Key,
    /// What it brings where.
    pub spec: &'a PromotionSpec,
    /// When it was made.
    pub created_at: Timestamp,
    /// What its status was.
    pub before: &'a PromotionStatus,
}

/// The parts of a Promotion that has just ended: itself, how long it waited, and its steps. Nothing, if it has not, or had before.
pub fn of_promotion(promotion: Promotion<'_>, after: &Value) -> Vec<Part> {
    let Ok(status) = PromotionStatus::deserialize(after) else {
        return Vec::new();
    };
    let ended = |status: &PromotionStatus| status.phase.filter(|phase| phase.is_finished());
    let (None, Some(phase)) = (ended(promotion.before), ended(&status)) else {
        return Vec::new();
    };
    let Some(finished) = status.finished_at.as_ref().map(|at| at.0) else {
        return Vec::new();
    };
    let Key { namespace, name } = promotion.key;
    let spec = promotion.spec;
    let trace = Trace::of(spec.commit.as_deref(), namespace, &spec.release);
    let what = format!("promotion/{namespace}/{name}");
    let above = above(namespace, spec);
    let mut whole = trace.part(&what, above.as_deref(), (promotion.created_at, finished));
    whole.name = format!("promotion {}", spec.environment);
    whole.attributes = vec![
        ("k8s.namespace.name", namespace.clone()),
        ("deployment.environment.name", spec.environment.clone()),
        ("slipway.promotion", name.clone()),
        ("slipway.promotion.kind", spec.kind.as_str().to_owned()),
        ("slipway.release", spec.release.clone()),
        ("slipway.result", phase.as_str().to_owned()),
    ];
    let message = status.message.clone().unwrap_or_default();
    let has_failed = matches!(phase, PromotionPhase::Failed | PromotionPhase::RolledBack);
    whole.failure = has_failed.then_some(message);
    let mut parts = vec![whole];
    if let Some(started) = &status.started_at {
        let waiting = format!("gates/{what}");
        let span = (promotion.created_at, started.0);
        parts.push(trace.part(&waiting, Some(&what), span));
    }
    parts.extend(steps(&trace, &what, &status));
    parts
}

/// What a Promotion hangs below: its Release. A set has no span of its own, and no name tells which member is of its commit, so
/// it hangs below the commit, if it has one.
fn above(namespace: &str, spec: &PromotionSpec) -> Option<String> {
    if spec.members.is_empty() {
        Some(of_release(namespace, &spec.release))
    } else {
        spec.commit.as_deref().map(of_commit)
    }
}

/// The steps of a Promotion that were done: Rollouts, smoke tests.
fn steps(trace: &Trace, promotion: &str, status: &PromotionStatus) -> Vec<Part> {
    let steps = status.steps.iter().filter_map(|step| {
        let times = step.started_at.as_ref().zip(step.finished_at.as_ref())?;
        let what = format!("step/{promotion}/{}", step.name);
        let mut part = trace.part(&what, Some(promotion), (times.0.0, times.1.0));
        part.name.clone_from(&step.name);
        let state = ("slipway.result", step.state.as_str().to_owned());
        part.attributes.push(state);
        let message = step.message.clone().unwrap_or_default();
        part.failure = (step.state == StepState::Failed).then_some(message);
        Some(part)
    });
    steps.collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const SHA: &str = "3f9c2e1b0d3f9c2e1b0d3f9c2e1b0d3f9c2e1b0d";

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    fn time(second: i64) -> Value {
        at(second).to_string().into()
    }

    fn run_parts(before: &Value, after: &Value) -> Vec<Part> {
        run_parts_of("shop-3f9c2e1b0d", None, before, after)
    }

    fn run_parts_of(name: &str, maker: Option<&str>, before: &Value, after: &Value) -> Vec<Part> {
        let spec = json!({
            "pipelineRef": {"name": "shop"}, "trigger": {"kind": "Push", "actor": "jane"}, "ref": "refs/heads/main", "sha": SHA,
        });
        let spec: PipelineRunSpec = serde_json::from_value(spec).unwrap();
        let run = Run {
            key: &Key::new("shop", name),
            spec: &spec,
            created_at: at(10),
            maker,
        };
        of_run(run, before, after)
    }

    fn over(phase: &str) -> Value {
        json!({
            "phase": phase, "sha": SHA, "finishedAt": time(90), "release": "shop-3f9c2e1b0d", "message": "why",
            "commit": {
                "sha": SHA, "author": "a", "email": "a@example.com", "subject": "s", "committedAt": time(0),
            },
            "stages": [
                {"name": "unit", "type": "Test", "phase": phase, "startedAt": time(20), "finishedAt": time(60)},
                {"name": "late", "type": "Custom", "phase": "Skipped"},
            ],
        })
    }

    fn promotion_parts(before: &Value, after: &Value, commit: Option<&str>) -> Vec<Part> {
        let spec = json!({
            "environment": "live", "release": "shop-3f9c2e1b0d", "pipeline": "shop", "images": [],
            "kind": "Promote", "attempt": 1, "requestedBy": "slipway", "commit": commit,
        });
        let spec: PromotionSpec = serde_json::from_value(spec).unwrap();
        let promotion = Promotion {
            key: &Key::new("shop", "live-3f9c2e1b0d-1"),
            spec: &spec,
            created_at: at(100),
            before: &serde_json::from_value(before.clone()).unwrap(),
        };
        of_promotion(promotion, after)
    }

    fn promoted(phase: &str) -> Value {
        json!({
            "phase": phase, "startedAt": time(160), "finishedAt": time(300), "message": "why",
            "steps": [
                {"name": "rollout-api", "state": "Succeeded", "startedAt": time(160), "finishedAt": time(280)},
                {"name": "smoke", "state": "Pending"},
            ],
        })
    }

    /// Name and parent's name of each part.
    fn tree(parts: &[Part]) -> Vec<(String, Option<String>)> {
        let named = |id: u64| {
            let parent = parts.iter().find(|part| part.span == id);
            parent.map(|part| part.name.clone())
        };
        let tree = parts
            .iter()
            .map(|part| (part.name.clone(), part.parent.and_then(named)));
        tree.collect()
    }

    #[test]
    fn a_change_is_one_trace_from_its_commit_to_its_rollouts() {
        let mut parts = run_parts(&json!({"phase": "Running"}), &over("Succeeded"));
        parts.extend(promotion_parts(
            &json!({"phase": "Verifying"}),
            &promoted("Succeeded"),
            Some(SHA),
        ));
        let expected = [
            ("commit", None),
            ("run", Some("commit")),
            ("stage unit", Some("run")),
            ("release", Some("run")),
            ("promotion live", Some("release")),
            ("gates", Some("promotion live")),
            ("rollout-api", Some("promotion live")),
        ];
        let expected = expected.map(|(name, parent)| (name.to_owned(), parent.map(str::to_owned)));
        assert_eq!(tree(&parts), expected);
        assert!(parts.iter().all(|part| part.trace == parts[0].trace));
        assert!(parts.iter().all(|part| part.failure.is_none()));
        let mut spans: Vec<u64> = parts.iter().map(|part| part.span).collect();
        spans.sort_unstable();
        spans.dedup();
        assert_eq!(spans.len(), parts.len());
    }

    #[test]
    fn parts_are_made_once_and_are_always_the_same() {
        let running = json!({"phase": "Running"});
        assert_eq!(
            run_parts(&running, &over("Succeeded")),
            run_parts(&Value::Null, &over("Succeeded"))
        );
        assert!(run_parts(&over("Succeeded"), &over("Succeeded")).is_empty());
        assert!(run_parts(&Value::Null, &running).is_empty());
        let (moving, done) = (json!({"phase": "Promoting"}), promoted("Succeeded"));
        assert!(promotion_parts(&done, &done, Some(SHA)).is_empty());
        assert!(promotion_parts(&moving, &moving, Some(SHA)).is_empty());
    }

    #[test]
    fn of_two_runs_the_release_hangs_below_the_one_that_made_it() {
        let after = over("Succeeded");
        let of = |name: &str| run_parts_of(name, Some("shop-2"), &Value::Null, &after);
        let releases = |parts: &[Part]| {
            let all = parts.iter().filter(|part| part.name == "release");
            all.map(|part| part.parent).collect::<Vec<_>>()
        };
        assert_eq!(releases(&of("shop-2")), [Some(span("run/shop/shop-2"))]);
        assert!(releases(&of("shop-3")).is_empty());
    }

    #[test]
    fn what_failed_says_why() {
        let parts = run_parts(&Value::Null, &over("Failed"));
        let failed: Vec<&str> = parts
            .iter()
            .filter(|part| part.failure.is_some())
            .map(|part| part.name.as_str())
            .collect();
        assert_eq!(failed, ["run", "stage unit"]);
        let parts = promotion_parts(&json!({}), &promoted("RolledBack"), Some(SHA));
        assert_eq!(parts[0].failure.as_deref(), Some("why"));
        let parts = promotion_parts(&json!({}), &promoted("Superseded"), Some(SHA));
        assert_eq!(parts[0].failure, None);
    }

    #[test]
    fn a_set_hangs_below_its_commit() {
        let spec = |commit: Option<&str>| -> PromotionSpec {
            let spec = json!({
                "environment": "live", "release": "store-1", "pipeline": "store", "images": [], "commit": commit,
                "kind": "Promote", "attempt": 1, "requestedBy": "slipway", "members": [
                    {"pipeline": "web", "release": "web-91ac02"}, {"pipeline": "shop", "release": "shop-3f9c2e1b0d"},
                ],
            });
            serde_json::from_value(spec).unwrap()
        };
        assert_eq!(above("shop", &spec(Some(SHA))), Some(of_commit(SHA)));
        assert_eq!(above("shop", &spec(None)), None);
    }

    /// A set of Releases without a commit of its own.
    #[test]
    fn what_has_no_commit_is_a_trace_of_its_release() {
        let of = |commit| promotion_parts(&json!({}), &promoted("Succeeded"), commit);
        let (with, without) = (of(Some(SHA)), of(None));
        assert_ne!(with[0].trace, without[0].trace);
        assert_eq!(with[0].span, without[0].span);
    }
}
