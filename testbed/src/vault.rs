//! A key service as a process of this machine: Vault's own core with its Transit engine, which signs with keys that never leave it.
//! Its program is built on first use.

use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::{Context, Result};
use http::Method;
use serde_json::{Value, json};

use crate::control_plane::unique;
use crate::settings::Settings;
use crate::site::Site;
use crate::{programs, web};

/// Long enough for a machine that is busy building something else.
const PATIENCE: Duration = Duration::from_mins(1);
/// The token that may do everything.
const ROOT: &str = "testbed-root";

/// A running key service. Dropping it ends it; killing the process that started it ends it too.
#[derive(Debug)]
pub struct Vault {
    http: reqwest::Client,
    url: String,
    _site: Site,
}

impl Vault {
    /// Starts one on loopback.
    ///
    /// # Errors
    ///
    /// It cannot be built, or does not become ready.
    pub async fn start() -> Result<Self> {
        Self::start_on(Ipv4Addr::LOCALHOST).await
    }

    /// The same on another address, such as one that pods reach.
    ///
    /// # Errors
    ///
    /// It cannot be built, or does not become ready.
    pub async fn start_on(ip: Ipv4Addr) -> Result<Self> {
        programs::ensure(&["vault"]).await?;
        let program = programs::path_of("vault")?;
        let mut site = Site::ephemeral(&Settings::from_env().root, &unique("vault"))?;
        let address = site.address("vault", ip, None)?;
        let args = [address.clone(), ROOT.to_owned()];
        site.start("vault", &program, &args)?;
        let http = reqwest::Client::builder().no_proxy().build()?;
        let url = format!("http://{address}");
        let health = format!("{url}/v1/sys/health");
        site.ready("vault", PATIENCE, || web::is_well(&http, &health))
            .await?;
        let vault = Self {
            http,
            url,
            _site: site,
        };
        let engine = json!({"type": "transit"});
        vault.write("sys/mounts/transit", &engine).await?;
        Ok(vault)
    }

    /// Its URL: what clients of it call `VAULT_ADDR`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Makes a key that signs, ECDSA on P-256: its public key in PEM, and a token that may sign with it and do nothing else.
    ///
    /// # Errors
    ///
    /// Vault refuses.
    pub async fn make_key(&self, name: &str) -> Result<(String, String)> {
        let key = format!("transit/keys/{name}");
        self.write(&key, &json!({"type": "ecdsa-p256"})).await?;
        let policy = format!(
            r#"path "{key}" {{ capabilities = ["read"] }}
               path "transit/sign/{name}/*" {{ capabilities = ["update"] }}"#
        );
        let place = format!("sys/policies/acl/sign-{name}");
        self.write(&place, &json!({ "policy": policy })).await?;
        let wanted = json!({"policies": [format!("sign-{name}")], "no_default_policy": true});
        let made = self.write("auth/token/create", &wanted).await?;
        let token = made.pointer("/auth/client_token").and_then(Value::as_str);
        let token = token.context("Vault gives no token")?.to_owned();
        let shown = self.ask(Method::GET, &key, &Value::Null).await?;
        let public = shown.pointer("/data/keys/1/public_key");
        let public = public.and_then(Value::as_str);
        let public = public.context("Vault shows no public key")?.to_owned();
        Ok((public, token))
    }

    async fn write(&self, path: &str, body: &Value) -> Result<Value> {
        self.ask(Method::POST, path, body).await
    }

    /// Asks something as the one who may do everything; no body is null.
    async fn ask(&self, method: Method, path: &str, body: &Value) -> Result<Value> {
        let url = format!("{}/v1/{path}", self.url);
        let request = self.http.request(method, url);
        web::ask(request.header("X-Vault-Token", ROOT), body).await
    }
}
