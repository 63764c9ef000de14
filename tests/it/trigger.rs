//! What starts runs: deliveries as git providers sign them, beside a real git server, and what is lost of them.

use aws_lc_rs::hmac::{self, HMAC_SHA256};
use kube::api::{DynamicObject, PostParams};
use kube::{ResourceExt, api::ListParams};
use serde_json::{Value, json};
use slipway::pipeline_run::api::{PipelineRun, RunPhase, StopKind, TriggerKind};

use crate::cluster::{SOON, Space, kubeconfig_path, wait_for, with_namespace};
use crate::operator::Operator;
use crate::pipeline::{Subject, tested};
use crate::supply::Server;

pub(crate) const TOKEN: &str = "a token that nobody guesses";
pub(crate) const LISTEN: &[&str] = &["--alert-listen", "127.0.0.1:0", "--stage-secrets"];

/// Somebody who delivers as GitHub does.
pub(crate) struct Sender {
    url: String,
    http: reqwest::Client,
}

impl Sender {
    pub(crate) async fn to(space: &Space, operator: &Operator) -> Self {
        let address = operator.alert_address().await;
        Self {
            url: format!("http://{address}/hooks/git/{}/api", space.name),
            // A connection that the server has closed in the middle is not to be used again.
            http: reqwest::Client::builder()
                .no_proxy()
                .pool_max_idle_per_host(0)
                .build()
                .unwrap(),
        }
    }

