//! An Environment whose Rollouts are in another cluster, with an operator in each, and a proxy in front of the second.

use std::time::Duration;

use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::api::{Api, Patch, PatchParams, PostParams};
use kube::config::Kubeconfig;
use kube::{Client, ResourceExt};
use serde_json::json;
use slipway::environment::api::{Environment, EnvironmentStatus};
use slipway::rollout::api::Phase;
use testbed::ControlPlane;
use testbed::proxy::{Fault, Match, Proxy, What};
use testbed::scripted::{Rules, ScriptedNodes};

use crate::cluster::{self, SOON, Space, wait_for, with_namespace};
use crate::environment::shop::{Shop, after, condition};
use crate::operator::Operator;

/// Starting a cluster takes seconds on a machine that has nothing else to do.
const PATIENCE: Duration = Duration::from_mins(2);

/// The second cluster: an operator, nodes, and a namespace of the same name as the first one's.
struct Far {
    plane: ControlPlane,
    nodes: ScriptedNodes,
    proxy: Proxy,
    shop: Shop,
}

impl Far {
    async fn start(namespace: &str) -> Self {
        let start = ControlPlane::start_another("mirror");
        let plane = tokio::time::timeout(PATIENCE, start).await.unwrap();
        let plane = plane.unwrap();
        let client = plane.client().unwrap();
        let ours = slipway::crd::all().unwrap();
        let ours = ours.iter().map(|crd| serde_json::to_value(crd).unwrap());
        for manifest in cluster::router_kinds().await.into_iter().chain(ours) {
            let params = PatchParams::apply("slipway-tests");
            cluster::apply_with(&client, &manifest, &params)
                .await
                .unwrap();
            let name = manifest["metadata"]["name"].as_str().unwrap();
            cluster::until_established(&client, name).await;
        }
        let wanted = serde_json::from_value(json!({"metadata": {"name": namespace}})).unwrap();
        let namespaces: Api<Namespace> = Api::all(client.clone());
        let params = PostParams::default();
        namespaces.create(&params, &wanted).await.unwrap();
        let space = Space {
            client: client.clone(),
            name: namespace.to_owned(),
        };
        let nodes = ScriptedNodes::start(client, 2, Rules::default())
            .await
            .unwrap();
        let config = config_of(&plane).await;
        Self {
            proxy: Proxy::start(config).await.unwrap(),
            shop: Shop::new(&space),
            nodes,
            plane,
        }
    }

    /// The mirror.
    async fn mirror(&self, name: &str) -> Option<Environment> {
        self.shop.environments.get_opt(name).await.unwrap()
    }
}

async fn config_of(plane: &ControlPlane) -> kube::Config {
    let options = kube::config::KubeConfigOptions::default();
    let config = kube::Config::from_custom_kubeconfig(plane.kubeconfig(), &options);
    let mut config = config.await.unwrap();
    config.proxy_url = None;
    config
}

/// Puts a kubeconfig into the Secret that the Environment names.
async fn rotate(client: &Client, namespace: &str, kubeconfig: &Kubeconfig) {
    let secrets: Api<Secret> = Api::namespaced(client.clone(), namespace);
    let text = serde_saphyr::to_string(kubeconfig).unwrap();
    let change = Patch::Merge(json!({"stringData": {"kubeconfig": text}}));
    let params = PatchParams::default();
    secrets.patch("far", &params, &change).await.unwrap();
}

