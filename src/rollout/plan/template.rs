//! Templates that an Environment may take in are kept before it can, and for as long as something may go back to them. No I/O.

use super::super::observed::Observed;
use super::super::render;
use super::super::template::surplus;
use super::Draft;
use crate::model::action::Action;

impl Draft<'_> {
    /// Keeps the template of the spec, and lets go what nothing needs. Nothing of the traffic waits for it.
    pub(super) fn keep_templates(&mut self) {
        let seen = self.seen;
        if seen.deletion.is_some() {
            return;
        }
        self.corrections.extend(kept(seen));
        // What cannot be worn now may come with the next Promotion; what is needed is not known until then.
        if !self.spec.is_sound {
            return;
        }
        let of_sets = seen.sets.iter().filter_map(|set| set.template.as_deref());
        let offered = seen.offer.as_ref().map(|offer| offer.id.as_str());
        let used: Vec<&str> = of_sets
            .chain(offered)
            .chain(self.spec.worn.as_deref())
            .chain(seen.recorded.iter().map(String::as_str))
            .collect();
        let idle = surplus(&seen.templates, &used);
        self.deletions
            .extend(idle.iter().map(|kept| Action::Delete {
                target: kept.target.clone(),
                orphan: false,
            }));
    }
}

/// Keeps the template of the spec, where that is asked for and not done.
pub(super) fn kept(seen: &Observed) -> Option<Action> {
    let offer = seen.offer.as_ref()?;
    let mut known = seen.templates.iter();
    if known.any(|kept| kept.offer.id == offer.id) {
        return None;
    }
    let last = seen.templates.iter().map(|kept| kept.number).max();
    let number = last.unwrap_or(0).saturating_add(1);
    Some(Action::Create(render::kept_template(seen, offer, number)))
}
