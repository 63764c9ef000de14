//! What is on its way to an Environment by itself, so that who waits for it goes on waiting. No I/O.
//!
//! It is read off what comes before: a run that may make a Release, an Environment that works on one. What waits for a person
//! there, or has failed, comes no further by itself.

use kube::ResourceExt;

use super::decided::Fresh;
use super::overview::Line;
use crate::cli::standing::{self, Standing};
use crate::environment::api::{Environment, EnvironmentPhase, PromotionMode};
use crate::pipeline::api::Pipeline;
use crate::pipeline::spec::may_release;
use crate::pipeline_run::api::PipelineRun;
use crate::rollout::api::Rollout;

/// What comes before Environments, as it is now.
#[derive(Clone, Debug, Default)]
pub struct Way {
    /// Environments.
    pub environments: Vec<Environment>,
    /// Pipelines.
    pub pipelines: Vec<Pipeline>,
    /// Their runs.
    pub runs: Vec<PipelineRun>,
    /// What was decided lately.
    pub fresh: Fresh,
    /// Whether it is waited for an end: then what is on its way counts more than that the last one failed.
    pub is_awaited: bool,
}

impl Way {
    /// How an Environment stands, with what comes to it.
    pub fn of_environment(&self, environment: &Environment) -> Line {
        let mut line = Line::from(environment);
        if let Some(coming) = self.coming(environment) {
            let may_be_better = match line.standing {
                Standing::Well => true,
                Standing::Bad => self.is_awaited,
                Standing::Underway | Standing::Waiting => false,
            };
            line = line
                .and(&format!("on its way: {coming}"))
                .underway_if(may_be_better);
        }
        line.underway_if(self.fresh.awaits_environment(environment))
    }

    /// How a Rollout stands. One whose Environment has no Release yet has nothing to do, unless one comes.
    pub fn of_rollout(&self, rollout: &Rollout) -> Line {
        let mut line = Line::from(rollout);
        if standing::has_nothing_to_run(rollout) {
            let release = rollout.spec.release.as_ref();
            let followed = release.and_then(|release| {
                let mut all = self.environments.iter();
                all.find(|one| is_called(*one, &release.environment.name, rollout))
            });
            let followed = followed.map(|followed| self.of_environment(followed).standing);
            line.standing = match followed {
                Some(Standing::Underway) => Standing::Underway,
                Some(Standing::Well | Standing::Waiting | Standing::Bad) | None => Standing::Well,
            };
        }
        line.underway_if(self.fresh.awaits_rollout(rollout))
    }

    /// What comes to an Environment without anybody doing anything, in words.
    pub fn coming(&self, environment: &Environment) -> Option<String> {
        self.before(environment, environment, &mut vec![environment.name_any()])
    }

    /// What comes to `to` by way of `at`; Environments that were looked at are `seen`.
    fn before(&self, to: &Environment, at: &Environment, seen: &mut Vec<String>) -> Option<String> {
        let rule = &at.spec.promotion;
        if rule.mode == PromotionMode::Manual {
            return None;
        }
        let mut runs = self.runs.iter();
        let run = runs.find(|run| {
            let of = &run.spec.pipeline_ref.name;
            run.namespace() == at.namespace()
                && rule.from.pipelines.contains(of)
                && standing::of_run(run) == Standing::Underway
                && self.may_release(run)
        });
        if let Some(run) = run {
            return Some(format!("what run {} makes", run.name_any()));
        }
        for name in &rule.from.environments {
            if seen.contains(name) {
                continue;
            }
            seen.push(name.clone());
            let mut all = self.environments.iter();
            let Some(source) = all.find(|one| is_called(*one, name, at)) else {
                continue;
            };
            let coming = worked_on(source, to).or_else(|| self.before(to, source, seen));
            if coming.is_some() {
                return coming;
            }
        }
        None
    }

    /// Whether a run may end with a Release.
    fn may_release(&self, run: &PipelineRun) -> bool {
        let of = &run.spec.pipeline_ref.name;
        let mut pipelines = self.pipelines.iter();
        let pipeline = pipelines.find(|one| is_called(*one, of, run));
        let is_whole = run.spec.stages.is_empty();
        is_whole && pipeline.is_some_and(|of| may_release(&of.spec, &run.spec.git_ref))
    }
}

/// Whether an object is the one of this name beside another.
fn is_called(object: &impl ResourceExt, name: &str, beside: &impl ResourceExt) -> bool {
    object.name_any() == name && object.namespace() == beside.namespace()
}

/// What an Environment works on that another one does not have yet.
fn worked_on(source: &Environment, to: &Environment) -> Option<String> {
    let status = source.status.as_ref()?;
    let phase = status.phase.unwrap_or_default();
    let goes_on = standing::of_environment(source) == Standing::Underway;
    let is_going_back = phase == EnvironmentPhase::RollingBack;
    if !goes_on || is_going_back || status.observed_generation != source.metadata.generation {
        return None;
    }
    let runs = |release: &str| status.current.iter().any(|one| one.release == release);
    let wanted = status.desired.iter().map(|one| one.release.as_str());
    let next = status.candidate.iter().map(|next| next.release.as_str());
    let moving: Vec<&str> = next
        .chain(wanted.filter(|release| !runs(release)))
        .collect();
    let there = to.status.as_ref().map_or(&[][..], |status| &status.desired);
    let is_there = |release: &str| there.iter().any(|one| one.release == release);
    let new = moving.iter().find(|release| !is_there(release));
    if new.is_none() && !moving.is_empty() {
        return None;
    }
    let what = new.map_or("a Release", |release| *release);
    Some(format!(
        "{what} in Environment {}, which is {phase}",
        source.name_any()
    ))
}

#[cfg(test)]
mod tests;
