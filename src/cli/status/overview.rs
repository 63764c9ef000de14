//! How objects of several kinds stand, a line each. No I/O.

use std::collections::BTreeMap;

use kube::ResourceExt;
use serde::Serialize;
use serde_json::Value;

use super::pipeline;
use crate::cli::run::table::short;
use crate::cli::standing::{self, Standing};
use crate::cli::text::{Cell, Palette, Table};
use crate::environment::api::Environment;
use crate::pipeline::api::{Pipeline, RunSummary};
use crate::pipeline_run::api::PipelineRun;
use crate::promotion::api::Promotion;
use crate::rollout::api::Rollout;

/// How one object stands.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Line {
    /// Its API group and version.
    pub api_version: String,
    /// Its kind.
    pub kind: &'static str,
    /// Its name, and its namespace.
    pub metadata: Name,
    /// How it stands.
    pub standing: Standing,
    /// Where it is, in its own word; of a Pipeline the reason of its condition `Ready`.
    pub phase: String,
    /// Why it is bad, in one word: of an Environment that of its last promotion, of a Pipeline that its repository does not answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Why.
    pub message: String,
    /// Of a Pipeline: the newest commit of its branch that was seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// Of a Pipeline: its newest run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_run: Option<RunSummary>,
}

/// A name and a namespace.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Name {
    /// The name.
    pub name: String,
    /// The namespace.
    pub namespace: String,
}

impl Line {
    /// The same, under way where something is still to be taken in.
    #[must_use]
    pub fn underway_if(mut self, is_awaited: bool) -> Self {
        if is_awaited {
            self.standing = Standing::Underway;
        }
        self
    }

    /// The same, with more to say.
    #[must_use]
    pub fn and(mut self, more: &str) -> Self {
        if !self.message.is_empty() {
            self.message.push_str("; ");
        }
        self.message.push_str(more);
        self
    }
}

fn line<K: kube::Resource<DynamicType = ()>>(
    object: &K,
    kind: &'static str,
    standing: Standing,
    (phase, message): (&str, Option<&String>),
) -> Line {
    Line {
        api_version: K::api_version(&()).into_owned(),
        kind,
        metadata: Name {
            name: object.name_any(),
            namespace: object.namespace().unwrap_or_default(),
        },
        standing,
        phase: phase.to_owned(),
        reason: None,
        message: message.cloned().unwrap_or_default(),
        commit: None,
        last_run: None,
    }
}

impl From<&Environment> for Line {
    fn from(of: &Environment) -> Self {
        let status = of.status.as_ref();
        let phase = status.and_then(|status| status.phase).unwrap_or_default();
        let message = status.and_then(|status| status.message.as_ref());
        let standing = standing::of_environment(of);
        let line = line(of, "Environment", standing, (phase.as_str(), message));
        let failure = standing::last_failure(of).filter(|_| standing == Standing::Bad);
        let Some(failure) = failure else { return line };
        let reason = failure.reason.clone();
        let told = format!("last promotion: {reason}: {}", failure.message);
        Line {
            reason: Some(reason),
            ..line.and(&told)
        }
    }
}

impl From<&Pipeline> for Line {
    fn from(of: &Pipeline) -> Self {
        let status = of.status.clone().unwrap_or_default();
        let standing = standing::of_pipeline(of);
        let phase = pipeline::state(of);
        let line = line(of, "Pipeline", standing, (phase, status.message.as_ref()));
        let (commit, last_run) = (status.last_observed_sha, status.last_run);
        let error = status.source_error.filter(|_| standing == Standing::Bad);
        let Some(error) = error else {
            return Line {
                commit,
                last_run,
                ..line
            };
        };
        // Of one that answers, its own message has both.
        let none = || "none".to_owned();
        let seen = commit.as_deref().map_or_else(none, short);
        let run = last_run.as_ref();
        let run = run.map_or_else(none, |run| format!("{} is {}", run.name, run.phase));
        let told = format!("newest commit seen: {seen}; newest run: {run}");
        Line {
            reason: Some(error.kind.to_string()),
            commit,
            last_run,
            ..line.and(&told)
        }
    }
}

