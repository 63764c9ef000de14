//! Stories of Environments whose Rollouts are in another cluster.

use std::sync::Arc;

use serde_json::json;

use crate::cluster::caches::Caches;
use crate::environment::api::Environment;
use crate::environment::mirror::Trouble;
use crate::environment::testing::{NOW, Nature, World};
use crate::environment::{observe, plan, status};
use crate::model::action::Outcome;
use crate::model::object::ObjectKind;

/// Production is in another cluster, and takes what is good in staging by itself.
fn far() -> World {
    let mut world = World::shop();
    let cluster = json!({
        "cluster": {"kubeconfigSecretRef": {"name": "prod-eu", "key": "kubeconfig"}, "namespace": "shop-eu"},
        "protection": {"approvals": null}, "smokeTests": null,
    });
    world.edit("production", &cluster);
    world
}

fn running(number: u32) -> World {
    let mut world = far();
    world.release(number, Nature::Good);
    world.settle();
    assert_eq!(world.serves("production-api"), Some(number));
    world
}

fn reason(world: &World, type_: &str) -> Option<String> {
    let conditions = world.status("production").conditions;
    let found = conditions.into_iter().find(|found| found.type_ == type_);
    found.map(|found| format!("{} {}", found.status, found.reason))
}

#[test]
fn a_release_is_promoted_into_another_cluster_by_a_mirror_that_nothing_else_comes_of() {
    let mut world = running(1);
    assert_eq!(world.told("production"), ["Promote shop-1 Succeeded"]);
    assert_eq!(world.runs("production"), ("shop-1".into(), "shop-1".into()));
    let mirror = &world.elsewhere.live["production"];
    assert_eq!(mirror.target.key.to_string(), "shop-eu/production");
    assert_eq!(mirror.of.as_deref(), Some("shop.production"));
    assert_eq!(mirror.status.desired, world.status("production").desired);
    assert_eq!(mirror.status.current, [], "nothing that others could take");
    let spec = serde_json::to_value(&mirror.spec).unwrap();
    assert_eq!(spec["promotion"]["mode"], "Manual");
    assert_eq!(spec["promotion"]["from"], json!({"pipelines": ["mirror"]}));
    assert_eq!(spec["rollouts"], json!([{"name": "production-api"}]));
    assert_eq!(spec["cluster"], json!(null));
    assert_eq!(reason(&world, "ClusterReady").unwrap(), "True Mirrored");

    world.release(2, Nature::Good);
    world.settle();
    assert_eq!(world.serves("production-api"), Some(2));
    let writes = world.elsewhere.writes;
    assert_eq!(world.writes_at_rest(&["staging", "production"]), 0);
    assert_eq!(world.elsewhere.writes, writes, "told what is new only");
}

#[test]
fn what_promotions_need_is_done_before_anything_elsewhere() {
    let world = running(1);
    assert!(world.elsewhere.together > 0, "the order was looked at");
}

#[test]
fn a_release_that_fails_there_is_gone_back_from() {
    let mut world = running(1);
    world.release(2, Nature::Good);
    world.settle();
    world.release(3, Nature::Breaks);
    world.edit("staging", &json!({"rollouts": null, "smokeTests": null}));
    world.settle();
    assert_eq!(world.serves("production-api"), Some(2));
    let told = world.told("production");
    let end = ["Promote shop-3 RolledBack", "Rollback shop-2 Succeeded"];
    assert_eq!(told[told.len() - 2..], end, "{told:?}");
    let desired = &world.elsewhere.live["production"].status.desired;
    assert_eq!(desired[0].release, "shop-2");
}

#[test]
fn a_cluster_that_is_away_is_waited_for_while_others_go_on() {
    let mut world = running(1);
    world.elsewhere.trouble = Some(Trouble::Unreachable);
    world.release(2, Nature::Good);
    world.settle();
    assert_eq!(world.serves("staging-api"), Some(2), "others go on");
    assert_eq!(world.serves("production-api"), Some(1), "what runs runs");
    assert_eq!(reason(&world, "ClusterReady").unwrap(), "False Unreachable");
    assert_eq!(world.condition("production", "Ready"), Some(false));
    assert_eq!(world.condition("production", "Reconciling"), Some(true));
    assert_eq!(
        world.condition("production", "Healthy"),
        Some(true),
        "as it was"
    );
    world.tick(24 * 3600);
    world.settle();
    assert_eq!(world.condition("production", "Stalled"), None);
    assert_eq!(world.told("production").len(), 1);
    assert_eq!(world.runs("production"), ("shop-1".into(), "shop-1".into()));

    world.elsewhere.trouble = None;
    world.settle();
    assert_eq!(world.serves("production-api"), Some(2));
    assert_eq!(world.condition("production", "Ready"), Some(true));
}

