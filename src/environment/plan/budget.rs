//! Whether enough of the error budget is left to risk a change. No I/O.

use super::super::api::{CandidateGate, ErrorBudget, SloState, SloStatus, Unknown};
use super::Draft;
use super::gate::gate;

/// Name of the gate.
pub(super) const BUDGET: &str = "error-budget";

/// What is found about one SLO.
enum Found {
    Enough,
    TooLittle(String),
    Unknown(String),
}

impl Draft<'_> {
    /// What the error budgets say; nothing where none has to be left. The numbers are those of the status.
    pub(super) fn budget_gate(&self) -> Option<CandidateGate> {
        let rule = self.seen.spec.protection.error_budget.as_ref()?;
        let all = self.seen.spec.slos.iter().map(|slo| slo.name.as_str());
        let names: Vec<&str> = if rule.slos.is_empty() {
            all.collect()
        } else {
            rule.slos.iter().map(String::as_str).collect()
        };
        if names.is_empty() {
            let text = "protection.errorBudget needs an SLO: add one to spec.slos";
            return Some(gate(BUDGET, Some(text.to_owned()), None));
        }
        let known = &self.seen.status.slos;
        let found = names.iter().map(|name| {
            let status = known.iter().find(|status| status.name == **name);
            look(rule, name, status)
        });
        let blocks = rule.on_no_data.unwrap_or_default() == Unknown::Block;
        let problems: Vec<String> = found
            .filter_map(|found| match found {
                Found::Enough => None,
                Found::TooLittle(problem) => Some(problem),
                Found::Unknown(problem) => blocks.then_some(problem),
            })
            .collect();
        let text = (!problems.is_empty()).then(|| {
            format!(
                "{}; repair what fails first, or let the Release pass with a Decision Override that names the gate {BUDGET}",
                problems.join("; ")
            )
        });
        Some(gate(BUDGET, text, None))
    }
}

fn look(rule: &ErrorBudget, name: &str, status: Option<&SloStatus>) -> Found {
    let Some(status) = status else {
        return Found::Unknown(format!("nothing is known of SLO {name} yet"));
    };
    if status.state == SloState::NoData {
        let why = status.message.as_deref().unwrap_or("no data");
        return Found::Unknown(format!("nothing is known of SLO {name}: {why}"));
    }
    if let Some(min) = &rule.min_remaining {
        let left = status.remaining_budget.as_deref();
        let numbers = left.and_then(number).zip(number(min));
        match (numbers, left) {
            (Some((left, least)), _) if left >= least => {}
            (Some(_), Some(left)) => {
                return Found::TooLittle(format!(
                    "{left} of the budget of SLO {name} is left, needed: {min}"
                ));
            }
            (Some(_) | None, _) => {
                return Found::Unknown(format!("it is not known what is left of SLO {name}"));
            }
        }
    }
    let Some(max) = &rule.max_burn_rate else {
        return Found::Enough;
    };
    let rate = |window: &str| {
        let mut rates = status.burn_rates.iter();
        rates.find(|rate| rate.window == window)
    };
    // A window without requests burns nothing.
    let burns = |window: &str| {
        let rate = rate(window).and_then(|rate| number(&rate.rate));
        rate.zip(number(max)).is_some_and(|(rate, max)| rate > max)
    };
    match rate("1h") {
        Some(hour) if burns("1h") && burns("5m") => Found::TooLittle(format!(
            "the budget of SLO {name} burns {} times as fast as it may, accepted: {max}",
            hour.rate
        )),
        Some(_) | None => Found::Enough,
    }
}

fn number(text: &str) -> Option<f64> {
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn found(rule: &Value, status: &Value) -> Found {
        let rule = serde_json::from_value(rule.clone()).unwrap();
        let mut whole = json!({"name": "api", "state": "Met"});
        json_patch::merge(&mut whole, status);
        look(&rule, "api", Some(&serde_json::from_value(whole).unwrap()))
    }

    fn too_little(rule: &Value, status: &Value) -> String {
        match found(rule, status) {
            Found::TooLittle(problem) => problem,
            Found::Enough | Found::Unknown(_) => panic!("{rule} {status}"),
        }
    }

    #[test]
    fn what_is_left_must_be_enough() {
        let rule = json!({"minRemaining": "0.10"});
        for enough in ["0.1", "0.62", "1"] {
            assert!(matches!(
                found(&rule, &json!({"remainingBudget": enough})),
                Found::Enough
            ));
        }
        for little in ["0.0999", "0", "-1.5"] {
            let said = too_little(&rule, &json!({"remainingBudget": little}));
            assert!(said.contains(&format!(
                "{little} of the budget of SLO api is left, needed: 0.10"
            )));
        }
        for unknown in [
            json!({}),
            json!({"remainingBudget": "?"}),
            json!({"state": "NoData", "remainingBudget": "1"}),
        ] {
            assert!(
                matches!(found(&rule, &unknown), Found::Unknown(_)),
                "{unknown}"
            );
        }
        assert!(matches!(
            look(&serde_json::from_value(rule).unwrap(), "api", None),
            Found::Unknown(_)
        ));
    }

    #[test]
    fn it_burns_too_fast_when_it_has_and_still_does() {
        let rule = json!({"maxBurnRate": "2"});
        let rates = |hour: &str, now: &str| json!({"burnRates": [{"window": "1h", "rate": hour}, {"window": "5m", "rate": now}]});
        assert!(too_little(&rule, &rates("2.1", "3")).contains("burns 2.1 times as fast"));
        for (hour, now) in [("2", "9"), ("9", "2"), ("0", "0")] {
            assert!(matches!(found(&rule, &rates(hour, now)), Found::Enough));
        }
        assert!(
            matches!(found(&rule, &json!({})), Found::Enough),
            "no requests burn nothing"
        );
    }
}
