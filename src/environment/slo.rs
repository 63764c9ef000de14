//! What an Environment asks about its SLOs, and what the answers say of each. No I/O.
//!
//! Answers are kept in memory and handed in as data, so the numbers in a status can be made again at any time. After a
//! restart everything is asked again; until then a status stays as it is.
//!
//! Whose a burn is, is told in `blame`.

mod blame;

mod rehearsal;

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::api::{Burn, BurnRate, Severity, SloState, SloStatus};
use super::observed::Observed;
use crate::model::action::{Action, Answer, Request};
use crate::model::span::{due_again, earliest};
use crate::model::text::truncate;
use crate::slo::formula::{self, Counts};
use crate::slo::query::{self, Labels, STEP};
use crate::slo::reading::Reading;
use crate::slo::{Row, Slo, Window};
pub use blame::{Blame, Watch};

/// Time between two looks while a promotion is watched.
const WATCHFUL: SignedDuration = SignedDuration::from_secs(30);
/// The same at rest.
const RESTFUL: SignedDuration = SignedDuration::from_mins(1);
/// Time between two looks at what changes slowly, at rest.
const SLOW: SignedDuration = SignedDuration::from_mins(5);
/// An answer that is older says nothing any more: whoever should have asked again did not.
const STALE: SignedDuration = SignedDuration::from_mins(15);
/// Questions about SLOs begin with this.
pub const PREFIX: &str = "slo/";
/// Share of what the series tell of that the rules have to have recorded so that they are believed, but for some records.
const CLOSE: f64 = 0.98;
/// Records that may be missing.
const SOME: f64 = 2.0;
/// Longest message of an SLO, in bytes.
const MAX_MESSAGE: usize = 500;

/// Answers that were given to this process, by their questions. They are shared with whoever keeps them: there may be megabytes of them.
pub type Answers = BTreeMap<String, Arc<Answer>>;

/// What the answers say of one SLO.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Judged {
    /// What is shown.
    pub status: SloStatus,
    /// Which of the promotions that are watched is to blame, if one is.
    pub blame: Option<Blame>,
}

/// The SLOs of an Environment, and when it asks about them.
pub struct Slos<'a> {
    seen: &'a Observed,
    /// The promotions that are watched, the last one first.
    pub watches: Vec<Watch>,
    /// Whether a promotion is under way, or ended lately.
    pub is_watchful: bool,
}

impl<'a> Slos<'a> {
    /// The SLOs of an Environment.
    pub fn new(seen: &'a Observed, watches: Vec<Watch>, is_watchful: bool) -> Self {
        Self {
            seen,
            watches,
            is_watchful,
        }
    }

    /// Each that can be counted with; else its name, and what is wrong with it.
    pub fn read(seen: &Observed) -> Vec<Result<Slo, (String, String)>> {
        let sources = seen.spec.metrics.as_ref();
        let all = seen.spec.slos.iter();
        let read = all.map(|raw| {
            let name = || raw.name.clone();
            Slo::read(raw, sources)
                .map_err(|wrong| (name(), format!("{}: {}", wrong.path, wrong.problem)))
        });
        read.collect()
    }

    /// What is to be asked now, and when the next question is due.
    pub fn questions(&self, now: Timestamp) -> (Vec<Action>, Option<Timestamp>) {
        let mut asked = Vec::new();
        let mut next: Option<Timestamp> = None;
        for slo in Self::read(self.seen).into_iter().flatten() {
            for (key, every, request) in self.questions_of(&slo, now) {
                let answered = self.seen.answers.get(&key).map(|answer| answer.at);
                match due_again(answered, every, now) {
                    Some(due) => next = earliest(next, due),
                    None => asked.push(Action::Fetch { key, request }),
                }
            }
        }
        (asked, next)
    }

