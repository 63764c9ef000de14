//! Pipeline: how a repository is tested, built, checked and released.
//!
//! People keep it in Git. The operator watches the branch of its source and makes one `PipelineRun` per
//! commit; the stages of a run are Jobs, its gates judge their reports, and a run that passes them makes
//! a `Release`. Deleting a Pipeline deletes its runs and never its Releases.

pub mod api;
