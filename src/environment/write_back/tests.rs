//! What runs, and what a file in Git says of it.

use serde_json::{Value, json};

use super::*;
use crate::environment::testing::{NOW, Nature, Repository, World, digest};
use crate::model::object::ObjectKind;

/// A shop whose staging is written back into a file of kustomize.
fn shop(change: &Value) -> World {
    let mut world = World::shop();
    let mut spec = json!({
        "repository": {"url": "https://git.example/shop/config.git"},
        "kustomize": {"path": "overlays/staging/kustomization.yaml"},
    });
    json_patch::merge(&mut spec, change);
    world.edit("staging", &json!({"writeBack": spec}));
    world.repository.file = "# Ours.\nimages:\n- name: api # it\n  newTag: v0\n".to_owned();
    world
}

/// By pull requests.
fn asking() -> World {
    let provider = json!({"type": "Gitea", "tokenSecretRef": {"name": "git", "key": "token"}});
    shop(&json!({"mode": "PullRequest", "repository": {"provider": provider}}))
}

/// Lets everybody act for a while: who looks at an open pull request never rests.
fn act(world: &mut World) {
    for _ in 0..40 {
        world.settle_once();
        world.tick(1);
    }
}

fn says(world: &World, number: u32) -> bool {
    let file = format!(
        "# Ours.\nimages:\n- name: api # it\n  newName: registry.example/api\n  digest: {}\n",
        digest(number)
    );
    world.repository.file == file
}

fn status(world: &World) -> WriteBackStatus {
    world.status("staging").write_back.unwrap()
}

fn reason(world: &World) -> String {
    let conditions = world.status("staging").conditions;
    let mut all = conditions.into_iter();
    all.find(|one| one.type_ == WRITTEN_BACK).unwrap().reason
}

#[test]
fn each_change_of_what_runs_is_one_commit_and_a_way_back_is_another() {
    let mut world = shop(&json!({}));
    world.settle();
    assert_eq!(world.status("staging").write_back, None, "nothing runs yet");
    world.release(1, Nature::Good);
    world.settle();
    assert!(says(&world, 1), "{}", world.repository.file);
    let written = status(&world);
    assert_eq!(
        (written.state, written.attempts),
        (WriteBackState::Written, None)
    );
    assert_eq!(written.release, "shop-1");
    assert!(written.since.0 > NOW && written.written_at.is_some());
    assert_eq!(world.condition("staging", WRITTEN_BACK), Some(true));
    let message = &world.repository.commits[0];
    assert_eq!(
        *message,
        format!(
            "staging runs shop-1 [skip ci]\n\nSlipway-Release: shop-1\nSlipway-Promotion: {}\nSlipway-Digest: api {}\n\
             Slipway-Environment: shop/staging\n",
            written.promotion,
            digest(1)
        )
    );

    // What never ran is never written.
    world.release(2, Nature::Breaks);
    world.settle();
    assert_eq!(world.repository.commits.len(), 1);
    world.release(3, Nature::Good);
    world.settle();
    assert!(says(&world, 3));
    world.decide("alice", "Rollback", "staging", &json!({}));
    world.settle();
    assert_eq!(world.runs("staging").0, "shop-1");
    assert!(says(&world, 1), "{}", world.repository.file);
    assert_eq!(world.repository.commits.len(), 3);
    assert_eq!(world.writes_at_rest(&["staging"]), 0);

    // What people make of the file is theirs, until something else runs.
    world.repository.file = "images: []\n".to_owned();
    world.settle();
    assert_eq!(world.repository.commits.len(), 3);
}

#[test]
fn an_operator_that_dies_at_any_point_commits_once() {
    for fuse in 0..60 {
        let mut world = shop(&json!({}));
        world.fuse = Some(fuse);
        world.release(1, Nature::Good);
        world.settle();
        world.fuse = None;
        assert!(says(&world, 1), "{fuse}");
        assert_eq!(world.repository.commits.len(), 1, "{fuse}");
        world.wipe_all(ObjectKind::Environment);
        world.settle();
        assert_eq!(world.repository.commits.len(), 1, "{fuse}");
        assert_eq!(status(&world).state, WriteBackState::Written);
    }
}

