//! Runs as tables for people. No I/O.

use jiff::Timestamp;
use kube::ResourceExt;

use crate::cli::text::{Cell, Palette, Table, Tone, age, took};
use crate::pipeline_run::api::{
    GateResult, GateVerdict, PipelineRun, PipelineRunStatus, RunPhase, StagePhase, StageStatus,
};

/// Digits of a commit that people read.
const SHORT: usize = 12;

/// One line per run.
pub fn list(runs: &[PipelineRun], now: Timestamp, is_wide: bool) -> Table {
    let headings = [
        "NAME", "PIPELINE", "PHASE", "COMMIT", "AGE", "TOOK", "MESSAGE",
    ];
    let mut table = Table::new(&headings, &[]);
    for run in runs {
        let status = run.status.clone().unwrap_or_default();
        let phase = status.phase.unwrap_or_default();
        let sha = status.sha.as_deref().or(run.spec.sha.as_deref());
        table.row([
            run.name_any().into(),
            run.spec.pipeline_ref.name.as_str().into(),
            Cell::new(tone(phase), phase.as_str()),
            short(sha.unwrap_or("–")).into(),
            age(run.creation_timestamp().as_ref(), now).into(),
            took(status.started_at.as_ref(), status.finished_at.as_ref(), now).into(),
            status.message.unwrap_or_default().into(),
        ]);
    }
    if is_wide {
        let headings = ["REF", "TRIGGER", "ACTOR", "VERSION", "RELEASE"].map(Cell::heading);
        table.behind(std::iter::once(headings).chain(runs.iter().map(more)));
    }
    table
}

/// What else there is to say of a run.
fn more(run: &PipelineRun) -> [Cell; 5] {
    let status = run.status.as_ref();
    let version = status.and_then(|status| status.version.as_ref()?.number.clone());
    let release = status.and_then(|status| status.release.clone());
    [
        run.spec.git_ref.as_str().into(),
        run.spec.trigger.kind.as_str().into(),
        run.spec.trigger.actor.as_str().into(),
        version.unwrap_or_default().into(),
        release.unwrap_or_default().into(),
    ]
}

/// A run with its stages and gates.
pub fn describe(run: &PipelineRun, now: Timestamp, palette: Palette) -> String {
    let status = run.status.clone().unwrap_or_default();
    let phase = status.phase.unwrap_or_default();
    let mut text = format!(
        "Run {}: {}\n",
        palette.paint(Tone::Strong, &run.name_any()),
        palette.paint(tone(phase), phase.as_str())
    );
    text.push_str(&facts(run, &status, now).text(palette));
    let mut stages = Table::new(&["STAGE", "PHASE", "TOOK", "MESSAGE"], &[]);
    stages.rows(status.stages.iter().map(|stage| row(stage, now)));
    let gates = gates(&status.gates);
    for (table, is_there) in [
        (stages, !status.stages.is_empty()),
        (gates, !status.gates.is_empty()),
    ] {
        if is_there {
            text.push('\n');
            text.push_str(&table.text(palette));
        }
    }
    if let Some(tail) = status.failure.and_then(|failure| failure.log_tail) {
        text.push_str("\n  the last it said:\n");
        for line in tail.lines() {
            text.push_str("    ");
            text.push_str(line);
            text.push('\n');
        }
    }
    text
}

/// What gates have found, a line each.
pub fn gates(found: &[GateVerdict]) -> Table {
    let mut gates = Table::new(&["GATE", "RESULT", "MEASURED", "MESSAGE"], &[]);
    gates.rows(found.iter().map(|gate| {
        let tone = match gate.result {
            GateResult::Passed => Tone::Good,
            GateResult::Warned | GateResult::Waived => Tone::Warn,
            GateResult::Failed | GateResult::NoData => Tone::Bad,
        };
        [
            gate.name.as_str().into(),
            Cell::new(tone, gate.result.as_str()),
            gate.measured.clone().unwrap_or_default().into(),
            gate.message.clone().unwrap_or_default().into(),
        ]
    }));
    gates
}

