//! Stories of copies of ConfigMaps and Secrets: each is told of both.

use super::*;
use crate::model::key::Key;
use crate::model::manifest::Target;
use crate::rollout::api::RolloutSpec;
use crate::rollout::config::{Named, Source, Sources};
use crate::rollout::observed::Owned;
use crate::rollout::spec::{Around, Images, Spec};

const KINDS: [ObjectKind; 2] = [ObjectKind::ConfigMap, ObjectKind::Secret];

fn raw(kind: ObjectKind) -> RolloutSpec {
    let from = match kind {
        ObjectKind::Secret => json!([{"secretRef": {"name": "settings"}}]),
        _ => json!([{"configMapRef": {"name": "settings"}}]),
    };
    serde_json::from_value(json!({
        "replicas": 2, "selector": {"matchLabels": {"app": "api"}},
        "configs": {"secrets": "Snapshot"},
        "template": {
            "metadata": {"labels": {"app": "api"}},
            "spec": {"containers": [{"name": "web", "image": "api:1", "envFrom": from}]},
        },
    }))
    .unwrap()
}

fn source(kind: ObjectKind, value: &str) -> Source {
    let data = json!({"LEVEL": value});
    match kind {
        ObjectKind::Secret => Source::of_secret("uid-of-settings", "Opaque", data),
        _ => Source::of_config_map(data, Value::Null),
    }
}

fn settings(kind: ObjectKind) -> Named {
    let name = "settings".to_owned();
    Named { kind, name }
}

fn around(sources: Sources) -> Around {
    let key = Key::new("shop", "api");
    Around {
        key,
        sources,
        ..Around::default()
    }
}

fn with(kind: ObjectKind, value: &str) -> Spec {
    let sources = Sources::from([(settings(kind), source(kind, value))]);
    let (spec, problems) = Spec::read_with(&raw(kind), &Images::new(), &around(sources));
    assert!(problems.is_empty());
    spec
}

fn read_by(spec: &Spec) -> impl Iterator<Item = Named> {
    spec.snapshots.iter().map(|copy| copy.of.clone())
}

/// What is there once a spec runs.
fn running(spec: &Spec) -> Observed {
    let mut seen = untouched(spec.clone()).with_set(&spec.revision, 2);
    seen.sets[0].promoted_at = Some(NOW);
    seen.sets[0].configs = read_by(spec).collect();
    seen.snapshots = read_by(spec).map(copy_of).collect();
    seen
}

fn copy_of(named: Named) -> Owned {
    Owned {
        target: Target {
            kind: named.kind,
            key: Key::new("shop", named.name.clone()),
            uid: named.name,
            resource_version: "1".into(),
        },
        is_owned: true,
    }
}

fn created(plan: &Plan<Memory>) -> Vec<ObjectKind> {
    let created = plan.actions.iter().filter_map(|action| match action {
        Action::Create(manifest) => Some(manifest.kind),
        _ => None,
    });
    created.collect()
}

fn is_gone(action: &Action) -> bool {
    matches!(action, Action::Delete { .. })
}

#[test]
fn a_copy_is_there_before_the_pods_that_read_it() {
    for kind in KINDS {
        let spec = with(kind, "info");
        let seen = untouched(spec.clone());
        let plan = plan(&seen, NOW);
        assert_eq!(created(&plan), [kind, ObjectKind::ReplicaSet]);
        let manifests = plan.actions.iter().filter_map(|action| match action {
            Action::Create(manifest) => Some(&manifest.body),
            _ => None,
        });
        let [copy, set] = manifests.collect::<Vec<_>>()[..] else {
            panic!("{:?}", plan.actions)
        };
        assert_eq!(
            (&copy["immutable"], &copy["data"]["LEVEL"]),
            (&json!(true), &json!("info"))
        );
        assert_eq!(copy["metadata"]["ownerReferences"], json!([seen.owner]));
        let annotation = match kind {
            ObjectKind::Secret => "slipway.dev/secrets",
            _ => "slipway.dev/configs",
        };
        assert_eq!(
            set["metadata"]["annotations"][annotation],
            copy["metadata"]["name"]
        );
        assert_eq!(copy["metadata"]["name"], json!(spec.snapshots[0].of.name));
    }
}

