//! The tag of what an Environment has: which images are to get it, and which have it. It follows promotions and never holds one up.
//! No I/O.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::api::{Deployed, ImageTag, TaggedImage};
use super::observed::Observed;
use crate::model::action::{Action, Outcome, Request};
use crate::model::condition::truncate;
use crate::model::secret::SecretKey;
use crate::model::tagged::TagQuestion;

/// What every question of these begins with.
pub const PREFIX: &str = "tag/";
/// How soon a registry is asked again.
const ASK_AGAIN: SignedDuration = SignedDuration::from_mins(1);
/// How long it may take to answer.
const LIMIT: Duration = Duration::from_secs(20);
/// Key in a Secret with the login for registries.
const LOGIN: &str = ".dockerconfigjson";
/// Longest message.
const MAX_MESSAGE: usize = 512;
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
    for reference in references(current) {
        let mut known = seen.status.tagged.iter();
        if known.any(|known| has_tag(known, reference, rule)) {
            continue;
        }
        let key = question(seen, rule, reference);
        let answer = seen.answers.get(&key);
        let due = answer.and_then(|answer| answer.at.checked_add(ASK_AGAIN).ok());
        match due.filter(|due| *due > now) {
            Some(due) => outlook.wake = outlook.wake.into_iter().chain([due]).min(),
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
    let shown = references(current).map(|reference| {
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

/// The images, pinned.
fn references(current: &[Deployed]) -> impl Iterator<Item = &str> {
    let images = current.iter().flat_map(|deployed| &deployed.images);
    images.map(|image| image.reference.as_str()).take(MOST)
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
        login: login.map(|name| (seen.key.namespace.clone(), SecretKey::new(name, LOGIN))),
    };
    Some(Request::for_tagged(question, LIMIT))
}
