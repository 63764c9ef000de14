//! The ConfigMaps that pods read. A revision gets copies of its own, which never change: an edit starts a new revision, and
//! going back brings the old values back. No I/O.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::api::{ConfigPolicy, RolloutSpec};
use super::spec::Invalid;
use crate::model::json::set;
use crate::model::key::{short_hash, suffixed};

/// Digits of the hash in the name of a copy.
const DIGITS: usize = 10;
/// Longest name of a copy: what a ConfigMap may have.
const MAX_NAME: usize = 253;

/// A ConfigMap of people's, as the template names it.
#[derive(Clone, Debug, PartialEq)]
pub enum Source {
    /// What is in it.
    Found(Content),
    /// It is not there.
    Missing,
}

/// What is in a ConfigMap.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Content {
    /// The field `data`.
    pub data: Value,
    /// The field `binaryData`.
    pub binary_data: Value,
}

impl Content {
    /// What a copy has besides its metadata.
    pub fn copied(&self) -> Value {
        let mut body = json!({"immutable": true});
        for (key, value) in [("data", &self.data), ("binaryData", &self.binary_data)] {
            if !value.is_null() {
                set(&mut body, &[key], value.clone());
            }
        }
        body
    }

    fn hash(&self) -> String {
        // Maps of JSON are sorted, so the same content is the same text.
        let whole = json!([self.data, self.binary_data]).to_string();
        short_hash(whole.as_bytes(), DIGITS)
    }
}

/// ConfigMaps of people's by name.
pub type Sources = BTreeMap<String, Source>;

/// A copy that a revision needs.
#[derive(Clone, Debug, PartialEq)]
pub struct Snapshot {
    /// Its name.
    pub name: String,
    /// What is in it.
    pub content: Content,
}

/// Whether revisions get copies.
pub fn are_copied(raw: &RolloutSpec) -> bool {
    let policy = raw.configs.as_ref().and_then(|configs| configs.config_maps);
    policy.unwrap_or_default() == ConfigPolicy::Snapshot
}

/// Names of the ConfigMaps that a template reads.
pub fn names(template: &Value) -> BTreeSet<String> {
    let places = places(template).into_iter();
    places
        .filter_map(|place| Some(name_at(template, &place)?.to_owned()))
        .collect()
}

/// Lets a template read copies, and returns those that it needs. What is not in `sources` is left as it is.
pub(super) fn copy(
    template: &mut Value,
    rollout: &str,
    sources: &Sources,
    problems: &mut Vec<Invalid>,
) -> Vec<Snapshot> {
    let mut copies = BTreeMap::new();
    for place in places(template) {
        let Some(reference) = template.pointer_mut(&place) else {
            continue;
        };
        let name = reference["name"].as_str().unwrap_or_default().to_owned();
        match sources.get(&name) {
            Some(Source::Found(content)) => {
                let base = format!("{rollout}-{name}");
                let copy = suffixed(&base, &content.hash(), MAX_NAME);
                set(reference, &["name"], copy.as_str());
                copies.entry(copy).or_insert_with(|| content.clone());
            }
            Some(Source::Missing) if reference["optional"] != true => problems.push(Invalid::new(
                path_of(&place),
                format!("there is no ConfigMap {name}; create it, or say optional: true"),
            )),
            Some(Source::Missing) | None => {}
        }
    }
    let copies = copies.into_iter();
    copies
        .map(|(name, content)| Snapshot { name, content })
        .collect()
}

/// Where a template names ConfigMaps, as JSON pointers.
fn places(template: &Value) -> Vec<String> {
    let mut found = Vec::new();
    for volume in each(template, "/spec/volumes") {
        found.push(format!("{volume}/configMap"));
        let sources = each(template, &format!("{volume}/projected/sources"));
        found.extend(sources.map(|source| format!("{source}/configMap")));
    }
    for kind in ["initContainers", "containers"] {
        for container in each(template, &format!("/spec/{kind}")) {
            let from = each(template, &format!("{container}/envFrom"));
            found.extend(from.map(|from| format!("{from}/configMapRef")));
            let variables = each(template, &format!("{container}/env"));
            found.extend(variables.map(|one| format!("{one}/valueFrom/configMapKeyRef")));
        }
    }
    found.retain(|place| name_at(template, place).is_some());
    found
}

