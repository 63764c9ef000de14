//! Every strategy becomes one list of steps for one machine: a strategy is a preset, not another way through the code.
//! No I/O.
//!
//! | strategy | becomes |
//! |---|---|
//! | `Canary` | its `steps` |
//! | `BlueGreen` | the preview's pods, `prePromotion`, the gate, all pods, `steps` or all of the traffic, `postPromotion` |
//! | `Rolling` | nothing: traffic goes with the pods, which are replaced a batch at a time |
//! | `Auto` | one of these for every level of risk, see `auto.rs` |
//!
//! To each of them is added what nothing may take over without: the verdict of every metric that no step is about. Those
//! are measured in the background, which may be over before there was a sample.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::super::api::{
    Approve, BlueGreen, Check, PromoteMode, RouteMatch, Step as RawStep, Strategy, StrategyType,
};
use super::{Analysis, Invalid, Routing, division_after, pods};
use crate::check::api::CheckJob;
use crate::model::key::short_hash;
use crate::model::span::span;
use crate::model::weight::Weight;
use crate::traffic::division::{Division, Match};

/// How long a hook may take, where nothing is said.
const RUN_TIMEOUT: Duration = Duration::from_mins(5);

/// One step.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Give the canary this share.
    SetWeight(Weight),
    /// Give the canary at least this many pods.
    Scale(i32),
    /// Send requests that have all of these to the canary; none: no more of that.
    Route(Vec<Match>),
    /// Send copies of this share of the requests to the canary.
    Mirror(Weight),
    /// Wait for this long; `None`: until a person says so.
    Pause(Option<Duration>),
    /// Wait for the verdict of these metrics, and at least this long.
    Analyse {
        /// Their names.
        metrics: Vec<String>,
        /// Shortest time.
        for_at_least: Duration,
        /// Whether counting begins with the step. Else what was counted in the background counts too.
        is_fresh: bool,
    },
    /// Wait for people.
    Approve {
        /// How many.
        required: usize,
        /// In the name of one of these groups; of none in particular when empty.
        groups: Vec<String>,
    },
    /// Run a Job.
    Run {
        /// Name of the hook.
        name: String,
        /// The Job.
        job: CheckJob,
        /// How long it may take.
        timeout: Duration,
    },
}

impl Step {
    /// Hexadecimal digits of a mark.
    pub const MARK: usize = 4;

    /// A mark that tells steps apart, short enough to be remembered. The number of pods of a `Scale` is no part of it:
    /// it may be a percentage of what is scaled meanwhile.
    pub fn mark(&self) -> String {
        let text = match self {
            Self::SetWeight(weight) => format!("setWeight {}", weight.percent()),
            Self::Scale(_) => "scale".to_owned(),
            Self::Route(route) => format!("route {route:?}"),
            Self::Mirror(share) => format!("mirror {}", share.percent()),
            Self::Pause(Some(span)) => format!("pause {}", span.as_millis()),
            Self::Pause(None) => "pause".to_owned(),
            Self::Analyse {
                metrics,
                is_fresh: false,
                ..
            } => format!("verdict {}", metrics.join(",")),
            Self::Analyse {
                metrics,
                for_at_least,
                ..
            } => format!("analyse {} {}", metrics.join(","), for_at_least.as_millis()),
            Self::Approve { required, groups } => {
                format!("approve {required} {}", groups.join(","))
            }
            // Another image or command of a hook that runs is for the next time.
            Self::Run { name, .. } => format!("run {name}"),
        };
        short_hash(text.as_bytes(), Self::MARK)
    }
}

/// As people read it in a list of steps.
impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SetWeight(weight) => write!(f, "setWeight {}", weight.percent()),
            Self::Scale(count) => write!(f, "scale {count}"),
            Self::Route(route) if route.is_empty() => f.write_str("route nothing"),
            Self::Route(route) => {
                let all: Vec<String> = route.iter().map(Match::to_string).collect();
                write!(f, "route {}", all.join(" and "))
            }
            Self::Mirror(share) => write!(f, "mirror {}", share.percent()),
            Self::Pause(Some(time)) => write!(f, "pause {}", span(*time)),
            Self::Pause(None) => f.write_str("pause"),
            Self::Analyse {
                metrics,
                is_fresh: false,
                ..
            } => write!(f, "verdict on {}", metrics.join(", ")),
            Self::Analyse {
                metrics,
                for_at_least,
                ..
            } => {
                write!(f, "analyse {}", metrics.join(", "))?;
                if for_at_least.is_zero() {
                    return Ok(());
                }
                write!(f, " ≥ {}", span(*for_at_least))
            }
            Self::Approve { required, groups } if !groups.is_empty() => {
                write!(f, "approve by {required} of {}", groups.join(" or "))
            }
            Self::Approve { required: 1, .. } => f.write_str("approve by anybody"),
            Self::Approve { required, .. } => write!(f, "approve by {required} people"),
            Self::Run { name, .. } => write!(f, "run {name}"),
        }
    }
}

