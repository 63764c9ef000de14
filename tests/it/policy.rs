//! Who may write what: the chart's admission policies and roles, with real users on a real API server.
//!
//! Every test runs in a namespace in which the policies hold. Users get their rights by RBAC, as people do.

pub(crate) mod count; // approvals, counted by an operator
pub(crate) mod decision; // who may decide what, and for whom
mod hub; // operators of other clusters
mod protection; // who may change what protects an Environment
mod record; // who may write Releases, Promotions and statuses

use k8s_openapi::api::authorization::v1::SubjectAccessReview;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::Api;
use kube::api::{DynamicObject, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use crate::cluster::{SOON, Space, wait_for};

pub(crate) const ADMIN: &str = "slipway-admin";
pub(crate) const APPROVER: &str = "slipway-approver";
pub(crate) const DEVELOPER: &str = "slipway-developer";
pub(crate) const VIEWER: &str = "slipway-viewer";

/// Binds a role of the chart to a user, and waits until it holds.
pub(crate) async fn bind(space: &Space, user: &str, cluster_role: &str) {
    let reference = json!({ "kind": "ClusterRole", "name": cluster_role });
    bind_to(space, user, &format!("{user}-{cluster_role}"), &reference).await;
    permitted(space, user, "get", "decisions").await;
}

/// Gives a user verbs on resources of our group, and waits until they hold.
pub(crate) async fn grant(space: &Space, user: &str, verbs: &[&str], resources: &[&str]) {
    let roles: Api<Role> = Api::namespaced(space.client.clone(), &space.name);
    let role = json!({
        "metadata": { "generateName": "granted-" },
        "rules": [{ "apiGroups": ["slipway.dev"], "resources": resources, "verbs": verbs }],
    });
    let role = serde_json::from_value(role).unwrap();
    let role = roles
        .create(&PostParams::default(), &role)
        .await
        .unwrap()
        .metadata
        .name
        .unwrap();
    bind_to(space, user, &role, &json!({ "kind": "Role", "name": role })).await;
    permitted(space, user, verbs[0], resources[0]).await;
}

pub(crate) async fn bind_to(space: &Space, user: &str, name: &str, role: &Value) {
    let bindings: Api<RoleBinding> = Api::namespaced(space.client.clone(), &space.name);
    let binding = json!({
        "metadata": { "name": name.replace([':', '@'], "-") },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": role["kind"], "name": role["name"] },
        "subjects": [{ "apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user }],
    });
    let binding = serde_json::from_value(binding).unwrap();
    bindings
        .create(&PostParams::default(), &binding)
        .await
        .unwrap();
}

pub(crate) async fn permitted(space: &Space, user: &str, verb: &str, resource: &str) {
    let reviews: Api<SubjectAccessReview> = Api::all(space.client.clone());
    let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
    let review = json!({ "spec": { "user": user, "resourceAttributes": {
        "group": "slipway.dev", "resource": resource, "subresource": subresource, "verb": verb,
        "namespace": space.name,
    } } });
    let review: SubjectAccessReview = serde_json::from_value(review).unwrap();
    wait_for(&format!("{user} may {verb} {resource}"), SOON, async || {
        let answer = reviews
            .create(&PostParams::default(), &review)
            .await
            .unwrap();
        answer.status?.allowed.then_some(())
    })
    .await;
}

pub(crate) fn object(kind: &str, name: &str, spec: &Value) -> DynamicObject {
    let value = json!({
        "apiVersion": "slipway.dev/v1alpha1", "kind": kind, "metadata": { "name": name }, "spec": spec,
    });
    serde_json::from_value(value).unwrap()
}

fn environment_spec() -> Value {
    json!({ "tier": "Staging", "promotion": { "from": { "pipelines": ["api"] } } })
}

fn digest() -> String {
    format!("sha256:{}", "a".repeat(64))
}

fn release_spec() -> Value {
    json!({
        "pipeline": "api", "ref": "refs/heads/main", "evidence": { "run": "api-1" },
        "images": [{ "name": "api", "repository": "registry.example/api", "digest": digest() }],
        "commit": {
            "sha": "a".repeat(40), "author": "a", "email": "a@example.com", "subject": "s",
            "committedAt": "2026-11-21T10:00:00Z",
        },
    })
}

fn promotion_spec() -> Value {
    json!({
        "environment": "staging", "release": "api-1", "pipeline": "api", "kind": "Promote", "attempt": 1,
        "requestedBy": "alice", "images": [{ "name": "api", "ref": format!("registry.example/api@{}", digest()) }],
    })
}

fn run_spec(trigger: &str, actor: &str) -> Value {
    json!({
        "pipelineRef": { "name": "api" }, "trigger": { "kind": trigger, "actor": actor },
        "ref": "refs/heads/main", "sha": "a".repeat(40),
    })
}

async fn create_as(
    space: &Space,
    user: &str,
    kind: &str,
    name: &str,
    spec: &Value,
) -> kube::Result<DynamicObject> {
    let api = space.api_as(user, &[], kind).await;
    api.create(&PostParams::default(), &object(kind, name, spec))
        .await
}

async fn patch_as(
    space: &Space,
    user: &str,
    kind: &str,
    name: &str,
    patch: &Value,
) -> kube::Result<DynamicObject> {
    let api = space.api_as(user, &[], kind).await;
    api.patch(name, &PatchParams::default(), &Patch::Merge(patch))
        .await
}

async fn delete_as(space: &Space, user: &str, kind: &str, name: &str) -> kube::Result<()> {
    let api = space.api_as(user, &[], kind).await;
    api.delete(name, &kube::api::DeleteParams::default())
        .await
        .map(drop)
}

/// Asserts that a policy (not RBAC, not the schema) refused, with a text that says why.
#[track_caller]
fn assert_refused<T>(result: kube::Result<T>, because: &str) {
    match result {
        Ok(_) => panic!("accepted, although: {because}"),
        Err(kube::Error::Api(status)) => {
            let text = &status.message;
            assert!(
                text.contains("ValidatingAdmissionPolicy"),
                "not refused by a policy: {text}"
            );
            assert!(
                !text.contains("resulted in error"),
                "the policy itself failed: {text}"
            );
            assert!(text.contains(because), "expected {because:?} in: {text}");
            assert_eq!(status.code, 403, "{text}");
        }
        Err(error) => panic!("not an answer of the API server: {error}"),
    }
}
