//! Decisions: the one who decides is the one who asks, and may.

use k8s_openapi::api::core::v1::ServiceAccount;
use kube::Client;
use kube::api::{Api, PostParams};
use kube::config::AuthInfo;
use serde_json::{Value, json};
use slipway::decision::api::{DecisionAction, TargetKind};

use super::{
    ADMIN, APPROVER, DEVELOPER, VIEWER, assert_refused, bind, create_as, delete_as, grant, object,
    patch_as,
};
use crate::cluster::{OPERATOR, Space, api_of, config, with_guarded_namespace};

/// A Decision that fits wherever its action does.
pub(crate) fn decision(user: &str, kind: &str, name: &str, action: &str) -> Value {
    let mut spec = json!({
        "target": { "kind": kind, "name": name }, "action": action, "user": user, "release": "api-1",
        "reason": "because",
    });
    if action == "Override" {
        spec["gates"] = json!(["freeze"]);
    }
    spec
}

async fn decide(
    space: &Space,
    user: &str,
    kind: &str,
    name: &str,
    action: &str,
) -> kube::Result<()> {
    let spec = decision(user, kind, name, action);
    let wanted = format!("{}-{}", user, action.to_lowercase());
    create_as(space, user, "Decision", &wanted, &spec)
        .await
        .map(drop)
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn an_approver_approves_in_the_own_name_only() {
    with_guarded_namespace(async |space| {
        bind(space, "alice", APPROVER).await;
        decide(space, "alice", "Environment", "staging", "Approve")
            .await
            .unwrap();

        let forged = decision("bob", "Environment", "staging", "Approve");
        let result = create_as(space, "alice", "Decision", "forged", &forged).await;
        assert_refused(result, "spec.user is bob, but you are alice");
    })
    .await;
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn groups_are_the_real_ones() {
    with_guarded_namespace(async |space| {
        bind(space, "alice", APPROVER).await;
        let api = space.api_as("alice", &["leads", "team"], "Decision").await;
        let in_the_name_of = async |name: &str, groups: &[&str]| {
            let mut spec = decision("alice", "Environment", "staging", "Approve");
            spec["groups"] = json!(groups);
            api.create(&PostParams::default(), &object("Decision", name, &spec))
                .await
        };
        in_the_name_of("some", &["leads"]).await.unwrap();
        in_the_name_of("all", &["team", "leads", "system:authenticated"])
            .await
            .unwrap();
        let forged = in_the_name_of("forged", &["leads", "owners"]).await;
        assert_refused(
            forged,
            "groups that you (alice) are not in: owners; leave them out",
        );
    })
    .await;
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn every_target_asks_for_the_verb_on_its_own_resource() {
    let targets = [
        ("Environment", "environments", "Hold", "hold"),
        ("Rollout", "rollouts", "Abort", "abort"),
        ("Pipeline", "pipelines", "Pause", "pause"),
        ("PipelineRun", "pipelineruns", "Cancel", "cancel"),
        ("Promotion", "promotions", "LinkIncident", "linkincident"),
    ];
    with_guarded_namespace(async |space| {
        for (kind, resource, action, verb) in targets {
            let (may, other_verb, other_target) = (
                format!("{verb}-may"),
                format!("{verb}-verb"),
                format!("{verb}-target"),
            );
            for user in [&may, &other_verb, &other_target] {
                grant(space, user, &["create"], &["decisions"]).await;
            }
            let others: Vec<&str> = targets
                .iter()
                .map(|target| target.1)
                .filter(|other| *other != resource)
                .collect();
            grant(space, &may, &[verb], &[resource]).await;
            grant(
                space,
                &other_verb,
                &["get", "create", "update", "delete"],
                &[resource],
            )
            .await;
            grant(space, &other_target, &[verb], &others).await;

            decide(space, &may, kind, "api", action).await.unwrap();
            for user in [&other_verb, &other_target] {
                let expected = format!("you ({user}) may not {verb} {kind} api");
                assert_refused(decide(space, user, kind, "api", action).await, &expected);
            }
        }
    })
    .await;
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn a_right_on_one_object_is_no_right_on_another() {
    with_guarded_namespace(async |space| {
        grant(space, "carol", &["create"], &["decisions"]).await;
        grant_on(space, "carol", "approve", "environments", "staging").await;
        let staging = decide(space, "carol", "Environment", "staging", "Approve").await;
        staging.unwrap();
        let spec = decision("carol", "Environment", "production", "Approve");
        let production = create_as(space, "carol", "Decision", "production", &spec).await;
        assert_refused(production, "may not approve Environment production");
    })
    .await;
}

async fn grant_on(space: &Space, user: &str, verb: &str, resource: &str, name: &str) {
    let roles: kube::Api<k8s_openapi::api::rbac::v1::Role> =
        kube::Api::namespaced(space.client.clone(), &space.name);
    let role = json!({
        "metadata": { "name": "on-one" },
        "rules": [{
            "apiGroups": ["slipway.dev"], "resources": [resource], "verbs": [verb], "resourceNames": [name],
        }],
    });
    let role = serde_json::from_value(role).unwrap();
    roles.create(&PostParams::default(), &role).await.unwrap();
    super::bind_to(
        space,
        user,
        "on-one",
        &json!({ "kind": "Role", "name": "on-one" }),
    )
    .await;
    // Seen to hold through a second right in a later binding: bindings become visible in order.
    grant(space, user, &["get"], &["releases"]).await;
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn a_developer_steers_and_does_not_approve() {
    with_guarded_namespace(async |space| {
        bind(space, "dave", DEVELOPER).await;
        decide(space, "dave", "Rollout", "api", "Pause")
            .await
            .unwrap();
        decide(space, "dave", "Environment", "staging", "Rollback")
            .await
            .unwrap();
        let approval = decide(space, "dave", "Environment", "staging", "Approve").await;
        assert_refused(
            approval,
            "ask for a role with the verb approve on environments.slipway.dev",
        );
        let override_ = decide(space, "dave", "Environment", "staging", "Override").await;
        assert_refused(override_, "may not override Environment staging");
    })
    .await;
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn each_role_decides_about_environments_what_it_is_for() {
    let approver = [
        "Approve", "Reject", "Promote", "Rollback", "Abort", "Retry", "Hold", "Resume", "Pin",
        "Veto",
    ];
    let roles: [(&str, &[&str]); 3] = [
        (VIEWER, &[]),
        (DEVELOPER, &["Promote", "Rollback", "Abort", "Hold"]),
        (APPROVER, &approver),
    ];
    with_guarded_namespace(async |space| {
        let params = PostParams {
            dry_run: true,
            ..PostParams::default()
        };
        for (role, may) in roles {
            bind(space, role, role).await;
            let api = space.api_as(role, &[], "Decision").await;
            for action in DecisionAction::ALL.iter().map(|action| action.as_str()) {
                let spec = decision(role, "Environment", "production", action);
                let result = api.create(&params, &object("Decision", "act", &spec)).await;
                match result {
                    Ok(_) => assert!(may.contains(&action), "{role} may {action}"),
                    // An Environment does not take everything.
                    Err(kube::Error::Api(status)) if status.is_invalid() => {}
                    Err(kube::Error::Api(status)) => {
                        assert!(!may.contains(&action), "{role}: {}", status.message);
                        assert!(status.is_forbidden(), "{role}: {}", status.message);
                    }
                    Err(error) => panic!("{role}: {error}"),
                }
            }
        }
    })
    .await;
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn nobody_decides_as_somebody_else() {
    with_guarded_namespace(async |space| {
        bind(space, "alice", APPROVER).await;
        let accounts: Api<ServiceAccount> = Api::namespaced(space.client.clone(), &space.name);
        let bot = json!({ "metadata": { "name": "bot" } });
        let bot = serde_json::from_value(bot).unwrap();
        accounts.create(&PostParams::default(), &bot).await.unwrap();
        let request = serde_json::from_value(json!({ "spec": { "audiences": [] } })).unwrap();
        let token = accounts
            .create_token_request("bot", &PostParams::default(), &request)
            .await
            .unwrap();
        let user = format!("system:serviceaccount:{}:bot", space.name);
        bind(space, &user, APPROVER).await;

        // With a token of its own it is itself, and may approve; what that is worth, the Environment says.
        let mut config = config().await;
        config.auth_info = AuthInfo {
            token: token.status.and_then(|status| status.token).map(Into::into),
            ..AuthInfo::default()
        };
        let own = api_of(
            &Client::try_from(config.clone()).unwrap(),
            &space.name,
            "Decision",
        );
        let spec = decision(&user, "Environment", "staging", "Approve");
        own.create(&PostParams::default(), &object("Decision", "own", &spec))
            .await
            .unwrap();
        // As alice it is nobody.
        config.auth_info.impersonate = Some("alice".to_owned());
        let other = api_of(&Client::try_from(config).unwrap(), &space.name, "Decision");
        let spec = decision("alice", "Environment", "staging", "Approve");
        let result = other
            .create(&PostParams::default(), &object("Decision", "other", &spec))
            .await;
        match result {
            Err(kube::Error::Api(status)) => {
                assert!(
                    status.message.contains("cannot impersonate resource"),
                    "{}",
                    status.message
                );
            }
            other => panic!("{other:?}"),
        }
    })
    .await;
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn a_decision_is_neither_changed_nor_deleted() {
    with_guarded_namespace(async |space| {
        bind(space, "alice", APPROVER).await;
        grant(
            space,
            "alice",
            &["update", "patch", "delete"],
            &["decisions"],
        )
        .await;
        decide(space, "alice", "Environment", "staging", "Approve")
            .await
            .unwrap();

        let edit = json!({ "spec": { "release": "api-2" } });
        let edited = patch_as(space, "alice", "Decision", "alice-approve", &edit).await;
        assert!(
            edited
                .unwrap_err()
                .to_string()
                .contains("a Decision cannot be changed")
        );
        let orphan = json!({ "metadata": { "ownerReferences": [
            { "apiVersion": "v1", "kind": "ConfigMap", "name": "gone", "uid": "0-0-0-0" },
        ] } });
        let owned = patch_as(space, "alice", "Decision", "alice-approve", &orphan).await;
        assert_refused(
            owned,
            "owners and finalizers of a Decision are set by the operator",
        );
        let deleted = delete_as(space, "alice", "Decision", "alice-approve").await;
        assert_refused(deleted, "a Decision is part of the record and stays");
        let label = json!({ "metadata": { "labels": { "team": "shop" } } });
        patch_as(space, "alice", "Decision", "alice-approve", &label)
            .await
            .unwrap();
    })
    .await;
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn the_operator_and_an_admin_delete_decisions() {
    with_guarded_namespace(async |space| {
        bind(space, "alice", APPROVER).await;
        bind(space, "root", ADMIN).await;
        grant(space, OPERATOR, &["delete"], &["decisions"]).await;
        for user in [OPERATOR, "root"] {
            decide(space, "alice", "Environment", "staging", "Approve")
                .await
                .unwrap();
            delete_as(space, user, "Decision", "alice-approve")
                .await
                .unwrap();
        }
    })
    .await;
}

/// The roles of the chart and the rules of the schema name the same acts: what the schema lets pass, an admin
/// may do.
#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn an_admin_may_do_everything_that_fits() {
    with_guarded_namespace(async |space| {
        bind(space, "root", ADMIN).await;
        let api = space.api_as("root", &[], "Decision").await;
        let params = PostParams {
            dry_run: true,
            ..PostParams::default()
        };
        let mut fitting = 0;
        for kind in TargetKind::ALL {
            for action in DecisionAction::ALL {
                let spec = decision("root", kind.as_str(), "api", action.as_str());
                match api.create(&params, &object("Decision", "act", &spec)).await {
                    Ok(_) => fitting += 1,
                    Err(kube::Error::Api(status)) if status.is_invalid() => {}
                    Err(error) => panic!("{action} of {kind}: {error}"),
                }
            }
        }
        assert_eq!(fitting, 13 + 10 + 2 + 4 + 5);
    })
    .await;
}
