//! Starting etcd, the API server, the controllers and the scheduler at a site.

use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::Api;

use crate::certs::{self, Subject};
use crate::kubeconfig::{self, Credentials};
use crate::process;
use crate::programs;
use crate::progress::Progress;
use crate::site::Site;

/// Long enough for a machine that is busy building something else.
const PATIENCE: Duration = Duration::from_mins(2);

/// The addresses of Services, and the first of them: the API server's own.
const SERVICE_CIDR: &str = "10.96.0.0/16";
const API_SERVICE: &str = "IP:10.96.0.1";

/// The addresses of pods. A node gets a /24 of it.
pub(crate) const POD_CIDR: &str = "10.244.0.0/16";

/// Every request leaves a line: tests compare what the operator does with what it may do.
const AUDIT_POLICY: &str = "apiVersion: audit.k8s.io/v1\nkind: Policy\nrules:\n- level: Metadata\n  \
                            omitStages: [RequestReceived]\n";

/// Brings the control plane up at `ip`, or what of it does not run already.
pub(crate) async fn up(site: &mut Site, ip: Ipv4Addr, progress: Progress) -> Result<()> {
    progress
        .step("programs", programs::ensure(programs::CONTROL_PLANE))
        .await?;
    progress
        .step("certificates and keys", credentials(site, ip))
        .await?;
    progress.step("etcd", etcd(site)).await?;
    progress
        .step("kube-apiserver", api_server(site, ip))
        .await?;
    progress
        .step("kube-controller-manager", controllers(site))
        .await
}

async fn credentials(site: &mut Site, ip: Ipv4Addr) -> Result<()> {
    if site.state.token.is_empty() {
        let token = process::run("openssl", &["rand", "-hex", "16"]).await?;
        token.trim().clone_into(&mut site.state.token);
        site.save()?;
    }
    certs::authority(site).await?;
    let own = format!("IP:{ip}");
    let names = [
        &own,
        API_SERVICE,
        "IP:127.0.0.1",
        "DNS:localhost",
        "DNS:kubernetes",
    ];
    let long = ["DNS:kubernetes.default", "DNS:kubernetes.default.svc"];
    let longest = ["DNS:kubernetes.default.svc.cluster.local"];
    let names = [&names[..], &long, &longest].concat();
    certs::issue(site, "kube-apiserver", Subject::Server(&names)).await?;
    let to_kubelet = Subject::User("kube-apiserver-kubelet-client", &["system:masters"]);
    certs::issue(site, "kubelet-client", to_kubelet).await?;
    site.write(
        "tokens.csv",
        &format!("{},admin,admin,system:masters\n", site.state.token),
    )?;
    site.write("audit-policy.yaml", AUDIT_POLICY)?;
    let server = server_url(site, ip)?;
    let ca = std::fs::read(site.path("pki/ca.crt"))?;
    let admin = kubeconfig::render(&server, &ca, &Credentials::Token(&site.state.token))?;
    site.write("kubeconfig", &admin)?;
    component_kubeconfig(
        site,
        "kube-controller-manager",
        "system:kube-controller-manager",
        &[],
    )
    .await?;
    component_kubeconfig(site, "kube-scheduler", "system:kube-scheduler", &[]).await
}

/// A kubeconfig `<name>.kubeconfig` for a component's own user: its requests are told from others' in the audit log.
pub(crate) async fn component_kubeconfig(
    site: &Site,
    name: &str,
    user: &str,
    groups: &[&str],
) -> Result<()> {
    certs::issue(site, name, Subject::User(user, groups)).await?;
    let facts = kubeconfig::facts(&site.path("kubeconfig"))?;
    let (crt, key) = (
        site.path(&format!("pki/{name}.crt")),
        site.path(&format!("pki/{name}.key")),
    );
    let certificate = Credentials::Certificate {
        certificate: &crt,
        key: &key,
    };
    let text = kubeconfig::render(&facts.server, &facts.ca.unwrap_or_default(), &certificate)?;
    site.write(&format!("{name}.kubeconfig"), &text)?;
    Ok(())
}

fn server_url(site: &mut Site, ip: Ipv4Addr) -> Result<String> {
    Ok(format!(
        "https://{}",
        site.address("kube-apiserver", ip, None)?
    ))
}

async fn etcd(site: &mut Site) -> Result<()> {
    let client = format!(
        "http://{}",
        site.address("etcd", Ipv4Addr::LOCALHOST, None)?
    );
    let peer = format!(
        "http://{}",
        site.address("etcd-peer", Ipv4Addr::LOCALHOST, None)?
    );
    let args = [
        format!("--data-dir={}", site.arg("etcd")),
        format!("--listen-client-urls={client}"),
        format!("--advertise-client-urls={client}"),
        format!("--listen-peer-urls={peer}"),
        format!("--initial-advertise-peer-urls={peer}"),
        format!("--initial-cluster=default={peer}"),
        "--unsafe-no-fsync".to_owned(),
        "--log-level=warn".to_owned(),
    ];
    site.start("etcd", &programs::path_of("etcd")?, &args)?;
    let http = reqwest::Client::builder().no_proxy().build()?;
    site.ready("etcd", PATIENCE, || async {
        let answer = http.get(format!("{client}/health")).send().await?;
        ensure!(
            answer.status().is_success(),
            "etcd answers {}",
            answer.status()
        );
        Ok(())
    })
    .await
}

