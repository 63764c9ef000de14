//! Where the code comes from, and how new commits are found. No I/O.

use std::time;

use kube::core::Duration;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::secret::SecretKey;
use crate::provider::api::GitProvider;
use crate::schema;

/// Where the code comes from.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Source {
    /// A git repository.
    pub git: GitSource,
}

/// A git repository and the branch that is built.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = schema::Rules(&[
    ("self.url.startsWith('https://') || self.insecure",
     "url must start with https://, or set insecure: true to fetch over http without encryption"),
    ("!has(self.provider) || !has(self.provider.apiUrl) || self.provider.apiUrl.startsWith('https://') || self.insecure",
     "provider.apiUrl must start with https://, or set insecure: true to send the token without encryption"),
]))]
pub struct GitSource {
    /// URL of the repository, without user or password. Example: `https://git.example/shop/api.git`.
    #[schemars(transform = schema::http_url)]
    pub url: String,
    /// Allows `http://`: nothing proves then that the code is what its authors pushed, and a password can be read on its
    /// way. Default `false`.
    #[serde(default)]
    pub insecure: bool,
    /// Branch that is built. Default `main`. Example: `release/1.4`.
    #[serde(default = "main_branch")]
    #[schemars(transform = schema::branch)]
    pub branch: String,
    /// Certificates that the server is checked against, for a company's own authority.
    /// Default: those of the images in use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_bundle: Option<CaBundle>,
    /// With what the repository is asked and fetched. Default: it can be read without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials: Option<GitCredentials>,
    /// Who hosts the repository: where statuses of commits and comments on pull requests go. Default: nobody is told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<GitProvider>,
    /// Number of commits that stages find in their checkout, the one that is built included; `0` is the whole
    /// history. Default `1`. Example: `50`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 1_000_000))]
    pub fetch_depth: Option<u32>,
    /// Fetches the repositories that the commit names as submodules too, and theirs. They are reached by the same protocols,
    /// and with the same login where they are on the same server. Default `false`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub submodules: Option<bool>,
}

/// User and password, or token, for a repository. They are seen by the operator and by the container that fetches the
/// commit, and never by scripts.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct GitCredentials {
    /// Name of the Secret, which carries the label `slipway.dev/use`. Example: `git`.
    #[schemars(transform = schema::record_name)]
    pub secret_name: String,
    /// Key of the password or token; it has at least 6 characters. Default `password`. Example: `token`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::data_key)]
    pub key: Option<String>,
    /// Name of the user; most servers take any with a token. Default `git`. Example: `x-access-token`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::user_name)]
    pub username: Option<String>,
}

impl GitCredentials {
    /// Where the password is.
    pub fn password(&self) -> SecretKey {
        SecretKey::new(&self.secret_name, self.key.as_deref().unwrap_or("password"))
    }

    /// Name of the user.
    pub fn username(&self) -> &str {
        self.username.as_deref().unwrap_or("git")
    }
}

impl GitSource {
    /// Number of commits that stages find in their checkout; `0` is the whole history.
    pub fn fetch_depth(&self) -> u32 {
        self.fetch_depth.unwrap_or(1)
    }
}

/// Certificates in a ConfigMap of the same namespace.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct CaBundle {
    /// Name of the ConfigMap. Example: `company-ca`.
    #[schemars(transform = schema::record_name)]
    pub config_map_name: String,
    /// Key whose value is the PEM bundle. Default `ca.crt`.
    #[serde(default = "ca_key")]
    #[schemars(transform = schema::some_text::<253>)]
    pub key: String,
}

/// How new commits are found.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Polling {
    /// How often the repository is asked for the head of the branch. A duration; default `2m`.
    /// Example: `30s`.
    #[serde(default = "polling_interval")]
    #[schemars(transform = schema::duration)]
    pub interval: Duration,
}

fn main_branch() -> String {
    "main".to_owned()
}

fn ca_key() -> String {
    "ca.crt".to_owned()
}

fn polling_interval() -> Duration {
    time::Duration::from_mins(2).into()
}

impl Default for Polling {
    fn default() -> Self {
        Self {
            interval: polling_interval(),
        }
    }
}
