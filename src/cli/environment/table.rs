//! Environments and their Promotions as tables for people. No I/O.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;

use crate::cli::promotion::table::{of_phase, of_step};
use crate::cli::text::{Cell, Palette, Table, Tone, age, in_time, took};
use crate::environment::api::{
    CandidateGateState, Environment, EnvironmentPhase, EnvironmentStatus, SloState,
};
use crate::promotion::api::{Promotion, PromotionPhase};

/// Promotions that a description ends with.
const LAST: usize = 5;

/// One line per Environment.
pub fn list(environments: &[Environment], now: Timestamp, is_wide: bool) -> Table {
    let headings = ["NAME", "TIER", "PHASE", "CURRENT", "NEXT", "AGE", "MESSAGE"];
    let mut table = Table::new(&headings, &[]);
    for environment in environments {
        let status = environment.status.clone().unwrap_or_default();
        let phase = status.phase.unwrap_or_default();
        let current = status.current.iter().map(|one| one.release.as_str());
        let current: Vec<&str> = current.collect();
        let next = status.candidate.map(|next| next.release);
        table.row([
            environment.name_any().into(),
            environment.spec.tier.as_str().into(),
            Cell::new(tone(phase), phase.as_str()),
            current.join(", ").into(),
            next.unwrap_or_default().into(),
            age(environment.creation_timestamp().as_ref(), now).into(),
            status.message.unwrap_or_default().into(),
        ]);
    }
    if is_wide {
        let headings = ["MODE", "ROLLOUTS", "HELD", "INCIDENTS"].map(Cell::heading);
        table.behind(std::iter::once(headings).chain(environments.iter().map(more)));
    }
    table
}

/// What else there is to say of an Environment.
fn more(environment: &Environment) -> [Cell; 4] {
    let spec = &environment.spec;
    let rollouts: Vec<&str> = spec.rollouts.iter().map(|one| one.name.as_str()).collect();
    let status = environment.status.as_ref();
    let holds = status.map_or(0, |status| status.holds.len());
    let incidents = status.and_then(|status| status.open_incidents);
    [
        spec.promotion.mode.as_str().into(),
        rollouts.join(", ").into(),
        holds.to_string().into(),
        incidents
            .map(|count| count.to_string())
            .unwrap_or_default()
            .into(),
    ]
}

/// An Environment, with its last Promotions.
pub fn describe(
    environment: &Environment,
    promotions: &[Promotion],
    now: Timestamp,
    palette: Palette,
) -> String {
    let status = environment.status.clone().unwrap_or_default();
    let phase = status.phase.unwrap_or_default();
    let mut text = format!(
        "Environment {}: {}\n",
        palette.paint(Tone::Strong, &environment.name_any()),
        palette.paint(tone(phase), phase.as_str())
    );
    if let Some(message) = &status.message {
        text.push_str("  ");
        text.push_str(message);
        text.push('\n');
    }
    let last = promotions.len().saturating_sub(LAST);
    let last: Vec<&Promotion> = promotions.iter().skip(last).rev().collect();
    let steps = last.first().map(|promotion| steps(promotion, now));
    for table in [
        Some(runs(&status, now)),
        gates(&status, now),
        holds(&status, now),
        slos(&status),
        steps.flatten(),
        (!last.is_empty()).then(|| table_of(&last, now)),
    ]
    .into_iter()
    .flatten()
    {
        text.push('\n');
        text.push_str(&table.text(palette));
    }
    text
}

/// One line per Promotion.
pub fn history(promotions: &[Promotion], now: Timestamp, palette: Palette) -> String {
    let all: Vec<&Promotion> = promotions.iter().collect();
    table_of(&all, now).text(palette)
}

fn runs(status: &EnvironmentStatus, now: Timestamp) -> Table {
    let mut table = Table::new(&["PIPELINE", "RUNS", "WANTED", "SINCE", "WAITING"], &[]);
    for wanted in &status.desired {
        let mut current = status.current.iter();
        let runs = current.find(|one| one.pipeline == wanted.pipeline);
        let runs = runs.map_or("–", |one| one.release.as_str());
        let tone = if runs == wanted.release {
            Tone::Good
        } else {
            Tone::Warn
        };
        table.row([
            wanted.pipeline.as_str().into(),
            Cell::new(tone, runs),
            wanted.release.as_str().into(),
            age(Some(&wanted.since), now).into(),
            wanted.waiting.join(", ").into(),
        ]);
    }
    table
}

fn gates(status: &EnvironmentStatus, now: Timestamp) -> Option<Table> {
    let candidate = status.candidate.as_ref()?;
    let heading = format!("GATE OF {}", candidate.release);
    let mut table = Table::new(&[&heading, "STATE", "UNTIL", "MESSAGE"], &[]);
    for gate in &candidate.gates {
        let tone = match gate.state {
            CandidateGateState::Passed | CandidateGateState::Overridden => Tone::Good,
            CandidateGateState::Waiting => Tone::Warn,
            CandidateGateState::Failed => Tone::Bad,
        };
        let until = gate.until.as_ref().map(|Time(at)| in_time(*at, now));
        table.row([
            gate.name.as_str().into(),
            Cell::new(tone, gate.state.as_str()),
            until.unwrap_or_default().into(),
            gate.message.clone().unwrap_or_default().into(),
        ]);
    }
    Some(table)
}

