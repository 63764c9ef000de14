//! Keeps the status of a run small: etcd and every watcher carry it. No I/O.
//!
//! What decisions rest on, phases, counts, digests, verdicts, always stays. Texts give way, those first that help least: they
//! are in the logs as well.

use super::api::{CellStatus, PipelineRunStatus, ReportSummary};
use crate::model::text::truncate;

/// Largest status, in bytes of JSON. With the spec, and with what the API server notes about fields, the object stays
/// below 100 KiB.
pub const LIMIT: usize = 84 << 10;

/// One way to make a status smaller.
type Step = fn(&mut PipelineRunStatus);

/// The ways, from what is missed least.
const STEPS: &[Step] = &[
    |status| {
        for entry in status.outbox.iter_mut().chain(&mut status.notifications) {
            shorten(&mut entry.last_error, 100);
        }
    },
    |status| shorten_test_messages(status, 100),
    |status| shorten_cell_messages(status, 80),
    |status| status.changes.truncate(20),
    |status| {
        if let Some(difference) = &mut status.difference {
            difference.files = None;
        }
    },
    |status| keep_failed_tests(status, 3),
    |status| shorten_messages(status, 200),
    |status| shorten_cell_messages(status, 0),
    |status| keep_failed_tests(status, 0),
    |status| status.changes.truncate(5),
    |status| shorten_messages(status, 0),
    |status| keep_findings(status, 8),
    |status| status.suspects.truncate(5),
    |status| keep_findings(status, 0),
    // Gates have no data without what comes next.
    |status| {
        for by in &mut status.built_by {
            by.images.clear();
        }
    },
    |status| status.built_by.clear(),
    |status| summaries(status).for_each(forget_marks),
    |status| summaries(status).for_each(cut),
    |status| {
        for cell in cells(status).filter(|cell| cell.phase.is_over()) {
            cell.started_at = None;
        }
    },
];

/// Makes a status small enough, if it is not.
///
/// # Guarantees
/// - What is small enough stays as it is; what was made smaller is small enough the next time.
pub fn fit(status: &mut PipelineRunStatus) {
    for step in STEPS {
        if size(status) <= LIMIT {
            return;
        }
        step(status);
    }
}

fn size(status: &PipelineRunStatus) -> usize {
    serde_json::to_vec(status).map_or(0, |bytes| bytes.len())
}

fn cells(status: &mut PipelineRunStatus) -> impl Iterator<Item = &mut CellStatus> {
    let stages = status.stages.iter_mut();
    stages.flat_map(|stage| stage.cells.iter_mut())
}

fn shorten(text: &mut Option<String>, limit: usize) {
    let short = text.take().filter(|_| limit > 0);
    *text = short.map(|text| truncate(&text, limit).to_owned());
}

fn shorten_test_messages(status: &mut PipelineRunStatus, limit: usize) {
    let stages = status.stages.iter_mut();
    for test in stages.flat_map(|stage| stage.failed_tests.iter_mut()) {
        shorten(&mut test.message, limit);
    }
}

fn summaries(status: &mut PipelineRunStatus) -> impl Iterator<Item = &mut ReportSummary> {
    let stages = status.stages.iter_mut();
    stages.filter_map(|stage| stage.reports.as_mut())
}

fn keep_findings(status: &mut PipelineRunStatus, count: usize) {
    let sets = summaries(status).flat_map(|summary| &mut summary.findings);
    sets.for_each(|set| set.worst.truncate(count));
}

/// Known findings are told from new ones by their number then.
fn forget_marks(summary: &mut ReportSummary) {
    summary
        .findings
        .iter_mut()
        .for_each(|set| set.marks.clear());
}

/// What is judged one by one goes, and is seen to be gone.
fn cut(summary: &mut ReportSummary) {
    let lists = summary.licences.len() + summary.benchmarks.len() + summary.latency.len();
    if lists + summary.missing.len() > 0 {
        summary.missing.clear();
        summary.licences.clear();
        summary.benchmarks.clear();
        summary.latency.clear();
        summary.is_cut = true;
    }
}

fn keep_failed_tests(status: &mut PipelineRunStatus, count: usize) {
    for stage in &mut status.stages {
        stage.failed_tests.truncate(count);
        stage.flaky_tests.truncate(count);
    }
}

fn shorten_cell_messages(status: &mut PipelineRunStatus, limit: usize) {
    for cell in cells(status) {
        shorten(&mut cell.message, limit);
    }
}