#[test]
fn nothing_fails_by_what_was_seen_before_the_cluster_was_away() {
    let mut world = running(1);
    world.release(2, Nature::Breaks);
    world.edit("staging", &json!({"rollouts": null, "smokeTests": null}));
    // Its Rollout has given up, and nobody here has seen it.
    world.settle_once();
    world.settle_once();
    let under_way = ["Promote shop-1 Succeeded", "Promote shop-2 Promoting"];
    assert_eq!(world.told("production"), under_way);
    world.elsewhere.trouble = Some(Trouble::Unauthorized);
    world.tick(600);
    world.settle();
    assert_eq!(world.told("production"), under_way);
    world.elsewhere.trouble = None;
    world.settle();
    assert_eq!(world.serves("production-api"), Some(1));
    let last = world.told("production").pop().unwrap();
    assert_eq!(last, "Rollback shop-1 Succeeded");
}

#[test]
fn time_out_of_sight_is_no_healthy_time() {
    let mut world = running(1);
    let since = |world: &World| world.status("production").current[0].healthy_since.clone();
    assert!(since(&world).is_some());
    world.elsewhere.trouble = Some(Trouble::Unreachable);
    world.settle();
    assert_eq!(since(&world), None);
    world.elsewhere.trouble = None;
    world.settle();
    assert!(since(&world).is_some());
}

#[test]
fn a_new_operator_that_has_not_asked_yet_changes_nothing() {
    let mut world = running(1);
    let before = world.object(ObjectKind::Environment, "production");
    world.restart();
    world.elsewhere.is_unknown = true;
    world.settle();
    let after = world.object(ObjectKind::Environment, "production");
    assert_eq!(before["status"], after["status"]);
}

#[test]
fn what_takes_an_edit_is_stalled_in_the_end() {
    let mut world = far();
    world.elsewhere.trouble = Some(Trouble::InvalidKubeconfig);
    world.reconcile("production");
    assert_eq!(world.condition("production", "Stalled"), None);
    assert_eq!(
        reason(&world, "Ready").unwrap(),
        "False WaitingForReference"
    );
    world.tick(301);
    world.reconcile("production");
    assert_eq!(reason(&world, "Stalled").unwrap(), "True MissingReference");
    assert!(
        world
            .message("production")
            .contains("spec.cluster: waits for")
    );
}

#[test]
fn an_environment_of_others_is_left_as_it_is() {
    let mut world = running(1);
    let mirror = world.elsewhere.live.get_mut("production").unwrap();
    mirror.of = None;
    let (before, writes) = (mirror.clone(), world.elsewhere.writes);
    world.release(2, Nature::Good);
    world.settle();
    assert_eq!(world.elsewhere.live["production"], before);
    assert_eq!(world.elsewhere.writes, writes);
    assert_eq!(reason(&world, "ClusterReady").unwrap(), "False NameTaken");
}

#[test]
fn what_somebody_edits_in_a_mirror_is_put_right() {
    let mut world = running(1);
    let mirror = world.elsewhere.live.get_mut("production").unwrap();
    mirror.spec.rollouts.clear();
    mirror.spec.promotion.from.environments = vec!["staging".to_owned()];
    mirror.status.desired.clear();
    world.settle();
    let mirror = &world.elsewhere.live["production"];
    assert!(
        mirror.spec.promotion.from.environments.is_empty(),
        "what was added is taken off"
    );
    assert_eq!(mirror.spec.rollouts[0].name, "production-api");
    assert_eq!(mirror.status.desired[0].release, "shop-1");
}

