//! Brings a run to its end before its time: a person asks for it, or it takes too long. No I/O.
//!
//! What runs is stopped and what has not started is skipped, but for what runs always: that is done as ever. Verdicts
//! that are there stay, and a run that is already making its Release goes on. A newer run stops none that has begun to sign, to
//! tag or to publish: that cannot be taken back, and would be half done.

use jiff::SignedDuration;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::super::api::RunPhase;
use super::super::api::{
    Failure, FailureKind, SkipReason, StagePhase, StageStatus, Stop, StopKind,
};
use super::stage::{Wave, skip};
use super::turn::said;
use super::version::uses_version;
use super::{Draft, cells};
use crate::pipeline::api::PipelineSpec;

impl Draft<'_> {
    /// Ends a run of which nothing has started, if a person wants that.
    pub(super) fn cancel_unstarted(&mut self) -> bool {
        let is_cancelled = self.seen.cancelled_by.is_some() && self.next.stages.is_empty();
        if is_cancelled {
            self.next.source_error = None;
            self.end(RunPhase::Cancelled);
        }
        is_cancelled
    }

    /// Stops a run that a person wants stopped, or that has taken too long.
    pub(super) fn stop_early(&mut self, spec: &PipelineSpec) {
        if self.next.stopping.is_none() && self.next.release.is_none() {
            self.next.stopping = self
                .cancelled()
                .or_else(|| self.superseded().filter(|_| !uses_version(&self.next)))
                .or_else(|| self.out_of_time(spec));
        }
        let Some(stop) = self.next.stopping.clone() else {
            return;
        };
        let (phase, why) = match (stop.kind, &stop.by) {
            (StopKind::Cancelled, Some(user)) => {
                (StagePhase::Cancelled, format!("stopped by {user}"))
            }
            (StopKind::Cancelled, None) => (StagePhase::Cancelled, "stopped".to_owned()),
            (StopKind::Superseded | StopKind::Rejected, _) => (StagePhase::Cancelled, said(&stop)),
            (StopKind::TimedOut, _) => (StagePhase::TimedOut, too_long(spec)),
        };
        for stage in spec
            .stages
            .iter()
            .filter(|stage| Wave::of(stage) != Wave::Always)
        {
            let mut all = self.next.stages.iter_mut();
            let is_open =
                |known: &&mut StageStatus| known.name == stage.name && !known.phase.is_over();
            if let Some(status) = all.find(is_open) {
                stop_stage(status, phase, &why, self.now);
            }
        }
    }

    fn cancelled(&self) -> Option<Stop> {
        let user = self.seen.cancelled_by.clone()?;
        Some(Stop {
            kind: StopKind::Cancelled,
            by: Some(user),
            at: Time(self.now),
        })
    }

    fn out_of_time(&mut self, spec: &PipelineSpec) -> Option<Stop> {
        let Time(started_at) = self.next.started_at.clone()?;
        if !self.has_work_left(spec) {
            return None;
        }
        let limit: std::time::Duration = spec.timeout.into();
        let limit = SignedDuration::try_from(limit).unwrap_or(SignedDuration::MAX);
        let until = started_at.checked_add(limit).ok()?;
        if until > self.now {
            self.wake_at(until);
            return None;
        }
        self.note_failure(Failure {
            stage: None,
            cell: None,
            kind: FailureKind::Timeout,
            hint: Some(too_long(spec)),
            log_tail: None,
        });
        Some(Stop {
            kind: StopKind::TimedOut,
            by: None,
            at: Time(self.now),
        })
    }
}

fn too_long(spec: &PipelineSpec) -> String {
    let limit = spec.timeout;
    format!(
        "the run took longer than {limit:?}; raise spec.timeout of the Pipeline, or make its stages faster"
    )
}

fn stop_stage(status: &mut StageStatus, phase: StagePhase, why: &str, now: jiff::Timestamp) {
    if status.phase == StagePhase::Pending {
        skip(status, SkipReason::Stopped, format!("not started: {why}"));
        return;
    }
    cells::stop_all(status, phase, why, now);
    if !status.cells.is_empty() {
        cells::sum_up(status, None);
    }
    if !status.phase.is_over() || status.cells.is_empty() {
        status.phase = phase;
    }
    status.finished_at = Some(Time(now));
    status.retry_at = None;
    status.message = Some(why.to_owned());
}
