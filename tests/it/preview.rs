//! Previews of pull requests on scripted nodes: opened, pushed to, closed; queued; and what is never deleted.

mod rendered; // manifests of the run's own
mod stage; // a run that waits for its preview

use std::sync::Arc;

use axum::extract::State;
use axum::routing::post;
use axum::{Json, Router};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, ResourceQuota, Service};
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Resource, ResourceExt};
use serde_json::{Value, json};
use slipway::environment::api::{EnvironmentStatus, PreviewPhase, PreviewStatus};
use slipway::environment::preview::name_of;
use slipway::model::key::Key;
use testbed::proxy::{Fault, Match, What};
use tokio::task::AbortHandle;

use crate::cluster::{SOON, Space, api_of, kubeconfig_path, wait_for, with_namespace};
use crate::fault::{proxied, stride};
use crate::operator::{Operator, nodes};
use crate::server::serve;

/// Pull requests of these tests have numbers up to this.
const MOST: u64 = 9;

/// A namespace with a template, a Pipeline that nobody runs, and runs of it as they would be.
struct Review<'a> {
    space: &'a Space,
    environment: Key,
}

impl<'a> Review<'a> {
    async fn new(space: &'a Space, previews: &Value) -> Self {
        let review = Self::without_pipeline(space, previews).await;
        let pipeline = json!({
            "metadata": {"name": "api"},
            "spec": {
                "source": {"git": {"url": "http://127.0.0.1:1/shop/api.git", "insecure": true}},
                "stages": [{"name": "unit", "type": "Test", "image": "a", "run": "true"}],
            },
        });
        review.create("Pipeline", pipeline).await;
        review
    }

