//! Measuring and judging: providers render a request and read its reply, `judge` counts. No I/O.

pub mod expression;
pub mod judge;
pub mod placeholder;
pub mod prometheus;

/// One measurement, read.
#[derive(Clone, Debug, PartialEq)]
pub enum Sample {
    /// A number, which the metric's conditions judge.
    Value(f64),
    /// The query matched nothing, or divided nothing by nothing. Never 0.
    Empty,
    /// There is no answer to rely on: the sentence says why.
    Error(String),
}
