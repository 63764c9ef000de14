//! What signing without a key of one's own needs, as a process of this machine: Fulcio, Rekor and the log of certificates, made of
//! their own servers' libraries. Its program is built on first use.

use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::{Context, Result};
use k8s_openapi::api::rbac::v1::ClusterRoleBinding;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use serde_json::{Value, json};

use crate::ControlPlane;
use crate::control_plane::unique;
use crate::programs;
use crate::settings::Settings;
use crate::site::Site;

/// Long enough for a machine that is busy building something else.
const PATIENCE: Duration = Duration::from_mins(1);
/// Who a token has to be for: what cosign asks for.
pub const AUDIENCE: &str = "sigstore";
/// The binding that lets Fulcio read with what keys a cluster signs its tokens.
const DISCOVERY: &str = "testbed-issuer-discovery";

/// A running Fulcio, and its Rekor. Dropping it ends it; killing the process that started it ends it too.
#[derive(Debug)]
pub struct Sigstore {
    fulcio: String,
    rekor: String,
    root: String,
    issuer: String,
    _site: Site,
}

impl Sigstore {
    /// Starts one on loopback that certifies the ServiceAccounts of a cluster.
    ///
    /// # Errors
    ///
    /// It cannot be built, does not become ready, or the cluster does not say who issues its tokens.
    pub async fn start(cluster: &ControlPlane) -> Result<Self> {
        Self::start_on(cluster, Ipv4Addr::LOCALHOST).await
    }

    /// The same on another address, such as one that pods reach.
    ///
    /// # Errors
    ///
    /// It cannot be built, does not become ready, or the cluster does not say who issues its tokens.
    pub async fn start_on(cluster: &ControlPlane, ip: Ipv4Addr) -> Result<Self> {
        programs::ensure(&["sigstore"]).await?;
        let program = programs::path_of("sigstore")?;
        let client = cluster.client()?;
        let issuer = issuer(&client).await?;
        let_everybody_read_keys(client).await?;
        let mut site = Site::ephemeral(&Settings::from_env().root, &unique("sigstore"))?;
        let config = site.write("fulcio.json", &config(cluster, &issuer)?.to_string())?;
        let fulcio = site.address("fulcio", ip, None)?;
        let rekor = site.address("rekor", ip, None)?;
        let args = [
            fulcio.clone(),
            rekor.clone(),
            config.display().to_string(),
            site.arg("trusted-root.json"),
        ];
        site.start("sigstore", &program, &args)?;
        let root = site.path("trusted-root.json");
        site.ready("sigstore", PATIENCE, || async {
            std::fs::metadata(&root)?;
            Ok(())
        })
        .await?;
        Ok(Self {
            fulcio: format!("http://{fulcio}"),
            rekor: format!("http://{rekor}"),
            root: std::fs::read_to_string(&root)?,
            issuer,
            _site: site,
        })
    }

    /// Where Fulcio answers.
    pub fn fulcio_url(&self) -> &str {
        &self.fulcio
    }

    /// Where Rekor answers.
    pub fn rekor_url(&self) -> &str {
        &self.rekor
    }

    /// What verifiers are to trust: a `TrustedRoot` in JSON.
    pub fn trusted_root(&self) -> &str {
        &self.root
    }

    /// Who issues the tokens that it believes.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Whom it certifies that a ServiceAccount is.
    pub fn subject(namespace: &str, account: &str) -> String {
        format!("https://kubernetes.io/namespaces/{namespace}/serviceaccounts/{account}")
    }
}

/// Who issues a cluster's tokens.
async fn issuer(client: &Client) -> Result<String> {
    let request = http::Request::get("/.well-known/openid-configuration").body(Vec::new())?;
    let said: Value = client.request(request).await?;
    let issuer = said.get("issuer").and_then(Value::as_str);
    issuer
        .map(str::to_owned)
        .context("the cluster names no issuer of its tokens")
}

/// Fulcio's own configuration.
fn config(cluster: &ControlPlane, issuer: &str) -> Result<Value> {
    let authority = cluster.ca_path().map(std::fs::read_to_string).transpose()?;
    let known = json!({
        "IssuerURL": issuer, "ClientID": AUDIENCE, "Type": "kubernetes", "CACert": authority.unwrap_or_default(),
    });
    Ok(json!({"OIDCIssuers": {issuer: known}}))
}

/// Fulcio has no account in the cluster: it reads the keys as anybody who may sign in with its tokens elsewhere.
#[expect(clippy::disallowed_methods, reason = "plays the cluster's owner")]
async fn let_everybody_read_keys(client: Client) -> Result<()> {
    let group = "rbac.authorization.k8s.io";
    let binding = json!({
        "apiVersion": format!("{group}/v1"),
        "kind": "ClusterRoleBinding",
        "metadata": {"name": DISCOVERY},
        "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": "system:service-account-issuer-discovery"},
        "subjects": [{"apiGroup": group, "kind": "Group", "name": "system:unauthenticated"}],
    });
    let bindings: Api<ClusterRoleBinding> = Api::all(client);
    let apply = PatchParams::apply("testbed").force();
    bindings
        .patch(DISCOVERY, &apply, &Patch::Apply(binding))
        .await?;
    Ok(())
}
