//! Environment: where Releases go, and what must hold before and after.
//!
//! People keep it in Git. It takes Releases from Pipelines or from other Environments, makes one
//! `Promotion` per attempt, waits for approvals, and then says in `status.desired` which images should run.
//! Rollouts bound to it follow that; nobody writes a spec. Only the Environment changes `desired`: it also
//! goes back to the last good Release when a Rollout or a smoke test fails.

pub mod api;
