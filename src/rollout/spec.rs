//! From what people wrote to what the planner works on. After this there is no raw spec. No I/O.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::ResourceExt;
use serde_json::Value;

use super::adopt::{self, Workload};
use super::api::{
    DeletionPolicy, FailureReason, Rollout, RolloutSpec, StableScale, Strategy, StrategyType,
};
use super::config::{self, Named, Snapshot, Sources};
use super::template::Offer;
use crate::analysis::template::Templates;
pub use crate::model::invalid::Invalid;
use crate::model::key::Key;
use crate::model::revision::Revision;
use crate::model::weight::Weight;
use crate::model::workload::Deployment;
use crate::traffic::division::Division;
pub use analysis::Analysis;
use auto::Context;
pub use auto::{ByRisk, Way};
pub use compile::Step;
pub use routing::Routing;

mod analysis;
mod auto;
mod compile;
mod pod;
mod routing;

/// Time for which a pod goes on serving while it ends, where nothing is said.
const DRAIN: Duration = Duration::from_secs(30);

/// A Rollout's spec that can be worked on.
#[derive(Clone, Debug, PartialEq)]
pub struct Spec {
    /// Pods that serve.
    pub replicas: i32,
    /// Labels that select them.
    pub selector: BTreeMap<String, String>,
    /// The pod template as it will be created, but for the revision's own label.
    pub template: Value,
    /// Identity of the template.
    pub revision: Revision,
    /// Whether the pods are those of a Deployment, whose label tells its ReplicaSets apart.
    pub is_adopted: bool,
    /// Images by container.
    pub images: BTreeMap<String, String>,
    /// Copies of ConfigMaps and Secrets that the template in the spec reads.
    pub snapshots: Vec<Snapshot>,
    /// The copies that the template reads, by name: those, unless it is one that was kept.
    pub copies: Vec<Named>,
    /// Id of the template, where an Environment decides which it is.
    pub worn: Option<String>,
    /// See the field of the same name in the API.
    pub min_ready_seconds: i32,
    /// Time without progress after which the revision is given up.
    pub progress_deadline: Duration,
    /// Old revisions that are kept.
    pub history_limit: usize,
    /// What becomes of the pods at the end.
    pub deletion_policy: DeletionPolicy,
    /// Everything is held where it is.
    pub is_paused: bool,
    /// Whether it is what people wrote; else it is what is left of that without what is wrong, good for holding what is
    /// there and for the way back.
    pub is_sound: bool,
    /// Pods above `replicas`, already a number.
    pub max_surge: i32,
    /// Pods below `replicas`, already a number.
    pub max_unavailable: i32,
    /// What is done one after the other, whatever the strategy.
    pub steps: Vec<Step>,
    /// How many pods stable keeps while it has not all of the traffic.
    pub stable_scale: StableScale,
    /// Pods that are replaced at the same time, where traffic goes with the pods.
    pub batch: Option<Batch>,
    /// What of this is different at other levels of risk; these are those of a medium one.
    pub by_risk: Option<ByRisk>,
    /// How long the revision before stays at full size.
    pub keep_old_for: Duration,
    /// Failures that take a change back; the others hold it.
    pub rollback_on: BTreeSet<FailureReason>,
    /// Revisions that are gone back to without steps.
    pub rollback_window: usize,
    /// How requests reach the pods; `None`: weights are ratios of pods.
    pub routing: Option<Routing>,
    /// Time for which what lost its traffic goes on serving.
    pub drain: Duration,
    /// What is measured.
    pub analysis: Option<Analysis>,
}

/// Pods that are replaced at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Batch {
    /// How many.
    pub size: i32,
    /// Whether all of them have to be available before the next ones start.
    pub is_checked: bool,
}

/// What a spec is read with, besides itself.
#[derive(Clone, Debug, Default)]
pub struct Around {
    /// Namespace and name of the Rollout.
    pub key: Key,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// What is in the ConfigMaps and Secrets of which it gets copies.
    pub sources: Sources,
    /// The AnalysisTemplates that it may name.
    pub templates: Templates,
    /// The Deployment that it names.
    pub deployment: Option<Arc<Deployment>>,
}

impl Around {
    /// What the Rollout itself says.
    pub fn of(rollout: &Rollout) -> Self {
        Self {
            key: Key::of(rollout),
            labels: rollout.labels().clone(),
            ..Self::default()
        }
    }
}

/// Images that a Release brings, by container. Empty where images stand in the template.
pub type Images = BTreeMap<String, String>;

