//! What is kept of a promotion for as long as it counts: a line, on a page with others. No I/O.
//!
//! A line is written when a promotion has ended, and again when an incident of it opens or closes. It says everything that the
//! figures need, so that neither a record that is pruned nor a status that is lost changes them. Several pages may have a line
//! of the same promotion, by its uid: what they say together is what counts, and it does not matter in which order they are
//! read. Nothing of a page ever changes; one of which others say everything, or that is too old, is taken away.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::DAY;
use crate::model::key::short_hash;
use crate::promotion::api::{PromotionKind, PromotionPhase};
use crate::release::api::ReleaseRef;

/// Lines that a page has room for.
pub const PAGE: usize = 100;
/// Lines that are kept of an Environment; the oldest go first.
pub const MAX_LINES: usize = 2000;
/// Commits whose times are kept of a promotion.
pub const MAX_LEADS: usize = 200;
/// Days that a line counts for: the longest window, and the day that it may have ended ago.
const KEPT_DAYS: i64 = 91;
/// Digits of the hash in the name of a page.
const DIGITS: usize = 10;

/// What counts of a promotion that has ended.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Line {
    /// Uid of the Promotion.
    pub uid: String,
    /// Its name.
    pub promotion: String,
    /// Its number in the Environment.
    pub number: u32,
    /// The Pipeline of its Release.
    pub pipeline: String,
    /// The Release.
    pub release: String,
    /// The Releases that it stands for, where it is a set.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub members: Vec<ReleaseRef>,
    /// The Release that ran before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<String>,
    /// Which way it went.
    pub kind: PromotionKind,
    /// Whether it was a hotfix.
    #[serde(default, skip_serializing_if = "is_not")]
    pub is_hotfix: bool,
    /// When it was asked for.
    pub asked_at: Timestamp,
    /// When it ended.
    pub finished_at: Timestamp,
    /// How it ended.
    pub phase: PromotionPhase,
    /// Of each commit that it brought, the seconds from the commit to the end of the promotion.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub leads: Vec<i64>,
    /// What went wrong because of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub incidents: Vec<Trouble>,
}

/// An incident of a promotion.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Trouble {
    /// What tells it apart.
    pub key: String,
    /// When it began.
    pub started_at: Timestamp,
    /// When it was over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolved_at: Option<Timestamp>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "that is how serde asks")]
const fn is_not(so: &bool) -> bool {
    !*so
}

impl Line {
    /// Takes in what another line says of the same promotion. What has ended stays as it ended; only incidents come and go.
    pub fn take_in(&mut self, other: &Self) {
        for theirs in &other.incidents {
            let own = self.incidents.iter_mut().find(|own| own.key == theirs.key);
            match own {
                Some(own) => {
                    let ends = own.resolved_at.into_iter().chain(theirs.resolved_at);
                    own.resolved_at = ends.min();
                }
                None => self.incidents.push(theirs.clone()),
            }
        }
        let order = |trouble: &Trouble| (trouble.started_at, trouble.key.clone());
        self.incidents.sort_by_key(order);
    }

    /// Whether it says everything that another one of the same promotion does.
    pub fn says(&self, other: &Self) -> bool {
        let mut both = self.clone();
        both.take_in(other);
        both.incidents == self.incidents
    }

    /// The Release of a Pipeline that it is about, be it alone or in a set.
    pub fn release_of(&self, pipeline: &str) -> Option<&str> {
        if self.pipeline == pipeline {
            return Some(&self.release);
        }
        let mut members = self.members.iter();
        let of = members.find(|of| of.pipeline == pipeline);
        of.map(|of| of.release.as_str())
    }

    /// The last thing that it tells of, as known at `now`.
    fn last_at(&self, now: Timestamp) -> Option<Timestamp> {
        let troubles = self.incidents.iter();
        let troubles = troubles.flat_map(|one| [Some(one.started_at), one.resolved_at]);
        let all = troubles.flatten().chain([self.finished_at]);
        all.filter(|at| *at <= now).max()
    }
}

/// What several pages say, by the uid of the Promotion.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ledger {
    lines: BTreeMap<String, Line>,
}

