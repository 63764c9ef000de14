//! `Auto`: a list of steps for every level of risk. Which of them is done is chosen when a change begins, and from there on
//! it is a change like any other. No I/O.
//!
//! A preset is a strategy as people could write it.

use std::collections::BTreeMap;
use std::time::Duration;

use super::super::api::{
    self, Pause, RiskLevel, SetWeight, Shape, Signals, StableScale, Step as RawStep, Strategy,
    StrategyType,
};
use super::super::risk::AutoRules;
use super::compile::{Compiler, Step};
use super::{Analysis, Batch, Invalid, Routing, Spec, batch, stable_scale};

/// What a canary does where nothing is said: the share of the traffic, and how long it is looked at, in minutes.
const CANARY: [(i32, u64); 2] = [(10, 15), (50, 30)];

/// What a strategy comes to.
#[derive(Clone, Debug, PartialEq)]
pub struct Way {
    /// What is done one after the other.
    pub steps: Vec<Step>,
    /// How many pods stable keeps while it has not all of the traffic.
    pub stable_scale: StableScale,
    /// Pods that are replaced at the same time, where traffic goes with the pods.
    pub batch: Option<Batch>,
}

/// What is done at every level of risk.
#[derive(Clone, Debug, PartialEq)]
pub struct ByRisk {
    /// What says how risky a change is.
    pub rules: AutoRules,
    /// The shape that each level gets.
    pub shapes: [Shape; 3],
    /// What each level does.
    ways: [Way; 3],
}

impl ByRisk {
    /// The shape of a change of this risk.
    pub fn shape(&self, level: RiskLevel) -> Shape {
        let [low, medium, high] = self.shapes;
        match level {
            RiskLevel::Low => low,
            RiskLevel::Medium => medium,
            RiskLevel::High => high,
        }
    }

    /// What a change of this risk does.
    pub fn way(&self, level: RiskLevel) -> &Way {
        let [low, medium, high] = &self.ways;
        match level {
            RiskLevel::Low => low,
            RiskLevel::Medium => medium,
            RiskLevel::High => high,
        }
    }
}

impl Spec {
    /// The spec as it is for a change of this risk: with one list of steps, as any other.
    #[must_use]
    pub fn at_risk(&self, level: RiskLevel) -> Self {
        let mut spec = self.clone();
        if let Some(by_risk) = spec.by_risk.take() {
            let Way {
                steps,
                stable_scale,
                batch,
            } = by_risk.way(level).clone();
            spec.steps = steps;
            spec.stable_scale = stable_scale;
            spec.batch = batch;
        }
        spec
    }
}

/// What a strategy is turned into steps with.
#[derive(Clone, Copy)]
pub(super) struct Context<'a> {
    pub(super) analysis: Option<&'a Analysis>,
    pub(super) routing: Option<&'a Routing>,
    pub(super) replicas: i32,
}

/// What a strategy does; for `Auto` what it does at a medium risk, and at every level.
pub(super) fn compile(
    strategy: &Strategy,
    context: Context,
    problems: &mut Vec<Invalid>,
) -> (Way, Option<ByRisk>) {
    if strategy.type_ != Some(StrategyType::Auto) {
        return (way(strategy, context, problems), None);
    }
    let by_risk = by_risk(strategy, context, problems);
    (by_risk.way(RiskLevel::Medium).clone(), Some(by_risk))
}

fn way(strategy: &Strategy, context: Context, problems: &mut Vec<Invalid>) -> Way {
    let Context {
        analysis,
        routing,
        replicas,
    } = context;
    Way {
        steps: Compiler::new(analysis, routing, replicas, problems).steps(strategy),
        stable_scale: stable_scale(strategy),
        batch: batch(strategy, replicas),
    }
}

