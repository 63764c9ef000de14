//! A real Gitea: what people do there reaches the operator by Gitea's own webhooks, and what the operator says of it is read
//! back through Gitea's API. Stages run on scripted nodes; the tag is pushed by the program that does it in the pod.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU16, Ordering};

use http::Method;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;
use kube::api::PostParams;
use serde_json::{Value, json};
use slipway::git::changes::{self, Walk};
use slipway::model::action::{Errand, Reply, Request};
use slipway::pipeline::api::GitSource;
use slipway::pipeline_run::api::{
    Bump, Commit, PipelineRun, PipelineRunStatus, RunPhase, TriggerKind,
};
use slipway::provider::{CommitState, CommitStatus, Provider, ProviderRelease, RefusalKind};
use slipway::runner::report::SourceReport;
use slipway::runner::task::{GitLogin, ReleaseTask, VARIABLE};
use slipway::runner::{Folders, release};
use tempfile::TempDir;
use testbed::gitea::{Account, Gitea};

use crate::cluster::{SOON, Space, kubeconfig_path, wait_for, with_namespace};
use crate::operator::Operator;
use crate::pipeline::{Subject, tested};
use crate::provider::told;
use crate::trigger::{
    TOKEN, all_run_one_by_one, only_the_newest_runs, runs, set_token, takes_the_label,
};

/// A repository at Gitea, a Pipeline of it, and who speaks for the operator there.
struct Forge {
    gitea: Gitea,
    robot: Account,
    subject: Subject,
    /// Where the operator takes deliveries, and what stages ask it.
    listen: [String; 2],
    /// Path of the Pipeline's webhook.
    path: String,
}

impl Forge {
    async fn new(space: &Space) -> Self {
        static COUNT: AtomicU16 = AtomicU16::new(8090);
        let gitea = Gitea::start().await.unwrap();
        let mut subject = Subject::new(space).await;
        subject.repository = gitea.create("shop/api").await.unwrap();
        let robot = gitea.account("robot").await.unwrap();
        let may_write = json!({"permission": "write"});
        let member = gitea.ask(
            Method::PUT,
            "repos/shop/api/collaborators/robot",
            &may_write,
        );
        member.await.unwrap();
        space
            .make_secret("git", json!({"token": robot.token}))
            .await;
        set_token(space).await;
        // Addresses that stay the same when another operator comes.
        let id = std::process::id();
        let address = || {
            let port = COUNT.fetch_add(1, Ordering::Relaxed);
            format!("127.10.{}.{}:{port}", (id >> 8) & 0xff, id & 0xff)
        };
        Self {
            listen: [address(), address()],
            path: format!("hooks/git/{}/api", space.name),
            gitea,
            robot,
            subject,
        }
    }

    /// Has Gitea deliver, signed with a token, or not signed with none; what Gitea calls it.
    async fn hook(&self, token: &str) -> u64 {
        let [hooks, _] = &self.listen;
        let url = format!("http://{hooks}/{}", self.path);
        let hook = json!({
            "type": "gitea", "active": true, "events": ["push", "pull_request", "pull_request_sync", "release"],
            "config": {"url": url, "content_type": "json", "secret": token},
        });
        let made = self.gitea.ask(Method::POST, "repos/shop/api/hooks", &hook);
        made.await.unwrap()["id"].as_u64().unwrap()
    }

    /// Has Gitea deliver the newest commit of `main` again.
    async fn deliver_again(&self, hook: u64) {
        let path = format!("repos/shop/api/hooks/{hook}/tests");
        let asked = self.gitea.ask(Method::POST, &path, &Value::Null);
        asked.await.unwrap();
    }

    async fn get(&self, path: &str) -> Value {
        let path = format!("repos/shop/api/{path}");
        let asked = self.gitea.ask(Method::GET, &path, &Value::Null);
        asked.await.unwrap()
    }

    fn operator(&self) -> Operator {
        let [hooks, stages] = &self.listen;
        let url = format!("http://{stages}");
        let more = ["--alert-listen", hooks, "--stage-secrets"];
        let of_stages = ["--stage-listen", stages, "--stage-url", &url];
        let args = [&more[..], &of_stages].concat();
        self.subject.operator_with(&kubeconfig_path(), &args)
    }

