//! Slipway.

pub mod analysis;
pub mod crd;
pub mod decision;
pub mod environment;
pub mod kinds;
pub mod pipeline;
pub mod pipeline_run;
pub mod promotion;
pub mod release;
pub mod schema;
