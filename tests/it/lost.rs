//! A run whose node is gone in the middle of a stage: as by a power cut, with nobody left to say what became of the pod.

use std::time::Duration;

use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams};
use kube::{Client, ResourceExt};
use serde_json::{Value, json};
use slipway::pipeline_run::api::{FailureKind, RunPhase, StagePhase};
use testbed::scripted::{RESERVED_LABEL, Rules, ScriptedNodes};

use crate::cluster::{Space, kubeconfig_path, wait_for, with_namespace};
use crate::pipeline::{Subject, tested};

/// Longest wait for Kubernetes to give a pod up: its collector of garbage looks every 20 s.
const GIVEN_UP: Duration = Duration::from_mins(2);

/// Starts a node that takes the pods of this test only, and plays them as the rules say.
async fn node(space: &Space, name: &str, rules: Rules) -> ScriptedNodes {
    let prefix = format!("{name}-{}", space.name);
    let client = space.client.clone();
    let started = ScriptedNodes::start_reserved(&space.name, &prefix, client, rules).await;
    started.unwrap()
}

/// Says of a node what the cluster says when it does not hear of it any more, and an operator of the cluster when it will
/// not come back: its pods may be taken for gone.
async fn give_up(client: &Client, name: &str) {
    let nodes: Api<Node> = Api::all(client.clone());
    let params = PatchParams::default();
    let silent = json!({"status": {"conditions": [{
        "type": "Ready", "status": "Unknown", "reason": "NodeStatusUnknown", "message": "Kubelet stopped posting node status.",
    }]}});
    nodes
        .patch_status(name, &params, &Patch::Strategic(silent))
        .await
        .unwrap();
    let gone = json!({"spec": {"taints": [
        {"key": "node.kubernetes.io/out-of-service", "value": "nodeshutdown", "effect": "NoExecute"},
    ]}});
    nodes
        .patch(name, &params, &Patch::Strategic(gone))
        .await
        .unwrap();
}

/// The pod of an attempt, once it runs somewhere.
async fn running(space: &Space, stage: &str, attempt: u32) -> Pod {
    let pods: Api<Pod> = Api::namespaced(space.client.clone(), &space.name);
    let labels = format!("slipway.dev/stage={stage},slipway.dev/attempt={attempt}");
    wait_for("a running pod", GIVEN_UP, async || {
        let found = pods.list(&ListParams::default().labels(&labels)).await;
        let pod = found.ok()?.items.into_iter().next()?;
        (pod.status.as_ref()?.phase.as_deref() == Some("Running")).then_some(pod)
    })
    .await
}

fn on_reserved(space: &Space, subject: &Subject, stage: &Value) -> Value {
    let mut whole = json!({
        "image": subject.image("python"), "run": "true",
        "pod": {
            "nodeSelector": {(RESERVED_LABEL): space.name},
            "tolerations": [{"key": RESERVED_LABEL, "operator": "Exists", "effect": "NoSchedule"}],
        },
    });
    json_patch::merge(&mut whole, stage);
    whole
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn what_ran_on_a_node_that_is_gone_is_run_again_elsewhere_unless_once_is_enough() {
    with_namespace(async |space| {
        let subject = Subject::new(space).await;
        let endless = Rules::default().with("", "ready-after=50ms").unwrap();
        let first = node(space, "first", endless).await;
        // What is begun once is claimed there. An address of this test's own.
        let id = std::process::id();
        let listen = format!("127.11.{}.{}:8098", (id >> 8) & 0xff, id & 0xff);
        let url = format!("http://{listen}");
        let stages = ["--stage-listen", &listen, "--stage-url", &url];
        let _operator = subject.operator_with(&kubeconfig_path(), &stages);
        let sha = subject.push("Be unlucky").await;
        let unit = json!({"name": "unit", "type": "Test", "reports": {"junit": ["junit.xml"]}});
        let never = json!({"name": "never", "type": "Custom", "retry": {"infra": 0}});
        let once = json!({"name": "once", "type": "Migrate"});
        let stages = json!([
            on_reserved(space, &subject, &unit),
            on_reserved(space, &subject, &never),
            on_reserved(space, &subject, &once),
        ]);
        subject.create(&json!({"spec": {"stages": stages}})).await;
        let pod = running(space, "unit", 1).await;
        running(space, "never", 1).await;
        running(space, "once", 1).await;
        let lost = pod.spec.unwrap().node_name.unwrap();
        assert_eq!(first.names(), [lost.as_str()]);
        drop(first);
        give_up(&space.client, &lost).await;
        let report = format!("exit=0,after=100ms,message={}", tested(12, 0).encode());
        let works = Rules::default().with("", &report).unwrap();
        let second = node(space, "second", works).await;

        let status = wait_for("the run is over", GIVEN_UP, async || {
            let runs = subject.list(&subject.runs).await;
            let status = runs.first()?.status.clone()?;
            status.phase?.is_finished().then_some(status)
        })
        .await;
        assert_eq!(status.sha.as_ref(), Some(&sha));
        let unit = &status.stages[0];
        assert_eq!(
            (unit.phase.is_over(), unit.attempt, unit.infra_retries),
            (true, Some(2), 1),
            "{status:?}"
        );
        assert_eq!(unit.tests.unwrap().total, 12);
        // That one was lost is no verdict on the commit, and is told as such.
        assert_eq!(status.phase, Some(RunPhase::Failed));
        let failure = status.failure.unwrap();
        let stage = failure.stage.as_deref();
        assert!(matches!(stage, Some("never" | "once")), "{failure:?}");
        // Whether it had done its work nobody can tell: it is not done again.
        let once = &status.stages[2];
        assert_eq!(
            (once.phase, once.attempt, once.infra_retries),
            (StagePhase::Failed, Some(1), 0),
            "{once:?}"
        );
        let jobs = subject.list(&subject.jobs).await;
        let of_once = jobs.iter().filter(|job| job.name_any().contains("-once-"));
        assert_eq!(of_once.count(), 1);
        assert!(
            matches!(failure.kind, FailureKind::Evicted | FailureKind::Infra),
            "{failure:?}"
        );
        let nodes: Api<Node> = Api::all(space.client.clone());
        nodes.delete(&lost, &DeleteParams::default()).await.unwrap();
        second.stop().await.unwrap();
    })
    .await;
}
