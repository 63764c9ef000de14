//! How a server of metrics is reached: header fields, who asks, and which certificates count. Types only. No I/O.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::secret::SecretKey;
use crate::schema;

/// How a server is reached.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Connection {
    /// More header fields of the request, told apart by name; at most 16. Default: none.
    /// Example: `[{name: X-Scope-OrgID, value: shop}]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::by_name::<16>)]
    pub headers: Vec<Header>,
    /// Who asks. Default: nobody in particular.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth: Option<Auth>,
    /// Which certificates count. Default: those that the operator's system trusts, and none of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
}

/// A header field.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = schema::Rules(&[(
    "has(self.value) != has(self.secretRef)",
    "a header field has exactly one of value, secretRef",
)]))]
pub struct Header {
    /// Name of the field. Example: `X-Scope-OrgID`.
    #[schemars(transform = schema::header_name)]
    pub name: String,
    /// Its value. Example: `shop`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::header_value)]
    pub value: Option<String>,
    /// Where its value stands, if it is secret. Example: `{name: metrics, key: token}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<SecretKey>,
}

/// Who asks.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = schema::Rules(&[(
    "has(self.bearer) != has(self.basic)",
    "auth has exactly one of bearer, basic; a client certificate stands in tls.clientCertificate",
)]))]
pub struct Auth {
    /// A token, sent as `Authorization: Bearer`. Example: `{name: prometheus, key: token}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bearer: Option<SecretKey>,
    /// A user and a password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub basic: Option<BasicAuth>,
}

/// A user and a password.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct BasicAuth {
    /// The user. Example: `slipway`.
    #[schemars(transform = schema::user_name)]
    pub username: String,
    /// Where the password stands. Example: `{name: prometheus, key: password}`.
    pub password: SecretKey,
}

/// Which certificates count.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Tls {
    /// Certificates (PEM) of authorities that are trusted beside the system's. Example: `{name: prometheus, key: ca.crt}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<SecretKey>,
    /// Name of a Secret of type `kubernetes.io/tls` (`tls.crt`, `tls.key`) with which the operator proves who it is.
    /// Example: `prometheus-client`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::record_name)]
    pub client_certificate: Option<String>,
}
