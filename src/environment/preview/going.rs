//! What goes, and why: each preview for a reason that somebody has given, or because its time is over. No I/O.

use jiff::{SignedDuration, Timestamp};

use super::super::api::{PreviewDestroy, PreviewPhase};
use super::which::Labelled;
use super::{Draft, Space};
use crate::model::action::Action;
use crate::model::span::{after, later, span};

/// How soon a namespace that is going is looked at again.
const LOOK_AGAIN: SignedDuration = SignedDuration::from_secs(5);
/// How long a namespace that hangs is left alone at most.
const LOOK_AGAIN_AT_MOST: SignedDuration = SignedDuration::from_mins(5);
/// How long the end of a namespace takes before it is told that it hangs.
const HANGS: SignedDuration = SignedDuration::from_mins(2);
/// What is told of one that hangs.
const HANGING: &str = "PreviewHangs";

/// Why a preview goes.
struct End {
    at: Timestamp,
    phase: PreviewPhase,
    why: String,
}

impl Draft<'_> {
    /// Lets go what is over. What somebody said is over goes with care: a provider, or who speaks for it, may be wrong about many.
    pub(super) fn close(&mut self) {
        let seen = self.of.seen;
        let may_go = self.of.spec.destroy() == PreviewDestroy::Always;
        let staying = seen
            .spaces
            .iter()
            .filter(|space| !space.is_going() && may_go);
        let (mut told, mut expired) = (Vec::new(), Vec::new());
        for space in staying {
            let expires_at = self.expires_at(space);
            if expires_at <= self.now {
                let end = End {
                    at: expires_at,
                    phase: PreviewPhase::Closing,
                    why: "too old: a new commit makes it again".to_owned(),
                };
                expired.push((space, end));
                continue;
            }
            match self.end_of(space) {
                Some(end) if end.at <= self.now => told.push((space, end)),
                end => self.wake_at(end.map_or(expires_at, |end| end.at.min(expires_at))),
            }
        }
        let most = usize::try_from(self.of.spec.limits.closed_at_once).unwrap_or(usize::MAX);
        if told.len() > most {
            let text = format!(
                "{} pull requests with previews were closed, lost a label or were not asked for at the same time, more than \
                 limits.closedAtOnce ({most}); their previews stay until ttl.max is over: raise closedAtOnce if they are to go",
                told.len()
            );
            self.say(false, "TooManyClosed", text);
            for (space, _) in told.drain(..) {
                self.wake_at(self.expires_at(space));
            }
        }
        for (space, end) in expired.into_iter().chain(told) {
            self.actions.push(Action::Delete {
                target: space.target.clone(),
                orphan: false,
            });
            self.show(self.item_of(space, end.phase, &end.why));
        }
        for space in &seen.spaces {
            if let Some(since) = space.going_since {
                self.watch(space, since);
            }
        }
    }

    /// Looks at one that is going. What keeps it is told once it takes long.
    fn watch(&mut self, space: &Space, since: Timestamp) {
        let elapsed = self.now.duration_since(since);
        let pause = (elapsed / 2).clamp(LOOK_AGAIN, LOOK_AGAIN_AT_MOST);
        self.wake_at(later(self.now, pause));
        let idle = self
            .of
            .before
            .iter()
            .find(|item| item.number == space.number && item.phase == PreviewPhase::Idle);
        let phase = idle.map_or(PreviewPhase::Closing, |idle| idle.phase);
        let text = match space.held_by.as_ref().filter(|_| elapsed >= HANGS) {
            None => "its namespace is being deleted".to_owned(),
            Some(held_by) => {
                let name = &space.target.key.name;
                let text = format!(
                    "namespace {name} is being deleted since {since:.0} and hangs: {held_by}; see to the finalizers of what is left"
                );
                self.say(false, HANGING, text);
                format!("its namespace hangs: {held_by}")
            }
        };
        self.show(self.item_of(space, phase, &text));
    }

    /// Why, and when, a preview goes before its time is over: its pull request is over or has lost a label, or nobody asks for it.
    fn end_of(&mut self, space: &Space) -> Option<End> {
        let idle = self.idle_since(space);
        let told = self.told_end(space.number);
        let rule = self.of.spec.idle.as_ref();
        let idle = idle.zip(rule).map(|(at, rule)| End {
            at,
            phase: PreviewPhase::Idle,
            why: format!(
                "nobody asked for it in {}: a new commit, or another try of its run, makes it again",
                span(rule.after.into())
            ),
        });
        let told = told.map(|(at, why)| End {
            at,
            phase: PreviewPhase::Closing,
            why: why.to_owned(),
        });
        told.into_iter().chain(idle).min_by_key(|end| end.at)
    }

    /// When a preview goes because of what somebody said of its pull request, and what that was.
    pub(super) fn told_end(&self, number: u64) -> Option<(Timestamp, &'static str)> {
        let closed = self.of.seen.closed.get(&number);
        let closed = closed.map(|at| (*at, "its pull request is over"));
        let unlabelled = match self.labelled(number) {
            Labelled::No(_, since) => {
                Some((since, "its pull request has lost a label that it takes"))
            }
            Labelled::Yes | Labelled::Untold(_) => None,
        };
        let first = closed
            .into_iter()
            .chain(unlabelled)
            .min_by_key(|(at, _)| *at);
        first.map(|(at, why)| (after(at, self.of.spec.ttl.after_close.into()), why))
    }

    /// When its time is over, whatever is said.
    pub(super) fn expires_at(&self, space: &Space) -> Timestamp {
        let at = space.record.at.as_ref().map_or(space.created_at, |at| at.0);
        after(at, self.of.spec.ttl.max.into())
    }
}
