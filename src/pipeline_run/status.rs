//! The whole status, from scratch. Pure.

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::api::{PipelineRunStatus, RunPhase, StagePhase};
use super::observed::{Observed, question};
use super::{definition, fit, notify, tell};
use crate::git::refs;
use crate::model::action::{Outcome, Reply};
use crate::model::condition::Conditions;
use crate::model::plan::Plan;
use crate::model::text::truncate;
use crate::pipeline::api::{DefinitionSource, PipelineSpec, SourceError};

/// Longest message of a status.
const MAX_MESSAGE: usize = 1024;

/// Everything that a run says about itself.
pub fn status(
    seen: &Observed,
    plan: &Plan<PipelineRunStatus>,
    outcome: &Outcome,
    now: Timestamp,
) -> PipelineRunStatus {
    let message = outcome.told_after(&plan.why.message);
    let mut status = plan.progress.clone();
    let phase = status.phase.unwrap_or_default();
    let reason = plan.why.reason;
    let is_stalled = (phase.is_finished() && phase != RunPhase::Succeeded)
        || matches!(
            reason,
            "NoPipeline"
                | "NoCaBundle"
                | "NoRunnerImage"
                | "NoReceiver"
                | "NoSecret"
                | "SecretsNotAllowed"
        );
    let is_ready = phase == RunPhase::Succeeded;
    status.observed_generation = Some(seen.generation);
    status.conditions = Conditions::new(&seen.status.conditions, seen.generation, now)
        .set("Ready", is_ready, reason, &message)
        .set_if("Reconciling", !is_ready && !is_stalled, reason, &message)
        .set_if("Stalled", is_stalled, reason, &message)
        .set_failure(outcome)
        .build();
    status.message = Some(truncate(&message, MAX_MESSAGE).to_owned());
    if let Some(failure) = &mut status.failure {
        let hint = failure.hint.take();
        failure.hint = hint.map(|hint| truncate(&hint, MAX_MESSAGE).to_owned());
    }
    tell::answered(seen, &mut status, outcome, now);
    notify::answered(&mut status, outcome, now);
    fit::fit(&mut status);
    answered(seen, status, outcome)
}

/// Of a status, what may not wait: all but the sentences about what is going on, what pods that are there tell of the
/// commit, which is on record with the end of a stage, and since when the Jobs are there of what the spec lets be done again if
/// it is lost. Pods come and go in bursts, and each write of what they do costs more than the plan.
pub fn essence(spec: Option<&PipelineSpec>, status: &Value) -> Value {
    let mut status = status.clone();
    let Some(fields) = status.as_object_mut() else {
        return status;
    };
    for field in ["message", "commit", "changes", "difference"] {
        fields.remove(field);
    }
    for condition in items(fields, "conditions") {
        condition.remove("message");
    }
    for stage in items(fields, "stages") {
        forget_what_goes_on(spec, stage);
    }
    status
}

/// Leaves out of a stage, and of its cells, what only informs as long as they run.
fn forget_what_goes_on(spec: Option<&PipelineSpec>, stage: &mut Map<String, Value>) {
    let name = stage.get("name").and_then(Value::as_str);
    let may_be_repeated = spec.is_some_and(|spec| {
        let mut stages = spec.stages.iter();
        let known = stages.find(|stage| Some(stage.name.as_str()) == name);
        known.is_some_and(|stage| spec.retry(stage).infra > 0)
    });
    let forget = |part: &mut Map<String, Value>| {
        // That the Job was there of something that must not be done twice is on record at once: if it is missing
        // afterwards, it is not made again, not even by another process.
        if is_running(part) && may_be_repeated {
            part.remove("startedAt");
        }
    };
    for cell in items(stage, "cells") {
        forget(cell);
    }
    if is_running(stage) {
        stage.remove("message");
    }
    forget(stage);
}

fn is_running(part: &Map<String, Value>) -> bool {
    part.get("phase").and_then(Value::as_str) == Some(StagePhase::Running.as_str())
}

/// The objects of a list.
fn items<'a>(
    fields: &'a mut Map<String, Value>,
    list: &str,
) -> impl Iterator<Item = &'a mut Map<String, Value>> {
    let all = fields.get_mut(list).and_then(Value::as_array_mut);
    all.into_iter().flatten().filter_map(Value::as_object_mut)
}