    /// The Pipeline of the repository, and its webhook: only what is delivered comes soon, polling is far away.
    async fn create(&self, rest: &Value) {
        let mut spec = json!({
            "source": {"git": {
                "url": self.gitea.url("shop/api"),
                "provider": {"type": "Gitea", "tokenSecretRef": {"name": "git", "key": "token"}},
            }},
            "polling": {"interval": "1h"}, "webhook": {"secretRef": {"name": "hook", "key": "token"}},
        });
        json_patch::merge(&mut spec, rest);
        self.subject.create(&json!({ "spec": spec })).await;
        let known = |status: &slipway::pipeline::api::PipelineStatus| {
            status.observed_triggers.is_some() && status.last_observed_sha.is_some()
        };
        self.subject.until("what was there is known", known).await;
        self.hook(TOKEN).await;
    }

    /// Pushes a commit; from now on, stages fetch that one.
    async fn push(&self, branch: &str, message: &str, bump: Bump) -> String {
        self.push_as(branch, message, message, bump).await
    }

    /// The same, with what is in its file.
    async fn push_as(&self, branch: &str, message: &str, content: &str, bump: Bump) -> String {
        let (repository, files) = (&self.subject.repository, [("app", content)]);
        let sha = repository.prepare(branch, message, &files).await.unwrap();
        let commit = Commit {
            sha: sha.clone(),
            author: "Alice".into(),
            email: "alice@example.com".into(),
            committed_at: Time(Timestamp::from_second(1_800_000_000).unwrap()),
            subject: message.into(),
        };
        let mut report = SourceReport {
            bump: Some(bump),
            commit: Some(commit.clone()),
            ..SourceReport::default()
        };
        report.push_change(&commit);
        let script = format!("exit=0,after=50ms,message={}", report.encode());
        self.subject.plays("runner", &script);
        repository.push(branch).await.unwrap();
        // So that webhooks which are made later hear of none before.
        self.gitea.has_taken("shop/api", &sha).await.unwrap();
        sha
    }

    /// The run of a commit of that kind, once it is over and Gitea has all that there is to tell.
    async fn ended(&self, kind: TriggerKind, sha: &str) -> (PipelineRun, PipelineRunStatus) {
        let run = wait_for("a run that is over", SOON, async || {
            let all = runs(&self.subject).await;
            let mut found = all.into_iter().filter(|run| {
                run.spec.trigger.kind == kind && run.spec.sha.as_deref() == Some(sha)
            });
            let run = found.next()?;
            assert_eq!(found.count(), 0, "another run of {sha}");
            let is_over = run.status.as_ref()?.phase?.is_finished();
            is_over.then_some(run)
        })
        .await;
        let status = told(&self.subject, &run.name_any()).await;
        (run, status)
    }

    /// What people see of a commit at Gitea: of each context the newest state. Nobody but the robot has said anything.
    async fn shown(&self, sha: &str) -> BTreeMap<String, String> {
        let said = self.get(&format!("commits/{sha}/status")).await;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let mut shown = BTreeMap::new();
        for status in said["statuses"].as_array().into_iter().flatten() {
            assert_eq!(status["creator"]["login"], self.robot.name, "{status}");
            shown.insert(text(&status["context"]), text(&status["status"]));
        }
        shown
    }

    /// The robot has written one comment on a pull request, and it is about the newest commit.
    async fn has_one_comment_about(&self, pull: u64, newest: &str) {
        let short = &newest[..10];
        wait_for("one comment about the newest commit", SOON, async || {
            let comments = self.get(&format!("issues/{pull}/comments")).await;
            let comments = comments.as_array().unwrap();
            let of_robot = |comment: &&Value| comment["user"]["login"] == self.robot.name.as_str();
            let of_robot: Vec<&Value> = comments.iter().filter(of_robot).collect();
            assert!(of_robot.len() <= 1, "{of_robot:?}");
            let body = of_robot.first()?["body"].as_str()?;
            body.contains(short).then_some(())
        })
        .await;
    }