async fn api_server(site: &mut Site, ip: Ipv4Addr) -> Result<()> {
    let args = api_server_args(site, ip)?;
    site.start(
        "kube-apiserver",
        &programs::path_of("kube-apiserver")?,
        &args,
    )?;
    let client = super::client(&super::client_config(&site.path("kubeconfig")).await?)?;
    site.ready("kube-apiserver", PATIENCE, || async {
        let request = http::Request::get("/readyz").body(vec![])?;
        client.request_text(request).await?;
        Ok(())
    })
    .await
}

fn api_server_args(site: &mut Site, ip: Ipv4Addr) -> Result<Vec<String>> {
    let address = site.address("kube-apiserver", ip, None)?;
    let port = address
        .rsplit_once(':')
        .context("an address without a port")?
        .1
        .to_owned();
    let etcd = site.address("etcd", Ipv4Addr::LOCALHOST, None)?;
    let pki = |name: &str| site.arg(&format!("pki/{name}"));
    let mut args = vec![
        format!("--etcd-servers=http://{etcd}"),
        format!("--bind-address={ip}"),
        format!("--advertise-address={ip}"),
        format!("--secure-port={port}"),
        format!("--tls-cert-file={}", pki("kube-apiserver.crt")),
        format!("--tls-private-key-file={}", pki("kube-apiserver.key")),
        format!("--client-ca-file={}", pki("ca.crt")),
        format!("--token-auth-file={}", site.arg("tokens.csv")),
        "--authorization-mode=Node,RBAC".to_owned(),
        // Off by default and on in OpenShift: who sets an owner has to have rights that nothing else asks for.
        "--enable-admission-plugins=OwnerReferencesPermissionEnforcement".to_owned(),
        // Where it answers: others, such as Fulcio, ask there with what keys its tokens are signed.
        format!("--service-account-issuer=https://{address}"),
        format!("--service-account-key-file={}", pki("sa.pub")),
        format!("--service-account-signing-key-file={}", pki("sa.key")),
        format!("--service-cluster-ip-range={SERVICE_CIDR}"),
        "--allow-privileged=true".to_owned(),
        "--kubelet-preferred-address-types=InternalIP".to_owned(),
        format!("--kubelet-client-certificate={}", pki("kubelet-client.crt")),
        format!("--kubelet-client-key={}", pki("kubelet-client.key")),
        format!("--audit-log-path={}", site.arg("audit.log")),
        // In megabytes. Requests are counted from one file: the server begins another after 100 MB unless it is told.
        "--audit-log-maxsize=8192".to_owned(),
        format!("--audit-policy-file={}", site.arg("audit-policy.yaml")),
        "--profiling=false".to_owned(),
    ];
    if ip.is_loopback() {
        // The `kubernetes` Service refuses loopback endpoints, and nobody could use them.
        args.push("--endpoint-reconciler-type=none".to_owned());
    }
    Ok(args)
}

async fn controllers(site: &mut Site) -> Result<()> {
    let manager = [
        format!(
            "--kubeconfig={}",
            site.arg("kube-controller-manager.kubeconfig")
        ),
        format!(
            "--service-account-private-key-file={}",
            site.arg("pki/sa.key")
        ),
        format!("--root-ca-file={}", site.arg("pki/ca.crt")),
        format!("--cluster-signing-cert-file={}", site.arg("pki/ca.crt")),
        format!("--cluster-signing-key-file={}", site.arg("pki/ca.key")),
        format!("--cluster-cidr={POD_CIDR}"),
        // Else it makes a folder of the machine's.
        format!("--flex-volume-plugin-dir={}", site.arg("volume-plugins")),
    ];
    let own = [
        "--use-service-account-credentials=true",
        "--allocate-node-cidrs=true",
    ];
    let manager = [&manager[..], &own.map(str::to_owned), &common()].concat();
    let program = programs::path_of("kube-controller-manager")?;
    site.start("kube-controller-manager", &program, &manager)?;
    let scheduler = format!("--kubeconfig={}", site.arg("kube-scheduler.kubeconfig"));
    let scheduler = [&[scheduler][..], &common()].concat();
    site.start(
        "kube-scheduler",
        &programs::path_of("kube-scheduler")?,
        &scheduler,
    )?;
    let client = super::client(&super::client_config(&site.path("kubeconfig")).await?)?;
    let accounts = Api::<ServiceAccount>::namespaced(client, "default");
    // Without it no pod can be made: the first sign that the controllers work.
    site.ready("kube-controller-manager", PATIENCE, || async {
        accounts.get("default").await?;
        Ok(())
    })
    .await
}

/// One of each, no port, and no throttle that would make a busy test wait.
fn common() -> [String; 4] {
    [
        "--leader-elect=false",
        "--secure-port=0",
        "--kube-api-qps=500",
        "--kube-api-burst=1000",
    ]
    .map(str::to_owned)
}
