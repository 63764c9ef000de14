//! How requests reach the pods, in YAML. Types only. No I/O.

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::core::Duration;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::schema;

/// How requests reach the pods.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Traffic {
    /// Port of the Services `<name>-stable` and `<name>-canary`, which are created. Default `80`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: Option<i32>,
    /// Port of the pods, by name or number; a name goes with each revision when it changes. Default: the same
    /// as `port`. Example: `http`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::port_or_name)]
    pub target_port: Option<IntOrString>,
    /// Time for which a pod that is being replaced goes on answering: proxies need it to hear that it
    /// is going. A duration. Default `30s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::duration)]
    pub drain: Option<Duration>,
    /// Weights through the Gateway API.
    #[serde(rename = "gatewayAPI")]
    pub gateway_api: GatewayApi,
}

/// Weights through the Gateway API.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct GatewayApi {
    /// The HTTPRoute that is created, with the Rollout's name.
    pub generate: GeneratedRoute,
}

/// The HTTPRoute that is created.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct GeneratedRoute {
    /// Gateways that the route attaches to, as in an HTTPRoute. Example: `[{name: web, namespace: gateways}]`.
    #[schemars(length(min = 1), transform = schema::raw_objects::<8>)]
    pub parent_refs: Vec<Value>,
    /// Host names, as in an HTTPRoute. Default: all hosts of the Gateway. Example: `[shop.example.com]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::texts::<16, 253>)]
    pub hostnames: Vec<String>,
    /// Which requests, as in a rule of an HTTPRoute. Default: all.
    /// Example: `[{path: {type: PathPrefix, value: /api}}]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::raw_objects::<8>)]
    pub matches: Vec<Value>,
}
