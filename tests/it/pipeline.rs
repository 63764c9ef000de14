//! A Pipeline against a real git server, with stages on scripted nodes: from a push to a Release.

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::ControllerRevision;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Resource, ResourceExt};
use serde_json::{Value, json};
use slipway::pipeline::api::{Pipeline, PipelineStatus, SourceErrorKind};
use slipway::pipeline_run::api::{
    Commit, FailureKind, PipelineRun, PipelineRunStatus, RunPhase, StagePhase, TestCounts,
};
use slipway::release::api::Release;
use slipway::runner::report::{SourceReport, StageReport};
use testbed::git::{GitServer, Repository};

use crate::cluster::{SOON, Space, kubeconfig_path, wait_for, watch_for, with_namespace};
use crate::operator::{Operator, nodes};

/// A repository, a Pipeline of it, and what its stages do.
pub(crate) struct Subject {
    pub(crate) git: GitServer,
    pub(crate) repository: Repository,
    namespace: String,
    pipelines: Api<Pipeline>,
    pub(crate) runs: Api<PipelineRun>,
    pub(crate) releases: Api<Release>,
    pub(crate) jobs: Api<Job>,
    revisions: Api<ControllerRevision>,
}

impl Subject {
    /// Nothing is in the repository, and nothing in the namespace.
    pub(crate) async fn new(space: &Space) -> Self {
        let git = GitServer::start().await.unwrap();
        let repository = git.create("shop/api").await.unwrap();
        let (client, ns) = (&space.client, &space.name);
        let subject = Self {
            git,
            repository,
            namespace: ns.clone(),
            pipelines: Api::namespaced(client.clone(), ns),
            runs: Api::namespaced(client.clone(), ns),
            releases: Api::namespaced(client.clone(), ns),
            jobs: Api::namespaced(client.clone(), ns),
            revisions: Api::namespaced(client.clone(), ns),
        };
        subject.tests(&tested(12, 0));
        subject.builds('9');
        subject
    }

    pub(crate) fn image(&self, name: &str) -> String {
        format!("registry.example/{}/{name}:1", self.namespace)
    }

    pub(crate) fn plays(&self, name: &str, script: &str) {
        nodes().set_rule(&self.image(name), script).unwrap();
    }

    /// What the script of stage `unit` finds from now on.
    pub(crate) fn tests(&self, report: &StageReport) {
        let code = i32::from(report.failure.is_some());
        let message = report.clone().encode();
        self.plays(
            "python",
            &format!("exit={code},after=100ms,message={message}"),
        );
    }

    /// The digest that stage `image` pushes from now on.
    pub(crate) fn builds(&self, digit: char) {
        let report = StageReport {
            digest: Some(format!("sha256:{}", digit.to_string().repeat(64))),
            ..StageReport::default()
        };
        let message = report.encode();
        self.plays("buildkit", &format!("exit=0,after=100ms,message={message}"));
    }

    /// Pushes a commit; from now on, stages fetch that one.
    pub(crate) async fn push(&self, message: &str) -> String {
        self.push_and_say(message).await.0
    }

    /// The same, and what fetching it leaves.
    pub(crate) async fn push_and_say(&self, message: &str) -> (String, String) {
        let files = [("file", message)];
        let commit = self.repository.prepare("main", message, &files);
        let sha = commit.await.unwrap();
        let report = SourceReport {
            commit: Some(Commit {
                sha: sha.clone(),
                author: "Alice".into(),
                email: "alice@example.com".into(),
                committed_at: Time(Timestamp::from_second(1_800_000_000).unwrap()),
                subject: message.into(),
            }),
            ..SourceReport::default()
        };
        let said = report.encode();
        self.plays("runner", &format!("exit=0,message={said}"));
        // Who is told of it at once finds what stages say.
        self.repository.push("main").await.unwrap();
        (sha, said)
    }

