//! Everything that gates judge, and the part of it that one of them asks for. No I/O.

use crate::pipeline::api::ReportFormat;
use crate::pipeline_run::api::{Artifact, ReportSummary, StagePhase, StageStatus, TestCounts};
use crate::release::api;

/// Everything that gates judge.
#[derive(Clone, Copy, Debug)]
pub struct Evidence<'a> {
    /// The stages of the run.
    pub stages: &'a [StageStatus],
    /// What they have made: the name of the stage, and the image or package.
    pub made: &'a [(&'a str, &'a Artifact)],
    /// The evidence of the newest Release when the run began; nothing when there was none.
    pub baseline: Option<&'a api::Evidence>,
}

/// What the stages say that a gate asks for.
#[derive(Clone, Debug, Default)]
pub struct Scope<'a> {
    /// The stages.
    pub stages: Vec<&'a StageStatus>,
    /// Images and packages that they have made.
    pub made: Vec<&'a Artifact>,
    /// Tests of all of them together; nothing when none of them made a report.
    pub tests: Option<TestCounts>,
    /// Their other reports together.
    pub now: ReportSummary,
    /// What the same stages said in the newest Release.
    pub before: Option<ReportSummary>,
    /// Reports that they were to leave and have not, each in a sentence. A stage that its Pipeline has left out in this run was to
    /// leave none.
    pub missing: Vec<(ReportFormat, String)>,
    /// Why their reports cannot be judged together.
    pub problem: Option<String>,
}

impl<'a> Evidence<'a> {
    /// What the named stages say; all of them when none is named.
    pub fn scope(&self, from: &[String]) -> Scope<'a> {
        let is_in = |name: &String| from.is_empty() || from.contains(name);
        let stages: Vec<&StageStatus> = self
            .stages
            .iter()
            .filter(|stage| is_in(&stage.name))
            .collect();
        let tests = stages.iter().filter_map(|stage| stage.tests);
        let made = self.made.iter();
        let made = made.filter(|(stage, _)| from.is_empty() || from.iter().any(|it| it == stage));
        let mut scope = Scope {
            made: made.map(|(_, artifact)| *artifact).collect(),
            tests: tests.reduce(TestCounts::plus),
            ..Scope::default()
        };
        for stage in &stages {
            let Some(reports) = &stage.reports else {
                continue;
            };
            if reports.is_cut {
                let problem = format!("the reports of stage {} did not fit", stage.name);
                scope.problem = Some(format!("{problem} into the status of the run; write fewer"));
            }
            let lacks = reports.lacks(&format!("stage {}", stage.name));
            scope.missing.extend(lacks);
            if let Err(error) = scope.now.merge(reports.clone()) {
                let problem = format!("the reports of all stages together are {error}");
                scope.problem = Some(format!("{problem}; set from, with fewer stages"));
            }
        }
        scope.before = self.baseline.map(|baseline| {
            let mut before = ReportSummary::default();
            for reports in baseline.reports.iter().filter(|r| is_in(&r.stage)) {
                // What does not fit was not judged then, and cannot be now.
                let _ = before.merge(reports.summary.clone());
            }
            before
        });
        scope.stages = stages;
        scope
    }
}

impl Scope<'_> {
    /// Stages whose work is over, one way or another.
    pub fn over(&self) -> impl Iterator<Item = &StageStatus> {
        let is_over = |phase| !matches!(phase, StagePhase::Pending | StagePhase::Running);
        let stages = self.stages.iter().copied();
        stages.filter(move |stage| is_over(stage.phase))
    }
}