impl Ledger {
    /// What all of these say together.
    pub fn of<'l>(lines: impl IntoIterator<Item = &'l Line>) -> Self {
        let mut all: Vec<&Line> = lines.into_iter().collect();
        // Which came first on a page is not known, and must not matter.
        all.sort_by_key(|line| (line.finished_at, line.incidents.len()));
        let mut ledger = Self::default();
        for line in all {
            ledger.take_in(line);
        }
        ledger
    }

    /// Takes in another line.
    pub fn take_in(&mut self, line: &Line) {
        let known = self.lines.get_mut(&line.uid);
        match known {
            Some(known) => known.take_in(line),
            None => drop(self.lines.insert(line.uid.clone(), line.clone())),
        }
    }

    /// The line of a Promotion.
    pub fn line(&self, uid: &str) -> Option<&Line> {
        self.lines.get(uid)
    }

    /// The line of the last Promotion of that name.
    pub fn named(&self, promotion: &str) -> Option<&Line> {
        let lines = self.lines.values();
        let named = lines.filter(|line| line.promotion == promotion);
        named.max_by_key(|line| (line.number, line.finished_at))
    }

    /// The lines in the order of their promotions.
    pub fn lines(&self) -> Vec<&Line> {
        let mut all: Vec<&Line> = self.lines.values().collect();
        all.sort_by_key(|line| (line.number, line.finished_at, &line.uid));
        all
    }

    /// When its windows end: at the last thing that it tells of, or at the last midnight in UTC if that was later. So figures
    /// change when a record does, and once a day.
    pub fn ends_at(&self, now: Timestamp) -> Timestamp {
        let seconds = now.as_second();
        let midnight = seconds - seconds.rem_euclid(DAY);
        let midnight = Timestamp::from_second(midnight).unwrap_or(now);
        let lines = self.lines.values();
        let last = lines.filter_map(|line| line.last_at(now)).max();
        last.map_or(midnight, |last| last.max(midnight))
    }

    /// Since when everything is known: nothing where that has always been so.
    pub fn known_since(&self) -> Option<Timestamp> {
        if self.lines.len() < MAX_LINES {
            return None;
        }
        let mut all: Vec<Timestamp> = self.lines.values().map(|line| line.finished_at).collect();
        all.sort_unstable_by_key(|at| std::cmp::Reverse(*at));
        all.get(MAX_LINES - 1).copied()
    }

    /// Whether a line still counts, and there is room for it.
    pub fn takes(&self, line: &Line, now: Timestamp) -> bool {
        let known = self.known_since();
        line.finished_at >= counted_since(now) && known.is_none_or(|known| line.finished_at > known)
    }

    /// The uids of the lines that still count.
    fn kept(&self, now: Timestamp) -> BTreeSet<&str> {
        let since = counted_since(now);
        let counts = |line: &&Line| line.finished_at >= since;
        let mut all: Vec<&Line> = self.lines.values().filter(counts).collect();
        all.sort_by_key(|line| (std::cmp::Reverse(line.finished_at), &line.uid));
        all.truncate(MAX_LINES);
        all.into_iter().map(|line| line.uid.as_str()).collect()
    }
}

/// The lines of a page, from the data of its object; nothing where that is none.
pub fn read(data: &Value) -> Option<Vec<Line>> {
    Vec::deserialize(data.get("lines")?).ok()
}

/// Since when promotions still count.
fn counted_since(now: Timestamp) -> Timestamp {
    let span = SignedDuration::from_secs(KEPT_DAYS * DAY);
    now.checked_sub(span).unwrap_or(Timestamp::MIN)
}

/// What is to become of the pages.
#[derive(Clone, Debug, PartialEq)]
pub enum Upkeep {
    /// Nothing.
    Rest,
    /// A page with these lines is made.
    Write(Vec<Line>),
    /// The page of that number says nothing that counts, and nothing that others do not say.
    Drop(usize),
}

/// What is to become of pages, where these lines are on none of them yet. First what is new is written, on a page that also says
/// what the emptiest one does, as long as there is room; then what says nothing of its own is dropped, one at a time.
pub fn upkeep(pages: &[Vec<Line>], fresh: &[Line], now: Timestamp) -> Upkeep {
    let mut ledger = Ledger::of(pages.iter().flatten());
    for line in fresh {
        ledger.take_in(line);
    }
    let kept = ledger.kept(now);
    let fresh: BTreeSet<&str> = fresh.iter().map(|line| line.uid.as_str()).collect();
    let fresh = fresh.intersection(&kept).copied().take(PAGE);
    let fresh: BTreeSet<&str> = fresh.collect();
    if !fresh.is_empty() {
        return Upkeep::Write(next_page(pages, &fresh, &kept, &ledger));
    }
    let mut said: BTreeMap<&str, Vec<(usize, &Line)>> = BTreeMap::new();
    for (index, page) in pages.iter().enumerate() {
        for line in page {
            said.entry(&line.uid).or_default().push((index, line));
        }
    }
    let is_idle = |index: usize, page: &[Line]| {
        page.iter().all(|line| {
            let mut others = said.get(line.uid.as_str()).into_iter().flatten();
            let is_said = others.any(|(other, known)| *other != index && known.says(line));
            is_said || !kept.contains(line.uid.as_str())
        })
    };
    let mut all = pages.iter().enumerate();
    let idle = all.find(|(index, page)| is_idle(*index, page));
    idle.map_or(Upkeep::Rest, |(index, _)| Upkeep::Drop(index))
}

/// A page with what is new, and with what the emptiest of the others says, if there is room.
fn next_page(
    pages: &[Vec<Line>],
    fresh: &BTreeSet<&str>,
    kept: &BTreeSet<&str>,
    ledger: &Ledger,
) -> Vec<Line> {
    let of = |page: &Vec<Line>| {
        let uids = page.iter().map(|line| line.uid.as_str());
        let mut uids: BTreeSet<String> = uids
            .filter(|uid| kept.contains(uid))
            .map(str::to_owned)
            .collect();
        uids.extend(fresh.iter().map(|uid| (*uid).to_owned()));
        uids
    };
    let fits = pages.iter().map(of).filter(|uids| uids.len() <= PAGE);
    let alone = || fresh.iter().map(|uid| (*uid).to_owned()).collect();
    let uids: BTreeSet<String> = fits.min_by_key(BTreeSet::len).unwrap_or_else(alone);
    let lines = uids.iter().filter_map(|uid| ledger.line(uid));
    lines.cloned().collect()
}

/// What tells a page apart: what is on it.
pub fn mark(lines: &[Line]) -> String {
    let text = serde_json::to_string(lines).unwrap_or_default();
    short_hash(text.as_bytes(), DIGITS)
}
