//! What goes, and every reason for which something stays.

use std::slice::from_ref;

use serde_json::{Value, json};

use super::*;
use crate::pipeline_run::testing::digest;

const SHA: &str = "3f9c2e1b8d7a6f5e4d3c2b1a0f9e8d7c6b5a4f3e";

fn spec(tag: &Value) -> PipelineSpec {
    let mut spec = json!({
        "source": {"git": {"url": "https://git.example/shop/api.git"}},
        "stages": [
            {"name": "api", "type": "Build", "build": {
                "image": "r.example/shop/api", "mirrors": ["backup.example/shop/api"], "pushSecretRef": {"name": "registry"},
            }},
            {"name": "tags", "type": "Tag", "tag": {"names": ["{{branch}}", "{{shortSha}}"]}},
        ],
    });
    json_patch::merge(&mut spec["stages"][1], tag);
    serde_json::from_value(spec).unwrap()
}

/// A run that has pushed these, in this phase; a merge patch makes another one of it.
fn run(digests: &[char], change: &Value) -> PipelineRun {
    let artifacts = digests.iter().map(|digit| {
        json!({"name": "api", "kind": "Image", "ref": "r.example/shop/api", "digest": digest(*digit)})
    });
    let mut run = json!({
        "apiVersion": "slipway.dev/v1alpha1", "kind": "PipelineRun", "metadata": {"name": "api-1", "namespace": "shop"},
        "spec": {
            "pipelineRef": {"name": "api"}, "trigger": {"kind": "Push", "actor": "slipway"}, "ref": "refs/heads/main", "sha": SHA,
        },
        "status": {"phase": "Failed", "sha": SHA, "artifacts": artifacts.collect::<Value>()},
    });
    json_patch::merge(&mut run, change);
    serde_json::from_value(run).unwrap()
}

fn left_of(digits: &[char]) -> Left {
    let places = ["r.example/shop/api", "backup.example/shop/api"].map(|repository| Place {
        repository: repository.to_owned(),
        is_insecure: false,
        login: Some("registry".to_owned()),
    });
    Left {
        places: places.into(),
        digests: set(digits),
        tags: vec!["main".to_owned(), "3f9c2e1".to_owned()],
        pushed_as: None,
        sha: SHA.to_owned(),
    }
}

fn set(digits: &[char]) -> BTreeSet<String> {
    digits.iter().map(|digit| digest(*digit)).collect()
}

fn there(needed: &[char]) -> There {
    There {
        needed: set(needed),
        ..There::default()
    }
}

/// What goes, by the digit of each digest.
fn goes(left: &Left, named: &Named, there: &[There]) -> Vec<String> {
    let digit = |digest: &String| digest.chars().last().unwrap();
    let all = going(left, named, there).into_iter();
    all.map(|place| place.iter().map(digit).collect()).collect()
}

#[test]
fn a_run_that_failed_leaves_its_image_in_every_place() {
    let found = left(&run(&['1'], &json!({})), &spec(&json!({})));
    assert_eq!(found, [left_of(&['1'])]);
    assert_eq!(found[0].places[1].registry(), "backup.example");
}

#[test]
fn a_tag_that_buildah_cannot_do_without_is_no_use_of_an_image() {
    let of = |names: &Value| {
        let mut whole = serde_json::to_value(spec(&json!({"tag": {"names": names}}))).unwrap();
        whole["stages"][0]["build"]["builder"] = "Buildah".into();
        let found = left(
            &run(&['1'], &json!({})),
            &serde_json::from_value(whole).unwrap(),
        );
        found.into_iter().next().unwrap()
    };
    let own = of(&json!(["{{sha}}"]));
    for (tag, is_of_build) in [
        (format!("build-{SHA}"), true),
        (format!("build-{SHA}-linux-arm64"), true),
        (format!("build-{SHA}0"), false),
        (format!("build-{}", "a".repeat(40)), false),
        (SHA.to_owned(), false),
    ] {
        assert_eq!(own.is_of_build(&tag), is_of_build, "{tag}");
        assert!(!left_of(&['1']).is_of_build(&tag), "BuildKit leaves none");
        assert!(
            !of(&json!(["build-{{sha}}"])).is_of_build(&tag),
            "it is a tag of people's"
        );
    }
}

#[test]
fn images_of_platforms_are_left_too_whether_there_is_an_index_or_not() {
    let cells = json!([{"name": "amd64", "phase": "Succeeded", "digest": digest('2')}, {"name": "arm64", "phase": "Failed"}]);
    let stages = json!([{"name": "api", "type": "Build", "phase": "Failed", "cells": cells}]);
    let run = run(&[], &json!({"status": {"stages": stages}}));
    assert_eq!(left(&run, &spec(&json!({}))), [left_of(&['2'])]);
}

