//! What the container that pushes packages is asked to do. No I/O.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Subject;
use crate::pipeline::api::PackageType;

/// Longest time for pushing, in seconds. It comes on top of the stage's timeout, within what a pod gets beyond it.
pub const PUSH_SECONDS: u64 = 480;

/// Push what the script has left, once it went well.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PackagesTask {
    /// The packages.
    pub packages: Vec<PackageItem>,
    /// What is said about each of them in its manifest.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// How long it may take.
    pub timeout_seconds: u64,
}

/// Where packages of earlier stages are, each in a folder of its name, in the pod of a stage that hands them out.
pub const FETCHED: &str = "/slipway-packages";
/// Longest time for fetching them, in seconds. It is within what a pod gets beyond the stage's timeout.
pub const FETCH_SECONDS: u64 = 300;

/// Fetch what earlier stages have pushed, before the script begins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FetchTask {
    /// The packages, by digest.
    pub packages: Vec<Subject>,
    /// Where they go.
    pub folder: String,
    /// How long it may take.
    pub timeout_seconds: u64,
}

/// One package.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PackageItem {
    /// Its name, and where it goes; the digest says nothing.
    #[serde(flatten)]
    pub subject: Subject,
    /// What it is.
    #[serde(rename = "type")]
    pub type_: PackageType,
    /// Globs of its files.
    pub files: Vec<String>,
}
