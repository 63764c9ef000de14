//! The quality report of a Release: why it could be trusted, and what became of it. Read off records alone. Pure.
//!
//! It says nothing that no record says: what is not on record is `Unknown`, which is no `Yes`. Every answer names the records that
//! it was read off. [`SCHEMA`] tells its form apart; fields are added to it, and never renamed.

mod checklist;

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;
use serde::Serialize;

use super::api::{ImageRef, Release, ReleaseKind, ReleaseRef};
use crate::environment::api::{Environment, SloState, Tier};
use crate::pipeline_run::api::{
    Attestation, Commit, FindingCategory, GateVerdict, PipelineRun, ReportSummary, Severities,
    TestCounts,
};
use crate::promotion::api::{Approval, Promotion, PromotionKind, PromotionPhase, StepState};
pub use checklist::{Answer, Check};

/// Name and version of the form of the report.
pub const SCHEMA: &str = "slipway.dev/quality-report/v1";
/// Releases of the Pipeline that the trend shows, this one included.
pub const TREND: usize = 10;
/// Promotions that are listed, the newest first.
const PROMOTIONS: usize = 50;
/// Licences that are listed, the most used first.
const LICENCES: usize = 50;

/// What the report is read off.
#[derive(Clone, Copy, Debug)]
pub struct Records<'a> {
    /// The Release.
    pub release: &'a Release,
    /// Releases of the same namespace.
    pub releases: &'a [Release],
    /// The run that made it, where it is still there.
    pub run: Option<&'a PipelineRun>,
    /// Promotions of the same namespace.
    pub promotions: &'a [Promotion],
    /// Environments of the same namespace.
    pub environments: &'a [Environment],
}

/// The quality report of a Release.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: &'static str,
    /// When it was made.
    pub generated_at: Timestamp,
    /// What it is about.
    pub release: About,
    /// What an auditor asks, and the answers.
    pub checklist: Vec<Check>,
    /// What the gates of the Pipeline found.
    pub gates: Vec<GateVerdict>,
    /// Tests, counted; absent where no stage reported any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tests: Option<TestCounts>,
    /// Share of the code that tests reached, in percent; absent where nobody measured it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub coverage: Option<Percents>,
    /// This Release and those before it of the Pipeline, the oldest first; at most 10.
    pub trend: Vec<Point>,
    /// Findings by what they are about; one that was looked for and not found is there with zeros.
    pub findings: Vec<Findings>,
    /// Components by licence, the most used first; at most 50.
    pub licences: Vec<Licence>,
    /// Components whose licence is not listed.
    pub unlisted_licences: u32,
    /// What is said about the images, stored beside them.
    pub attestations: Vec<Attestation>,
    /// Where it was promoted to, the newest first; at most 50.
    pub promotions: Vec<Delivery>,
    /// Error budgets of Environments that run it now.
    pub budgets: Vec<Budget>,
    /// Commits since the Release before it, newest first; at most 50.
    pub changes: Vec<Commit>,
}

/// What a report is about.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct About {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
    /// The Pipeline that made it.
    pub pipeline: String,
    /// Its version, where it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// `Normal` or `Hotfix`.
    pub kind: ReleaseKind,
    /// Full ref that it was built from.
    #[serde(rename = "ref")]
    pub git_ref: String,
    /// The commit that was built.
    pub commit: Commit,
    /// The Release before it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub previous: Option<String>,
    /// When it was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created_at: Option<Time>,
    /// The run that made it.
    pub run: String,
    /// Who or what started the run; absent where the run is gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_by: Option<String>,
    /// Its images, by digest.
    pub images: Vec<ImageRef>,
    /// Its packages, by digest.
    pub packages: Vec<String>,
}

/// Shares of the code that tests reached, in percent with two decimals.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Percents {
    /// Of lines.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lines: Option<String>,
    /// Of branches.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub branches: Option<String>,
    /// Of the lines that changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub changed_lines: Option<String>,
}

/// A Release in the trend.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Point {
    /// Its name.
    pub release: String,
    /// Its version, where it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// When it was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created_at: Option<Time>,
    /// Tests; absent where none were reported.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tests: Option<u32>,
    /// Those that failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failed: Option<u32>,
    /// Share of lines that tests reached, in percent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line_coverage: Option<String>,
    /// Findings of all kinds; absent where nobody looked for any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub findings: Option<u32>,
}

/// Findings of a category.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Findings {
    /// What they are about.
    pub category: FindingCategory,
    /// By severity.
    pub total: Severities,
    /// Vulnerabilities without a repair yet.
    pub unfixed: Severities,
}

/// How many components have a licence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Licence {
    /// As an SPDX expression.
    pub licence: String,
    /// Components.
    pub components: u32,
}

