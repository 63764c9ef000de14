//! Migrations that are asked for alone: by a person, or because what the Release before still needed may go now. No I/O.

use super::super::observed::Act;
use super::super::render;
use super::candidate::Wish;
use super::history::Entry;
use super::{Draft, after, shown};
use crate::promotion::api::{MigrationPhase, MigrationState, PromotionKind, PromotionPhase};
use crate::promotion::incident;

impl Draft<'_> {
    /// The migrations that a person asks for: of the Release that is named, or of the one that should run.
    pub(super) fn migrate_wish(&self, act: &Act) -> Result<Option<Wish>, String> {
        let Some(rules) = &self.seen.spec.migrations else {
            return Err("spec.migrations of this Environment is not set".to_owned());
        };
        let wish = if let Some(name) = &act.spec.release {
            let Some(release) = self.order.get(name) else {
                return Err(format!(
                    "there is no Release {name} that may come here; look at kubectl get releases.slipway.dev"
                ));
            };
            Wish::of_database(release, PromotionKind::Migrate)
        } else {
            let mut started = self.history.entries.iter().rev();
            let Some(running) = started.find(|entry| entry.started_at.is_some()) else {
                return Err("nothing runs here yet: name a Release".to_owned());
            };
            Wish::back_to(running, PromotionKind::Migrate, None)
        };
        if render::image(rules, &wish.images).is_none() {
            return Err(format!(
                "{} has no image {}, which migrations.imageFrom names",
                wish.release,
                rules.image_from.as_deref().unwrap_or("?")
            ));
        }
        Ok(Some(Wish {
            version: act.spec.version.clone(),
            ..wish
        }))
    }

    /// What may be removed now: what the Release before the one that runs needed, once that has run well for long enough.
    pub(super) fn contract_wish(&mut self) -> Option<Wish> {
        let rules = self.seen.spec.migrations.as_ref()?;
        let contract = rules.contract.as_ref()?;
        if self.rulings.of_all().is_some() {
            return None;
        }
        let last = self.last_started()?;
        let is_due = last.phase == PromotionPhase::Succeeded && !last.is_rollback();
        if !is_due || !was_migrated(&last) || self.was_contracted(&last) {
            return None;
        }
        if incident::open(&last.record.status.incidents).is_some() {
            return None;
        }
        let at = after(last.finished_at?, contract.after.into());
        if self.now < at {
            self.wake_at(at);
            return None;
        }
        if let Some(freeze) = self.freeze_gate().filter(|gate| !gate.state.lets_pass()) {
            if let Some(until) = freeze.until.filter(|until| until.0 > self.now) {
                self.wake_at(until.0);
            }
            return None;
        }
        let waited = shown(contract.after.into());
        let reason = format!(
            "{} has run for {waited} (migrations.contract)",
            last.release()
        );
        Some(Wish {
            reason: Some(reason),
            ..Wish::back_to(&last, PromotionKind::Contract, None)
        })
    }

    /// Whether it was tried: what failed is left to people.
    fn was_contracted(&self, entry: &Entry) -> bool {
        let number = entry.record.spec.number;
        self.history.migrations.iter().any(|other| {
            let spec = &other.record.spec;
            spec.kind == PromotionKind::Contract
                && spec.release == entry.release()
                && spec.number > number
        })
    }
}

fn was_migrated(entry: &Entry) -> bool {
    let migrations = entry.record.status.migrations.as_ref();
    migrations.is_some_and(|done| {
        done.state == MigrationState::Done && done.has_passed(MigrationPhase::Run)
    })
}