/// Turns what people wrote into steps, and collects what is wrong with it.
pub(super) struct Compiler<'a> {
    analysis: Option<&'a Analysis>,
    routing: Option<&'a Routing>,
    replicas: i32,
    problems: &'a mut Vec<Invalid>,
    steps: Vec<Step>,
}

impl<'a> Compiler<'a> {
    pub(super) fn new(
        analysis: Option<&'a Analysis>,
        routing: Option<&'a Routing>,
        replicas: i32,
        problems: &'a mut Vec<Invalid>,
    ) -> Self {
        Self {
            analysis,
            routing,
            replicas,
            problems,
            steps: Vec::new(),
        }
    }

    /// The steps of a strategy.
    pub(super) fn steps(mut self, strategy: &Strategy) -> Vec<Step> {
        match strategy.type_.unwrap_or_default() {
            // An Auto is one of the others by then, see `auto.rs`.
            StrategyType::Canary | StrategyType::Auto => {
                self.add_all("spec.strategy.steps", &strategy.steps);
            }
            StrategyType::BlueGreen => {
                self.blue_green(&strategy.blue_green.clone().unwrap_or_default());
            }
            StrategyType::Rolling => {}
        }
        self.add_verdict();
        self.steps
    }

    /// The verdict of every metric that no step is about, under a weight at which it is measured, and while going back is
    /// still a change of weight.
    fn add_verdict(&mut self) {
        let Some(analysis) = self.analysis else {
            return;
        };
        let steps = self.steps.iter();
        let looked_at: BTreeSet<&String> = steps
            .filter_map(|step| match step {
                Step::Analyse { metrics, .. } => Some(metrics),
                Step::SetWeight(_)
                | Step::Scale(_)
                | Step::Route(_)
                | Step::Mirror(_)
                | Step::Pause(_)
                | Step::Approve { .. }
                | Step::Run { .. } => None,
            })
            .flatten()
            .collect();
        let metrics: Vec<String> = analysis
            .deciding()
            .map(|metric| metric.name.clone())
            .filter(|name| !looked_at.contains(name))
            .collect();
        if metrics.is_empty() {
            return;
        }
        if division_after(self.steps.iter()).weight < analysis.start_at {
            self.steps.push(Step::SetWeight(Weight::FULL));
        }
        self.steps.push(Step::Analyse {
            metrics,
            for_at_least: Duration::ZERO,
            is_fresh: false,
        });
    }

    fn blue_green(&mut self, of: &BlueGreen) {
        let path = "spec.strategy.blueGreen";
        let all = IntOrString::String("100%".to_owned());
        let preview = of.preview_replicas.as_ref().unwrap_or(&all);
        self.steps.push(Step::Scale(self.count(preview).max(1)));
        self.add_checks(&format!("{path}.prePromotion"), &of.pre_promotion);
        let promote = of.promote.clone().unwrap_or_default();
        match (promote.mode.unwrap_or_default(), promote.after) {
            (PromoteMode::Manual, _) => self.steps.push(approve(&Approve::default())),
            (PromoteMode::Auto, Some(after)) => self.steps.push(Step::Pause(Some(after.into()))),
            (PromoteMode::Auto, None) => {}
        }
        self.steps.push(Step::Scale(self.replicas));
        self.add_all(&format!("{path}.steps"), &of.steps);
        self.steps.push(Step::SetWeight(Weight::FULL));
        self.add_checks(&format!("{path}.postPromotion"), &of.post_promotion);
    }

    /// A percentage is of `replicas`, and nobody needs more pods than serve.
    fn count(&self, count: &IntOrString) -> i32 {
        pods(count, self.replicas).min(self.replicas)
    }

    fn add_checks(&mut self, path: &str, checks: &[Check]) {
        let steps: Vec<RawStep> = checks.iter().cloned().map(RawStep::from).collect();
        self.add_all(path, &steps);
    }

    fn add_all(&mut self, path: &str, raw: &[RawStep]) {
        for (index, step) in raw.iter().enumerate() {
            let path = format!("{path}[{index}]");
            match self.parse(&path, step) {
                Ok(step) => self.steps.push(step),
                Err(problem) => self.problems.push(problem),
            }
        }
    }