    /// The same for a Pipeline that the test makes itself.
    async fn without_pipeline(space: &'a Space, previews: &Value) -> Self {
        let review = Self {
            space,
            environment: Key::new(space.name.clone(), "review"),
        };
        let labels = json!({"preview": "shop"});
        let rollout = json!({
            "metadata": {"name": "api", "labels": labels},
            "spec": {
                "replicas": 1,
                "selector": {"matchLabels": {"app": "api"}},
                "release": {"environment": {"name": "review"}, "images": {"web": "api"}},
                "template": {
                    "metadata": {"labels": {"app": "api"}},
                    // Fit for the restricted level.
                    "spec": {
                        "securityContext": {"runAsNonRoot": true, "runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"}},
                        "containers": [{
                            "name": "web", "env": [{"name": "HOST", "value": "shop.example.com"}],
                            "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
                        }],
                    },
                },
            },
        });
        review.create("Rollout", rollout).await;
        let config = json!({"metadata": {"name": "settings", "labels": labels}, "data": {"host": "shop.example.com"}});
        review.make::<ConfigMap>(config).await;
        let service = json!({
            "metadata": {"name": "api", "labels": labels},
            "spec": {"selector": {"app": "api"}, "ports": [{"port": 80}]},
        });
        review.make::<Service>(service).await;
        let mut spec = json!({
            "pipeline": "api", "copy": ["Rollout", "Service", "ConfigMap"], "selector": labels,
            "url": "http://pr-{{pr.number}}.preview.example.com",
            "replace": [{"from": "shop.example.com", "to": "{{host}}"}],
            "ttl": {"afterClose": "1s"},
            "resources": {"quota": {"pods": "9"}, "defaultRequests": {"cpu": "1m"}},
            "network": {"allowFrom": ["gateways"]},
        });
        json_patch::merge(&mut spec, previews);
        let environment = json!({
            "metadata": {"name": "review"},
            "spec": {"tier": "Development", "promotion": {"from": {"pipelines": ["api"]}}, "rollouts": [{"name": "api"}], "previews": spec},
        });
        review.create("Environment", environment).await;
        review
    }

    async fn create(&self, kind: &str, mut object: Value) {
        object["apiVersion"] = "slipway.dev/v1alpha1".into();
        object["kind"] = kind.into();
        let object = serde_json::from_value(object).unwrap();
        let (api, params) = (self.space.api(kind), PostParams::default());
        api.create(&params, &object).await.unwrap();
    }

    async fn make<K>(&self, object: Value)
    where
        K: Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>
            + Clone
            + std::fmt::Debug
            + serde::Serialize
            + serde::de::DeserializeOwned,
    {
        let api: Api<K> = Api::namespaced(self.space.client.clone(), &self.space.name);
        let object = serde_json::from_value(object).unwrap();
        api.create(&PostParams::default(), &object).await.unwrap();
    }

    /// An operator that watches the namespaces of all previews as well.
    fn operator(&self, kubeconfig: &std::path::Path) -> Operator {
        let all = self.all_namespaces();
        let args = [
            "--no-leader-election",
            "--previews",
            "--stage-secrets",
            "--metric-hosts",
            "127.0.0.0/8",
            "--watch-namespace",
            &all,
        ];
        Operator::start_with(&self.space.name, kubeconfig, &args)
    }

    /// The namespaces of all previews, as an operator is told of them.
    fn all_namespaces(&self) -> String {
        let all: Vec<String> = (1..=MOST).map(|number| self.namespace(number)).collect();
        all.join(",")
    }

    fn namespace(&self, number: u64) -> String {
        name_of(&self.environment, number)
    }

    /// A run of a pull request at a commit of this digit that has passed. A phase that is over is final: the operator leaves it.
    async fn passed(&self, number: u64, digit: char) {
        self.passed_as(number, digit, &json!({})).await;
    }

    /// The same, with more about what started it.
    async fn passed_as(&self, number: u64, digit: char, trigger: &Value) {
        self.passed_with(number, digit, (trigger, None)).await;
    }

    /// The same, with something else that it made.
    async fn passed_with(
        &self,
        number: u64,
        digit: char,
        (trigger, made): (&Value, Option<Value>),
    ) {
        let name = format!("api-{number}-{digit}");
        let sha = digit.to_string().repeat(40);
        let mut run = json!({
            "metadata": {"name": name},
            "spec": {
                "pipelineRef": {"name": "api"}, "ref": format!("refs/pull/{number}/head"), "sha": sha,
                "trigger": {"kind": "PullRequest", "actor": "github:alice", "pullRequest": {"number": number, "fork": false}},
            },
        });
        json_patch::merge(&mut run["spec"]["trigger"], trigger);
        self.create("PipelineRun", run).await;
        let now = jiff::Timestamp::now();
        let image = json!({
            "name": "api", "kind": "Image", "ref": "registry.example/api",
            "digest": format!("sha256:{}", digit.to_string().repeat(64)),
        });
        let artifacts: Vec<Value> = std::iter::once(image).chain(made).collect();
        let status = json!({"status": {
            "phase": "Succeeded", "sha": sha, "startedAt": now, "finishedAt": now, "artifacts": artifacts,
        }});
        let runs = self.space.api("PipelineRun");
        let patch = Patch::Merge(&status);
        runs.patch_status(&name, &PatchParams::default(), &patch)
            .await
            .unwrap();
    }

    /// What the receiver puts on record when a provider tells that pull requests are over.
    async fn closed(&self, numbers: &[u64]) {
        let at = jiff::Timestamp::from_second(jiff::Timestamp::now().as_second()).unwrap();
        let closed = numbers.iter();
        let closed: Vec<Value> = closed
            .map(|number| json!({"number": number, "at": at}))
            .collect();
        self.told(&json!({"closed": closed})).await;
    }

    /// What the receiver puts on record when a provider tells whether a pull request has its label.
    async fn labelled(&self, number: u64, has_label: bool) {
        let at = jiff::Timestamp::from_second(jiff::Timestamp::now().as_second()).unwrap();
        let list = if has_label { "labels" } else { "without" };
        let told = json!([{"number": number, (list): ["preview"], "at": at}]);
        self.told(&json!({"labelled": told})).await;
    }

    async fn told(&self, status: &Value) {
        let pipelines = self.space.api("Pipeline");
        let status = json!({"status": status});
        let patch = Patch::Merge(&status);
        pipelines
            .patch_status("api", &PatchParams::default(), &patch)
            .await
            .unwrap();
    }

    async fn previews(&self) -> Vec<PreviewStatus> {
        let environment = self.space.api("Environment").get("review").await.unwrap();
        let status = environment.data["status"].clone();
        let status: EnvironmentStatus = serde_json::from_value(status).unwrap_or_default();
        status.previews
    }

    async fn until(
        &self,
        what: &str,
        number: u64,
        is_so: impl Fn(&PreviewStatus) -> bool,
    ) -> PreviewStatus {
        wait_for(what, SOON, async || {
            let all = self.previews().await;
            all.into_iter()
                .find(|item| item.number == number && is_so(item))
        })
        .await
    }

    async fn until_ready(&self, number: u64, digit: char) -> PreviewStatus {
        let sha = digit.to_string().repeat(40);
        let is_ready = |item: &PreviewStatus| {
            item.phase == PreviewPhase::Ready && item.sha.as_ref() == Some(&sha)
        };
        self.until(&format!("preview {number} at {digit}"), number, is_ready)
            .await
    }

    fn namespaces(&self) -> Api<Namespace> {
        Api::all(self.space.client.clone())
    }

    async fn until_gone(&self, number: u64) {
        let name = self.namespace(number);
        // Beside other stories Kubernetes takes its time to delete a namespace.
        wait_for("the end of a preview", 5 * SOON, async || {
            let found = self.namespaces().get_opt(&name).await.unwrap();
            found.is_none().then_some(())
        })
        .await;
    }

    /// Names of the previews of this Environment that there are.
    async fn all(&self) -> Vec<String> {
        let selector = ListParams::default().labels("slipway.dev/preview-of");
        let list = self.namespaces().list(&selector).await.unwrap();
        let own = list.items.into_iter().filter(|namespace| {
            let of = namespace
                .annotations()
                .get("slipway.dev/preview-environment");
            of == Some(&self.environment.to_string())
        });
        own.map(|namespace| namespace.name_any()).collect()
    }
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn a_pull_request_is_shown_followed_and_gone_with_everything_when_it_is_closed() {
    with_namespace(async |space| {
        let review = Review::new(space, &json!({})).await;
        let _operator = review.operator(&kubeconfig_path());
        review.passed(7, 'a').await;
        let item = review.until_ready(7, 'a').await;
        assert_eq!(item.url, "http://pr-7.preview.example.com");
        let name = review.namespace(7);
        assert_eq!(item.namespace, name);
        let maps: Api<ConfigMap> = Api::namespaced(space.client.clone(), &name);
        let settings = maps.get("settings").await.unwrap();
        assert_eq!(settings.data.unwrap()["host"], "pr-7.preview.example.com");
        let quotas: Api<ResourceQuota> = Api::namespaced(space.client.clone(), &name);
        assert!(quotas.get_opt("preview").await.unwrap().is_some());
        let rollouts = api_of(&space.client, &name, "Rollout");
        let image = |digit: char| {
            format!(
                "registry.example/api@sha256:{}",
                digit.to_string().repeat(64)
            )
        };
        let rollout = rollouts.get("api").await.unwrap();
        let container = &rollout.data["spec"]["template"]["spec"]["containers"][0];
        assert_eq!(container["image"], image('a'));
        let uid = review.namespaces().get(&name).await.unwrap().uid();

        review.passed(7, 'b').await;
        review.until_ready(7, 'b').await;
        let rollout = rollouts.get("api").await.unwrap();
        let stable = &rollout.data["status"]["stable"]["images"]["web"];
        assert_eq!(*stable, image('b'));
        let now = review.namespaces().get(&name).await.unwrap().uid();
        assert_eq!(now, uid, "updated in place");

        review.closed(&[7]).await;
        review.until_gone(7).await;
        wait_for("an empty status", SOON, async || {
            review.previews().await.is_empty().then_some(())
        })
        .await;
        assert_eq!(review.all().await, [""; 0]);
    })
    .await;
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn those_beyond_the_limit_wait_and_nothing_goes_with_the_runs() {
    with_namespace(async |space| {
        let review = Review::new(space, &json!({"limits": {"max": 1}})).await;
        let _operator = review.operator(&kubeconfig_path());
        review.passed(1, 'a').await;
        review.until_ready(1, 'a').await;
        review.passed(2, 'b').await;
        let is_queued = |item: &PreviewStatus| item.phase == PreviewPhase::Queued;
        let waiting = review.until("its place in the queue", 2, is_queued).await;
        assert!(waiting.message.unwrap().contains("limits.max"));
        // Nothing is on any list any more: what is there stays, and the other one does not come.
        let runs = space.api("PipelineRun");
        runs.delete_collection(&DeleteParams::default(), &ListParams::default())
            .await
            .unwrap();
        wait_for("a status without the one that waited", SOON, async || {
            let all = review.previews().await;
            (all.len() == 1).then_some(())
        })
        .await;
        review.until_ready(1, 'a').await;
        assert_eq!(review.all().await, [review.namespace(1)]);
        review.passed(2, 'b').await;
        review.closed(&[1]).await;
        review.until_gone(1).await;
        review.until_ready(2, 'b').await;
        review.closed(&[1, 2]).await;
        review.until_gone(2).await;
    })
    .await;
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn a_preview_whose_environment_is_gone_is_swept_and_another_namespace_of_its_name_is_not() {
    with_namespace(async |space| {
        let review = Review::new(space, &json!({})).await;
        let foreign = json!({"metadata": {"name": review.namespace(3)}});
        let foreign: Namespace = serde_json::from_value(foreign).unwrap();
        let made = review
            .namespaces()
            .create(&PostParams::default(), &foreign)
            .await;
        let uid = made.unwrap().uid();
        let operator = review.operator(&kubeconfig_path());
        review.passed(1, 'a').await;
        review.until_ready(1, 'a').await;
        review.passed(3, 'a').await;
        let has_failed = |item: &PreviewStatus| item.phase == PreviewPhase::Failed;
        let failed = review.until("a name that is taken", 3, has_failed).await;
        assert!(failed.message.unwrap().contains("somebody else"));
        let environments = space.api("Environment");
        environments
            .delete("review", &DeleteParams::default())
            .await
            .unwrap();
        // It sweeps when it starts, and each minute. Environments of other tests are in the cluster, or this one.
        let other = json!({
            "metadata": {"name": "other"},
            "spec": {"tier": "Development", "promotion": {"from": {"pipelines": ["api"]}}},
        });
        review.create("Environment", other).await;
        drop(operator);
        let _operator = review.operator(&kubeconfig_path());
        review.until_gone(1).await;
        let there = review.namespaces().get(&review.namespace(3)).await.unwrap();
        assert_eq!(there.uid(), uid);
        let params = DeleteParams::default();
        review
            .namespaces()
            .delete(&review.namespace(3), &params)
            .await
            .unwrap();
    })
    .await;
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn an_operator_killed_after_any_write_makes_the_same_preview() {
    with_namespace(async |space| {
        let review = Review::new(space, &json!({})).await;
        let (proxy, kubeconfig) = proxied(space).await;
        let mut operator = review.operator(&kubeconfig);
        let before = proxy.writes().len();
        review.passed(1, 'a').await;
        review.until_ready(1, 'a').await;
        let writes = proxy.writes().len() - before;
        let numbers = 2..=MOST;
        for (number, after) in numbers.zip((1..=writes).step_by(stride(4))) {
            let kill = Fault::new(Match::writes(), What::KillPid(operator.pid()));
            let injected = proxy.inject(kill.nth(after as u64));
            review.passed(number, 'b').await;
            tokio::select! {
                _ = operator.ended() => {}
                _ = review.until_ready(number, 'b') => {}
            }
            injected.remove();
            if injected.hits() > 0 {
                operator = review.operator(&kubeconfig);
            }
            let item = review.until_ready(number, 'b').await;
            assert_eq!(
                item.namespace,
                review.namespace(number),
                "killed after write {after}"
            );
            let closed: Vec<u64> = (2..=number).collect();
            review.closed(&closed).await;
            review.until_gone(number).await;
        }
        assert_eq!(review.all().await, [review.namespace(1)]);
        review.closed(&(1..=MOST).collect::<Vec<_>>()).await;
        review.until_gone(1).await;
        let _ = std::fs::remove_file(&kubeconfig);
    })
    .await;
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn a_pull_request_is_shown_while_it_has_the_label() {
    with_namespace(async |space| {
        let review = Review::new(space, &json!({"match": {"labels": ["preview"]}})).await;
        let _operator = review.operator(&kubeconfig_path());
        review.passed(7, 'a').await;
        let is = |phase: PreviewPhase| move |item: &PreviewStatus| item.phase == phase;
        let untold = review
            .until("nobody has told", 7, is(PreviewPhase::Queued))
            .await;
        assert!(untold.message.unwrap().contains("has the label preview"));
        review.labelled(7, false).await;
        review.until("no label", 7, is(PreviewPhase::Skipped)).await;
        assert_eq!(review.all().await, [""; 0]);
        review.labelled(7, true).await;
        review.until_ready(7, 'a').await;
        review.labelled(7, false).await;
        review.until_gone(7).await;
        review
            .until("no label any more", 7, is(PreviewPhase::Skipped))
            .await;
    })
    .await;
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn a_commit_from_elsewhere_is_shown_restricted_once_it_is_approved() {
    with_namespace(async |space| {
        let review = Review::new(space, &json!({"match": {"forks": "RequireApproval"}})).await;
        let _operator = review.operator(&kubeconfig_path());
        let fork = json!({"pullRequest": {"fork": true}});
        review.passed_as(7, 'a', &fork).await;
        let is_refused = |item: &PreviewStatus| item.phase == PreviewPhase::Refused;
        let refused = review.until("nobody approved it", 7, is_refused).await;
        assert!(
            refused
                .message
                .unwrap()
                .contains("nobody approved this one")
        );
        let approved = json!({"pullRequest": {"fork": true}, "needsApproval": true});
        review.passed_as(7, 'b', &approved).await;
        let item = review.until_ready(7, 'b').await;
        let namespace = review.namespaces().get(&item.namespace).await.unwrap();
        let level = namespace.labels().get("pod-security.kubernetes.io/enforce");
        assert_eq!(level.map(String::as_str), Some("restricted"));
        let rollouts = api_of(&space.client, &item.namespace, "Rollout");
        let rollout = rollouts.get("api").await.unwrap();
        let pod = &rollout.data["spec"]["template"]["spec"];
        assert_eq!(pod["automountServiceAccountToken"], false);
        review.closed(&[7]).await;
        review.until_gone(7).await;
    })
    .await;
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn a_database_is_filled_once_before_anything_of_the_run_is_there() {
    with_namespace(async |space| {
        space.make_secret("db", json!({"password": "secret"})).await;
        let image = format!("registry.example/{}/seed:1", space.name);
        nodes()
            .set_rule(&image, "exit=3,message=the disk is full")
            .unwrap();
        let seed = json!({
            "image": image, "command": ["seed"],
            "env": [
                {"name": "PGHOST", "value": "db.{{namespace}}"},
                {"name": "PGPASSWORD", "secretRef": {"name": "db", "key": "password"}},
            ],
        });
        let review = Review::new(space, &json!({"seed": seed})).await;
        let _operator = review.operator(&kubeconfig_path());
        review.passed(7, 'a').await;
        let has_failed = |item: &PreviewStatus| item.phase == PreviewPhase::Failed;
        let failed = review.until("a seed that fails", 7, has_failed).await;
        assert!(
            failed
                .message
                .unwrap()
                .contains("its database was not filled")
        );
        let name = review.namespace(7);
        let maps: Api<ConfigMap> = Api::namespaced(space.client.clone(), &name);
        assert!(maps.get_opt("settings").await.unwrap().is_some());
        let rollouts = api_of(&space.client, &name, "Rollout");
        assert!(rollouts.get_opt("api").await.unwrap().is_none());

        // Somebody mends it, and lets it run again.
        nodes().set_rule(&image, "exit=0").unwrap();
        let jobs: Api<Job> = Api::namespaced(space.client.clone(), &space.name);
        let seeds = async || {
            let list = jobs.list(&ListParams::default()).await.unwrap();
            let seeds = list.items.into_iter();
            let seeds = seeds.filter(|job| job.name_any().contains("-seed-"));
            seeds.collect::<Vec<Job>>()
        };
        let all = seeds().await;
        assert_eq!(all.len(), 1);
        let container = &all[0]
            .spec
            .as_ref()
            .unwrap()
            .template
            .spec
            .as_ref()
            .unwrap()
            .containers[0];
        let env = container.env.as_ref().unwrap();
        let host = env
            .iter()
            .find(|variable| variable.name == "PGHOST")
            .unwrap();
        assert_eq!(host.value.as_deref(), Some(format!("db.{name}").as_str()));
        let job = all[0].name_any();
        jobs.delete(&job, &DeleteParams::background())
            .await
            .unwrap();
        review.until_ready(7, 'a').await;
        let uid = jobs.get(&job).await.unwrap().uid();
        assert_ne!(uid, all[0].uid());
        // The next commit finds it filled.
        review.passed(7, 'b').await;
        review.until_ready(7, 'b').await;
        let all = seeds().await;
        assert_eq!((all.len(), all[0].uid()), (1, uid));
        review.closed(&[7]).await;
        review.until_gone(7).await;
    })
    .await;
}

async fn answer(State(idle): State<Arc<String>>, question: String) -> Json<Value> {
    let is_its = question.contains(idle.as_str());
    let value = json!({"metric": {}, "value": [0, "0"]});
    let values: Vec<Value> = is_its.then_some(value).into_iter().collect();
    Json(json!({"status": "success", "data": {"resultType": "vector", "result": values}}))
}

/// A Prometheus that has counted nothing in one namespace, and knows nothing of any other.
async fn prometheus(idle: String) -> (String, AbortHandle) {
    let service = Router::new().route("/api/v1/query", post(answer));
    serve(service.with_state(Arc::new(idle))).await
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn one_that_nobody_asks_for_goes_and_comes_back_with_a_commit_and_silence_ends_none() {
    with_namespace(async |space| {
        let review = Review::new(space, &json!({})).await;
        let (url, task) = prometheus(review.namespace(7)).await;
        let idle = json!({"after": "2s", "query": "sum(requests{namespace=\"{{namespace}}\"})"});
        let metrics = json!({"prometheus": {"address": url}});
        let spec = json!({"spec": {"metrics": metrics, "previews": {"idle": idle}}});
        let environments = space.api("Environment");
        let change = Patch::Merge(&spec);
        environments
            .patch("review", &PatchParams::default(), &change)
            .await
            .unwrap();
        let _operator = review.operator(&kubeconfig_path());
        review.passed(7, 'a').await;
        review.passed(8, 'a').await;
        let is_idle = |item: &PreviewStatus| item.phase == PreviewPhase::Idle;
        let item = review.until("nobody asks for it", 7, is_idle).await;
        assert!(item.message.is_some());
        review.until_gone(7).await;
        review.until("it stays away", 7, is_idle).await;
        review.until_ready(8, 'a').await;
        assert_eq!(review.all().await, [review.namespace(8)]);
        // The answer of then says nothing of the next commit.
        review.passed(7, 'b').await;
        review.until_ready(7, 'b').await;
        review.closed(&[7, 8]).await;
        review.until_gone(7).await;
        review.until_gone(8).await;
        task.abort();
    })
    .await;
}
