//! Golden build containers, and what holds for any of them.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::pipeline::testing::{sha, spec};
use crate::pipeline_run::render::{At, job};
use crate::pipeline_run::testing::a_run;

/// The pod of a build, where the operator allows everything.
fn pod(build: &Value, branch: &str) -> Value {
    let mut seen = a_run();
    seen.spec.git_ref = format!("refs/heads/{branch}");
    seen.images.isolations = Isolation::ALL.to_vec();
    let mut spec = spec();
    let mut whole = serde_json::to_value(&spec.stages[1].build).unwrap();
    json_patch::merge(&mut whole, build);
    spec.stages[1].build = serde_json::from_value(whole).unwrap();
    let sha = sha('a');
    let at = At {
        sha: &sha,
        since: None,
        reports_changes: false,
        cell: None,
        attempt: 1,
        result: None,
        run: &seen.status,
    };
    let job = job(&seen, &spec, &spec.stages[1], at);
    job.body["spec"]["template"]["spec"].clone()
}

fn told(pod: &Value) -> BuildTask {
    let env = pod["containers"][0]["env"].as_array().unwrap();
    let task = env
        .iter()
        .find(|env| env["name"] == task::VARIABLE)
        .unwrap();
    let text = task["value"].as_str().unwrap().replace("$$", "$");
    serde_json::from_str(&text).unwrap()
}

#[test]
fn everything_that_there_is() {
    let build = json!({
        "isolation": "Rootless", "target": "runtime",
        "secrets": [
            {"id": "npm", "secretRef": {"name": "npm", "key": "token"}},
            {"id": "pip", "secretRef": {"name": "index", "key": "pip.conf"}},
        ],
        "labels": {"team": "shop", "org.opencontainers.image.source": "https://elsewhere.example"},
        "mirrors": ["backup.example/shop/api"],
        "pushSecretRef": {"name": "registry"}, "cache": {"export": "EveryBranch"},
    });
    insta::assert_yaml_snapshot!(pod(&build, "feature/a"));
}

#[test]
fn each_isolation_takes_the_rights_that_it_needs_and_no_others() {
    let rights = |isolation: &str| {
        let builder = if isolation == "Chroot" {
            "Buildah"
        } else {
            "BuildKit"
        };
        let pod = pod(&json!({"builder": builder, "isolation": isolation}), "main");
        let rights = pod["containers"][0]["securityContext"].clone();
        (rights, pod.get("hostUsers").cloned())
    };
    let (privileged, host_users) = rights("Privileged");
    assert_eq!(privileged["privileged"], true);
    assert_eq!(host_users, None);
    let (inside, host_users) = rights("UserNamespace");
    assert_eq!(inside["privileged"], true);
    assert_eq!(host_users, Some(false.into()));
    for isolation in ["Rootless", "Chroot"] {
        let (unprivileged, host_users) = rights(isolation);
        assert_eq!(unprivileged.get("privileged"), None);
        assert_eq!(unprivileged["capabilities"]["drop"], json!(["ALL"]));
        assert_eq!(host_users, None);
    }
}

#[test]
fn the_cache_of_the_default_branch_is_read_by_all_and_written_by_itself() {
    let cache =
        |cache: Value, branch: &str| told(&pod(&json!({"cache": cache}), branch)).cache.unwrap();
    let main = cache(json!({}), "main");
    assert_eq!(
        (main.from, main.to),
        (vec!["cache-main".into()], Some("cache-main".into()))
    );
    let feature = cache(json!({}), "feature");
    assert_eq!(feature.from, ["cache-feature", "cache-main"]);
    assert_eq!(feature.to, None);
    let every = cache(
        json!({"export": "EveryBranch", "repository": "r.example/cache"}),
        "feature",
    );
    assert_eq!(every.to.as_deref(), Some("cache-feature"));
    assert_eq!(every.repository, "r.example/cache");
    assert_eq!(cache(json!({"export": "Never"}), "main").to, None);
}

#[test]
fn a_run_that_does_not_push_says_so() {
    assert!(told(&pod(&json!({}), "main")).pushes);
    assert!(!told(&pod(&json!({"pushOn": ["Manual"]}), "main")).pushes);
    assert!(!told(&pod(&json!({"pushOn": []}), "main")).pushes);
}

proptest! {
    #[test]
    fn the_tag_of_a_cache_is_one(branch in ".{1,300}", other in ".{1,300}") {
        let tag = cache_tag(&branch, None);
        prop_assert!(tag.len() <= MAX_TAG);
        prop_assert!(tag.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c)));
        prop_assert_eq!(branch == other, tag == cache_tag(&other, None));
        prop_assert_ne!(&tag, &cache_tag(&branch, Some("linux/arm64")));
    }
}
