//! Every series, as data: the registry is filled from it, and docs/reference/metrics.md, the rules of alerts and the dashboards
//! are checked against it. Names, types and labels are an interface: none is renamed. No I/O.

use std::fmt::Write;

use prometheus::Opts;

use crate::dora::Window;
use crate::environment::api::{EnvironmentPhase, SloState};
use crate::pipeline_run::api::RunPhase;
use crate::promotion::api::{PromotionKind, PromotionPhase};
use crate::rollout::api::{EndingResult, Phase};

/// What stands before the name of every series.
pub const PREFIX: &str = "slipway";

/// What kind of number a series is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SeriesType {
    /// It only grows, and begins anew with the process.
    Counter,
    /// It goes up and down.
    Gauge,
    /// Numbers of observations in buckets, their sum and how many there were.
    Histogram,
}

impl SeriesType {
    /// As Prometheus writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// What values a label has.
#[derive(Clone, Copy, Debug)]
pub enum Values {
    /// Words that stand here.
    Words(&'static [&'static str]),
    /// Words of a type.
    Set(fn() -> Vec<&'static str>),
    /// Names that people gave, or what is said of them here.
    Names(&'static str),
}

/// A label of a series.
#[derive(Clone, Copy, Debug)]
pub struct Label {
    /// Its name.
    pub name: &'static str,
    /// What it may say.
    pub values: Values,
}

impl Label {
    /// Every word that it may say; nothing, where that is not a closed set.
    pub fn words(&self) -> Option<Vec<&'static str>> {
        match self.values {
            Values::Words(words) => Some(words.to_vec()),
            Values::Set(words) => Some(words()),
            Values::Names(_) => None,
        }
    }
}

/// A series.
#[derive(Clone, Copy, Debug)]
pub struct Series {
    /// Its name, without [`PREFIX`].
    pub name: &'static str,
    /// What kind of number it is.
    pub type_: SeriesType,
    /// Its labels.
    pub labels: &'static [Label],
    /// What it says, in a sentence.
    pub help: &'static str,
}

impl Series {
    /// Its name as it is served.
    pub fn full_name(&self) -> String {
        format!("{PREFIX}_{}", self.name)
    }

    /// Name and help, as the library wants them.
    pub fn opts(&self) -> Opts {
        Opts::new(self.name, self.help)
    }

    /// The names of its labels.
    pub fn label_names(&self) -> Vec<&'static str> {
        self.labels.iter().map(|label| label.name).collect()
    }
}

