//! What is shown of previews: each of them, and all of them in one condition. No I/O.

use std::cmp::Reverse;

use super::super::api::{PreviewPhase, PreviewStatus};
use super::{Draft, Outlook, Run, Shown, Space, copy, name_of};
use crate::model::text::truncate;

/// Previews that a status lists.
const SHOWN: usize = 50;
/// Longest sentence about a preview.
const MAX_MESSAGE: usize = 256;

impl Draft<'_> {
    /// A preview that shows a run, or is to.
    pub(super) fn item(&self, run: &Run, phase: PreviewPhase, message: &str) -> PreviewStatus {
        PreviewStatus {
            number: run.number,
            phase,
            namespace: name_of(self.of.key, run.number),
            url: copy::url(self.of.spec, run.number),
            sha: Some(run.sha.clone()),
            run: Some(run.name.clone()),
            author: Some(run.author.clone()),
            expires_at: None,
            message: Some(truncate(message, MAX_MESSAGE).to_owned()),
        }
    }

    /// A preview that is on its way to a run.
    pub(super) fn item_towards(
        &self,
        space: &Space,
        run: &Run,
        (phase, message): (PreviewPhase, &str),
    ) -> PreviewStatus {
        PreviewStatus {
            expires_at: self.shown_expiry(space),
            author: Some(space.record.author.clone()),
            ..self.item(run, phase, message)
        }
    }

    /// A preview as its namespace tells.
    pub(super) fn item_of(
        &self,
        space: &Space,
        phase: PreviewPhase,
        message: &str,
    ) -> PreviewStatus {
        let record = &space.record;
        let some = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
        PreviewStatus {
            number: space.number,
            phase,
            namespace: space.target.key.name.clone(),
            url: copy::url(self.of.spec, space.number),
            sha: some(&record.sha),
            run: some(&record.run),
            author: some(&record.author),
            expires_at: self.shown_expiry(space),
            message: Some(truncate(message, MAX_MESSAGE).to_owned()),
        }
    }

    pub(super) fn show(&mut self, item: PreviewStatus) {
        self.items.insert(item.number, item);
    }

    pub(super) fn say(&mut self, is_good: bool, reason: &'static str, message: String) {
        self.said.get_or_insert((is_good, reason, message));
    }

    pub(super) fn finish(mut self) -> Outlook {
        let count = |phase| {
            self.items
                .values()
                .filter(|item| item.phase == phase)
                .count()
        };
        let (ready, failed) = (count(PreviewPhase::Ready), count(PreviewPhase::Failed));
        let (queued, all) = (count(PreviewPhase::Queued), self.items.len());
        if failed > 0 && self.said.is_none() {
            let text = format!(
                "{failed} of {all} previews cannot be as they should; status.previews says why"
            );
            self.say(false, "PreviewFailed", text);
        }
        self.say(
            true,
            "Previewed",
            format!("{ready} of {all} previews answer, {queued} wait"),
        );
        // Those that take room come first, then the newest pull requests.
        let mut items: Vec<PreviewStatus> = self.items.into_values().collect();
        items.sort_by_key(|item| {
            let waits = match item.phase {
                PreviewPhase::Queued
                | PreviewPhase::Refused
                | PreviewPhase::Skipped
                | PreviewPhase::Idle => true,
                PreviewPhase::Updating
                | PreviewPhase::Ready
                | PreviewPhase::Failed
                | PreviewPhase::Closing => false,
            };
            (waits, Reverse(item.number))
        });
        items.truncate(SHOWN);
        items.sort_by_key(|item| item.number);
        self.actions.extend(self.fill);
        self.actions.extend(self.questions);
        Outlook {
            actions: self.actions,
            wake: self.wake,
            shown: Shown {
                items,
                said: self.said,
            },
        }
    }
}