/// The entries of a list, as JSON pointers.
fn each(template: &Value, list: &str) -> impl Iterator<Item = String> + use<> {
    let count = template
        .pointer(list)
        .and_then(Value::as_array)
        .map_or(0, Vec::len);
    let list = list.to_owned();
    (0..count).map(move |index| format!("{list}/{index}"))
}

fn name_at<'t>(template: &'t Value, place: &str) -> Option<&'t str> {
    template.pointer(place)?.get("name")?.as_str()
}

/// A JSON pointer into the template as people read it in a message.
fn path_of(place: &str) -> String {
    let parts = place.split('/').skip(1);
    parts.fold("spec.template".to_owned(), |path, part| {
        if part.starts_with(|c: char| c.is_ascii_digit()) {
            format!("{path}[{part}]")
        } else {
            format!("{path}.{part}")
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn template() -> Value {
        json!({"spec": {
            "volumes": [
                {"name": "a", "configMap": {"name": "settings"}},
                {"name": "b", "projected": {"sources": [{"configMap": {"name": "rules"}}, {"secret": {"name": "key"}}]}},
                {"name": "c", "emptyDir": {}},
            ],
            "initContainers": [{"envFrom": [{"configMapRef": {"name": "settings"}}]}],
            "containers": [{"env": [
                {"name": "A", "value": "a"},
                {"name": "B", "valueFrom": {"configMapKeyRef": {"name": "flags", "key": "b", "optional": true}}},
            ]}],
        }})
    }

    fn found(value: &str) -> Source {
        Source::Found(Content {
            data: json!({"key": value}),
            binary_data: Value::Null,
        })
    }

    fn copied(sources: &Sources) -> (Value, Vec<Snapshot>, Vec<Invalid>) {
        let (mut template, mut problems) = (template(), Vec::new());
        let copies = copy(&mut template, "api", sources, &mut problems);
        (template, copies, problems)
    }

    #[test]
    fn every_place_that_reads_a_config_map_is_found() {
        let names: Vec<String> = names(&template()).into_iter().collect();
        assert_eq!(names, ["flags", "rules", "settings"]);
    }

    #[test]
    fn a_copy_takes_the_place_of_every_reference_and_changes_its_name_with_its_content() {
        let sources = |value| Sources::from([("settings".to_owned(), found(value))]);
        let (one, copies, _) = copied(&sources("1"));
        let name = &copies[0].name;
        assert!(name.starts_with("api-settings-"), "{name}");
        assert_eq!(one["spec"]["volumes"][0]["configMap"]["name"], **name);
        let init = &one["spec"]["initContainers"][0]["envFrom"][0];
        assert_eq!(init["configMapRef"]["name"], **name);
        let projected = &one["spec"]["volumes"][1]["projected"]["sources"][0];
        assert_eq!(projected["configMap"]["name"], "rules");
        assert_eq!(copies.len(), 1);
        assert_eq!(copies[0].content.copied()["immutable"], true);
        let (_, other, _) = copied(&sources("2"));
        assert_ne!(other[0].name, *name);
        assert_eq!(copied(&sources("1")).1, copies);
    }

    #[test]
    fn what_is_missing_is_told_with_its_place_unless_it_is_optional() {
        let missing = ["flags", "rules"].map(|name| (name.to_owned(), Source::Missing));
        let (_, copies, problems) = copied(&Sources::from(missing));
        assert_eq!(copies, []);
        let lines: Vec<String> = problems
            .iter()
            .map(|p| format!("{}: {}", p.path, p.problem))
            .collect();
        assert_eq!(
            lines,
            [
                "spec.template.spec.volumes[1].projected.sources[0].configMap: there is no ConfigMap rules; \
             create it, or say optional: true"
            ]
        );
    }
}
