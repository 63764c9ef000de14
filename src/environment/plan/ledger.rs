//! What counts of promotions that have ended: for longer than their records are kept, and whatever becomes of their statuses.
//! See `dora::record`. No I/O.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::super::render;
use super::Draft;
use super::history::Entry;
use super::keep::LOST;
use crate::dora::api::DoraStatus;
use crate::dora::figures;
use crate::dora::record::{self, Ledger, Line, MAX_LEADS, Trouble, Upkeep};
use crate::model::action::Action;
use crate::promotion::api::{Incident, PromotionKind, PromotionPhase};
use crate::release::api::Release;

impl<'a> Draft<'a> {
    /// Writes down what counts of promotions that have ended, and takes away pages that say nothing any more. What changes what
    /// runs comes first, and what is asked as well.
    pub(super) fn keep_ledger(&mut self) {
        let pages = self.seen.ledger.iter().map(|page| page.lines.clone());
        let pages: Vec<Vec<Line>> = pages.collect();
        match record::upkeep(&pages, &self.fresh_lines(), self.now) {
            Upkeep::Rest => {}
            Upkeep::Write(lines) => {
                let page = render::ledger(self.seen, &lines);
                self.late.push(Action::Create(page));
            }
            Upkeep::Drop(index) => {
                let page = self.seen.ledger.get(index);
                self.late.extend(page.map(|page| Action::Delete {
                    target: page.target.clone(),
                    orphan: false,
                }));
            }
        }
    }

    /// The five figures, of what is written down and of what is about to be.
    pub(super) fn dora(&self) -> Option<DoraStatus> {
        let mut ledger = self.ledger.clone();
        for line in self.fresh_lines() {
            ledger.take_in(&line);
        }
        figures::status(&ledger, self.seen.created_at, self.now)
    }

    fn fresh_lines(&self) -> Vec<Line> {
        let entries = self.history.entries.iter();
        entries.filter_map(|entry| self.fresh_line(entry)).collect()
    }

    /// What counts of a promotion, and is not written down yet.
    pub(super) fn fresh_line(&self, entry: &Entry<'a>) -> Option<Line> {
        let record = entry.record;
        let incidents = troubles(&record.status.incidents);
        if let Some(known) = self.line_of(entry) {
            let line = Line {
                incidents,
                ..known.clone()
            };
            return (!known.says(&line)).then_some(line);
        }
        let has_ended = match entry.phase {
            PromotionPhase::Succeeded | PromotionPhase::Failed | PromotionPhase::RolledBack => true,
            PromotionPhase::Superseded
            | PromotionPhase::Pending
            | PromotionPhase::AwaitingApproval
            | PromotionPhase::Migrating
            | PromotionPhase::Promoting
            | PromotionPhase::Verifying => false,
        };
        // One that never changed anything is no deployment.
        let counts = has_ended && (entry.started_at.is_some() || !incidents.is_empty());
        let finished_at = entry.finished_at.filter(|_| counts)?;
        let spec = &record.spec;
        let line = Line {
            uid: record.target.uid.clone(),
            promotion: entry.name().to_owned(),
            number: spec.number.unwrap_or_default(),
            pipeline: spec.pipeline.clone(),
            release: spec.release.clone(),
            members: spec.members.clone(),
            previous: spec.previous.clone(),
            kind: spec.kind,
            is_hotfix: spec.kind == PromotionKind::Promote && self.is_repair(entry),
            asked_at: record.created_at,
            finished_at,
            phase: entry.phase,
            leads: self.leads(entry, finished_at),
            incidents,
        };
        self.ledger.takes(&line, self.now).then_some(line)
    }

    /// What is written down of a promotion. One that was deleted and made again has another uid and no protection, and is the
    /// same promotion.
    fn line_of(&self, entry: &Entry<'a>) -> Option<&Line> {
        let record = entry.record;
        let was_lost = entry.is_recovered || record.status.reason.as_deref() == Some(LOST);
        let is_again = was_lost || record.spec.policy_hash.is_none();
        let known = self.ledger.line(&record.target.uid);
        known.or_else(|| self.ledger.named(entry.name()).filter(|_| is_again))
    }