impl Spec {
    /// Parses a spec, with the images that its Environment wants.
    ///
    /// # Errors
    /// Everything that is wrong, not only the first.
    pub fn parse(raw: &RolloutSpec, images: &Images) -> Result<Self, Vec<Invalid>> {
        Self::parse_with(raw, images, &Around::default())
    }

    /// The same, with what it refers to.
    ///
    /// # Errors
    /// Everything that is wrong, not only the first.
    pub fn parse_with(
        raw: &RolloutSpec,
        images: &Images,
        around: &Around,
    ) -> Result<Self, Vec<Invalid>> {
        let (spec, problems) = Self::read_with(raw, images, around);
        if problems.is_empty() {
            Ok(spec)
        } else {
            Err(problems)
        }
    }

    /// What can be read of a spec, and what is wrong with it: steps and metrics that are, are left out.
    pub fn read(raw: &RolloutSpec, images: &Images) -> (Self, Vec<Invalid>) {
        Self::read_with(raw, images, &Around::default())
    }

    /// The same, with what it refers to.
    pub fn read_with(raw: &RolloutSpec, images: &Images, around: &Around) -> (Self, Vec<Invalid>) {
        let mut problems = Vec::new();
        let deployment = around.deployment.as_deref();
        let mut workload = adopt::workload(raw, deployment, &mut problems);
        let replicas = raw.replicas.or(workload.replicas).unwrap_or(1);
        let strategy = raw.strategy.clone().unwrap_or_default();
        let (max_surge, max_unavailable) = budgets(
            strategy.max_surge.as_ref(),
            strategy.max_unavailable.as_ref(),
            replicas,
        );
        let keep_old_for = strategy.keep_old_for.map(Duration::from);
        let drain = drain(raw);
        let images = pod::complete(&mut workload, raw, images, drain, &mut problems);
        let Workload {
            mut template,
            selector,
            ..
        } = workload;
        let analysis = analysis::parse(raw, around, &images, &mut problems);
        let routing = raw.traffic.as_ref().map(Routing::of);
        let context = Context {
            analysis: analysis.as_ref(),
            routing: routing.as_ref(),
            replicas,
        };
        let (way, by_risk) = auto::compile(&strategy, context, &mut problems);
        routing::check_strategy(&strategy, routing.as_ref(), &mut problems);
        let (rollout, sources) = (&around.key.name, &around.sources);
        let snapshots = config::copy(&mut template, raw, rollout, sources, &mut problems);
        let spec = Self {
            is_sound: problems.is_empty(),
            replicas,
            selector,
            is_adopted: raw.workload_ref.is_some(),
            revision: Revision::of_template(&template),
            template,
            images,
            copies: snapshots.iter().map(|copy| copy.of.clone()).collect(),
            snapshots,
            worn: None,
            min_ready_seconds: raw.min_ready_seconds.unwrap_or(0),
            progress_deadline: seconds(raw.progress_deadline_seconds.unwrap_or(600)),
            history_limit: usize::try_from(raw.revision_history_limit.unwrap_or(10)).unwrap_or(0),
            deletion_policy: raw.policy_of_deletion(),
            is_paused: raw.paused.unwrap_or(false),
            max_surge,
            max_unavailable,
            steps: way.steps,
            stable_scale: way.stable_scale,
            batch: way.batch,
            by_risk,
            keep_old_for: keep_old_for.unwrap_or_default(),
            rollback_on: rollback_on(raw),
            rollback_window: rollback_window(raw),
            routing,
            drain,
            analysis,
        };
        (spec, problems)
    }

    /// What goes on although the spec is unsound: `revision` stays where it is, held, unless it has to go back. Its template is
    /// not the one in here.
    #[must_use]
    pub fn holding(self, revision: Revision) -> Self {
        Self {
            revision,
            is_paused: true,
            is_sound: false,
            ..self
        }
    }

    /// The template as an Environment may take it in: without these images.
    pub fn offer(&self, images: &Images) -> Offer {
        Offer::of(&self.template, images, self.copies.clone())
    }

    /// The same with a template that was kept, and these images; with the `last` ones of containers that are not in the spec
    /// any more. Its copies are there as long as it is kept.
    ///
    /// # Errors
    /// The template has a container that nothing brings an image for any more.
    pub fn wearing(self, offer: &Offer, images: &Images, last: &Images) -> Result<Self, Invalid> {
        let filled = offer.filled(images, last).map_err(|container| {
            let problem = format!(
                "names no image for container {container}, which the template has that its Environment has taken in ({}); add it",
                offer.id
            );
            Invalid::new("spec.release.images", problem)
        })?;
        let (template, images) = filled;
        Ok(Self {
            revision: Revision::of_template(&template),
            template,
            images,
            copies: offer.copies.clone(),
            worn: Some(offer.id.clone()),
            ..self
        })
    }

