//! Triggers by images: a tag of a registry that names another digest than before. A digest has its run first, and is noted once
//! that is there: a crash in between makes the same run again. No I/O.

use std::time::Duration;

use super::super::api::{ImageStatus, ImageTrigger, PipelineSpec};
use super::Start;
use crate::model::action::{Reply, Request};
use crate::model::label;
use crate::model::secret::SecretKey;
use crate::model::tagged::TagQuestion;
use crate::model::text::truncate;
use crate::oci::manifest::is_digest;
use crate::pipeline_run::api::TriggerKind;

/// How long a registry may take to answer.
const LIMIT: Duration = Duration::from_secs(20);
/// Longest message.
const MAX_MESSAGE: usize = 512;

/// What the record of a trigger is of.
pub fn rule_of(spec: &PipelineSpec, trigger: &ImageTrigger) -> String {
    format!("{} {}", trigger.reference, branch_of(spec, trigger))
}

fn branch_of<'a>(spec: &'a PipelineSpec, trigger: &'a ImageTrigger) -> &'a str {
    trigger.branch.as_deref().unwrap_or(&spec.source.git.branch)
}

/// The record of a trigger, begun anew where it is of another rule: what the tag names then starts nothing.
pub fn record(known: &[ImageStatus], name: &str, rule: String) -> ImageStatus {
    let found = known
        .iter()
        .find(|known| known.name == name && known.rule == rule);
    found.cloned().unwrap_or(ImageStatus {
        name: name.to_owned(),
        rule,
        digest: None,
        found: None,
        message: None,
    })
}

/// The question of a record, as answers are told apart: with another login, or another way to the registry, it is asked at once.
pub fn question(spec: &PipelineSpec, record: &ImageStatus) -> String {
    let mut rules = spec.triggers.iter();
    let rule = rules.find(|rule| rule.name == record.name);
    let trigger = rule.and_then(|rule| rule.image.as_ref());
    let login = trigger.and_then(|trigger| trigger.pull_secret_ref.as_ref());
    let login = login.map_or("nobody", |secret| secret.name.as_str());
    let is_insecure = trigger.is_some_and(|trigger| trigger.insecure_registry == Some(true));
    let scheme = if is_insecure { "http" } else { "https" };
    format!(
        "image {} {} as {login} over {scheme}",
        record.name, record.rule
    )
}

/// Asks the registry which digest the tag names.
pub fn request(trigger: &ImageTrigger, namespace: &str) -> Request {
    let reference = trigger.reference.as_str();
    let (repository, tag) = reference.rsplit_once(':').unwrap_or((reference, "latest"));
    let login = trigger.pull_secret_ref.as_ref();
    let question = TagQuestion {
        repository: repository.to_owned(),
        tag: tag.to_owned(),
        to: None,
        is_insecure: trigger.insecure_registry.unwrap_or(false),
        login: login.map(|secret| {
            (
                namespace.to_owned(),
                SecretKey::registry_login(&secret.name),
            )
        }),
    };
    Request::for_tagged(question, LIMIT)
}

/// Takes in the answer.
pub fn learn(record: &mut ImageStatus, reply: &Result<Reply, String>) {
    match digest(reply) {
        Err(message) => record.message = Some(message),
        Ok(digest) => {
            record.message = None;
            match &record.digest {
                None => record.digest = Some(digest),
                Some(known) if *known == digest => record.found = None,
                Some(_) => record.found = Some(digest),
            }
        }
    }
}

fn digest(reply: &Result<Reply, String>) -> Result<String, String> {
    let reply = reply
        .as_ref()
        .map_err(|error| truncate(error, MAX_MESSAGE).to_owned())?;
    let digest = String::from_utf8_lossy(&reply.body);
    if reply.status == 200 && is_digest(&digest) {
        return Ok(digest.into_owned());
    }
    Err("the registry has no such tag; push it, or change the reference".to_owned())
}

/// The run of a digest.
pub fn start(
    spec: &PipelineSpec,
    record: &ImageStatus,
    trigger: &ImageTrigger,
    digest: &str,
) -> Start {
    Start {
        kind: TriggerKind::Image,
        trigger: record.name.clone(),
        git_ref: format!("refs/heads/{}", branch_of(spec, trigger)),
        sha: None,
        identity: format!("{}@{digest}", trigger.reference),
        actor: label::SLIPWAY.to_owned(),
        pull_request: None,
        needs_approval: false,
    }
}
