//! The gates on findings: vulnerabilities, findings in the code, secrets, accessibility. No I/O.
//!
//! All of them are counted, and the worst are listed: waivers reach what is listed. With `newOnly`, marks tell
//! what the newest Release had already; where there are more findings than marks, numbers are compared instead.

use std::collections::BTreeMap;

use super::waiver::Waivers;
use super::{Check, Scope, count};
use crate::pipeline::api::{FindingsGate, SecretsGate, SeverityLimits, VulnerabilitiesGate};
use crate::pipeline_run::api::{Finding, FindingCategory, FindingSet, Severities, Severity};
use crate::report::finding::{Mark, mark};

/// Findings that a message names.
const NAMED: usize = 3;

/// What a gate accepts.
#[derive(Clone, Debug, Default)]
pub struct Limits<'a> {
    /// Numbers by severity.
    pub max: Option<&'a SeverityLimits>,
    /// A number for all severities together, which counts instead.
    pub sum: Option<u32>,
    /// Whether only those count that the newest Release did not have.
    pub new_only: bool,
    /// Whether those count for which there is no repair.
    pub ignores_unfixed: bool,
}

impl<'a> From<&'a VulnerabilitiesGate> for Limits<'a> {
    fn from(gate: &'a VulnerabilitiesGate) -> Self {
        Self {
            max: gate.max.as_ref(),
            sum: None,
            new_only: gate.new_only.unwrap_or(false),
            ignores_unfixed: gate.ignore_unfixed.unwrap_or(false),
        }
    }
}

impl<'a> From<&'a FindingsGate> for Limits<'a> {
    fn from(gate: &'a FindingsGate) -> Self {
        Self {
            max: gate.max.as_ref(),
            new_only: gate.new_only.unwrap_or(false),
            ..Self::default()
        }
    }
}

impl<'a> From<&'a SecretsGate> for Limits<'a> {
    fn from(gate: &'a SecretsGate) -> Self {
        Self {
            sum: Some(gate.max.unwrap_or(0)),
            new_only: gate.new_only.unwrap_or(false),
            ..Self::default()
        }
    }
}

impl Limits<'_> {
    /// What is asked for, in words.
    pub fn words(&self) -> String {
        let limit = |severity: &Severity| {
            let limit = SeverityLimits::of(self.max, *severity)?;
            Some(format!("{limit} {}", word(*severity)))
        };
        let limits: Vec<String> = Severity::ALL.iter().filter_map(limit).collect();
        let limits = self
            .sum
            .map_or_else(|| limits.join(", "), |sum| sum.to_string());
        let new = if self.new_only { " new" } else { "" };
        let fixed = if self.ignores_unfixed {
            ", with a repair"
        } else {
            ""
        };
        format!("at most {limits}{new}{fixed}")
    }

    /// Whether numbers are within the limits.
    fn holds(&self, counted: &Severities) -> bool {
        if let Some(sum) = self.sum {
            return counted.sum() <= sum;
        }
        Severity::ALL.iter().all(|severity| {
            let limit = SeverityLimits::of(self.max, *severity);
            limit.is_none_or(|limit| counted.of(*severity) <= limit)
        })
    }
}

/// Holds the findings of a category against limits. Notes in `used` what waivers left out.
pub fn check(
    category: FindingCategory,
    limits: &Limits<'_>,
    scope: &Scope<'_>,
    waivers: &Waivers<'_>,
    used: &mut Vec<String>,
) -> Check {
    let threshold = limits.words();
    let Some(set) = scope.now.findings_of(category) else {
        return Check::no_data(threshold, nobody_looked(category));
    };
    let before = scope.before.as_ref();
    let before = before.and_then(|before| before.findings_of(category));
    let mut pool = Pool::of(set, before, limits);
    let mut named = Vec::new();
    for finding in &set.worst {
        if limits.ignores_unfixed && finding.unfixed {
            continue;
        }
        if !pool.has(category, finding) {
            continue;
        }
        if let Some(sentence) = waivers.find(&finding.id, &finding.at) {
            pool.take(category, finding);
            if !used.contains(&sentence) {
                used.push(sentence);
            }
        } else if named.len() < NAMED {
            named.push(words(finding));
        }
    }
    let counted = pool.counted;
    let measured = measured(&counted, limits.new_only);
    let bad = (!limits.holds(&counted)).then(|| {
        let named = if named.is_empty() {
            String::new()
        } else {
            format!(": {}", named.join("; "))
        };
        let total = count(set.total.sum(), "finding");
        format!("{measured} ({total} in all){named}. Repair them, or waive those that do no harm")
    });
    Check::measured(measured, threshold, bad)
}

/// Findings that the other set does not have, counted, and those of them that are listed. Without another one, all of them.
pub fn news<'a>(
    set: &'a FindingSet,
    before: Option<&FindingSet>,
) -> (Severities, Vec<&'a Finding>) {
    let limits = Limits {
        max: None,
        sum: None,
        new_only: true,
        ignores_unfixed: false,
    };
    let mut pool = Pool::of(set, before, &limits);
    let counted = pool.counted;
    let mut listed = Vec::new();
    for finding in &set.worst {
        if pool.has(set.category, finding) {
            pool.take(set.category, finding);
            listed.push(finding);
        }
    }
    (counted, listed)
}