#[test]
fn what_was_released_or_may_be_or_is_of_other_people_is_not_left() {
    let pull = |fork: bool| {
        json!({
            "spec": {"ref": "refs/pull/7/head", "trigger": {"kind": "PullRequest", "pullRequest": {"number": 7, "fork": fork}}},
            "status": {"phase": "Succeeded"},
        })
    };
    let cases = [
        (json!({"status": {"release": "api-3f9c"}}), false),
        (json!({"status": {"phase": "Running"}}), false),
        (json!({"status": {"phase": "Succeeded"}}), false),
        (json!({"status": {"phase": "Cancelled"}}), true),
        (json!({"status": {"phase": "TimedOut"}}), true),
        (json!({"status": {"artifacts": null}}), false),
        (pull(false), true),
        (pull(true), false),
    ];
    for (change, is_left) in cases {
        let run = run(&['1'], &change);
        assert_eq!(may_leave(&run), is_left, "{change}");
        assert_eq!(
            left(&run, &spec(&json!({}))).len(),
            usize::from(is_left),
            "{change}"
        );
    }
    // Tried again by hand, it is still what it was.
    let mut origin = pull(true)["spec"]["trigger"].clone();
    origin["actor"] = "github:mallory".into();
    let again = json!({
        "spec": {"ref": "refs/pull/7/head", "trigger": {"kind": "Manual", "actor": "alice"}},
        "status": {"origin": origin},
    });
    assert!(!may_leave(&run(&['1'], &again)));
}

#[test]
fn nothing_goes_where_a_release_need_not_have_a_tag_that_stays() {
    let run = run(&['1'], &json!({}));
    let is_left = |tag: &Value| !left(&run, &spec(tag)).is_empty();
    assert!(is_left(&json!({"tag": {"names": ["v-{{sha}}"]}})));
    assert!(is_left(&json!({"tag": {"images": ["api"]}})));
    for tag in [
        json!({"tag": {"names": ["{{branch}}", "latest"]}}),
        json!({"tag": {"names": ["{{version}}"]}}),
        json!({"tag": {"images": ["other"]}}),
        json!({"when": "branch == 'main'"}),
    ] {
        assert!(!is_left(&tag), "{tag}");
    }
}

#[test]
fn a_repository_of_others_who_do_not_tag_is_left_alone() {
    let of = |stage: &Value| {
        let mut whole = serde_json::to_value(spec(&json!({}))).unwrap();
        whole["stages"].as_array_mut().unwrap().push(stage.clone());
        serde_json::from_value::<PipelineSpec>(whole).unwrap()
    };
    let place = "r.example/shop/api";
    assert!(is_tagged_there(&spec(&json!({})), place));
    assert!(!is_tagged_there(
        &spec(&json!({"tag": {"names": ["latest"]}})),
        place
    ));
    assert!(!is_tagged_there(
        &spec(&json!({"tag": {"names": ["latest"]}})),
        "backup.example/shop/api"
    ));
    let package = json!({
        "name": "pack", "type": "Custom", "image": "i", "run": "true",
        "packages": [{"name": "p", "files": ["a"], "repository": place}],
    });
    assert!(!is_tagged_there(&of(&package), place));
    let forks = json!({"name": "web", "type": "Build", "build": {"image": "r.example/shop/web", "forkImage": place}});
    assert!(!is_tagged_there(&of(&forks), place));
    assert!(is_tagged_there(&of(&forks), "r.example/shop/web"));
    let value = json!({"a": [{"b": place}]});
    assert!(mentions(&value, place) && !mentions(&value, "r.example/shop"));
}

#[test]
fn what_nothing_needs_goes_from_every_place() {
    let all = [there(&['8']), there(&['9'])];
    assert_eq!(goes(&left_of(&['1']), &Named::default(), &all), ["1", "1"]);
}

#[test]
fn what_a_tag_names_in_one_place_stays_in_all() {
    let all = [there(&[]), there(&['1'])];
    assert_eq!(goes(&left_of(&['1']), &Named::default(), &all), ["", ""]);
}