    /// Every question about an SLO, with the time between two answers and how it is asked now.
    fn questions_of(&self, slo: &Slo, now: Timestamp) -> Vec<(String, SignedDuration, Request)> {
        let (every, slow) = if self.is_watchful {
            (WATCHFUL, RESTFUL)
        } else {
            (RESTFUL, SLOW)
        };
        let labels = Labels::of(&self.seen.key);
        let namespace = &self.seen.key.namespace;
        let ask = |text: &str| query::request(slo, namespace, text, None);
        let mut all = vec![
            (self.key(slo, BURN), every, ask(&query::burn(slo))),
            (
                self.key(slo, BUDGET),
                slow,
                ask(&query::budget(slo, &labels)),
            ),
        ];
        all.extend(self.questions_of_alerts(slo, (every, slow), ask));
        if self.needs_series(slo) {
            let text = query::budget_of_series(slo);
            all.push((self.key(slo, SERIES), slow, ask(&text)));
        }
        let before = query::before(slo);
        for watch in self.watches.iter().filter(|_| !before.is_empty()) {
            let since = query::since(slo, watch.elapsed(now));
            all.push((self.since_key(slo, watch), every, ask(&since)));
            let key = self.before_key(slo, watch);
            let answer = self.seen.answers.get(&key);
            let failed = answer.is_some_and(|answer| answer.reply.is_err());
            // What is over does not change.
            let every = if failed { every } else { SignedDuration::MAX };
            let before = query::request(slo, namespace, &before, Some(watch.since));
            all.push((key, every, before));
        }
        all
    }

    fn key(&self, slo: &Slo, what: &str) -> String {
        // What was answered before an edit is not about what is asked now.
        format!("{PREFIX}{}/{}/{what}", self.seen.generation, slo.name)
    }

    fn before_key(&self, slo: &Slo, watch: &Watch) -> String {
        self.key(slo, &format!("before/{}", watch.promotion))
    }

    fn since_key(&self, slo: &Slo, watch: &Watch) -> String {
        self.key(slo, &format!("since/{}", watch.promotion))
    }

    /// Whether the rules have recorded much less of the period than there are series of, or nothing: they are new, or nobody
    /// has loaded them.
    fn needs_series(&self, slo: &Slo) -> bool {
        let known = |what| {
            let answer = self.seen.answers.get(&self.key(slo, what))?;
            Some(
                Reading::read(&answer.reply)
                    .ok()
                    .and_then(|reading| records(&reading)),
            )
        };
        match (known(BUDGET), known(SERIES)) {
            (Some(Some(recorded)), Some(Some(counted))) => is_behind(recorded, counted),
            (Some(Some(_)), Some(None)) => false,
            (None | Some(None), _) | (_, None) => true,
        }
    }

    /// What the answers say of every SLO.
    pub fn judge(&self, answers: &Answers, now: Timestamp) -> Vec<Judged> {
        let all = Self::read(self.seen);
        let judged = all.into_iter().map(|read| match read {
            Ok(slo) => self.judge_one(&slo, answers, now),
            Err((name, problem)) => self.unknown(&name, &problem, now),
        });
        judged.collect()
    }

