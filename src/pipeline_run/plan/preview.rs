//! A stage that has no pod: it waits until the preview of the run's pull request answers with the commit of the run. That it waits
//! is what the Environment sees, and makes the preview for. No I/O.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::super::api::{FailureKind, RunPreview, SkipReason, StagePhase, StageStatus};
use super::super::observed::PreviewSaid;
use super::super::verdict::{self, Ending};
use super::attempt::Part;
use super::stage::skip;
use super::{Draft, cells};
use crate::environment::api::{PreviewPhase, PreviewStatus};
use crate::model::span::after;
use crate::pipeline::api::{PipelineSpec, Stage};

/// What came of a look at the preview.
enum Looked {
    Waits(String),
    Answers(String),
    Skips(String),
    Fails(FailureKind, String),
}

impl Draft<'_> {
    /// Begins to wait. A run that is about no pull request has no preview and goes on; one that people started for a pull request
    /// has none either, and fails with its next look.
    pub(super) fn begin_preview(&mut self, stage: &Stage, status: &mut StageStatus) {
        let Some(wait) = &stage.preview else { return };
        if self.seen.spec.pull_number().is_none() {
            let why = "not started, because the run is about no pull request".to_owned();
            skip(status, SkipReason::Nothing, why);
            return;
        }
        status.phase = StagePhase::Running;
        status.attempt = Some(1);
        status.started_at = Some(Time(self.now));
        status.message = Some("waits for the preview".to_owned());
        self.next.preview = Some(RunPreview {
            environment: wait.environment.clone(),
            url: None,
        });
        let until = after(self.now, stage.timeout());
        self.wake_at(if self.is_by_hand() { self.now } else { until });
    }

    /// Whether a person started it for a pull request of which nobody told. One that is tried again is what it was.
    fn is_by_hand(&self) -> bool {
        let spec = &self.seen.spec;
        spec.trigger.pull_request.is_none() && spec.retry_of.is_none()
    }

    /// Looks whether it answers.
    pub(super) fn follow_preview(
        &mut self,
        spec: &PipelineSpec,
        stage: &Stage,
        status: &mut StageStatus,
    ) {
        let began = status.started_at.as_ref().map_or(self.now, |at| at.0);
        let until = after(began, stage.timeout());
        let ending: Ending = match self.look_at_preview(stage) {
            Looked::Answers(url) => {
                if let Some(preview) = &mut self.next.preview {
                    preview.url = Some(url);
                }
                verdict::success()
            }
            Looked::Skips(why) => {
                let why = format!("it has no preview: {why}");
                skip(status, SkipReason::Nothing, why);
                self.next.preview = None;
                return;
            }
            Looked::Fails(kind, why) => verdict::ending(kind, why),
            Looked::Waits(what) if until <= self.now => {
                let text = format!("the preview does not answer within timeout: {what}");
                verdict::ending(FailureKind::Timeout, text)
            }
            Looked::Waits(what) => {
                self.wake_at(until);
                status.message = Some(what);
                return;
            }
        };
        let part = Part {
            spec,
            stage,
            cell: None,
        };
        let mut whole = cells::of_stage(status);
        whole.message = None;
        self.take_in(part, status, &mut whole, ending);
        cells::set(status, whole);
    }

    fn look_at_preview(&self, stage: &Stage) -> Looked {
        if self.is_by_hand() {
            let text = "a run that was started by hand has no preview; try again one of the pull request, or push a commit to it".to_owned();
            return Looked::Fails(FailureKind::Preview, text);
        }
        let name = stage.preview.as_ref().map(|wait| wait.environment.as_str());
        let name = name.unwrap_or_default();
        match self.seen.previews.get(name) {
            None | Some(PreviewSaid::Missing) => {
                let text =
                    format!("there is no Environment {name}; create it, or correct the name");
                Looked::Fails(FailureKind::Config, text)
            }
            Some(PreviewSaid::Impossible(why)) => Looked::Fails(FailureKind::Config, why.clone()),
            Some(PreviewSaid::Nothing) => {
                Looked::Waits(format!("waits until Environment {name} sees the run"))
            }
            Some(PreviewSaid::Status(preview)) => self.judge_preview(preview),
        }
    }

    fn judge_preview(&self, preview: &PreviewStatus) -> Looked {
        let message = preview.message.clone().unwrap_or_default();
        let is_ours = preview.run.as_ref() == Some(&self.seen.key.name);
        match preview.phase {
            PreviewPhase::Ready if is_ours => Looked::Answers(preview.url.clone()),
            PreviewPhase::Failed | PreviewPhase::Refused if is_ours => Looked::Fails(
                FailureKind::Preview,
                format!("the preview cannot be: {message}"),
            ),
            PreviewPhase::Skipped if is_ours => Looked::Skips(message),
            PreviewPhase::Queued
            | PreviewPhase::Skipped
            | PreviewPhase::Idle
            | PreviewPhase::Updating
            | PreviewPhase::Ready
            | PreviewPhase::Failed
            | PreviewPhase::Refused
            | PreviewPhase::Closing => Looked::Waits(format!("the preview {message}")),
        }
    }
}