const fn words(name: &'static str, words: &'static [&'static str]) -> Label {
    let values = Values::Words(words);
    Label { name, values }
}

const fn set(name: &'static str, words: fn() -> Vec<&'static str>) -> Label {
    let values = Values::Set(words);
    Label { name, values }
}

const fn names(name: &'static str, of: &'static str) -> Label {
    let values = Values::Names(of);
    Label { name, values }
}

const KIND: Label = names("kind", "a kind of object");
const NAMESPACE: Label = names("namespace", "");
const NAME: Label = names("name", "");
const ENVIRONMENT: Label = names("environment", "");
const SLO: Label = names("slo", "");
const WINDOW: Label = set("window", || {
    Window::ALL.iter().map(|word| word.as_str()).collect()
});
const PROMOTION_KIND: Label = set("kind", || {
    let all = PromotionKind::ALL.iter();
    all.map(|word| word.as_str()).collect()
});
const PROMOTION_RESULT: Label = set("result", || {
    let all = PromotionPhase::ALL.iter();
    let ends = all.filter(|phase| phase.is_finished());
    ends.map(|word| word.as_str()).collect()
});
const RUN_RESULT: Label = set("result", || {
    let ends = RunPhase::ALL.iter().filter(|phase| phase.is_finished());
    ends.map(|word| word.as_str()).collect()
});
const CHANGE_RESULT: Label = set("result", || {
    EndingResult::ALL.iter().map(|word| word.as_str()).collect()
});

const VERSION: Label = names("version", "of the operator");
const OUTCOME: Label = words("outcome", &["ok", "error"]);
const ERROR: Label = words(
    "reason",
    &[
        "Conflict",
        "ForeignObject",
        "ClusterAway",
        "ApiError",
        "Observe",
        "Deadline",
        "Endless",
        "Panic",
    ],
);
const VERB: Label = words(
    "verb",
    &[
        "apply", "create", "patch", "status", "delete", "evict", "mirror", "fetch",
    ],
);
const OP: Label = names("op", "what was asked");
const CODE: Label = names("code", "of HTTP; 0: no answer");
const PROVIDER: Label = words("provider", &["github", "gitlab", "gitea", "unknown"]);
const HOOK_OUTCOME: Label = words(
    "outcome",
    &[
        "started",
        "known",
        "ignored",
        "later",
        "refused",
        "stale",
        "unauthenticated",
    ],
);
const ALERT_OUTCOME: Label = words(
    "outcome",
    &["recorded", "later", "refused", "unauthenticated"],
);
const PIPELINE: Label = names("pipeline", "");
const GATE: Label = names("gate", "");
const BURN_WINDOW: Label = names("window", "as the SLO has it, such as 1h");
const ENVIRONMENT_PHASE_WORDS: Label = set("phase", || {
    let all = EnvironmentPhase::ALL.iter();
    all.map(|word| word.as_str()).collect()
});
const ROLLOUT_PHASE_WORDS: Label = set("phase", || {
    Phase::ALL.iter().map(|word| word.as_str()).collect()
});
const SLO_STATE_WORDS: Label = set("state", || {
    SloState::ALL.iter().map(|word| word.as_str()).collect()
});

const fn counter(name: &'static str, labels: &'static [Label], help: &'static str) -> Series {
    Series {
        name,
        type_: SeriesType::Counter,
        labels,
        help,
    }
}

const fn gauge(name: &'static str, labels: &'static [Label], help: &'static str) -> Series {
    Series {
        name,
        type_: SeriesType::Gauge,
        labels,
        help,
    }
}

const fn histogram(name: &'static str, labels: &'static [Label], help: &'static str) -> Series {
    Series {
        name,
        type_: SeriesType::Histogram,
        labels,
        help,
    }
}

macro_rules! series {
    ($list:ident: $(#[$doc:meta])* $($name:ident = $make:ident($text:literal, [$($label:ident),*], $help:literal);)+) => {
        $(
            #[doc = $help]
            pub const $name: Series = $make($text, &[$($label),*], $help);
        )+
        $(#[$doc])*
        pub const $list: &[Series] = &[$($name),+];
    };
}

series! {
    OPERATOR:
    /// What tells how the operator is.
    BUILD = gauge("build_info", [VERSION], "1, with the version of the operator.");
    LEADER = gauge("leader", [], "1 while this process leads.");
    RECONCILES = counter("reconcile_total", [KIND, OUTCOME], "Reconciles by outcome.");
    RECONCILE_SECONDS = histogram("reconcile_duration_seconds", [KIND], "Time of a reconcile.");
    RECONCILE_ERRORS = counter("reconcile_errors_total", [KIND, ERROR],
        "Reconciles that failed, by what failed. Conflict is a lost race and harmless.");
    RECONCILE_PANICS = counter("reconcile_panics_total", [KIND],
        "Panics that were caught: each is a bug.");
    ACTIONS = counter("actions_total", [KIND, VERB], "Actions that were tried, by verb.");
    ACTION_FAILED = gauge("action_failed", [KIND, NAMESPACE, NAME],
        "1 while what an object needs cannot be done: the last write for it was refused.");
    QUEUE_READY = gauge("queue_ready", [KIND], "Objects that wait for a worker.");
    QUEUE_OLDEST = gauge("queue_oldest_seconds", [KIND],
        "How long the object that waits longest has waited for a worker.");
    PLAN_SECONDS = histogram("plan_duration_seconds", [], "Time spent deciding.");
    KUBE_SECONDS = histogram("kube_request_duration_seconds", [OP, CODE],
        "Requests to the API server.");
    WATCH_EVENTS = counter("watch_events_total", [KIND], "Watch events received.");
    WATCH_ERRORS = counter("watch_errors_total", [KIND],
        "Watches that were interrupted; a few are normal.");
    WEBHOOKS = counter("webhook_deliveries_total", [PROVIDER, HOOK_OUTCOME],
        "What git providers sent, by what became of it.");
    ALERT_DELIVERIES = counter("alert_deliveries_total", [ALERT_OUTCOME],
        "What Alertmanagers sent, by what became of it.");
}

series! {
    DELIVERIES:
    /// What tells how deliveries go.
    RUNS = counter("runs_total", [NAMESPACE, PIPELINE, RUN_RESULT], "Runs of Pipelines that ended.");
    RUN_SECONDS = histogram("run_duration_seconds", [RUN_RESULT],
        "Time from the first stage of a run to its end.");
    PROMOTIONS = counter("promotions_total",
        [NAMESPACE, ENVIRONMENT, PROMOTION_KIND, PROMOTION_RESULT], "Promotions that ended.");
    PROMOTION_WAIT = histogram("promotion_wait_seconds", [PROMOTION_KIND],
        "Time from when a promotion was asked for until it started to change what runs.");
    PROMOTION_SECONDS = histogram("promotion_duration_seconds", [PROMOTION_KIND, PROMOTION_RESULT],
        "Time from when a promotion started to change what runs until it ended.");
    ENVIRONMENT_PHASE = gauge("environment_phase", [NAMESPACE, ENVIRONMENT, ENVIRONMENT_PHASE_WORDS],
        "1 for the phase that the Environment is in.");
    GATE_WAITING = gauge("environment_gate_waiting", [NAMESPACE, ENVIRONMENT, GATE],
        "1 for each gate that the next promotion waits for.");
    OPEN_INCIDENTS = gauge("environment_open_incidents", [NAMESPACE, ENVIRONMENT],
        "Open incidents of the promotions of an Environment.");
    ROLLOUT_PHASE = gauge("rollout_phase", [NAMESPACE, NAME, ROLLOUT_PHASE_WORDS],
        "1 for the phase that the Rollout is in.");
    ROLLOUT_WEIGHT = gauge("rollout_traffic_weight", [NAMESPACE, NAME],
        "Percent of the traffic that the canary has.");
    CHANGES = counter("rollout_changes_total", [NAMESPACE, NAME, CHANGE_RESULT],
        "Changes of Rollouts that ended.");
    CHANGE_SECONDS = histogram("rollout_change_duration_seconds", [CHANGE_RESULT],
        "Time from the beginning of a change of a Rollout to its end.");
    SLO_BURN_RATE = gauge("slo_burn_rate", [NAMESPACE, ENVIRONMENT, SLO, BURN_WINDOW],
        "How many times as fast as the objective allows the error budget burns.");
    SLO_BUDGET = gauge("slo_error_budget_remaining_ratio", [NAMESPACE, ENVIRONMENT, SLO],
        "Share of the error budget that is left.");
    SLO_STATE = gauge("slo_state", [NAMESPACE, ENVIRONMENT, SLO, SLO_STATE_WORDS],
        "1 for the state that the SLO is in.");
    DORA_DEPLOYMENTS = gauge("dora_deployments", [NAMESPACE, ENVIRONMENT, WINDOW],
        "Promotions forward that succeeded in the window.");
    DORA_PER_DAY = gauge("dora_deployments_per_day", [NAMESPACE, ENVIRONMENT, WINDOW],
        "The same per day.");
    DORA_LEAD_TIME = gauge("dora_lead_time_seconds", [NAMESPACE, ENVIRONMENT, WINDOW],
        "Median time from a commit to its deployment.");
    DORA_FAILURES = gauge("dora_change_failure_ratio", [NAMESPACE, ENVIRONMENT, WINDOW],
        "Share of the changes that failed.");
    DORA_RECOVERY = gauge("dora_recovery_time_seconds", [NAMESPACE, ENVIRONMENT, WINDOW],
        "Median time from a failure until something good served again.");
    DORA_REWORK = gauge("dora_rework_ratio", [NAMESPACE, ENVIRONMENT, WINDOW],
        "Share of the deployments that nobody had planned.");
}

/// Every series.
pub fn all() -> impl Iterator<Item = &'static Series> {
    OPERATOR.iter().chain(DELIVERIES)
}

/// The list of that name, as a page names it.
pub fn list(name: &str) -> Option<&'static [Series]> {
    match name {
        "operator" => Some(OPERATOR),
        "deliveries" => Some(DELIVERIES),
        _ => None,
    }
}

/// A table for people.
pub fn table(list: &[Series]) -> String {
    let mut table = String::from("\n| series | type | labels | meaning |\n|---|---|---|---|\n");
    for series in list {
        let labels: Vec<String> = series.labels.iter().map(shown).collect();
        let labels = if labels.is_empty() {
            "–".to_owned()
        } else {
            labels.join(", ")
        };
        let (name, type_, help) = (series.full_name(), series.type_.as_str(), series.help);
        // Writing to a String cannot fail.
        let _ = writeln!(table, "| `{name}` | {type_} | {labels} | {help} |");
    }
    table.push('\n');
    table
}

fn shown(label: &Label) -> String {
    let said = match (label.words(), label.values) {
        (Some(words), _) => {
            let words: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
            words.join(", ")
        }
        (None, Values::Names(of)) => of.to_owned(),
        (None, Values::Words(_) | Values::Set(_)) => String::new(),
    };
    if said.is_empty() {
        return format!("`{}`", label.name);
    }
    format!("`{}` ({said})", label.name)
}