    fn parse(&mut self, path: &str, step: &RawStep) -> Result<Step, Invalid> {
        let RawStep {
            set_weight,
            pause,
            analyse,
            scale,
            route,
            mirror,
            approve: people,
            run,
        } = step;
        let mut all = Vec::new();
        all.extend(
            set_weight
                .iter()
                .map(|set| self.set_weight(path, set.weight)),
        );
        all.extend(
            pause
                .iter()
                .map(|pause| Ok(Step::Pause(pause.for_.map(Duration::from)))),
        );
        all.extend(scale.iter().map(|scale| self.scale(path, &scale.canary)));
        all.extend(route.iter().map(|route| self.route(path, route)));
        all.extend(
            mirror
                .iter()
                .map(|mirror| self.mirror(path, mirror.percent)),
        );
        all.extend(people.iter().map(|people| Ok(approve(people))));
        all.extend(run.iter().map(|run| {
            Ok(Step::Run {
                name: run.name.clone(),
                job: run.job.clone(),
                timeout: run.timeout.map_or(RUN_TIMEOUT, Duration::from),
            })
        }));
        if let Some(analyse) = analyse {
            self.check_metrics(path, &analyse.metrics);
            all.push(Ok(Step::Analyse {
                metrics: analyse.metrics.clone(),
                for_at_least: analyse.for_.map(Duration::from).unwrap_or_default(),
                is_fresh: true,
            }));
        }
        match (all.pop(), all.is_empty()) {
            (Some(step), true) => step,
            _ => Err(Invalid::new(
                path,
                "a step has exactly one of setWeight, pause, analyse, scale, route, mirror, approve, run",
            )),
        }
    }

    fn set_weight(&self, path: &str, weight: i32) -> Result<Step, Invalid> {
        let weight = percent(path, weight)?;
        let is_partial = weight != Weight::ZERO && weight != Weight::FULL;
        if is_partial && self.routing.is_some_and(Routing::is_switch) {
            return Err(Invalid::new(
                format!("{path}.setWeight"),
                "spec.traffic names nothing that divides requests (gatewayAPI, istio, traefik, nginx), so the only \
                 weights are 0 and 100",
            ));
        }
        Ok(Step::SetWeight(weight))
    }

    fn scale(&self, path: &str, canary: &IntOrString) -> Result<Step, Invalid> {
        if self.routing.is_none() {
            return Err(Invalid::new(
                format!("{path}.scale"),
                "scale needs spec.traffic: without it the numbers of pods are the weights",
            ));
        }
        Ok(Step::Scale(self.count(canary)))
    }

    fn route(&self, path: &str, raw: &RouteMatch) -> Result<Step, Invalid> {
        let headers = raw.headers.iter().map(|header| Match::Header {
            name: header.name.to_ascii_lowercase(),
            value: header.value.clone(),
        });
        let cookies = raw.cookies.iter().map(|cookie| Match::Cookie {
            name: cookie.name.clone(),
            value: cookie.value.clone(),
        });
        let mut route: Vec<Match> = headers.chain(cookies).collect();
        route.sort();
        let division = Division {
            route: route.clone(),
            ..Division::NONE
        };
        self.check_support(&format!("{path}.route"), &division)?;
        Ok(Step::Route(route))
    }

    fn mirror(&self, path: &str, share: i32) -> Result<Step, Invalid> {
        let mirror = percent(path, share)?;
        let division = Division {
            mirror,
            ..Division::NONE
        };
        self.check_support(&format!("{path}.mirror"), &division)?;
        Ok(Step::Mirror(mirror))
    }

    /// Every router has to be able to do it.
    fn check_support(&self, path: &str, division: &Division) -> Result<(), Invalid> {
        let routers = self.routing.map(|routing| routing.routers.as_slice());
        let Some(routers) = routers.filter(|routers| !routers.is_empty()) else {
            return Err(Invalid::new(
                path,
                "needs something in spec.traffic that divides requests: gatewayAPI, istio or nginx",
            ));
        };
        let mut problems = routers
            .iter()
            .filter_map(|router| router.supports(division).err());
        problems
            .next()
            .map_or(Ok(()), |problem| Err(Invalid::new(path, problem)))
    }

    fn check_metrics(&mut self, path: &str, names: &[String]) {
        for name in names {
            let known = self.analysis.and_then(|analysis| analysis.metric(name));
            if known.is_none() {
                self.problems.push(Invalid::new(
                    format!("{path}.analyse.metrics"),
                    format!(
                        "there is no metric {name} in spec.analysis.metrics or in one of its templates; add it there"
                    ),
                ));
            }
        }
    }
}

fn percent(path: &str, percent: i32) -> Result<Weight, Invalid> {
    Weight::new(i64::from(percent)).ok_or_else(|| Invalid::new(path, "must be 0 to 100 percent"))
}

fn approve(of: &Approve) -> Step {
    let required = of.required.and_then(|count| usize::try_from(count).ok());
    Step::Approve {
        required: required.unwrap_or(1),
        groups: of.groups.clone(),
    }
}
