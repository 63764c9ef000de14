//! What came of a Decision about a Rollout, for who waits for it. No I/O.

use crate::cli::answer::End;
use crate::cli::standing::{self, Standing};
use crate::decision::api::DecisionAction;
use crate::rollout::api::{Phase, Rollout};

/// What came of it in words, and how that ends the wait; nothing while it is to come.
pub(super) fn of(
    rollout: &Rollout,
    decision: &str,
    action: DecisionAction,
) -> Option<(String, End)> {
    let status = rollout.status.as_ref()?;
    let progress = status.progress.as_ref()?;
    if !progress.decided.iter().any(|one| one.name == decision) {
        return None;
    }
    let last = status.last_decision.as_ref();
    let result = last.filter(|last| last.name == decision);
    let result = result.map_or("followed", |last| last.result.as_str());
    if result.starts_with("no effect") || result.starts_with("not followed") {
        return Some((result.to_owned(), End::Failed));
    }
    if action == DecisionAction::Pause {
        return Some((result.to_owned(), End::Well));
    }
    let standing = standing::of_rollout(rollout);
    if standing == Standing::Underway || progress.restart.is_some() {
        return None;
    }
    let goes_back = matches!(
        action,
        DecisionAction::Abort | DecisionAction::Reject | DecisionAction::Undo
    );
    // Who wants it back has what was asked for.
    let end = if goes_back && status.phase == Some(Phase::RolledBack) {
        End::Well
    } else {
        standing.end()
    };
    let phase = status.phase.unwrap_or_default();
    let message = status.message.as_deref().unwrap_or_default();
    Some((format!("{result}\n{phase}: {message}"), end))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rollout::explain::testing::story;

    /// What came of the last Decision of a story.
    fn last(name: &str, action: DecisionAction) -> Option<(String, End)> {
        let rollout = story(name).rollout();
        let last = rollout.status.as_ref()?.last_decision.clone()?;
        of(&rollout, &last.name, action)
    }

    #[test]
    fn a_pause_is_over_once_it_is_followed() {
        let (words, end) = last("is held by a person", DecisionAction::Pause).unwrap();
        assert!(words.ends_with("is held where it is"), "{words}");
        assert_eq!(end, End::Well);
    }

    #[test]
    fn who_goes_back_has_what_was_asked_for() {
        let (words, end) = last("was undone", DecisionAction::Undo).unwrap();
        assert!(words.contains("\nRolledBack: "), "{words}");
        assert_eq!(end, End::Well);
        let (_, end) = last("was undone", DecisionAction::Retry).unwrap();
        assert_eq!(end, End::Bad);
    }

    #[test]
    fn one_that_was_not_seen_yet_is_waited_for() {
        let rollout = story("was undone").rollout();
        assert_eq!(of(&rollout, "another", DecisionAction::Undo), None);
    }

    #[test]
    fn the_next_person_is_not_waited_for() {
        let (_, end) = last("waits for approvals", DecisionAction::Approve).unwrap();
        assert_eq!(end, End::Waiting);
    }
}
