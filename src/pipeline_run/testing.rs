//! Builders for tests: a run of the Pipeline in `pipeline::testing`, and Jobs as the cluster shows them.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{OwnerReference, Time};
use serde_json::json;

use super::api::{Commit, FailureKind, PipelineRunStatus, TestCounts};
use super::observed::{Branch, Ended, Job, JobState, Observed, Origin, PipelineNow, Pod, Snapshot};
use super::render::{MAIN, SOURCE, TOOLS};
use crate::cluster::{ReceiverPlace, StageImages};
use crate::model::key::Key;
use crate::model::manifest::Target;
use crate::model::object::ObjectKind;
use crate::pipeline::api::Isolation;
use crate::pipeline::observed::Authorities;
use crate::pipeline::secret::{Facts, Secrets};
use crate::pipeline::testing::{self as pipeline, NOW, sha};
use crate::runner::report::{SourceReport, StageReport};

fn owner(kind: &str, name: &str) -> OwnerReference {
    OwnerReference {
        api_version: "slipway.dev/v1alpha1".into(),
        kind: kind.into(),
        name: name.into(),
        uid: format!("uid-{name}"),
        controller: Some(true),
        block_owner_deletion: None,
    }
}

/// The Secrets that Pipelines of tests name, as they have to be.
fn usable() -> Secrets {
    let facts = |keys: &[&str]| {
        Some(Facts {
            is_labelled: true,
            keys: keys.iter().map(|key| (*key).to_owned()).collect(),
        })
    };
    let all = [
        ("cosign", facts(&["cosign.key"])),
        ("registry", facts(&[])),
        ("push", facts(&["password"])),
    ];
    Secrets::Known(all.map(|(name, facts)| (name.to_owned(), facts)).into())
}

/// A run of commit `a…` that nobody has looked at.
pub(crate) fn a_run() -> Observed {
    Observed {
        key: Key::new("shop", "api-1"),
        owner: owner("PipelineRun", "api-1"),
        generation: 1,
        created_at: NOW,
        is_deleted: false,
        spec: serde_json::from_value(json!({
            "pipelineRef": {"name": "api"}, "trigger": {"kind": "Push", "actor": "slipway"},
            "ref": "refs/heads/main", "sha": sha('a'),
        }))
        .unwrap(),
        status: PipelineRunStatus::default(),
        pipeline: Some(PipelineNow {
            owner: owner("Pipeline", "api"),
            generation: 3,
            spec: pipeline::spec(),
            admitted: Vec::new(),
            pause: None,
        }),
        snapshot: Snapshot::Missing,
        origin: Origin::None,
        jobs: BTreeMap::new(),
        gone: BTreeMap::new(),
        releases: Vec::new(),
        flaky: Vec::new(),
        versioned: Vec::new(),
        asked_at: None,
        authorities: Authorities::System,
        secrets: usable(),
        cancelled_by: None,
        answer: None,
        retries: Vec::new(),
        branch: Branch::default(),
        peers: Vec::new(),
        is_outrun: false,
        previews: BTreeMap::new(),
        images: StageImages {
            runner: Some("registry.example/slipway/runner".into()),
            buildkit: Some("registry.example/slipway/buildkit".into()),
            receiver: None,
            buildah: Some("registry.example/slipway/buildah".into()),
            isolations: vec![Isolation::Privileged, Isolation::Chroot],
            syft: Some("registry.example/slipway/syft".into()),
        },
    }
}

/// Where stage pods call, where the operator lets them.
pub(crate) fn receiver() -> ReceiverPlace {
    ReceiverPlace {
        url: "http://slipway-receiver.slipway-system.svc:8091".into(),
        max_log_bytes: 16 << 20,
    }
}

/// The commit of a run.
pub(crate) fn commit(digit: char) -> Commit {
    Commit {
        sha: sha(digit),
        author: "Alice".into(),
        email: "alice@example.com".into(),
        committed_at: Time(NOW),
        subject: "Make it faster".into(),
    }
}

/// A digest whose digits are all the same.
pub(crate) fn digest(digit: char) -> String {
    format!("sha256:{}", digit.to_string().repeat(64))
}

/// The report of a script with so many tests.
pub(crate) fn tested(total: u32, failed: u32) -> StageReport {
    StageReport {
        exit_code: Some(i32::from(failed > 0)),
        failure: (failed > 0).then_some(FailureKind::Test),
        tests: Some(TestCounts {
            total,
            failed,
            passed: total - failed,
            ..TestCounts::default()
        }),
        ..StageReport::default()
    }
}

/// The report of a build.
pub(crate) fn built(digit: char) -> StageReport {
    StageReport {
        digest: Some(digest(digit)),
        ..StageReport::default()
    }
}

/// A Job whose pod is being made.
pub(crate) fn a_job(name: &str) -> Job {
    Job {
        target: Target {
            kind: ObjectKind::Job,
            key: Key::new("shop", name),
            uid: format!("uid-{name}"),
            resource_version: "1".into(),
        },
        created_at: NOW,
        is_ending: false,
        state: JobState::Active,
        pod: None,
    }
}

impl Job {
    /// The pod runs.
    pub(crate) fn running(mut self) -> Self {
        self.pod = Some(Pod {
            has_node: true,
            ended: BTreeMap::from([(TOOLS.into(), Ended::default()), fetched('a')]),
            has_main: true,
            ..Pod::default()
        });
        self
    }

    /// The Job is over, and its pod left a report.
    pub(crate) fn over(mut self, at: Timestamp, exit_code: i32, report: StageReport) -> Self {
        self = self.running();
        if let Some(pod) = &mut self.pod {
            pod.is_over = true;
            pod.has_succeeded = exit_code == 0;
            let ended = Ended {
                exit_code,
                reason: String::new(),
                message: report.encode(),
            };
            pod.ended.insert(MAIN.into(), ended);
        }
        self.state = if exit_code == 0 {
            JobState::Complete(at)
        } else {
            JobState::Failed(at, "PodFailurePolicy".into(), "main failed".into())
        };
        self
    }

    /// Kubernetes has taken its pod away.
    pub(crate) fn evicted(mut self, at: Timestamp) -> Self {
        self = self.running().with_pod(|pod| {
            pod.is_over = true;
            pod.reason = "Evicted".into();
        });
        self.state = JobState::Failed(at, "BackoffLimitExceeded".into(), "it failed".into());
        self
    }

    /// Changes the pod.
    pub(crate) fn with_pod(mut self, change: impl FnOnce(&mut Pod)) -> Self {
        change(self.pod.get_or_insert_default());
        self
    }
}

fn fetched(digit: char) -> (String, Ended) {
    let report = SourceReport {
        commit: Some(commit(digit)),
        ..SourceReport::default()
    };
    let ended = Ended {
        message: report.encode(),
        ..Ended::default()
    };
    (SOURCE.into(), ended)
}