/// A promotion of the Release.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Delivery {
    /// The Environment.
    pub environment: String,
    /// Its tier; absent where it is gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tier: Option<Tier>,
    /// The Promotion.
    pub promotion: String,
    /// Which way it went.
    pub kind: PromotionKind,
    /// How it ended, or where it is.
    pub phase: PromotionPhase,
    /// Who asked for it.
    pub requested_by: String,
    /// Who approved it.
    pub approvals: Vec<Approval>,
    /// SHA-256 of the protection that it was under.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy_hash: Option<String>,
    /// When it began to change what runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,
    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Time>,
    /// Steps that succeeded, of all.
    pub steps: String,
    /// Incidents that it caused.
    pub incidents: usize,
    /// Hash of the last entry of its audit chain.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audit_hash: Option<String>,
}

/// The error budget of an SLO.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Budget {
    /// The Environment.
    pub environment: String,
    /// The SLO.
    pub slo: String,
    /// `Met`, `Burning`, `Exhausted` or `NoData`.
    pub state: SloState,
    /// Share of the budget that is left; absent where it is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remaining: Option<String>,
}

/// Makes the report.
pub fn report(records: &Records, now: Timestamp) -> Report {
    let spec = &records.release.spec;
    let reports = || spec.evidence.reports.iter().map(|stage| &stage.summary);
    let (licences, unlisted_licences) = licences(reports());
    let promotions = deliveries(records);
    let findings = findings(reports());
    Report {
        schema: SCHEMA,
        generated_at: now,
        release: about(records),
        checklist: checklist::answers(records, &findings, &promotions),
        gates: spec.evidence.gates.clone(),
        tests: spec.evidence.tests,
        coverage: coverage(reports()),
        trend: trend(records),
        findings,
        licences,
        unlisted_licences,
        attestations: spec.evidence.attestations.clone(),
        promotions,
        budgets: budgets(records),
        changes: spec.changes.clone(),
    }
}

fn about(records: &Records) -> About {
    let release = records.release;
    let spec = &release.spec;
    let packages = spec.packages.iter();
    About {
        namespace: release.namespace().unwrap_or_default(),
        name: release.name_any(),
        uid: release.uid().unwrap_or_default(),
        pipeline: spec.pipeline.clone(),
        version: spec.version.clone(),
        kind: spec.kind,
        git_ref: spec.git_ref.clone(),
        commit: spec.commit.clone(),
        previous: spec.previous.clone(),
        created_at: release.creation_timestamp(),
        run: spec.evidence.run.clone(),
        started_by: records.run.map(|run| run.spec.trigger.actor.clone()),
        images: spec.images.iter().map(ImageRef::from).collect(),
        packages: packages
            .map(|package| format!("{}@{}", package.repository, package.digest))
            .collect(),
    }
}

/// Coverage of all stages together: lines and branches are added up, as each stage measures its own part of the code.
fn coverage<'a>(reports: impl Iterator<Item = &'a ReportSummary>) -> Option<Percents> {
    let mut all: Option<crate::pipeline_run::api::Coverage> = None;
    for one in reports.filter_map(|summary| summary.coverage) {
        let sum = all.get_or_insert_default();
        sum.lines = sum.lines.saturating_add(one.lines);
        sum.covered_lines = sum.covered_lines.saturating_add(one.covered_lines);
        sum.branches = sum.branches.saturating_add(one.branches);
        sum.covered_branches = sum.covered_branches.saturating_add(one.covered_branches);
        if let Some(changed) = one.changed {
            let own = sum.changed.get_or_insert_default();
            own.lines = own.lines.saturating_add(changed.lines);
            own.covered_lines = own.covered_lines.saturating_add(changed.covered_lines);
        }
    }
    let shown = |percent: Option<f64>| percent.map(|percent| format!("{percent:.2}"));
    all.map(|all| Percents {
        lines: shown(all.line_percent()),
        branches: shown(all.branch_percent()),
        changed_lines: shown(all.changed_percent()),
    })
}

fn findings<'a>(reports: impl Iterator<Item = &'a ReportSummary>) -> Vec<Findings> {
    let mut all: BTreeMap<FindingCategory, (Severities, Severities)> = BTreeMap::new();
    let add = |to: &mut Severities, more: Severities| {
        to.critical = to.critical.saturating_add(more.critical);
        to.high = to.high.saturating_add(more.high);
        to.medium = to.medium.saturating_add(more.medium);
        to.low = to.low.saturating_add(more.low);
    };
    for set in reports.flat_map(|summary| &summary.findings) {
        let (total, unfixed) = all.entry(set.category).or_default();
        add(total, set.total);
        add(unfixed, set.unfixed);
    }
    let all = all.into_iter();
    all.map(|(category, (total, unfixed))| Findings {
        category,
        total,
        unfixed,
    })
    .collect()
}

