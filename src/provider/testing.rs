//! Builders for tests: a repository at each provider, and answers as they come over the wire.

use serde_json::{Value, json};

use super::Provider;
use super::api::ProviderType;
use crate::model::action::{Reply, Request};

/// The commit that is spoken of.
pub(crate) const SHA: &str = "6dcb09b5b57875f334f61aebed695e2e4193db5e";

/// The repository of the shop at a provider.
pub(crate) fn at(type_: ProviderType) -> Provider {
    let url = match type_ {
        ProviderType::GitHub => "https://github.com/shop/api.git",
        ProviderType::GitLab => "https://gitlab.example/shop/backend/api.git",
        ProviderType::Gitea => "https://git.example/shop/api.git",
    };
    of(&json!({"url": url, "provider": provider(type_)})).unwrap()
}

/// What a source says of its provider.
pub(crate) fn provider(type_: ProviderType) -> Value {
    json!({"type": type_, "tokenSecretRef": {"name": "git", "key": "token"}})
}

/// The provider of a source.
pub(crate) fn of(git: &Value) -> Option<Provider> {
    Provider::of(&serde_json::from_value(git.clone()).unwrap(), "shop", None)
}

/// An answer.
#[expect(clippy::unnecessary_wraps, reason = "as the shell hands it on")]
pub(crate) fn answer(status: u16, body: &Value) -> Result<Reply, String> {
    let body = body.to_string().into_bytes();
    Ok(Reply { status, body })
}

/// The request line and the body.
pub(crate) fn sent(request: &Request) -> String {
    let body = request.body.as_deref().unwrap_or_default();
    format!("{} {} {body}", request.method, request.url)
        .trim_end()
        .to_owned()
}
