//! A Deployment that is taken over, and given back, whatever comes in between.

use std::sync::Arc;

use kube::api::DynamicObject;

use super::*;
use crate::model::json::set;
use crate::model::key::Key;
use crate::model::label;
use crate::model::workload::Deployment;
use crate::rollout::adopt::{Adoption, Held, Stray, known};
use crate::rollout::api::RolloutSpec;
use crate::rollout::observed::Set;
use crate::rollout::spec::Around;

/// Version 2 of a Deployment with six pods, and version 1 without any.
struct Cluster {
    deployment: Value,
    sets: Vec<Value>,
    adoption: Adoption,
    status: RolloutStatus,
    deletion: Option<Deletion>,
}

fn template(version: &str) -> Value {
    json!({
        "metadata": {"labels": {"app": "api"}},
        "spec": {"containers": [{"name": "web", "image": format!("api:{version}")}]},
    })
}

fn set_of(version: &str, replicas: i32) -> Value {
    let mut template = template(version);
    let hash = format!("hash{version}");
    template["metadata"]["labels"][label::POD_TEMPLATE_HASH] = hash.clone().into();
    json!({
        "apiVersion": "apps/v1", "kind": "ReplicaSet",
        "metadata": {
            "name": format!("api-{hash}"), "namespace": "shop", "uid": hash, "resourceVersion": "1",
            "labels": {"app": "api", (label::POD_TEMPLATE_HASH): hash},
            "annotations": {(label::DEPLOYMENT_REVISION): version},
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "Deployment", "name": "api", "uid": "d", "controller": true}],
        },
        "spec": {"replicas": replicas, "template": template},
        "status": {"replicas": replicas},
    })
}

impl Cluster {
    fn new() -> Self {
        Self {
            deployment: json!({
                "metadata": {"name": "api", "namespace": "shop", "uid": "d"},
                "spec": {
                    "replicas": 6, "paused": true, "selector": {"matchLabels": {"app": "api"}}, "template": template("2"),
                },
            }),
            sets: vec![set_of("2", 6), set_of("0", 0), set_of("1", 0)],
            adoption: Adoption {
                name: "api".into(),
                ..Adoption::default()
            },
            status: RolloutStatus::default(),
            deletion: None,
        }
    }

    /// The same after it has been taken over.
    fn taken() -> Self {
        let mut cluster = Self::new();
        cluster.settle();
        cluster
    }

    fn observed(&self) -> Observed {
        let deployment: Option<Deployment> =
            serde_json::from_value(self.deployment.clone()).unwrap();
        let deployment = deployment.map(Arc::new);
        let raw: RolloutSpec =
            serde_json::from_value(json!({"workloadRef": {"kind": "Deployment", "name": "api"}}))
                .unwrap();
        let around = Around {
            deployment: deployment.clone(),
            ..Around::default()
        };
        let (spec, _) = Spec::read_with(&raw, &Images::new(), &around);
        let mut seen = untouched(spec.clone());
        let objects: Vec<DynamicObject> = self
            .sets
            .iter()
            .map(|set| serde_json::from_value(set.clone()).unwrap())
            .collect();
        for object in objects.iter().filter(|it| is_ours(it)) {
            let sets = seen.sets.len();
            let labels = object.metadata.labels.clone().unwrap();
            let revision = Revision::from_label(&labels[label::REVISION]);
            let replicas = object.data["spec"]["replicas"].as_i64().unwrap();
            seen = seen.with_set(&revision, i32::try_from(replicas).unwrap());
            let annotations = object.metadata.annotations.clone().unwrap();
            seen.sets[sets] = Set {
                target: Target::of(ObjectKind::ReplicaSet, object),
                ordinal: annotations[label::ORDINAL].parse().unwrap(),
                promoted_at: annotations
                    .get(label::PROMOTED_AT)
                    .map(|at| at.parse().unwrap()),
                source: annotations.get(label::SOURCE).cloned(),
                ..seen.sets[sets].clone()
            };
        }
        let held = objects.iter().filter_map(|set| Held::read(set, "d"));
        seen.adoption = Some(Adoption {
            held: held.filter(|_| self.deletion.is_none()).collect(),
            deployment,
            ..self.adoption.clone()
        });
        seen.wanted = known(Wanted::Spec(spec.into()), &seen.sets);
        seen.status = self.status.clone();
        seen.deletion = self.deletion;
        seen
    }

