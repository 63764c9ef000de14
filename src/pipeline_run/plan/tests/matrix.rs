//! Stages with a matrix.

use super::*;
use crate::pipeline::api::ReportFormat;
use crate::pipeline_run::api::SkipReason;
use crate::runner::report::StageReport;

fn matrix(extra: &Value) -> Observed {
    let mut stage = json!({
        "name": "unit", "type": "Test", "image": "i", "run": "true",
        "matrix": {"axes": {"py": ["3.9", "3.11", "3.13"]}},
    });
    json_patch::merge(&mut stage, extra);
    let last =
        json!({"name": "last", "type": "Custom", "image": "i", "run": "true", "needs": ["unit"]});
    then(running(&json!([stage, last])))
}

fn cell(number: u32) -> String {
    format!("api-1-unit-{number}-1")
}

fn phases(status: &PipelineRunStatus) -> Vec<StagePhase> {
    let cells = stage(status, "unit").cells.iter();
    cells.map(|cell| cell.phase).collect()
}

#[test]
fn every_cell_is_a_job_with_its_values_as_variables_and_labels() {
    let seen = running(&json!([{
        "name": "unit", "type": "Test", "run": "true",
        "matrix": {"axes": {"py": ["3.9", "$(id)"]}, "image": {"axis": "py", "images": {"3.9": "old", "$(id)": "new"}}},
    }]));
    let plan = plan(&seen, NOW);
    assert_eq!(names(&plan), [cell(1), cell(2)]);
    let job = &created(&plan)[1].body;
    assert_eq!(job["metadata"]["labels"]["slipway.dev/cell"], "id-2");
    assert_eq!(job["metadata"]["labels"]["slipway.dev/attempt"], "1");
    let main = &job["spec"]["template"]["spec"]["containers"][0];
    assert_eq!(main["image"], "new");
    let env = main["env"].as_array().unwrap();
    let value = |name: &str| {
        let found = env.iter().find(|env| env["name"] == name);
        found.map(|env| env["value"].as_str().unwrap().to_owned())
    };
    // As a value only, and not to be expanded by Kubernetes.
    assert_eq!(value("SLIPWAY_MATRIX_PY").as_deref(), Some("$$(id)"));
    assert_eq!(value("SLIPWAY_CELL").as_deref(), Some("id-2"));
    assert!(!main["command"].to_string().contains("id"));
}

#[test]
fn no_more_cells_run_than_may() {
    let seen = matrix(&json!({"matrix": {"maxParallel": 2}}));
    let running = [
        StagePhase::Running,
        StagePhase::Running,
        StagePhase::Pending,
    ];
    assert_eq!(phases(&seen.status), running);
    let seen = with_job(seen, &cell(1), Job::running);
    let seen = with_job(seen, &cell(2), |job| job.over(NOW, 0, tested(4, 0)));
    let next = plan(&seen, NOW);
    assert_eq!(names(&next), [cell(3)]);
    let message = stage(&next.progress, "unit").message.clone().unwrap();
    assert_eq!(message, "1 of 3 cells are over, 2 run");
}

#[test]
fn a_matrix_has_succeeded_when_all_its_cells_have() {
    let mut seen = matrix(&json!({}));
    for number in 1..=3 {
        assert_eq!(stage(&seen.status, "last").phase, StagePhase::Pending);
        let done = with_job(seen, &cell(number), |job| job.over(NOW, 0, tested(4, 0)));
        seen = then(done);
    }
    let unit = stage(&seen.status, "unit");
    assert_eq!(unit.phase, StagePhase::Succeeded);
    assert_eq!(unit.tests.unwrap().total, 12);
    assert_eq!(stage(&seen.status, "last").phase, StagePhase::Running);
}

#[test]
fn the_first_cell_that_fails_stops_the_others_unless_told_otherwise() {
    let fail = |extra: &Value| {
        let seen = with_job(matrix(extra), &cell(1), |job| {
            job.over(NOW, 1, tested(4, 1))
        });
        let seen = with_job(seen, &cell(2), Job::running);
        plan(&seen, NOW)
    };
    let fast = fail(&json!({"matrix": {"maxParallel": 2}}));
    let stopped = [
        StagePhase::Failed,
        StagePhase::Cancelled,
        StagePhase::Skipped,
    ];
    assert_eq!(phases(&fast.progress), stopped);
    assert!(
        matches!(fast.actions.as_slice(), [Action::Delete { target, .. }] if target.key.name == cell(2))
    );
    assert_eq!(fast.progress.phase, Some(RunPhase::Failed));
    let failure = fast.progress.failure.unwrap();
    assert_eq!(
        (failure.stage.as_deref(), failure.cell.as_deref()),
        (Some("unit"), Some("3.9"))
    );
    let slow = fail(&json!({"matrix": {"maxParallel": 2, "failFast": false}}));
    let going = [StagePhase::Failed, StagePhase::Running, StagePhase::Running];
    assert_eq!(phases(&slow.progress), going);
    assert_eq!(slow.progress.phase, Some(RunPhase::Running));
}

