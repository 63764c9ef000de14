//! The cluster's DNS: CoreDNS on this machine, behind the Service that pods ask.

use std::net::Ipv4Addr;

use anyhow::{Context, Result};

use super::{ADDRESS, PATIENCE, apply, http_ok};
use crate::control_plane::components::component_kubeconfig;
use crate::programs;
use crate::site::Site;

/// The address that pods have as their name server.
pub(super) const SERVICE: &str = "10.96.0.10";

pub(super) async fn up(site: &mut Site) -> Result<()> {
    apply(site, SERVANTS).await?;
    component_kubeconfig(site, "coredns", "testbed:coredns", &["testbed:servants"]).await?;
    let address = site.address("coredns", ADDRESS, Some(1053))?;
    let ready = site.address("coredns-ready", Ipv4Addr::LOCALHOST, None)?;
    let port = address
        .rsplit_once(':')
        .context("an address without a port")?
        .1
        .to_owned();
    let config = format!(
        ".:{port} {{\n  bind {ADDRESS}\n  errors\n  ready {ready}\n  \
         kubernetes cluster.local in-addr.arpa {{\n    kubeconfig {kubeconfig}\n    \
         ttl 2\n    fallthrough in-addr.arpa\n  }}\n  forward . /etc/resolv.conf\n  cache 2\n}}\n",
        kubeconfig = site.arg("coredns.kubeconfig"),
    );
    let config = site.write("Corefile", &config)?;
    let args = ["-conf".to_owned(), config.display().to_string()];
    site.start("coredns", &programs::path_of("coredns")?, &args)?;
    apply(site, &service(&port)).await?;
    let url = format!("http://{ready}/ready");
    site.ready("coredns", PATIENCE, || http_ok(&url)).await
}

/// The programs of ours that watch the cluster from this machine are its administrators under names of their own.
const SERVANTS: &str = "\
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: 'testbed:servants'}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: cluster-admin}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: Group, name: 'testbed:servants'}]
";

fn service(port: &str) -> String {
    format!(
        "\
apiVersion: v1
kind: Service
metadata: {{name: kube-dns, namespace: kube-system, labels: {{k8s-app: kube-dns}}}}
spec:
  clusterIP: {SERVICE}
  ports:
  - {{name: dns, port: 53, protocol: UDP, targetPort: {port}}}
  - {{name: dns-tcp, port: 53, protocol: TCP, targetPort: {port}}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: kube-dns-testbed, namespace: kube-system, labels: {{kubernetes.io/service-name: kube-dns}}}}
addressType: IPv4
ports:
- {{name: dns, port: {port}, protocol: UDP}}
- {{name: dns-tcp, port: {port}, protocol: TCP}}
endpoints:
- {{addresses: [{ADDRESS}], conditions: {{ready: true}}}}
"
    )
}