#[test]
fn another_name_of_the_way_there_makes_no_other_mirror() {
    let mut world = running(1);
    let (before, writes) = (
        world.elsewhere.live["production"].clone(),
        world.elsewhere.writes,
    );
    let cluster = json!({
        "kubeconfigSecretRef": {"name": "fleet"}, "context": "eu", "serviceAccountName": "hub",
    });
    world.edit("production", &json!({"cluster": cluster}));
    // Until that has answered, nothing is taken away.
    world.elsewhere.is_unknown = true;
    world.reconcile("production");
    assert_eq!(world.elsewhere.live["production"], before);
    let left = world.status("production").mirror.unwrap();
    assert_eq!(left.kubeconfig_secret_ref.name, "prod-eu");
    world.elsewhere.is_unknown = false;
    world.settle();
    assert_eq!(world.elsewhere.live["production"], before);
    assert_eq!(world.elsewhere.writes, writes);
    let now = world.status("production").mirror.unwrap();
    assert_eq!(now.kubeconfig_secret_ref.name, "fleet");
    assert_eq!(
        (now.uid.as_deref(), now.leaving_since),
        (Some("there-production"), None)
    );
    assert_eq!(reason(&world, "ClusterReady").unwrap(), "True Mirrored");
}

#[test]
fn what_the_definitions_there_do_not_have_is_merged_once_and_said() {
    let mut world = running(1);
    world.elsewhere.lacks = Some(("/promotion", "templateChanges"));
    let writes = world.elsewhere.writes;
    world.edit(
        "production",
        &json!({"promotion": {"templateChanges": "Gate"}}),
    );
    world.settle();
    assert_eq!(world.elsewhere.writes, writes + 1);
    assert_eq!(world.writes_at_rest(&["staging", "production"]), 0);
    assert_eq!(world.elsewhere.writes, writes + 1, "once");
    let conditions = world.status("production").conditions;
    let mut ready = conditions
        .into_iter()
        .filter(|one| one.type_ == "ClusterReady");
    let text = ready.next().unwrap().message;
    assert!(
        text.contains("older and do not take all of promotion"),
        "{text}"
    );
}

#[test]
fn a_mirror_goes_when_the_spec_names_no_cluster_any_more() {
    let mut world = running(1);
    world.edit("production", &json!({"cluster": null}));
    world.settle();
    assert!(world.elsewhere.live.is_empty());
    let status = world.status("production");
    assert_eq!(status.mirror, None);
    assert_eq!(reason(&world, "ClusterReady"), None);
    assert_eq!(world.serves("production-api"), Some(1));
}

#[test]
fn a_mirror_moves_with_the_place_that_the_spec_names() {
    let mut world = running(1);
    world.edit("production", &json!({"cluster": {"namespace": "shop-us"}}));
    world.settle();
    let mirror = &world.elsewhere.live["production"];
    assert_eq!(mirror.target.key.namespace, "shop-us");
    assert_eq!(
        world.status("production").mirror.unwrap().namespace,
        "shop-us"
    );
}

#[test]
fn a_mirror_that_cannot_be_reached_is_left_behind_after_a_while() {
    let mut world = running(1);
    world.elsewhere.trouble = Some(Trouble::Unreachable);
    world.edit("production", &json!({"cluster": null}));
    world.reconcile("production");
    assert_eq!(reason(&world, "ClusterReady").unwrap(), "False Leaving");
    let left = world.status("production").mirror.unwrap();
    assert!(left.leaving_since.is_some());
    world.tick(299);
    world.reconcile("production");
    assert!(world.status("production").mirror.is_some());
    world.tick(1);
    world.reconcile("production");
    assert_eq!(world.status("production").mirror, None);
    assert!(!world.elsewhere.live.is_empty(), "it is still there");
}

#[test]
fn an_operator_plans_nothing_for_a_mirror_and_leaves_its_status() {
    let mirror = json!({
        "apiVersion": "slipway.dev/v1alpha1", "kind": "Environment",
        "metadata": {
            "name": "production", "namespace": "shop", "uid": "u", "generation": 2,
            "labels": {"slipway.dev/mirror-of": "shop.production"},
        },
        "spec": {
            "tier": "Staging", "promotion": {"from": {"pipelines": ["mirror"]}},
            "rollouts": [{"name": "nowhere"}],
        },
        "status": {"observedGeneration": 1, "phase": "Promoting", "message": "mirrors"},
    });
    let mirror: Environment = serde_json::from_value(mirror).unwrap();
    let before = serde_json::to_value(&mirror.status).unwrap();
    let seen = observe::cached(&Arc::new(mirror), &Caches::default());
    let plan = plan::plan(&seen, NOW);
    assert!(plan.actions.is_empty() && plan.wake.is_none(), "{plan:?}");
    let after = status::status(&seen, &plan, &Outcome::default(), NOW);
    assert_eq!(serde_json::to_value(after).unwrap(), before);
}
