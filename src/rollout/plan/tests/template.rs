//! Templates that are kept for an Environment.

use std::collections::BTreeMap;

use serde_json::json;

use super::*;
use crate::model::key::Key;
use crate::rollout::template::{Kept, Offer};

fn offer(number: i64) -> Offer {
    let template =
        json!({"spec": {"containers": [{"name": "web", "image": format!("a:{number}")}]}});
    Offer::of(&template, &BTreeMap::new(), Vec::new())
}

fn kept(number: i64) -> Kept {
    Kept {
        target: Target {
            kind: ObjectKind::ControllerRevision,
            key: Key::new("shop", format!("t{number}")),
            uid: "u".into(),
            resource_version: "1".into(),
        },
        number,
        offer: offer(number),
    }
}

fn running() -> Observed {
    let v1 = revision("1", &json!({}));
    let mut seen = untouched(spec("1", &json!({})))
        .with_set(&v1, 4)
        .promoted(&v1, NOW);
    seen.templates = (1..=13).map(kept).collect();
    seen.offer = Some(offer(13));
    seen
}

fn gone(seen: &Observed) -> Vec<String> {
    let actions = plan(seen, NOW).actions.into_iter();
    let gone = actions.filter_map(|action| match action {
        Action::Delete { target, .. } if target.kind == ObjectKind::ControllerRevision => {
            Some(target.key.name)
        }
        _ => None,
    });
    gone.collect()
}

#[test]
fn what_a_promotion_has_on_record_is_kept() {
    let mut seen = running();
    assert_eq!(gone(&seen), ["t2", "t1"]);
    seen.recorded = vec![offer(1).id];
    assert_eq!(gone(&seen), ["t2"]);
}

#[test]
fn a_new_template_is_kept_though_the_one_that_is_worn_cannot_be_any_more() {
    let mut seen = running();
    seen.offer = Some(offer(14));
    let held = spec("2", &json!({})).holding(revision("1", &json!({})));
    seen.wanted = Wanted::Invalid(Vec::new(), Some(Box::new(held)));
    let actions = plan(&seen, NOW).actions;
    let is_kept = |action: &Action| matches!(action, Action::Create(made) if made.kind == ObjectKind::ControllerRevision);
    assert!(actions.iter().any(is_kept), "{actions:?}");
    assert_eq!(gone(&seen), [""; 0]);
    // Of a revision that is gone the template is not the one in the spec.
    seen.sets.clear();
    let actions = plan(&seen, NOW).actions;
    let is_set = |action: &Action| matches!(action, Action::Create(made) if made.kind == ObjectKind::ReplicaSet);
    assert!(!actions.iter().any(is_set), "{actions:?}");
}
