//! Builders for tests: a Pipeline as people write it, and what is around it.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::{Value, json};

use super::api::{PipelineSpec, PipelineStatus, SourceError};
use super::observed::{Authorities, Observed, Run};
use super::render;
use super::spec::problems;
use crate::model::invalid::sentence;
use crate::model::key::Key;
use crate::model::manifest::Target;
use crate::model::object::ObjectKind;
use crate::pipeline_run::api::RunPhase;

/// When everything happens.
pub(crate) const NOW: Timestamp = Timestamp::constant(1_800_000_000, 0);

/// A commit whose digits are all the same.
pub(crate) fn sha(digit: char) -> String {
    digit.to_string().repeat(40)
}

/// The spec of a Pipeline with a test stage `unit` and a build stage `image` after it, and a gate on tests.
pub(crate) fn spec_json() -> Value {
    json!({
        "source": {"git": {"url": "https://git.example/shop/api.git"}},
        "stages": [
            {"name": "unit", "type": "Test", "image": "python", "run": "pytest", "reports": {"junit": ["junit.xml"]}},
            {"name": "image", "type": "Build", "needs": ["unit"], "build": {"image": "registry.example/shop/api"}},
        ],
        "gates": [{"name": "tests", "tests": {}}],
    })
}

/// The same, read.
pub(crate) fn spec() -> PipelineSpec {
    serde_json::from_value(spec_json()).unwrap()
}

/// What is wrong with a Pipeline that has these stages, in one sentence.
pub(crate) fn said(stages: &Value) -> String {
    let source = json!({"git": {"url": "https://git.example/a.git"}});
    let spec = json!({"source": source, "stages": stages});
    sentence(&problems(&serde_json::from_value(spec).unwrap()))
}

/// A Pipeline named `api` that nobody has looked at.
pub(crate) fn a_pipeline() -> Observed {
    Observed {
        key: Key::new("shop", "api"),
        owner: k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference {
            api_version: "slipway.dev/v1alpha1".into(),
            kind: "Pipeline".into(),
            name: "api".into(),
            uid: "uid-api".into(),
            controller: Some(true),
            block_owner_deletion: None,
        },
        generation: 1,
        is_deleted: false,
        spec: spec(),
        status: PipelineStatus::default(),
        runs: Vec::new(),
        released: Vec::new(),
        versions: std::collections::BTreeSet::new(),
        in_use: std::collections::BTreeSet::new(),
        previewed: std::collections::BTreeSet::new(),
        wanted_labels: std::collections::BTreeSet::new(),
        shown: std::collections::BTreeSet::new(),
        latest_release: None,
        pause: None,
        asked: std::collections::BTreeMap::new(),
        revisions: Vec::new(),
        polled_at: None,
        authorities: Authorities::System,
        events: Vec::new(),
    }
}

impl Observed {
    /// The branch was found at a commit, some seconds ago, which nothing keeps from a run.
    pub(crate) fn at(mut self, digit: char, seconds_ago: i64) -> Self {
        self.status.last_observed_sha = Some(sha(digit));
        self.status.looked_into = Some(sha(digit));
        self.status.last_observed_url = Some(self.spec.source.git.url.clone());
        self.status.last_observed_ref = Some(self.git_ref());
        self.status.head_found_at = Some(Time(NOW));
        self.polled_at = Some(NOW - SignedDuration::from_secs(seconds_ago));
        self
    }

    /// The branch could not be read.
    pub(crate) fn failing(mut self, error: SourceError) -> Self {
        self.status.source_error = Some(error);
        self
    }

    /// A run of a commit, made some seconds ago.
    pub(crate) fn with_run(mut self, digit: char, phase: RunPhase, seconds_ago: i64) -> Self {
        let run = Run {
            target: Target {
                kind: ObjectKind::PipelineRun,
                key: render::run_key(&self, &sha(digit)),
                uid: format!("uid-{digit}"),
                resource_version: "1".into(),
            },
            created_at: NOW - SignedDuration::from_secs(seconds_ago),
            sha: Some(sha(digit)),
            phase,
            finished_at: None,
            release: None,
            revision: Some("api-snapshot".into()),
            is_publishing: false,
            git_ref: self.git_ref(),
            is_whole: true,
            started_by: NOW - SignedDuration::from_secs(seconds_ago),
            has_started: phase != RunPhase::Queued,
            awaits_approval: false,
            has_leftovers: false,
        };
        self.runs.push(run);
        self.runs
            .sort_by_key(|run| std::cmp::Reverse(run.created_at));
        self
    }
}