#[test]
fn an_edit_is_a_new_revision_with_a_copy_of_its_own() {
    for kind in KINDS {
        let (before, after) = (with(kind, "info"), with(kind, "debug"));
        assert_ne!(before.revision, after.revision);
        let mut seen = running(&before);
        assert_eq!(plan(&seen, NOW).actions, []);
        seen.wanted = Wanted::Spec(after.into());
        let plan = plan(&seen, NOW);
        assert_eq!(created(&plan), [kind, ObjectKind::ReplicaSet]);
        assert!(
            !plan.actions.iter().any(is_gone),
            "the old one is still read"
        );
    }
}

#[test]
fn an_edit_that_is_given_up_leaves_stable_with_the_values_that_it_had() {
    for kind in KINDS {
        let (before, after) = (with(kind, "info"), with(kind, "debug"));
        let mut seen = running(&before);
        seen.wanted = Wanted::Spec(after.clone().into());
        seen = seen.with_set(&after.revision, 1);
        seen.sets[1].configs = read_by(&after).collect();
        seen.snapshots.extend(read_by(&after).map(copy_of));
        let seen = seen.crashing(&after.revision);
        let back = plan(&seen, NOW);
        assert_eq!(back.progress.shown.phase, Phase::RollingBack);
        assert_eq!(back.progress.progress.stable, Some(before.revision.clone()));
        assert!(
            !back.actions.iter().any(is_gone),
            "both are read by a ReplicaSet"
        );
    }
}

#[test]
fn going_back_to_the_old_values_goes_back_to_the_old_revision_and_its_copy() {
    for kind in KINDS {
        let (before, after) = (with(kind, "info"), with(kind, "debug"));
        let mut seen = running(&after).with_set(&before.revision, 0);
        seen.sets[1].configs = read_by(&before).collect();
        seen.sets[1].promoted_at = Some(NOW);
        seen.sets[0].promoted_at = Some(later(1));
        seen.snapshots.extend(read_by(&before).map(copy_of));
        // As long as its ReplicaSet is kept, so is what it reads.
        assert!(!plan(&seen, later(2)).actions.iter().any(is_gone));
        seen.wanted = Wanted::Spec(with(kind, "info").into());
        let back = plan(&seen, later(2));
        assert_eq!(created(&back), [], "everything is there still");
        let change = back.progress.progress.change.unwrap();
        assert_eq!(change.revision, before.revision);
    }
}