    /// Makes the Pipeline `api`: a test stage, a build after it, a gate, polled every 200 ms.
    pub(crate) async fn create(&self, extra: &Value) {
        let mut whole = json!({
            "apiVersion": "slipway.dev/v1alpha1", "kind": "Pipeline", "metadata": {"name": "api"},
            "spec": {
                "source": {"git": {"url": self.git.url("shop/api"), "insecure": true}},
                "polling": {"interval": "200ms"},
                "stages": [
                    {"name": "unit", "type": "Test", "image": self.image("python"), "run": "pytest",
                     "reports": {"junit": ["junit.xml"]}},
                    {"name": "image", "type": "Build", "needs": ["unit"],
                     "build": {"image": "registry.example/shop/api"}},
                ],
                "gates": [{"name": "tests", "tests": {"minTests": 5}}],
            },
        });
        json_patch::merge(&mut whole, extra);
        let pipeline = serde_json::from_value(whole).unwrap();
        let params = PostParams::default();
        self.pipelines.create(&params, &pipeline).await.unwrap();
    }

    /// Starts an operator whose stage images are those that this test scripts.
    pub(crate) fn operator(&self, kubeconfig: &std::path::Path) -> Operator {
        self.operator_with(kubeconfig, &[])
    }

    /// The same with more arguments.
    pub(crate) fn operator_with(&self, kubeconfig: &std::path::Path, more: &[&str]) -> Operator {
        let (runner, buildkit) = (self.image("runner"), self.image("buildkit"));
        let images = ["--runner-image", &runner, "--buildkit-image", &buildkit];
        let args = [&["--no-leader-election"][..], &images, more].concat();
        Operator::start_with(&self.namespace, kubeconfig, &args)
    }

    pub(crate) async fn patch(&self, spec: Value) {
        let change = Patch::Merge(json!({"spec": spec}));
        let params = PatchParams::default();
        self.pipelines.patch("api", &params, &change).await.unwrap();
    }

    pub(crate) async fn until(
        &self,
        what: &str,
        check: impl Fn(&PipelineStatus) -> bool,
    ) -> PipelineStatus {
        watch_for(&self.pipelines, "api", what, |pipeline| {
            let status = pipeline.status?;
            check(&status).then_some(status)
        })
        .await
    }

    /// The one run of a commit, once it is over.
    pub(crate) async fn ended(&self, sha: &str) -> (String, PipelineRunStatus) {
        wait_for("a run that is over", SOON, async || {
            let runs = self.list(&self.runs).await;
            let of_commit = |run: &&PipelineRun| {
                run.status.as_ref().and_then(|status| status.sha.as_deref()) == Some(sha)
            };
            let found: Vec<&PipelineRun> = runs.iter().filter(of_commit).collect();
            assert!(found.len() <= 1, "{found:?}");
            let run = found.first()?;
            let status = run.status.clone()?;
            let is_over = status.phase?.is_finished();
            is_over.then(|| (run.name_any(), status))
        })
        .await
    }

    pub(crate) async fn list<K>(&self, api: &Api<K>) -> Vec<K>
    where
        K: Resource + Clone + serde::de::DeserializeOwned + std::fmt::Debug,
    {
        api.list(&ListParams::default()).await.unwrap().items
    }
}

