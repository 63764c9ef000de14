//! Versions: from commits to a tag, a commit with the version in its files, and a Release with its notes. A real git server;
//! what the pod of the Release stage does is done by the program that runs there.

use std::path::Path;
use std::sync::atomic::{AtomicU16, Ordering};

use k8s_openapi::api::batch::v1::Job;
use kube::ResourceExt;
use kube::api::Api;
use serde_json::{Value, json};
use slipway::pipeline::api::{Author, VersionFile};
use slipway::pipeline_run::api::{
    Bump, Commit, FailureKind, PipelineRunStatus, RunPhase, StagePhase,
};
use slipway::release::notes::notes;
use slipway::runner::report::{SourceReport, StageReport};
use slipway::runner::task::{GIT_PASSWORD, GitLogin, ReleaseTask, VARIABLE};
use slipway::runner::{Folders, release};
use tempfile::TempDir;
use testbed::git::GitServer;
use testbed::proxy::{Fault, Match, What};

use crate::cluster::{SOON, Space, kubeconfig_path, wait_for, with_namespace};
use crate::fault::{proxied, stride};
use crate::operator::Operator;
use crate::pipeline::Subject;
use crate::provider::{Gitea, TOKEN, told};

/// A shop whose runs make versions.
struct Shop<'a> {
    space: &'a Space,
    subject: Subject,
    folder: TempDir,
}

/// What a commit becomes.
struct Expected {
    commit: Commit,
    bump: Bump,
    task: ReleaseTask,
    /// The commit with the version.
    made: String,
}

impl<'a> Shop<'a> {
    async fn new(space: &'a Space) -> Self {
        let subject = Subject::new(space).await;
        space
            .make_secret("push", json!({"password": "nobody asks for it"}))
            .await;
        Self {
            space,
            subject,
            folder: TempDir::new().unwrap(),
        }
    }

    fn operator(&self) -> Operator {
        self.operator_at(&kubeconfig_path())
    }

