//! Rollouts as a table for people. No I/O.

use jiff::Timestamp;
use kube::ResourceExt;

use crate::cli::text::{Cell, Table, Tone, age};
use crate::rollout::api::{Phase, RevisionStatus, Rollout};

/// How a phase is meant.
pub fn tone_of(phase: Phase) -> Tone {
    match phase {
        Phase::Healthy => Tone::Good,
        Phase::Pending
        | Phase::Progressing
        | Phase::Paused
        | Phase::Analysing
        | Phase::Promoting => Tone::Warn,
        Phase::RollingBack | Phase::RolledBack | Phase::Degraded => Tone::Bad,
    }
}

/// One line per Rollout.
pub fn list(rollouts: &[Rollout], now: Timestamp, is_wide: bool) -> Table {
    let headings = [
        "NAME", "PHASE", "STEP", "WEIGHT", "READY", "STABLE", "CANARY", "AGE", "MESSAGE",
    ];
    let mut table = Table::new(&headings, &[3]);
    for rollout in rollouts {
        let status = rollout.status.clone().unwrap_or_default();
        let phase = status.phase.unwrap_or_default();
        let weight = status
            .weights
            .map(|weights| format!("{} %", weights.canary));
        let revision = |of: Option<RevisionStatus>| of.map(|of| of.revision).unwrap_or_default();
        table.row([
            rollout.name_any().into(),
            Cell::new(tone_of(phase), phase.as_str()),
            status
                .step
                .map(|step| step.position)
                .unwrap_or_default()
                .into(),
            weight.unwrap_or_default().into(),
            status.ready_replicas.unwrap_or_default().into(),
            revision(status.stable).into(),
            revision(status.canary).into(),
            age(rollout.creation_timestamp().as_ref(), now).into(),
            status.message.unwrap_or_default().into(),
        ]);
    }
    if is_wide {
        let headings = ["STRATEGY", "ENVIRONMENT", "IMAGES"].map(Cell::heading);
        table.behind(std::iter::once(headings).chain(rollouts.iter().map(more)));
    }
    table
}

/// What else there is to say of a Rollout.
fn more(rollout: &Rollout) -> [Cell; 3] {
    let spec = &rollout.spec;
    let strategy = spec.strategy.as_ref().and_then(|strategy| strategy.type_);
    let environment = spec
        .release
        .as_ref()
        .map(|release| &release.environment.name);
    let status = rollout.status.as_ref();
    let stable = status.and_then(|status| status.stable.as_ref());
    let images = stable.into_iter().flat_map(|stable| &stable.images);
    let images: Vec<String> = images
        .map(|(name, image)| format!("{name}={image}"))
        .collect();
    [
        strategy.unwrap_or_default().as_str().into(),
        environment.cloned().unwrap_or_default().into(),
        images.join(", ").into(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::text::Palette;
    use crate::rollout::explain::testing::STORIES;

    #[test]
    fn all_rollouts() {
        let stories: Vec<_> = STORIES.iter().map(|(name, tell)| (name, tell())).collect();
        let now = stories[1].1.now();
        let rollouts: Vec<Rollout> = stories
            .iter()
            .map(|(name, story)| {
                let mut rollout = story.rollout();
                rollout.metadata.name = Some(name.replace(' ', "-"));
                rollout
            })
            .collect();
        let text = |is_wide| list(&rollouts, now, is_wide).text(Palette::new(false));
        insta::assert_snapshot!(text(false));
        insta::assert_snapshot!("all_rollouts_wide", text(true));
    }
}
