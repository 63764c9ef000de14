//! Error budgets as a table, with bars of what is left and of how fast it burns. No I/O.

use jiff::Timestamp;
use kube::ResourceExt;
use serde::Serialize;

use crate::cli::answer::End;
use crate::cli::text::{Cell, Palette, Table, Tone, age, bar, sparks};
use crate::environment::api::{Environment, SloState, SloStatus};

/// What stands where nothing is known.
const UNKNOWN: &str = "–";

/// One SLO of an Environment.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Row {
    /// Namespace of the Environment.
    pub namespace: String,
    /// Its name.
    pub environment: String,
    /// What the SLO asks for, as its spec says; absent where the spec has it no more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub objective: Option<String>,
    /// How it is.
    #[serde(flatten)]
    pub status: SloStatus,
}

/// The SLOs of Environments, of which the operator has said something.
pub fn rows(environments: &[Environment]) -> Vec<Row> {
    let mut rows = Vec::new();
    for environment in environments {
        let known = environment.status.iter().flat_map(|status| &status.slos);
        rows.extend(known.map(|status| {
            let mut slos = environment.spec.slos.iter();
            Row {
                namespace: environment.namespace().unwrap_or_default(),
                environment: environment.name_any(),
                objective: slos
                    .find(|slo| slo.name == status.name)
                    .map(|slo| slo.objective.clone()),
                status: status.clone(),
            }
        }));
    }
    rows
}

/// How a verb ends that shows them.
pub fn end(rows: &[Row]) -> End {
    let is_bad = |row: &Row| matches!(row.status.state, SloState::Burning | SloState::Exhausted);
    if rows.iter().any(is_bad) {
        End::Bad
    } else {
        End::Well
    }
}

/// For people.
pub fn page(rows: &[Row], (now, is_wide): (Timestamp, bool), palette: Palette) -> String {
    if rows.is_empty() {
        return "no Environment here has SLOs of which something is known\n".to_owned();
    }
    let headings = [
        "ENVIRONMENT",
        "SLO",
        "OBJECTIVE",
        "STATE",
        "BUDGET LEFT",
        "BURN",
        "SINCE",
        "MESSAGE",
    ];
    let mut table = Table::new(&headings, &[]);
    for row in rows {
        let status = &row.status;
        let tone = tone(status.state);
        table.row([
            format!("{}/{}", row.namespace, row.environment).into(),
            status.name.as_str().into(),
            row.objective
                .clone()
                .unwrap_or_else(|| UNKNOWN.to_owned())
                .into(),
            Cell::new(tone, status.state.as_str()),
            Cell::new(tone, budget(status)),
            Cell::new(tone, burn(status)),
            age(status.since.as_ref(), now).into(),
            status.message.clone().unwrap_or_default().into(),
        ]);
    }
    if is_wide {
        let headings = ["RATES", "DATA"].map(Cell::heading);
        table.behind(std::iter::once(headings).chain(rows.iter().map(more)));
    }
    table.text(palette)
}

fn tone(state: SloState) -> Tone {
    match state {
        SloState::Met => Tone::Good,
        SloState::NoData => Tone::Faint,
        SloState::Burning => Tone::Warn,
        SloState::Exhausted => Tone::Bad,
    }
}

/// What is left, as a bar and in percent.
fn budget(status: &SloStatus) -> String {
    let left = status.remaining_budget.as_ref();
    let left = left.and_then(|left| left.parse::<f64>().ok());
    left.map_or_else(
        || UNKNOWN.to_owned(),
        |left| format!("{} {:.0} %", bar(left), left * 100.0),
    )
}

/// The rates from the shortest window to the longest, as small bars, and the highest of them.
fn burn(status: &SloStatus) -> String {
    let rates = status.burn_rates.iter();
    let rates = rates.filter_map(|one| one.rate.parse::<f64>().ok());
    let rates: Vec<f64> = rates.collect();
    let most = rates.iter().copied().fold(0.0_f64, f64::max);
    if rates.is_empty() {
        return UNKNOWN.to_owned();
    }
    format!("{} {most:.1}×", sparks(&rates))
}

/// What else there is to say of it.
fn more(row: &Row) -> [Cell; 2] {
    let rates = row.status.burn_rates.iter();
    let rates: Vec<String> = rates
        .map(|one| format!("{}={}", one.window, one.rate))
        .collect();
    let data = row.status.coverage.as_ref();
    let data = data.and_then(|data| data.parse::<f64>().ok());
    let data = data.map(|data| format!("{:.0} %", data * 100.0));
    [rates.join(" ").into(), data.unwrap_or_default().into()]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn environment() -> Environment {
        let environment = json!({
            "apiVersion": "slipway.dev/v1alpha1", "kind": "Environment",
            "metadata": {"name": "production", "namespace": "shop"},
            "spec": {"tier": "Production", "promotion": {"from": {"pipelines": ["shop"]}},
                     "slos": [{"name": "api", "objective": "99.9"}, {"name": "web", "objective": "99"}]},
            "status": {"slos": [
                {"name": "api", "state": "Burning", "since": "2026-11-28T11:30:00Z", "remainingBudget": "0.41", "coverage": "0.5",
                 "message": "burns 20 times as fast as it may",
                 "burnRates": [{"window": "5m", "rate": "20"}, {"window": "1h", "rate": "14.4"}, {"window": "6h", "rate": "2.5"}]},
                {"name": "web", "state": "Exhausted", "remainingBudget": "-0.2"},
                {"name": "old", "state": "NoData"},
            ]},
        });
        serde_json::from_value(environment).unwrap()
    }

    #[test]
    fn budgets_and_rates_are_bars() {
        let rows = rows(&[environment()]);
        let now = "2026-11-28T12:00:00Z".parse().unwrap();
        let text = |is_wide| page(&rows, (now, is_wide), Palette::new(false));
        insta::assert_snapshot!(text(false));
        insta::assert_snapshot!("wide", text(true));
        assert_eq!(end(&rows), End::Bad);
        assert_eq!(end(&rows[2..]), End::Well);
    }

    #[test]
    fn where_nothing_is_known_that_is_said() {
        let text = page(&[], (Timestamp::UNIX_EPOCH, false), Palette::new(false));
        assert!(text.starts_with("no Environment here has SLOs"), "{text}");
    }
}