    /// Whether all that a promotion brought are hotfixes; of a set, what ran before is no part of the repair.
    fn is_repair(&self, entry: &Entry<'a>) -> bool {
        let brought = entry.brought();
        let is_new = |(pipeline, release): &&(&str, &str)| {
            self.base_of(entry, pipeline).as_deref() != Some(*release)
        };
        let mut new = brought.iter().filter(is_new).peekable();
        new.peek().is_some() && new.all(|(_, release)| self.is_hotfix(release))
    }

    /// How long each commit took that a promotion brought: those of its Releases, and of the Releases before them that were left
    /// out, as far as they are still there. Where nothing was good before, those of its Releases alone.
    fn leads(&self, entry: &Entry<'a>, finished_at: Timestamp) -> Vec<i64> {
        let is_forward = entry.record.spec.kind == PromotionKind::Promote;
        if !is_forward || entry.phase != PromotionPhase::Succeeded {
            return Vec::new();
        }
        let (mut known, mut commits) = (BTreeSet::new(), BTreeSet::new());
        let mut leads = Vec::new();
        for (pipeline, release) in entry.brought() {
            let base = self.base_of(entry, pipeline);
            let mut at = Some(release);
            // A ring that somebody closed has an end where it would begin again.
            while let Some(name) =
                at.filter(|name| !self.has_come(base.as_deref(), name) && known.insert(*name))
            {
                let Some(release) = self.order.part(name) else {
                    break;
                };
                for (sha, committed_at) in commits_of(release) {
                    if commits.insert(sha) && leads.len() < MAX_LEADS {
                        leads.push(finished_at.duration_since(committed_at).as_secs());
                    }
                }
                let previous = release.spec.previous.as_deref();
                at = previous.filter(|_| base.is_some());
            }
        }
        leads
    }

    /// Whether a Release came with the one that was good before, or is older than that.
    fn has_come(&self, base: Option<&str>, name: &str) -> bool {
        let is_older =
            |base: &str| self.order.is_newer(base, name) || self.order.is_newer_part(base, name);
        base.is_some_and(|base| base == name || is_older(base))
    }

    /// The Release of a Pipeline that was good before a promotion, be it alone or in a set.
    fn base_of(&self, entry: &Entry<'a>, pipeline: &str) -> Option<String> {
        let number = entry.record.spec.number;
        let earlier = self.history.entries.iter().rev();
        let earlier = earlier.skip_while(|other| other.name() != entry.name());
        let good = earlier.skip(1);
        let mut good = good.filter(|other| other.phase == PromotionPhase::Succeeded);
        let known = good.find_map(|other| other.release_of(pipeline));
        let written = || {
            let lines = self.ledger.lines().into_iter().rev();
            let mut lines = lines.filter(|line| {
                Some(line.number) < number && line.phase == PromotionPhase::Succeeded
            });
            lines.find_map(|line| line.release_of(pipeline))
        };
        known.or_else(written).map(str::to_owned)
    }
}

/// What is written down already.
pub(super) fn read(seen: &super::Observed) -> Ledger {
    Ledger::of(seen.ledger.iter().flat_map(|page| &page.lines))
}

fn commits_of(release: &Release) -> impl Iterator<Item = (&str, Timestamp)> {
    let spec = &release.spec;
    let all = std::iter::once(&spec.commit).chain(&spec.changes);
    all.map(|commit| (commit.sha.as_str(), commit.committed_at.0))
}

fn troubles(incidents: &[Incident]) -> Vec<Trouble> {
    let all = incidents.iter().map(|incident| Trouble {
        key: incident.key.clone(),
        started_at: incident.started_at.0,
        resolved_at: incident.resolved_at.as_ref().map(|at| at.0),
    });
    all.collect()
}
