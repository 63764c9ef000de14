//! The operator as a process: election and hand-over, health, and what it says when it cannot start.

use std::time::{Duration, Instant};

use k8s_openapi::api::coordination::v1::Lease;
use kube::Api;
use serde_json::json;
use slipway::rollout::api::Phase;
use testbed::ControlPlane;
use testbed::proxy::{Fault, Match, Proxy, What};

use crate::cluster::{SOON, config, kubeconfig_path, wait_for, with_namespace};
use crate::operator::Operator;
use crate::rollout::{Subject, manifest, stable};

async fn holder(leases: &Api<Lease>) -> Option<String> {
    let lease = leases.get_opt("slipway").await.ok()??;
    lease
        .spec?
        .holder_identity
        .filter(|holder| !holder.is_empty())
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn one_of_two_leads_and_hands_over_within_seconds() {
    with_namespace(async |space| {
        let leases: Api<Lease> = Api::namespaced(space.client.clone(), &space.name);
        let path = kubeconfig_path();
        let first = Operator::start_with(&space.name, &path, &["--identity", "first"]);
        let lead = wait_for("a leader", SOON, async || holder(&leases).await).await;
        assert!(lead.starts_with("first"), "{lead}");
        let second = Operator::start_with(&space.name, &path, &["--identity", "second"]);
        let api = Subject::create(space, &manifest("greeter:1", &json!({}))).await;
        let healthy = api.until_phase(Phase::Healthy).await;
        second.until_logged("serving health and metrics").await;
        assert!(
            !second.log().contains("leading"),
            "a standby leads:\n{}",
            second.log()
        );

        api.set_image("greeter:2").await;
        api.until_phase(Phase::Paused).await;
        let start = Instant::now();
        let code = first.end().await;
        assert_eq!(code, Some(0));
        wait_for("hand-over", SOON, async || {
            holder(&leases)
                .await
                .filter(|holder| holder.starts_with("second"))
        })
        .await;
        let took = start.elapsed();
        println!("hand-over took {took:?}");
        // Whoever has to wait until the lease has run out waits for eight to ten seconds.
        assert!(took < Duration::from_secs(7), "{took:?}");
        let done = api.until_promoted(&stable(&healthy)).await;
        assert_eq!(done.history.len(), 1, "{:?}", done.history);
    })
    .await;
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn a_leader_that_is_killed_is_replaced() {
    with_namespace(async |space| {
        let leases: Api<Lease> = Api::namespaced(space.client.clone(), &space.name);
        let path = kubeconfig_path();
        let first = Operator::start_with(&space.name, &path, &["--identity", "first"]);
        wait_for("a leader", SOON, async || holder(&leases).await).await;
        let _second = Operator::start_with(&space.name, &path, &["--identity", "second"]);
        first.kill().await;
        let start = Instant::now();
        wait_for("replacement", Duration::from_secs(25), async || {
            holder(&leases)
                .await
                .filter(|holder| holder.starts_with("second"))
        })
        .await;
        println!("replacement took {:?}", start.elapsed());
    })
    .await;
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn a_leader_whose_lease_is_taken_stops_at_once() {
    with_namespace(async |space| {
        let leases: Api<Lease> = Api::namespaced(space.client.clone(), &space.name);
        let mut operator = Operator::start_with(&space.name, &kubeconfig_path(), &[]);
        wait_for("a leader", SOON, async || holder(&leases).await).await;
        let taken = json!({"spec": {"holderIdentity": "somebody-else"}});
        let patch = kube::api::Patch::Merge(taken);
        leases
            .patch("slipway", &kube::api::PatchParams::default(), &patch)
            .await
            .unwrap();
        let ended = tokio::time::timeout(Duration::from_secs(10), operator.ended()).await;
        assert_eq!(ended.expect("ends within seconds"), Some(1));
        assert!(
            operator.log().contains("the lead was lost"),
            "{}",
            operator.log()
        );
    })
    .await;
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn health_readiness_and_metrics_are_served() {
    with_namespace(async |space| {
        let operator = Operator::start(&space.name);
        let api = Subject::create(space, &manifest("greeter:1", &json!({}))).await;
        api.until_phase(Phase::Healthy).await;
        let address = operator.address().await;
        let get = async |path: &str| {
            let answer = reqwest::get(format!("http://{address}{path}"))
                .await
                .unwrap();
            (answer.status().as_u16(), answer.text().await.unwrap())
        };
        assert_eq!(get("/livez").await.0, 200);
        assert_eq!(get("/readyz").await.0, 200);
        let (_, metrics) = get("/metrics").await;
        for series in [
            "slipway_reconcile_total{kind=\"Rollout\",outcome=\"ok\"}",
            "slipway_kube_request_duration_seconds_count",
            "process_resident_memory_bytes",
        ] {
            assert!(metrics.contains(series), "{series} is missing:\n{metrics}");
        }
        let phase = format!(
            "slipway_rollout_phase{{name=\"api\",namespace=\"{}\",phase=\"Healthy\"}} 1",
            space.name
        );
        assert!(metrics.contains(&phase), "{phase} is missing:\n{metrics}");
        api.api
            .delete("api", &kube::api::DeleteParams::default())
            .await
            .unwrap();
        wait_for("its series are gone", SOON, async || {
            (!get("/metrics").await.1.contains("slipway_rollout_phase{")).then_some(())
        })
        .await;
    })
    .await;
}

async fn fails_and_says(kubeconfig: &std::path::Path, words: &str) {
    let mut operator = Operator::start_with("default", kubeconfig, &[]);
    let ended = tokio::time::timeout(SOON, operator.ended()).await;
    assert_eq!(ended.expect("ends"), Some(1), "{}", operator.log());
    assert!(
        operator.log().contains(words),
        "no `{words}` in:\n{}",
        operator.log()
    );
}

/// The question for our kinds, and none about objects of them.
fn kinds() -> Match {
    Match::any()
        .path_regex(r"^/apis/slipway\.dev/v1alpha1(\?|$)")
        .unwrap()
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn an_operator_waits_for_definitions_that_were_applied_a_moment_ago() {
    with_namespace(async |space| {
        let proxy = Proxy::start(config().await).await.unwrap();
        let path = std::env::temp_dir().join(format!("settling-{}.yaml", std::process::id()));
        proxy.write_kubeconfig(&path).unwrap();
        let hidden = proxy.inject(Fault::new(kinds(), What::Status(404)).always());
        let operator = Operator::start_with(&space.name, &path, &["--no-leader-election"]);
        let waits = "the cluster does not serve all kinds yet; waiting for them";
        operator.until_logged(waits).await;
        wait_for("it looks again", SOON, async || {
            (hidden.hits() > 2).then_some(())
        })
        .await;
        hidden.remove();
        operator.until_logged("serving health and metrics").await;
        let log = operator.log();
        assert_eq!(log.matches(waits).count(), 1, "{log}");
        assert!(log.contains("rollouts.slipway.dev"), "{log}");
        std::fs::remove_file(&path).unwrap();
    })
    .await;
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn an_operator_that_cannot_start_says_what_is_missing() {
    crate::cluster::client().await;
    let proxy = Proxy::start(config().await).await.unwrap();
    let path = std::env::temp_dir().join(format!("preflight-{}.yaml", std::process::id()));
    proxy.write_kubeconfig(&path).unwrap();

    let hidden = proxy.inject(Fault::new(kinds(), What::Status(404)).always());
    let unknown = fails_and_says(&path, "the cluster does not know ");
    let forbidden = async {
        let cluster = ControlPlane::start("preflight").await.unwrap();
        let nobody = cluster.user_kubeconfig("nobody", &[]).await.unwrap();
        fails_and_says(&nobody, "missing permissions: ").await;
        fails_and_says(&nobody, "patch rollouts/status").await;
    };
    tokio::join!(unknown, forbidden);
    hidden.remove();

    drop(proxy);
    fails_and_says(&path, "cannot reach the API server").await;
    std::fs::remove_file(&path).unwrap();

    fails_and_says(
        std::path::Path::new("/nowhere/kubeconfig"),
        "no cluster configured",
    )
    .await;
}
