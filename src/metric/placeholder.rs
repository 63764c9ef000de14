//! `{{…}}` in the texts of metrics: which there are, and what stands in their place. No I/O.
//!
//! What a Rollout is called and labelled is known when its spec is read; which revisions it is about, when something is
//! measured. So the ones are filled in early, and the others late.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::model::key::Key;
use crate::traffic::Side;

/// What a placeholder stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Placeholder {
    /// A regular expression that matches the pods of one side and no others.
    Pods(Side),
    /// The revision of a side.
    Revision(Side),
    /// The image of a container of a side.
    Image(Side, String),
    /// The Rollout's name.
    Name,
    /// Its namespace.
    Namespace,
    /// One of its labels.
    Label(String),
    /// An argument of an AnalysisTemplate.
    Argument(String),
}

/// Every placeholder, for people.
pub const KNOWN: &str = "canary.pods, canary.revision, canary.images['<container>'], the same of stable, metadata.name, \
                         metadata.namespace, metadata.labels['<key>'], and in an AnalysisTemplate args.<name>";

impl Placeholder {
    /// The placeholder of this name: what stands between the braces.
    pub fn named(name: &str) -> Option<Self> {
        let quoted = |rest: &str| {
            let inner = rest.strip_prefix("['")?.strip_suffix("']")?;
            (!inner.is_empty()).then(|| inner.to_owned())
        };
        let (scope, field) = name.split_once('.')?;
        let side = match scope {
            "canary" => Some(Side::Canary),
            "stable" => Some(Side::Stable),
            _ => None,
        };
        if let Some(side) = side {
            return match field {
                "pods" => Some(Self::Pods(side)),
                "revision" => Some(Self::Revision(side)),
                _ => Some(Self::Image(side, quoted(field.strip_prefix("images")?)?)),
            };
        }
        match (scope, field) {
            ("metadata", "name") => Some(Self::Name),
            ("metadata", "namespace") => Some(Self::Namespace),
            ("metadata", _) => Some(Self::Label(quoted(field.strip_prefix("labels")?)?)),
            ("args", _) if !field.is_empty() => Some(Self::Argument(field.to_owned())),
            _ => None,
        }
    }
}

/// What the Rollout itself says: known when its spec is read.
#[derive(Clone, Debug, PartialEq)]
pub struct Owner<'a> {
    /// Namespace and name.
    pub key: &'a Key,
    /// Its labels.
    pub labels: &'a BTreeMap<String, String>,
    /// Containers of its pods.
    pub containers: Vec<&'a str>,
}

impl Owner<'_> {
    /// What stands in the place of a placeholder, as far as that is known already. The error is for people.
    pub fn value(&self, of: &Placeholder) -> Result<Option<String>, String> {
        match of {
            Placeholder::Name => Ok(Some(self.key.name.clone())),
            Placeholder::Namespace => Ok(Some(self.key.namespace.clone())),
            Placeholder::Label(key) => match self.labels.get(key) {
                Some(value) => Ok(Some(value.clone())),
                None => Err(format!("the Rollout has no label {key}")),
            },
            Placeholder::Image(_, container) => {
                if self.containers.contains(&container.as_str()) {
                    return Ok(None);
                }
                let known = self.containers.join(", ");
                Err(format!(
                    "there is no container {container}; there is {known}"
                ))
            }
            Placeholder::Argument(_) => {
                Err("there are arguments in an AnalysisTemplate only".to_owned())
            }
            Placeholder::Pods(_) | Placeholder::Revision(_) => Ok(None),
        }
    }
}

/// What is measured of one side: known when something is measured.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subject {
    /// A regular expression that matches its pods and no others.
    pub pods: String,
    /// Its revision.
    pub revision: String,
    /// Its images by container.
    pub images: BTreeMap<String, String>,
}

/// Both sides.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sides {
    /// The revision that is on its way.
    pub canary: Subject,
    /// The revision that serves.
    pub stable: Subject,
}

impl Sides {
    /// What stands in the place of a placeholder. A revision without the container has no image.
    pub fn value(&self, of: &Placeholder) -> Option<String> {
        let subject = |side: &Side| match side {
            Side::Canary => &self.canary,
            Side::Stable => &self.stable,
        };
        match of {
            Placeholder::Pods(side) => Some(subject(side).pods.clone()),
            Placeholder::Revision(side) => Some(subject(side).revision.clone()),
            Placeholder::Image(side, container) => {
                let image = subject(side).images.get(container);
                Some(image.cloned().unwrap_or_default())
            }
            Placeholder::Name
            | Placeholder::Namespace
            | Placeholder::Label(_)
            | Placeholder::Argument(_) => None,
        }
    }

    /// Something with texts, with what stands for these sides filled in.
    #[must_use]
    pub fn filled<T: Serialize + DeserializeOwned + Clone>(&self, of: &T) -> T {
        let value =
            |name: &str, _: &str| Ok(Placeholder::named(name).and_then(|it| self.value(&it)));
        // What cannot be filled in has been refused when the spec was read.
        filled(of, "", &value).unwrap_or_else(|_| of.clone())
    }
}