    fn before(&self, name: &str) -> Option<&'a SloStatus> {
        self.seen
            .status
            .slos
            .iter()
            .find(|known| known.name == name)
    }

    fn unknown(&self, name: &str, problem: &str, now: Timestamp) -> Judged {
        let status = SloStatus {
            name: name.to_owned(),
            state: SloState::NoData,
            message: Some(truncate(problem, MAX_MESSAGE).to_owned()),
            ..SloStatus::default()
        };
        Judged {
            status: self.dated(status, now),
            blame: None,
        }
    }

    /// With the time since when it has been in its state.
    fn dated(&self, mut status: SloStatus, now: Timestamp) -> SloStatus {
        let before = self.before(&status.name);
        let same = before.filter(|before| before.state == status.state);
        let since = same.and_then(|before| before.since.clone());
        status.since = Some(since.unwrap_or(Time(now)));
        status
    }

    fn judge_one(&self, slo: &Slo, answers: &Answers, now: Timestamp) -> Judged {
        let fresh = |key: &str| fresh(answers, key, now);
        let Some(answer) = fresh(&self.key(slo, BURN)) else {
            // Not asked yet: it is what it was.
            return match self.before(&slo.name) {
                Some(before) => Judged {
                    status: before.clone(),
                    blame: None,
                },
                None => self.unknown(&slo.name, "not asked yet", now),
            };
        };
        let burn = match Reading::read(&answer.reply) {
            Ok(reading) => reading,
            Err(error) => {
                let problem = format!("Prometheus at {}: {error}", slo.server.address);
                return self.unknown(&slo.name, &problem, now);
            }
        };
        let of = |what| Reading::read(&fresh(&self.key(slo, what))?.reply).ok();
        let (recorded, counted) = (of(BUDGET), of(SERIES));
        let reading = burn.with(recorded.clone().unwrap_or_default());
        let period = best(slo, recorded.as_ref(), counted.as_ref());
        let mut found = Found::of(slo, &reading);
        if found.page.is_some() {
            found.blame = self.blame(slo, answers, &reading, now);
        }
        self.told(slo, &found, period, now)
    }

    /// The status.
    fn told(&self, slo: &Slo, found: &Found, period: Option<Period>, now: Timestamp) -> Judged {
        let left = period.and_then(|period| period.remaining);
        let worst = found.page.as_ref().or(found.ticket.as_ref());
        let (state, message) = match (left, worst) {
            (Some(left), _) if left <= 0.0 => {
                let burns = worst.map_or(String::new(), |(_, burns)| format!("; {burns}"));
                let text = format!(
                    "nothing of the budget of {} is left{burns}",
                    slo.period_text()
                );
                (SloState::Exhausted, Some(text))
            }
            (_, Some((_, burns))) => (SloState::Burning, Some(burns.clone())),
            (_, None) if found.is_judged || slo.rows.is_empty() && !found.rates.is_empty() => {
                (SloState::Met, None)
            }
            (_, None) => (SloState::NoData, Some(found.why_not.clone())),
        };
        let severity = worst.map(|(row, _)| row.severity);
        let since =
            severity.map(|severity| self.burning_since(slo, severity, found.blame.as_ref(), now));
        let status = SloStatus {
            name: slo.name.clone(),
            state,
            since: None,
            message: message.map(|text| truncate(&text, MAX_MESSAGE).to_owned()),
            burn: severity.zip(since).map(|(severity, since)| Burn {
                severity,
                since: Time(since),
            }),
            remaining_budget: left.map(digits),
            coverage: period.map(|period| digits(period.coverage)),
            burn_rates: found.rates.clone(),
        };
        Judged {
            status: self.dated(status, now),
            blame: found.blame.clone(),
        }
    }

    /// Since when it burns: a burn that is not of the last promotion that is watched is dated before its start.
    fn burning_since(
        &self,
        slo: &Slo,
        severity: Severity,
        blame: Option<&Blame>,
        now: Timestamp,
    ) -> Timestamp {
        let before = self
            .before(&slo.name)
            .and_then(|before| before.burn.as_ref());
        let known = before.filter(|burn| burn.severity == severity);
        let known = known.map(|burn| burn.since.0);
        let last = self.watches.first();
        let Some(watch) = last.filter(|_| severity == Severity::Page) else {
            return known.unwrap_or(now);
        };
        if blame.is_some_and(|blame| blame.promotion == watch.promotion) {
            return known.filter(|since| *since >= watch.since).unwrap_or(now);
        }
        let second = SignedDuration::from_secs(1);
        let start = watch.since.checked_sub(second).unwrap_or(Timestamp::MIN);
        known.map_or(start, |known| known.min(start))
    }
}

const BURN: &str = "burn";
const BUDGET: &str = "budget";
const SERIES: &str = "series";

/// An answer that is not too old to say anything.
fn fresh<'a>(answers: &'a Answers, key: &str, now: Timestamp) -> Option<&'a Answer> {
    let answer = answers.get(key)?;
    (now.duration_since(answer.at) < STALE).then_some(answer.as_ref())
}

/// Numbers over the period.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Period {
    remaining: Option<f64>,
    coverage: f64,
}

/// How many times requests were counted over the period.
fn records(reading: &Reading) -> Option<f64> {
    reading.get("records/period")
}

fn is_behind(recorded: f64, counted: f64) -> bool {
    recorded + SOME < counted * CLOSE
}

/// What the rules recorded, unless the series tell of more of the period.
fn best(slo: &Slo, recorded: Option<&Reading>, counted: Option<&Reading>) -> Option<Period> {
    let with_records = |reading: &&Reading| records(reading).is_some();
    let (recorded, counted) = (recorded.filter(with_records), counted.filter(with_records));
    let number = |reading: Option<&Reading>| reading.and_then(records).unwrap_or(0.0);
    let is_behind = is_behind(number(recorded), number(counted));
    let reading = recorded.filter(|_| !is_behind).or(counted).or(recorded)?;
    let ratio = reading.counts("period").and_then(Counts::error_ratio);
    Some(Period {
        coverage: formula::coverage(records(reading)?, STEP, slo.period),
        remaining: ratio.map(|ratio| formula::remaining(ratio, slo.budget)),
    })
}

