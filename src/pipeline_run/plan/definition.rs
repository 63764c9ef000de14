//! The spec that a run is to follow, where its repository adds to that of the Pipeline. No I/O.
//!
//! First the commit is settled at which the file is read, then the file is read, then both become one. All of that is on record,
//! the file too, until the snapshot of the whole is there.

use super::super::api::FailureKind;
use super::super::definition::wanted;
use super::super::observed::PipelineNow;
use super::Draft;
use crate::pipeline::api::{DefinitionRule, DefinitionSource, PipelineSpec, SourceErrorKind};
use crate::pipeline::definition::{merged, path};

impl Draft<'_> {
    /// The spec of the Pipeline as it is now, with what the repository adds to it; nothing while that is not known, or where it
    /// cannot be.
    pub(super) fn settle_definition(&mut self, pipeline: &PipelineNow) -> Option<PipelineSpec> {
        let spec = &pipeline.spec;
        let Some(rule) = &spec.definition else {
            return Some(spec.clone());
        };
        if !self.may_ask_on() {
            return None;
        }
        self.settle_place(spec, rule);
        let known = self.next.definition.clone().unwrap_or_default();
        if known.sha.is_none() {
            let branch = &spec.source.git.branch;
            let what = format!("the head of {branch}, for {}", path());
            self.ask_repository(spec, &what, None);
            return None;
        }
        if let Some(wanted) = wanted(&known) {
            self.ask_repository(spec, &path(), Some(wanted));
            return None;
        }
        match merged(spec, known.text.as_deref()) {
            Ok(whole) => Some(whole),
            Err(message) => {
                self.fail(None, FailureKind::Definition, message);
                None
            }
        }
    }

    /// Settles the commit at which the file is read, where that follows from what is known. Code of others never brings its own
    /// definition.
    fn settle_place(&mut self, spec: &PipelineSpec, rule: &DefinitionRule) {
        let run = &self.seen.spec;
        let is_of_branch = run.git_ref == format!("refs/heads/{}", spec.source.git.branch);
        let brings_own = match rule.from() {
            DefinitionSource::DefaultBranch => is_of_branch,
            DefinitionSource::Commit => self.seen.is_trusted(),
        };
        if self.next.sha.is_none() {
            self.next.sha.clone_from(&run.sha);
        }
        let sha = self.next.sha.clone().filter(|_| brings_own);
        let known = self.next.definition.get_or_insert_default();
        if known.sha.is_none() {
            known.sha = sha;
        }
    }

    /// Whether a repository that did not answer, or not well, is asked once more.
    pub(super) fn may_ask_on(&mut self) -> bool {
        let Some(error) = self.next.source_error.clone() else {
            return true;
        };
        let has_waited = self.seen.created_at + super::GIVE_UP_ASKING < self.now;
        if error.kind.is_transient() && !has_waited {
            return true;
        }
        let kind = if error.kind == SourceErrorKind::Definition {
            FailureKind::Definition
        } else {
            FailureKind::Clone
        };
        self.fail(None, kind, error.message);
        false
    }

    /// Drops the file once it is part of what the run follows, or nothing follows from it any more.
    pub(super) fn drop_definition(&mut self) {
        if let Some(known) = &mut self.next.definition {
            known.text = None;
            known.object = None;
        }
    }
}
