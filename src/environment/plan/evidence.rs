//! Whether what the run of a Release has measured is enough here, where it may have to be more than its Pipeline asks. No I/O.

use super::super::api::{CandidateGate, CandidateGateState, EvidenceRule};
use super::Draft;
use super::gate::gate;
use super::history::Entry;
use crate::gate::{self, Evidence};
use crate::pipeline::api::{Gate, StageType};
use crate::pipeline_run::api::{GateVerdict, ReportSummary, StagePhase, StageStatus};
use crate::release::api::{self, Release};

/// Name of the gate.
pub(super) const EVIDENCE: &str = "evidence";

impl<'a> Draft<'a> {
    /// What the evidence of the Release says; nothing where nothing is asked of it.
    pub(super) fn evidence_gate(&self, entry: &Entry<'a>) -> Option<CandidateGate> {
        let rules = &self.seen.spec.protection.evidence;
        if rules.is_empty() {
            return None;
        }
        let rules: Vec<Gate> = rules.iter().map(EvidenceRule::gate).collect();
        let parts = self.parts(entry.release(), &entry.record.spec.pipeline);
        let mut bad: Vec<String> = Vec::new();
        for part in &parts {
            let Some(release) = self.order.part(part.release) else {
                let text = format!("the Release {} is gone", part.release);
                return Some(gate(EVIDENCE, Some(text), None));
            };
            let before = part.before.filter(|before| *before != part.release);
            let baseline = before.and_then(|before| self.order.part(before));
            let of = (parts.len() > 1).then_some(part.release);
            bad.extend(
                self.lacking(&rules, release, baseline)
                    .into_iter()
                    .map(|text| match of {
                        Some(name) => format!("{name}: {text}"),
                        None => text,
                    }),
            );
        }
        if bad.is_empty() {
            return Some(gate(EVIDENCE, None, None));
        }
        // What was measured does not change: another Release has to come.
        let text = format!(
            "{}; promote a Release whose run shows more, or let this one pass with a Decision Override that names the gate {EVIDENCE}",
            bad.join("; ")
        );
        let failed = gate(EVIDENCE, Some(text), None);
        Some(CandidateGate {
            state: CandidateGateState::Failed,
            ..failed
        })
    }

    /// What the evidence of one Release lacks.
    fn lacking(
        &self,
        rules: &[Gate],
        release: &Release,
        baseline: Option<&Release>,
    ) -> Vec<String> {
        let stages = stages_of(&release.spec.evidence);
        let evidence = Evidence {
            stages: &stages,
            // What was made is for the gates of the Pipeline: no rule of an Environment asks for its size.
            made: &[],
            baseline: baseline.map(|baseline| &baseline.spec.evidence),
        };
        let verdicts = gate::judge_all(rules, &[], &evidence, self.now);
        let said = |verdict: &GateVerdict| {
            let message = verdict.message.as_deref().unwrap_or("it does not hold");
            format!("{}: {message}", verdict.name)
        };
        let bad = verdicts.iter().filter(|verdict| gate::blocks(verdict));
        bad.map(said).collect()
    }
}

/// The stages of the run, as far as its evidence tells. Tests are counted for the run as a whole.
fn stages_of(evidence: &api::Evidence) -> Vec<StageStatus> {
    let reports = evidence.reports.iter();
    let mut stages: Vec<StageStatus> = reports
        .map(|reports| stage(&reports.stage, Some(reports.summary.clone())))
        .collect();
    if evidence.tests.is_some() {
        stages.push(StageStatus {
            tests: evidence.tests,
            ..stage("", None)
        });
    }
    stages
}

fn stage(name: &str, reports: Option<ReportSummary>) -> StageStatus {
    StageStatus {
        reports,
        ..StageStatus::new(name, StageType::Custom, StagePhase::Succeeded)
    }
}