fn holds(status: &EnvironmentStatus, now: Timestamp) -> Option<Table> {
    let mut table = Table::new(&["HELD", "BY", "AGE", "WHY"], &[]);
    for hold in &status.holds {
        table.row([
            Cell::new(Tone::Warn, hold.release.as_deref().unwrap_or("everything")),
            hold.by.as_str().into(),
            age(Some(&hold.at), now).into(),
            hold.reason.as_str().into(),
        ]);
    }
    (!status.holds.is_empty()).then_some(table)
}

fn slos(status: &EnvironmentStatus) -> Option<Table> {
    let mut table = Table::new(&["SLO", "STATE", "BUDGET LEFT", "MESSAGE"], &[]);
    for slo in &status.slos {
        let tone = if slo.state == SloState::Burning {
            Tone::Bad
        } else {
            Tone::Plain
        };
        table.row([
            slo.name.as_str().into(),
            Cell::new(tone, slo.state.as_str()),
            slo.remaining_budget.clone().unwrap_or_default().into(),
            slo.message.clone().unwrap_or_default().into(),
        ]);
    }
    (!status.slos.is_empty()).then_some(table)
}

/// The steps of a Promotion that is under way, or has failed.
fn steps(promotion: &Promotion, now: Timestamp) -> Option<Table> {
    let status = promotion.status.clone().unwrap_or_default();
    let is_plain = matches!(
        status.phase,
        None | Some(PromotionPhase::Succeeded | PromotionPhase::Superseded)
    );
    if is_plain || status.steps.is_empty() {
        return None;
    }
    let heading = format!("STEP OF {}", promotion.name_any());
    let mut table = Table::new(&[&heading, "STATE", "TOOK", "MESSAGE"], &[]);
    for step in &status.steps {
        let took = took(step.started_at.as_ref(), step.finished_at.as_ref(), now);
        table.row([
            step.name.as_str().into(),
            of_step(step.state),
            took.into(),
            step.message.clone().unwrap_or_default().into(),
        ]);
    }
    Some(table)
}

fn table_of(promotions: &[&Promotion], now: Timestamp) -> Table {
    let headings = [
        "PROMOTION",
        "KIND",
        "RELEASE",
        "PHASE",
        "ASKED BY",
        "APPROVED BY",
        "AGE",
        "TOOK",
        "MESSAGE",
    ];
    let mut table = Table::new(&headings, &[]);
    for promotion in promotions {
        let status = promotion.status.clone().unwrap_or_default();
        let phase = status.phase.unwrap_or_default();
        let approved = status.approvals.iter().map(|one| one.user.as_str());
        let approved: Vec<&str> = approved.collect();
        let message = promotion.spec.reason.clone().or(status.message);
        table.row([
            promotion.name_any().into(),
            promotion.spec.kind.as_str().into(),
            promotion.spec.release.as_str().into(),
            Cell::new(of_phase(phase), phase.as_str()),
            promotion.spec.requested_by.as_str().into(),
            approved.join(", ").into(),
            age(promotion.creation_timestamp().as_ref(), now).into(),
            took(status.started_at.as_ref(), status.finished_at.as_ref(), now).into(),
            message.unwrap_or_default().into(),
        ]);
    }
    table
}

/// How a phase is meant.
pub fn tone(phase: EnvironmentPhase) -> Tone {
    if phase == EnvironmentPhase::Steady {
        Tone::Good
    } else if phase == EnvironmentPhase::RollingBack {
        Tone::Bad
    } else {
        Tone::Warn
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cli::environment::testing::promotions;

    fn environment() -> Environment {
        let deployed = |number: u32| {
            json!({
                "pipeline": "shop", "release": format!("shop-{number}"), "promotion": format!("production-{number}"),
                "images": [], "since": "2026-11-26T10:01:00Z",
            })
        };
        let environment = json!({
            "apiVersion": "slipway.dev/v1alpha1", "kind": "Environment",
            "metadata": {"name": "production", "creationTimestamp": "2026-11-20T10:00:00Z"},
            "spec": {"tier": "Production", "promotion": {"from": {"environments": ["staging"]}}},
            "status": {
                "phase": "Pending", "message": "shop-4 waits for approvals: 1 of 2 approvals (alice)",
                "desired": [deployed(3)], "current": [deployed(2)],
                "candidate": {"release": "shop-4", "gates": [
                    {"name": "hold", "state": "Passed"},
                    {"name": "approvals", "state": "Waiting", "message": "1 of 2 approvals (alice)", "until": "2026-11-28T13:30:00Z"}]},
                "holds": [{"release": "shop-3", "by": "slipway", "at": "2026-11-26T10:03:30Z", "reason": "Promotion production-3: SmokeFailed"}],
                "slos": [{"name": "api", "state": "Burning", "remainingBudget": "0.41", "message": "burns 20 times as fast as it may"}],
            },
        });
        serde_json::from_value(environment).unwrap()
    }

    fn now() -> Timestamp {
        "2026-11-28T12:00:00Z".parse().unwrap()
    }

    #[test]
    fn all_environments() {
        let text = |is_wide| list(&[environment()], now(), is_wide).text(Palette::new(false));
        insta::assert_snapshot!(text(false));
        insta::assert_snapshot!("all_environments_wide", text(true));
    }

    #[test]
    fn an_environment_with_what_it_waits_for_and_what_it_went_through() {
        let shown = describe(&environment(), &promotions(), now(), Palette::new(false));
        insta::assert_snapshot!(shown);
    }

    #[test]
    fn a_history() {
        insta::assert_snapshot!(history(&promotions(), now(), Palette::new(false)));
    }
}
