//! Stories of Releases that are promoted as one.

use serde_json::json;

use crate::dora::record::Line;
use crate::environment::testing::{Nature, World};
use crate::model::object::ObjectKind;

/// Both Pipelines have a Release of the first commit, which runs in both Environments.
fn running(together: &str) -> World {
    let mut world = World::sets(together);
    both(&mut world, 1);
    world.settle();
    approve(&mut world);
    assert_eq!(world.serves_both("production"), [Some(1), Some(1)]);
    world
}

fn both(world: &mut World, number: u32) {
    world.part("api", (number, number), Nature::Good);
    world.part("web", (number, number), Nature::Good);
}

/// Somebody approves of what waits in production.
fn approve(world: &mut World) {
    let release = world
        .promotions_of("production")
        .pop()
        .unwrap()
        .spec
        .release;
    world.decide(
        "alice",
        "Approve",
        "production",
        &json!({"release": release}),
    );
    world.settle();
}

#[test]
fn a_part_of_a_set_never_goes_out() {
    let mut world = running("Commit");
    world.part("api", (2, 2), Nature::Good);
    world.settle();
    assert_eq!(world.serves_both("staging"), [Some(1), Some(1)]);
    let message = world.message("staging");
    assert!(message.contains("waits for a Release of web"), "{message}");
    world.part("web", (2, 2), Nature::Good);
    world.settle();
    assert_eq!(
        world.told_of_parts("staging"),
        [
            "Promote api-1+web-1 Succeeded",
            "Promote api-2+web-2 Succeeded"
        ]
    );
    assert_eq!(world.serves_both("staging"), [Some(2), Some(2)]);
}

#[test]
fn a_set_stays_together_in_the_environments_after() {
    let mut world = running("Commit");
    both(&mut world, 2);
    world.settle();
    assert_eq!(
        world.told_of_parts("production")[1..],
        ["Promote api-2+web-2 AwaitingApproval"]
    );
    assert_eq!(world.serves_both("production"), [Some(1), Some(1)]);
    approve(&mut world);
    assert_eq!(world.serves_both("production"), [Some(2), Some(2)]);
    let (staging, production) = (world.runs("staging"), world.runs("production"));
    assert_eq!(staging, production, "it has one name everywhere");
    assert!(staging.0.starts_with("shop-"), "{staging:?}");
}

#[test]
fn the_way_back_takes_all_members_back() {
    let mut world = running("Commit");
    world.part("api", (2, 2), Nature::Good);
    world.part("web", (2, 2), Nature::Breaks);
    world.settle();
    assert_eq!(
        world.told_of_parts("staging")[1..],
        [
            "Promote api-2+web-2 RolledBack",
            "Rollback api-1+web-1 Succeeded"
        ]
    );
    assert_eq!(world.serves_both("staging"), [Some(1), Some(1)]);
    let holds = world.status("staging").holds;
    assert!(holds[0].release.as_ref().unwrap().starts_with("shop-"));
    assert_eq!(world.told("production").len(), 1, "nothing of it goes on");
    both(&mut world, 3);
    world.settle();
    assert_eq!(world.serves_both("staging"), [Some(3), Some(3)]);
}

#[test]
fn a_member_that_is_held_holds_the_set() {
    let mut world = running("Newest");
    world.decide("bob", "Hold", "staging", &json!({"release": "web-2"}));
    both(&mut world, 2);
    world.settle();
    assert_eq!(world.serves_both("staging"), [Some(1), Some(1)]);
    world.decide("bob", "Resume", "staging", &json!({"release": "web-2"}));
    world.settle();
    assert_eq!(world.serves_both("staging"), [Some(2), Some(2)]);
    world.decide("bob", "Veto", "production", &json!({"release": "api-2"}));
    world.settle();
    assert_eq!(
        world.told_of_parts("production")[1..],
        ["Promote api-2+web-2 Failed"]
    );
}