impl From<&Rollout> for Line {
    fn from(of: &Rollout) -> Self {
        let status = of.status.as_ref();
        let phase = status.and_then(|status| status.phase).unwrap_or_default();
        let message = status.and_then(|status| status.message.as_ref());
        line(
            of,
            "Rollout",
            standing::of_rollout(of),
            (phase.as_str(), message),
        )
    }
}

impl From<&PipelineRun> for Line {
    fn from(of: &PipelineRun) -> Self {
        let status = of.status.as_ref();
        let phase = status.and_then(|status| status.phase).unwrap_or_default();
        let message = status.and_then(|status| status.message.as_ref());
        line(
            of,
            "PipelineRun",
            standing::of_run(of),
            (phase.as_str(), message),
        )
    }
}

impl From<&Promotion> for Line {
    fn from(of: &Promotion) -> Self {
        let status = of.status.as_ref();
        let phase = status.and_then(|status| status.phase).unwrap_or_default();
        let message = status.and_then(|status| status.message.as_ref());
        let standing = standing::of_promotion(of);
        line(of, "Promotion", standing, (phase.as_str(), message))
    }
}

/// The newest run of each Pipeline.
pub fn newest(runs: &[PipelineRun]) -> Vec<&PipelineRun> {
    let mut newest: BTreeMap<_, &PipelineRun> = BTreeMap::new();
    for run in runs {
        let pipeline = (run.namespace(), run.spec.pipeline_ref.name.as_str());
        let known = newest.entry(pipeline).or_insert(run);
        if known.creation_timestamp() < run.creation_timestamp() {
            *known = run;
        }
    }
    newest.into_values().collect()
}

/// How all together stand, where `first` counts most: then what is bad, what waits, what is under way, and what is well.
pub fn worst(lines: &[Line], first: Standing) -> Option<Standing> {
    let order = [
        first,
        Standing::Bad,
        Standing::Waiting,
        Standing::Underway,
        Standing::Well,
    ];
    let is_there = |standing: &Standing| lines.iter().any(|line| line.standing == *standing);
    order.into_iter().find(is_there)
}

/// For people.
pub fn page(lines: &[Line], is_everywhere: bool, palette: Palette) -> String {
    let mut table = Table::new(&["KIND", "NAME", "STANDING", "PHASE", "MESSAGE"], &[]);
    for line in lines {
        table.row([
            line.kind.into(),
            line.metadata.name.as_str().into(),
            Cell::new(line.standing.tone(), line.standing.as_str()),
            line.phase.as_str().into(),
            line.message.as_str().into(),
        ]);
    }
    if is_everywhere {
        let spaces = lines.iter().map(|line| line.metadata.namespace.as_str());
        let cells = spaces.map(Cell::from);
        table.in_front(std::iter::once(Cell::heading("NAMESPACE")).chain(cells));
    }
    table.text(palette)
}