fn reason<'a>(status: &'a EnvironmentStatus, type_: &str) -> Option<&'a str> {
    condition(status, type_).map(|(_, reason)| reason)
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn a_release_is_promoted_into_a_second_cluster_though_that_is_cut_off_meanwhile() {
    Box::pin(with_namespace(async |space| {
        let far = Far::start(&space.name).await;
        let args = ["--no-leader-election"];
        let _there = Operator::start_with(&space.name, far.plane.kubeconfig_path(), &args);
        let args = [
            "--no-leader-election",
            "--clusters",
            "--metric-hosts",
            "127.0.0.0/8",
        ];
        let _here = Operator::start_with(&space.name, &cluster::kubeconfig_path(), &args);

        let kubeconfig = far.proxy.kubeconfig();
        let text = serde_saphyr::to_string(&kubeconfig).unwrap();
        space.make_secret("far", json!({"kubeconfig": text})).await;
        let shop = Shop::new(space);
        shop.environment("staging", &json!({})).await;
        let production = json!({
            "tier": "Production", "promotion": after("staging"), "smokeTests": null,
            "cluster": {"kubeconfigSecretRef": {"name": "far", "key": "kubeconfig"}},
        });
        shop.environment_alone("production", &production).await;
        far.shop.rollout("production-api", "production").await;

        promoted(&shop, &far).await;
        edited(&far).await;
        cut_off_and_back(&shop, &far).await;
        rotated(space, &shop, &kubeconfig).await;
        renamed(space, &shop, &far, &kubeconfig).await;
        left(&shop, &far).await;
    }))
    .await;
}

/// A Release goes through staging here, and its Rollout completes there; nothing is decided there.
async fn promoted(shop: &Shop, far: &Far) {
    shop.release(1).await;
    let status = shop.until_runs("production", 1).await;
    assert_eq!(reason(&status, "ClusterReady"), Some("Mirrored"));
    let serves = far.shop.serves("production").await;
    assert_eq!(serves, (Some(shop.image(1)), Some(Phase::Healthy)));
    let mirror = far.mirror("production").await.unwrap();
    let label = format!("{}.production", shop.namespace);
    assert_eq!(mirror.labels().get("slipway.dev/mirror-of"), Some(&label));
    assert_eq!(mirror.status.unwrap().desired, status.desired);
    assert_eq!(far.shop.records("production").await.len(), 0);
    let here = shop.rollouts.get_opt("production-api").await.unwrap();
    assert!(here.is_none(), "the Rollout is there only");
}

/// Somebody edits the mirror by hand: it is put right, and nothing else comes of it.
async fn edited(far: &Far) {
    let before = far.mirror("production").await.unwrap();
    let change = json!({"spec": {
        "rollouts": [], "promotion": {"from": {"pipelines": ["shop"]}, "mode": "Auto"},
    }});
    let (params, change) = (PatchParams::default(), Patch::Merge(change));
    let edited = far.shop.environments.patch("production", &params, &change);
    assert_ne!(edited.await.unwrap().spec, before.spec);
    // It is asked for every twenty seconds.
    wait_for("the mirror is put right", 2 * SOON, async || {
        let mirror = far.mirror("production").await?;
        (mirror.spec == before.spec).then_some(())
    })
    .await;
    let mirror = far.mirror("production").await.unwrap();
    assert_eq!(mirror.uid(), before.uid());
    assert_eq!(far.shop.records("production").await.len(), 0);
}

/// Another Secret with the same kubeconfig: the mirror stays the one that it is, and is told on.
async fn renamed(space: &Space, shop: &Shop, far: &Far, kubeconfig: &Kubeconfig) {
    let before = far.mirror("production").await.unwrap();
    let text = serde_saphyr::to_string(kubeconfig).unwrap();
    space
        .make_secret("fleet", json!({"kubeconfig": text}))
        .await;
    let way = json!({"cluster": {"kubeconfigSecretRef": {"name": "fleet"}}});
    shop.edit("production", &way).await;
    let is_known = |status: &EnvironmentStatus| {
        let mirror = status.mirror.as_ref();
        let way = mirror.map(|mirror| mirror.kubeconfig_secret_ref.name.as_str());
        way == Some("fleet") && reason(status, "ClusterReady") == Some("Mirrored")
    };
    shop.until("production", "the other way there", is_known)
        .await;
    let mirror = far.mirror("production").await.unwrap();
    assert_eq!(mirror.uid(), before.uid());
}

