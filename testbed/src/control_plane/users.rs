//! Users of a cluster other than its administrator, made the way that works on any cluster: a signed certificate.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use k8s_openapi::ByteString;
use k8s_openapi::api::certificates::v1::{
    CertificateSigningRequest, CertificateSigningRequestCondition, CertificateSigningRequestSpec,
    CertificateSigningRequestStatus,
};
use kube::api::{DeleteParams, ObjectMeta, PostParams};
use kube::{Api, Client};

use super::ControlPlane;
use crate::kubeconfig::{self, Credentials};
use crate::{certs, wait};

/// A kubeconfig for `user` in `groups`, authenticated by a client certificate that the cluster signs.
pub(super) async fn kubeconfig(
    cluster: &ControlPlane,
    user: &str,
    groups: &[&str],
) -> Result<PathBuf> {
    let (site, name) = (&cluster.site, file_name(user));
    std::fs::create_dir_all(site.path("pki"))?;
    let request = certs::request(site, &name, user, groups).await?;
    let unsigned = || format!("no certificate for {user}");
    let certificate = sign(cluster.client()?, request)
        .await
        .with_context(unsigned)?;
    let crt = site.write(&format!("pki/{name}.crt"), &certificate)?;
    let key = site.path(&format!("pki/{name}.key"));
    let ca = cluster
        .ca
        .as_ref()
        .map(std::fs::read)
        .transpose()?
        .unwrap_or_default();
    let user = Credentials::Certificate {
        certificate: &crt,
        key: &key,
    };
    site.write(
        &format!("{name}.kubeconfig"),
        &kubeconfig::render(&cluster.server, &ca, &user)?,
    )
}

/// A name that is a file's and nobody else's, whatever the user is called.
fn file_name(user: &str) -> String {
    static COUNT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    let count = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let plain: String = user
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .collect();
    format!("user-{plain}-{count}")
}

#[expect(
    clippy::disallowed_methods,
    reason = "a user is made outside of what the operator does"
)]
async fn sign(client: Client, request: String) -> Result<String> {
    let requests = Api::<CertificateSigningRequest>::all(client);
    let mut asked = requests
        .create(&PostParams::default(), &signing_request(request))
        .await?;
    let name = asked
        .metadata
        .name
        .clone()
        .context("a request without a name")?;
    let approval = CertificateSigningRequestCondition {
        type_: "Approved".into(),
        status: "True".into(),
        reason: Some("Testbed".into()),
        ..Default::default()
    };
    asked.status = Some(CertificateSigningRequestStatus {
        conditions: Some(vec![approval]),
        ..Default::default()
    });
    requests
        .replace_subresource("approval", &name, &PostParams::default(), &asked)
        .await?;
    let signed = wait::until(
        "the cluster signs the certificate",
        Duration::from_secs(30),
        || async {
            let status = requests.get(&name).await?.status;
            Ok(status.and_then(|status| status.certificate))
        },
    )
    .await?;
    requests.delete(&name, &DeleteParams::default()).await?;
    Ok(String::from_utf8(signed.0)?)
}

fn signing_request(request: String) -> CertificateSigningRequest {
    CertificateSigningRequest {
        metadata: ObjectMeta {
            generate_name: Some("testbed-".into()),
            ..Default::default()
        },
        spec: CertificateSigningRequestSpec {
            request: ByteString(request.into_bytes()),
            signer_name: "kubernetes.io/kube-apiserver-client".into(),
            usages: Some(vec!["client auth".into()]),
            ..Default::default()
        },
        status: None,
    }
}
