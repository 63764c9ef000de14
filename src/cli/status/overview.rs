//! How objects of several kinds stand, a line each. No I/O.

use std::collections::BTreeMap;

use kube::ResourceExt;
use serde::Serialize;
use serde_json::Value;

use crate::cli::standing::{self, Standing};
use crate::cli::text::{Cell, Palette, Table};
use crate::environment::api::Environment;
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
    /// Where it is, in its own word.
    pub phase: &'static str,
    /// Why.
    pub message: String,
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
}

fn line<K: kube::Resource<DynamicType = ()>>(
    object: &K,
    kind: &'static str,
    standing: Standing,
    (phase, message): (&'static str, Option<&String>),
) -> Line {
    Line {
        api_version: K::api_version(&()).into_owned(),
        kind,
        metadata: Name {
            name: object.name_any(),
            namespace: object.namespace().unwrap_or_default(),
        },
        standing,
        phase,
        message: message.cloned().unwrap_or_default(),
    }
}

impl From<&Environment> for Line {
    fn from(of: &Environment) -> Self {
        let status = of.status.as_ref();
        let phase = status.and_then(|status| status.phase).unwrap_or_default();
        let message = status.and_then(|status| status.message.as_ref());
        let standing = standing::of_environment(of);
        line(of, "Environment", standing, (phase.as_str(), message))
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
            line.phase.into(),
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

/// All of them, for programs.
pub fn objects(
    environments: &[Environment],
    rollouts: &[Rollout],
    runs: &[PipelineRun],
) -> Vec<Value> {
    let mut all: Vec<Value> = Vec::new();
    all.extend(
        environments
            .iter()
            .filter_map(|of| serde_json::to_value(of).ok()),
    );
    all.extend(
        rollouts
            .iter()
            .filter_map(|of| serde_json::to_value(of).ok()),
    );
    all.extend(runs.iter().filter_map(|of| serde_json::to_value(of).ok()));
    all
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
            "rollout.slipway.dev/api\npipelinerun.slipway.dev/shop-8\n"
        );
    }
}
