//! YAML with the places at which things stand, and where a path into an object leads. No I/O.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};
use serde_saphyr::Spanned;

/// A line and a column, from 1.
pub(super) type Place = (u64, u64);

/// A value, and the places of what is in it.
#[derive(Clone, Debug)]
pub(super) enum Node {
    /// A text, a number, or the like.
    Scalar(Value),
    /// A list.
    List(Vec<Spanned<Node>>),
    /// Fields.
    Fields(Vec<(String, Spanned<Node>)>),
}

impl Node {
    /// The value alone.
    pub(super) fn value(&self) -> Value {
        match self {
            Self::Scalar(value) => value.clone(),
            Self::List(items) => items.iter().map(|item| item.value.value()).collect(),
            Self::Fields(fields) => {
                let fields = fields.iter();
                let fields = fields.map(|(name, node)| (name.clone(), node.value.value()));
                Value::Object(fields.collect::<Map<String, Value>>())
            }
        }
    }

    /// A field, if it has it.
    pub(super) fn field(&self, name: &str) -> Option<&Spanned<Node>> {
        let Self::Fields(fields) = self else {
            return None;
        };
        let found = fields.iter().find(|(known, _)| known == name);
        found.map(|(_, node)| node)
    }
}

fn place<T>(of: &Spanned<T>) -> Place {
    (of.referenced.line(), of.referenced.column())
}

/// Where a path such as `spec.strategy.steps[0].setWeight` leads, or as far as it does: its key, if it has one.
pub(super) fn locate(root: &Spanned<Node>, path: &str, text: &str) -> Place {
    let (mut node, mut rest, mut at) = (root, path, place(root));
    loop {
        let (next, key, after) = match &node.value {
            Node::Fields(fields) => {
                let fits = |(name, _): &&(String, Spanned<Node>)| is_first(rest, name);
                // Names may have dots in them: the longest one that fits is meant.
                let found = fields.iter().filter(fits);
                let Some((name, next)) = found.max_by_key(|(name, _)| name.len()) else {
                    return at;
                };
                (next, Some(name), rest.get(name.len()..).unwrap_or_default())
            }
            Node::List(items) => {
                let Some((index, after)) = index(rest) else {
                    return at;
                };
                let Some(next) = item(items, index) else {
                    return at;
                };
                (next, None, after)
            }
            Node::Scalar(_) => return at,
        };
        at = key.map_or(place(next), |key| before(text, key, place(next)));
        node = next;
        rest = after.strip_prefix('.').unwrap_or(after);
    }
}

/// Whether a path begins with a name.
fn is_first(path: &str, name: &str) -> bool {
    let rest = path.strip_prefix(name);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}

/// What stands in brackets at the beginning of a path, and what comes after it.
fn index(path: &str) -> Option<(&str, &str)> {
    path.strip_prefix('[')?.split_once(']')
}

/// An item of a list by its number, or by its name.
fn item<'a>(items: &'a [Spanned<Node>], index: &str) -> Option<&'a Spanned<Node>> {
    if let Ok(number) = index.parse::<usize>() {
        return items.get(number);
    }
    let is_named = |item: &&Spanned<Node>| {
        let name = item.value.field("name").map(|name| name.value.value());
        name.is_some_and(|name| name == index)
    };
    items.iter().find(is_named)
}

/// Where the key of a value stands: on the value's line, or on the nearest one above it. The value's own place, if it is not found.
fn before(text: &str, key: &str, at: Place) -> Place {
    let lines: Vec<&str> = text.lines().collect();
    let last = usize::try_from(at.0).unwrap_or_default().min(lines.len());
    let above = lines.iter().take(last).enumerate().rev();
    for (number, line) in above {
        for (column, _) in line.match_indices(key) {
            let (left, right) = line.split_at(column);
            let right = right.get(key.len()..).unwrap_or_default();
            let right = right.trim_start_matches(['"', '\'']);
            let is_start = left.is_empty() || left.ends_with([' ', '{', '"', '\'', ',']);
            let column = u64::try_from(left.chars().count() + 1).unwrap_or_default();
            let line = u64::try_from(number + 1).unwrap_or_default();
            if is_start && right.starts_with(':') && (line, column) <= at {
                return (line, column);
            }
        }
    }
    at
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str("a value")
    }

    fn visit_unit<E: Error>(self) -> Result<Node, E> {
        Ok(Node::Scalar(Value::Null))
    }

    fn visit_none<E: Error>(self) -> Result<Node, E> {
        Ok(Node::Scalar(Value::Null))
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        Node::deserialize(deserializer)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Scalar(value.into()))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Node, E> {
        Ok(Node::Scalar(value.into()))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Node, E> {
        Ok(Node::Scalar(value.into()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Node, E> {
        Ok(Node::Scalar(value.into()))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Node, E> {
        Ok(Node::Scalar(value.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Node, A::Error> {
        let mut all = Vec::new();
        while let Some(item) = items.next_element()? {
            all.push(item);
        }
        Ok(Node::List(all))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Node, A::Error> {
        let mut all = Vec::new();
        while let Some(field) = fields.next_entry()? {
            all.push(field);
        }
        Ok(Node::Fields(all))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
# a Rollout
kind: Rollout
metadata:
  labels: {app.kubernetes.io/name: api}
spec:
  strategy:
    steps:
    - setWeight: {weight: 10}
    - setWieght:
        # more
        weight: 20
  metrics:
  - name: rate
    query: up
";

    #[test]
    fn a_path_leads_to_the_key() {
        let root: Spanned<Node> = serde_saphyr::from_str(TEXT).unwrap();
        let at = |path: &str| locate(&root, path, TEXT);
        assert_eq!(at("kind"), (2, 1));
        assert_eq!(at("metadata.labels.app.kubernetes.io/name"), (4, 12));
        assert_eq!(at("spec.strategy.steps[0].setWeight.weight"), (8, 19));
        assert_eq!(at("spec.strategy.steps[1].setWieght"), (9, 7));
        assert_eq!(at("spec.metrics[rate].query"), (14, 5));
        // What is not there is shown where it should be.
        assert_eq!(at("spec.strategy.type"), (6, 3));
    }

    #[test]
    fn values_are_what_they_were() {
        let root: Spanned<Node> = serde_saphyr::from_str(TEXT).unwrap();
        let plain: Value = serde_saphyr::from_str(TEXT).unwrap();
        assert_eq!(root.value.value(), plain);
    }
}
