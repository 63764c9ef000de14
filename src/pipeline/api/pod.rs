//! What is in the pod of a stage beside its script: variables, settings, services. No I/O.

use std::collections::BTreeMap;
use std::time;

use kube::core::Duration;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::check::api::Variable;
use crate::model::secret::SecretKey;
use crate::schema::{self, closed_set};

/// Names of the containers that Slipway has in a stage's pod beside the services.
pub const OUR_CONTAINERS: [&str; 9] = [
    "tools", "source", "restore", "caches", "packages", "fetch", "logs", "claim", "main",
];

/// One environment variable.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = schema::Rules(&[
    ("[has(self.value), has(self.secretRef), has(self.secretFile)].filter(given, given).size() <= 1",
     "a variable has one value: set value, secretRef or secretFile"),
]))]
pub struct EnvVar {
    /// Name of the variable. Example: `PYTHONUNBUFFERED`.
    #[schemars(transform = schema::variable_name)]
    pub name: String,
    /// Its value, taken as it stands. Default: empty. Example: `"1"`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::text::<4096>)]
    pub value: Option<String>,
    /// A key of a Secret that is its value; not for `Build` stages. The Secret carries the label
    /// `slipway.dev/use`; the value has at least 6 characters, and is taken out of logs and reports.
    /// Default: none. Example: `{name: package-index, key: token}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<SecretKey>,
    /// A key of such a Secret as a file; the variable holds the path of that file. Default: none.
    /// Example: `{name: package-index, key: pip.conf}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_file: Option<SecretKey>,
}

closed_set! {
    /// What the containers of a pod may do.
    #[derive(Default)]
    pub enum SecurityProfile {
        /// Whatever user the image has, root too, without further rights. Fits the Pod Security Standard `baseline`.
        #[default]
        Baseline,
        /// No root and no rights at all. Fits the Pod Security Standard `restricted`.
        Restricted,
    }
}

/// Where and as whom the pod of a stage runs.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct PodSettings {
    /// Labels of the nodes that may take the pod, at most 16. Default: any node.
    /// Example: `{kubernetes.io/arch: arm64}`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(transform = schema::text_map::<16>)]
    pub node_selector: BTreeMap<String, String>,
    /// Taints that the pod puts up with, as in a pod; at most 16. Default: none.
    /// Example: `[{key: ci, operator: Exists, effect: NoSchedule}]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::raw_objects::<16>)]
    pub tolerations: Vec<Value>,
    /// Name of the priority class. Default: that of the cluster. Example: `ci`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::record_name)]
    pub priority_class_name: Option<String>,
    /// Name of the runtime class, such as one with a kernel of its own. Default: that of the node. Example: `kata`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::record_name)]
    pub runtime_class_name: Option<String>,
    /// `false` gives the pod a user namespace of its own, where the node can: its root is nobody outside.
    /// Default: that of the cluster, which is `true`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_users: Option<bool>,
    /// Service account of the pod, in the same namespace. Its token is not mounted.
    /// Default: `spec.serviceAccountName`. Example: `ci`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::record_name)]
    pub service_account_name: Option<String>,
    /// Secrets with which images are pulled, at most 8; they carry the label `slipway.dev/use`.
    /// Default: those of the service account. Example: `[registry]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::record_names::<8>)]
    pub image_pull_secrets: Vec<String>,
    /// What the containers may do: `Baseline` lets the image choose its user, `Restricted` fits namespaces with
    /// the Pod Security Standard `restricted`. `Build` stages have rights of their own. Default `Baseline`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub security_profile: Option<SecurityProfile>,
    /// Number of the user as whom all containers run; not for `Build` stages. Default: that of each image; with
    /// `Restricted`, `65532`. Example: `1000`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 2_147_483_647))]
    pub run_as_user: Option<i64>,
}

/// A program that runs beside the script, such as a database for tests. The script reaches it at
/// `localhost`, and by its name.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = schema::Rules(&[
    ("!(self.name in ['tools', 'source', 'restore', 'caches', 'packages', 'fetch', 'logs', 'claim', 'main'])",
     "a container of Slipway's own has that name: call the service otherwise"),
    ("has(self.image) != has(self.imageFrom)",
     "a service runs one image: set image or imageFrom"),
]))]
pub struct Service {
    /// Name of the service: a host name for the script, and the name of its container. Example: `postgres`.
    #[schemars(transform = schema::name)]
    pub name: String,
    /// Its image. Example: `registry.example/postgres:17`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::image)]
    pub image: Option<String>,
    /// Build stage whose image it is instead, by the digest that this run has made; the stage has to need it, and the node
    /// has to be able to pull it. Example: `api`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::name)]
    pub image_from: Option<String>,
    /// Program and arguments instead of those of the image; at most 32. Default: the image's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::texts::<32, 1024>)]
    pub command: Vec<String>,
    /// Environment variables, at most 64. No secrets: what services print is not looked through for them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::by_name::<64>)]
    pub env: Vec<Variable>,
    /// How it is known that the service is ready; the script is not started before. Default: as soon as it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready: Option<Readiness>,
    /// Requests and limits, as in a pod's container. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::raw_object)]
    pub resources: Option<Value>,
}

/// How it is known that a service is ready. It is asked every second.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = schema::Rules(&[
    ("[has(self.tcp), has(self.http), has(self.exec)].filter(given, given).size() == 1",
     "ready needs one way to ask: set tcp, http or exec"),
]))]
pub struct Readiness {
    /// A port of the pod that takes connections. Example: `5432`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub tcp: Option<u16>,
    /// A page of the pod that is answered with a status from 200 to 399.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<ReadyPage>,
    /// Program and arguments, run inside the service; ready when they end with exit code 0. At most 16.
    /// Example: `[pg_isready, -U, postgres]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::texts::<16, 1024>)]
    pub exec: Vec<String>,
    /// How long the service may take to be ready before the stage fails. A duration; default `2m`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::duration)]
    pub timeout: Option<Duration>,
}

/// A page that tells that a service is ready.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ReadyPage {
    /// Its port. Example: `8080`.
    #[schemars(range(min = 1, max = 65535))]
    pub port: u16,
    /// Its path. Default `/`. Example: `/healthz`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::url_path)]
    pub path: Option<String>,
}

impl PodSettings {
    /// These settings, and those of `defaults` where these have none.
    #[must_use]
    pub fn or(&self, defaults: &Self) -> Self {
        let of = |own: &Option<String>, default: &Option<String>| {
            own.as_ref().or(default.as_ref()).cloned()
        };
        let own = self.clone();
        Self {
            node_selector: if own.node_selector.is_empty() {
                defaults.node_selector.clone()
            } else {
                own.node_selector
            },
            tolerations: if own.tolerations.is_empty() {
                defaults.tolerations.clone()
            } else {
                own.tolerations
            },
            priority_class_name: of(&own.priority_class_name, &defaults.priority_class_name),
            runtime_class_name: of(&own.runtime_class_name, &defaults.runtime_class_name),
            host_users: own.host_users.or(defaults.host_users),
            service_account_name: of(&own.service_account_name, &defaults.service_account_name),
            image_pull_secrets: if own.image_pull_secrets.is_empty() {
                defaults.image_pull_secrets.clone()
            } else {
                own.image_pull_secrets
            },
            security_profile: own.security_profile.or(defaults.security_profile),
            run_as_user: own.run_as_user.or(defaults.run_as_user),
        }
    }
}

impl Readiness {
    /// How long the service may take.
    pub fn timeout(&self) -> time::Duration {
        self.timeout
            .map_or(time::Duration::from_mins(2), Into::into)
    }
}
