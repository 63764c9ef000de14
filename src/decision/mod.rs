//! Decision: one human act on one object; append-only, identity proven.
//!
//! Annotations are reverted by GitOps tools and status patches prove no identity, so an approval, a pause
//! or a rollback by hand is an object of its own. The API server checks that `spec.user` is the one who
//! asks, that the groups are real, and that the user has the verb of the action on the target
//! (`approve` on `environments/production`). The operator reads Decisions and never writes one.

pub mod act;
pub mod api;
