//! What came of a Decision about a Rollout, for who waits for it. No I/O.

use crate::cli::answer::End;
use crate::cli::standing::{self, Standing};
use crate::cli::text::plain;
use crate::decision::api::DecisionAction;
use crate::rollout::api::{Phase, Rollout};

/// What is said of a Decision whose result nobody saw before another one's took its place.
const UNKNOWN: &str =
    "it was taken in, but what came of it is not on record any more: look at rollout explain";

/// What came of it in words, and how that ends the wait; nothing while it is to come. `known` is its result once it was seen:
/// the Rollout has that of its last Decision only.
pub(super) fn of(
    rollout: &Rollout,
    (decision, action): (&str, DecisionAction),
    known: &mut Option<String>,
) -> Option<(String, End)> {
    let status = rollout.status.as_ref()?;
    let progress = status.progress.as_ref()?;
    if !progress.decided.iter().any(|one| one.name == decision) {
        return None;
    }
    let last = status.last_decision.as_ref();
    if let Some(last) = last.filter(|last| last.name == decision) {
        *known = Some(plain(&last.result));
    }
    let Some(result) = known.as_deref() else {
        return Some((UNKNOWN.to_owned(), End::Failed));
    };
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
    let message = plain(status.message.as_deref().unwrap_or_default());
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
        of(&rollout, (&last.name, action), &mut None)
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
        let another = ("another", DecisionAction::Undo);
        assert_eq!(of(&rollout, another, &mut None), None);
    }

    #[test]
    fn one_whose_result_gave_way_to_anothers_is_not_said_to_be_followed() {
        let mut rollout = story("is held by a person").rollout();
        let last = rollout
            .status
            .as_mut()
            .and_then(|one| one.last_decision.as_mut());
        let last = last.unwrap();
        let mine = std::mem::replace(&mut last.name, "another".into());
        let mine = (mine.as_str(), DecisionAction::Pause);
        let (words, end) = of(&rollout, mine, &mut None).unwrap();
        assert!(words.contains("not on record any more"), "{words}");
        assert_eq!(end, End::Failed);
        let mut known = Some("followed".to_owned());
        let told = of(&rollout, mine, &mut known);
        assert_eq!(told, Some(("followed".to_owned(), End::Well)));
    }

    #[test]
    fn the_next_person_is_not_waited_for() {
        let (_, end) = last("waits for approvals", DecisionAction::Approve).unwrap();
        assert_eq!(end, End::Waiting);
    }
}
