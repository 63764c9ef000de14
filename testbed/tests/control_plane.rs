//! Control planes as a test uses them. Needs Go or built programs; run with `--ignored`.

#![expect(
    clippy::tests_outside_test_module,
    reason = "an integration test is one whole test module"
)]

use anyhow::Result;
use k8s_openapi::api::authentication::v1::SelfSubjectReview;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::api::{ListParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};
use testbed::ControlPlane;

#[tokio::test]
#[ignore = "needs the cluster's programs"]
async fn two_control_planes_run_side_by_side_and_go_with_their_values() -> Result<()> {
    let (one, two) = tokio::try_join!(ControlPlane::start("one"), ControlPlane::start("two"))?;

    let config_map = serde_json::from_str(r#"{"metadata": {"name": "only-in-one"}}"#)?;
    let maps = Api::<ConfigMap>::namespaced(one.client()?, "default");
    #[expect(clippy::disallowed_methods, reason = "a test sets the scene")]
    maps.create(&PostParams::default(), &config_map).await?;

    let others = Api::<ConfigMap>::namespaced(two.client()?, "default");
    assert!(others.get_opt("only-in-one").await?.is_none());
    let folder = one.kubeconfig_path().to_owned();
    let url = one.api_server_url().to_owned();
    drop(one);
    assert!(!folder.exists());
    assert!(reqwest::get(url).await.is_err());
    assert!(!others.list(&ListParams::default()).await?.items.is_empty());
    Ok(())
}

#[tokio::test]
#[ignore = "needs the cluster's programs"]
async fn a_user_is_who_they_say_and_may_do_nothing_by_default() -> Result<()> {
    let cluster = ControlPlane::start("users").await?;

    let path = cluster
        .user_kubeconfig("lead/+=\\x", &["release managers", "staff"])
        .await?;

    let options = KubeConfigOptions::default();
    let config = Config::from_custom_kubeconfig(Kubeconfig::read_from(path)?, &options).await?;
    let client = Client::try_from(config)?;
    #[expect(clippy::disallowed_methods, reason = "the way to ask who one is")]
    let me = Api::<SelfSubjectReview>::all(client.clone())
        .create(&PostParams::default(), &SelfSubjectReview::default())
        .await?;
    let me = me
        .status
        .and_then(|status| status.user_info)
        .unwrap_or_default();
    assert_eq!(me.username.as_deref(), Some("lead/+=\\x"));
    let groups = me.groups.unwrap_or_default();
    assert!(
        groups.contains(&"release managers".to_owned()),
        "{groups:?}"
    );
    assert!(!groups.contains(&"system:masters".to_owned()), "{groups:?}");
    let refused = Api::<Namespace>::all(client)
        .list(&ListParams::default())
        .await;
    assert!(matches!(refused, Err(kube::Error::Api(status)) if status.code == 403));
    let audit = std::fs::read_to_string(cluster.audit_log_path().unwrap())?;
    assert!(
        audit
            .lines()
            .any(|line| line.contains("selfsubjectreviews"))
    );
    Ok(())
}