fn licences<'a>(reports: impl Iterator<Item = &'a ReportSummary>) -> (Vec<Licence>, u32) {
    let (mut all, mut unlisted): (BTreeMap<&str, u32>, u32) = (BTreeMap::new(), 0);
    for summary in reports {
        unlisted = unlisted.saturating_add(summary.unlisted_licences);
        for (licence, components) in &summary.licences {
            let known = all.entry(licence).or_default();
            *known = known.saturating_add(*components);
        }
    }
    let mut sorted: Vec<(&str, u32)> = all.into_iter().collect();
    sorted.sort_by_key(|(licence, components)| (std::cmp::Reverse(*components), *licence));
    let rest = sorted.split_off(LICENCES.min(sorted.len()));
    unlisted = rest
        .iter()
        .fold(unlisted, |sum, (_, more)| sum.saturating_add(*more));
    let listed = sorted.into_iter().map(|(licence, components)| Licence {
        licence: licence.to_owned(),
        components,
    });
    (listed.collect(), unlisted)
}

/// The Releases that led to this one, by who says of whom that it came before.
fn trend(records: &Records) -> Vec<Point> {
    let mut points = vec![point(records.release)];
    let mut at = records.release.spec.previous.as_deref();
    while let Some(name) = at.filter(|_| points.len() < TREND) {
        let Some(found) = records.releases.iter().find(|one| one.name_any() == name) else {
            break;
        };
        points.push(point(found));
        at = found.spec.previous.as_deref();
    }
    points.reverse();
    points
}

fn point(release: &Release) -> Point {
    let spec = &release.spec;
    let reports = || spec.evidence.reports.iter().map(|stage| &stage.summary);
    let found = findings(reports());
    let sum = found.iter().map(|of| of.total.sum());
    Point {
        release: release.name_any(),
        version: spec.version.clone(),
        created_at: release.creation_timestamp(),
        tests: spec.evidence.tests.map(|tests| tests.total),
        failed: spec.evidence.tests.map(|tests| tests.failed),
        line_coverage: coverage(reports()).and_then(|coverage| coverage.lines),
        findings: (!found.is_empty()).then(|| sum.fold(0, u32::saturating_add)),
    }
}

fn deliveries(records: &Records) -> Vec<Delivery> {
    let name = records.release.name_any();
    let mut all: Vec<&Promotion> = records.promotions.iter().collect();
    all.retain(|promotion| is_with(&promotion.spec.release, &promotion.spec.members, &name));
    all.sort_by_key(|promotion| {
        let made = promotion.creation_timestamp();
        std::cmp::Reverse((made, promotion.spec.number, promotion.name_any()))
    });
    all.truncate(PROMOTIONS);
    all.into_iter().map(|one| delivery(records, one)).collect()
}

/// Whether a Release is what is meant: itself, or a set with it.
fn is_with(release: &str, members: &[ReleaseRef], name: &str) -> bool {
    release == name || members.iter().any(|member| member.release == name)
}

fn delivery(records: &Records, promotion: &Promotion) -> Delivery {
    let spec = &promotion.spec;
    let status = promotion.status.clone().unwrap_or_default();
    let mut environments = records.environments.iter();
    let environment = environments.find(|one| one.name_any() == spec.environment);
    let done = status.steps.iter();
    let done = done.filter(|step| step.state == StepState::Succeeded);
    Delivery {
        environment: spec.environment.clone(),
        tier: environment.map(|environment| environment.spec.tier),
        promotion: promotion.name_any(),
        kind: spec.kind,
        phase: status.phase.unwrap_or_default(),
        requested_by: spec.requested_by.clone(),
        policy_hash: spec.policy_hash.clone(),
        steps: format!("{} of {}", done.count(), status.steps.len()),
        incidents: status.incidents.len(),
        audit_hash: status.audit.last().map(|entry| entry.hash.clone()),
        approvals: status.approvals,
        started_at: status.started_at,
        finished_at: status.finished_at,
    }
}

fn budgets(records: &Records) -> Vec<Budget> {
    let name = records.release.name_any();
    let mut budgets = Vec::new();
    for environment in records.environments {
        let status = environment.status.clone().unwrap_or_default();
        let mut current = status.current.iter();
        let runs = current.any(|one| is_with(&one.release, &one.members, &name));
        for slo in status.slos.into_iter().filter(|_| runs) {
            budgets.push(Budget {
                environment: environment.name_any(),
                slo: slo.name,
                state: slo.state,
                remaining: slo.remaining_budget,
            });
        }
    }
    budgets
}

#[cfg(test)]
pub mod testing;
#[cfg(test)]
mod tests;
