//! A Rollout on scripted nodes: real API server, real controllers, pods that do as they are told.

use std::time::{Duration, Instant};

use jiff::SignedDuration;
use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Service;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Client, ResourceExt};
use serde_json::{Value, json};
use slipway::rollout::api::{Phase, Rollout, RolloutStatus};
use testbed::scripted::{ScriptedGateway, routes};

use crate::cluster::{SOON, Space, kubeconfig_path, wait_for, watch_for, with_namespace};
use crate::operator::{Operator, nodes};

/// A Rollout of `image`, with a router when `routed`, and quick steps.
pub(crate) fn manifest(image: &str, extra: &Value) -> Rollout {
    let mut whole = json!({
        "apiVersion": "slipway.dev/v1alpha1",
        "kind": "Rollout",
        "metadata": {"name": "api"},
        "spec": {
            "replicas": 4,
            "selector": {"matchLabels": {"app": "api"}},
            "template": {
                "metadata": {"labels": {"app": "api"}},
                "spec": {"containers": [{"name": "web", "image": image}]},
            },
            "strategy": {"steps": [
                {"setWeight": {"weight": 25}}, {"pause": {"for": "500ms"}},
                {"setWeight": {"weight": 50}}, {"pause": {"for": "500ms"}},
            ]},
        },
    });
    json_patch::merge(&mut whole, extra);
    serde_json::from_value(whole).unwrap()
}

pub(crate) fn routed() -> Value {
    json!({"spec": {"traffic": {
        "drain": "1s", "gatewayAPI": {"generate": {"parentRefs": [{"name": "web"}]}},
    }}})
}

/// A Rollout in a test's namespace.
pub(crate) struct Subject {
    pub(crate) client: Client,
    pub(crate) namespace: String,
    pub(crate) api: Api<Rollout>,
}

impl Subject {
    pub(crate) async fn create(space: &Space, rollout: &Rollout) -> Self {
        let subject = Self::of(space);
        let params = PostParams::default();
        subject.api.create(&params, rollout).await.unwrap();
        subject
    }

    /// One that others make.
    pub(crate) fn of(space: &Space) -> Self {
        Self {
            client: space.client.clone(),
            namespace: space.name.clone(),
            api: Api::namespaced(space.client.clone(), &space.name),
        }
    }

    pub(crate) async fn set_image(&self, image: &str) {
        let containers = json!([{"name": "web", "image": image}]);
        self.patch(json!({"spec": {"template": {"spec": {"containers": containers}}}}))
            .await;
    }

    pub(crate) async fn patch(&self, change: Value) {
        self.api
            .patch("api", &PatchParams::default(), &Patch::Merge(change))
            .await
            .unwrap();
    }

    pub(crate) async fn status(&self) -> RolloutStatus {
        self.api
            .get("api")
            .await
            .unwrap()
            .status
            .unwrap_or_default()
    }

    /// Waits until the status of the present generation fulfils `check`.
    pub(crate) async fn until(
        &self,
        what: &str,
        check: impl Fn(&RolloutStatus) -> bool,
    ) -> RolloutStatus {
        watch_for(&self.api, "api", what, |rollout| {
            let status = rollout.status?;
            let is_current = Some(status.observed_generation) == rollout.metadata.generation;
            (is_current && check(&status)).then_some(status)
        })
        .await
    }

    pub(crate) async fn until_phase(&self, phase: Phase) -> RolloutStatus {
        let what = format!("phase {phase}");
        self.until(&what, |status| status.phase == Some(phase))
            .await
    }

    /// Waits until a revision other than `before` is the stable one and nothing moves.
    pub(crate) async fn until_promoted(&self, before: &str) -> RolloutStatus {
        self.until("promoted", |status| {
            status.phase == Some(Phase::Healthy) && stable(status) != before
        })
        .await
    }

    pub(crate) async fn sets(&self) -> Vec<ReplicaSet> {
        let api: Api<ReplicaSet> = Api::namespaced(self.client.clone(), &self.namespace);
        api.list(&ListParams::default()).await.unwrap().items
    }