    /// Does what the pod of the Release stage of a run is asked to do, with the robot's token.
    async fn release(&self, run: &str) {
        let folder = TempDir::new().unwrap();
        let password = folder.path().join("password");
        std::fs::write(&password, &self.robot.token).unwrap();
        let job = self.subject.jobs.get(&format!("{run}-version-1")).await;
        let pod = job.unwrap().spec.unwrap().template.spec.unwrap();
        let env = pod.containers[0].env.clone().unwrap();
        let task = env.into_iter().find(|env| env.name == VARIABLE).unwrap();
        let task = task.value.unwrap().replace("$$", "$");
        let mut task: ReleaseTask = serde_json::from_str(&task).unwrap();
        assert!(task.source.login.is_some(), "{task:?}");
        task.source.login = Some(GitLogin {
            username: self.robot.name.clone(),
            password_file: password.display().to_string(),
        });
        let folders = Folders {
            workspace: folder.path().to_owned(),
        };
        let (report, code) = Box::pin(release::run(&task, &folders)).await;
        assert_eq!(code, 0, "{report:?}");
    }
}

fn all(contexts: &[&str], state: &str) -> BTreeMap<String, String> {
    let each = contexts
        .iter()
        .map(|context| ((*context).to_owned(), state.to_owned()));
    each.collect()
}

/// How many deliveries of Gitea's had that outcome.
async fn counted(operator: &Operator, outcome: &str) -> u64 {
    let line =
        format!("slipway_webhook_deliveries_total{{outcome=\"{outcome}\",provider=\"gitea\"}} ");
    let metrics = operator.metrics().await;
    let mut counts = metrics.lines().filter_map(|told| told.strip_prefix(&line));
    counts.next().map_or(0, |count| count.parse().unwrap())
}

