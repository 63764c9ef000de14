//! Logs, traces and metrics.

pub mod metrics;
pub mod series;
pub mod trace;
