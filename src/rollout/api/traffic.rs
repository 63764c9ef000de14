//! How requests reach the pods, in YAML. Types only. No I/O.

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::core::Duration;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::schema::{self, closed_set};

/// How requests reach the pods. Without `gatewayAPI`, `istio`, `traefik` and `nginx` there are two Services and nothing
/// that divides between them: the stable one is switched from one revision to the next.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = schema::Rules(&[
    ("(has(self.allowForeign) && self.allowForeign) || (!has(self.istio) && !has(self.traefik) && (!has(self.gatewayAPI) || (!has(self.gatewayAPI.httpRoutes) && !has(self.gatewayAPI.grpcRoutes))))",
     "httpRoutes, grpcRoutes, istio and traefik name objects of yours that weights are written into: set allowForeign: true, and have your GitOps tool ignore them"),
    ("!has(self.sessionAffinity) || (has(self.gatewayAPI) && has(self.gatewayAPI.generate))",
     "sessionAffinity needs gatewayAPI.generate: in a route of yours, say it there"),
]))]
pub struct Traffic {
    /// Names of the two Services, which are created. With `allowForeign` they may be Services of yours that are there
    /// already: of those nothing but the key `slipway.dev/revision` of the selector is written, once the pods of the
    /// stable revision answer behind them. Default: `<name>-stable` and `<name>-canary`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub services: Option<ServiceNames>,
    /// Port of the Services. Default `80`.
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
    /// Whether weights may be written into objects that people own, and the revision into the selectors of their
    /// Services. They are put back, with all of the traffic for the stable Service, when they leave the spec and when the
    /// Rollout goes. Default `false`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allow_foreign: Option<bool>,
    /// Weights through the Gateway API.
    #[serde(
        rename = "gatewayAPI",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub gateway_api: Option<GatewayApi>,
    /// Weights through Istio. Several routers go together: a weight counts when all of them have it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub istio: Option<Istio>,
    /// Weights through Traefik's own kinds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traefik: Option<Traefik>,
    /// Weights through the canary annotations of ingress-nginx.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nginx: Option<Nginx>,
    /// Keeps a client on the revision that it got first. Default: every request is divided anew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_affinity: Option<SessionAffinity>,
}

/// Names of the two Services.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = schema::Rules(&[
    ("!has(self.stable) || !has(self.canary) || self.stable != self.canary", "stable and canary are two Services"),
]))]
pub struct ServiceNames {
    /// The Service of the stable revision. Default `<name>-stable`. Example: `api`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::name)]
    pub stable: Option<String>,
    /// The Service of the canary. Default `<name>-canary`. Example: `api-preview`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::name)]
    pub canary: Option<String>,
}

/// Weights through the Gateway API.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = schema::Rules(&[
    ("has(self.generate) || has(self.httpRoutes) || has(self.grpcRoutes)", "gatewayAPI needs generate, httpRoutes or grpcRoutes"),
]))]
pub struct GatewayApi {
    /// An HTTPRoute or a GRPCRoute that is created, with the Rollout's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generate: Option<GeneratedRoute>,
    /// HTTPRoutes of yours: of their rules, those that lead to both Services are driven. Needs `allowForeign`.
    /// Example: `[{name: shop}]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::by_name::<8>)]
    pub http_routes: Vec<RouteReference>,
    /// GRPCRoutes of yours, in the same way. Needs `allowForeign`. Example: `[{name: shop-grpc}]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::by_name::<8>)]
    pub grpc_routes: Vec<RouteReference>,
}

/// An object of yours, in the same namespace.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct RouteReference {
    /// Its name. Example: `shop`.
    #[schemars(transform = schema::record_name)]
    pub name: String,
}

closed_set! {
    /// The kind of a route.
    #[derive(Default)]
    pub enum RouteKind {
        /// Requests of HTTP.
        #[default]
        HTTPRoute,
        /// Calls of gRPC.
        GRPCRoute,
    }
}

/// The route that is created.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct GeneratedRoute {
    /// Its kind: `HTTPRoute`, or `GRPCRoute` for calls of gRPC. Default `HTTPRoute`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<RouteKind>,
    /// Gateways that the route attaches to, as in the route. Example: `[{name: web, namespace: gateways}]`.
    #[schemars(length(min = 1), transform = schema::raw_objects::<8>)]
    pub parent_refs: Vec<Value>,
    /// Host names, as in the route. Default: all hosts of the Gateway. Example: `[shop.example.com]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::texts::<16, 253>)]
    pub hostnames: Vec<String>,
    /// Which requests, as in a rule of the route. Default: all. Example of an HTTPRoute:
    /// `[{path: {type: PathPrefix, value: /api}}]`; of a GRPCRoute: `[{method: {service: shop.Cart, method: Add}}]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::raw_objects::<8>)]
    pub matches: Vec<Value>,
}

/// Weights through Istio.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Istio {
    /// VirtualServices of yours: of their HTTP routes, those that lead to both Services (or both subsets) are driven.
    /// Example: `[{name: shop, routes: [primary]}]`.
    #[schemars(length(min = 1), transform = schema::by_name::<8>)]
    pub virtual_services: Vec<VirtualServiceReference>,
    /// A DestinationRule of yours whose two subsets are kept at the revisions that the Services select. Default: the
    /// VirtualServices lead to the two Services.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destination_rule: Option<DestinationRuleReference>,
}

/// A VirtualService of yours.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct VirtualServiceReference {
    /// Its name. Example: `shop`.
    #[schemars(transform = schema::record_name)]
    pub name: String,
    /// Names of the HTTP routes that are driven. Default: all that lead to both sides. Example: `[primary]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::texts::<16, 253>)]
    pub routes: Vec<String>,
}

/// A DestinationRule of yours.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct DestinationRuleReference {
    /// Its name. Example: `shop`.
    #[schemars(transform = schema::record_name)]
    pub name: String,
    /// The subset of the stable revision. Example: `stable`.
    #[schemars(transform = schema::name)]
    pub stable_subset: String,
    /// The subset of the canary. Example: `canary`.
    #[schemars(transform = schema::name)]
    pub canary_subset: String,
}

/// Weights through Traefik's own kinds.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Traefik {
    /// TraefikServices of yours, of type `weighted`, that lead to both Services. Example: `[shop]`.
    #[schemars(length(min = 1), transform = schema::names::<8>)]
    pub services: Vec<String>,
}

/// Weights through the canary annotations of ingress-nginx.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Nginx {
    /// Ingresses of yours that lead to the stable Service. They stay as they are: each gets a second one, for the
    /// canary, named `<ingress>-<name>-canary`. Example: `[shop]`.
    #[schemars(length(min = 1), transform = schema::names::<8>)]
    pub ingresses: Vec<String>,
}

/// Keeps a client on the revision that it got first.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct SessionAffinity {
    /// Name of the cookie. Example: `slipway-rev`.
    #[schemars(transform = schema::cookie_name)]
    pub cookie: String,
    /// How long a client keeps it. A duration. Default: until the browser is closed. Example: `24h`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::duration)]
    pub max_age: Option<Duration>,
}
