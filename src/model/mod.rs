//! Small values that every kind shares. Pure: nothing in here can reach a client, a clock or a runtime.

pub mod access;
pub mod action;
pub mod change;
pub mod changed;
pub mod condition;
pub mod glob;
pub mod invalid;
pub mod json;
pub mod kept;
pub mod key;
pub mod label;
pub mod mail;
pub mod manifest;
pub mod object;
pub mod place;
pub mod plan;
pub mod probe;
pub mod revision;
pub mod secret;
pub mod signed;
pub mod span;
pub mod tagged;
pub mod trouble;
pub mod weight;
pub mod workload;
pub mod zone;