#[test]
fn a_repository_that_does_not_answer_holds_nothing_up_and_is_tried_again() {
    let mut world = shop(&json!({}));
    world.repository.outage = Some("no answer from git.example within 20 s".into());
    world.release(1, Nature::Good);
    world.settle();
    assert_eq!(world.told("staging"), ["Promote shop-1 Succeeded"]);
    assert_eq!(world.condition("staging", "Ready"), Some(true));
    let before = status(&world);
    assert_eq!(before.state, WriteBackState::Pending);
    assert!(
        before.attempts > Some(3) && before.next_at.is_some(),
        "{before:?}"
    );
    assert_eq!(reason(&world), "Unreachable");
    let message = before.message.clone().unwrap();
    assert!(message.contains("no answer"), "{message}");

    // What runs by then is written, and nothing in between.
    world.release(2, Nature::Good);
    world.settle();
    let later = status(&world);
    assert!(later.since.0 > before.since.0, "{later:?}");
    world.repository.outage = None;
    world.tick(1800);
    world.settle();
    assert!(says(&world, 2));
    assert_eq!(world.repository.commits.len(), 1);
    let after = status(&world);
    assert_eq!(
        (after.reason, after.attempts, after.next_at),
        (None, None, None)
    );
}

#[test]
fn certificates_that_are_not_there_are_named() {
    let mut world = shop(&json!({}));
    world.release(1, Nature::Good);
    world.settle();
    let key = crate::model::key::Key::new("shop", "staging");
    let environment = world.caches.environments.get(&key).unwrap();
    let mut seen = crate::environment::observe::cached(&environment, &world.caches);
    seen.status.write_back = None;
    seen.write_back = Err("there is no ConfigMap ca; create it".into());
    let current = seen.status.current.clone();
    let outlook = plan(&seen, &current, true, world.now);
    let status = outlook.status.unwrap();
    assert_eq!((outlook.action, status.attempts), (None, Some(1)));
    assert!(outlook.wake > Some(world.now));
    let (is_good, reason, text) = said(seen.spec.write_back.as_ref().unwrap(), &status);
    assert_eq!((is_good, reason.as_str()), (false, "NotFound"));
    assert!(text.contains("no ConfigMap ca"), "{text}");
    // Nothing else waits for it, and it waits for everything else.
    seen.write_back = Ok(None);
    assert_eq!(plan(&seen, &current, false, world.now).action, None);
    assert!(plan(&seen, &current, true, world.now).action.is_some());
}

#[test]
fn a_pull_request_is_looked_at_until_it_is_merged() {
    let mut world = asking();
    let look = |world: &mut World| {
        for _ in 0..4 {
            world.tick(601);
            world.reconcile("staging");
        }
    };
    world.release(1, Nature::Good);
    act(&mut world);
    let asked = status(&world);
    assert_eq!(asked.state, WriteBackState::Proposed, "{asked:?}");
    assert_eq!(asked.pull_request.unwrap().number, 7);
    assert_eq!(reason(&world), "Proposed");
    assert!(world.repository.file.contains("v0"), "nobody has merged it");
    let url = asked.url.unwrap();
    assert!(
        url.starts_with("https://git.example/shop/config/commit/0000"),
        "{url}"
    );
    look(&mut world);
    assert_eq!(world.repository.commits.len(), 1);

    // Merged.
    world.repository.file = world.repository.proposed.take().unwrap();
    look(&mut world);
    assert_eq!(status(&world).state, WriteBackState::Written);
    assert!(says(&world, 1));

    // The next one is closed by people, and not opened again.
    world.release(2, Nature::Good);
    act(&mut world);
    assert_eq!(status(&world).state, WriteBackState::Proposed);
    world.repository.proposed = None;
    look(&mut world);
    assert_eq!(status(&world).state, WriteBackState::Declined);
    assert_eq!(reason(&world), "Declined");
    look(&mut world);
    assert_eq!(world.repository.proposed, None);
    assert!(says(&world, 1));
}

#[test]
fn values_of_a_chart_get_what_their_keys_ask_for() {
    let keys = json!({
        "api": {"repository": "image.repository", "digest": "image.digest", "tag": "image.tag", "image": "jobs.0.image"},
        "web": {"digest": "web.digest"},
    });
    let mut world =
        shop(&json!({"kustomize": null, "helmValues": {"path": "values.yaml", "keys": keys}}));
    world.repository.file = "jobs: [{image: a}]\nimage: {repository: b}\n".to_owned();
    world.release(1, Nature::Good);
    world.settle();
    let digest = digest(1);
    assert_eq!(
        world.repository.file,
        format!(
            "jobs: [{{image: registry.example/api@{digest}}}]\n\
             image: {{repository: registry.example/api, digest: {digest}, tag: shop-1@{digest}}}\n"
        )
    );
}