#[test]
fn a_member_that_is_held_before_takes_the_set_back_where_it_was_revoked() {
    let mut world = running("Commit");
    let on = json!({"rollback": {"on": ["GateRevoked"], "within": "1h"}});
    world.edit("production", &on);
    both(&mut world, 2);
    world.settle();
    approve(&mut world);
    assert_eq!(world.serves_both("production"), [Some(2), Some(2)]);
    world.decide("bob", "Hold", "staging", &json!({"release": "web-2"}));
    world.settle();
    assert_eq!(world.serves_both("production"), [Some(1), Some(1)]);
}

#[test]
fn the_newest_of_each_make_a_set_anew() {
    let mut world = running("Newest");
    world.part("web", (2, 7), Nature::Good);
    world.settle();
    world.part("api", (2, 8), Nature::Good);
    world.settle();
    assert_eq!(
        world.told_of_parts("staging")[1..],
        [
            "Promote api-1+web-2 Succeeded",
            "Promote api-2+web-2 Succeeded"
        ]
    );
    assert_eq!(
        world.told_of_parts("production")[1..],
        [
            "Promote api-1+web-2 Superseded",
            "Promote api-2+web-2 AwaitingApproval"
        ]
    );
}

#[test]
fn whoever_names_a_member_gets_the_set() {
    let mut world = World::sets("Newest");
    world.edit("staging", &json!({"promotion": {"mode": "Manual"}}));
    both(&mut world, 1);
    world.settle();
    assert_eq!(world.told("staging"), [""; 0]);
    world.decide("bob", "Promote", "staging", &json!({"release": "web-1"}));
    world.settle();
    assert_eq!(
        world.told_of_parts("staging"),
        ["Promote api-1+web-1 Succeeded"]
    );
}

#[test]
fn an_author_of_any_member_does_not_approve() {
    let mut world = running("Commit");
    let rule = json!({"protection": {"approvals": {"preventAuthorApproval": true}}});
    world.edit("production", &rule);
    both(&mut world, 2);
    world.settle();
    let release = world
        .promotions_of("production")
        .pop()
        .unwrap()
        .spec
        .release;
    let release = json!({"release": release});
    for author in ["author-of-api", "author-of-web"] {
        world.decide(author, "Approve", "production", &release);
    }
    world.settle();
    assert_eq!(world.serves_both("production"), [Some(1), Some(1)]);
    world.decide("carol", "Approve", "production", &release);
    world.settle();
    assert_eq!(world.serves_both("production"), [Some(2), Some(2)]);
}

#[test]
fn each_member_has_to_come_from_where_releases_come_from() {
    let mut world = World::sets("Commit");
    let sources = json!({"protection": {"sources": {"branches": ["main"]}}});
    world.edit("staging", &sources);
    both(&mut world, 1);
    world.amend("web-1", &json!({"ref": "refs/heads/other"}));
    world.settle();
    assert_eq!(world.serves_both("staging"), [None, None]);
    let message = world.message("staging");
    assert!(
        message.contains("web-1 was built from refs/heads/other"),
        "{message}"
    );
}

#[test]
fn images_of_one_name_are_no_set() {
    let mut world = World::sets("Commit");
    both(&mut world, 1);
    let images = world.object(ObjectKind::Release, "api-1")["spec"]["images"].clone();
    world.amend("web-1", &json!({"images": images}));
    world.settle();
    assert_eq!(world.told("staging"), [""; 0]);
    let message = world.message("staging");
    assert!(message.contains("both have an image api"), "{message}");
}

#[test]
fn what_ran_alone_goes_into_a_set_and_out_of_it() {
    let mut world = World::sets("Newest");
    world.edit("staging", &json!({"promotion": {"set": null}}));
    both(&mut world, 1);
    world.settle();
    assert_eq!(world.told("staging").len(), 2);
    let set = json!({"name": "shop", "pipelines": ["api", "web"], "together": "Newest"});
    world.edit("staging", &json!({"promotion": {"set": set}}));
    world.settle();
    world.part("api", (2, 2), Nature::Good);
    world.settle();
    assert_eq!(world.serves_both("staging"), [Some(2), Some(1)]);
    assert_eq!(world.status("staging").desired.len(), 1);
    world.edit("staging", &json!({"promotion": {"set": null}}));
    world.part("web", (2, 2), Nature::Good);
    world.settle();
    assert_eq!(world.serves_both("staging"), [Some(2), Some(2)]);
}

