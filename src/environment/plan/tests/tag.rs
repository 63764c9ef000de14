//! Stories of the tag of what an Environment has.

use jiff::SignedDuration;
use serde_json::json;

use crate::environment::api::TaggedImage;
use crate::environment::testing::{Nature, World, digest};
use crate::model::action::Errand;
use crate::model::object::ObjectKind;

/// Staging, whose images get a tag.
fn staging() -> World {
    let mut world = World::shop();
    let rule = json!({"imageTag": {"name": "staging", "registrySecretName": "registry"}});
    world.edit("staging", &rule);
    world
}

/// The digests that registries were asked to give the tag, in their order.
fn put(world: &World) -> Vec<String> {
    let asked = world
        .sent
        .iter()
        .filter_map(|request| match request.errand.as_deref() {
            Some(Errand::Tagged(question)) => Some(question),
            _ => None,
        });
    let put = asked.map(|question| {
        assert_eq!(
            (question.tag.as_str(), question.repository.as_str()),
            ("staging", "registry.example/api")
        );
        let (namespace, login) = question.login.clone().unwrap();
        assert_eq!(
            (namespace.as_str(), login.name.as_str()),
            ("shop", "registry")
        );
        question.to.clone().unwrap()
    });
    put.collect()
}

fn tagged(world: &World) -> TaggedImage {
    let mut all = world.status("staging").tagged;
    assert_eq!(all.len(), 1, "{all:?}");
    all.remove(0)
}

#[test]
fn the_tag_follows_what_has_succeeded_and_nothing_else() {
    let mut world = staging();
    world.settle();
    assert!(put(&world).is_empty());
    world.release(1, Nature::Good);
    world.settle();
    assert_eq!(put(&world), [digest(1)]);
    assert_eq!(tagged(&world).tag.as_deref(), Some("staging"));
    world.release(2, Nature::FailsSmoke);
    world.settle();
    assert_eq!(put(&world), [digest(1)], "it had it all the time");
    world.release(3, Nature::Good);
    world.settle();
    assert_eq!(put(&world), [digest(1), digest(3)]);
    // A way back brings it back, and a lost status costs one more try.
    world.decide("alice", "Rollback", "staging", &json!({}));
    world.settle();
    assert_eq!(put(&world)[2..], [digest(1)]);
    world.wipe(ObjectKind::Environment, "staging");
    world.settle();
    assert_eq!(put(&world)[3..], [digest(1)]);
    // Without the rule there is nothing to say.
    world.edit("staging", &json!({"imageTag": null}));
    world.settle();
    assert!(world.status("staging").tagged.is_empty());
}

#[test]
fn a_registry_that_refuses_holds_nothing_up_and_is_asked_again() {
    let mut world = World::shop();
    world.release(1, Nature::Good);
    world.settle();
    world.receiver = 404;
    let rule = json!({"imageTag": {"name": "staging", "registrySecretName": "registry"}});
    world.edit("staging", &rule);
    let wake = world.reconcile("staging");
    assert_eq!(wake, Some(world.now + SignedDuration::from_mins(1)));
    let shown = tagged(&world);
    assert_eq!(shown.tag, None);
    assert!(shown.message.unwrap().contains("not have the image"));
    world.tick(30);
    world.reconcile("staging");
    assert_eq!(put(&world).len(), 1, "not before a minute is over");
    world.receiver = 200;
    world.tick(31);
    world.reconcile("staging");
    let shown = tagged(&world);
    assert_eq!(
        (shown.tag.as_deref(), shown.message),
        (Some("staging"), None)
    );
    assert_eq!(put(&world).len(), 2);
}
