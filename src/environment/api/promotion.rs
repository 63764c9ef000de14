//! What an Environment looks like in YAML: where Releases come from, and how one follows another. No I/O.

use std::time;

use kube::core::Duration;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::schema::{self, closed_set};

/// Where Releases come from, and who starts a promotion.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = schema::Rules(&[
    ("!has(self.maxHold) || self.order == 'Latest'",
     "promotion.maxHold is for order Latest: in order, nothing is passed over"),
    ("!has(self.set) || !has(self.from.pipelines) || self.set.pipelines.all(name, name in self.from.pipelines)",
     "promotion.set.pipelines names Pipelines that promotion.from.pipelines does not: add them there, or take them out of the set"),
    ("!has(self.set) || !has(self.from.pipelines) || !(self.set.name in self.from.pipelines)",
     "promotion.set.name stands where the name of a Pipeline stands, and promotion.from.pipelines has one of that name: give the set another"),
    ("!has(self.set) || !(self.set.name in self.set.pipelines)",
     "promotion.set.name stands where the name of a Pipeline stands, and promotion.set.pipelines has one of that name: give the set another"),
]))]
pub struct PromotionRule {
    /// Where Releases come from: exactly one of `pipelines` and `environments`.
    pub from: PromotionSource,
    /// Pipelines whose Releases are promoted as one: all of a set start together, or none does, and all go back. Default: each
    /// goes its own way, unless the Environments before this one promote them as a set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub set: Option<ReleaseSet>,
    /// Who starts a promotion: `Auto`, every newer Release is a candidate at once; `Manual`, only a
    /// Decision `Promote` makes one. Default `Auto`.
    #[serde(default)]
    pub mode: PromotionMode,
    /// Which of several newer Releases comes next: `Latest`, the newest, which also takes the place of one that still waits;
    /// `InOrder`, the oldest, so that each has its turn. Newer is what was built from a later commit. Default `Latest`.
    #[serde(default)]
    pub order: PromotionOrder,
    /// For order `Latest`: how long newer Releases may take the place of what waits. When nothing was started for so long, what
    /// waits then keeps its place until it starts or ends. A duration; default: for ever. Example: `72h`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::duration)]
    pub max_hold: Option<Duration>,
    /// How long a promotion may take from its start to its end, with everything in it; then it fails as what it was at
    /// (`RolloutFailed` or `SmokeFailed`). A rollback has no limit. A duration; default: none. Example: `2h`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::duration)]
    pub timeout: Option<Duration>,
    /// What happens to checks that the infrastructure kept from a verdict.
    #[serde(default)]
    pub retries: Retries,
    /// What follows when people edit the pod template of a Rollout: `Gate`, it is worn once a Promotion has brought it, the next
    /// one of a Release or one of kind `Config`, which passes the protection; `Direct`, at once. Default: `Gate` for tier
    /// `Production`, else `Direct`. Example: `Direct`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template_changes: Option<TemplateChanges>,
}

/// Pipelines whose Releases are promoted as one.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ReleaseSet {
    /// Name of the set. It stands in the status and in Promotions where the name of a Pipeline stands, and its Releases are called
    /// `<name>-<12 hex digits>`, after what is in them. No Pipeline of the namespace may have it. Example: `shop`.
    #[schemars(transform = schema::name)]
    pub name: String,
    /// Names of the Pipelines, 2 to 8. Their images have names of their own. Example: `[shop-api, shop-web]`.
    #[schemars(length(min = 2), transform = schema::names::<8>)]
    pub pipelines: Vec<String>,
    /// Which of their Releases belong together: `Commit`, those that were built from the same commit, once every Pipeline has one;
    /// `Newest`, the newest of each that may come. Default `Commit`.
    #[serde(default)]
    pub together: SetRule,
}

closed_set! {
    /// Which Releases of several Pipelines belong together.
    #[derive(Default)]
    pub enum SetRule {
        /// Those of the same commit.
        #[default]
        Commit,
        /// The newest of each.
        Newest,
    }
}

closed_set! {
    /// What follows when people edit the pod template of a Rollout.
    pub enum TemplateChanges {
        /// A Promotion brings it.
        Gate,
        /// It is worn at once.
        Direct,
    }
}

/// What happens to a check that came to no verdict: its pod was evicted, its node is gone, its image cannot be had. A verdict
/// is never tried again.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Retries {
    /// How often one check is tried again, 0 to 10. Default `2`.
    #[serde(default = "limit")]
    #[schemars(range(min = 0, max = 10))]
    pub limit: u32,
    /// Time before it is tried again. A duration; default `30s`.
    #[serde(default = "backoff")]
    #[schemars(transform = schema::duration)]
    pub backoff: Duration,
}

fn limit() -> u32 {
    2
}

fn backoff() -> Duration {
    time::Duration::from_secs(30).into()
}

impl Default for Retries {
    fn default() -> Self {
        Self {
            limit: limit(),
            backoff: backoff(),
        }
    }
}

/// Where Releases come from.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = schema::Rules(&[
    ("has(self.pipelines) != has(self.environments)",
     "promotion.from needs exactly one of pipelines (for the first Environment) and environments"),
    ("!has(self.availability) || has(self.environments)",
     "promotion.from.availability is about environments: name some, or leave it out"),
]))]
pub struct PromotionSource {
    /// Names of Pipelines of the same namespace whose Releases come here first; at most 32.
    /// Example: `[shop-api]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1), transform = schema::names::<32>)]
    pub pipelines: Vec<String>,
    /// Names of Environments of the same namespace in which a Release must have succeeded before it
    /// comes here; at most 32. Example: `[staging]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1), transform = schema::names::<32>)]
    pub environments: Vec<String>,
    /// In how many of the Environments it must have: `All` of them, or `Any`, one. Default `All`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub availability: Option<PromotionAvailability>,
}

closed_set! {
    /// In how many Environments a Release must have succeeded.
    #[derive(Default)]
    pub enum PromotionAvailability {
        /// In each.
        #[default]
        All,
        /// In one.
        Any,
    }
}

closed_set! {
    /// Who starts a promotion.
    #[derive(Default)]
    pub enum PromotionMode {
        /// Every newer Release is a candidate at once.
        #[default]
        Auto,
        /// Only a Decision makes a Release a candidate.
        Manual,
    }
}

closed_set! {
    /// Which of several newer Releases comes next.
    #[derive(Default)]
    pub enum PromotionOrder {
        /// The newest.
        #[default]
        Latest,
        /// The oldest.
        InOrder,
    }
}

/// A Rollout that runs the images of an Environment.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct RolloutRef {
    /// Name of the Rollout, in the same namespace. Example: `api`.
    #[schemars(transform = schema::name)]
    pub name: String,
    /// Names of Rollouts of the same list that have to be healthy on what is promoted before this one follows; at most 8. On
    /// the way back none waits. Default: none. Example: `[api]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::names::<8>)]
    pub depends_on: Vec<String>,
}
