//! The tag of what an Environment has: which images are to get it, and which have it. It follows promotions and never holds one up.
//! No I/O.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::api::{Deployed, ImageTag, TaggedImage};
use super::observed::Observed;
use crate::model::action::{Action, Outcome, Request};
use crate::model::secret::SecretKey;
use crate::model::span::{due_again, earliest};
use crate::model::tagged::TagQuestion;
use crate::model::text::truncate;

/// What every question of these begins with.
pub const PREFIX: &str = "tag/";
/// How soon a registry is asked again.
const ASK_AGAIN: SignedDuration = SignedDuration::from_mins(1);
/// How long it may take to answer.
const LIMIT: Duration = Duration::from_secs(20);
/// Longest message.
const MAX_MESSAGE: usize = 512;
/// What is said of an image whose repository has the tag at another.
const TAKEN: &str = "another image of this Environment in the same repository has the tag, which names one; build each into a \
                     repository of its own";
/// Images that are tagged.
const MOST: usize = 32;

/// What is done about tags.
#[derive(Debug, Default)]
pub struct Outlook {
    /// What registries are asked to do.
    pub actions: Vec<Action>,
    /// When to look again.
    pub wake: Option<Timestamp>,
}

/// Asks registries to put the tag to what the Environment has, wherever it is not known to be.
pub fn plan(seen: &Observed, current: &[Deployed], now: Timestamp) -> Outlook {
    let mut outlook = Outlook::default();
    let Some(rule) = &seen.spec.image_tag else {
        return outlook;
    };
    for (reference, _) in references(current)
        .into_iter()
        .filter(|(_, is_first)| *is_first)
    {
        let mut known = seen.status.tagged.iter();
        if known.any(|known| has_tag(known, reference, rule)) {
            continue;
        }
        let key = question(seen, rule, reference);
        let answer = seen.answers.get(&key);
        match due_again(answer.map(|answer| answer.at), ASK_AGAIN, now) {
            Some(due) => outlook.wake = earliest(outlook.wake, due),
            None => outlook
                .actions
                .extend(put(seen, rule, reference).map(|request| Action::Fetch { key, request })),
        }
    }
    outlook
}

/// Which images have the tag, with what registries answered.
pub fn status(seen: &Observed, current: &[Deployed], outcome: &Outcome) -> Vec<TaggedImage> {
    let Some(rule) = &seen.spec.image_tag else {
        return Vec::new();
    };
    let shown = references(current)
        .into_iter()
        .map(|(reference, is_first)| {
            if !is_first {
                return TaggedImage {
                    reference: reference.to_owned(),
                    tag: None,
                    message: Some(TAKEN.to_owned()),
                };
            }
            let mut known = seen.status.tagged.iter();
            let known = known.find(|known| known.reference == reference);
            let mut shown = TaggedImage {
                reference: reference.to_owned(),
                tag: known.and_then(|known| known.tag.clone().filter(|tag| *tag == rule.name)),
                message: known.and_then(|known| known.message.clone()),
            };
            match outcome.replies.get(&question(seen, rule, reference)) {
                Some(Ok(reply)) if reply.status == 200 => {
                    shown.tag = Some(rule.name.clone());
                    shown.message = None;
                }
                Some(Ok(_)) => {
                    let message = "the registry does not have the image any more";
                    shown.message = Some(message.to_owned());
                }
                Some(Err(error)) => shown.message = Some(truncate(error, MAX_MESSAGE).to_owned()),
                None => {}
            }
            shown
        });
    shown.collect()
}

/// The images, pinned, and whether the tag is for them: of several in one repository it names the first.
fn references(current: &[Deployed]) -> Vec<(&str, bool)> {
    let images = current.iter().flat_map(|deployed| &deployed.images);
    let all = images.map(|image| image.reference.as_str()).take(MOST);
    let all: Vec<&str> = all.collect();
    let is_first = |reference: &str| {
        let mut known = all.iter().copied();
        known.find(|known| place(known) == place(reference)) == Some(reference)
    };
    let marked = all.iter().copied();
    marked
        .map(|reference| (reference, is_first(reference)))
        .collect()
}

/// The repository of an image.
fn place(reference: &str) -> &str {
    reference
        .split_once('@')
        .map_or(reference, |(place, _)| place)
}

fn has_tag(known: &TaggedImage, reference: &str, rule: &ImageTag) -> bool {
    known.reference == reference && known.tag.as_ref() == Some(&rule.name)
}

/// What was answered before an edit is not about what is asked now.
fn question(seen: &Observed, rule: &ImageTag, reference: &str) -> String {
    format!("{PREFIX}{}/{}/{reference}", seen.generation, rule.name)
}

fn put(seen: &Observed, rule: &ImageTag, reference: &str) -> Option<Request> {
    let (repository, digest) = reference.split_once('@')?;
    let login = rule.registry_secret_name.as_ref();
    let question = TagQuestion {
        repository: repository.to_owned(),
        tag: rule.name.clone(),
        to: Some(digest.to_owned()),
        is_insecure: rule.insecure_registry.unwrap_or(false),
        login: login.map(|name| (seen.key.namespace.clone(), SecretKey::registry_login(name))),
    };
    Some(Request::for_tagged(question, LIMIT))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn of_several_images_in_one_repository_the_first_has_the_tag() {
        let image = |name: &str, reference: &str| json!({"name": name, "ref": reference});
        let digest = |digit: &str| format!("registry.example/api@sha256:{}", digit.repeat(64));
        let (one, other) = (digest("1"), digest("2"));
        let elsewhere = one.replace("/api", "/worker");
        let deployed = |images: Value| -> Deployed {
            let deployed = json!({
                "pipeline": "api", "release": "api-1", "promotion": "staging-1", "images": images,
                "since": "2026-11-21T10:00:00Z",
            });
            serde_json::from_value(deployed).unwrap()
        };
        let current = [
            deployed(json!([image("api", &one), image("admin", &other)])),
            deployed(json!([image("api", &one), image("worker", &elsewhere)])),
        ];
        let expected = [
            (one.as_str(), true),
            (other.as_str(), false),
            (one.as_str(), true),
            (elsewhere.as_str(), true),
        ];
        assert_eq!(references(&current), expected);
    }
}
