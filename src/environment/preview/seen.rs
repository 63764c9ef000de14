//! What one reconcile sees of previews, and what comes of it. No I/O.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use super::super::api::{PreviewStatus, Previews, PrometheusServer};
use super::super::observed::Check;
use super::super::slo::Answers;
use super::Space;
use crate::model::action::Action;
use crate::model::key::Key;
use crate::pipeline::api::LabelledPullRequest;
use crate::pipeline::secret::Secrets;
use crate::release::api::ImageRef;
use crate::rollout::api::Phase;

/// What one reconcile sees of previews.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Seen {
    /// Why there can be none here: a word and a sentence.
    pub blocked: Option<(&'static str, String)>,
    /// Runs of pull requests whose images may be shown.
    pub runs: Vec<Run>,
    /// Pull requests that are over, and since when.
    pub closed: BTreeMap<u64, Timestamp>,
    /// Which labels pull requests have, as far as somebody told.
    pub labels: BTreeMap<u64, LabelledPullRequest>,
    /// Labels that pull requests have to carry and that are not looked for, because previews ask for too many.
    pub unasked: BTreeSet<String>,
    /// What pods may do in the namespace of the Environment, by its labels: as much as they may in previews.
    pub pod_security: BTreeMap<String, String>,
    /// What is known of the Secrets that the seed names; nothing where it was not looked.
    pub secrets: Option<Secrets>,
    /// Namespaces of previews of this Environment.
    pub spaces: Vec<Space>,
    /// Names that previews would have, and that others have taken.
    pub taken: BTreeSet<String>,
    /// Those of them that the operator does not watch.
    pub unwatched: BTreeSet<String>,
    /// What is copied, as the server has it.
    pub templates: Vec<Value>,
    /// Rollouts of previews, by namespace.
    pub rollouts: BTreeMap<String, Vec<Live>>,
}

/// A run of a pull request that passed, or that waits for its preview.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    /// Its name.
    pub name: String,
    /// The pull request.
    pub number: u64,
    /// The commit.
    pub sha: String,
    /// Who brought it.
    pub author: String,
    /// Whether its commits are from another repository, or may be.
    pub is_fork: bool,
    /// Whether somebody had to approve this commit before it ran, and has.
    pub is_approved: bool,
    /// When it was started.
    pub started_at: Timestamp,
    /// When it ended, if it has.
    pub finished_at: Option<Timestamp>,
    /// Its images.
    pub images: Vec<ImageRef>,
    /// Its packages.
    pub packages: Vec<ImageRef>,
}

/// A Rollout in a preview.
#[derive(Clone, Debug, PartialEq)]
pub struct Live {
    /// Its name.
    pub name: String,
    /// The run that it was copied for.
    pub run: String,
    /// Whether its status is about its present spec.
    pub is_current: bool,
    /// Where it is.
    pub phase: Phase,
    /// What it says.
    pub message: String,
}

/// What previews are of.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// The Environment.
    pub key: &'a Key,
    /// What people want.
    pub spec: &'a Previews,
    /// What is there.
    pub seen: &'a Seen,
    /// What was shown last.
    pub before: &'a [PreviewStatus],
    /// Who tells whether anybody asks for one.
    pub prometheus: Option<&'a PrometheusServer>,
    /// What was answered.
    pub answers: &'a Answers,
    /// Jobs of the Environment.
    pub checks: &'a BTreeMap<String, Check>,
}

/// What is to be done, and what is shown.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outlook {
    /// In order.
    pub actions: Vec<Action>,
    /// When to look again.
    pub wake: Option<Timestamp>,
    /// What is shown.
    pub shown: Shown,
}

/// What is shown of previews.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Shown {
    /// Each of them.
    pub items: Vec<PreviewStatus>,
    /// Whether all is well: a word and a sentence. Nothing where there are none to be.
    pub said: Option<(bool, &'static str, String)>,
}