    /// Carries out at most so many actions of the plan of now, as an operator that dies then; how many there were.
    fn look(&mut self, most: usize) -> (Plan<Memory>, usize) {
        let seen = self.observed();
        let plan = plan(&seen, NOW);
        self.status = status::status(&seen, &plan, &Outcome::default(), NOW);
        let actions = plan.actions.iter().take(most);
        let count = actions.len();
        for action in actions {
            let Action::Patch { target, change } = action else {
                panic!("{action:#?}")
            };
            let named = |set: &&mut Value| set["metadata"]["name"] == target.key.name.as_str();
            let object = self.sets.iter_mut().find(named).unwrap();
            json_patch::merge(object, change);
            self.check();
        }
        (plan, count)
    }

    fn settle(&mut self) -> Plan<Memory> {
        for _ in 0..20 {
            let (plan, count) = self.look(usize::MAX);
            if count == 0 {
                return plan;
            }
        }
        panic!("no end: {:#?}", self.sets)
    }

    /// A paused Deployment scales the newest of its ReplicaSets. It never has any without the one that serves.
    fn check(&self) {
        let is_its = |set: &Value| set["metadata"]["ownerReferences"][0]["uid"] == "d";
        let its: Vec<&Value> = self.sets.iter().filter(|set| is_its(set)).collect();
        let has_pods = its.iter().any(|set| set["spec"]["replicas"] == 6);
        assert!(its.is_empty() || has_pods, "{its:#?}");
        let replicas = self.sets.iter().map(|set| &set["spec"]["replicas"]);
        let replicas: Vec<_> = replicas.collect();
        assert_eq!(replicas, [6, 0, 0], "no pod comes or goes");
    }
}

fn is_ours(object: &DynamicObject) -> bool {
    let labels = object.metadata.labels.as_ref();
    labels.is_some_and(|labels| labels.contains_key(label::ROLLOUT))
}

fn reason(plan: &Plan<Memory>) -> (&'static str, Phase) {
    (plan.why.reason, plan.progress.shown.phase)
}

#[test]
fn replica_sets_come_over_one_by_one_and_what_serves_comes_last() {
    let mut cluster = Cluster::new();
    let (first, count) = cluster.look(usize::MAX);
    assert_eq!(count, 3);
    assert_eq!(reason(&first), ("Adopting", Phase::Progressing));
    let names: Vec<&str> = patches(&first)
        .map(|(target, _)| target.key.name.as_str())
        .collect();
    assert_eq!(names, ["api-hash0", "api-hash1", "api-hash2"]);
    let rest = cluster.settle();
    assert_eq!(reason(&rest), ("Healthy", Phase::Healthy));
    let progress = rest.progress.progress;
    assert_eq!(progress.stable, Some(Revision::from_label("hash2")));
    assert_eq!(progress.change, None, "what runs is what is asked for");
}

#[test]
fn whenever_the_operator_dies_meanwhile_no_pod_comes_or_goes() {
    for dies_after in 0..3 {
        let mut cluster = Cluster::new();
        cluster.look(dies_after);
        let rest = cluster.settle();
        assert_eq!(reason(&rest), ("Healthy", Phase::Healthy), "{dies_after}");

        cluster.deletion = Some(Deletion::GiveBack);
        cluster.look(dies_after);
        let rest = cluster.settle();
        assert!(rest.finished, "{dies_after}: {rest:#?}");
        let mut before = Cluster::new().sets;
        for set in &mut before {
            let owner = &mut set["metadata"]["ownerReferences"][0];
            owner["blockOwnerDeletion"] = true.into();
        }
        assert_eq!(cluster.sets, before, "as it was");
    }
}

