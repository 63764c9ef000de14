//! Migrations that are asked for alone: by a person, or because what the Release before still needed may go now. No I/O.

use jiff::Timestamp;

use super::super::observed::Act;
use super::super::render;
use super::alone::SUPERSEDED;
use super::candidate::Wish;
use super::history::Entry;
use super::{Draft, after, shown};
use crate::model::text::truncate;
use crate::promotion::api::{MigrationPhase, MigrationState, PromotionKind, PromotionPhase};
use crate::promotion::incident;

/// Longest reason that is told, in bytes.
const MAX_WHY: usize = 600;

impl<'a> Draft<'a> {
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
        let last = self.last_started()?;
        let bearer = self.bearer(&last)?;
        let is_due = last.phase == PromotionPhase::Succeeded && !bearer.is_rollback();
        if !is_due || !was_migrated(&bearer) || self.was_contracted(&bearer) {
            return None;
        }
        let at = after(bearer.finished_at?, contract.after.into());
        if self.now < at {
            self.wake_at(at);
            return None;
        }
        if let Some((_, until)) = self.against_contract(&last) {
            if let Some(until) = until.filter(|until| *until > self.now) {
                self.wake_at(until);
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

    /// The promotion that brought what the last one left running: templates alone, and the way back from them, bring no other
    /// Release.
    pub(super) fn bearer(&self, last: &Entry<'a>) -> Option<Entry<'a>> {
        let mut started = self.history.entries.iter().rev();
        let bearer = started.find(|entry| {
            let is_of = entry.started_at.is_some() && entry.release() == last.release();
            is_of && !is_of_templates(entry)
        });
        bearer.copied()
    }

    /// What keeps what the Release before needed from being removed now, and when that ends by itself: a hold of everything, an
    /// incident that may end with a way back, a freeze.
    fn against_contract(&self, last: &Entry<'a>) -> Option<(String, Option<Timestamp>)> {
        if let Some(hold) = self.rulings.of_all() {
            return Some((hold.reason.clone(), self.rulings.until));
        }
        let bearer = self.bearer(last).unwrap_or(*last);
        let mut since = self.history.entries.iter().filter(|entry| {
            let is_since = entry.record.spec.number >= bearer.record.spec.number;
            is_since && entry.release() == last.release()
        });
        if let Some(open) = since.find_map(|entry| incident::open(&entry.record.status.incidents)) {
            let text = format!(
                "an incident of {} is open: {}",
                last.release(),
                open.message
            );
            return Some((text, None));
        }
        let freeze = self.freeze_gate();
        let freeze = freeze.filter(|gate| !gate.state.lets_pass())?;
        let text = freeze.message.unwrap_or_default();
        Some((text, freeze.until.map(|until| until.0)))
    }

    /// Why a contract that has not begun is not begun, if something stands against it since it was asked for.
    pub(super) fn said_against_contract(&self, entry: &Entry) -> Option<String> {
        let last = self.last_started();
        let Some(last) = last.filter(|last| last.release() == entry.release()) else {
            return Some(format!("{} is not what runs any more", entry.release()));
        };
        let (why, _) = self.against_contract(&last)?;
        let why = truncate(&why, MAX_WHY);
        Some(format!(
            "{why}; nothing was changed, and it is asked for again when that is over"
        ))
    }

    /// Whether it was tried: what failed is left to people.
    fn was_contracted(&self, entry: &Entry) -> bool {
        let number = entry.record.spec.number;
        self.history.migrations.iter().any(|other| {
            let spec = &other.record.spec;
            spec.kind == PromotionKind::Contract
                && spec.release == entry.release()
                && spec.number > number
                && !gave_way(other)
        })
    }
}

/// Whether a contract ended before it was tried, for what came first.
pub(super) fn gave_way(entry: &Entry) -> bool {
    let reason = entry.record.status.reason.as_deref();
    entry.phase == PromotionPhase::Superseded && reason == Some(SUPERSEDED)
}

/// Whether a promotion changed templates alone: it brought them, or took them back.
fn is_of_templates(entry: &Entry) -> bool {
    let spec = &entry.record.spec;
    let is_same = spec.previous.as_deref() == Some(entry.release());
    entry.is_config() || entry.is_rollback() && is_same
}

fn was_migrated(entry: &Entry) -> bool {
    let migrations = entry.record.status.migrations.as_ref();
    migrations.is_some_and(|done| {
        done.state == MigrationState::Done && done.has_passed(MigrationPhase::Run)
    })
}