#[test]
fn words_of_people_are_filled_in_and_another_place_is_written_anew() {
    let author = json!({"name": "Shop", "email": "shop@example.com"});
    let title = "deploy({{namespace}}): {{release}} in {{environment}}";
    let mut world = shop(&json!({"title": title, "author": author}));
    world.release(1, Nature::Good);
    world.settle();
    let message = &world.repository.commits[0];
    assert!(
        message.starts_with("deploy(shop): shop-1 in staging\n\n"),
        "{message}"
    );
    // Other words alone call for no commit; another branch does.
    world.edit("staging", &json!({"writeBack": {"title": "x"}}));
    world.settle();
    assert_eq!(world.repository.commits.len(), 1);
    world.repository = Repository::default();
    world.edit(
        "staging",
        &json!({"writeBack": {"repository": {"branch": "live"}}}),
    );
    world.settle();
    assert_eq!(world.repository.commits.len(), 1);
    world.edit("staging", &json!({"writeBack": null}));
    world.settle();
    assert_eq!(world.status("staging").write_back, None);
    assert_eq!(world.condition("staging", WRITTEN_BACK), None);
}

#[test]
fn clusters_with_names_share_no_branch_and_know_their_own_commits() {
    let mut world = asking();
    world.cluster_name = Some("prod-eu".to_owned());
    world.release(1, Nature::Good);
    act(&mut world);
    let message = &world.repository.commits[0];
    assert!(
        message.ends_with("Slipway-Environment: prod-eu/shop/staging\n"),
        "{message}"
    );
    assert_eq!(world.repository.branch, "slipway/prod-eu/shop/staging");
    let before = status(&world).content;
    world.cluster_name = Some("prod-us".to_owned());
    act(&mut world);
    assert_ne!(status(&world).content, before);
    assert_eq!(world.repository.branch, "slipway/prod-us/shop/staging");
}

#[test]
fn nothing_is_written_while_something_is_more_urgent() {
    let mut world = shop(&json!({}));
    world.repository.outage = Some("away".into());
    world.release(1, Nature::Good);
    world.settle();
    let key = crate::model::key::Key::new("shop", "staging");
    let environment = world.caches.environments.get(&key).unwrap();
    let seen = crate::environment::observe::cached(&environment, &world.caches);
    let current = seen.status.current.clone();
    let later = world.now + SignedDuration::from_hours(1);
    assert!(plan(&seen, &current, true, later).action.is_some());
    let busy = plan(&seen, &current, false, later);
    let state = busy.status.map(|status| status.state);
    assert_eq!((busy.action, state), (None, Some(WriteBackState::Pending)));
}

#[test]
fn several_files_are_one_change() {
    let files = json!([
        {"kustomize": {"path": "eu/kustomization.yaml"}},
        {"helmValues": {"path": "values.yaml", "keys": {"web": {"tag": "tag"}}}},
        {"helmValues": {"path": "us/values.yaml", "keys": {"api": {"digest": "image.digest"}}}},
    ]);
    let mut world = shop(&json!({"kustomize": null, "files": files}));
    world.release(1, Nature::Good);
    world.settle();
    assert_eq!(
        world.repository.paths,
        ["eu/kustomization.yaml", "us/values.yaml"]
    );
    assert_eq!(world.repository.commits.len(), 1);
    assert!(says(&world, 1));
}

#[test]
fn people_hear_once_of_each_turn() {
    let mut world = shop(&json!({}));
    world.release(1, Nature::Good);
    world.settle();
    let key = crate::model::key::Key::new("shop", "staging");
    let environment = world.caches.environments.get(&key).unwrap();
    let spec = environment.spec.write_back.as_ref().unwrap();
    let written = status(&world);
    let mut pending = written.clone();
    pending.state = WriteBackState::Pending;
    assert_eq!(news(spec, None, Some(&pending)), None);
    let told = news(spec, Some(&pending), Some(&written)).unwrap();
    assert_eq!(told.reason, "WrittenBack");
    assert!(
        told.message.starts_with("main says shop-1 since 0000"),
        "{}",
        told.message
    );
    assert_eq!(news(spec, Some(&written), Some(&written)), None);
    let mut failed = pending.clone();
    in_vain(&mut failed, &Trouble::new("Refused", "no"), world.now);
    let told = news(spec, Some(&pending), Some(&failed)).unwrap();
    assert_eq!(told.reason, "WriteBackFailed");
    let mut again = failed.clone();
    in_vain(&mut again, &Trouble::new("Refused", "no"), world.now);
    assert_eq!(news(spec, Some(&failed), Some(&again)), None);
}