fn facts(run: &PipelineRun, status: &PipelineRunStatus, now: Timestamp) -> Table {
    let sha = status.sha.as_deref().or(run.spec.sha.as_deref());
    Table::facts([
        ("pipeline", Some(run.spec.pipeline_ref.name.clone())),
        ("ref", Some(run.spec.git_ref.clone())),
        ("commit", sha.map(short)),
        ("started by", Some(run.spec.trigger.actor.clone())),
        (
            "took",
            Some(took(
                status.started_at.as_ref(),
                status.finished_at.as_ref(),
                now,
            )),
        ),
        (
            "version",
            status
                .version
                .as_ref()
                .and_then(|version| version.number.clone()),
        ),
        ("release", status.release.clone()),
        ("message", status.message.clone()),
    ])
}

fn row(stage: &StageStatus, now: Timestamp) -> [Cell; 4] {
    let tone = match stage.phase {
        StagePhase::Succeeded => Tone::Good,
        StagePhase::Failed | StagePhase::TimedOut => Tone::Bad,
        StagePhase::Pending | StagePhase::Skipped | StagePhase::Cancelled => Tone::Faint,
        StagePhase::Running => Tone::Plain,
    };
    [
        stage.name.as_str().into(),
        Cell::new(tone, stage.phase.as_str()),
        took(stage.started_at.as_ref(), stage.finished_at.as_ref(), now).into(),
        stage.message.clone().unwrap_or_default().into(),
    ]
}

/// How a phase is meant.
pub const fn tone(phase: RunPhase) -> Tone {
    match phase {
        RunPhase::Succeeded => Tone::Good,
        RunPhase::Failed | RunPhase::TimedOut => Tone::Bad,
        RunPhase::Cancelled => Tone::Faint,
        RunPhase::Queued | RunPhase::Running => Tone::Plain,
    }
}

/// The digits of a commit that people read.
pub fn short(sha: &str) -> String {
    sha.chars().take(SHORT).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn a_run() -> PipelineRun {
        let run = json!({
            "apiVersion": "slipway.dev/v1alpha1", "kind": "PipelineRun",
            "metadata": {"name": "shop-7", "creationTimestamp": "2026-11-26T10:00:00Z"},
            "spec": {"pipelineRef": {"name": "shop"}, "ref": "refs/heads/main", "sha": "a".repeat(40),
                     "trigger": {"kind": "Push", "actor": "slipway"}},
            "status": {
                "phase": "Failed", "message": "stage unit: 1 of 12 tests failed",
                "startedAt": "2026-11-26T10:00:05Z", "finishedAt": "2026-11-26T10:03:15Z",
                "stages": [
                    {"name": "unit", "type": "Test", "phase": "Failed", "message": "1 of 12 tests failed",
                     "startedAt": "2026-11-26T10:00:05Z", "finishedAt": "2026-11-26T10:03:05Z"},
                    {"name": "image", "type": "Build", "phase": "Skipped",
                     "message": "not started, because unit did not succeed"}],
                "gates": [{"name": "tests", "result": "Failed", "measured": "1 of 12 tests failed"}],
                "failure": {"stage": "unit", "kind": "Test", "logTail": "one\ntwo"},
            },
        });
        serde_json::from_value(run).unwrap()
    }

    fn now() -> Timestamp {
        "2026-11-28T12:00:00Z".parse().unwrap()
    }

    #[test]
    fn a_run_with_its_stages() {
        insta::assert_snapshot!(describe(&a_run(), now(), Palette::new(false)));
    }

    #[test]
    fn all_runs() {
        let text = |is_wide| list(&[a_run()], now(), is_wide).text(Palette::new(false));
        insta::assert_snapshot!(text(false));
        insta::assert_snapshot!("all_runs_wide", text(true));
    }
}
