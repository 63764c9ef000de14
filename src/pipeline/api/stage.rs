//! Stages: what a run does. No I/O.

use std::time;

use kube::core::Duration;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Build, EnvVar, PodSettings, Reports, Service};
use crate::schema::{self, closed_set};

/// What every stage has unless it says otherwise.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct StageDefaults {
    /// Image in which `run` runs. Default: each stage names its own. Example: `registry.example/ci/python:3.12`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::image)]
    pub image: Option<String>,
    /// Environment variables of every stage; one that a stage sets itself wins. At most 64.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::by_name::<64>)]
    pub env: Vec<EnvVar>,
    /// Requests and limits, as in a pod's container. Default: none.
    /// Example: `{requests: {cpu: 500m, memory: 512Mi}, limits: {memory: 2Gi}}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::raw_object)]
    pub resources: Option<Value>,
    /// Where and as whom the pods of stages run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<PodSettings>,
}

closed_set! {
    /// What a stage does.
    pub enum StageType {
        /// Runs a script whose exit code and reports are the result.
        Test,
        /// Builds an image and pushes it by digest.
        Build,
    }
}

/// One stage of a run: a Job.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = schema::Rules(&[
    ("self.type != 'Test' || (has(self.run) && !has(self.build))",
     "a Test stage needs run and takes no build"),
    ("self.type != 'Build' || (has(self.build) && !has(self.run))",
     "a Build stage needs build and takes no run: what is built stands in the Dockerfile"),
    ("self.type != 'Build' || !has(self.image)",
     "a Build stage takes no image: the operator sets the builder's; build.image is where the result is pushed"),
    ("has(self.run) || (!has(self.services) && !has(self.caches))",
     "services and caches are for stages with run"),
    ("self.type != 'Build' || !has(self.reports)",
     "a Build stage makes no reports: move them to a Test stage"),
]))]
pub struct Stage {
    /// Name of the stage; logs, gates and messages use it. Example: `unit`.
    #[schemars(transform = schema::name)]
    pub name: String,
    /// What the stage does: `Test` runs a script, `Build` builds an image.
    #[serde(rename = "type")]
    pub type_: StageType,
    /// Stages that must have succeeded before this one starts; at most 16. Default: none.
    /// Example: `[unit]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::names::<16>)]
    pub needs: Vec<String>,
    /// Image in which `run` runs. Default: `defaults.image`. Only for `Test`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::image)]
    pub image: Option<String>,
    /// Shell script, run by `/bin/sh -e` in the root of the repository; any exit code but 0 fails the
    /// stage. At most 16384 characters. Only for `Test`. Example: `pytest --junitxml=junit.xml`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::some_text::<16384>)]
    pub run: Option<String>,
    /// Environment variables of the stage, beside `defaults.env`. At most 64.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::by_name::<64>)]
    pub env: Vec<EnvVar>,
    /// How long the stage may take before it is stopped and fails. A duration; default `30m`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::duration)]
    pub timeout: Option<Duration>,
    /// Requests and limits, as in a pod's container. Default: `defaults.resources`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::raw_object)]
    pub resources: Option<Value>,
    /// Where and as whom the pod runs; what is not set here is taken from `defaults.pod`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<PodSettings>,
    /// Programs that run beside the script, at most 8; they are started one after the other, each when the one
    /// before is ready, and the script after all of them. Only for stages with `run`. Default: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::by_name::<8>)]
    pub services: Vec<Service>,
    /// Caches of the Pipeline that the stage uses, at most 8. Only for stages with `run`. Default: none.
    /// Example: `[pip]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::names::<8>)]
    pub caches: Vec<String>,
    /// Files that the script leaves and the gates judge. Default: only the exit code counts.
    /// Only for `Test`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reports: Option<Reports>,
    /// What is built and where it goes. Only for `Build`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub build: Option<Build>,
}

impl Stage {
    /// Where and as whom the pod runs.
    pub fn pod(&self, defaults: &StageDefaults) -> PodSettings {
        let defaults = defaults.pod.clone().unwrap_or_default();
        self.pod
            .as_ref()
            .map_or_else(|| defaults.clone(), |own| own.or(&defaults))
    }

    /// How long the stage may take.
    pub fn timeout(&self) -> time::Duration {
        self.timeout
            .map_or(time::Duration::from_mins(30), Into::into)
    }
}