#[test]
fn what_another_object_names_stays() {
    let release = json!({
        "apiVersion": "slipway.dev/v1alpha1", "kind": "Release", "metadata": {"name": "api-3f9c", "namespace": "shop"},
        "spec": {
            "pipeline": "api", "ref": "refs/heads/main", "evidence": {"run": "api-2"},
            "images": [{"name": "api", "repository": "r.example/shop/api", "digest": digest('1')}],
            "commit": {"sha": SHA, "author": "a", "email": "b", "committedAt": "2026-11-21T10:00:00Z", "subject": "c"},
        },
    });
    let release: Release = serde_json::from_value(release).unwrap();
    let promotion = json!({
        "apiVersion": "slipway.dev/v1alpha1", "kind": "Promotion", "metadata": {"name": "production-1", "namespace": "shop"},
        "spec": {
            "environment": "production", "release": "api-3f9c", "pipeline": "api", "kind": "Promote", "attempt": 1,
            "requestedBy": "slipway", "images": [{"name": "api", "ref": format!("r.example/shop/api@{}", digest('1'))}],
        },
    });
    let promotion: Promotion = serde_json::from_value(promotion).unwrap();
    let cells = json!([{"name": "amd64", "phase": "Succeeded", "digest": digest('1')}]);
    let stages = json!([{"name": "web", "type": "Build", "phase": "Succeeded", "cells": cells}]);
    let image = format!("r.example/base:1@{}", digest('1'));
    let other = json!({"status": {"sha": "f".repeat(40)}});
    let attested = json!([{"image": "api", "kind": "Signature", "digest": digest('1')}]);
    let mut cases: Vec<(&str, Named)> = Vec::new();
    let mut add = |what: &'static str, fill: &dyn Fn(&mut Named)| {
        let mut named = Named::default();
        fill(&mut named);
        cases.push((what, named));
    };
    add("a run", &|named| named.add_run(&run(&['1'], &other)));
    add("a platform", &|named| {
        named.add_run(&run(&[], &json!({"status": {"stages": stages}})));
    });
    add("an artifact", &|named| {
        named.add_run(&run(&[], &json!({"status": {"attestations": attested}})));
    });
    add("a trigger", &|named| {
        named.add_run(&run(
            &[],
            &json!({"spec": {"trigger": {"kind": "Image", "image": image}}}),
        ));
    });
    add("a Release", &|named| named.add_release(&release));
    add("a promotion", &|named| named.add_promotion(&promotion));
    add("an object", &|named| {
        named.add_object(&json!({"image": [format!("sha256:12 {}x", digest('1'))]}));
    });
    for (what, named) in cases {
        assert_eq!(
            goes(&left_of(&['1']), &named, &[there(&[])]),
            [""],
            "{what}"
        );
        assert!(named.needs("", [digest('1')].iter()), "{what}");
        assert_eq!(
            goes(&left_of(&['3']), &named, &[there(&[])]),
            ["3"],
            "{what}"
        );
    }
}

#[test]
fn nothing_goes_of_a_commit_that_is_being_built() {
    for phase in ["Queued", "Running"] {
        let mut named = Named::default();
        named.add_run(&run(
            &[],
            &json!({"status": {"phase": phase, "artifacts": null}}),
        ));
        assert_eq!(
            goes(&left_of(&['1']), &named, &[there(&[])]),
            [""],
            "{phase}"
        );
        assert!(named.needs(SHA, [].iter()));
    }
    let mut named = Named::default();
    named.add_run(&run(&[], &json!({"status": null})));
    assert!(named.needs(SHA, [].iter()), "nobody has looked at it yet");
}

#[test]
fn an_index_goes_before_what_it_lists_and_all_before_what_is_said_about_it() {
    let mut place = there(&[]);
    place.parts.insert(digest('5'), set(&['1', '2']));
    place.about.insert(digest('5'), set(&['7', '8']));
    place.about.insert(digest('1'), set(&['8', '9']));
    let left = left_of(&['1', '5']);
    assert_eq!(goes(&left, &Named::default(), from_ref(&place)), ["512897"]);
    // A part that another image has too.
    place.needed = set(&['2']);
    assert_eq!(goes(&left, &Named::default(), from_ref(&place)), ["51897"]);
    // An index that stays keeps its parts, though nothing else needs them.
    let mut named = Named::default();
    named.add_text(&digest('5'));
    assert_eq!(goes(&left, &named, from_ref(&place)), [""]);
    // So does one that somebody has tagged something about.
    place.needed = set(&['7']);
    assert_eq!(goes(&left, &Named::default(), &[place]), [""]);
}

#[test]
fn what_is_released_is_known_by_its_repository() {
    let mut named = Named::default();
    let there = named.released.entry("backup.example/shop/api".to_owned());
    there.or_default().insert(digest('4'));
    let elsewhere = named.released.entry("r.example/shop/web".to_owned());
    elsewhere.or_default().insert(digest('5'));
    let left = left_of(&['1']);
    let found: Vec<&String> = named.released_in(&left).collect();
    assert_eq!(found, [&digest('4')]);
}

#[test]
fn lists_of_what_refers_to_an_image_are_no_tags_of_it() {
    for tag in lists_of(&digest('a')) {
        assert!(is_list(&tag), "{tag}");
    }
    assert_eq!(
        lists_of(&digest('a'))[1],
        crate::supply::simple::tag(&digest('a'))
    );
    let hex = "a".repeat(64);
    for tag in [
        "main".to_owned(),
        "sha256-abc".to_owned(),
        format!("sha256-{hex}-mine"),
        format!("sha256-{hex}0"),
        format!("sha256-{}", hex.to_uppercase()),
        format!("sha256-{}é", "a".repeat(63)),
    ] {
        assert!(!is_list(&tag), "{tag}");
    }
}

#[test]
fn what_became_of_it_comes_back_as_it_was_told() {
    let place = left_of(&[]).places.remove(0);
    let cleared = Cleared {
        told: ["r.example".to_owned()].into(),
        deleted: BTreeSet::new(),
        kept: vec![
            Refusal::unclear(&place, "it is down"),
            Refusal::refused(&place, "it answers 405"),
        ],
    };
    assert_eq!(Cleared::read(&Ok(cleared.reply())), Some(cleared));
    assert_eq!(Cleared::read(&Err("no answer".into())), None);
}