#[test]
fn a_failed_matrix_keeps_back_what_needs_it() {
    let mut seen = matrix(&json!({"matrix": {"failFast": false}}));
    for number in 1..=3 {
        let bad = i32::from(number == 2);
        let report = tested(4, u32::from(number == 2));
        seen = then(with_job(seen, &cell(number), |job| {
            job.over(NOW, bad, report)
        }));
    }
    let last = stage(&seen.status, "last");
    assert_eq!(last.phase, StagePhase::Skipped);
    assert_eq!(last.skipped_because, Some(SkipReason::Needs));
    let unit = stage(&seen.status, "unit");
    assert_eq!(
        unit.message.as_deref(),
        Some("2 of 3 cells succeeded; 3.11: it ended with exit code 1")
    );
}

#[test]
fn cells_are_tried_again_each_for_itself() {
    let seen = matrix(&json!({"retry": {"app": 1}}));
    let seen = with_job(seen, &cell(1), |job| job.over(NOW, 1, tested(4, 1)));
    let again = plan(&seen, NOW);
    let made = names(&again);
    assert!(made.contains(&"api-1-unit-1-2"), "{made:?}");
    let unit = stage(&again.progress, "unit");
    assert_eq!(unit.app_retries, 1);
    assert_eq!(unit.cells[0].attempt, Some(2));
    assert_eq!(unit.cells[1].attempt, Some(1));
}

/// 256 cells with 50,000 tests: what a run says of itself stays small, and every plan comes to its end.
#[test]
fn the_status_of_the_largest_run_stays_below_100_kib() {
    let sixteen: Vec<String> = (0..16).map(|n| format!("a-long-value-{n}")).collect();
    let mut seen = matrix(&json!({
        "matrix": {"axes": {"py": sixteen, "db": sixteen}, "maxParallel": 256, "failFast": false},
        "retry": {"app": 1},
    }));
    let mut failing = tested(200, 7);
    failing.failed_tests = vec![
        crate::pipeline_run::api::FailedTest {
            name: "n".repeat(256),
            message: Some("m".repeat(512)),
        };
        10
    ];
    failing.message = Some("7 of 200 tests failed".into());
    for attempt in 1..=2 {
        for number in 1..=256 {
            let name = format!("api-1-unit-{number}-{attempt}");
            let is_bad = number % 2 == 0;
            if attempt == 2 && !is_bad {
                continue;
            }
            let report = if is_bad {
                failing.clone()
            } else {
                tested(200, 0)
            };
            seen = with_job(seen, &name, |job| job.over(NOW, i32::from(is_bad), report));
        }
        seen = then(seen);
    }
    assert_eq!(seen.status.phase, Some(RunPhase::Failed));
    assert_eq!(seen.status.tests.unwrap().total, 51_200);
    assert_eq!(stage(&seen.status, "unit").cells.len(), 256);
    let size = serde_json::to_vec(&seen.status).unwrap().len();
    assert!(size < crate::pipeline_run::fit::LIMIT, "{size}");
}

#[test]
fn a_cell_that_leaves_no_report_leaves_the_gate_without_data() {
    let unit = json!({"name": "unit", "type": "Test", "image": "i", "run": "true",
        "reports": {"junit": ["junit.xml"]}, "matrix": {"axes": {"py": ["3.9", "3.11", "3.13"]}}});
    let run = |third: StageReport| {
        let mut seen = then(running(&json!([unit])));
        if let Snapshot::Taken(spec) = &mut seen.snapshot {
            spec.gates = super::spec().gates;
        }
        for number in 1..=2 {
            seen = with_job(seen, &cell(number), |job| job.over(NOW, 0, tested(4, 0)));
        }
        then(with_job(seen, &cell(3), |job| job.over(NOW, 0, third))).status
    };
    let good = run(tested(4, 0));
    assert_eq!(good.gates[0].result, GateResult::Passed);
    let mut silent = StageReport::default();
    let summary = silent.reports.get_or_insert_default();
    crate::report::missing::note(summary, ReportFormat::Junit, "junit.xml");
    let half = run(silent);
    assert_eq!(half.tests.unwrap().total, 8);
    assert_eq!(half.gates[0].result, GateResult::NoData);
    let message = half.gates[0].message.clone().unwrap();
    let expected = "stage unit (3.13) has left no file junit.xml (reports.junit)";
    assert!(message.starts_with(expected), "{message}");
    assert_eq!(half.phase, Some(RunPhase::Failed));
}