fn nobody_looked(category: FindingCategory) -> &'static str {
    match category {
        FindingCategory::Vulnerability => {
            "no stage left a report of vulnerabilities; set reports.osv, pipAudit, npmAudit, cyclonedx or sarif"
        }
        FindingCategory::Code => {
            "no stage left a report of findings; set reports.sarif, or reports.problems for tools that print them"
        }
        FindingCategory::Secret => {
            "no stage left a report of secrets; set reports.gitleaks, or reports.sarif"
        }
        FindingCategory::Accessibility => "no stage left a report of pages; set reports.axe",
    }
}

/// A severity, in words.
pub const fn word(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical => "critical",
        Severity::High => "high",
        Severity::Medium => "medium",
        Severity::Low => "low",
    }
}

/// Findings, in words.
pub fn measured(counted: &Severities, is_new: bool) -> String {
    let each = Severity::ALL
        .iter()
        .filter(|severity| counted.of(**severity) > 0);
    let each = each.map(|severity| format!("{} {}", counted.of(*severity), word(*severity)));
    let each: Vec<String> = each.collect();
    let new = if is_new { " new" } else { "" };
    if each.is_empty() {
        return format!("no{new} findings");
    }
    format!("{}{new}", each.join(", "))
}

/// A finding, in words.
pub fn words(finding: &Finding) -> String {
    let mut words = finding.id.clone();
    if !finding.at.is_empty() {
        words = format!("{words} in {}", finding.at);
    }
    if !finding.text.is_empty() {
        words = format!("{words} ({})", finding.text);
    }
    words
}

/// The findings that count.
struct Pool {
    counted: Severities,
    /// Hashes of those that count, where it is known which they are.
    hashes: Option<BTreeMap<String, u32>>,
}

impl Pool {
    fn of(set: &FindingSet, before: Option<&FindingSet>, limits: &Limits<'_>) -> Self {
        let counts = |set: &FindingSet| {
            let mut counts = set.total;
            if limits.ignores_unfixed {
                reduce(&mut counts, &set.unfixed);
            }
            counts
        };
        let mut pool = Self {
            counted: counts(set),
            hashes: None,
        };
        let Some(before) = before.filter(|_| limits.new_only) else {
            return pool;
        };
        if !set.is_all_marked() || !before.is_all_marked() {
            reduce(&mut pool.counted, &counts(before));
            return pool;
        }
        let mut known = hashes(before.each_mark());
        let is_new = |mark: &Mark<'_>| !take_one(&mut known, mark.hash);
        let new: Vec<Mark<'_>> = set.each_mark().filter(is_new).collect();
        let is_counted = |mark: &&Mark<'_>| !(limits.ignores_unfixed && mark.unfixed);
        let new = || new.iter().filter(is_counted);
        pool.counted = Severities::default();
        for mark in new() {
            *pool.counted.of_mut(mark.severity) += 1;
        }
        pool.hashes = Some(hashes(new().copied()));
        pool
    }

    fn has(&self, category: FindingCategory, finding: &Finding) -> bool {
        let Some(hashes) = &self.hashes else {
            return self.counted.of(finding.severity) > 0;
        };
        let mark = mark(category, finding);
        Mark::read(&mark).is_some_and(|mark| hashes.get(mark.hash).is_some_and(|left| *left > 0))
    }

    /// Leaves out a finding that counts.
    fn take(&mut self, category: FindingCategory, finding: &Finding) {
        if let Some(hashes) = &mut self.hashes {
            let mark = mark(category, finding);
            let hash = Mark::read(&mark).map(|mark| mark.hash);
            take_one(hashes, hash.unwrap_or_default());
        }
        let number = self.counted.of_mut(finding.severity);
        *number = number.saturating_sub(1);
    }
}

fn reduce(counts: &mut Severities, by: &Severities) {
    for severity in Severity::ALL {
        let number = counts.of_mut(*severity);
        *number = number.saturating_sub(by.of(*severity));
    }
}

fn hashes<'a>(marks: impl Iterator<Item = Mark<'a>>) -> BTreeMap<String, u32> {
    let mut all = BTreeMap::new();
    for mark in marks {
        *all.entry(mark.hash.to_owned()).or_default() += 1;
    }
    all
}