#[test]
fn a_change_begins_where_the_deployment_asks_for_another_template_already() {
    let mut cluster = Cluster::new();
    cluster.deployment["spec"]["template"] = template("3");
    cluster.look(usize::MAX);
    let seen = cluster.observed();
    let plan = plan(&seen, NOW);
    let progress = &plan.progress.progress;
    assert_eq!(progress.stable, Some(Revision::from_label("hash2")));
    let change = progress.change.as_ref().unwrap();
    let spec = seen.wanted.spec().unwrap();
    assert_eq!(change.revision, spec.revision);
    let created = plan.actions.iter().find_map(|action| match action {
        Action::Create(manifest) => Some(manifest),
        _ => None,
    });
    let selector = &created.unwrap().body["spec"]["selector"]["matchLabels"];
    assert_eq!(selector[label::POD_TEMPLATE_HASH], spec.revision.as_str());
    assert_eq!(selector.get(label::REVISION), None);
}

#[test]
fn a_template_of_before_is_the_replica_set_of_before() {
    let mut cluster = Cluster::taken();
    cluster.deployment["spec"]["template"] = template("1");
    let plan = plan(&cluster.observed(), NOW);
    let change = plan.progress.progress.change.as_ref().unwrap();
    assert_eq!(change.revision, Revision::from_label("hash1"));
}

#[test]
fn what_stands_in_the_way_is_named_and_nothing_is_touched() {
    type Change = fn(&mut Cluster);
    let cases: [(&str, Change); 8] = [
        ("DeploymentMissing", |it| it.deployment = Value::Null),
        ("DeploymentNotPaused", |it| {
            it.deployment["spec"]["paused"] = false.into();
        }),
        ("DeploymentNotPaused", |it| {
            it.deployment["metadata"]["generation"] = 3.into();
            it.deployment["status"] = json!({"replicas": 6, "observedGeneration": 2});
        }),
        ("ReplicasDiffer", |it| {
            // A Rollout without a number has the Deployment's.
            it.deployment["spec"]["replicas"] = 4.into();
        }),
        ("DeploymentUnfit", |it| {
            let selector = &mut it.deployment["spec"]["selector"];
            set(
                selector,
                &["matchExpressions"],
                json!([{"key": "a", "operator": "Exists"}]),
            );
        }),
        ("DeploymentBusy", |it| {
            it.sets[2]["spec"]["replicas"] = 1.into();
        }),
        ("DeploymentTaken", |it| {
            it.adoption.rival = Some("other".into());
        }),
        ("AutoscalerNotMoved", |it| {
            it.adoption.autoscalers = vec!["api".into()];
        }),
    ];
    for (expected, change) in cases {
        let mut cluster = Cluster::new();
        change(&mut cluster);
        let seen = cluster.observed();
        let plan = plan(&seen, NOW);
        assert_eq!(reason(&plan), (expected, Phase::Pending));
        assert!(plan.actions.is_empty(), "{plan:#?}");
        let is_watched = !matches!(
            expected,
            "DeploymentTaken" | "AutoscalerNotMoved" | "ReplicasDiffer"
        );
        assert_eq!(plan.wake.is_none(), is_watched, "{expected}");
        let status = status::status(&seen, &plan, &Outcome::default(), NOW);
        let holds = |type_: &str| {
            let mut conditions = status.conditions.iter();
            conditions.any(|it| it.type_ == type_ && it.status == "True")
        };
        assert!(!holds("Ready"), "{expected}");
        assert_eq!(
            holds("Stalled"),
            expected == "DeploymentUnfit",
            "{expected}"
        );
    }
}

#[test]
fn nothing_is_taken_over_by_a_spec_that_cannot_be() {
    let mut seen = Cluster::new().observed();
    let problem = crate::rollout::spec::Invalid::new("spec.strategy", "cannot be");
    seen.wanted = Wanted::Invalid(vec![problem], None);
    let plan = plan(&seen, NOW);
    assert_eq!(reason(&plan), ("InvalidSpec", Phase::Degraded));
    assert!(plan.actions.is_empty(), "{plan:#?}");
}

