//! What says which provider hosts a repository, in YAML. No I/O.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::secret::SecretKey;
use crate::schema::{self, closed_set};

closed_set! {
    /// Who hosts a repository.
    pub enum ProviderType {
        /// GitHub, and GitHub Enterprise Server.
        GitHub,
        /// GitLab, hosted or one's own.
        GitLab,
        /// Gitea and Forgejo.
        Gitea,
    }
}

/// The provider that hosts a repository: what Slipway asks it and tells it beside git itself, such as statuses of commits
/// and comments on pull requests.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct GitProvider {
    /// `GitHub`, `GitLab` or `Gitea` (which is Forgejo as well).
    #[serde(rename = "type")]
    pub type_: ProviderType,
    /// Where its API is. Default: where the provider has it on the server of `source.git.url`. Example:
    /// `https://git.example/api/v4`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::http_url)]
    pub api_url: Option<String>,
    /// The token that the operator shows, in a Secret with the label `slipway.dev/use`; scripts never see it. Example:
    /// `{name: git, key: token}`.
    pub token_secret_ref: SecretKey,
}