/// In the middle of a promotion the second cluster is out of reach. Staging goes on, production waits, and then it goes on too.
async fn cut_off_and_back(shop: &Shop, far: &Far) {
    far.nodes
        .set_rule(&shop.image(2), "ready-after=3s")
        .unwrap();
    shop.release(2).await;
    let is_told = |status: &EnvironmentStatus| {
        let mut desired = status.desired.iter();
        desired.any(|one| one.release == "shop-2")
    };
    wait_for("the mirror is told of shop-2", SOON, async || {
        let status = far.mirror("production").await?.status?;
        is_told(&status).then_some(())
    })
    .await;
    let cut = far
        .proxy
        .inject(Fault::new(Match::any(), What::Cut).always());
    far.proxy.drop_connections();
    let away = |status: &EnvironmentStatus| reason(status, "ClusterReady") == Some("Unreachable");
    let status = shop.until("production", "out of reach", away).await;
    assert_eq!(condition(&status, "Stalled"), None);
    assert_eq!(condition(&status, "Ready"), Some(("False", "Unreachable")));
    assert!(is_told(&status), "{status:#?}");
    shop.release(3).await;
    shop.until_runs("staging", 3).await;
    // There it comes up, and nobody here knows.
    wait_for("shop-2 serves there", SOON, async || {
        (far.shop.serves("production").await.0 == Some(shop.image(2))).then_some(())
    })
    .await;
    let status = shop.until("production", "still out of reach", away).await;
    assert_eq!(status.current[0].release, "shop-1");
    cut.remove();
    shop.until_runs("production", 3).await;
    let serves = far.shop.serves("production").await;
    assert_eq!(serves, (Some(shop.image(3)), Some(Phase::Healthy)));
}

/// The Secret gets a token that nobody knows, one that a command would bring, and then the right one again.
async fn rotated(space: &Space, shop: &Shop, kubeconfig: &Kubeconfig) {
    let mut other = serde_json::to_value(kubeconfig).unwrap();
    other["users"][0]["user"] = json!({"token": "somebody-else"});
    let unknown: Kubeconfig = serde_json::from_value(other.clone()).unwrap();
    other["users"][0]["user"] =
        json!({"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": "id"}});
    let command: Kubeconfig = serde_json::from_value(other).unwrap();
    let steps = [
        (&unknown, "Unauthorized"),
        (&command, "InvalidKubeconfig"),
        (kubeconfig, "Mirrored"),
    ];
    for (kubeconfig, expected) in steps {
        rotate(&space.client, &space.name, kubeconfig).await;
        // It is read again within the minute, and whenever the Environment is looked at.
        let kept = json!({"history": {"promotions": 60 + expected.len()}});
        shop.edit("production", &kept).await;
        let is_there =
            |status: &EnvironmentStatus| reason(status, "ClusterReady") == Some(expected);
        shop.until("production", expected, is_there).await;
    }
    let status = shop.until_runs("production", 3).await;
    assert_eq!(condition(&status, "Ready"), Some(("True", "Steady")));
}

/// The spec names no cluster any more: the mirror goes, and what runs goes on. An Environment that goes takes its mirror along.
async fn left(shop: &Shop, far: &Far) {
    let cluster = shop.environments.get("production").await.unwrap();
    assert!(
        cluster
            .finalizers()
            .iter()
            .any(|name| name == "slipway.dev/cleanup")
    );
    let cluster = serde_json::to_value(&cluster.spec.cluster).unwrap();
    shop.edit("production", &json!({"cluster": null})).await;
    let is_gone = |status: &EnvironmentStatus| status.mirror.is_none();
    shop.until("production", "no mirror", is_gone).await;
    assert!(far.mirror("production").await.is_none());
    let serves = far.shop.serves("production").await.0;
    assert_eq!(serves, Some(shop.image(3)), "what runs goes on");

    shop.edit("production", &json!({"cluster": cluster})).await;
    shop.until_runs("production", 3).await;
    wait_for("the mirror again", SOON, async || {
        far.mirror("production").await
    })
    .await;
    let params = kube::api::DeleteParams::default();
    shop.environments
        .delete("production", &params)
        .await
        .unwrap();
    wait_for("both are gone", SOON, async || {
        let here = shop.environments.get_opt("production").await.unwrap();
        let there = far.mirror("production").await;
        (here.is_none() && there.is_none()).then_some(())
    })
    .await;
}