/// What is wrong with a placeholder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misplaced {
    /// Where it stands.
    pub path: String,
    /// Its name.
    pub name: String,
    /// Why there is nothing to put in its place.
    pub problem: String,
}

impl fmt::Display for Misplaced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{{{{}}}}}: {}", self.name, self.problem)
    }
}

/// What stands for the placeholder of a name, at a place; nothing where that is not known yet. The error is for people.
pub type Values<'a> = dyn Fn(&str, &str) -> Result<Option<String>, String> + 'a;

/// Replaces placeholders in a text: by what `value` says, or not at all where it says nothing.
///
/// # Errors
/// The first one for which `value` has an error: its name, and the error.
pub fn replaced(
    text: &str,
    value: &dyn Fn(&str) -> Result<Option<String>, String>,
) -> Result<String, (String, String)> {
    let mut done = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("{{") {
        let Some((inner, behind)) = after.split_once("}}") else {
            break;
        };
        done.push_str(before);
        let name = inner.trim();
        match value(name) {
            Ok(Some(value)) => done.push_str(&value),
            Ok(None) => {
                done.push_str("{{");
                done.push_str(inner);
                done.push_str("}}");
            }
            Err(problem) => return Err((name.to_owned(), problem)),
        }
        rest = behind;
    }
    done.push_str(rest);
    Ok(done)
}

/// The same in every text of something, at `path`.
///
/// # Errors
/// The first placeholder for which there is nothing to put in its place.
pub fn filled<T: Serialize + DeserializeOwned>(
    of: &T,
    path: &str,
    value: &Values,
) -> Result<T, Misplaced> {
    let broken = |error: serde_json::Error| Misplaced {
        path: path.to_owned(),
        name: String::new(),
        problem: error.to_string(),
    };
    let mut whole = serde_json::to_value(of).map_err(broken)?;
    fill(&mut whole, path, value)?;
    serde_json::from_value(whole).map_err(broken)
}

fn fill(whole: &mut Value, path: &str, value: &Values) -> Result<(), Misplaced> {
    match whole {
        Value::String(text) if text.contains("{{") => {
            let here = |name: &str| value(name, path);
            *text = replaced(text, &here).map_err(|(name, problem)| Misplaced {
                path: path.to_owned(),
                name,
                problem,
            })?;
        }
        Value::Array(entries) => {
            for (index, entry) in entries.iter_mut().enumerate() {
                fill(entry, &format!("{path}[{index}]"), value)?;
            }
        }
        Value::Object(fields) => {
            for (name, field) in fields {
                fill(field, &format!("{path}.{name}"), value)?;
            }
        }
        Value::String(_) | Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn names_are_a_closed_set() {
        let known = [
            ("canary.pods", Placeholder::Pods(Side::Canary)),
            ("stable.revision", Placeholder::Revision(Side::Stable)),
            (
                "canary.images['web']",
                Placeholder::Image(Side::Canary, "web".into()),
            ),
            ("metadata.name", Placeholder::Name),
            ("metadata.namespace", Placeholder::Namespace),
            (
                "metadata.labels['app.kubernetes.io/name']",
                Placeholder::Label("app.kubernetes.io/name".into()),
            ),
            ("args.service", Placeholder::Argument("service".into())),
        ];
        for (name, placeholder) in known {
            assert_eq!(Placeholder::named(name), Some(placeholder), "{name}");
        }
        for name in [
            "canary",
            "canary.pod",
            "canary.images",
            "canary.images['']",
            "metadata.uid",
            "metadata.labels[app]",
            "metadata.labels",
            "args.",
            "spec.replicas",
            "",
            "secret.x",
        ] {
            assert_eq!(Placeholder::named(name), None, "{name}");
        }
    }

    #[test]
    fn every_text_is_filled_in_and_what_is_not_known_yet_stays() {
        let value = |name: &str, _: &str| match name {
            "a" => Ok(Some("1".to_owned())),
            "later" => Ok(None),
            _ => Err("unknown".to_owned()),
        };
        let of = json!({"x": ["{{a}} {{ a }}{{later}}", 7], "y": {"z": "}} {{a"}});
        let done: Value = filled(&of, "m", &value).unwrap();
        assert_eq!(
            done,
            json!({"x": ["1 1{{later}}", 7], "y": {"z": "}} {{a"}})
        );
        let wrong = filled(&json!({"x": ["", "{{a}}{{b}}"]}), "m", &value).unwrap_err();
        assert_eq!(
            (wrong.path.as_str(), wrong.to_string().as_str()),
            ("m.x[1]", "{{b}}: unknown")
        );
        let place = |_: &str, path: &str| Ok(Some(path.to_owned()));
        let done: Value = filled(&json!({"x": [{"y": "{{a}}"}]}), "m", &place).unwrap();
        assert_eq!(done, json!({"x": [{"y": "m.x[0].y"}]}));
    }

    #[test]
    fn what_is_filled_in_is_not_filled_in_again() {
        let value = |_: &str| Ok(Some("{{x}}".to_owned()));
        assert_eq!(replaced("a {{y}} b", &value).unwrap(), "a {{x}} b");
    }
}