/// All of a kind, for programs.
pub fn objects<K: Serialize>(of: &[K]) -> impl Iterator<Item = Value> {
    of.iter().filter_map(|of| serde_json::to_value(of).ok())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cli::ObjectOutput;
    use crate::rollout::explain::testing::story;

    fn run(name: &str, at: &str, phase: &str) -> PipelineRun {
        let run = json!({
            "apiVersion": "slipway.dev/v1alpha1", "kind": "PipelineRun",
            "metadata": {"name": name, "namespace": "shop", "creationTimestamp": at},
            "spec": {"pipelineRef": {"name": "shop"}, "ref": "refs/heads/main", "trigger": {"kind": "Push", "actor": "slipway"}},
            "status": {"phase": phase, "message": "stage unit: 1 of 12 tests failed"},
        });
        serde_json::from_value(run).unwrap()
    }

    #[test]
    fn what_is_worst_counts_and_of_runs_the_newest() {
        let runs = [
            run("shop-7", "2026-11-26T10:00:00Z", "Succeeded"),
            run("shop-8", "2026-11-26T11:00:00Z", "Failed"),
        ];
        let found = newest(&runs);
        assert_eq!(found[0].name_any(), "shop-8");
        let lines = [
            Line::from(&story("waits for approvals").rollout()),
            Line::from(&shop(
                &json!({"sourceError": {"kind": "Unreachable", "message": "git.example does not answer"}}),
            )),
            Line::from(found[0]),
        ];
        assert_eq!(worst(&lines, Standing::Bad), Some(Standing::Bad));
        assert_eq!(worst(&lines, Standing::Underway), Some(Standing::Bad));
        assert_eq!(worst(&lines[..1], Standing::Bad), Some(Standing::Waiting));
        assert_eq!(worst(&[], Standing::Bad), None);
        insta::assert_snapshot!(page(&lines, true, Palette::new(false)));
        let names = ObjectOutput::Name.document(&lines.as_slice()).unwrap();
        assert_eq!(
            names,
            "rollout.slipway.dev/api\npipeline.slipway.dev/shop\npipelinerun.slipway.dev/shop-8\n"
        );
    }

    /// A Pipeline at a commit that has had its run.
    fn shop(more: &Value) -> Pipeline {
        let (phase, message) = match more["sourceError"]["message"].as_str() {
            Some(why) => ("SourceUnavailable", format!("{why}; asked again every 30s")),
            None => (
                "Watching",
                "main is at 3f9c2e1b0d3f, asked every 30s".to_owned(),
            ),
        };
        let is_ready = if phase == "Watching" { "True" } else { "False" };
        let mut pipeline = json!({
            "apiVersion": "slipway.dev/v1alpha1", "kind": "Pipeline",
            "metadata": {"name": "shop", "namespace": "shop", "generation": 1},
            "spec": {"source": {"git": {"url": "https://git.example/shop.git"}}, "stages": []},
            "status": {
                "observedGeneration": 1, "message": message, "lastObservedSha": "3f9c2e1b0d3f".repeat(3),
                "lastRun": {"name": "shop-8", "phase": "Failed"},
                "conditions": [{"type": "Ready", "status": is_ready, "reason": phase, "message": message,
                                "lastTransitionTime": "2026-11-26T10:00:00Z"}],
            },
        });
        for (field, value) in more.as_object().unwrap() {
            pipeline["status"][field] = value.clone();
        }
        serde_json::from_value(pipeline).unwrap()
    }

    #[test]
    fn a_pipeline_tells_its_commit_its_run_and_why_nobody_sees_another() {
        let line = Line::from(&shop(&json!({})));
        assert_eq!(line.standing, Standing::Well);
        assert_eq!(line.phase, "Watching");
        let told = serde_json::to_value(&line).unwrap();
        assert_eq!(told["commit"], "3f9c2e1b0d3f".repeat(3));
        assert_eq!(told["lastRun"]["name"], "shop-8");
        assert_eq!(told.get("reason"), None);
        let away = json!({"sourceError": {"kind": "Timeout", "message": "no answer in 10s"}});
        let line = Line::from(&shop(&away));
        assert_eq!(line.standing, Standing::Bad);
        assert_eq!(line.reason.as_deref(), Some("Timeout"));
        let words = "no answer in 10s; asked again every 30s; newest commit seen: 3f9c2e1b0d3f; newest run: shop-8 is Failed";
        assert_eq!(line.message, words);
    }

    #[test]
    fn an_environment_that_went_back_says_why() {
        let environment = |last: &str| {
            let environment = json!({
                "apiVersion": "slipway.dev/v1alpha1", "kind": "Environment",
                "metadata": {"name": "production", "namespace": "shop", "generation": 1},
                "spec": {"tier": "Production", "promotion": {"from": {"pipelines": ["shop"]}}},
                "status": {
                    "observedGeneration": 1, "phase": "Steady", "message": "shop-3 runs",
                    "conditions": [{"type": "LastPromotion", "status": last, "reason": "SmokeFailed",
                                    "message": "shop-4 (Promotion production-4): /orders said 500",
                                    "lastTransitionTime": "2026-11-26T10:00:00Z"}],
                },
            });
            let environment: Environment = serde_json::from_value(environment).unwrap();
            Line::from(&environment)
        };
        let line = environment("False");
        assert_eq!(line.standing, Standing::Bad);
        assert_eq!(line.reason.as_deref(), Some("SmokeFailed"));
        let words = "shop-3 runs; last promotion: SmokeFailed: shop-4 (Promotion production-4): /orders said 500";
        assert_eq!(line.message, words);
        assert_eq!(environment("True").message, "shop-3 runs");
    }
}
