//! The version that a run is about: that of its tag, or the one that its commits have asked for. Pure.

use semver::Version;

use super::api::PipelineRunStatus;
use crate::git::refs::tag_of;
use crate::pipeline::api::PipelineSpec;
use crate::release::version;

/// The version of a run, as far as it is known.
pub fn of_run(spec: &PipelineSpec, git_ref: &str, status: &PipelineRunStatus) -> Option<Version> {
    if let Some(tag) = tag_of(git_ref) {
        let rule = spec.release.version.as_ref();
        return version::of_tag(tag, rule.and_then(|rule| rule.tag_prefix.as_deref()));
    }
    let known = status.version.as_ref()?.number.as_deref()?;
    Version::parse(known).ok()
}
