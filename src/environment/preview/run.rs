//! Runs of pull requests whose images may be shown. No I/O.

use std::sync::Arc;

use kube::ResourceExt;

use super::Run;
use crate::pipeline::api::StageType;
use crate::pipeline_run::api::{ArtifactKind, PipelineRun, RunPhase, StagePhase, Trigger};
use crate::release::api::ImageRef;

/// Runs of which each tries the one before again, at most.
const RETRIES: usize = 8;

impl Run {
    /// A run whose images may be shown: it passed, or it waits for its preview. One that went on from there stays so, whatever
    /// becomes of it: what was shown is not taken back.
    pub fn read(run: &PipelineRun, all: &[Arc<PipelineRun>]) -> Option<Self> {
        let status = run.status.as_ref()?;
        let asks = status.stages.iter().any(|stage| {
            let has_begun = matches!(stage.phase, StagePhase::Running | StagePhase::Succeeded);
            stage.type_ == StageType::Preview && has_begun
        });
        if status.phase != Some(RunPhase::Succeeded) && !asks {
            return None;
        }
        let created = run.metadata.creation_timestamp.as_ref()?.0;
        let made = |kind: ArtifactKind| -> Vec<ImageRef> {
            let made = status.artifacts.iter().filter(|made| made.kind == kind);
            let made = made.map(|made| ImageRef {
                name: made.name.clone(),
                reference: made.pinned(),
            });
            made.collect()
        };
        let origin = origin(run, all)?;
        let trigger = origin.trigger;
        let pull_request = trigger.pull_request.as_ref()?;
        Some(Self {
            name: run.name_any(),
            number: pull_request.number,
            sha: sha(run)?.to_owned(),
            author: trigger.actor.clone(),
            is_fork: pull_request.fork,
            // One that waits for approval does not begin.
            is_approved: trigger.needs_approval == Some(true) && origin.has_begun,
            started_at: run.spec.trigger.started_by().unwrap_or(created),
            finished_at: status.finished_at.as_ref().map(|at| at.0),
            images: made(ArtifactKind::Image),
            packages: made(ArtifactKind::Package),
        })
    }
}

/// What a provider told of a pull request, and what became of it.
struct Origin<'a> {
    trigger: &'a Trigger,
    /// Whether the run that it started began. Where that one is gone it is not known, and one that began is not guessed.
    has_begun: bool,
}

/// What started the run, by a provider's word: the run itself, or the one that it tries again, whole and at the same commit; of one that
/// is gone, what a run that tried it again has on record. What a person says of a pull request is nothing to go by.
fn origin<'a>(run: &'a PipelineRun, all: &'a [Arc<PipelineRun>]) -> Option<Origin<'a>> {
    let mut origin = run;
    for _ in 0..RETRIES {
        let Some(before) = &origin.spec.retry_of else {
            break;
        };
        if !origin.spec.stages.is_empty() {
            return None;
        }
        let Some(found) = all.iter().find(|one| one.name_any() == before.name) else {
            let trigger = origin.status.as_ref()?.origin.as_ref()?;
            return Some(Origin {
                trigger,
                has_begun: false,
            });
        };
        let is_same = found.spec.git_ref == run.spec.git_ref
            && found.spec.pipeline_ref == run.spec.pipeline_ref
            && sha(found) == sha(run);
        if !is_same {
            return None;
        }
        origin = found;
    }
    let begun = origin.status.as_ref()?.started_at.as_ref();
    Some(Origin {
        trigger: &origin.spec.trigger,
        has_begun: begun.is_some(),
    })
}

fn sha(run: &PipelineRun) -> Option<&str> {
    let found = run.status.as_ref().and_then(|status| status.sha.as_deref());
    found.or(run.spec.sha.as_deref())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn run(name: &str, trigger: &Value, rest: &Value) -> Arc<PipelineRun> {
        let sha = "a".repeat(40);
        let mut run = json!({
            "metadata": {"name": name, "namespace": "shop", "creationTimestamp": "2027-01-15T08:00:00Z"},
            "spec": {"pipelineRef": {"name": "api"}, "ref": "refs/pull/7/head", "sha": sha, "trigger": trigger},
            "status": {
                "phase": "Succeeded", "sha": sha, "startedAt": "2027-01-15T08:00:00Z",
                "artifacts": [{"name": "api", "kind": "Image", "ref": "r.example/api", "digest": format!("sha256:{}", "b".repeat(64))}],
            },
        });
        json_patch::merge(&mut run, rest);
        Arc::new(serde_json::from_value(run).unwrap())
    }

    fn told(fork: bool, needs_approval: bool) -> Value {
        json!({
            "kind": "PullRequest", "actor": "github:alice", "needsApproval": needs_approval,
            "pullRequest": {"number": 7, "fork": fork},
        })
    }

    fn again(name: &str, of: &str, rest: &Value) -> Arc<PipelineRun> {
        let mut all = json!({"spec": {"retryOf": {"name": of}}});
        json_patch::merge(&mut all, rest);
        let trigger = json!({"kind": "Manual", "actor": "bob@example.com"});
        run(name, &trigger, &all)
    }

    #[test]
    fn one_that_is_tried_again_is_still_of_its_pull_request() {
        let all = [
            run("api-1", &told(false, false), &json!({})),
            again("api-2", "api-1", &json!({})),
            again("api-3", "api-2", &json!({})),
        ];
        let read = Run::read(&all[2], &all).unwrap();
        assert_eq!(
            (read.name.as_str(), read.number, read.is_fork),
            ("api-3", 7, false)
        );
        assert_eq!(read.author, "github:alice", "it counts as hers");
        let few = again("api-4", "api-1", &json!({"spec": {"stages": ["unit"]}}));
        assert_eq!(Run::read(&few, &all), None);
        let other = again(
            "api-5",
            "api-1",
            &json!({"status": {"sha": "c".repeat(40)}}),
        );
        assert_eq!(Run::read(&other, &all), None);
        let gone = again("api-6", "api-0", &json!({}));
        assert_eq!(Run::read(&gone, &all), None);
    }

    #[test]
    fn one_whose_first_run_is_gone_is_known_by_what_is_on_record() {
        let known = json!({"status": {"origin": told(true, true)}});
        let all = [
            again("api-2", "api-1", &known),
            again("api-3", "api-2", &json!({})),
        ];
        for run in &all {
            let read = Run::read(run, &all).unwrap();
            assert_eq!((read.number, read.author.as_str()), (7, "github:alice"));
            assert!(
                read.is_fork && !read.is_approved,
                "approved by nobody that is known"
            );
        }
        let few = json!({"spec": {"stages": ["unit"]}});
        let few = again(
            "api-4",
            "api-1",
            &json!({"spec": few["spec"], "status": known["status"]}),
        );
        assert_eq!(Run::read(&few, &all), None);
    }

    #[test]
    fn what_people_start_for_a_pull_request_says_nothing_of_it() {
        let trigger = json!({"kind": "Manual", "actor": "bob@example.com"});
        let by_hand = run("api-1", &trigger, &json!({}));
        assert_eq!(Run::read(&by_hand, &[]), None);
    }

    #[test]
    fn only_what_had_to_be_approved_and_has_begun_is_approved() {
        let is_approved = |run: &PipelineRun| Run::read(run, &[]).unwrap().is_approved;
        assert!(is_approved(&run("api-1", &told(true, true), &json!({}))));
        assert!(!is_approved(&run("api-1", &told(true, false), &json!({}))));
        let waits = json!({"status": {"startedAt": null}});
        assert!(!is_approved(&run("api-1", &told(true, true), &waits)));
    }
}