fn by_risk(strategy: &Strategy, context: Context, problems: &mut Vec<Invalid>) -> ByRisk {
    let auto = strategy.auto.clone().unwrap_or_default();
    let said = [
        ("low", auto.low),
        ("medium", auto.medium),
        ("high", auto.high),
    ];
    for (field, shape) in said {
        let problem = match (shape, context.routing) {
            (Some(Shape::BlueGreen), None) => {
                "BlueGreen needs spec.traffic: without it every pod has its share of the requests"
            }
            (Some(Shape::Rolling), Some(routing)) if routing.is_switch() => {
                "Rolling needs a router in spec.traffic, or no spec.traffic at all: a Service that is switched has all of \
                 the requests or none"
            }
            _ => continue,
        };
        problems.push(Invalid::new(format!("spec.strategy.auto.{field}"), problem));
    }
    let [low, medium, high] = shapes(context.routing);
    let shapes = [
        auto.low.unwrap_or(low),
        auto.medium.unwrap_or(medium),
        auto.high.unwrap_or(high),
    ];
    // Each shape once, so that what is wrong with it is told once.
    let mut known: BTreeMap<Shape, Way> = BTreeMap::new();
    let ways = shapes.map(|shape| {
        let way = known
            .entry(shape)
            .or_insert_with(|| preset(shape, strategy, context, problems));
        way.clone()
    });
    ByRisk {
        rules: auto
            .signals
            .map_or_else(AutoRules::default, |signals| rules(&signals, problems)),
        shapes,
        ways,
    }
}

/// The shapes of low, medium and high, where nothing is said. Without a router there is no Service to look at a preview
/// through; a Service that is switched knows no parts of the requests.
fn shapes(routing: Option<&Routing>) -> [Shape; 3] {
    match routing {
        None => [Shape::Rolling, Shape::Canary, Shape::Rolling],
        Some(routing) if routing.is_switch() => [Shape::BlueGreen; 3],
        Some(_) => [Shape::BlueGreen, Shape::Canary, Shape::Rolling],
    }
}

/// What a level of risk does: what people wrote for this type, or what the preset says.
fn preset(shape: Shape, strategy: &Strategy, context: Context, problems: &mut Vec<Invalid>) -> Way {
    let mut strategy = strategy.clone();
    strategy.type_ = Some(match shape {
        Shape::BlueGreen => StrategyType::BlueGreen,
        Shape::Canary => StrategyType::Canary,
        Shape::Rolling => StrategyType::Rolling,
    });
    if strategy.steps.is_empty() {
        strategy.steps = canary();
    }
    way(&strategy, context, problems)
}

fn canary() -> Vec<RawStep> {
    let steps = CANARY.into_iter().flat_map(|(weight, minutes)| {
        let set_weight = RawStep {
            set_weight: Some(SetWeight { weight }),
            ..RawStep::default()
        };
        let pause = RawStep {
            pause: Some(Pause {
                for_: Some(Duration::from_mins(minutes).into()),
            }),
            ..RawStep::default()
        };
        [set_weight, pause]
    });
    steps.collect()
}

fn rules(of: &Signals, problems: &mut Vec<Invalid>) -> AutoRules {
    let mut lines = Vec::new();
    if let Some(api::ChangedLines { medium, high }) = &of.changed_lines {
        let count = |of: Option<i32>| of.and_then(|count| u64::try_from(count).ok());
        lines.extend(count(*medium).map(|count| (count, RiskLevel::Medium)));
        lines.extend(count(*high).map(|count| (count, RiskLevel::High)));
    }
    let paths = of.changed_paths.iter();
    AutoRules {
        migrations: of.migrations,
        major_version: of.major_version,
        configuration: of.configuration,
        lines,
        paths: paths.map(|rule| (rule.paths.clone(), rule.level)).collect(),
        budget_below: shares("errorBudgetBelow", &of.error_budget_below, problems),
        failure_rate: shares("recentFailureRate", &of.recent_failure_rate, problems),
    }
}

fn shares(
    field: &str,
    of: &BTreeMap<String, RiskLevel>,
    problems: &mut Vec<Invalid>,
) -> Vec<(f64, RiskLevel)> {
    let mut shares = Vec::new();
    for (text, level) in of {
        match text.parse::<f64>() {
            Ok(share) if (0.0..=1.0).contains(&share) => shares.push((share, *level)),
            Ok(_) | Err(_) => problems.push(Invalid::new(
                format!("spec.strategy.auto.signals.{field}"),
                format!("{text} must be a share from 0 to 1, such as \"0.25\""),
            )),
        }
    }
    shares
}

#[cfg(test)]
mod tests;