#[test]
fn a_set_comes_back_with_its_records_and_its_statuses() {
    let mut world = running("Commit");
    both(&mut world, 2);
    world.settle();
    approve(&mut world);
    let name = world.status("production").current[0].promotion.clone();
    world.delete(ObjectKind::Promotion, &name);
    world.settle();
    let again = world.object(ObjectKind::Promotion, &name);
    assert_eq!(again["spec"]["members"][1]["release"], "web-2");
    for kind in [ObjectKind::Environment, ObjectKind::Promotion] {
        world.wipe_all(kind);
    }
    world.settle();
    for environment in ["staging", "production"] {
        assert_eq!(world.serves_both(environment), [Some(2), Some(2)]);
        assert_eq!(world.status(environment).desired.len(), 1);
    }
}

/// What staging is told to run, by Pipeline or set, and each image.
fn told_to_run(world: &World) -> Vec<(String, Vec<String>)> {
    let all = world.status("staging").desired.into_iter();
    let all = all.map(|of| {
        let images = of.images.into_iter().map(|image| image.reference);
        (
            of.release.split('-').next().unwrap().to_owned(),
            images.collect(),
        )
    });
    all.collect()
}

#[test]
fn what_is_taken_out_of_a_set_of_the_same_name_stays_as_it_was() {
    let mut world = World::sets("Newest");
    let three = ["api", "db", "web"];
    let set = json!({"name": "shop", "pipelines": three, "together": "Newest"});
    let promotion = json!({"from": {"pipelines": three}, "set": set});
    world.edit("staging", &json!({"promotion": promotion}));
    for pipeline in three {
        world.part(pipeline, (1, 1), Nature::Good);
    }
    world.settle();
    assert_eq!(told_to_run(&world).len(), 1);
    let brought = told_to_run(&world)[0].1.clone();
    assert_eq!(brought.len(), 3);
    let set = json!({"name": "shop", "pipelines": ["api", "web"], "together": "Newest"});
    world.edit("staging", &json!({"promotion": {"set": set}}));
    both(&mut world, 2);
    world.settle();
    assert_eq!(world.serves_both("staging"), [Some(2), Some(2)]);
    let told = told_to_run(&world);
    assert_eq!(told.len(), 2, "{told:?}");
    let (name, images) = &told[0];
    assert_eq!(name, "db");
    assert!(
        brought.contains(&images[0]),
        "it is that of the set: {told:?}"
    );
    assert_eq!((images.len(), told[1].1.len()), (1, 2));
}

#[test]
fn a_set_of_a_commit_takes_back_nothing_that_runs_alone() {
    let mut world = World::sets("Commit");
    world.edit("staging", &json!({"promotion": {"set": null}}));
    both(&mut world, 1);
    both(&mut world, 2);
    world.part("api", (3, 3), Nature::Good);
    world.settle();
    assert_eq!(world.serves_both("staging"), [Some(3), Some(2)]);
    let set = json!({"name": "shop", "pipelines": ["api", "web"], "together": "Commit"});
    world.edit("staging", &json!({"promotion": {"set": set}}));
    world.settle();
    assert_eq!(world.serves_both("staging"), [Some(3), Some(2)]);
    world.part("web", (3, 3), Nature::Good);
    world.settle();
    assert_eq!(world.serves_both("staging"), [Some(3), Some(3)]);
}