pub(crate) fn tested(total: u32, failed: u32) -> StageReport {
    StageReport {
        failure: (failed > 0).then_some(FailureKind::Test),
        exit_code: Some(i32::from(failed > 0)),
        tests: Some(TestCounts {
            total,
            failed,
            passed: total - failed,
            ..TestCounts::default()
        }),
        log_tail: "the end of the log".into(),
        ..StageReport::default()
    }
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn a_push_becomes_a_release_and_the_next_one_another() {
    with_namespace(async |space| {
        let subject = Subject::new(space).await;
        let first = subject.push("Add the shop").await;
        let _operator = subject.operator(&kubeconfig_path());
        subject.create(&json!({})).await;

        let (run, status) = subject.ended(&first).await;
        assert_eq!(status.phase, Some(RunPhase::Succeeded), "{status:?}");
        assert_eq!(status.tests.unwrap().total, 12);
        let release = subject
            .releases
            .get(status.release.as_ref().unwrap())
            .await
            .unwrap();
        assert_eq!(release.spec.commit.sha, first);
        assert_eq!(release.spec.commit.subject, "Add the shop");
        assert_eq!(
            release.spec.images[0].repository,
            "registry.example/shop/api"
        );
        assert!(release.spec.images[0].digest.starts_with("sha256:999"));
        assert_eq!(release.spec.evidence.run, run);
        assert_eq!(release.owner_references(), []);
        let jobs = subject.list(&subject.jobs).await;
        assert_eq!(jobs.len(), 2);

        subject.builds('8');
        let second = subject.push("Sell more").await;
        let (_, status) = subject.ended(&second).await;
        let next = subject
            .releases
            .get(status.release.as_ref().unwrap())
            .await
            .unwrap();
        assert_eq!(next.spec.previous, Some(release.name_any()));
        let name = next.name_any();
        let shown = subject
            .until("the newest Release", |s| {
                let run = s.last_run.as_ref();
                s.latest_release.as_ref() == Some(&name)
                    && run.is_some_and(|run| run.phase == RunPhase::Succeeded)
            })
            .await;
        assert_eq!(shown.last_observed_sha, Some(second));

        // Nothing more happens, and polling writes nothing.
        let before = subject
            .pipelines
            .get("api")
            .await
            .unwrap()
            .resource_version();
        let asked = subject.git.requests();
        wait_for("more polls", SOON, async || {
            (subject.git.requests() > asked + 3).then_some(())
        })
        .await;
        assert_eq!(
            subject
                .pipelines
                .get("api")
                .await
                .unwrap()
                .resource_version(),
            before
        );
        assert_eq!(subject.list(&subject.runs).await.len(), 2);

        // Releases outlive their Pipeline; its runs do not.
        subject
            .pipelines
            .delete("api", &DeleteParams::default())
            .await
            .unwrap();
        wait_for("runs are gone", SOON, async || {
            subject.list(&subject.runs).await.is_empty().then_some(())
        })
        .await;
        assert_eq!(subject.list(&subject.releases).await.len(), 2);
    })
    .await;
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn a_failed_test_a_failed_gate_and_a_missing_image_say_what_to_do() {
    with_namespace(async |space| {
        let subject = Subject::new(space).await;
        let _operator = subject.operator(&kubeconfig_path());
        subject.tests(&tested(12, 2));
        let sha = subject.push("Break it").await;
        subject.create(&json!({})).await;
        let (_, status) = subject.ended(&sha).await;
        let failure = status.failure.unwrap();
        assert_eq!(status.phase, Some(RunPhase::Failed));
        assert_eq!(failure.kind, FailureKind::Test);
        assert_eq!(failure.log_tail.as_deref(), Some("the end of the log"));
        assert_eq!(status.stages[1].phase, StagePhase::Skipped);

        subject.tests(&tested(3, 0));
        let sha = subject.push("Leave most tests out").await;
        let (_, status) = subject.ended(&sha).await;
        assert_eq!(status.failure.unwrap().kind, FailureKind::Gate);
        assert_eq!(status.artifacts.len(), 1);
        assert_eq!(subject.list(&subject.releases).await.len(), 0);

        subject.plays("python", "image-missing");
        let sha = subject.push("Name an image that is not there").await;
        let (_, status) = subject.ended(&sha).await;
        let failure = status.failure.unwrap();
        assert_eq!(failure.kind, FailureKind::Config);
        assert!(failure.hint.unwrap().contains("not found"));
        wait_for("no Job is left running", SOON, async || {
            let jobs = subject.list(&subject.jobs).await;
            let is_active = |job: &Job| {
                job.status
                    .as_ref()
                    .is_some_and(|s| s.active.unwrap_or(0) > 0)
            };
            (!jobs.iter().any(is_active)).then_some(())
        })
        .await;
    })
    .await;
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn an_evicted_test_is_tried_again_and_counts_once() {
    with_namespace(async |space| {
        let subject = Subject::new(space).await;
        let _operator = subject.operator(&kubeconfig_path());
        subject.plays("python", "evicted");
        let sha = subject.push("Be unlucky").await;
        subject.create(&json!({})).await;
        wait_for("an evicted pod", SOON, async || {
            let pods: Api<k8s_openapi::api::core::v1::Pod> =
                Api::namespaced(space.client.clone(), &space.name);
            let pods = subject.list(&pods).await;
            let is_evicted = |reason: Option<String>| reason.as_deref() == Some("Evicted");
            pods.into_iter()
                .any(|pod| is_evicted(pod.status.and_then(|status| status.reason)))
                .then_some(())
        })
        .await;
        subject.tests(&tested(12, 0));
        let (_, status) = subject.ended(&sha).await;
        assert_eq!(status.phase, Some(RunPhase::Succeeded), "{status:?}");
        assert_eq!(status.tests.unwrap().total, 12);
    })
    .await;
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn a_run_by_hand_takes_the_head_and_follows_the_spec_it_started_with() {
    with_namespace(async |space| {
        let subject = Subject::new(space).await;
        let _operator = subject.operator(&kubeconfig_path());
        subject.create(&json!({"spec": {"suspend": true}})).await;
        subject.until("suspended", |s| s.message.is_some()).await;
        let sha = subject.push("By hand").await;
        let by_hand: PipelineRun = serde_json::from_value(json!({
            "apiVersion": "slipway.dev/v1alpha1", "kind": "PipelineRun", "metadata": {"name": "mine"},
            "spec": {
                "pipelineRef": {"name": "api"}, "ref": "refs/heads/main",
                "trigger": {"kind": "Manual", "actor": "alice"},
            },
        }))
        .unwrap();
        subject.runs.create(&PostParams::default(), &by_hand).await.unwrap();
        wait_for("it waits", SOON, async || {
            let status = subject.runs.get("mine").await.ok()?.status?;
            status.message?.contains("suspended").then_some(())
        })
        .await;
        // Long enough to edit the Pipeline meanwhile.
        let report = tested(12, 0).encode();
        subject.plays("python", &format!("exit=0,after=2s,message={report}"));
        subject.repository.commit("other", "Elsewhere", &[]).await.unwrap();
        subject.patch(json!({"suspend": false, "source": {"git": {"branch": "other"}}})).await;
        wait_for("it runs", SOON, async || {
            let status = subject.runs.get("mine").await.ok()?.status?;
            (status.phase? == RunPhase::Running).then_some(())
        })
        .await;
        subject.patch(json!({"suspend": true, "release": {"enabled": false}})).await;
        let (name, status) = subject.ended(&sha).await;
        assert_eq!(name, "mine");
        assert_eq!(status.phase, Some(RunPhase::Succeeded));
        assert_eq!(status.release, None, "main is not the branch of its snapshot");
        let revisions = subject.list(&subject.revisions).await;
        assert!(revisions.iter().any(|r| Some(r.name_any()) == status.revision));
    })
    .await;
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn a_decision_stops_a_run_and_its_pods() {
    with_namespace(async |space| {
        let subject = Subject::new(space).await;
        let _operator = subject.operator(&kubeconfig_path());
        subject.plays("python", "ready-after=50ms");
        let sha = subject.push("Never ends").await;
        subject.create(&json!({})).await;
        let run = wait_for("a running stage", SOON, async || {
            let runs = subject.list(&subject.runs).await;
            let run = runs.first()?;
            let stage = run.status.as_ref()?.stages.first()?;
            let runs = stage.message.as_deref() == Some("running");
            runs.then(|| run.name_any())
        })
        .await;
        space.decide(("PipelineRun", &run), "Cancel").await;
        let (_, status) = subject.ended(&sha).await;
        assert_eq!(status.phase, Some(RunPhase::Cancelled));
        wait_for("its Job is gone", SOON, async || {
            subject.list(&subject.jobs).await.is_empty().then_some(())
        })
        .await;
    })
    .await;
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn a_repository_that_is_down_or_refuses_is_told_and_comes_back() {
    with_namespace(async |space| {
        let subject = Subject::new(space).await;
        let _operator = subject.operator(&kubeconfig_path());
        subject
            .git
            .set_failing(Some(http::StatusCode::SERVICE_UNAVAILABLE));
        subject.create(&json!({})).await;
        let kind = |s: &PipelineStatus| s.source_error.as_ref().map(|error| error.kind);
        subject
            .until("down", |s| kind(s) == Some(SourceErrorKind::Server))
            .await;
        subject
            .git
            .set_failing(Some(http::StatusCode::UNAUTHORIZED));
        subject
            .until("refused", |s| kind(s) == Some(SourceErrorKind::Auth))
            .await;
        subject.git.set_failing(None);
        subject
            .until("empty", |s| kind(s) == Some(SourceErrorKind::NoBranch))
            .await;
        let sha = subject.push("At last").await;
        subject
            .until("found", |s| {
                kind(s).is_none() && s.last_observed_sha.is_some()
            })
            .await;
        let (_, status) = subject.ended(&sha).await;
        assert_eq!(status.phase, Some(RunPhase::Succeeded));
    })
    .await;
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn decisions_try_a_run_again_and_pause_a_pipeline() {
    with_namespace(async |space| {
        let subject = Subject::new(space).await;
        let report = tested(12, 2).encode();
        subject.plays("python", &format!("exit=1,after=50ms,message={report}"));
        let first = subject.push("Begin").await;
        let _operator = subject.operator(&kubeconfig_path());
        subject.create(&json!({})).await;
        let (failed, status) = subject.ended(&first).await;
        assert_eq!(status.phase, Some(RunPhase::Failed), "{status:?}");

        let report = tested(12, 0).encode();
        subject.plays("python", &format!("exit=0,after=50ms,message={report}"));
        space.decide(("PipelineRun", &failed), "Retry").await;
        let again = wait_for("the run that tries it again is over", SOON, async || {
            let runs = subject.list(&subject.runs).await;
            let of_it = |run: &PipelineRun| {
                let origin = run.spec.retry_of.as_ref();
                origin.is_some_and(|origin| origin.name == failed)
            };
            let found: Vec<_> = runs.into_iter().filter(of_it).collect();
            assert!(found.len() <= 1, "{found:?}");
            let run = found.into_iter().next()?;
            let phase = run.status.as_ref()?.phase?;
            phase.is_finished().then_some(run)
        })
        .await;
        let status = again.status.clone().unwrap();
        assert_eq!(status.phase, Some(RunPhase::Succeeded), "{status:?}");
        assert_eq!(again.spec.trigger.actor, "alice");
        wait_for("that it is noted", SOON, async || {
            let status = subject.runs.get(&failed).await.ok()?.status?;
            (status.retries.len() == 1).then_some(())
        })
        .await;

        space.decide(("Pipeline", "api"), "Pause").await;
        subject
            .until("a paused Pipeline", |status| status.paused_by.is_some())
            .await;
        let second = subject.push("Go on").await;
        let asked = subject.git.requests();
        space.decide(("Pipeline", "api"), "Resume").await;
        let (name, _) = subject.ended(&second).await;
        assert!(subject.git.requests() > asked);
        let runs = subject.runs.list(&ListParams::default()).await.unwrap();
        let names: Vec<String> = runs.iter().map(ResourceExt::name_any).collect();
        assert_eq!(names.len(), 3, "{names:?}");
        assert!(names.contains(&name));
        let shown: Value = json!(
            subject
                .until("a Pipeline that goes on", |s| s.paused_by.is_none())
                .await
        );
        assert!(shown.get("pausedBy").is_none());
    })
    .await;
}