const CONTEXTS: [&str; 4] = [
    "slipway/api",
    "slipway/api/image",
    "slipway/api/unit",
    "slipway/api/version",
];

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn from_a_push_to_a_pull_request_a_merge_and_a_tag_gitea_is_told_all_of_it() {
    Box::pin(with_namespace(async |space| {
        let forge = Box::pin(Forge::new(space)).await;
        let subject = &forge.subject;
        let begin = forge.push("main", "chore: begin", Bump::None).await;
        let operator = forge.operator();
        forge
            .create(&json!({
                "triggers": [{"name": "main", "push": {"branches": ["main"]}}, {"name": "pr", "pullRequest": {}}],
                "release": {"version": {"initial": "1.0.0"}},
                "stages": [
                    {"name": "unit", "type": "Test", "image": subject.image("python"), "run": "pytest",
                     "reports": {"junit": ["junit.xml"]}},
                    {"name": "image", "type": "Build", "needs": ["unit"], "build": {"image": "registry.example/shop/api"}},
                    {"name": "version", "type": "Release",
                     "release": {"credentials": {"secretName": "git", "key": "token", "username": "robot"}}},
                ],
            }))
            .await;

        forge.ended(TriggerKind::Push, &begin).await;

        // A push.
        let pushed = forge.push("main", "chore: sell", Bump::None).await;
        let (run, status) = forge.ended(TriggerKind::Push, &pushed).await;
        assert_eq!(status.phase, Some(RunPhase::Succeeded), "{status:?}");
        assert_eq!(run.spec.trigger.actor, "gitea:alice");
        assert_eq!(forge.shown(&pushed).await, all(&CONTEXTS, "success"));
        let described = forge.get(&format!("commits/{pushed}/status")).await;
        assert!(
            described.to_string().contains("12 of 12 tests passed"),
            "{described}"
        );

        // A pull request, and another commit in it.
        let first = forge.push("greet", "feat: greet", Bump::Minor).await;
        let pull = json!({"title": "feat: greet", "head": "greet", "base": "main"});
        let opened = forge
            .gitea
            .ask(Method::POST, "repos/shop/api/pulls", &pull)
            .await
            .unwrap();
        let number = opened["number"].as_u64().unwrap();
        let (run, status) = forge.ended(TriggerKind::PullRequest, &first).await;
        assert_eq!(status.phase, Some(RunPhase::Succeeded), "{status:?}");
        let told_of = run.spec.trigger.pull_request.unwrap();
        assert_eq!(
            (told_of.number, told_of.base.as_deref(), told_of.fork),
            (number, Some("main"), false)
        );
        assert_eq!(forge.shown(&first).await, all(&CONTEXTS, "success"));
        forge.has_one_comment_about(number, &first).await;
        subject.tests(&tested(12, 2));
        let broken = forge.push("greet", "feat: greet nobody", Bump::Minor).await;
        let (_, status) = forge.ended(TriggerKind::PullRequest, &broken).await;
        assert_eq!(status.phase, Some(RunPhase::Failed));
        let shown = forge.shown(&broken).await;
        assert_eq!(
            [&shown["slipway/api"], &shown["slipway/api/unit"]],
            ["failure", "failure"],
            "{shown:?}"
        );
        subject.tests(&tested(12, 0));
        let newest = forge.push("greet", "feat: greet all", Bump::Minor).await;
        let (_, status) = forge.ended(TriggerKind::PullRequest, &newest).await;
        assert_eq!(status.phase, Some(RunPhase::Succeeded), "{status:?}");
        assert!(status.release.is_none(), "pull requests make no Release");
        forge.has_one_comment_about(number, &newest).await;
        assert_eq!(forge.shown(&newest).await, all(&CONTEXTS, "success"));

        // The merge, a version, and its tag.
        let merge = format!("repos/shop/api/pulls/{number}/merge");
        let forward = json!({"Do": "fast-forward-only"});
        forge
            .gitea
            .ask(Method::POST, &merge, &forward)
            .await
            .unwrap();
        let (run, status) = forge.ended(TriggerKind::Push, &newest).await;
        assert_eq!(status.phase, Some(RunPhase::Succeeded), "{status:?}");
        let released = subject.releases.get(&status.release.unwrap()).await;
        let released = released.unwrap().spec;
        assert_eq!(released.version.as_deref(), Some("1.1.0"));
        assert_eq!(released.commit.sha, newest);
        forge.release(&run.name_any()).await;
        let tag = forge.get("tags/v1.1.0").await;
        assert_eq!(tag["commit"]["sha"], newest, "{tag}");
        assert!(tag["message"].as_str().unwrap().contains("- greet all ("));
        assert_eq!(forge.shown(&newest).await, all(&CONTEXTS, "success"));

        // The tag is delivered too, and nothing follows from it; nor from the merge that closes the pull request.
        wait_for("what Gitea told of the tag", SOON, async || {
            (counted(&operator, "ignored").await >= 5).then_some(())
        })
        .await;
        assert_eq!(counted(&operator, "started").await, 5);
        assert_eq!(runs(subject).await.len(), 6);
    }))
    .await;
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn gitea_tells_which_labels_a_pull_request_has() {
    Box::pin(with_namespace(async |space| {
        let forge = Box::pin(Forge::new(space)).await;
        let environments = space.api("Environment");
        let params = PostParams::default();
        let review = takes_the_label("preview");
        environments.create(&params, &review).await.unwrap();
        forge.push("main", "chore: begin", Bump::None).await;
        let _operator = forge.operator();
        let pull_requests = json!([{"name": "pr", "pullRequest": {}}]);
        forge.create(&json!({ "triggers": pull_requests })).await;
        let until = async |has_label: bool| {
            let is_told = |status: &slipway::pipeline::api::PipelineStatus| {
                let told = status.labelled.first();
                told.is_some_and(|told| {
                    (told.labels.len(), told.without.len())
                        == if has_label { (1, 0) } else { (0, 1) }
                })
            };
            forge.subject.until("what Gitea told", is_told).await;
        };
        forge.push("greet", "feat: greet", Bump::Minor).await;
        let pull = json!({"title": "feat: greet", "head": "greet", "base": "main"});
        let ask = async |method: Method, path: &str, body: &Value| {
            let path = format!("repos/shop/api/{path}");
            forge.gitea.ask(method, &path, body).await.unwrap()
        };
        let opened = ask(Method::POST, "pulls", &pull).await;
        until(false).await;
        let label = json!({"name": "preview", "color": "#00aabb"});
        let label = ask(Method::POST, "labels", &label).await["id"].clone();
        let of_pull = format!("issues/{}/labels", opened["number"]);
        ask(Method::POST, &of_pull, &json!({"labels": [label]})).await;
        until(true).await;
        let one = format!("{of_pull}/{label}");
        ask(Method::DELETE, &one, &Value::Null).await;
        until(false).await;
    }))
    .await;
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn what_gitea_delivers_twice_is_one_run_and_what_is_lost_is_found_by_polling() {
    with_namespace(async |space| {
        let forge = Box::pin(Forge::new(space)).await;
        let subject = &forge.subject;
        let begin = forge.push("main", "chore: begin", Bump::None).await;
        let operator = forge.operator();
        let every_push = json!([{"name": "all", "push": {"branches": ["**"]}}]);
        forge.create(&json!({ "triggers": every_push })).await;
        forge.ended(TriggerKind::Push, &begin).await;
        let until_counted = async |outcome: &str, count: u64| {
            wait_for(outcome, SOON, async || {
                (counted(&operator, outcome).await == count).then_some(())
            })
            .await;
        };
        let good = forge.hook(TOKEN).await;
        let second = forge.push("main", "chore: sell", Bump::None).await;
        forge.ended(TriggerKind::Push, &second).await;
        // Two webhooks of one repository: each push comes twice anyway.
        until_counted("started", 1).await;
        until_counted("known", 1).await;
        forge.deliver_again(good).await;
        until_counted("known", 2).await;
        let wrong = forge.hook("another token").await;
        forge.deliver_again(wrong).await;
        until_counted("unauthenticated", 1).await;
        let unsigned = forge.hook("").await;
        forge.deliver_again(unsigned).await;
        until_counted("unauthenticated", 2).await;
        assert_eq!(runs(subject).await.len(), 2);

        // Nobody hears of the next one.
        operator.kill().await;
        let lost = forge.push("main", "fix: sell more", Bump::Patch).await;
        wait_for("deliveries that are lost", SOON, async || {
            let log = forge.gitea.log();
            (log.matches("Unable to deliver webhook").count() >= 4).then_some(())
        })
        .await;
        let _operator = forge.operator();
        subject
            .patch(json!({"polling": {"interval": "200ms"}}))
            .await;
        let (run, status) = forge.ended(TriggerKind::Push, &lost).await;
        assert_eq!(run.spec.trigger.actor, "slipway");
        assert_eq!(status.phase, Some(RunPhase::Succeeded), "{status:?}");
        assert_eq!(runs(subject).await.len(), 3);
    })
    .await;
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn twenty_pushes_to_gitea_are_run_one_by_one_or_the_newest_only() {
    with_namespace(async |space| {
        let forge = Box::pin(Forge::new(space)).await;
        let subject = &forge.subject;
        forge.push("main", "chore: begin", Bump::None).await;
        let _operator = forge.operator();
        forge
            .create(&json!({
                "triggers": [{"name": "all", "push": {"branches": ["**"]}}],
                "concurrency": {"policy": "Queue"}, "retention": {"succeeded": 100, "failed": 100},
            }))
            .await;
        let push_all = async |branch: &str| {
            let mut last = String::new();
            for number in 1..=20 {
                let content = number.to_string();
                let files = [("file", content.as_str())];
                let commit = subject.repository.commit(branch, "One of many", &files);
                last = commit.await.unwrap();
            }
            last
        };
        push_all("queue").await;
        all_run_one_by_one(subject, "queue").await;

        subject.plays("python", "exit=0,after=10m");
        subject
            .patch(json!({"concurrency": {"policy": "CancelInProgress"}}))
            .await;
        let last = push_all("newest").await;
        only_the_newest_runs(subject, "newest", &last).await;
    })
    .await;
}

/// A version that people take back, here at first and then in Git.
#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn what_is_reverted_in_git_is_a_release_with_the_images_of_before() {
    Box::pin(with_namespace(async |space| {
        let forge = Box::pin(Forge::new(space)).await;
        let subject = &forge.subject;
        let environments = space.api("Environment");
        let live = json!({
            "apiVersion": "slipway.dev/v1alpha1", "kind": "Environment", "metadata": {"name": "live"},
            "spec": {"tier": "Staging", "promotion": {"from": {"pipelines": ["api"]}}},
        });
        let live = serde_json::from_value(live).unwrap();
        environments.create(&PostParams::default(), &live).await.unwrap();
        let first = forge.push("main", "feat: begin", Bump::Minor).await;
        let _operator = forge.operator();
        forge
            .create(&json!({
                "triggers": [{"name": "main", "push": {}}, {"name": "pr", "pullRequest": {}}],
                "release": {"version": {"initial": "1.0.0"}},
            }))
            .await;
        let released = async |sha: &str| {
            let (_, status) = forge.ended(TriggerKind::Push, sha).await;
            assert_eq!(status.phase, Some(RunPhase::Succeeded), "{status:?}");
            let name = status.release.unwrap();
            let made = subject.releases.get(&name).await.unwrap().spec;
            (name, made)
        };
        let is_live = async |release: &str| {
            wait_for(&format!("live runs {release}"), SOON, async || {
                let live = environments.get("live").await.ok()?;
                (live.data["status"]["current"][0]["release"] == release).then_some(())
            })
            .await;
        };
        let (good, of_good) = released(&first).await;
        is_live(&good).await;
        subject.builds('8');
        let greets = forge.push("main", "feat: greet", Bump::Minor).await;
        let (left, of_left) = released(&greets).await;
        assert_eq!(of_left.version.as_deref(), Some("1.1.0"));
        is_live(&left).await;
        // At once, as long as Git still asks for it.
        space.decide(("Environment", "live"), "Rollback").await;
        is_live(&good).await;

        // What `git revert` makes: the files of before, and these words.
        subject.builds('9');
        let words = "Revert \"feat: greet\"";
        let back = forge.push_as("main", words, "feat: begin", Bump::Patch).await;
        let (again, of_again) = released(&back).await;
        assert_eq!(of_again.version.as_deref(), Some("1.1.1"));
        assert_eq!(of_again.commit.sha, back);
        assert_eq!(of_again.images[0].digest, of_good.images[0].digest);
        assert_ne!(of_left.images[0].digest, of_good.images[0].digest);
        let notes = of_again.changelog.unwrap();
        assert!(notes.contains("### Reverts") && notes.contains("feat: greet"), "{notes}");
        is_live(&again).await;
        assert_eq!(forge.shown(&back).await, all(&CONTEXTS[..3], "success"));
    }))
    .await;
}

/// Sends what a provider renders as the operator does; the reply.
pub(crate) async fn send(request: Request, token: &str) -> Result<Reply, String> {
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let method = Method::from_bytes(request.method.as_bytes()).unwrap();
    let mut sent = http.request(method, &request.url);
    if !token.is_empty() {
        sent = sent.bearer_auth(token);
    }
    for (name, value) in &request.headers {
        sent = sent.header(name, value);
    }
    let sent = match request.body {
        Some(body) => sent.body(body),
        None => sent,
    };
    let answer = sent.send().await.unwrap();
    Ok(Reply {
        status: answer.status().as_u16(),
        body: answer.bytes().await.unwrap().to_vec(),
    })
}

#[tokio::test]
#[ignore = "builds Gitea; run make test"]
async fn gitea_understands_all_that_it_is_asked_and_is_understood() {
    let gitea = Gitea::start().await.unwrap();
    let repository = gitea.create("shop/api").await.unwrap();
    let robot = gitea.account("robot").await.unwrap();
    let member = "repos/shop/api/collaborators/robot";
    let may_write = json!({"permission": "write"});
    gitea.ask(Method::PUT, member, &may_write).await.unwrap();
    let source = json!({
        "url": gitea.url("shop/api"), "insecure": true,
        "provider": {"type": "Gitea", "tokenSecretRef": {"name": "git", "key": "token"}},
    });
    let source: GitSource = serde_json::from_value(source).unwrap();
    let provider = Provider::of(&source, "shop", None).unwrap();
    let say = async |request: Request| send(request, &robot.token).await;
    let main = repository.commit("main", "feat: begin", &[("a b/ü.txt", "hello")]);
    let main = main.await.unwrap();

    // Statuses: of each context the newest only.
    let mut status = CommitStatus {
        context: "slipway/api/unit".into(),
        state: CommitState::Pending,
        description: "ü".repeat(200),
        url: Some("https://runs.example/1".into()),
    };
    for state in [
        CommitState::Pending,
        CommitState::Error,
        CommitState::Failure,
        CommitState::Success,
    ] {
        status.state = state;
        let reply = say(provider.set_status(&main, &status)).await;
        provider.read_set_status(&reply).unwrap();
        let read = provider.read_statuses(&say(provider.statuses(&main, 1)).await);
        let read = read.unwrap();
        assert_eq!(read.len(), 1, "{read:?}");
        assert_eq!(
            (&read[0].context, read[0].state, &read[0].url),
            (&status.context, state, &status.url)
        );
        assert_eq!(read[0].description.chars().count(), 140);
    }
    let nobody = provider.read_set_status(&send(provider.set_status(&main, &status), "none").await);
    assert_eq!(nobody.unwrap_err().kind, RefusalKind::Login);

    // Pull requests and comments.
    let head = repository.commit("greet", "feat: greet", &[("b", "2")]);
    let head = head.await.unwrap();
    gitea.has_taken("shop/api", &head).await.unwrap();
    let pull = json!({"title": "feat: greet", "head": "greet", "base": "main"});
    gitea
        .ask(Method::POST, "repos/shop/api/pulls", &pull)
        .await
        .unwrap();
    let read = provider.read_pull_request(&say(provider.pull_request(1)).await);
    let read = read.unwrap().unwrap();
    assert_eq!(
        (
            &read.head_sha,
            read.head_branch.as_str(),
            read.base_branch.as_str(),
            read.is_fork
        ),
        (&head, "greet", "main", false)
    );
    assert!(!read.is_draft);
    let draft = json!({"title": "WIP: feat: greet"});
    let pull = "repos/shop/api/pulls/1";
    gitea.ask(Method::PATCH, pull, &draft).await.unwrap();
    let read = provider.read_pull_request(&say(provider.pull_request(1)).await);
    assert!(read.unwrap().unwrap().is_draft);
    let none = provider.read_pull_request(&say(provider.pull_request(99)).await);
    assert_eq!(none.unwrap(), None);

    // What a commit says and changes, by git's own protocol.
    let question = changes::request(&source, "shop", None, (Some(&main), &head));
    let Some(Errand::Changed(question)) = question.errand.as_deref() else {
        panic!("{question:?}");
    };
    let mut walk = Walk::of(question);
    while let Some(request) = walk.ask() {
        walk.take(&send(request, "").await);
    }
    let said = changes::read(&Ok(walk.answer())).unwrap();
    assert_eq!(said.message, "feat: greet\n");
    assert_eq!(said.files, Some(vec!["b".to_owned()]));

    // Releases: one of a tag.
    let release = ProviderRelease {
        tag: "v1.0.0".into(),
        name: "1.0.0".into(),
        notes: "### Features\n".into(),
        is_prerelease: true,
    };
    let made = say(provider.create_release(&release, &main)).await;
    provider.read_done(&made).unwrap();
    let again = provider.read_done(&say(provider.create_release(&release, &main)).await);
    assert_eq!(again.unwrap_err().kind, RefusalKind::Conflict);
    let of_tag = "repos/shop/api/releases/tags/v1.0.0";
    let read = gitea.ask(Method::GET, of_tag, &Value::Null).await.unwrap();
    assert_eq!(
        [&read["name"], &read["body"], &read["prerelease"]],
        [&json!("1.0.0"), &json!("### Features\n"), &json!(true)]
    );
}