#[test]
fn an_undo_to_the_first_of_three_revisions_runs_it_with_the_copies_that_it_read() {
    for kind in KINDS {
        let [first, second, third] = ["info", "debug", "trace"].map(|value| with(kind, value));
        let mut seen = running(&third);
        seen.sets[0].promoted_at = Some(later(3));
        for (spec, at) in [(&second, 2), (&first, 1)] {
            seen = seen
                .with_set(&spec.revision, 0)
                .promoted(&spec.revision, later(at));
            let set = seen.sets.last_mut().unwrap();
            set.configs = read_by(spec).collect();
            seen.snapshots.extend(read_by(spec).map(copy_of));
        }
        assert_eq!(plan(&seen, later(4)).actions, [], "nothing is to be done");
        let to = |revision: &Revision| {
            let mut seen = seen.clone();
            let chosen = json!({"revision": revision.to_string()});
            let act = decision::decided("Undo", &chosen);
            seen.status.progress.get_or_insert_default().stable = Some(third.revision.clone());
            seen.decisions = vec![act];
            (plan(&seen, later(5)), seen)
        };
        let (back, mut seen) = to(&first.revision);
        let said = back.progress.last_decision.clone().unwrap().result;
        assert_eq!(said, format!("going back to {}", first.revision));
        assert!(
            scaled(&back, &first.revision) > Some(0),
            "{:?}",
            back.actions
        );
        assert_eq!(scaled(&back, &second.revision), None);
        // Of no revision anything is made or goes: the first one reads what it has always read.
        assert_eq!(created(&back), []);
        assert!(!back.actions.iter().any(is_gone), "{:?}", back.actions);
        // Once it is stable, it stays, though the spec asks for the third.
        seen.status = status::status(&seen, &back, &Outcome::default(), later(5));
        let progress = seen.status.progress.as_mut().unwrap();
        (progress.stable, progress.change) = (Some(first.revision.clone()), None);
        for set in &mut seen.sets {
            let is_first = set.revision == first.revision;
            let replicas = if is_first { 2 } else { 0 };
            (set.replicas, set.current, set.available) = (replicas, replicas, replicas);
            if is_first {
                set.promoted_at = Some(later(6));
            } else if set.revision == third.revision {
                set.failed = Some("Undone".into());
            }
        }
        for pod in &mut seen.pods {
            pod.revision = first.revision.clone();
        }
        let rests = plan(&seen, later(7));
        assert_eq!(
            (phase(&rests), &rests.actions[..]),
            (Phase::RolledBack, &[][..])
        );
        // Another one of them can be chosen as well, and what runs is none to go back to.
        let (other, _) = to(&second.revision);
        assert!(scaled(&other, &second.revision) > Some(0));
        let (same, _) = to(&third.revision);
        let said = same.progress.last_decision.unwrap().result;
        assert!(said.starts_with("no effect"), "{said}");
    }
}

#[test]
fn a_copy_goes_with_the_last_revision_that_reads_it_and_comes_back_when_somebody_deletes_it() {
    for kind in KINDS {
        let spec = with(kind, "info");
        let mut seen = running(&spec);
        let name = "api-settings-old".to_owned();
        seen.snapshots.push(copy_of(Named { kind, name }));
        let gone = plan(&seen, NOW);
        let [Action::Delete { target, .. }] = gone.actions.as_slice() else {
            panic!("{:?}", gone.actions)
        };
        assert_eq!(
            (target.kind, target.key.name.as_str()),
            (kind, "api-settings-old")
        );
        seen.snapshots.clear();
        assert_eq!(created(&plan(&seen, NOW)), [kind]);
    }
}

#[test]
fn what_is_missing_is_told_of_before_any_pod_needs_it() {
    for kind in KINDS {
        let sources = Sources::from([(settings(kind), Source::Missing)]);
        let (_, problems) = Spec::read_with(&raw(kind), &Images::new(), &around(sources));
        let told = format!("there is no {} settings", kind.kind());
        assert!(problems[0].problem.contains(&told), "{problems:?}");
    }
}

#[test]
fn an_operator_that_may_not_read_secrets_holds_what_is_there_and_says_so() {
    let kind = ObjectKind::Secret;
    let mut seen = running(&with(kind, "info"));
    let sources = Sources::from([(settings(kind), Source::Forbidden)]);
    let (spec, problems) = Spec::read_with(&raw(kind), &Images::new(), &around(sources));
    let held = spec.holding(seen.sets[0].revision.clone());
    seen.wanted = Wanted::Invalid(problems, Some(Box::new(held)));
    let plan = plan(&seen, NOW);
    assert_eq!(plan.why.reason, "InvalidSpec");
    assert!(
        plan.why.message.contains("secretSnapshots.enabled: true"),
        "{}",
        plan.why.message
    );
    assert!(!plan.actions.iter().any(is_gone), "{:?}", plan.actions);
}

#[test]
fn nothing_that_is_shown_has_what_is_in_a_secret() {
    let seen = untouched(with(ObjectKind::Secret, "s3cret"));
    let plan = plan(&seen, NOW);
    let shown = format!("{plan:?} {seen:?}");
    assert!(!shown.contains("s3cret"), "{shown}");
    let status = status::status(&seen, &plan, &Outcome::default(), NOW);
    assert!(!serde_json::to_string(&status).unwrap().contains("s3cret"));
}
