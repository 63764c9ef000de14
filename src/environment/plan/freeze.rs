//! Whether something may be promoted now: freezes of the Environment, and that of the operator. No I/O.
//!
//! `Deny` wins over `Allow`. What cannot be read is a freeze.

use jiff::Timestamp;

use super::super::api::{CandidateGate, Freeze, FreezeKind};
use super::super::calendar::{self, At, Window};
use super::Draft;
use super::gate::gate;
use crate::model::span::moment;

/// Name of the gate.
pub(super) const FREEZE: &str = "freeze";

/// Windows of one kind.
#[derive(Default)]
struct Windows<'a> {
    open: Vec<(&'a Freeze, Window)>,
    next: Option<Timestamp>,
}

impl<'a> Draft<'a> {
    /// What freezes say, that of the operator first; nothing where there are none.
    pub(super) fn freeze_gate(&self) -> Option<CandidateGate> {
        self.stop_gate().or_else(|| self.windows_gate())
    }

    /// What the operator's own freeze says; nothing while it has none.
    pub(super) fn stop_gate(&self) -> Option<CandidateGate> {
        let frozen = self.seen.frozen.as_ref();
        let frozen = frozen.filter(|frozen| frozen.until.is_none_or(|until| until > self.now))?;
        let ends = frozen.until.map_or(String::new(), |until| {
            format!(" until {}", moment(until, self.now))
        });
        let text = format!(
            "every promotion is frozen{ends}: {}; the operator's freeze is set by its chart",
            frozen.reason
        );
        Some(gate(FREEZE, Some(text), frozen.until))
    }

    /// What the Environment's own freezes say; nothing where it has none.
    pub(super) fn windows_gate(&self) -> Option<CandidateGate> {
        if self.seen.spec.protection.freezes.is_empty() {
            return None;
        }
        Some(match self.windows() {
            Err(problem) => gate(FREEZE, Some(problem), None),
            Ok((denied, allowed)) => self.judge_windows(&denied, allowed.as_ref()),
        })
    }

    fn windows(&self) -> Result<(Windows<'a>, Option<Windows<'a>>), String> {
        let (mut denied, mut allowed) = (Windows::default(), None);
        for (index, freeze) in self.seen.spec.protection.freezes.iter().enumerate() {
            let At { open, next } = calendar::at(freeze, self.now).map_err(|problem| {
                format!(
                    "protection.freezes[{index}] ({}) counts as closed: {problem}",
                    freeze.name
                )
            })?;
            let windows = match freeze.kind {
                FreezeKind::Deny => &mut denied,
                FreezeKind::Allow => allowed.get_or_insert_with(Windows::default),
            };
            windows.open.extend(open.map(|open| (freeze, open)));
            let known = windows.next.into_iter().chain(next);
            windows.next = known.min();
        }
        Ok((denied, allowed))
    }

    fn judge_windows(&self, denied: &Windows, allowed: Option<&Windows>) -> CandidateGate {
        // The longest of those that are open is what has to be waited for.
        let longest = denied.open.iter().max_by_key(|(_, open)| open.end);
        if let Some((freeze, open)) = longest {
            let name = &freeze.name;
            let text = format!(
                "freeze {name} ends {}{}",
                moment(open.end, self.now),
                Self::hint()
            );
            return gate(FREEZE, Some(text), Some(open.end));
        }
        let Some(allowed) = allowed else {
            return gate(FREEZE, None, denied.next);
        };
        let mut full = Vec::new();
        for (freeze, open) in &allowed.open {
            let started = self.started_in(open);
            match freeze.max_deploys {
                Some(max) if started >= usize::try_from(max).unwrap_or(usize::MAX) => {
                    full.push(format!(
                        "{} has had its {max} promotions (maxDeploys)",
                        freeze.name
                    ));
                }
                Some(_) | None => {
                    let ends = [Some(open.end), denied.next].into_iter().flatten().min();
                    return gate(FREEZE, None, ends);
                }
            }
        }
        let why = if full.is_empty() {
            "no window is open in which something may be promoted".to_owned()
        } else {
            full.join(", ")
        };
        let next = match allowed.next {
            Some(next) => format!("the next one opens {}", moment(next, self.now)),
            None => "none opens any more".to_owned(),
        };
        let text = format!("{why}; {next}{}", Self::hint());
        gate(FREEZE, Some(text), allowed.next)
    }

    fn hint() -> &'static str {
        "; a Decision Override that names the gate freeze lets a Release pass"
    }

    /// Promotions that started in a window; rollbacks are none of them.
    fn started_in(&self, window: &Window) -> usize {
        let started = self.history.entries.iter().filter(|entry| {
            let at = entry.started_at;
            !entry.is_rollback() && at.is_some_and(|at| window.start <= at && at < window.end)
        });
        started.count()
    }

    /// Since when promotions have to be kept, because they count in a window that is open.
    pub(super) fn counted_since(&self) -> Option<Timestamp> {
        let freezes = self.seen.spec.protection.freezes.iter();
        let limited = freezes.filter(|freeze| freeze.max_deploys.is_some());
        let open = limited.filter_map(|freeze| calendar::at(freeze, self.now).ok()?.open);
        open.map(|open| open.start).min()
    }
}
