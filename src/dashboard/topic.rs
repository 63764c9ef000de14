//! What may be watched, and which of it is asked for. No I/O.

use k8s_openapi::api::core::v1::Event;
use kube::api::ApiResource;

use crate::model::object::ObjectKind;

/// Longest name of an object.
const MAX_NAME: usize = 253;

/// A kind that may be watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Topic {
    /// A kind of ours.
    Own(ObjectKind),
    /// What Kubernetes and the operator tell about objects.
    Events,
}

impl Topic {
    /// The topic with this plural name.
    pub fn parse(plural: &str) -> Option<Self> {
        if plural == "events" {
            return Some(Self::Events);
        }
        let mut all = ObjectKind::ALL.iter().copied();
        let kind = all.find(|kind| kind.is_own() && kind.plural() == plural)?;
        Some(Self::Own(kind))
    }

    /// Its name in URLs.
    pub fn plural(self) -> &'static str {
        match self {
            Self::Own(kind) => kind.plural(),
            Self::Events => "events",
        }
    }

    /// Its name in manifests.
    pub fn kind(self) -> &'static str {
        match self {
            Self::Own(kind) => kind.kind(),
            Self::Events => "Event",
        }
    }

    /// What kube needs to talk about it.
    pub fn resource(self) -> ApiResource {
        match self {
            Self::Own(kind) => kind.api_resource(),
            Self::Events => ApiResource::erase::<Event>(&()),
        }
    }

    /// The selector of fields that finds what is about this name.
    pub fn selector(self, name: &str) -> String {
        match self {
            Self::Own(_) => format!("metadata.name={name}"),
            Self::Events => format!("involvedObject.name={name}"),
        }
    }
}

/// What a stream is to tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wish {
    /// Of which kinds.
    pub topics: Vec<Topic>,
    /// Of which namespace; of all where there is none.
    pub namespace: Option<String>,
    /// About which name; about all where there is none.
    pub name: Option<String>,
    /// The object as it is, and not only what lists show.
    pub is_whole: bool,
}

impl Wish {
    /// Reads the parameters of a query.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn read<'a>(query: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self, String> {
        let mut wish = Self {
            topics: Vec::new(),
            namespace: None,
            name: None,
            is_whole: false,
        };
        for (key, value) in query {
            match key {
                "kinds" => wish.topics = topics(value)?,
                "namespace" => wish.namespace = some_name(value)?,
                "name" => wish.name = some_name(value)?,
                "whole" => wish.is_whole = value == "true",
                _ => return Err(format!("there is no parameter {key} here")),
            }
        }
        if wish.topics.is_empty() {
            return Err("name what is to be told, as kinds=rollouts,environments".to_owned());
        }
        if wish.is_whole && (wish.namespace.is_none() || wish.name.is_none()) {
            return Err("whole=true takes the namespace and the name of one object".to_owned());
        }
        Ok(wish)
    }
}

fn topics(text: &str) -> Result<Vec<Topic>, String> {
    let mut topics = Vec::new();
    for word in text.split(',').filter(|word| !word.is_empty()) {
        let topic = Topic::parse(word);
        topics.push(topic.ok_or_else(|| format!("there are no {word} to be told of"))?);
    }
    topics.sort_unstable();
    topics.dedup();
    Ok(topics)
}

fn some_name(text: &str) -> Result<Option<String>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    if is_name(text) {
        return Ok(Some(text.to_owned()));
    }
    Err("a name has lower-case letters, digits, - and . only".to_owned())
}

/// Whether an object can have this name. Whatever cannot never gets into a path or a selector.
pub fn is_name(text: &str) -> bool {
    let is_fine = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '.');
    (1..=MAX_NAME).contains(&text.len())
        && text.chars().all(is_fine)
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && !text.contains("..")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_of_ours_and_events_may_be_watched_and_nothing_else() {
        for known in ["rollouts", "environments", "decisions", "events"] {
            assert_eq!(Topic::parse(known).unwrap().plural(), known);
        }
        for unknown in ["secrets", "pods", "Rollout", ""] {
            assert_eq!(Topic::parse(unknown), None, "{unknown}");
        }
        assert_eq!(Topic::Events.resource().api_version, "v1");
        assert_eq!(Topic::Events.resource().plural, "events");
    }

    #[test]
    fn a_wish_says_what_of_where() {
        let wish = Wish::read([
            ("kinds", "rollouts,events,rollouts"),
            ("namespace", "shop"),
            ("name", "api"),
            ("whole", "true"),
        ]);
        let wish = wish.unwrap();
        let rollouts = Topic::Own(ObjectKind::Rollout);
        assert_eq!(wish.topics, [rollouts, Topic::Events]);
        assert_eq!(wish.namespace.as_deref(), Some("shop"));
        assert!(wish.is_whole);
        let all = Wish::read([("kinds", "rollouts"), ("namespace", "")]).unwrap();
        assert_eq!((all.namespace, all.is_whole), (None, false));
    }

    #[test]
    fn what_is_no_wish_is_refused() {
        for wrong in [
            vec![],
            vec![("kinds", "")],
            vec![("kinds", "secrets")],
            vec![("kinds", "rollouts"), ("namespace", "shop,x=y")],
            vec![("kinds", "rollouts"), ("name", "../../secrets")],
            vec![("kinds", "rollouts"), ("watch", "true")],
            vec![("kinds", "rollouts"), ("whole", "true")],
            vec![
                ("kinds", "rollouts"),
                ("whole", "true"),
                ("namespace", "shop"),
            ],
            vec![("kinds", "rollouts"), ("whole", "true"), ("name", "api")],
        ] {
            assert!(Wish::read(wrong.clone()).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn what_would_leave_its_place_in_a_path_is_no_name() {
        for fine in ["api", "shop-api-3f9c2e1b4d5a", "api.17f2", "0"] {
            assert!(is_name(fine), "{fine}");
        }
        for wrong in ["", ".", "..", "a..b", "a/b", "a?b", "A", "a%2fb", "-a"] {
            assert!(!is_name(wrong), "{wrong}");
        }
        assert!(!is_name(&"a".repeat(254)));
    }
}
