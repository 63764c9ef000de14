//! The ConfigMaps and Secrets that pods read. A revision gets copies of its own, which never change: an edit starts a new
//! revision, and going back brings the old values back. No I/O.
//!
//! The name of a copy ends in a hash of what is in it, so that the same content is the same revision. What is in a Secret
//! may be short enough to be guessed from a hash; so that of a Secret is salted with its uid, which is random, and which
//! only those can read who can read the Secret.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde_json::{Value, json};

use super::api::{ConfigPolicy, RolloutSpec};
use super::spec::Invalid;
use crate::model::json::set;
use crate::model::key::{MAX_NAME, short_hash, suffixed};
use crate::model::object::ObjectKind;

/// Digits of the hash in the name of a copy.
const DIGITS: usize = 10;

/// Types of Secrets that are never copied: tokens belong to their ServiceAccount and are renewed, and the records of Helm
/// are read by Helm.
pub const NOT_COPIED: &[&str] = &["kubernetes.io/service-account-token", "helm.sh/release.v1"];

/// A ConfigMap or a Secret, by its name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Named {
    /// Which of the two.
    pub kind: ObjectKind,
    /// Its name.
    pub name: String,
}

impl Named {
    /// A ConfigMap.
    pub fn config_map(name: impl Into<String>) -> Self {
        let (kind, name) = (ObjectKind::ConfigMap, name.into());
        Self { kind, name }
    }

    /// A Secret.
    pub fn secret(name: impl Into<String>) -> Self {
        let (kind, name) = (ObjectKind::Secret, name.into());
        Self { kind, name }
    }
}

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind.kind(), self.name)
    }
}

/// One of people's that is to be copied.
#[derive(Clone, Debug, PartialEq)]
pub enum Source {
    /// What is in it.
    Found(Content),
    /// It is not there.
    Missing,
    /// It is nothing that is copied, and is read as it is; what it is, in words.
    Unfit(String),
    /// The operator may not read it.
    Forbidden,
}

impl Source {
    /// What is in a Secret, unless it is one of those that are not copied.
    pub fn of_secret(uid: &str, type_: &str, data: Value) -> Self {
        if NOT_COPIED.contains(&type_) {
            return Self::Unfit(format!("of type {type_}"));
        }
        Self::Found(Content {
            salt: Some(uid.to_owned()),
            fields: vec![("type", type_.into()), ("data", data)],
        })
    }

    /// What is in a ConfigMap.
    pub fn of_config_map(data: Value, binary_data: Value) -> Self {
        Self::Found(Content {
            salt: None,
            fields: vec![("data", data), ("binaryData", binary_data)],
        })
    }
}

/// What is in a ConfigMap or a Secret. It is never shown.
#[derive(Clone, PartialEq)]
pub struct Content {
    /// What makes the hash of a Secret one that nobody can try values on.
    salt: Option<String>,
    fields: Vec<(&'static str, Value)>,
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Content(…)")
    }
}

impl Content {
    /// What a copy has besides its metadata.
    pub fn copied(&self) -> Value {
        let mut body = json!({"immutable": true});
        for (key, value) in &self.fields {
            if !value.is_null() {
                set(&mut body, &[key], value.clone());
            }
        }
        body
    }

    fn hash(&self) -> String {
        // Maps of JSON are sorted, so the same content is the same text.
        let salt = self.salt.iter().map(|salt| json!(salt));
        let values = self.fields.iter().map(|(_, value)| value.clone());
        let whole: Vec<Value> = salt.chain(values).collect();
        short_hash(json!(whole).to_string().as_bytes(), DIGITS)
    }
}

/// What people have, by kind and name.
pub type Sources = BTreeMap<Named, Source>;

/// A copy that a revision needs.
#[derive(Clone, Debug, PartialEq)]
pub struct Snapshot {
    /// What it is, and its name.
    pub of: Named,
    /// What is in it.
    pub content: Content,
}

/// Of what the template reads, that of which revisions get copies.
pub fn copied(raw: &RolloutSpec) -> BTreeSet<Named> {
    let configs = raw.configs.as_ref();
    let maps = configs.and_then(|configs| configs.config_maps);
    let maps = maps.unwrap_or(ConfigPolicy::Snapshot) == ConfigPolicy::Snapshot;
    let secrets = configs.and_then(|configs| configs.secrets);
    let secrets = secrets.unwrap_or(ConfigPolicy::Live) == ConfigPolicy::Snapshot;
    let chosen = chosen(raw);
    if !maps && !secrets && chosen.is_empty() {
        return BTreeSet::new();
    }
    let is_copied = |named: &Named| {
        if named.kind == ObjectKind::Secret {
            secrets || chosen.contains(&named.name)
        } else {
            maps
        }
    };
    read_by(&raw.template.value()).filter(is_copied).collect()
}

/// Secrets that are copied one by one.
fn chosen(raw: &RolloutSpec) -> &[String] {
    let configs = raw.configs.as_ref();
    configs.map_or(&[], |configs| configs.snapshot_secrets.as_slice())
}

/// What a template reads.
fn read_by(template: &Value) -> impl Iterator<Item = Named> {
    let places = places(template).into_iter();
    places.filter_map(|place| place.named(template))
}

