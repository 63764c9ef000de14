//! Registries of images and artifacts, as the OCI distribution specification has them: what stage pods and the operator
//! need of them, and nothing else.
//!
//! `repository` says where something is, `login` how to get in, `manifest` what lies there: all pure. `client` talks to the
//! registry. What refers to an image (its SBOM, its signatures) is found by the referrers API, and where a registry has none, by
//! the tag that the specification names for that case.

pub mod client;
pub mod login;
pub mod manifest;
pub mod repository;
mod wire;

pub use wire::{Guard, Problem, RegistryError};
