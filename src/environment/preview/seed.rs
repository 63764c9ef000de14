//! Fills the database of a preview: a Job, once everything is there that takes no image of the run, and before anything does.
//!
//! It runs where the Secrets are, in the Environment's namespace, and belongs to the namespace of the preview, with which it goes.
//! Its name follows from what it is to do, so that it is made once; while it is there, its verdict is final. No I/O.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use serde_json::Value;

use super::super::api::{MigrationVariable, PreviewPhase, PreviewSeed, PreviewStatus, SeedEvery};
use super::super::migration::secrets_of;
use super::super::render::add_env;
use super::{BLOCKED, Draft, Run, Space, copy};
use crate::check::api::CheckJob;
use crate::check::{self, Outcome, Place};
use crate::model::action::Action;
use crate::model::key::{Key, MAX_LABEL, short_hash, suffixed};
use crate::model::label;
use crate::model::manifest::Manifest;
use crate::model::object::ObjectKind;
use crate::model::span::later;
use crate::pipeline::secret::{Named, refusal_of};

/// Digits of what tells Jobs of a preview apart.
const DIGITS: usize = 10;

/// The Secrets that a seed names.
pub fn secrets(seed: &PreviewSeed) -> BTreeMap<String, Named> {
    secrets_of("spec.previews.seed", &seed.env)
}

impl Draft<'_> {
    /// What the record of a preview says once it is filled for a run.
    pub(super) fn seeded(&self, space: &Space, run: &Run) -> Option<String> {
        match self.of.spec.seed.as_ref().map(PreviewSeed::every) {
            None => space.record.seeded.clone(),
            Some(SeedEvery::Commit) => Some(run.sha.clone()),
            Some(SeedEvery::Preview) => space
                .record
                .seeded
                .clone()
                .or_else(|| Some(run.sha.clone())),
        }
    }

    /// Where a preview is that is not filled yet, and what is done for that; nothing, where there is nothing left to do.
    pub(super) fn seed(
        &mut self,
        space: &Space,
        run: &Run,
        (templates, copies): (&[Value], &[Manifest]),
    ) -> Option<PreviewStatus> {
        let seed = self.of.spec.seed.as_ref()?;
        if space.record.seeded.is_some() && space.record.seeded == self.seeded(space, run) {
            return None;
        }
        let known = self.of.seen.secrets.as_ref();
        let refusal = known.and_then(|known| refusal_of(&secrets(seed), known));
        let job = match refusal {
            Some(refusal) => {
                // Secrets are not watched.
                self.wake_at(later(self.now, BLOCKED));
                Err(refusal.message)
            }
            None => self.seed_job(space, run, seed),
        };
        let job = match job {
            Ok(job) => job,
            Err(problem) => return Some(self.item(run, PreviewPhase::Failed, &problem)),
        };
        let name = job.key.name.clone();
        let (phase, text) = match self.of.checks.get(&name).map(|check| &check.outcome) {
            Some(Outcome::Passed) => return None,
            Some(Outcome::Running) => {
                let text = format!("its database is being filled (Job {name})");
                (PreviewPhase::Updating, text)
            }
            Some(Outcome::Failed(why) | Outcome::Stuck(why) | Outcome::Lost(why)) => {
                let text =
                    format!("its database was not filled; delete Job {name} to try again: {why}");
                (PreviewPhase::Failed, text)
            }
            None => {
                if self.fill.is_empty() {
                    let of_run = |made: &&Manifest| !copy::is_of_run(templates, made);
                    let first = copies.iter().filter(of_run).cloned();
                    self.fill = first.map(Action::Apply).collect();
                    self.fill.push(Action::Create(job));
                }
                let text = "its database is to be filled".to_owned();
                (PreviewPhase::Updating, text)
            }
        };
        Some(self.item_towards(space, run, (phase, &text)))
    }

    /// # Errors
    /// Says what is missing.
    fn seed_job(&self, space: &Space, run: &Run, seed: &PreviewSeed) -> Result<Manifest, String> {
        let image = match (&seed.image, &seed.image_from) {
            (Some(image), _) => image.clone(),
            (None, Some(_)) if run.is_fork => {
                let text = "seed.imageFrom would run what another repository brings beside Secrets; set seed.image";
                return Err(text.to_owned());
            }
            (None, name) => {
                let name = name.as_deref().unwrap_or_default();
                let made = run.images.iter().find(|image| image.name == name);
                let made = made.ok_or_else(|| {
                    format!("the run made no image {name}, which seed.imageFrom names; is it pushed on pull requests?")
                })?;
                made.reference.clone()
            }
        };
        let commit = match seed.every() {
            SeedEvery::Preview => "",
            SeedEvery::Commit => &run.sha,
        };
        let spec = serde_json::to_string(seed).unwrap_or_default();
        let what = [space.target.uid.as_str(), &spec, &image, commit].join("\n");
        let mark = short_hash(what.as_bytes(), DIGITS);
        let base = format!("{}-pr-{}-seed", self.of.key.name, space.number);
        let key = Key::new(
            self.of.key.namespace.clone(),
            suffixed(&base, &mark, MAX_LABEL),
        );
        let owner = OwnerReference {
            api_version: ObjectKind::Namespace.api_version(),
            kind: ObjectKind::Namespace.kind().to_owned(),
            name: space.target.key.name.clone(),
            uid: space.target.uid.clone(),
            controller: None,
            block_owner_deletion: None,
        };
        let place = Place {
            key: &key,
            parent: (label::ENVIRONMENT, &self.of.key.name),
            owner: &owner,
            metric: None,
        };
        let check = CheckJob {
            image,
            command: seed.command.clone(),
            env: Vec::new(),
        };
        let mut job = check::job(place, &check, self.told(space, run), seed.timeout());
        // It shows that the database is filled, or why not, for as long as the preview is there.
        if let Some(spec) = job.body.get_mut("spec").and_then(Value::as_object_mut) {
            spec.remove("ttlSecondsAfterFinished");
        }
        add_env(&mut job, &self.placed_env(space.number, seed));
        Ok(job)
    }

    /// What its command is told.
    fn told(&self, space: &Space, run: &Run) -> Vec<(String, String)> {
        let all = [
            ("SLIPWAY_ENVIRONMENT", self.of.key.name.clone()),
            ("SLIPWAY_PREVIEW_NAMESPACE", space.target.key.name.clone()),
            ("SLIPWAY_PREVIEW_URL", copy::url(self.of.spec, space.number)),
            ("SLIPWAY_PULL_REQUEST", space.number.to_string()),
            ("SLIPWAY_REVISION", run.sha.clone()),
        ];
        Vec::from(all.map(|(name, value)| (name.to_owned(), value)))
    }

    fn placed_env(&self, number: u64, seed: &PreviewSeed) -> Vec<MigrationVariable> {
        let all = seed.env.iter().cloned();
        let placed = all.map(|variable| {
            let value = variable.value.as_deref();
            let value = value.map(|value| copy::placed(self.of, number, value));
            MigrationVariable { value, ..variable }
        });
        placed.collect()
    }
}
