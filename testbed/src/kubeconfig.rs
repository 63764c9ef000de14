//! Kubeconfig files: whole in themselves, so that one can be copied elsewhere.

use std::path::Path;

use anyhow::{Context, Result};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

/// How a kubeconfig's user proves who it is.
pub(crate) enum Credentials<'a> {
    Token(&'a str),
    /// Files in PEM.
    Certificate {
        certificate: &'a Path,
        key: &'a Path,
    },
}

/// A kubeconfig for one user of one cluster.
pub(crate) fn render(server: &str, ca: &[u8], user: &Credentials<'_>) -> Result<String> {
    let user = match user {
        Credentials::Token(token) => json!({ "token": token }),
        Credentials::Certificate { certificate, key } => json!({
            "client-certificate-data": encoded(certificate)?,
            "client-key-data": encoded(key)?,
        }),
    };
    let config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{ "name": "testbed", "cluster": {
            "server": server, "certificate-authority-data": STANDARD.encode(ca),
        }}],
        "users": [{ "name": "user", "user": user }],
        "contexts": [{ "name": "testbed", "context": { "cluster": "testbed", "user": "user" }}],
        "current-context": "testbed",
    });
    serde_saphyr::to_string(&config).context("cannot write the kubeconfig")
}

/// What a test may want to know of a kubeconfig beyond what a client does.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Facts {
    pub(crate) server: String,
    pub(crate) ca: Option<Vec<u8>>,
    pub(crate) token: Option<String>,
}

/// Reads the current context of a kubeconfig.
#[expect(
    clippy::indexing_slicing,
    reason = "a Value indexed by a missing name is null"
)]
pub(crate) fn facts(path: &Path) -> Result<Facts> {
    let unreadable = || format!("cannot read the kubeconfig {}", path.display());
    let text = std::fs::read_to_string(path).with_context(unreadable)?;
    let config: Value = serde_saphyr::from_str(&text).with_context(unreadable)?;
    let current = config["current-context"].as_str().unwrap_or_default();
    let context = named(&config["contexts"], current, "context");
    let cluster = named(&config["clusters"], text_of(&context["cluster"]), "cluster");
    let user = named(&config["users"], text_of(&context["user"]), "user");
    let ca = match (
        &cluster["certificate-authority-data"],
        &cluster["certificate-authority"],
    ) {
        (Value::String(data), _) => Some(STANDARD.decode(data)?),
        // As kubectl does: beside the kubeconfig when it is relative.
        (_, Value::String(file)) => Some(std::fs::read(path.parent().unwrap_or(path).join(file))?),
        _ => None,
    };
    Ok(Facts {
        server: text_of(&cluster["server"]).to_owned(),
        ca,
        token: user["token"].as_str().map(str::to_owned),
    })
}

fn named<'a>(list: &'a Value, name: &str, field: &str) -> &'a Value {
    let entries = list.as_array().into_iter().flatten();
    entries
        .into_iter()
        .find(|entry| entry["name"] == name)
        .map_or(&Value::Null, |entry| &entry[field])
}

fn text_of(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn encoded(path: &Path) -> Result<String> {
    let content = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(STANDARD.encode(content))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_can_be_read_back() {
        let path = std::env::temp_dir().join(format!("slipway-kubeconfig-{}", std::process::id()));
        let text = render("https://127.0.0.1:1", b"ca", &Credentials::Token("t")).unwrap();
        std::fs::write(&path, text).unwrap();

        let facts = facts(&path).unwrap();

        let token = Some("t".to_owned());
        assert_eq!(
            facts,
            Facts {
                server: "https://127.0.0.1:1".into(),
                ca: Some(b"ca".into()),
                token
            }
        );
        std::fs::remove_file(path).unwrap();
    }
}