    /// The share that the canary should have while it does this step (or, past the end, is done).
    pub fn weight_at(&self, step: usize) -> Weight {
        self.division_at(step).weight
    }

    /// What the canary should get while it does this step. Past the end it is all of the traffic, and nothing on top of it.
    pub fn division_at(&self, step: usize) -> Division {
        if step >= self.steps.len() {
            return Division::of(Weight::FULL);
        }
        division_after(self.steps.iter().take(step + 1))
    }

    /// The pods that the canary should have besides those that its weight needs, while it does this step.
    pub fn scale_at(&self, step: usize) -> i32 {
        if step >= self.steps.len() {
            return 0;
        }
        let so_far = self.steps.iter().take(step + 1).rev();
        let counts = so_far.filter_map(|step| match step {
            Step::Scale(count) => Some(*count),
            Step::SetWeight(_)
            | Step::Route(_)
            | Step::Mirror(_)
            | Step::Pause(_)
            | Step::Analyse { .. }
            | Step::Approve { .. }
            | Step::Run { .. } => None,
        });
        counts.into_iter().next().unwrap_or(0)
    }
}

/// What the canary has once these steps are done: each sets one thing, and the others stay.
fn division_after<'s>(steps: impl Iterator<Item = &'s Step>) -> Division {
    let mut division = Division::NONE;
    for step in steps {
        match step {
            Step::SetWeight(weight) => division.weight = *weight,
            Step::Route(route) => division.route.clone_from(route),
            Step::Mirror(share) => division.mirror = *share,
            Step::Scale(_)
            | Step::Pause(_)
            | Step::Analyse { .. }
            | Step::Approve { .. }
            | Step::Run { .. } => {}
        }
    }
    division
}

fn drain(raw: &RolloutSpec) -> Duration {
    let traffic = raw.traffic.as_ref();
    let drain = traffic.and_then(|traffic| traffic.drain);
    drain.map_or(DRAIN, Duration::from)
}

fn rollback_on(raw: &RolloutSpec) -> BTreeSet<FailureReason> {
    let on = raw
        .rollback
        .as_ref()
        .and_then(|rollback| rollback.on.as_deref());
    on.unwrap_or(FailureReason::ALL).iter().copied().collect()
}

fn rollback_window(raw: &RolloutSpec) -> usize {
    let rollback = raw.rollback.as_ref();
    let window = rollback.and_then(|rollback| rollback.window.as_ref());
    window.map_or(0, |window| usize::try_from(window.revisions).unwrap_or(0))
}

fn stable_scale(strategy: &Strategy) -> StableScale {
    match strategy.type_.unwrap_or_default() {
        StrategyType::Canary | StrategyType::Auto => strategy.stable_scale.unwrap_or_default(),
        StrategyType::BlueGreen => StableScale::Full,
        StrategyType::Rolling => StableScale::WithWeight,
    }
}

fn batch(strategy: &Strategy, replicas: i32) -> Option<Batch> {
    let is_rolling = strategy.type_ == Some(StrategyType::Rolling);
    let rolling = strategy.rolling.clone().unwrap_or_default();
    let size = rolling.batch.map_or(1, |batch| pods(&batch, replicas));
    is_rolling.then(|| Batch {
        size: size.max(1),
        is_checked: rolling.health_check_each.unwrap_or(true),
    })
}

/// A number of pods, or a percentage of `replicas`, rounded up.
pub(super) fn pods(count: &IntOrString, replicas: i32) -> i32 {
    match count {
        IntOrString::Int(count) => *count,
        IntOrString::String(text) => {
            replicas.saturating_mul(percent(text)).saturating_add(99) / 100
        }
    }
}

fn percent(text: &str) -> i32 {
    text.trim_end_matches('%').parse().unwrap_or(0)
}

fn seconds(count: i32) -> Duration {
    Duration::from_secs(u64::try_from(count).unwrap_or(0))
}

