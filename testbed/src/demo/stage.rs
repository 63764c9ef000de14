//! Where the story plays: images, the operator from its chart, a git provider, people, and the samples.

use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::forge::Forge;
use super::key;
use super::repository::Repository;
use super::sample::sample;
use super::teller::Teller;
use super::world::World;
use crate::kubectl::Kubectl;
use crate::node::Node;
use crate::operator::{self, Programs};
use crate::{image, wait};

/// The team's namespace.
pub(crate) const NAMESPACE: &str = "greeter";
/// The git provider's.
pub(crate) const FORGE: &str = "forge";
/// The Rollout that users are served by.
pub(crate) const PRODUCTION: &str = "greeter-production";
/// The host by which users know it.
pub(crate) const HOST: &str = "greeter.test";
/// Who approves, and the group that makes her an approver.
pub(crate) const APPROVER: [&str; 2] = ["olga", "release-managers"];
/// Who writes the code.
pub(crate) const DEVELOPER: [&str; 2] = ["dana", "greeter-developers"];
/// How long namespaces of an earlier run may take to go.
const GONE_WITHIN: Duration = Duration::from_mins(2);

/// The kinds whose objects the story follows.
const KINDS: [(&str, &str, &str); 7] = [
    ("slipway.dev", "v1alpha1", "Pipeline"),
    ("slipway.dev", "v1alpha1", "PipelineRun"),
    ("slipway.dev", "v1alpha1", "Release"),
    ("slipway.dev", "v1alpha1", "Environment"),
    ("slipway.dev", "v1alpha1", "Promotion"),
    ("slipway.dev", "v1alpha1", "Rollout"),
    ("gateway.networking.k8s.io", "v1", "HTTPRoute"),
];

/// Everything that the story needs.
#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) approver: Kubectl,
    pub(crate) developer: Kubectl,
    pub(crate) forge: Forge,
    pub(crate) repository: Repository,
    pub(crate) world: World,
    /// Where users' requests go.
    pub(crate) gateway: String,
}

impl Stage {
    /// Sets the stage on a cluster. `watched` is whether production's analysis is left in.
    pub(crate) async fn set(
        node: &Node,
        programs: &Programs,
        watched: bool,
        teller: &Teller,
    ) -> Result<Self> {
        let mut values = values(node, teller).await?;
        operator::install(node, programs, &[])
            .await
            .context("the operator's chart")?;
        teller.good("operator installed: Deployment slipway-system/slipway, from charts/slipway");

        let control_plane = node.control_plane();
        let admin = Kubectl::new(control_plane.kubeconfig_path());
        clear(&admin, teller).await?;
        for file in ["namespace.yaml", "gitea.yaml"] {
            admin.apply(&sample(file, &values)?).await?;
        }
        let key = key::new().await?;
        admin.create(&key.secret(NAMESPACE)).await?;
        values.push(("PUBLIC_KEY", key.public()));
        let approver = user(node, APPROVER).await?;
        let developer = user(node, DEVELOPER).await?;
        let deployment = ["deployment/git", "--namespace", FORGE, "--timeout=2m"];
        admin
            .run(&[&["rollout", "status"][..], &deployment].concat(), "")
            .await?;
        let forge = Forge::set_up(&admin, node.gateway())
            .await
            .context("Gitea")?;
        teller.good("Gitea, a key that signs, and the users dana (developer) and olga (approver)");

        let world = World::watch(&control_plane.client()?, NAMESPACE, &KINDS);
        let repository = Repository::create(forge.remote()).await?;
        let mut rollouts = sample("rollouts.yaml", &values)?;
        if !watched {
            rollouts = without_analysis(&rollouts)?;
            teller.bad("NEGATIVE: production's Rollout has no analysis");
        }
        for manifests in [
            sample("environments.yaml", &values)?,
            rollouts,
            sample("pipeline.yaml", &values)?,
        ] {
            admin.apply(&manifests).await?;
        }
        teller.good("kubectl apply: a Pipeline, two Environments, a Rollout for each");
        Ok(Self {
            approver,
            developer,
            forge,
            repository,
            world,
            gateway: node.gateway().to_owned(),
        })
    }
}