    async fn send(&self, fields: &[(&str, &str)], body: &str) -> (u16, String) {
        let mut request = self
            .http
            .post(&self.url)
            .header("content-type", "application/json");
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        // A server that has read enough may close before all is sent.
        let Ok(answer) = request.body(body.to_owned()).send().await else {
            return (0, String::new());
        };
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    /// Sends it signed, until it is taken.
    pub(crate) async fn deliver(&self, kind: &str, body: &Value) -> String {
        let body = body.to_string();
        let signature = format!("sha256={}", signed(TOKEN, &body));
        let fields = [
            ("x-github-event", kind),
            ("x-hub-signature-256", &signature),
        ];
        wait_for("a delivery that is taken", SOON, async || {
            let (status, said) = self.send(&fields, &body).await;
            assert!([0, 200, 503].contains(&status), "{status}: {said}");
            (status == 200).then_some(said)
        })
        .await
    }
}

fn signed(token: &str, body: &str) -> String {
    let key = hmac::Key::new(HMAC_SHA256, token.as_bytes());
    let tag = hmac::sign(&key, body.as_bytes());
    let nibbles = tag.as_ref().iter().flat_map(|byte| [byte >> 4, byte & 15]);
    nibbles
        .filter_map(|nibble| char::from_digit(u32::from(nibble), 16))
        .collect()
}

fn push(branch: &str, sha: &str, message: &str) -> Value {
    let commit =
        json!({"id": sha, "message": message, "added": ["file"], "modified": [], "removed": []});
    json!({
        "ref": format!("refs/heads/{branch}"), "before": "1".repeat(40), "after": sha, "head_commit": commit,
        "commits": [commit], "sender": {"login": "alice"}, "repository": {"full_name": "shop/api"},
    })
}

pub(crate) fn pull_request(sha: &str, from: &str) -> Value {
    json!({
        "action": "opened", "sender": {"login": "mallory"}, "repository": {"full_name": "shop/api"},
        "pull_request": {
            "number": 7, "draft": false, "head": {"sha": sha, "ref": "greetings", "repo": {"full_name": from}},
            "base": {"ref": "main", "repo": {"full_name": "shop/api"}},
        },
    })
}

/// An Environment whose previews take a label.
pub(crate) fn takes_the_label(label: &str) -> DynamicObject {
    let environment = json!({
        "apiVersion": "slipway.dev/v1alpha1", "kind": "Environment", "metadata": {"name": "review"},
        "spec": {
            "tier": "Development", "promotion": {"from": {"pipelines": ["api"]}},
            "previews": {
                "pipeline": "api", "copy": ["Rollout"], "selector": {"preview": "shop"}, "match": {"labels": [label]},
                "url": "https://pr-{{pr.number}}.preview.example.com",
            },
        },
    });
    serde_json::from_value(environment).unwrap()
}

pub(crate) async fn set_token(space: &Space) {
    space.make_secret("hook", json!({"token": TOKEN})).await;
}

/// Only what is delivered comes soon: polling is far away.
pub(crate) fn hooked(rest: &Value) -> Value {
    let mut spec = json!({
        "polling": {"interval": "1h"}, "webhook": {"secretRef": {"name": "hook", "key": "token"}},
        "triggers": [{"name": "all", "push": {"branches": ["**"]}}, {"name": "pr", "pullRequest": {}},
                     {"name": "tag", "tag": {"pattern": "v*"}}],
    });
    json_patch::merge(&mut spec, rest);
    json!({"spec": spec})
}

pub(crate) async fn runs(subject: &Subject) -> Vec<PipelineRun> {
    subject
        .runs
        .list(&ListParams::default())
        .await
        .unwrap()
        .items
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn a_delivery_is_one_run_and_what_is_not_signed_is_refused_and_counted() {
    with_namespace(async |space| {
        let subject = Subject::new(space).await;
        set_token(space).await;
        let first = subject.push("Begin").await;
        let operator = subject.operator_with(&kubeconfig_path(), LISTEN);
        subject.create(&hooked(&json!({}))).await;
        let sender = Sender::to(space, &operator).await;

        let body = push("main", &first, "Begin");
        let said = sender.deliver("push", &body).await;
        assert!(said.starts_with("started api-"), "{said}");
        assert_eq!(
            runs(&subject).await.len(),
            1,
            "200 is said once it is there"
        );
        let again = sender.deliver("push", &body).await;
        assert!(again.starts_with("known before"), "{again}");
        let (name, status) = subject.ended(&first).await;
        assert_eq!(status.phase, Some(RunPhase::Succeeded));
        let run = subject.runs.get(&name).await.unwrap();
        assert_eq!(
            (run.spec.trigger.kind, run.spec.trigger.actor.as_str()),
            (TriggerKind::Push, "github:alice")
        );

        let text = push("main", &"2".repeat(40), "Forged").to_string();
        let good = format!("sha256={}", signed(TOKEN, &text));
        let wrong = format!("sha256={}", signed("another token", &text));
        let old = format!("sha1={}", "0".repeat(40));
        let kind = ("x-github-event", "push");
        for fields in [
            vec![kind],
            vec![kind, ("x-hub-signature-256", wrong.as_str())],
            vec![kind, ("x-hub-signature", old.as_str())],
            vec![
                ("x-gitlab-event", "Push Hook"),
                ("x-gitlab-token", "another token"),
            ],
            vec![
                ("x-gitea-event", "push"),
                ("x-hub-signature-256", good.as_str()),
            ],
            vec![],
        ] {
            let (status, said) = sender.send(&fields, &text).await;
            assert_eq!(status, 401, "{fields:?}: {said}");
        }
        let signature = ("x-hub-signature-256", good.as_str());
        assert_eq!(
            sender
                .send(&[kind, signature], &text.replace("Forged", "forged"))
                .await
                .0,
            401
        );
        let large = format!("{text}{}", " ".repeat(3 << 20));
        let (status, _) = sender.send(&[kind, signature], &large).await;
        assert!([0, 413].contains(&status), "{status}");
        let mut stale = push("main", &"3".repeat(40), "Old");
        stale["repository"]["pushed_at"] = json!(1_600_000_000);
        let stale = stale.to_string();
        let signature = format!("sha256={}", signed(TOKEN, &stale));
        let (status, _) = sender
            .send(&[kind, ("x-hub-signature-256", &signature)], &stale)
            .await;
        assert_eq!(status, 410);
        // A run that is gone does not come back by playing its delivery again.
        subject
            .runs
            .delete(&name, &kube::api::DeleteParams::default())
            .await
            .unwrap();
        wait_for("it is gone", SOON, async || {
            runs(&subject).await.is_empty().then_some(())
        })
        .await;
        sender.deliver("push", &body).await;
        let skipped = sender
            .deliver("push", &push("main", &"4".repeat(40), "Bump [skip ci]"))
            .await;
        assert!(skipped.starts_with("nothing follows"), "{skipped}");
        assert_eq!(runs(&subject).await.len(), 0);

        let metrics = operator.metrics().await;
        for counted in [
            "outcome=\"started\",provider=\"github\"} 1",
            "outcome=\"known\",provider=\"github\"} 2",
            "outcome=\"ignored\",provider=\"github\"} 1",
            "outcome=\"unauthenticated\",provider=\"gitlab\"} 1",
            "outcome=\"refused\",provider=\"github\"} 1",
            "outcome=\"stale\",provider=\"github\"} 1",
        ] {
            assert!(
                metrics.contains(&format!("slipway_webhook_deliveries_total{{{counted}")),
                "{counted}\n{metrics}"
            );
        }
    })
    .await;
}

/// Twenty pushes to a branch: all of them are run, and never two at once.
pub(crate) async fn all_run_one_by_one(subject: &Subject, branch: &str) {
    let git_ref = format!("refs/heads/{branch}");
    let mut most = 0;
    wait_for("all of them", SOON * 3, async || {
        let mut all = runs(subject).await;
        all.retain(|run| run.spec.git_ref == git_ref);
        let phases = all
            .iter()
            .map(|run| run.status.as_ref().and_then(|status| status.phase));
        let phases: Vec<_> = phases.flatten().collect();
        let running = phases.iter().filter(|phase| **phase == RunPhase::Running);
        most = most.max(running.count());
        let over = phases.iter().filter(|phase| phase.is_finished());
        (all.len() == 20 && over.count() == 20).then_some(())
    })
    .await;
    assert_eq!(most, 1, "one at a time");
}

/// Twenty pushes to a branch: the run of the last goes on, and the others were stopped for a newer one.
pub(crate) async fn only_the_newest_runs(subject: &Subject, branch: &str, last: &str) {
    let git_ref = format!("refs/heads/{branch}");
    wait_for("the newest, and none else", SOON, async || {
        let mut all = runs(subject).await;
        all.retain(|run| run.spec.git_ref == git_ref);
        let is_right = |run: &PipelineRun| {
            let Some(status) = &run.status else {
                return false;
            };
            if run.spec.sha.as_deref() == Some(last) {
                return status.phase == Some(RunPhase::Running);
            }
            let stop = status.stopping.as_ref();
            status.phase == Some(RunPhase::Cancelled)
                && stop.is_some_and(|stop| stop.kind == StopKind::Superseded)
        };
        (all.len() == 20 && all.iter().all(is_right)).then_some(())
    })
    .await;
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn a_burst_of_pushes_is_run_one_by_one_or_the_newest_only() {
    with_namespace(async |space| {
        let subject = Subject::new(space).await;
        set_token(space).await;
        subject.push("Begin").await;
        let operator = subject.operator_with(&kubeconfig_path(), LISTEN);
        subject
            .create(&hooked(&json!({
                "concurrency": {"policy": "Queue"}, "retention": {"succeeded": 100, "failed": 100},
            })))
            .await;
        let sender = Sender::to(space, &operator).await;
        let shas = |digit: char| {
            (10..30)
                .map(move |number| format!("{number}").repeat(19) + &digit.to_string().repeat(2))
        };
        let bodies: Vec<Value> = shas('a')
            .map(|sha| push("queue", &sha, "One of many"))
            .collect();
        futures::future::join_all(bodies.iter().map(|body| sender.deliver("push", body))).await;
        all_run_one_by_one(&subject, "queue").await;

        subject.plays("python", "exit=0,after=10m");
        subject
            .patch(json!({"concurrency": {"policy": "CancelInProgress"}}))
            .await;
        for sha in shas('b') {
            sender
                .deliver("push", &push("newest", &sha, "One of many"))
                .await;
        }
        let last = shas('b').next_back().unwrap();
        only_the_newest_runs(&subject, "newest", &last).await;
    })
    .await;
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn a_commit_of_another_repository_waits_for_approval_and_gets_no_secret() {
    with_namespace(async |space| {
        let subject = Subject::new(space).await;
        set_token(space).await;
        subject.push("Begin").await;
        let operator = subject.operator_with(&kubeconfig_path(), LISTEN);
        let secret = json!([{"name": "TOKEN", "secretRef": {"name": "hook", "key": "token"}}]);
        subject
            .create(&hooked(&json!({"defaults": {"env": secret}})))
            .await;
        let sender = Sender::to(space, &operator).await;
        let report = tested(12, 0).encode();
        subject.plays("python", &format!("exit=0,after=100ms,message={report}"));
        let mut shas = ["5", "6", "7"].map(|digit| digit.repeat(40)).into_iter();
        let mut deliver = async |from: &str| {
            let sha = shas.next().unwrap();
            let said = sender
                .deliver("pull_request", &pull_request(&sha, from))
                .await;
            said.trim().strip_prefix("started ").unwrap().to_owned()
        };
        let waits = async |name: &str| {
            wait_for("a run that waits", SOON, async || {
                let status = subject.runs.get(name).await.ok()?.status?;
                let message = status.message?;
                message.contains("approve the run").then_some(())
            })
            .await;
        };
        let refused = deliver("mallory/api").await;
        waits(&refused).await;
        space.decide(("PipelineRun", &refused), "Reject").await;
        let fork = deliver("mallory/api").await;
        waits(&fork).await;
        let jobs = subject.list(&subject.jobs).await;
        assert!(!jobs.iter().any(|job| job.name_any().starts_with(&fork)));
        space.decide(("PipelineRun", &fork), "Approve").await;
        let env_of = async |run: &str| {
            let job = wait_for("its Job", SOON, async || {
                let jobs = subject.list(&subject.jobs).await;
                jobs.into_iter()
                    .find(|job| job.name_any() == format!("{run}-unit-1"))
            })
            .await;
            let template = serde_json::to_value(job.spec.unwrap().template).unwrap();
            template["spec"]["containers"][0]["env"].to_string()
        };
        let env = env_of(&fork).await;
        assert!(!env.contains("secretKeyRef"), "{env}");
        assert!(
            env.contains("SLIPWAY_PULL_REQUEST") && env.contains("refs/pull/7/head"),
            "{env}"
        );
        let own = deliver("shop/api").await;
        assert!(env_of(&own).await.contains("secretKeyRef"));
        let status = wait_for("the refused one is over", SOON, async || {
            let status = subject.runs.get(&refused).await.ok()?.status?;
            status.phase?.is_finished().then_some(status)
        })
        .await;
        assert_eq!(status.stopping.unwrap().kind, StopKind::Rejected);
        let releases = subject.list(&subject.releases).await;
        assert!(
            releases
                .iter()
                .all(|release| release.spec.git_ref == "refs/heads/main")
        );
    })
    .await;
}

/// Deliveries that never came: polling finds branches, tags and pull requests, and starts nothing that was there before.
#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn what_deliveries_lose_is_found_by_polling() {
    with_namespace(async |space| {
        let subject = Subject::new(space).await;
        set_token(space).await;
        let first = subject.push("Begin").await;
        subject.repository.tag("v0", &first).await.unwrap();
        let operator = subject.operator_with(&kubeconfig_path(), LISTEN);
        subject
            .create(&hooked(&json!({"polling": {"interval": "200ms"}})))
            .await;
        let sender = Sender::to(space, &operator).await;
        subject
            .until("what was there is known", |status| {
                status.observed_triggers.is_some()
            })
            .await;
        let more = subject
            .repository
            .commit("next", "Elsewhere", &[])
            .await
            .unwrap();
        subject.repository.tag("v1", &more).await.unwrap();
        subject
            .repository
            .push_ref("refs/pull/3/head", &more)
            .await
            .unwrap();
        // The last one comes late, and twice.
        let told = sender
            .deliver("push", &push("next", &more, "Elsewhere"))
            .await;
        assert!(told.starts_with("started"), "{told}");
        let found = wait_for("three of them", SOON, async || {
            let all = runs(&subject).await;
            let mut found: Vec<_> = all
                .iter()
                .filter(|run| run.spec.git_ref != "refs/heads/main")
                .map(|run| {
                    (
                        run.spec.trigger.kind,
                        run.spec.git_ref.clone(),
                        run.spec.trigger.actor.clone(),
                    )
                })
                .collect();
            found.sort();
            (found.len() >= 3).then_some(found)
        })
        .await;
        let expected = [
            (TriggerKind::Push, "refs/heads/next", "github:alice"),
            (TriggerKind::PullRequest, "refs/pull/3/head", "slipway"),
            (TriggerKind::Tag, "refs/tags/v1", "slipway"),
        ];
        let expected =
            expected.map(|(kind, name, actor)| (kind, name.to_owned(), actor.to_owned()));
        assert_eq!(found, expected);
        let again = sender
            .deliver("push", &push("next", &more, "Elsewhere"))
            .await;
        assert!(again.starts_with("known before"), "{again}");
        let asked = subject.git.requests();
        wait_for("more polls", SOON, async || {
            (subject.git.requests() > asked + 5).then_some(())
        })
        .await;
        let all = async || (runs(&subject).await.len() == 4).then_some(());
        wait_for("that of main too", SOON, all).await;
    })
    .await;
}

/// Nobody tells of anything: the repository itself is asked what commits say and change.
#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn what_polling_finds_is_left_out_by_its_files_or_its_message() {
    with_namespace(async |space| {
        let subject = Subject::new(space).await;
        let first = subject.push("Begin").await;
        let _operator = subject.operator(&kubeconfig_path());
        let trigger = json!({"name": "api", "push": {"branches": ["**"], "paths": ["api/**"]}});
        subject
            .create(&json!({"spec": {"triggers": [trigger]}}))
            .await;
        subject.ended(&first).await;
        let commit = async |branch: &str, message: &str, path: &str| {
            let files = [(path, message)];
            let commit = subject.repository.commit(branch, message, &files);
            commit.await.unwrap()
        };
        for (message, path) in [("Words", "README.md"), ("Code [skip ci]", "api/main.rs")] {
            let sha = commit("main", message, path).await;
            subject
                .until("it is left out", |status| {
                    let said = status.message.as_deref().unwrap_or_default();
                    status.last_observed_sha.as_ref() == Some(&sha) && said.contains("left out")
                })
                .await;
        }
        let elsewhere = commit("next", "Begin [ci skip]", "api/next.rs").await;
        let code = commit("main", "Code", "api/deep/more.rs").await;
        wait_for("the run of what counts", SOON, async || {
            let all = runs(&subject).await;
            let mut all = all.iter().map(|run| run.spec.sha.as_deref());
            all.any(|sha| sha == Some(&code)).then_some(())
        })
        .await;
        subject
            .until("nothing is waited for", |status| {
                // That of main has a way of its own.
                status.pending.is_empty() && status.seen.len() >= 3
            })
            .await;
        let all = runs(&subject).await;
        assert!(
            all.iter()
                .all(|run| run.spec.sha.as_ref() != Some(&elsewhere))
        );
        assert_eq!(all.len(), 2);
    })
    .await;
}

/// A delivery that is lost, and one after it that changes nothing of interest.
#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn a_delivery_that_is_left_out_hides_none_that_was_lost() {
    with_namespace(async |space| {
        let subject = Subject::new(space).await;
        set_token(space).await;
        let first = subject.push("Begin").await;
        let operator = subject.operator_with(&kubeconfig_path(), LISTEN);
        let trigger = json!({"name": "api", "push": {"branches": ["**"], "paths": ["api/**"]}});
        subject
            .create(&hooked(&json!({ "triggers": [trigger] })))
            .await;
        let sender = Sender::to(space, &operator).await;
        let deliver = async |before: &str, sha: &str, path: &str| {
            let mut body = push("main", sha, "More");
            body["before"] = before.into();
            body["commits"][0]["added"] = json!([path]);
            sender.deliver("push", &body).await
        };
        let commit = async |path: &str| {
            let files = [(path, path)];
            let commit = subject.repository.commit("main", path, &files);
            commit.await.unwrap()
        };
        let said = deliver(&"1".repeat(40), &first, "api/main.rs").await;
        assert!(said.starts_with("started"), "{said}");
        let words = commit("README.md").await;
        let said = deliver(&first, &words, "README.md").await;
        assert!(said.contains("none of the files"), "{said}");
        assert!(!said.contains("polling"), "{said}");
        let lost = commit("api/lost.rs").await;
        let more = commit("docs/more.md").await;
        let said = deliver(&lost, &more, "docs/more.md").await;
        assert!(said.contains("polling looks at both"), "{said}");
        subject
            .patch(json!({"polling": {"interval": "200ms"}}))
            .await;
        let shas = wait_for("the run of both", SOON, async || {
            let all = runs(&subject).await;
            let shas: Vec<_> = all.into_iter().filter_map(|run| run.spec.sha).collect();
            (shas.len() > 1).then_some(shas)
        })
        .await;
        assert_eq!(shas.len(), 2, "{shas:?}");
        assert!(shas.contains(&first) && shas.contains(&more), "{shas:?}");
    })
    .await;
}

/// A real registry, and an operator that is not there when the tag moves.
#[tokio::test]
#[ignore = "needs a kube-apiserver and docker-registry; run make test"]
async fn a_new_digest_of_an_image_is_one_run_across_a_restart() {
    with_namespace(async |space| {
        let subject = Subject::new(space).await;
        subject.push("Begin").await;
        let registry = Server::debian().await;
        let image = format!("{}:3", registry.name());
        let push = async |author: &str| registry.push_as("3", author).await.digest;
        let begin = || {
            let hosts = ["--metric-hosts", "127.0.0.0/8"];
            subject.operator_with(&kubeconfig_path(), &hosts)
        };
        let knows = async |digest: &str| {
            subject
                .until("the digest is dealt with", |status| {
                    let mut images = status.images.iter();
                    images.any(|known| known.digest.as_deref() == Some(digest))
                })
                .await
        };
        let first = push("first").await;
        let mut operator = begin();
        let trigger =
            json!({"name": "base", "image": {"reference": image, "insecureRegistry": true}});
        subject
            .create(&json!({"spec": {"triggers": [trigger]}}))
            .await;
        knows(&first).await;
        assert!(runs(&subject).await.is_empty(), "it was there");
        let mut expected = Vec::new();
        for author in ["second", "third"] {
            operator.kill().await;
            let digest = push(author).await;
            // It asks at once when it begins.
            operator = begin();
            knows(&digest).await;
            expected.push(Some(format!("{image}@{digest}")));
        }
        let all = runs(&subject).await.into_iter();
        let mut started: Vec<_> = all.map(|run| run.spec.trigger.image).collect();
        started.sort();
        expected.sort();
        assert_eq!(started, expected);
    })
    .await;
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn a_pull_request_that_is_closed_is_on_record_until_it_is_opened_again() {
    with_namespace(async |space| {
        let subject = Subject::new(space).await;
        set_token(space).await;
        let sha = subject.push("Begin").await;
        let operator = subject.operator_with(&kubeconfig_path(), LISTEN);
        subject.create(&hooked(&json!({}))).await;
        let sender = Sender::to(space, &operator).await;
        let closed = async || {
            let pipeline = space.api("Pipeline").get("api").await.unwrap();
            let closed = pipeline.data.pointer("/status/closed/0/number").cloned();
            closed.and_then(|number| number.as_u64())
        };
        let mut body = pull_request(&sha, "shop/api");
        body["action"] = json!("closed");
        // Only what is on record is taken.
        sender.deliver("pull_request", &body).await;
        assert_eq!(closed().await, Some(7));
        sender.deliver("pull_request", &body).await;
        assert_eq!(closed().await, Some(7));
        sender
            .deliver("pull_request", &pull_request(&sha, "shop/api"))
            .await;
        assert_eq!(closed().await, None);
    })
    .await;
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn labels_that_previews_ask_for_are_on_record_as_they_are_delivered() {
    with_namespace(async |space| {
        let subject = Subject::new(space).await;
        set_token(space).await;
        let sha = subject.push("Begin").await;
        let environments = space.api("Environment");
        let params = PostParams::default();
        let review = takes_the_label("preview");
        environments.create(&params, &review).await.unwrap();
        let operator = subject.operator_with(&kubeconfig_path(), LISTEN);
        subject.create(&hooked(&json!({}))).await;
        let sender = Sender::to(space, &operator).await;
        let labelled = async || {
            let pipeline = space.api("Pipeline").get("api").await.unwrap();
            let told = pipeline.data.pointer("/status/labelled/0").cloned();
            let told = told.unwrap_or_default();
            (
                told["labels"][0] == "preview",
                told["without"][0] == "preview",
            )
        };
        let mut body = pull_request(&sha, "shop/api");
        body["action"] = json!("labeled");
        body["pull_request"]["labels"] = json!([{"name": "bug"}, {"name": "preview"}]);
        sender.deliver("pull_request", &body).await;
        assert_eq!(labelled().await, (true, false));
        body["action"] = json!("unlabeled");
        body["pull_request"]["labels"] = json!([{"name": "bug"}]);
        sender.deliver("pull_request", &body).await;
        assert_eq!(labelled().await, (false, true));
        let all = runs(&subject).await;
        let mut kinds = all.iter().map(|run| run.spec.trigger.kind);
        assert!(!kinds.any(|kind| kind == TriggerKind::PullRequest));
    })
    .await;
}