/// Whether a row that pages burnt at its short window when something began. Not to have had requests is not to have burnt.
fn burnt_before(slo: &Slo, reading: &Reading) -> bool {
    let rows = slo.rows.iter().filter(|row| row.severity == Severity::Page);
    let burnt = rows.map(|row| {
        let short = reading.window(row.short).unwrap_or_default();
        formula::burns(short, short, row.threshold(slo.budget), row.least) == Some(true)
    });
    burnt.into_iter().any(|burnt| burnt)
}

/// The first row that pages for nothing but what failed since a promotion started, in words.
fn since_only(slo: &Slo, reading: &Reading) -> Option<String> {
    let mut rows = slo.rows.iter().filter(|row| row.severity == Severity::Page);
    rows.find_map(|row| {
        let (long, short) = (reading.since(row.long)?, reading.since(row.short)?);
        let burns = formula::burns(long, short, row.threshold(slo.budget), row.least);
        (burns == Some(true)).then(|| in_words(slo, row, long, short))
    })
}

/// What rows say.
struct Found {
    /// The first row that pages and burns, in words.
    page: Option<(Row, String)>,
    /// The same of tickets.
    ticket: Option<(Row, String)>,
    /// Whether any row could be judged.
    is_judged: bool,
    /// Why none could.
    why_not: String,
    rates: Vec<BurnRate>,
    blame: Option<Blame>,
}

impl Found {
    fn of(slo: &Slo, reading: &Reading) -> Self {
        let mut found = Self {
            page: None,
            ticket: None,
            is_judged: false,
            why_not: "no requests: nothing is counted, or nobody asks for anything".to_owned(),
            rates: rates(slo, reading),
            blame: None,
        };
        for row in &slo.rows {
            let (Some(long), Some(short)) = (reading.window(row.long), reading.window(row.short))
            else {
                continue;
            };
            match formula::burns(long, short, row.threshold(slo.budget), row.least) {
                Some(true) => {
                    found.is_judged = true;
                    let place = match row.severity {
                        Severity::Page => &mut found.page,
                        Severity::Ticket => &mut found.ticket,
                    };
                    place.get_or_insert_with(|| (*row, in_words(slo, row, long, short)));
                }
                Some(false) => found.is_judged = true,
                None => {
                    let (total, least) = (short.total.round(), row.least.floor());
                    let window = row.short.as_str();
                    found.why_not = format!(
                        "too few requests to judge: {total} in {window}, and more than {least} are needed"
                    );
                }
            }
        }
        found
    }
}

fn rates(slo: &Slo, reading: &Reading) -> Vec<BurnRate> {
    let windows = Window::ALL.into_iter().filter_map(|window| {
        let ratio = reading.window(window)?.error_ratio()?;
        Some(BurnRate {
            window: window.as_str().to_owned(),
            rate: digits(formula::burn_rate(ratio, slo.budget)),
        })
    });
    windows.collect()
}

fn in_words(slo: &Slo, row: &Row, long: Counts, short: Counts) -> String {
    let rate = |counts: Counts| {
        let ratio = counts.error_ratio().unwrap_or(0.0);
        digits(formula::burn_rate(ratio, slo.budget))
    };
    let factor = digits(row.factor);
    format!(
        "burns {} times as fast as its budget allows over {}, and {} times over {}; {factor} is where it is a {}",
        rate(long),
        row.long.as_str(),
        rate(short),
        row.short.as_str(),
        row.severity
    )
}

/// A number to four digits that count, or to four behind the point, where it is below 1.
fn digits(number: f64) -> String {
    let size = number.abs();
    let places = match size {
        _ if size >= 1000.0 => 1.0,
        _ if size >= 100.0 => 10.0,
        _ if size >= 10.0 => 100.0,
        _ if size >= 1.0 => 1000.0,
        _ => 10_000.0,
    };
    let rounded = (number * places).round() / places;
    // No "-0".
    format!("{}", if rounded == 0.0 { 0.0 } else { rounded })
}