#[test]
fn pods_get_their_labels_once_no_replica_set_is_left() {
    let mut cluster = Cluster::new();
    let stray = Stray {
        target: Target {
            kind: ObjectKind::Pod,
            key: Key::new("shop", "api-hash2-x"),
            uid: "p".into(),
            resource_version: "1".into(),
        },
        revision: Revision::from_label("hash2"),
    };
    cluster.adoption.strays = vec![stray];
    let (plan, count) = cluster.look(3);
    assert_eq!((count, plan.actions.len()), (3, 3), "ReplicaSets first");
    let next = super::plan(&cluster.observed(), NOW);
    assert_eq!(reason(&next), ("Adopting", Phase::Progressing));
    let (target, change) = next.actions[0].patches().next().unwrap();
    assert_eq!(target.kind, ObjectKind::Pod);
    assert_eq!(change["metadata"]["labels"][label::REVISION], "hash2");
    assert_eq!(next.actions.len(), 1);
}

#[test]
fn a_pod_whose_labels_are_refused_is_named_and_takes_people() {
    let mut cluster = Cluster::taken();
    let stray = |name: &str| Stray {
        target: Target {
            kind: ObjectKind::Pod,
            key: Key::new("shop", name),
            uid: name.into(),
            resource_version: "1".into(),
        },
        revision: Revision::from_label("hash2"),
    };
    cluster.adoption.strays = vec![stray("api-hash2-x"), stray("api-hash2-y")];
    let failed = |seconds: i64| {
        let failed = json!({
            "type": "ActionFailed", "status": "True", "reason": "ActionFailed", "message": "denied",
            "lastTransitionTime": (NOW - jiff::SignedDuration::from_secs(seconds)).to_string(),
        });
        vec![serde_json::from_value(failed).unwrap()]
    };
    cluster.status.conditions = failed(29);
    let early = plan(&cluster.observed(), NOW);
    assert_eq!(reason(&early), ("Adopting", Phase::Progressing));

    cluster.status.conditions = failed(30);
    let seen = cluster.observed();
    let late = plan(&seen, NOW);
    assert_eq!(reason(&late), ("PodsNotTaken", Phase::Degraded));
    let message = &late.why.message;
    assert!(
        message.contains("pod api-hash2-x, api-hash2-y; let"),
        "{message}"
    );
    assert_eq!(late.actions.len(), 1, "and it is tried on");
    let status = status::status(&seen, &late, &Outcome::default(), NOW);
    assert!(status.conditions.iter().any(|it| it.type_ == "Stalled"));

    // Once they are gone, or may be changed, nothing holds it.
    cluster.adoption.strays.clear();
    let rest = plan(&cluster.observed(), NOW);
    assert_eq!(reason(&rest), ("Healthy", Phase::Healthy));
}

#[test]
fn a_deployment_that_goes_later_takes_nothing_with_it() {
    let mut cluster = Cluster::taken();
    cluster.deployment = Value::Null;
    let seen = cluster.observed();
    let plan = plan(&seen, NOW);
    assert_eq!(reason(&plan), ("DeploymentMissing", Phase::Degraded));
    assert!(plan.actions.is_empty(), "{plan:#?}");
    let status = status::status(&seen, &plan, &Outcome::default(), NOW);
    assert!(status.conditions.iter().any(|it| it.type_ == "Stalled"));
    cluster.deletion = Some(Deletion::GiveBack);
    let waits = super::plan(&cluster.observed(), NOW);
    assert_eq!(reason(&waits), ("GiveBackHeld", Phase::Degraded));
    assert!(!waits.finished);
}

