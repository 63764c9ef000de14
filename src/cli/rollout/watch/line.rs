//! Where a Rollout is, in one line. No I/O.

use crate::cli::text::plain;
use crate::rollout::api::Rollout;

/// Where it is, how traffic and pods are, and why.
pub(super) fn of(rollout: &Rollout) -> String {
    let status = rollout.status.clone().unwrap_or_default();
    let mut line = status.phase.unwrap_or_default().to_string();
    if let Some(step) = &status.step {
        line = format!("{line} step {}", step.position);
    }
    if let Some(weights) = &status.weights {
        let mark = if weights.observed {
            ""
        } else {
            " (not taken in yet)"
        };
        line = format!("{line}, {} % to the canary{mark}", weights.canary);
    }
    for (side, revision) in [("stable", &status.stable), ("canary", &status.canary)] {
        if let Some(revision) = revision {
            let (ready, all) = (revision.ready, revision.replicas);
            line = format!("{line}, {side} {ready}/{all}");
        }
    }
    match status.message {
        Some(message) => format!("{line}: {}", plain(&message)),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rollout::explain::testing::STORIES;

    #[test]
    fn every_story_in_a_line() {
        let mut lines = Vec::new();
        for (name, tell) in STORIES {
            lines.push(format!("{name}: {}", of(&tell().rollout())));
        }
        insta::assert_snapshot!(lines.join("\n"));
    }
}
