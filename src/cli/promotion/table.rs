//! A Promotion as tables for people. No I/O.

use kube::ResourceExt;

use crate::cli::text::{Cell, Palette, Table, Tone};
use crate::promotion::api::{
    MigrationState, MigrationStatus, Promotion, PromotionPhase, PromotionStatus, StepState,
};

/// A promotion with its steps, its approvals, and what became of its database.
pub fn describe(promotion: &Promotion, palette: Palette) -> String {
    let status = promotion.status.clone().unwrap_or_default();
    let phase = status.phase.unwrap_or_default();
    let mut text = format!(
        "Promotion {}: {}\n",
        palette.paint(Tone::Strong, &promotion.name_any()),
        palette.paint(of_phase(phase), phase.as_str())
    );
    text.push_str(&facts(promotion, &status).text(palette));
    let mut parts = Vec::new();
    if let Some(migrations) = &status.migrations {
        parts.push(database(migrations));
        if !migrations.phases.is_empty() {
            parts.push(phases(migrations));
        }
    }
    let mut steps = Table::new(&["STEP", "STATE", "MESSAGE"], &[]);
    steps.rows(status.steps.iter().map(|step| {
        let message = step.message.clone().unwrap_or_default();
        [
            step.name.as_str().into(),
            of_step(step.state),
            message.into(),
        ]
    }));
    if !status.steps.is_empty() {
        parts.push(steps);
    }
    for table in parts {
        text.push('\n');
        text.push_str(&table.text(palette));
    }
    text
}

fn facts(promotion: &Promotion, status: &PromotionStatus) -> Table {
    let spec = &promotion.spec;
    let approvals: Vec<&str> = status.approvals.iter().map(|a| a.user.as_str()).collect();
    Table::facts([
        ("environment", Some(spec.environment.clone())),
        ("release", Some(spec.release.clone())),
        ("kind", Some(spec.kind.to_string())),
        ("asked by", Some(spec.requested_by.clone())),
        ("to version", spec.version.clone()),
        ("approved by", Some(approvals.join(", "))),
        ("reason", status.reason.clone()),
        ("message", status.message.clone()),
    ])
}

fn database(migrations: &MigrationStatus) -> Table {
    let tone = match migrations.state {
        MigrationState::Done => Tone::Good,
        MigrationState::Stuck | MigrationState::Refused | MigrationState::RolledBack => Tone::Bad,
        MigrationState::Waiting => Tone::Warn,
        MigrationState::Validating
        | MigrationState::BackingUp
        | MigrationState::Running
        | MigrationState::Verifying
        | MigrationState::RollingBack => Tone::Plain,
    };
    let backup = migrations.backup.as_ref().map(|backup| {
        let tested = match &backup.tested_at {
            Some(at) => format!("restored for a test at {}", at.0),
            None => "not tested".to_owned(),
        };
        format!("{} ({} bytes, {tested})", backup.reference, backup.bytes)
    });
    let mut table = Table::new(&["", ""], &[]);
    table.row([
        Cell::new(Tone::Faint, "database"),
        Cell::new(
            tone,
            format!("{}: {}", migrations.database, migrations.state),
        ),
    ]);
    table.more_facts([
        ("version before", migrations.version_before.clone()),
        ("version", migrations.version.clone()),
        ("pending", Some(migrations.pending.join(", "))),
        ("destructive", Some(migrations.destructive.join(", "))),
        ("backup", backup),
    ]);
    table
}

fn phases(migrations: &MigrationStatus) -> Table {
    let mut table = Table::new(&["MIGRATION", "STATE", "JOB", "MESSAGE"], &[]);
    table.rows(migrations.phases.iter().map(|phase| {
        let message = phase.message.clone().unwrap_or_default();
        [
            phase.phase.as_str().into(),
            of_step(phase.state),
            phase.job.as_str().into(),
            message.into(),
        ]
    }));
    table
}

/// How a step is, in its tone.
pub fn of_step(state: StepState) -> Cell {
    let tone = match state {
        StepState::Succeeded => Tone::Good,
        StepState::Failed => Tone::Bad,
        StepState::Pending | StepState::Skipped => Tone::Faint,
        StepState::Running => Tone::Plain,
    };
    Cell::new(tone, state.as_str())
}

/// How a promotion is, as a tone: nothing is wrong with what moves, or waits for what is no person.
pub const fn of_phase(phase: PromotionPhase) -> Tone {
    match phase {
        PromotionPhase::Succeeded => Tone::Good,
        PromotionPhase::Failed | PromotionPhase::RolledBack => Tone::Bad,
        PromotionPhase::AwaitingApproval => Tone::Warn,
        PromotionPhase::Superseded => Tone::Faint,
        PromotionPhase::Pending
        | PromotionPhase::Migrating
        | PromotionPhase::Promoting
        | PromotionPhase::Verifying => Tone::Plain,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_promotion_with_a_database() {
        let promotion = json!({
            "apiVersion": "slipway.dev/v1alpha1", "kind": "Promotion",
            "metadata": {"name": "production-3f9c2e1b4d5a-1"},
            "spec": {"environment": "production", "release": "shop-7", "pipeline": "shop", "images": [], "kind": "Promote",
                     "attempt": 1, "requestedBy": "slipway"},
            "status": {
                "phase": "Failed", "reason": "MigrationFailed", "message": "run failed: exit code 3",
                "approvals": [{"user": "bob", "at": "2026-11-26T10:00:00Z", "decision": "d"}],
                "steps": [{"name": "rollout-api", "state": "Skipped"}],
                "migrations": {
                    "state": "RolledBack", "database": "shop-db", "versionBefore": "1", "version": "1", "pending": ["V2__prices.sql"],
                    "backup": {"reference": "s3://backups/1", "bytes": 4096, "testedAt": "2026-11-26T10:01:00Z"},
                    "phases": [
                        {"phase": "Run", "state": "Failed", "job": "p-migrate-run", "message": "exit code 3: no such column"},
                        {"phase": "Down", "state": "Succeeded", "job": "p-migrate-down", "message": "passed"}],
                },
            },
        });
        let promotion: Promotion = serde_json::from_value(promotion).unwrap();
        insta::assert_snapshot!(describe(&promotion, Palette::new(false)));
    }
}