#[test]
fn a_deployment_that_is_not_paused_any_more_is_told_of() {
    let mut cluster = Cluster::taken();
    cluster.deployment["spec"]["paused"] = false.into();
    let seen = cluster.observed();
    let notice = seen.adoption.as_ref().unwrap().notice(true).unwrap();
    assert!(notice.contains("is not paused any more"), "{notice}");
    assert_eq!(seen.adoption.as_ref().unwrap().notice(false), None);
    assert!(plan(&seen, NOW).actions.is_empty(), "it serves on");
}

#[test]
fn what_it_made_of_its_own_later_comes_over_too_and_stable_stays_what_it_is() {
    let mut cluster = Cluster::taken();
    let mut other = set_of("2", 6);
    other["metadata"]["name"] = "api-hash9".into();
    other["metadata"]["uid"] = "hash9".into();
    other["metadata"]["labels"][label::POD_TEMPLATE_HASH] = "hash9".into();
    cluster.sets.push(other);
    let moves = plan(&cluster.observed(), NOW);
    assert_eq!(moves.actions.len(), 1, "{moves:#?}");
    let (_, change) = moves.actions[0].patches().next().unwrap();
    json_patch::merge(&mut cluster.sets[3], change);
    let next = plan(&cluster.observed(), NOW);
    let progress = &next.progress.progress;
    assert_eq!(progress.stable, Some(Revision::from_label("hash2")));
    assert_eq!(progress.change, None);
    assert_eq!(scaled(&next, &Revision::from_label("hash9")), Some(0));
}

#[test]
fn giving_back_waits_until_the_deployment_asks_for_what_serves() {
    type Change = fn(&mut Cluster);
    let cases: [(&str, Change); 3] = [
        ("is not paused", |it| {
            it.deployment["spec"]["paused"] = false.into();
        }),
        ("the template", |it| {
            it.deployment["spec"]["template"] = template("3");
        }),
        ("asks for 2 pods, and 6 serve", |it| {
            it.deployment["spec"]["replicas"] = 2.into();
        }),
    ];
    for (words, change) in cases {
        let mut cluster = Cluster::taken();
        cluster.deletion = Some(Deletion::GiveBack);
        change(&mut cluster);
        // Without a number of its own a Rollout has the Deployment's.
        let mut seen = cluster.observed();
        seen.spec_mut().replicas = 6;
        let waits = plan(&seen, NOW);
        assert_eq!(reason(&waits), ("GiveBackHeld", Phase::Degraded), "{words}");
        assert!(waits.why.message.contains(words), "{waits:#?}");
        assert!(!waits.finished && waits.actions.is_empty(), "{waits:#?}");
        seen.adoption.as_mut().unwrap().accepts_rollout = true;
        let given = plan(&seen, NOW);
        assert_eq!(reason(&given).0, "GivingBack", "{words}");
        assert_eq!(given.actions.len(), 3, "{given:#?}");
    }
}

#[test]
fn what_was_never_taken_over_is_left_alone() {
    for deletion in [Deletion::GiveBack, Deletion::Delete] {
        let mut cluster = Cluster::new();
        cluster.deployment["spec"]["paused"] = false.into();
        cluster.deletion = Some(deletion);
        let plan = plan(&cluster.observed(), NOW);
        assert!(plan.finished && plan.actions.is_empty(), "{plan:#?}");
    }
}

#[test]
fn a_rollout_that_goes_half_way_in_begins_no_change() {
    let mut cluster = Cluster::new();
    cluster.look(1);
    cluster.deletion = Some(Deletion::GiveBack);
    cluster.deployment["spec"]["template"] = template("0");
    let (back, _) = cluster.look(usize::MAX);
    assert_eq!(reason(&back), ("GivingBack", Phase::Progressing));
    assert_eq!(back.actions.len(), 1, "{back:#?}");
    let rest = cluster.settle();
    assert!(rest.finished && rest.progress.progress.stable.is_none());
    let owners = cluster.sets.iter();
    let mut owners = owners.map(|set| &set["metadata"]["ownerReferences"][0]["uid"]);
    assert!(owners.all(|owner| owner == "d"), "{:#?}", cluster.sets);
}