/// Takes in the answer of the repository, to the question that the plan has put down.
fn answered(
    seen: &Observed,
    mut status: PipelineRunStatus,
    outcome: &Outcome,
) -> PipelineRunStatus {
    let Some(spec) = seen.asks_by() else {
        return status;
    };
    let key = question(&status, &seen.spec.git_ref, spec);
    let Some(reply) = outcome.replies.get(&key) else {
        return status;
    };
    let learnt = match &mut status.definition {
        Some(known) if definition::wanted(known).is_some() => definition::answered(known, reply),
        Some(_) | None => heads(seen, &mut status, (spec, reply)),
    };
    status.source_error = learnt.err();
    status
}

/// Takes in the heads of the branches that the run asked for.
fn heads(
    seen: &Observed,
    status: &mut PipelineRunStatus,
    (spec, reply): (&PipelineSpec, &Result<Reply, String>),
) -> Result<(), SourceError> {
    let refs = refs::all(reply)?;
    if status.sha.is_none() && seen.spec.sha.is_none() {
        status.sha = Some(refs::head_of(&refs, &seen.spec.git_ref)?);
    }
    if let Some(known) = &mut status.definition {
        let rule = spec.definition.as_ref();
        let brings_own = rule.is_some_and(|rule| rule.from() == DefinitionSource::Commit);
        known.sha = if brings_own && seen.is_trusted() {
            status.sha.clone()
        } else {
            let branch = format!("refs/heads/{}", spec.source.git.branch);
            Some(refs::head_of(&refs, &branch)?)
        };
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::pipeline::testing::spec_json;

    #[test]
    fn only_sentences_about_what_goes_on_may_wait() {
        let with = |message: &str, phase: &str, attempt: u32| {
            let status = json!({
                "message": message,
                "conditions": [{"type": "Ready", "reason": "Running", "message": message}],
                "stages": [{"name": "unit", "phase": phase, "message": message, "attempt": attempt}],
            });
            essence(None, &status)
        };
        let starting = with("its pod is starting", "Running", 1);
        assert_eq!(starting, with("running", "Running", 1));
        assert_ne!(starting, with("running", "Running", 2));
        assert_ne!(with("good", "Failed", 1), with("bad", "Failed", 1));
        let told = |subject: &str| essence(None, &json!({"commit": {"subject": subject}}));
        assert_eq!(told("Make it faster"), essence(None, &json!({})));
    }

    #[test]
    fn since_when_a_job_is_there_may_wait_unless_it_must_not_be_made_twice() {
        let mut whole = spec_json();
        whole["stages"] = json!([
            {"name": "unit", "type": "Test", "image": "i", "run": "true"},
            {"name": "load", "type": "Test", "image": "i", "run": "true", "retry": {"infra": 0, "app": 1}},
            {"name": "schema", "type": "Migrate", "image": "i", "run": "true"},
        ]);
        let spec: PipelineSpec = serde_json::from_value(whole).unwrap();
        let with = |name: &str, phase: &str, started: bool| {
            let mut stage = json!({"name": name, "phase": phase});
            let mut cell = json!({"name": "a", "phase": phase});
            if started {
                stage["startedAt"] = "2026-11-26T10:00:00Z".into();
                cell["startedAt"] = "2026-11-26T10:00:00Z".into();
            }
            stage["cells"] = json!([cell]);
            json!({"stages": [stage]})
        };
        let may_wait = |spec: Option<&PipelineSpec>, name: &str, phase: &str| {
            let [one, other] = [true, false].map(|started| with(name, phase, started));
            essence(spec, &one) == essence(spec, &other)
        };
        assert!(may_wait(Some(&spec), "unit", "Running"));
        assert!(!may_wait(Some(&spec), "unit", "Succeeded"));
        // Of a stage that nobody knows it is not taken lightly.
        for once in ["load", "schema", "unheard"] {
            assert!(!may_wait(Some(&spec), once, "Running"), "{once}");
        }
        assert!(!may_wait(None, "unit", "Running"));
    }
}