fn take_one(hashes: &mut BTreeMap<String, u32>, hash: &str) -> bool {
    let left = hashes.get_mut(hash).filter(|left| **left > 0);
    left.map(|left| *left -= 1).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate;
    use crate::pipeline::api::Waiver;
    use crate::pipeline_run::api::ReportSummary;
    use crate::report::finding::Found;

    const CATEGORY: FindingCategory = FindingCategory::Vulnerability;

    fn set(findings: &[(&str, Severity, bool)]) -> ReportSummary {
        let mut set = FindingSet::none(CATEGORY);
        for (id, severity, unfixed) in findings {
            set.push(&Found {
                severity: Some(*severity),
                id,
                place: "openssl@3.0.1",
                unfixed: *unfixed,
                ..Found::default()
            });
        }
        ReportSummary {
            findings: vec![set.settled()],
            ..ReportSummary::default()
        }
    }

    fn found(
        limits: &Limits<'_>,
        now: ReportSummary,
        before: Option<ReportSummary>,
        waivers: &[Waiver],
    ) -> (Check, Vec<String>) {
        let scope = Scope {
            now,
            before,
            ..Scope::default()
        };
        let waivers = Waivers::of("cves", waivers, gate::testing::NOW);
        let mut used = Vec::new();
        let check = check(CATEGORY, limits, &scope, &waivers, &mut used);
        (check, used)
    }

    fn is_good(limits: &Limits<'_>, now: ReportSummary, before: Option<ReportSummary>) -> bool {
        found(limits, now, before, &[]).0.finding == gate::Finding::Good
    }

    #[test]
    fn by_default_there_may_be_medium_and_low_ones_only() {
        let limits = Limits::default();
        assert_eq!(limits.words(), "at most 0 critical, 0 high");
        assert!(is_good(
            &limits,
            set(&[("A", Severity::Medium, false)]),
            None
        ));
        let (bad, _) = found(&limits, set(&[("A", Severity::High, false)]), None, &[]);
        assert_eq!(bad.measured.as_deref(), Some("1 high"));
        assert!(matches!(bad.finding, gate::Finding::Bad(m) if m.contains("A in openssl@3.0.1")));
        let (none, _) = found(&limits, ReportSummary::default(), None, &[]);
        assert!(matches!(none.finding, gate::Finding::NoData(_)));
    }

    #[test]
    fn those_without_a_repair_can_be_left_out() {
        let limits = Limits {
            ignores_unfixed: true,
            ..Limits::default()
        };
        assert!(is_good(&limits, set(&[("A", Severity::High, true)]), None));
        let both = [("A", Severity::High, true), ("B", Severity::High, false)];
        assert!(!is_good(&limits, set(&both), None));
    }

    #[test]
    fn what_the_newest_release_had_is_not_new() {
        let limits = Limits {
            new_only: true,
            ..Limits::default()
        };
        let old = || set(&[("A", Severity::High, true)]);
        assert!(is_good(&limits, old(), Some(old())));
        // A repair makes no new finding of it.
        assert!(is_good(
            &limits,
            set(&[("A", Severity::High, false)]),
            Some(old())
        ));
        assert!(!is_good(
            &limits,
            set(&[("B", Severity::High, false)]),
            Some(old())
        ));
        assert!(!is_good(&limits, old(), None));
        let nobody_looked = Some(ReportSummary::default());
        assert!(!is_good(&limits, old(), nobody_looked));
    }

    #[test]
    fn more_than_can_be_marked_are_compared_by_number() {
        let limits = Limits {
            new_only: true,
            ..Limits::default()
        };
        let many = |number: usize| {
            let ids: Vec<String> = (0..number).map(|n| format!("X{n}")).collect();
            let all: Vec<_> = ids
                .iter()
                .map(|id| (id.as_str(), Severity::High, false))
                .collect();
            set(&all)
        };
        assert!(is_good(&limits, many(500), Some(many(500))));
        assert!(!is_good(&limits, many(501), Some(many(500))));
    }

    #[test]
    fn a_waiver_leaves_out_what_it_names_and_says_so() {
        let waiver = |id: &str| Waiver {
            id: Some(id.to_owned()),
            ..gate::testing::waiver("cves", "2099-12-31")
        };
        let two = || set(&[("A", Severity::High, false), ("B", Severity::High, false)]);
        let limits = Limits::default();
        let (bad, used) = found(&limits, two(), None, &[waiver("A")]);
        assert_eq!(bad.measured.as_deref(), Some("1 high"));
        assert_eq!(used.len(), 1);
        let (good, used) = found(
            &limits,
            two(),
            None,
            &[waiver("A"), waiver("B"), waiver("C")],
        );
        assert_eq!(good.finding, gate::Finding::Good);
        assert_eq!(used.len(), 2);
        let new = Limits {
            new_only: true,
            ..Limits::default()
        };
        let old = || set(&[("A", Severity::High, false)]);
        let (good, used) = found(&new, two(), Some(old()), &[waiver("B")]);
        assert_eq!((good.finding, used.len()), (gate::Finding::Good, 1));
        let (bad, used) = found(&new, two(), Some(old()), &[waiver("A")]);
        assert!(matches!(bad.finding, gate::Finding::Bad(_)));
        assert!(used.is_empty(), "what is not new needs no waiver");
    }

    #[test]
    fn secrets_count_whatever_their_severity() {
        let gate = SecretsGate::default();
        let limits = Limits::from(&gate);
        assert_eq!(limits.sum, Some(0));
        assert!(!is_good(&limits, set(&[("A", Severity::Low, false)]), None));
    }
}
