//! PipelineRun: one execution of a Pipeline, at one commit.
//!
//! A record: its spec never changes. The operator makes one per pushed commit, under a name that follows
//! from the trigger, so that a repeated trigger is the same run; a person makes one with trigger `Manual`.
//! The stages are Jobs that the run owns; their verdicts, reports and artifacts end in its status.

pub mod api;
