//! The pod template as an Environment takes it in: without the images that Releases bring, under an id, and kept, so that it
//! can be gone back to whatever the spec says by then. No I/O.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::config::Named;
use crate::environment::api::Environment;
use crate::model::json::set;
use crate::model::manifest::Target;
use crate::model::revision::Revision;

/// Templates that are kept besides those that are used.
const SPARE: usize = 10;

/// A template that an Environment may take in.
#[derive(Clone, Debug, PartialEq)]
pub struct Offer {
    /// Hash of the template, copies of ConfigMaps and Secrets and all.
    pub id: String,
    /// The template, completed, without the images that Releases bring.
    pub template: Value,
    /// The copies that its pods read.
    pub copies: Vec<Named>,
}

/// A template that is kept.
#[derive(Clone, Debug, PartialEq)]
pub struct Kept {
    /// The object that has it.
    pub target: Target,
    /// Which came when, counted from 1.
    pub number: i64,
    /// What it is.
    pub offer: Offer,
}

impl Offer {
    /// A completed template without the images of the containers in `images`.
    pub fn of(template: &Value, images: &BTreeMap<String, String>, copies: Vec<Named>) -> Self {
        let mut template = template.clone();
        for container in containers(&mut template) {
            let is_brought = name_of(container).is_some_and(|name| images.contains_key(name));
            if let Some(fields) = container.as_object_mut().filter(|_| is_brought) {
                fields.remove("image");
            }
        }
        Self {
            id: Revision::of_template(&template).to_string(),
            template,
            copies,
        }
    }

    /// What is kept of it.
    pub fn data(&self) -> Value {
        let copies = self.copies.iter();
        let copies = copies.map(|copy| json!({"kind": copy.kind.kind(), "name": copy.name}));
        let copies: Vec<Value> = copies.collect();
        json!({"template": self.template, "copies": copies})
    }

    /// The same, read; nothing where it is not what was kept.
    pub fn read(data: &Value) -> Option<Self> {
        let template = data.get("template")?.clone();
        let copies = data.get("copies").and_then(Value::as_array);
        let named = |copy: &Value| {
            let name = copy.get("name")?.as_str()?.to_owned();
            match copy.get("kind")?.as_str()? {
                "ConfigMap" => Some(Named::config_map(name)),
                "Secret" => Some(Named::secret(name)),
                _ => None,
            }
        };
        Some(Self {
            id: Revision::of_template(&template).to_string(),
            template,
            copies: copies.into_iter().flatten().filter_map(named).collect(),
        })
    }

    /// The template with these images, and the images of all of its containers. One that has none, and gets none, keeps its
    /// `last` one.
    ///
    /// # Errors
    /// The name of a container that has no image.
    pub fn filled(
        &self,
        images: &BTreeMap<String, String>,
        last: &BTreeMap<String, String>,
    ) -> Result<(Value, BTreeMap<String, String>), String> {
        let mut template = self.template.clone();
        let mut found = BTreeMap::new();
        for container in containers(&mut template) {
            let name = name_of(container).unwrap_or_default().to_owned();
            let has_own = container.get("image").is_some();
            let kept = last.get(&name).filter(|_| !has_own);
            if let Some(image) = images.get(&name).or(kept) {
                set(container, &["image"], image.as_str());
            }
            let image = container.get("image").and_then(Value::as_str);
            let image = image.ok_or_else(|| name.clone())?.to_owned();
            found.insert(name, image);
        }
        Ok((template, found))
    }
}

/// Kept templates that nothing needs any more: all but those in `used`, and the newest few.
pub fn surplus<'k>(kept: &'k [Kept], used: &[&str]) -> Vec<&'k Kept> {
    let is_used = |one: &&Kept| used.contains(&one.offer.id.as_str());
    let mut idle: Vec<&Kept> = kept.iter().filter(|one| !is_used(one)).collect();
    idle.sort_by_key(|one| std::cmp::Reverse(one.number));
    idle.split_off(SPARE.min(idle.len()))
}

/// The id of the template that an Environment has taken in for a Rollout; nothing where the Rollout follows its spec.
pub fn taken_in<'e>(environment: &'e Environment, rollout: &str) -> Option<&'e str> {
    let status = environment.status.as_ref()?;
    let mut templates = status.templates.iter();
    let taken = templates.find(|taken| taken.name == rollout)?;
    environment
        .spec
        .gates_templates()
        .then_some(taken.id.as_str())
}

fn containers(template: &mut Value) -> impl Iterator<Item = &mut Value> {
    let containers = template.pointer_mut("/spec/containers");
    containers
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
}

fn name_of(container: &Value) -> Option<&str> {
    container.get("name")?.as_str()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::key::Key;
    use crate::model::object::ObjectKind;

    fn template(variable: &str) -> Value {
        json!({"spec": {"containers": [
            {"name": "web", "image": "r/api@sha256:a", "env": [{"name": "A", "value": variable}]},
            {"name": "proxy", "image": "proxy:1"},
        ]}})
    }

    fn images(reference: &str) -> BTreeMap<String, String> {
        [("web".to_owned(), reference.to_owned())].into()
    }

    #[test]
    fn a_template_is_the_same_whatever_the_release() {
        let one = Offer::of(&template("1"), &images("r/api@sha256:a"), Vec::new());
        let mut other = template("1");
        other["spec"]["containers"][0]["image"] = "r/api@sha256:b".into();
        let other = Offer::of(&other, &images("r/api@sha256:b"), Vec::new());
        assert_eq!(one, other);
        let changed = Offer::of(&template("2"), &images("r/api@sha256:a"), Vec::new());
        assert_ne!(one.id, changed.id);
    }

    #[test]
    fn what_is_kept_comes_back_with_the_images_of_the_day() {
        let copies = vec![Named::config_map("api-settings-1")];
        let offer = Offer::of(&template("1"), &images("r/api@sha256:a"), copies);
        let read = Offer::read(&offer.data()).unwrap();
        assert_eq!(read, offer);
        let none = BTreeMap::new();
        let (filled, found) = read.filled(&images("r/api@sha256:a"), &none).unwrap();
        assert_eq!(filled, template("1"));
        assert_eq!(found["proxy"], "proxy:1");
        assert_eq!(read.filled(&none, &none).unwrap_err(), "web");
        // The spec does not have the container any more.
        let mut last = images("r/api@sha256:a");
        last.insert("proxy".to_owned(), "proxy:0".to_owned());
        assert_eq!(read.filled(&none, &last).unwrap().0, template("1"));
        let (_, found) = read.filled(&images("r/api@sha256:b"), &last).unwrap();
        assert_eq!(found["web"], "r/api@sha256:b");
    }

    #[test]
    fn what_is_used_is_kept_and_so_are_the_newest() {
        let kept = |number: i64| Kept {
            target: Target {
                kind: ObjectKind::ControllerRevision,
                key: Key::new("shop", "t"),
                uid: "u".into(),
                resource_version: "1".into(),
            },
            number,
            offer: Offer::of(&template(&number.to_string()), &BTreeMap::new(), Vec::new()),
        };
        let all: Vec<Kept> = (1..=13).map(kept).collect();
        let used = [all[0].offer.id.as_str()];
        let numbers: Vec<i64> = surplus(&all, &used).iter().map(|one| one.number).collect();
        assert_eq!(numbers, [3, 2]);
    }
}
