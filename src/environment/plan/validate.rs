//! What the reports of a smoke test say, and what its gates make of it. No I/O.

use super::super::api::{SmokeTest, ValidationGate};
use super::super::render;
use super::Draft;
use super::history::Entry;
use crate::gate::{self, Scope};
use crate::pipeline_run::api::{FailureKind, GateVerdict, Latency, ReportSummary};
use crate::promotion::api::StepStatus;
use crate::runner::report::StageReport;

/// What was made of a report.
#[derive(Debug, Default)]
pub(super) struct Validated {
    /// What the gates say.
    pub(super) gates: Vec<GateVerdict>,
    /// What the next one is compared with.
    pub(super) latency: Vec<Latency>,
    /// Why the check fails.
    pub(super) problem: Option<String>,
}

impl<'a> Draft<'a> {
    /// Judges the report of a Job that ended well.
    pub(super) fn validated(
        &self,
        entry: &Entry<'a>,
        test: &SmokeTest,
        report: Option<StageReport>,
    ) -> Validated {
        let report = report.unwrap_or_default();
        let now = report.reports.unwrap_or_default();
        let scope = Scope {
            tests: report.tests,
            before: self.before(entry, test),
            missing: now.lacks("the check"),
            now,
            ..Scope::default()
        };
        let gates = test.gates.iter().map(ValidationGate::gate);
        let gates: Vec<GateVerdict> = gates
            .map(|gate| gate::judge(&gate, &[], &scope, self.now))
            .collect();
        let blocking = gates.iter().find(|verdict| gate::blocks(verdict));
        let problem = blocking.map(|verdict| {
            let message = verdict.message.as_deref().unwrap_or("it does not hold");
            format!("gate {}: {message}", verdict.name)
        });
        Validated {
            latency: scope.now.latency.clone(),
            gates,
            problem,
        }
    }

    /// What the same check said of the last good Release.
    fn before(&self, entry: &Entry<'a>, test: &SmokeTest) -> Option<ReportSummary> {
        let name = render::step_name(&test.name);
        let good = self.history.good(&entry.record.spec.pipeline)?;
        let mut steps = good.record.status.steps.iter();
        let step = steps.find(|step| step.name == name)?;
        Some(ReportSummary {
            latency: step.latency.clone(),
            ..ReportSummary::default()
        })
    }
}

/// Puts it on record.
pub(super) fn note(step: &mut StepStatus, validated: Validated) {
    step.gates = validated.gates;
    step.latency = validated.latency;
}

/// Why a Job that reports came to no verdict, as far as its runner tells.
pub(super) fn lost(report: &StageReport) -> Option<String> {
    let is_lost = matches!(report.failure, Some(FailureKind::Evicted));
    let why = report.message.as_deref().unwrap_or("its pod had to go");
    is_lost.then(|| why.to_owned())
}
