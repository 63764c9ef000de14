//! Which pull requests have a preview, and of which run: whose commits they are, and which labels they carry. No I/O.

use jiff::Timestamp;

use super::super::api::{PreviewForks, PreviewPhase};
use super::{Draft, Run, Space};
use crate::model::span::after;

/// What is known of the labels that a pull request has to carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Labelled<'a> {
    /// It carries all of them.
    Yes,
    /// It does not carry this one, as somebody told at that time.
    No(&'a str, Timestamp),
    /// Nobody has told of this one.
    Untold(&'a str),
}

impl<'a> Draft<'a> {
    /// The run that a preview is to show: the newest, but none from before the one that it shows.
    pub(super) fn run_for(&self, space: &Space) -> Option<&'a Run> {
        let newest = self.newest(space.number, true);
        let is_newer = |run: &&Run| {
            let started = space.record.started_at.as_ref();
            started.is_none_or(|started| run.started_at >= started.0)
        };
        newest.filter(is_newer).or_else(|| {
            let mut runs = self.of.seen.runs.iter();
            runs.find(|run| run.name == space.record.run)
        })
    }

    /// The newest run of a pull request, of those that may be shown or of all.
    pub(super) fn newest(&self, number: u64, must_be_allowed: bool) -> Option<&'a Run> {
        let runs = self.of.seen.runs.iter();
        let of_it = runs.filter(|run| run.number == number);
        let allowed = of_it.filter(|run| !must_be_allowed || self.may_be_shown(run));
        allowed.max_by_key(|run| (run.started_at, &run.name))
    }

    /// What comes from elsewhere may be shown at the commit that somebody approved, where that is wanted.
    fn may_be_shown(&self, run: &Run) -> bool {
        let shows_forks = match self.of.spec.which.forks() {
            PreviewForks::Never => false,
            PreviewForks::RequireApproval => run.is_approved,
        };
        !run.is_fork || shows_forks
    }

    pub(super) fn refuse(&mut self, run: &Run) {
        let text = match self.of.spec.which.forks() {
            PreviewForks::Never => {
                "its commits are from another repository, or may be: such pull requests have no previews (match.forks)"
            }
            PreviewForks::RequireApproval => {
                "its commits are from another repository, or may be, and nobody approved this one: the Pipeline's trigger has to \
                 ask for it (forks: RequireApproval)"
            }
        };
        self.show(self.item(run, PreviewPhase::Refused, text));
    }

    /// What is known of the labels that a pull request has to carry. That nobody told of one is no word against it.
    pub(super) fn labelled(&self, number: u64) -> Labelled<'a> {
        let wanted = &self.of.spec.which.labels;
        let known = self.of.seen.labels.get(&number);
        let lacks = |label: &&String| known.is_some_and(|known| known.without.contains(label));
        if let (Some(label), Some(known)) = (wanted.iter().find(lacks), known) {
            return Labelled::No(label, known.at.0);
        }
        let is_untold = |label: &&String| known.is_none_or(|known| !known.labels.contains(label));
        match wanted.iter().find(is_untold) {
            Some(label) => Labelled::Untold(label),
            None => Labelled::Yes,
        }
    }

    /// Why a pull request whose commit may be shown has no preview: it does not carry what it has to.
    pub(super) fn left_out(&self, number: u64) -> Option<(PreviewPhase, String)> {
        match self.labelled(number) {
            Labelled::Yes => None,
            Labelled::No(label, _) => {
                let text = format!("its pull request has no label {label} (match.labels)");
                Some((PreviewPhase::Skipped, text))
            }
            Labelled::Untold(label) if self.of.seen.unasked.contains(label) => {
                let text = format!(
                    "label {label} is not looked for: all previews of Pipeline {} together ask for more than 8; ask for fewer \
                     (match.labels)",
                    self.of.spec.pipeline
                );
                Some((PreviewPhase::Failed, text))
            }
            Labelled::Untold(label) => {
                let text = format!(
                    "waits until somebody tells whether its pull request has the label {label}: a delivery, or the provider"
                );
                Some((PreviewPhase::Queued, text))
            }
        }
    }

    /// Until when there is a preview of a run that is not there yet.
    pub(super) fn stays_until(&self, run: &Run) -> Timestamp {
        after(
            run.finished_at.unwrap_or(self.now),
            self.of.spec.ttl.max.into(),
        )
    }
}
