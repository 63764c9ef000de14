//! Release: images by digest, the commits since the previous Release, and the evidence for them.
//!
//! A record that only the operator writes and that never changes; it has no reconciler. Environments
//! promote Releases. It outlives the Pipeline and the run that made it.

pub mod api;
pub mod commit;
pub mod file;
pub mod notes;
pub mod order;
pub mod report;
pub mod version;