    fn operator_at(&self, kubeconfig: &Path) -> Operator {
        // An address of its own, because the tests of this file run side by side.
        static COUNT: AtomicU16 = AtomicU16::new(8091);
        let (id, port) = (std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let listen = format!("127.8.{}.{}:{port}", (id >> 8) & 0xff, id & 0xff);
        let url = format!("http://{listen}");
        let args = [
            "--stage-secrets",
            "--stage-listen",
            &listen,
            "--stage-url",
            &url,
        ];
        self.subject.operator_with(kubeconfig, &args)
    }

    async fn create(&self) {
        self.create_with(json!({})).await;
    }

    /// The same, hosted by this provider, which gets its releases.
    async fn create_hosted(&self, api_url: &str) {
        self.space.make_secret("git", json!({"token": TOKEN})).await;
        self.create_with(json!({"type": "Gitea", "apiUrl": api_url, "tokenSecretRef": {"name": "git", "key": "token"}}))
            .await;
    }

    async fn create_with(&self, provider: Value) {
        let is_hosted = provider.get("type").is_some();
        let mut stages = json!([
            {"name": "unit", "type": "Test", "image": self.subject.image("python"), "run": "pytest",
             "reports": {"junit": ["junit.xml"]}},
            {"name": "image", "type": "Build", "needs": ["unit"], "build": {"image": "registry.example/shop/api"}},
            {"name": "upload", "type": "Publish", "image": self.subject.image("twine"), "run": "twine upload dist/*"},
        ]);
        let version = json!({
            "name": "version", "type": "Release", "needs": ["upload"],
            "release": {"credentials": {"secretName": "push"}, "changelog": "CHANGELOG.md", "files": [{"path": "VERSION"}],
                        "author": {"name": "Robot", "email": "robot@example.com"}, "providerRelease": is_hosted},
        });
        stages.as_array_mut().unwrap().push(version);
        let mut spec =
            json!({"spec": {"stages": stages, "release": {"version": {"initial": "1.0.0"}}}});
        if is_hosted {
            spec["spec"]["source"] = json!({"git": {"provider": provider}});
        }
        self.subject.create(&spec).await;
    }

    /// Pushes a commit of which is known what becomes of it, and lets stages say it.
    async fn push(&self, subject: &str, bump: Bump, version: &str) -> Expected {
        let files = [("app", subject)];
        let repository = &self.subject.repository;
        let sha = repository.commit("main", subject, &files).await.unwrap();
        let commit: Commit = serde_json::from_value(json!({
            "sha": sha, "author": "Alice", "email": "alice@example.com", "committedAt": "2027-01-15T08:00:00Z", "subject": subject,
        }))
        .unwrap();
        let mut task = ReleaseTask {
            source: serde_json::from_value(json!({
                "url": self.subject.git.url("shop/api"), "insecure": true, "sha": sha,
            }))
            .unwrap(),
            branch: Some("refs/heads/main".into()),
            tag: format!("v{version}"),
            version: version.into(),
            notes: notes([&commit], &[]),
            files: vec![VersionFile {
                path: "VERSION".into(),
                pattern: None,
            }],
            changelog: Some("CHANGELOG.md".into()),
            merge_into: Vec::new(),
            author: Author {
                name: "Robot".into(),
                email: "robot@example.com".into(),
            },
            timeout_seconds: 1800,
        };
        // The same of a copy: what is made of a commit follows from the commit.
        let twin = GitServer::start().await.unwrap();
        twin.create("shop/api").await.unwrap();
        repository.copy_to(&twin.url("shop/api")).await.unwrap();
        let mut of_twin = task.clone();
        of_twin.source.url = twin.url("shop/api");
        let (report, code) = Box::pin(release::run(&of_twin, &self.folders("twin"))).await;
        assert_eq!(code, 0, "{report:?}");
        task.source.login = Some(GitLogin {
            username: "git".into(),
            password_file: GIT_PASSWORD.into(),
        });
        let made = report.published[0].clone();
        let expected = Expected {
            commit,
            bump,
            task,
            made,
        };
        self.play(&expected);
        expected
    }

    fn folders(&self, name: &str) -> Folders {
        Folders {
            workspace: self.folder.path().join(name),
        }
    }

    fn play(&self, expected: &Expected) {
        let mut source = SourceReport {
            commit: Some(expected.commit.clone()),
            bump: Some(expected.bump),
            ..SourceReport::default()
        };
        source.push_change(&expected.commit);
        let pushed = StageReport {
            published: vec![expected.made.clone()],
            ..StageReport::default()
        };
        // The same image fetches and releases: each reads of the message what it knows.
        let mut all: Value = serde_json::from_str(&source.encode()).unwrap();
        json_patch::merge(&mut all, &serde_json::from_str(&pushed.encode()).unwrap());
        self.subject
            .plays("runner", &format!("exit=0,after=50ms,message={all}"));
        self.subject.plays("twine", "exit=0,after=50ms");
    }

    /// Does what the pod of the Release stage of a run is asked to do.
    async fn release(&self, run: &str, expected: &Expected) {
        let jobs: Api<Job> = Api::namespaced(self.space.client.clone(), &self.space.name);
        let job = jobs.get(&format!("{run}-version-1")).await.unwrap();
        let pod = job.spec.unwrap().template.spec.unwrap();
        let env = pod.containers[0].env.clone().unwrap();
        let task = env.into_iter().find(|env| env.name == VARIABLE).unwrap();
        let mut task: ReleaseTask =
            serde_json::from_str(&task.value.unwrap().replace("$$", "$")).unwrap();
        let mut source = expected.task.source.clone();
        source.depth = task.source.depth;
        assert_eq!(
            task,
            ReleaseTask {
                source,
                ..expected.task.clone()
            }
        );
        let mounts: Vec<String> = pod.containers[0]
            .volume_mounts
            .iter()
            .flatten()
            .map(|mount| mount.name.clone())
            .collect();
        assert_eq!(mounts, ["workspace", "git", "logs"]);
        task.source.login = None;
        let (report, code) = Box::pin(release::run(&task, &self.folders(run))).await;
        assert_eq!(
            (code, &report.published),
            (0, &vec![expected.made.clone()]),
            "{report:?}"
        );
    }

    async fn released(&self, expected: &Expected) -> (String, PipelineRunStatus) {
        let (run, status) = self.subject.ended(&expected.commit.sha).await;
        assert_eq!(status.phase, Some(RunPhase::Succeeded), "{status:?}");
        (run, status)
    }
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn commits_become_versions_and_what_is_pushed_for_them_starts_no_run() {
    with_namespace(async |space| {
        let shop = Box::pin(Shop::new(space)).await;
        let subject = &shop.subject;
        subject
            .repository
            .commit("main", "chore: begin", &[("VERSION", "0.0.0\n")])
            .await
            .unwrap();
        let first = Box::pin(shop.push("feat: sell", Bump::Minor, "1.0.0")).await;
        let (gitea, url) = Gitea::listen().await;
        let _operator = shop.operator();
        shop.create_hosted(&url).await;

        let (run, status) = shop.released(&first).await;
        told(subject, &run).await;
        assert_eq!(gitea.releases(), ["v1.0.0"]);
        assert_eq!(status.published, std::slice::from_ref(&first.made));
        let name = status.release.unwrap();
        let made = subject.releases.get(&name).await.unwrap();
        assert_eq!(made.spec.version.as_deref(), Some("1.0.0"));
        assert!(
            made.spec
                .changelog
                .unwrap()
                .starts_with("### Features\n\n- sell (")
        );
        shop.release(&run, &first).await;
        let tagged = subject
            .repository
            .resolve("refs/tags/v1.0.0")
            .await
            .unwrap();
        assert_eq!(tagged.as_ref(), Some(&first.made));
        assert_eq!(
            subject.repository.read("v1.0.0", "VERSION").await.unwrap(),
            "1.0.0"
        );

        // The head is the operator's own commit now, and needs no run.
        wait_for("the head with the version", SOON, async || {
            let pipelines: Api<slipway::pipeline::api::Pipeline> =
                Api::namespaced(space.client.clone(), &space.name);
            let status = pipelines.get("api").await.ok()?.status?;
            (status.last_observed_sha.as_ref() == Some(&first.made)).then_some(())
        })
        .await;
        let asked = subject.git.requests();
        wait_for("more polls", SOON, async || {
            (subject.git.requests() > asked + 3).then_some(())
        })
        .await;
        assert_eq!(subject.list(&subject.runs).await.len(), 1);

        // The next one counts from there.
        subject.repository.pull("main").await.unwrap();
        subject.builds('8');
        let second = Box::pin(shop.push("fix: no more 500", Bump::Patch, "1.0.1")).await;
        let (run, status) = shop.released(&second).await;
        shop.release(&run, &second).await;
        let made = subject
            .releases
            .get(&status.release.unwrap())
            .await
            .unwrap();
        assert_eq!(
            (made.spec.version.as_deref(), made.spec.previous),
            (Some("1.0.1"), Some(name))
        );
        let log = subject
            .repository
            .read("main", "CHANGELOG.md")
            .await
            .unwrap();
        assert!(
            log.starts_with("## 1.0.1 (") && log.contains("\n## 1.0.0 ("),
            "{log}"
        );
        assert_eq!(subject.list(&subject.runs).await.len(), 2);
        told(subject, &run).await;
        assert_eq!(gitea.releases(), ["v1.0.0", "v1.0.1"]);
    })
    .await;
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn what_fails_to_be_published_is_not_tried_again_and_makes_no_release() {
    with_namespace(async |space| {
        let shop = Box::pin(Shop::new(space)).await;
        let subject = &shop.subject;
        subject
            .repository
            .commit("main", "chore: begin", &[("VERSION", "0.0.0\n")])
            .await
            .unwrap();
        let only = Box::pin(shop.push("feat: sell", Bump::Minor, "1.0.0")).await;
        subject.plays("twine", "exit=1,after=50ms");
        let _operator = shop.operator();
        shop.create().await;
        let (run, status) = subject.ended(&only.commit.sha).await;
        assert_eq!(status.phase, Some(RunPhase::Failed));
        let failure = status.failure.unwrap();
        assert_eq!(
            (failure.kind, failure.stage.as_deref()),
            (FailureKind::Publish, Some("upload"))
        );
        let version = status
            .stages
            .iter()
            .find(|stage| stage.name == "version")
            .unwrap();
        assert_eq!(version.phase, StagePhase::Skipped);
        let jobs = subject.list(&subject.jobs).await;
        let uploads = jobs
            .iter()
            .filter(|job| job.name_any().starts_with(&format!("{run}-upload")));
        assert_eq!(uploads.count(), 1);
        assert_eq!(subject.list(&subject.releases).await.len(), 0);
    })
    .await;
}

/// From the commit to the Release, and what its provider is told. What the one pod of the Release stage does at last is done here: one tag, and one commit.
#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn an_operator_killed_after_any_write_pushes_one_tag() {
    with_namespace(async |space| {
        let shop = Box::pin(Shop::new(space)).await;
        let subject = &shop.subject;
        let begin = [("VERSION", "0.0.0\n")];
        let begin = subject.repository.commit("main", "chore: begin", &begin);
        begin.await.unwrap();
        let (proxy, kubeconfig) = proxied(space).await;
        let (gitea, url) = Gitea::listen().await;
        let mut expected = Box::pin(shop.push("feat: sell", Bump::Minor, "1.0.0")).await;
        shop.create_hosted(&url).await;
        // Undisturbed at first, which tells how many writes there are.
        let (mut after, mut writes) = (u64::MAX, 0);
        for number in 1.. {
            let mut operator = shop.operator_at(&kubeconfig);
            let kill = Fault::new(Match::writes(), What::KillPid(operator.pid()));
            let injected = proxy.inject(kill.nth(after));
            let all_told = async {
                let (run, _) = shop.released(&expected).await;
                told(subject, &run).await
            };
            tokio::select! {
                _ = operator.ended() => {}
                _ = all_told => {}
            }
            injected.remove();
            if injected.hits() > 0 {
                operator = shop.operator_at(&kubeconfig);
            }
            let (run, _) = shop.released(&expected).await;
            shop.release(&run, &expected).await;
            told(subject, &run).await;
            let shown = gitea.shown(&expected.commit.sha);
            let is_good = shown.values().all(|state| state == "success");
            assert!(is_good && shown.len() == 5, "after {after}: {shown:?}");
            let releases = gitea.releases().into_iter();
            let own = releases.filter(|tag| *tag == expected.task.tag);
            assert_eq!(own.count(), 1, "releases, killed after write {after}");
            let tag = format!("refs/tags/{}", expected.task.tag);
            let tagged = subject.repository.resolve(&tag).await.unwrap();
            assert_eq!(tagged.as_ref(), Some(&expected.made), "after {after}");
            let runs = subject.list(&subject.runs).await.into_iter();
            let own = runs.filter(|run| run.spec.sha.as_ref() == Some(&expected.commit.sha));
            assert_eq!(own.count(), 1, "killed after write {after}");
            let jobs = subject.list(&subject.jobs).await;
            for stage in ["upload", "version"] {
                let name = format!("{run}-{stage}-");
                let own = jobs.iter().filter(|job| job.name_any().starts_with(&name));
                assert_eq!(own.count(), 1, "{stage}, killed after write {after}");
            }
            operator.kill().await;
            let step = stride(12) as u64;
            (after, writes) = match after {
                u64::MAX => (1, proxy.writes().len() as u64),
                after => (after + step, writes),
            };
            if after > writes {
                break;
            }
            subject.repository.pull("main").await.unwrap();
            let (message, version) = (format!("fix: it {number}"), format!("1.0.{number}"));
            expected = Box::pin(shop.push(&message, Bump::Patch, &version)).await;
        }
        let _ = std::fs::remove_file(&kubeconfig);
    })
    .await;
}