fn shorten_messages(status: &mut PipelineRunStatus, limit: usize) {
    for stage in &mut status.stages {
        shorten(&mut stage.message, limit);
    }
    for gate in &mut status.gates {
        shorten(&mut gate.message, limit);
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
    use serde_json::json;

    use super::*;
    use crate::pipeline::api::ReportFormat;
    use crate::pipeline::testing::NOW;
    use crate::pipeline_run::api::{
        Benchmark, Better, BuildJob, BuiltBy, FailedTest, FindingCategory, FindingSet,
        MissingReport, StagePhase, StageStatus, Suspect, TestCounts,
    };
    use crate::pipeline_run::testing::commit;
    use crate::report::finding::Found;

    fn largest_summary() -> ReportSummary {
        let findings = FindingCategory::ALL.iter().map(|category| {
            let mut set = FindingSet::none(*category);
            for number in 0..300 {
                set.push(&Found {
                    id: &format!("{}{number}", "i".repeat(60)),
                    place: &"p".repeat(120),
                    text: &"t".repeat(100),
                    unfixed: true,
                    ..Found::default()
                });
            }
            set.settled()
        });
        let benchmark = |number: usize| Benchmark {
            name: format!("{}{number}", "b".repeat(90)),
            value: 1.0 / 3.0,
            unit: "u".repeat(16),
            better: Better::Lower,
            deviation: Some(2.0 / 3.0),
        };
        let missing = |format| MissingReport {
            format,
            path: "p".repeat(96),
            cell: Some("c".repeat(63)),
        };
        ReportSummary {
            findings: findings.collect(),
            licences: (0..48)
                .map(|n| (format!("{}{n}", "l".repeat(76)), u32::MAX))
                .collect(),
            benchmarks: (0..40).map(benchmark).collect(),
            missing: ReportFormat::ALL.iter().copied().map(missing).collect(),
            ..ReportSummary::default()
        }
    }

    fn largest(stages: usize, cells: usize) -> PipelineRunStatus {
        let failed = FailedTest {
            name: "n".repeat(256),
            message: Some("m".repeat(512)),
        };
        let cell = |number: usize| CellStatus {
            name: format!("{}-{number}", "c".repeat(40)),
            phase: StagePhase::TimedOut,
            attempt: Some(17),
            infra_retries: 10,
            app_retries: 5,
            started_at: Some(Time(NOW)),
            finished_at: Some(Time(NOW)),
            message: Some("m".repeat(1024)),
            exit_code: Some(255),
            tests: Some(TestCounts {
                total: 1_000_000,
                passed: 500_000,
                failed: 500_000,
                ..TestCounts::default()
            }),
            ..CellStatus::default()
        };
        let stage = |number: usize| StageStatus {
            name: format!("{}{number}", "s".repeat(50)),
            failed_tests: vec![failed.clone(); 10],
            flaky_tests: vec!["n".repeat(256); 10],
            reports: Some(largest_summary()),
            message: Some("m".repeat(1024)),
            cells: (0..cells).map(cell).collect(),
            ..serde_json::from_value(json!({"name": "s", "type": "Test", "phase": "Failed"}))
                .unwrap()
        };
        let suspect = Suspect {
            part: "p".repeat(128),
            test: "t".repeat(256),
        };
        let image = |number: usize| (format!("c{number}"), "i".repeat(200));
        let job = |number: usize| BuildJob {
            stage: "s".repeat(50),
            cell: Some(format!("{number}-{}", "c".repeat(40))),
            name: "n".repeat(63),
            uid: "u".repeat(36),
            run: Some("r".repeat(63)),
        };
        let built_by = |number: usize| BuiltBy {
            images: (0..8).map(image).collect(),
            jobs: vec![job(number)],
        };
        PipelineRunStatus {
            built_by: (0..96).map(built_by).collect(),
            stages: (0..stages).map(stage).collect(),
            changes: vec![commit('a'); 50],
            suspects: vec![suspect; 40],
            quarantine: vec!["q".repeat(256); 20],
            ..PipelineRunStatus::default()
        }
    }

    #[test]
    fn the_largest_status_fits_and_keeps_its_counts() {
        for (stages, cells) in [(32, 0), (1, 256), (32, 8)] {
            let mut status = largest(stages, cells);
            let before = status.clone();
            assert!(size(&status) > LIMIT);
            fit(&mut status);
            assert!(
                size(&status) <= LIMIT,
                "{stages} {cells}: {}",
                size(&status)
            );
            let kept = |status: &PipelineRunStatus| {
                let cells = status.stages.iter().flat_map(|stage| &stage.cells);
                let kept =
                    cells.map(|cell| (cell.name.clone(), cell.phase, cell.tests, cell.attempt));
                kept.collect::<Vec<_>>()
            };
            assert_eq!(kept(&status), kept(&before));
            let again = status.clone();
            fit(&mut status);
            assert_eq!(status, again);
        }
    }

    #[test]
    fn a_small_status_stays_as_it_is() {
        let mut status = PipelineRunStatus {
            suspects: Vec::new(),
            built_by: Vec::new(),
            ..largest(1, 4)
        };
        assert!(size(&status) <= LIMIT, "{}", size(&status));
        let before = status.clone();
        fit(&mut status);
        assert_eq!(status, before);
    }
}
