//! Slipway takes a commit to production and back again, on Kubernetes.
//!
//! Reading order: `model` (small values), `controller` (the driver of all kinds), `rollout` (a kind), `traffic`
//! and `metric` (what a kind decides with), `cluster` (what touches the API server). See ARCHITECTURE.md.

#![cfg_attr(
    test,
    allow(
        clippy::wildcard_enum_match_arm,
        clippy::too_many_lines,
        reason = "a test says what it expects and fails on anything else"
    )
)]

// What the targets of fuzz/ name, which are built with the tests.
#[cfg(test)]
extern crate self as libfuzzer_sys;
#[cfg(test)]
extern crate self as slipway;

pub mod analysis;
#[cfg(test)]
mod architecture;
pub mod archive;
pub mod book;
pub mod chart;
pub mod check;
pub mod cli;
pub mod clock;
pub mod cluster;
pub mod config;
pub mod controller;
pub mod crd;
#[cfg(feature = "dashboard")]
pub mod dashboard;
pub mod decision;
pub mod dora;
pub mod environment;
pub mod error;
pub mod expression;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
pub mod gate;
pub mod git;
pub mod kinds;
pub mod leader;
pub mod metric;
pub mod model;
pub mod notification;
pub mod oci;
pub mod operator;
pub mod outbox;
pub mod permission;
pub mod pipeline;
pub mod pipeline_run;
pub mod promotion;
pub mod provider;
pub mod receiver;
pub mod reference;
pub mod release;
pub mod report;
pub mod retry;
pub mod rollout;
pub mod runner;
pub mod schema;
pub mod slo;
pub mod supply;
pub mod telemetry;
pub mod traffic;
pub mod web;
pub mod write_back;
