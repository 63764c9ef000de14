//! A Rollout whose operator is killed, or whose API server fails, at every write. It ends as if nothing had been.

use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::{Pod, Service};
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, ListParams};
use serde_json::json;
use slipway::rollout::api::Phase;
use testbed::proxy::{Fault, Match, Proxy, What};
use testbed::scripted::ScriptedGateway;

use crate::cluster::{Space, config, wait_for, with_namespace};
use crate::operator::Operator;
use crate::rollout::{SOON, Subject, manifest, routed, stable};

/// Writes of an undisturbed run from the first object to the last: a few more than there are.
const WRITES: u64 = 40;

/// How many writes lie between faults. `make test` stays quick with `quick`; `make e2e-full` takes every write.
pub(crate) fn stride(quick: usize) -> usize {
    let is_full = std::env::var_os("SLIPWAY_TEST_FULL").is_some();
    if is_full { 1 } else { quick }
}

/// A proxy in front of the API server, and a kubeconfig that leads through it.
pub(crate) async fn proxied(space: &Space) -> (Proxy, std::path::PathBuf) {
    let proxy = Proxy::start(config().await).await.unwrap();
    let path = std::env::temp_dir().join(format!("proxy-{}.yaml", space.name));
    proxy.write_kubeconfig(&path).unwrap();
    (proxy, path)
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn an_operator_killed_after_any_write_finishes_what_it_began() {
    let kills: Vec<_> = (1..=WRITES).step_by(stride(3)).collect();
    let (early, late) = kills.split_at(kills.len() / 2);
    tokio::join!(killed_after(early), killed_after(late));
}

/// Changes a Rollout once for each of these writes, and kills the operator after it.
async fn killed_after(writes: &[u64]) {
    with_namespace(async |space| {
        let _gateway = ScriptedGateway::start(&space.client, &space.name, Duration::ZERO);
        let (proxy, kubeconfig) = proxied(space).await;
        let api = Subject::create(space, &manifest("greeter:1", &routed())).await;
        let args = ["--no-leader-election"];
        let first = Operator::start_with(&space.name, &kubeconfig, &args);
        api.until_phase(Phase::Healthy).await;
        first.kill().await;
        let mut version = 1;
        for &kill_after in writes {
            let mut operator = Operator::start_with(&space.name, &kubeconfig, &args);
            let fault = Fault::new(Match::writes(), What::KillPid(operator.pid())).nth(kill_after);
            let injected = proxy.inject(fault);
            let before = api.status().await;
            version += 1;
            api.set_image(&format!("greeter:{version}")).await;
            let stable_before = stable(&before);
            let healthy = api.until_promoted(&stable_before);
            tokio::select! {
                _ = operator.ended() => {}
                _ = healthy => {}
            }
            injected.remove();
            let operator = if injected.hits() > 0 {
                Operator::start_with(&space.name, &kubeconfig, &args)
            } else {
                operator
            };
            let after = api.until("promoted after a kill", |status| {
                status.phase == Some(Phase::Healthy) && stable(status) != stable_before
            });
            let after = after.await;
            api.until_alone(&stable(&after)).await;
            let result = after.history[0].result.as_str();
            assert_eq!(result, "Promoted", "killed after write {kill_after}");
            operator.kill().await;
        }
    })
    .await;
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn services_that_somebody_deletes_are_made_again_and_cost_no_pods() {
    with_namespace(async |space| {
        let _gateway = ScriptedGateway::start(&space.client, &space.name, Duration::ZERO);
        let _operator = Operator::start(&space.name);
        let mut extra = routed();
        extra["spec"]["strategy"] = json!({"steps": [
            {"setWeight": {"weight": 50}}, {"pause": {}}, {"setWeight": {"weight": 75}}]});
        let api = Subject::create(space, &manifest("greeter:1", &extra)).await;
        let first = api.until_phase(Phase::Healthy).await;
        api.set_image("greeter:2").await;
        let paused = api.until_phase(Phase::Paused).await;
        let pods = pods(space).await;
        let services: Api<Service> = Api::namespaced(space.client.clone(), &space.name);
        for (name, status) in [
            ("api-canary", &paused.canary),
            ("api-stable", &paused.stable),
        ] {
            let gone = services.get(name).await.unwrap().uid();
            let params = DeleteParams::default();
            services.delete(name, &params).await.unwrap();
            let again = wait_for(&format!("{name} again"), SOON, async || {
                let service = services.get_opt(name).await.ok()??;
                (service.uid() != gone).then_some(service)
            })
            .await;
            let selector = again.spec.unwrap().selector.unwrap();
            let revision = &status.as_ref().unwrap().revision;
            assert_eq!(&selector["slipway.dev/revision"], revision, "{name}");
        }
        api.until("half and half, as before", |status| {
            let weights = status.weights.as_ref();
            weights.is_some_and(|weights| weights.canary == 50 && weights.observed)
        })
        .await;
        api.patch(json!({"spec": {"strategy": {"steps": [
            {"setWeight": {"weight": 50}}, {"setWeight": {"weight": 75}}]}}}))
            .await;
        let done = api.until_promoted(&stable(&first)).await;
        assert_eq!(done.history.len(), 1, "{:?}", done.history);
        assert_eq!(done.history[0].result.as_str(), "Promoted");
        let left = self::pods(space).await;
        let stays = pods.iter().filter(|pod| left.contains(pod)).count();
        assert!(
            stays >= 2,
            "{stays} of the canary's two pods are still there"
        );
    })
    .await;
}

/// Names of the pods.
async fn pods(space: &Space) -> Vec<String> {
    let pods: Api<Pod> = Api::namespaced(space.client.clone(), &space.name);
    let pods = pods.list(&ListParams::default()).await.unwrap();
    pods.iter().map(ResourceExt::name_any).collect()
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn an_api_server_that_refuses_hangs_and_cuts_only_delays() {
    with_namespace(async |space| {
        let _gateway = ScriptedGateway::start(&space.client, &space.name, Duration::ZERO);
        let (proxy, kubeconfig) = proxied(space).await;
        let _operator = Operator::start_with(&space.name, &kubeconfig, &["--no-leader-election"]);
        let api = Subject::create(space, &manifest("greeter:1", &routed())).await;
        let first = api.until_phase(Phase::Healthy).await;
        for (nth, what) in [
            (1, What::Status(409)),
            (2, What::Status(500)),
            (4, What::Status(503)),
            (6, What::Cut),
            (8, What::CutAfter),
        ] {
            proxy.inject(Fault::new(Match::writes(), what).nth(nth));
        }
        api.set_image("greeter:2").await;
        let second = api.until_promoted(&stable(&first)).await;
        api.until_alone(&stable(&second)).await;
        // Watches that end in the middle lose nothing.
        proxy.drop_connections();
        api.patch(json!({"spec": {"replicas": 5}})).await;
        api.until("five pods", |s| s.ready_replicas.as_deref() == Some("5/5"))
            .await;
    })
    .await;
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn what_is_refused_for_long_is_tried_less_and_less_often() {
    with_namespace(async |space| {
        let _gateway = ScriptedGateway::start(&space.client, &space.name, Duration::ZERO);
        let (proxy, kubeconfig) = proxied(space).await;
        let _operator = Operator::start_with(&space.name, &kubeconfig, &["--no-leader-election"]);
        let services = Match::writes().path("/services");
        let refused = proxy.inject(Fault::new(services, What::Status(403)).always());
        let api = Subject::create(space, &manifest("greeter:1", &routed())).await;
        let start = Instant::now();
        wait_for("six tries", SOON, async || {
            (refused.hits() >= 6).then_some(())
        })
        .await;
        // The waits in between double from 100 ms on.
        let took = start.elapsed();
        assert!(
            took > Duration::from_millis(2500),
            "six tries within {took:?}"
        );
        let told = api.until("told", |s| {
            s.message
                .as_deref()
                .is_some_and(|m| m.contains("failed to create Service"))
        });
        told.await;
        refused.remove();
        let healthy = api.until_phase(Phase::Healthy).await;
        assert!(
            !healthy.conditions.iter().any(|c| c.type_ == "ActionFailed"),
            "{healthy:#?}"
        );
    })
    .await;
}