/// Surge rounds up and unavailable rounds down, as in a Deployment; never both zero.
fn budgets(
    surge: Option<&IntOrString>,
    unavailable: Option<&IntOrString>,
    replicas: i32,
) -> (i32, i32) {
    let quarter = IntOrString::String("25%".to_owned());
    let surge = pods(surge.unwrap_or(&quarter), replicas);
    let unavailable = match unavailable {
        None => 0,
        Some(IntOrString::Int(count)) => *count,
        Some(IntOrString::String(text)) => replicas.saturating_mul(percent(text)) / 100,
    };
    if surge == 0 && unavailable == 0 {
        (1, 0)
    } else {
        (surge, unavailable)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn raw(spec: &Value) -> RolloutSpec {
        let mut whole = json!({
            "selector": {"matchLabels": {"app": "api"}},
            "template": {
                "metadata": {"labels": {"app": "api"}},
                "spec": {"containers": [{"name": "web", "image": "api:1"}]},
            },
        });
        json_patch::merge(&mut whole, spec);
        serde_json::from_value(whole).unwrap()
    }

    fn parse(spec: &Value) -> Result<Spec, Vec<Invalid>> {
        Spec::parse(&raw(spec), &Images::new())
    }

    fn problem(spec: &Value) -> String {
        let problems = parse(spec).unwrap_err();
        let lines: Vec<_> = problems
            .iter()
            .map(|p| format!("{}: {}", p.path, p.problem))
            .collect();
        lines.join("\n")
    }

    #[test]
    fn pods_go_on_serving_while_they_end() {
        let spec =
            parse(&json!({"template": {"spec": {"terminationGracePeriodSeconds": 10}}})).unwrap();
        let pod = &spec.template["spec"];
        assert_eq!(
            pod["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"],
            30
        );
        assert_eq!(pod["terminationGracePeriodSeconds"], 40);
    }

    #[test]
    fn a_pre_stop_hook_of_their_own_is_left_alone() {
        let hook = json!({"exec": {"command": ["true"]}});
        let template = json!({"template": {"spec": {"containers": [
            {"name": "web", "image": "api:1", "lifecycle": {"preStop": hook}}]}}});
        let spec = parse(&template).unwrap();
        assert_eq!(
            spec.template["spec"]["containers"][0]["lifecycle"]["preStop"],
            hook
        );
        assert_eq!(
            spec.template["spec"].get("terminationGracePeriodSeconds"),
            None
        );
    }

    #[test]
    fn fields_that_we_do_not_know_survive() {
        let template = json!({"template": {"spec": {"fieldOfTomorrow": {"a": [1]}}}});
        assert_eq!(
            parse(&template).unwrap().template["spec"]["fieldOfTomorrow"],
            json!({"a": [1]})
        );
    }

    #[test]
    fn every_problem_is_told_and_where() {
        let text = problem(&json!({
            "template": {"metadata": {"labels": {"app": "other"}}, "spec": {"containers": [{"name": "web"}]}},
            "strategy": {"steps": [{"analyse": {"metrics": ["errors"]}}]},
        }));
        assert!(
            text.contains("spec.template.metadata.labels: must have app: api"),
            "{text}"
        );
        assert!(
            text.contains("containers[0].image: give an image"),
            "{text}"
        );
        assert!(
            text.contains("steps[0].analyse.metrics: there is no metric errors"),
            "{text}"
        );
    }

    #[test]
    fn images_of_a_release_are_part_of_the_revision() {
        let raw = raw(&json!({"template": {"spec": {"containers": [{"name": "web"}]}}}));
        let with = |digest: &str| {
            Spec::parse(
                &raw,
                &Images::from([("web".into(), format!("reg/api@{digest}"))]),
            )
            .unwrap()
        };
        assert_ne!(with("sha256:a").revision, with("sha256:b").revision);
        assert_eq!(with("sha256:a").images["web"], "reg/api@sha256:a");
    }

    #[test]
    fn the_number_of_replicas_is_not_part_of_the_revision() {
        let few = parse(&json!({"replicas": 1})).unwrap();
        let many = parse(&json!({"replicas": 9})).unwrap();
        assert_eq!(few.revision, many.revision);
    }

    #[test]
    fn budgets_round_like_those_of_a_deployment() {
        let percent = |text: &str| IntOrString::String(text.into());
        assert_eq!(budgets(None, None, 4), (1, 0));
        assert_eq!(
            budgets(Some(&percent("25%")), Some(&percent("25%")), 10),
            (3, 2)
        );
        assert_eq!(
            budgets(Some(&IntOrString::Int(0)), Some(&percent("10%")), 4),
            (1, 0)
        );
    }

    #[test]
    fn the_weight_of_a_step_is_the_last_one_set() {
        let steps = json!({"strategy": {"steps": [
            {"pause": {"for": "1s"}}, {"setWeight": {"weight": 10}}, {"pause": {"for": "1s"}}]}});
        let spec = parse(&steps).unwrap();
        let weights: Vec<u8> = (0..4).map(|step| spec.weight_at(step).percent()).collect();
        assert_eq!(weights, [0, 10, 10, 100]);
    }
}