    /// Waits until only one ReplicaSet has pods.
    pub(crate) async fn until_alone(&self, revision: &str) {
        wait_for("only one revision has pods", SOON, async || {
            let sets = self.sets().await;
            let others = sets.iter().filter(|set| {
                !set.name_any().ends_with(revision)
                    && set
                        .status
                        .as_ref()
                        .is_some_and(|status| status.replicas > 0)
            });
            (others.count() == 0).then_some(())
        })
        .await;
    }
}

pub(crate) fn stable(status: &RolloutStatus) -> String {
    status
        .stable
        .as_ref()
        .map(|stable| stable.revision.clone())
        .unwrap_or_default()
}

fn merged(a: &Value, b: &Value) -> Value {
    let mut whole = a.clone();
    json_patch::merge(&mut whole, b);
    whole
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn a_new_revision_takes_over_step_by_step_through_a_route() {
    with_namespace(async |space| {
        let _operator = Operator::start(&space.name);
        let _gateway =
            ScriptedGateway::start(&space.client, &space.name, Duration::from_millis(50));
        let api = Subject::create(space, &manifest("greeter:1", &routed())).await;
        let first = api.until_phase(Phase::Healthy).await;
        assert_eq!(first.ready_replicas.as_deref(), Some("4/4"));

        api.set_image("greeter:2").await;
        api.until("25 %", |s| {
            s.weights.as_ref().is_some_and(|w| w.canary == 25)
        })
        .await;
        api.until("50 %", |s| {
            s.weights.as_ref().is_some_and(|w| w.canary == 50)
        })
        .await;
        let second = api.until_promoted(&stable(&first)).await;
        api.until_alone(&stable(&second)).await;

        let route = routes(&space.client, &space.name).get("api").await.unwrap();
        let backends = route.data.pointer("/spec/rules/0/backendRefs").unwrap();
        assert_eq!(
            (&backends[0]["weight"], &backends[1]["weight"]),
            (&json!(100), &json!(0))
        );
        let services: Api<Service> = Api::namespaced(space.client.clone(), &space.name);
        for name in ["api-stable", "api-canary"] {
            let selector = services
                .get(name)
                .await
                .unwrap()
                .spec
                .unwrap()
                .selector
                .unwrap();
            assert_eq!(selector["slipway.dev/revision"], stable(&second));
        }
        assert_eq!(second.history[0].peak_weight, 100);
    })
    .await;
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn a_new_revision_takes_over_by_numbers_of_pods() {
    with_namespace(async |space| {
        let _operator = Operator::start(&space.name);
        let api = Subject::create(space, &manifest("greeter:1", &json!({}))).await;
        let first = api.until_phase(Phase::Healthy).await;
        api.set_image("greeter:2").await;
        let second = api.until_promoted(&stable(&first)).await;
        api.until_alone(&stable(&second)).await;
        assert_eq!(second.ready_replicas.as_deref(), Some("4/4"));
    })
    .await;
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn a_canary_that_cannot_run_is_given_up_within_seconds_and_says_why() {
    for (script, reason) in [
        ("crash-loop", "CrashLoop"),
        ("image-missing", "ImagePull"),
        ("oom", "OutOfMemory"),
    ] {
        let took = given_up(script, reason).await;
        assert!(took.as_secs() <= 15, "{script}: it took {took}");
    }
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn a_canary_whose_container_cannot_be_made_is_given_up_once_that_did_not_pass() {
    let took = given_up("config-error", "ContainerConfig").await;
    assert!((20..=40).contains(&took.as_secs()), "it took {took}");
}

/// A version whose pods play this script is given up, and a fix goes through; how long it was on its way.
async fn given_up(script: &str, reason: &str) -> SignedDuration {
    let mut took = None;
    with_namespace(async |space| {
        let _operator = Operator::start(&space.name);
        let _gateway = ScriptedGateway::start(&space.client, &space.name, Duration::ZERO);
        let api = Subject::create(space, &manifest("greeter:1", &routed())).await;
        let first = api.until_phase(Phase::Healthy).await;
        let template = json!({
            "metadata": {"annotations": {"testbed.slipway.dev/script": script}},
            "spec": {"containers": [{"name": "web", "image": "greeter:2"}]},
        });
        api.patch(json!({"spec": {"template": template}})).await;
        let back = api.until_phase(Phase::RolledBack).await;
        assert_eq!(stable(&back), stable(&first), "{script}");
        let said = back.message.as_ref().unwrap();
        assert!(said.contains(reason), "{script}: {said}");
        let mut conditions = back.conditions.iter();
        let stalled = conditions.find(|c| c.type_ == "Stalled").unwrap();
        assert_eq!(stalled.status, "True", "{script}");
        let ending = &back.history[0];
        took = Some(ending.finished_at.duration_since(ending.started_at));
        api.until_alone(&stable(&first)).await;
        // A fix goes through.
        let fixed = json!({
            "metadata": {"annotations": {"testbed.slipway.dev/script": null}},
            "spec": {"containers": [{"name": "web", "image": "greeter:3"}]},
        });
        api.patch(json!({"spec": {"template": fixed}})).await;
        api.until_promoted(&stable(&first)).await;
    })
    .await;
    took.unwrap()
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn a_failure_that_is_left_to_people_holds_the_canary_until_they_decide() {
    with_namespace(async |space| {
        let _operator = Operator::start(&space.name);
        let _gateway = ScriptedGateway::start(&space.client, &space.name, Duration::ZERO);
        let left = json!({"spec": {"rollback": {"on": ["AnalysisFailed"]}}});
        let api = Subject::create(space, &manifest("greeter:1", &merged(&routed(), &left))).await;
        let first = api.until_phase(Phase::Healthy).await;
        let template = json!({
            "metadata": {"annotations": {"testbed.slipway.dev/script": "crash-loop"}},
            "spec": {"containers": [{"name": "web", "image": "greeter:2"}]},
        });
        api.patch(json!({"spec": {"template": template}})).await;
        let held = api.until_phase(Phase::Paused).await;
        let reason = |type_: &str| {
            let mut conditions = held.conditions.iter();
            conditions
                .find(|c| c.type_ == type_)
                .map(|c| (c.status.as_str(), c.reason.as_str()))
        };
        assert_eq!(reason("Stalled"), Some(("True", "FailureHeld")));
        assert_eq!(reason("Ready"), Some(("False", "FailureHeld")));
        assert!(
            held.message.as_ref().unwrap().contains("CrashLoop"),
            "{:?}",
            held.message
        );
        let canary = held.canary.unwrap();
        assert!(canary.replicas > 0, "its pods stay, to be looked at");
        space.decide(("Rollout", "api"), "Abort").await;
        let back = api.until_phase(Phase::RolledBack).await;
        assert_eq!(stable(&back), stable(&first));
        api.until_alone(&stable(&first)).await;
    })
    .await;
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn a_canary_whose_status_was_wiped_goes_on() {
    with_namespace(async |space| {
        let _operator = Operator::start(&space.name);
        let _gateway = ScriptedGateway::start(&space.client, &space.name, Duration::ZERO);
        let slow = json!({"spec": {"strategy": {"steps": [
            {"setWeight": {"weight": 50}}, {"pause": {"for": "3s"}}]}}});
        let api = Subject::create(space, &manifest("greeter:1", &merged(&routed(), &slow))).await;
        let first = api.until_phase(Phase::Healthy).await;
        api.set_image("greeter:2").await;
        api.until_phase(Phase::Paused).await;
        let wiped = json!({"status": null});
        api.api
            .patch_status("api", &PatchParams::default(), &Patch::Merge(wiped))
            .await
            .unwrap();
        let again = api.until("weights again", |s| s.weights.is_some()).await;
        assert_eq!(again.weights.unwrap().canary, 50);
        assert_eq!(again.stable.unwrap().revision, stable(&first));
        let done = api.until_promoted(&stable(&first)).await;
        assert!(
            done.history
                .iter()
                .all(|ending| ending.result.as_str() == "Promoted")
        );
    })
    .await;
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn orphaned_pods_go_on_serving_and_are_taken_over_again() {
    with_namespace(async |space| {
        let _operator = Operator::start(&space.name);
        let _gateway = ScriptedGateway::start(&space.client, &space.name, Duration::ZERO);
        let orphan = merged(&routed(), &json!({"spec": {"deletionPolicy": "Orphan"}}));
        let api = Subject::create(space, &manifest("greeter:1", &orphan)).await;
        let first = api.until_phase(Phase::Healthy).await;
        let uid = api.sets().await[0].uid();
        api.api
            .delete("api", &DeleteParams::default())
            .await
            .unwrap();
        wait_for("gone", SOON, async || {
            api.api
                .get_opt("api")
                .await
                .unwrap()
                .is_none()
                .then_some(())
        })
        .await;
        let left = api.sets().await;
        assert_eq!((left.len(), left[0].owner_references().len()), (1, 0));
        assert_eq!(left[0].status.as_ref().unwrap().ready_replicas, Some(4));

        let again = Subject::create(space, &manifest("greeter:1", &orphan)).await;
        let second = again.until_phase(Phase::Healthy).await;
        assert_eq!(stable(&second), stable(&first));
        assert_eq!(again.sets().await[0].uid(), uid, "the same pods");
    })
    .await;
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn a_service_of_somebody_else_is_left_alone_and_named() {
    with_namespace(async |space| {
        let services: Api<Service> = Api::namespaced(space.client.clone(), &space.name);
        let theirs = json!({
            "metadata": {"name": "api-stable"},
            "spec": {"selector": {"app": "theirs"}, "ports": [{"port": 80}]},
        });
        let theirs: Service = serde_json::from_value(theirs).unwrap();
        services
            .create(&PostParams::default(), &theirs)
            .await
            .unwrap();
        let _operator = Operator::start(&space.name);
        let api = Subject::create(space, &manifest("greeter:1", &routed())).await;
        let status = api
            .until("told", |s| {
                s.message
                    .as_ref()
                    .is_some_and(|m| m.contains("api-stable exists"))
            })
            .await;
        assert!(status.conditions.iter().any(|c| c.type_ == "ActionFailed"));
        let kept = services
            .get("api-stable")
            .await
            .unwrap()
            .spec
            .unwrap()
            .selector
            .unwrap();
        assert_eq!(kept["app"], "theirs");
    })
    .await;
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn a_spec_that_cannot_be_is_stalled_and_says_where() {
    with_namespace(async |space| {
        let _operator = Operator::start(&space.name);
        let bad = json!({"spec": {"template": {"metadata": {"labels": {"app": "other"}}}}});
        let api = Subject::create(space, &manifest("greeter:1", &bad)).await;
        let status = api.until("stalled", |s| {
            s.conditions
                .iter()
                .any(|c| c.type_ == "Stalled" && c.reason == "InvalidSpec")
        });
        let message = status.await.message.unwrap();
        assert!(
            message.contains("spec.template.metadata.labels: must have app: api"),
            "{message}"
        );
    })
    .await;
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn what_is_at_rest_is_not_written() {
    with_namespace(async |space| {
        let _operator = Operator::start(&space.name);
        let _gateway = ScriptedGateway::start(&space.client, &space.name, Duration::ZERO);
        let api = Subject::create(space, &manifest("greeter:1", &routed())).await;
        let first = api.until_phase(Phase::Healthy).await;
        // An event that changes nothing: somebody labels a pod's ReplicaSet.
        let sets: Api<ReplicaSet> = Api::namespaced(space.client.clone(), &space.name);
        let before = api.api.get("api").await.unwrap().resource_version();
        let name = api.sets().await[0].name_any();
        let touched = json!({"metadata": {"annotations": {"touched": "yes"}}});
        sets.patch(&name, &PatchParams::default(), &Patch::Merge(touched))
            .await
            .unwrap();
        api.patch(json!({"metadata": {"labels": {"looked": "at"}}}))
            .await;
        api.patch(json!({"spec": {"minReadySeconds": 1}})).await;
        let later = api
            .until("next generation", |s| s.observed_generation == 2)
            .await;
        assert_eq!(stable(&later), stable(&first));
        let after = api.api.get("api").await.unwrap();
        let managers: Vec<_> = after
            .metadata
            .managed_fields
            .into_iter()
            .flatten()
            .collect();
        let ours = managers
            .iter()
            .filter(|m| m.manager.as_deref() == Some("slipway-status"));
        assert_eq!(ours.count(), 1);
        assert_ne!(before, after.metadata.resource_version);
    })
    .await;
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn a_hook_that_cannot_run_is_given_up_within_seconds_and_stopped() {
    with_namespace(async |space| {
        let missing = format!("smoke:{}", space.name);
        nodes().set_rule(&missing, "image-missing").unwrap();
        let _operator = Operator::start(&space.name);
        let _gateway = ScriptedGateway::start(&space.client, &space.name, Duration::ZERO);
        let with_hook = |image: &str| {
            let run = json!({"name": "smoke", "job": {"image": image}, "timeout": "1h"});
            json!({"spec": {"strategy": {"steps": [{"setWeight": {"weight": 25}}, {"run": run}]}}})
        };
        let whole = merged(&routed(), &with_hook(&missing));
        let api = Subject::create(space, &manifest("greeter:1", &whole)).await;
        let first = api.until_phase(Phase::Healthy).await;
        let start = Instant::now();
        api.set_image("greeter:2").await;
        let back = api.until_phase(Phase::RolledBack).await;
        let took = start.elapsed();
        println!("a hook whose image is missing is recognised within {took:?}");
        assert!(took < Duration::from_secs(15), "{took:?}");
        assert_eq!(stable(&back), stable(&first));
        let why = back.history[0].reason.clone();
        assert!(
            why.starts_with("HookFailed: hook smoke: ImagePull: container check"),
            "{why}"
        );
        let jobs: Api<Job> = Api::namespaced(space.client.clone(), &space.name);
        wait_for("its Job is gone", SOON, async || {
            let left = jobs.list(&ListParams::default()).await.ok()?;
            left.items.is_empty().then_some(())
        })
        .await;
        // With an image that is there, the next change goes through.
        let mut fixed = with_hook("smoke:1");
        fixed["spec"]["template"] =
            json!({"spec": {"containers": [{"name": "web", "image": "greeter:3"}]}});
        api.patch(fixed).await;
        api.until_promoted(&stable(&first)).await;
        nodes().remove_rule(&missing);
    })
    .await;
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn pods_without_users_are_checked_and_steps_that_are_edited_meanwhile_are_taken_up() {
    with_namespace(async |space| {
        let _operator = Operator::start(&space.name);
        let _gateway = ScriptedGateway::start(&space.client, &space.name, Duration::ZERO);
        let with_steps = |rest: &[Value]| {
            let run = json!({"run": {"name": "smoke", "job": {"image": "smoke:1"}}});
            let first = json!({"scale": {"canary": 3}});
            let begun = [first, run, json!({"setWeight": {"weight": 25}})];
            let steps = [&begun[..], rest].concat();
            json!({"spec": {"strategy": {"steps": steps}}})
        };
        let pause = json!({"pause": {}});
        let whole = merged(&routed(), &with_steps(std::slice::from_ref(&pause)));
        let api = Subject::create(space, &manifest("greeter:1", &whole)).await;
        let first = api.until_phase(Phase::Healthy).await;
        api.set_image("greeter:2").await;
        let looked_at = api.until_phase(Phase::Paused).await;
        assert_eq!(
            looked_at.canary.unwrap().replicas,
            3,
            "more than a quarter needs"
        );
        let jobs: Api<Job> = Api::namespaced(space.client.clone(), &space.name);
        let jobs = async || jobs.list(&ListParams::default()).await.unwrap().items;
        let [job]: [Job; 1] = jobs().await.try_into().unwrap();
        assert_eq!(job.status.unwrap().succeeded, Some(1));
        let pod = job.spec.unwrap().template.spec.unwrap();
        let told = pod.containers[0].env.iter().flatten();
        let told = |name: &str| told.clone().find(|it| it.name == name)?.value.clone();
        assert_eq!(
            told("SLIPWAY_CANARY_SERVICE").as_deref(),
            Some("api-canary")
        );
        assert_eq!(
            told("SLIPWAY_WEIGHT").as_deref(),
            Some("0"),
            "before any user"
        );

        // What was done is as it was, so it goes on with what is new.
        let half = json!({"setWeight": {"weight": 50}});
        api.patch(with_steps(&[half, pause])).await;
        let later = api.until("half", |status| {
            let is_half = status.weights.as_ref().is_some_and(|it| it.canary == 50);
            is_half && status.phase == Some(Phase::Paused)
        });
        assert_eq!(later.await.step.unwrap().position, "5/5");
        assert_eq!(jobs().await.len(), 1, "the check is not run again");
        space.decide(("Rollout", "api"), "Resume").await;
        api.until_promoted(&stable(&first)).await;
    })
    .await;
}

async fn kubectl_wait(space: &Space, condition: &str, timeout: &str) -> Result<String, String> {
    kubectl_waits(space, "rollouts.slipway.dev/api", condition, timeout).await
}

/// What `kubectl wait` says of an object within a time, as the words of its success or of its failure.
pub(crate) async fn kubectl_waits(
    space: &Space,
    object: &str,
    condition: &str,
    timeout: &str,
) -> Result<String, String> {
    let kubectl = testbed::programs::path_of("kubectl").unwrap();
    let output = tokio::process::Command::new(kubectl)
        .args(["wait", object, "--namespace", &space.name])
        .args([format!("--for={condition}"), format!("--timeout={timeout}")])
        .env("KUBECONFIG", kubeconfig_path())
        .output()
        .await
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() {
        Ok(text(&output.stdout))
    } else {
        Err(text(&output.stderr))
    }
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn kubectl_waits_for_the_generation_of_now() {
    with_namespace(async |space| {
        let _operator = Operator::start(&space.name);
        let _gateway = ScriptedGateway::start(&space.client, &space.name, Duration::ZERO);
        let mut extra = routed();
        extra["spec"]["strategy"] =
            json!({"steps": [{"setWeight": {"weight": 25}}, {"pause": {}}]});
        let api = Subject::create(space, &manifest("greeter:1", &extra)).await;
        let done = "condition=Completed";
        kubectl_wait(space, done, "40s").await.unwrap();
        let first = api.status().await;
        assert_eq!(first.phase, Some(Phase::Healthy));

        // Asked for right after an edit, none of them is answered by what was there before.
        api.set_image("greeter:2").await;
        kubectl_wait(space, "condition=Ready", "40s").await.unwrap();
        assert_eq!(api.status().await.phase, Some(Phase::Paused));
        kubectl_wait(space, "condition=Paused", "40s")
            .await
            .unwrap();
        kubectl_wait(space, "condition=Healthy", "40s")
            .await
            .unwrap();
        let not_yet = kubectl_wait(space, done, "1s").await.unwrap_err();
        assert!(not_yet.contains("timed out"), "{not_yet}");

        let template = json!({
            "metadata": {"annotations": {"testbed.slipway.dev/script": "crash-loop"}},
            "spec": {"containers": [{"name": "web", "image": "greeter:3"}]},
        });
        api.patch(json!({"spec": {"template": template}})).await;
        kubectl_wait(space, "condition=Stalled", "40s")
            .await
            .unwrap();
        assert_eq!(api.status().await.phase, Some(Phase::RolledBack));

        let fixed = json!({"spec": {
            "strategy": {"steps": null},
            "template": {
                "metadata": {"annotations": {"testbed.slipway.dev/script": null}},
                "spec": {"containers": [{"name": "web", "image": "greeter:4"}]},
            },
        }});
        api.patch(fixed).await;
        kubectl_wait(space, done, "40s").await.unwrap();
        let last = api.status().await;
        assert_ne!(stable(&last), stable(&first));
        assert_eq!(last.stable.unwrap().images["web"], "greeter:4");
        api.api
            .delete("api", &DeleteParams::default())
            .await
            .unwrap();
        kubectl_wait(space, "delete", "40s").await.unwrap();
    })
    .await;
}