/// What stands for the samples' placeholders.
async fn values(node: &Node, teller: &Teller) -> Result<Vec<(&'static str, String)>> {
    let registry = node.registry();
    teller.say("images of the tests, of Gitea and of what builds, lists and signs, as far as there are none");
    let python = image::base::debian(registry).await;
    let gitea = image::base::gitea(registry).await;
    Ok(vec![
        ("REGISTRY", registry.to_owned()),
        ("GATEWAY", node.gateway().to_owned()),
        ("PROMETHEUS", node.prometheus().to_owned()),
        ("PYTHON_IMAGE", python.context("the image of tests")?),
        ("GITEA_IMAGE", gitea.context("the image of Gitea")?),
    ])
}

/// kubectl as somebody who has only the rights that the samples give.
async fn user(node: &Node, [name, group]: [&str; 2]) -> Result<Kubectl> {
    let kubeconfig = node.control_plane().user_kubeconfig(name, &[group]).await?;
    Ok(Kubectl::new(&kubeconfig))
}

/// Removes what an earlier run left in the cluster.
pub(crate) async fn clear(admin: &Kubectl, teller: &Teller) -> Result<()> {
    let names = [NAMESPACE, FORGE];
    let there = [
        "get",
        "namespace",
        "--ignore-not-found",
        "-o",
        "name",
        NAMESPACE,
        FORGE,
    ];
    if admin.run(&there, "").await?.is_empty() {
        return Ok(());
    }
    teller.say("removing what an earlier run left");
    admin
        .run(
            &[
                &["delete", "namespace", "--ignore-not-found", "--wait=false"][..],
                &names,
            ]
            .concat(),
            "",
        )
        .await?;
    let until = teller.elapsed() + GONE_WITHIN;
    wait::until(
        "the namespaces of an earlier run are gone",
        GONE_WITHIN,
        || async {
            teller.waiting("the namespaces of an earlier run to go", until, "");
            Ok(admin.run(&there, "").await?.is_empty().then_some(()))
        },
    )
    .await
}

/// Takes the analysis out of every Rollout: each step that analysed waits as long instead.
fn without_analysis(manifests: &str) -> Result<String> {
    let mut items: Vec<Value> = Vec::new();
    for document in manifests.split("\n---\n") {
        let mut object: Value = serde_saphyr::from_str(document)?;
        if let Some(spec) = object.get_mut("spec").and_then(Value::as_object_mut) {
            spec.remove("analysis");
        }
        let steps = object
            .pointer_mut("/spec/strategy/steps")
            .and_then(Value::as_array_mut);
        for step in steps.into_iter().flatten() {
            if let Some(analyse) = step.get("analyse") {
                let pause = analyse.get("for").cloned().unwrap_or_else(|| json!("5s"));
                *step = json!({"pause": {"for": pause}});
            }
        }
        items.push(object);
    }
    Ok(json!({"apiVersion": "v1", "kind": "List", "items": items}).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_its_analysis_a_rollout_has_the_same_steps_and_waits_in_them() {
        let values = [("PROMETHEUS", "prometheus:9090".to_owned())];
        let text = without_analysis(&sample("rollouts.yaml", &values).unwrap()).unwrap();
        let list: Value = serde_json::from_str(&text).unwrap();
        let production = &list["items"][1];
        assert_eq!(production["metadata"]["name"], PRODUCTION);
        assert_eq!(production["spec"]["analysis"], Value::Null);
        let steps = json!([
            {"setWeight": {"weight": 20}}, {"pause": {"for": "8s"}},
            {"setWeight": {"weight": 50}}, {"pause": {"for": "6s"}},
        ]);
        assert_eq!(production["spec"]["strategy"]["steps"], steps);
    }
}
