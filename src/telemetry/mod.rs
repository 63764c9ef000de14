//! Logs, traces and metrics.

pub mod change;
pub mod metrics;
pub mod series;
pub mod trace;