/// Lets a template read copies, and returns those that it needs. What is not in `sources` is left as it is.
pub(super) fn copy(
    template: &mut Value,
    raw: &RolloutSpec,
    rollout: &str,
    sources: &Sources,
    problems: &mut Vec<Invalid>,
) -> Vec<Snapshot> {
    let mut copies = BTreeMap::new();
    for place in places(template) {
        let (Some(named), Some(reference)) =
            (place.named(template), template.pointer_mut(&place.at))
        else {
            continue;
        };
        match sources.get(&named) {
            Some(Source::Found(content)) => {
                let base = format!("{rollout}-{}", named.name);
                let name = suffixed(&base, &content.hash(), MAX_NAME);
                set(reference, &[place.key], name.as_str());
                let kind = named.kind;
                copies.insert(Named { kind, name }, content.clone());
            }
            Some(Source::Missing) if reference["optional"] != true => problems.push(Invalid::new(
                path_of(&place.at),
                format!("there is no {named}; create it, or say optional: true"),
            )),
            Some(Source::Missing | Source::Unfit(_) | Source::Forbidden) | None => {}
        }
    }
    check_rights(sources, problems);
    check_chosen(raw, sources, problems);
    let copies = copies.into_iter();
    copies
        .map(|(of, content)| Snapshot { of, content })
        .collect()
}

/// One sentence for all that cannot be copied for want of a right.
fn check_rights(sources: &Sources, problems: &mut Vec<Invalid>) {
    let forbidden = sources
        .iter()
        .filter(|(_, source)| **source == Source::Forbidden);
    let names: Vec<&str> = forbidden.map(|(named, _)| named.name.as_str()).collect();
    if names.is_empty() {
        return;
    }
    let names = names.join(", ");
    problems.push(Invalid::new(
        "spec.configs",
        format!(
            "asks for copies of Secrets ({names}), and this operator may not read Secrets; set secretSnapshots.enabled: true \
             in the values of its chart, or let pods read them live (secrets: Live, and no snapshotSecrets)"
        ),
    ));
}

/// Names that lead nowhere are most likely misspelt, and what was meant is not copied.
fn check_chosen(raw: &RolloutSpec, sources: &Sources, problems: &mut Vec<Invalid>) {
    let chosen = chosen(raw);
    if chosen.is_empty() {
        return;
    }
    let read: BTreeSet<Named> = read_by(&raw.template.value()).collect();
    for (index, name) in chosen.iter().enumerate() {
        let named = Named::secret(name.as_str());
        let problem = match sources.get(&named) {
            _ if !read.contains(&named) => format!(
                "the template reads no Secret {name} in a variable or a volume; have a container read it, or take it out of \
                 this list (imagePullSecrets are not copied)"
            ),
            Some(Source::Unfit(what)) => {
                format!("{named} is {what}, which is not copied; take it out of this list")
            }
            Some(Source::Found(_) | Source::Missing | Source::Forbidden) | None => continue,
        };
        let path = format!("spec.configs.snapshotSecrets[{index}]");
        problems.push(Invalid::new(path, problem));
    }
}

/// A place where a template names a ConfigMap or a Secret.
struct Place {
    kind: ObjectKind,
    /// The object that has the name, as a JSON pointer.
    at: String,
    /// The field that is the name.
    key: &'static str,
}

impl Place {
    fn new(kind: ObjectKind, at: String) -> Self {
        let key = "name";
        Self { kind, at, key }
    }

    fn named(&self, template: &Value) -> Option<Named> {
        let name = template.pointer(&self.at)?.get(self.key)?.as_str()?;
        let (kind, name) = (self.kind, name.to_owned());
        Some(Named { kind, name })
    }
}

/// Where a template names ConfigMaps and Secrets that its containers read.
fn places(template: &Value) -> Vec<Place> {
    use ObjectKind::{ConfigMap, Secret};
    let mut found = Vec::new();
    for volume in each(template, "/spec/volumes") {
        found.push(Place::new(ConfigMap, format!("{volume}/configMap")));
        found.push(Place {
            key: "secretName",
            ..Place::new(Secret, format!("{volume}/secret"))
        });
        for source in each(template, &format!("{volume}/projected/sources")) {
            found.push(Place::new(ConfigMap, format!("{source}/configMap")));
            found.push(Place::new(Secret, format!("{source}/secret")));
        }
    }
    for list in ["initContainers", "containers", "ephemeralContainers"] {
        for container in each(template, &format!("/spec/{list}")) {
            for from in each(template, &format!("{container}/envFrom")) {
                found.push(Place::new(ConfigMap, format!("{from}/configMapRef")));
                found.push(Place::new(Secret, format!("{from}/secretRef")));
            }
            for variable in each(template, &format!("{container}/env")) {
                let from = format!("{variable}/valueFrom");
                // Most have a value of their own, and every event of a Rollout asks.
                if template.pointer(&from).is_none() {
                    continue;
                }
                found.push(Place::new(ConfigMap, format!("{from}/configMapKeyRef")));
                found.push(Place::new(Secret, format!("{from}/secretKeyRef")));
            }
        }
    }
    found.retain(|place| place.named(template).is_some());
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
mod tests;