#[test]
fn what_left_a_set_is_compared_with_what_the_set_brought_and_does_not_go_back_behind_it() {
    let mut world = World::sets("Newest");
    world.edit("staging", &json!({"promotion": {"set": null}}));
    both(&mut world, 1);
    world.settle();
    let set = json!({"name": "shop", "pipelines": ["api", "web"], "together": "Newest"});
    world.edit("staging", &json!({"promotion": {"set": set}}));
    both(&mut world, 3);
    world.settle();
    assert_eq!(world.serves_both("staging"), [Some(3), Some(3)]);
    world.edit("staging", &json!({"promotion": {"set": null}}));
    world.settle();
    let known = world.told("staging").len();
    assert_eq!(known, 3, "nothing is newer than the set");
    world.part("web", (4, 4), Nature::Breaks);
    world.settle();
    let told = world.told("staging");
    assert_eq!(told[known..], ["Promote web-4 Failed"], "no way back");
    assert_eq!(world.serves("staging-api"), Some(3));
}

#[test]
fn a_set_with_the_name_of_a_pipeline_is_none() {
    let mut world = World::sets("Newest");
    // Where Releases come from Pipelines, admission refuses this.
    let from = json!({"pipelines": ["api", "shop", "web"]});
    world.edit("staging", &json!({"promotion": {"from": from}}));
    world.part("shop", (1, 1), Nature::Good);
    both(&mut world, 1);
    world.settle();
    let told = world.told("staging");
    let of_set = told.iter().filter(|told| !told.contains("shop-1 "));
    assert_eq!(of_set.count(), 0, "{told:?}");
}

/// How many commits each promotion to staging brought, and whether it was a repair, in their order.
fn brought(world: &World) -> Vec<(usize, bool)> {
    let pages = world.names(ObjectKind::ControllerRevision).into_iter();
    let pages = pages.filter(|name| name.starts_with("staging-ledger-"));
    let lines = pages.flat_map(|name| {
        let page = world.object(ObjectKind::ControllerRevision, &name);
        serde_json::from_value::<Vec<Line>>(page["data"]["lines"].clone()).unwrap()
    });
    let mut lines: Vec<Line> = lines.collect();
    lines.sort_by_key(|line| line.number);
    lines.dedup_by_key(|line| line.number);
    let lines = lines.into_iter();
    lines
        .map(|line| (line.leads.len(), line.is_hotfix))
        .collect()
}

#[test]
fn of_a_set_only_what_did_not_run_before_counts_as_brought_and_as_a_repair() {
    let mut world = World::sets("Newest");
    let hotfixes = json!({"branches": ["hotfix/*"]});
    world.edit("staging", &json!({"protection": {"hotfixes": hotfixes}}));
    let repair = json!({"ref": "refs/heads/hotfix/pay"});
    both(&mut world, 1);
    world.settle();
    // What runs already is a repair, and the news are none; then the other way round.
    world.part("web", (2, 7), Nature::Good);
    world.amend("web-2", &repair);
    world.settle();
    world.part("web", (3, 8), Nature::Good);
    world.part("api", (2, 9), Nature::Good);
    world.amend("api-2", &repair);
    world.settle();
    // Both first ones are of one commit.
    assert_eq!(brought(&world), [(1, false), (1, true), (2, false)]);
}

#[test]
fn a_conflict_that_is_over_does_not_hide_what_a_set_waits_for() {
    let mut world = World::sets("Commit");
    both(&mut world, 1);
    let images = world.object(ObjectKind::Release, "api-1")["spec"]["images"].clone();
    world.amend("web-1", &json!({"images": images}));
    world.settle();
    assert!(world.message("staging").contains("both have an image api"));
    world.part("api", (2, 2), Nature::Good);
    world.settle();
    let message = world.message("staging");
    assert!(message.contains("waits for a Release of web"), "{message}");
    world.part("web", (2, 2), Nature::Good);
    world.settle();
    assert_eq!(world.serves_both("staging"), [Some(2), Some(2)]);
    let message = world.message("staging");
    assert!(!message.contains("both have an image"), "{message}");
}
