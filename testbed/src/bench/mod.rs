//! Benchmarks of the operator on a control plane with scripted nodes: how long, how much CPU and memory, how many requests.
//!
//! They print what they measure and judge it by goals; they never fail because of a figure. The work of [`rollout`] is the
//! one on which the peers' figures were taken (`docs/performance.md`).
#![expect(
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    reason = "a benchmark plays people and other controllers, and a field that JSON lacks reads as null"
)]

mod bare;
mod calls;
pub mod chart;
mod crowd;
pub mod environment;
mod metrics_server;
pub mod pipeline;
pub mod report;
pub mod rollout;
mod subject;
pub mod traces;
mod watching;
