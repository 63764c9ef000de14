//! The version that a run is about: that of its tag, or the one that its commits have asked for. Pure.

use semver::Version;

use super::api::PipelineRunStatus;
use crate::git::refs::tag_of;
use crate::pipeline::api::PipelineSpec;
use crate::release::version;

/// The tag that a Release stage leaves in the repository.
pub fn tag_of_run(spec: &PipelineSpec, git_ref: &str, status: &PipelineRunStatus) -> String {
    if let Some(tag) = tag_of(git_ref) {
        return tag.to_owned();
    }
    let number = of_run(spec, git_ref, status).map(|number| number.to_string());
    let rule = spec.release.version.clone().unwrap_or_default();
    format!("{}{}", rule.tag_prefix(), number.unwrap_or_default())
}

/// The version of a run, as far as it is known.
pub fn of_run(spec: &PipelineSpec, git_ref: &str, status: &PipelineRunStatus) -> Option<Version> {
    if let Some(tag) = tag_of(git_ref) {
        let rule = spec.release.version.as_ref();
        return version::of_tag(tag, rule.and_then(|rule| rule.tag_prefix.as_deref()));
    }
    let known = status.version.as_ref()?.number.as_deref()?;
    Version::parse(known).ok()
}
