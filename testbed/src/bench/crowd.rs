//! Many objects of one kind in a namespace of their own, and what is done to each of them.

use std::time::Duration;

use anyhow::{Context, Result};
use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::Namespace;
use kube::Client;
use kube::api::{Api, ApiResource, DeleteParams, DynamicObject, ListParams, PostParams};
use kube::core::GroupVersionKind;
use serde_json::json;

/// Requests of the benchmark itself at the same time.
const AT_ONCE: usize = 16;
/// Nothing takes longer, even with ten thousand.
pub(super) const PATIENCE: Duration = Duration::from_mins(75);

/// Makes a namespace, and says its name.
pub(super) async fn namespace(client: &Client, prefix: &str) -> Result<String> {
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let wanted = serde_json::from_value(json!({"metadata": {"generateName": prefix}}))?;
    let made = namespaces.create(&PostParams::default(), &wanted).await?;
    made.metadata.name.context("a namespace without a name")
}

/// The objects of a kind in a namespace.
pub(super) fn api(
    client: &Client,
    namespace: &str,
    (group, version, kind): (&str, &str, &str),
) -> Api<DynamicObject> {
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
    Api::namespaced_with(client.clone(), namespace, &resource)
}

/// The name of one of them.
pub(super) fn name(index: u32) -> String {
    format!("app{index:05}")
}

/// Does something to each of `count` objects, to several at the same time.
pub(super) async fn for_each(count: u32, work: impl AsyncFn(u32) -> Result<()>) -> Result<()> {
    futures::stream::iter((0..count).map(|index| work(index)))
        .buffer_unordered(AT_ONCE)
        .try_collect()
        .await
}

/// Deletes each of `count` objects, and waits until no pod is left.
pub(super) async fn delete(
    client: &Client,
    namespace: &str,
    objects: &Api<DynamicObject>,
    count: u32,
) -> Result<()> {
    for_each(count, async |index| {
        let params = DeleteParams::background();
        objects.delete(&name(index), &params).await?;
        Ok(())
    })
    .await?;
    let pods = api(client, namespace, ("", "v1", "Pod"));
    crate::wait::until("the pods are gone", PATIENCE, || async {
        let left = pods.list(&ListParams::default().limit(1)).await?;
        Ok(left.items.is_empty().then_some(()))
    })
    .await
}
