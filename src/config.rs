//! Command line and environment of the operator, parsed once; nothing else reads either. No I/O.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};
use jiff::Timestamp;

use crate::cluster::remote::Reaching;
use crate::cluster::{ReceiverPlace, StageImages};
use crate::environment::observed::Frozen;
use crate::permission::Extra;
use crate::pipeline::api::Isolation;

/// Takes a commit to production and back again.
#[derive(Debug, Parser)]
#[command(name = "slipway", version, about)]
pub struct Args {
    /// What to do; without it the operator runs.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// The operator's settings.
    #[command(flatten)]
    pub config: Config,
}

/// What else the binary can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Print the custom resource definitions as YAML.
    Crds,
    /// Check that an installation works: definitions, somebody who leads, and readiness. Takes the right to get the Lease.
    Check(Ready),
    /// Before an uninstall: wait for what is being deleted, end the operator, and take the finalizer off every object, so that
    /// none waits for an operator that is gone.
    Retire(Retire),
}

/// What is to be checked of an installation.
#[derive(Clone, Debug, clap::Args)]
pub struct Ready {
    /// URL at which the operator says that it is ready, such as http://slipway.slipway-system.svc:8080/readyz.
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
    /// Seconds after which what is missing then is told.
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    pub within_seconds: u64,
}

/// How an operator is retired.
#[derive(Clone, Debug, clap::Args)]
pub struct Retire {
    /// Deployment of the operator, in its own namespace, which is scaled to none.
    #[arg(long, value_name = "NAME")]
    pub deployment: Option<String>,
    /// Seconds that what is being deleted is given.
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    pub settle_seconds: u64,
}

/// Settings of the operator. Each flag can be set by the environment variable that is named with it.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a flag of the command line"
)]
#[derive(Clone, Debug, clap::Args)]
pub struct Config {
    /// Namespaces to watch, separated by commas; all of them when empty.
    #[arg(long, env = "WATCH_NAMESPACE", value_delimiter = ',', global = true)]
    pub watch_namespace: Vec<String>,
    /// Its own namespace: that of the Lease that elects the leader, and of those of databases.
    #[arg(long, env = "POD_NAMESPACE", default_value = "default", global = true)]
    pub namespace: String,
    /// Name of this process in the Lease.
    #[arg(long, env = "POD_NAME", default_value = "slipway", global = true)]
    pub identity: String,
    /// Name of the Lease.
    #[arg(long, env = "SLIPWAY_LEASE", default_value = "slipway", global = true)]
    pub lease: String,
    /// Work without a Lease: only where nothing else runs the operator on the same namespaces.
    #[arg(long, env = "SLIPWAY_NO_LEADER_ELECTION", global = true)]
    pub no_leader_election: bool,
    /// Address of health checks and metrics; port 0 picks a free one.
    #[arg(
        long,
        env = "SLIPWAY_LISTEN",
        default_value = "0.0.0.0:8080",
        global = true
    )]
    pub listen: SocketAddr,
    /// Address that takes alerts from Alertmanagers and webhooks of git providers; none is taken without it. Takes the right to get Secrets, for their tokens.
    #[arg(long, env = "SLIPWAY_ALERT_LISTEN", global = true)]
    pub alert_listen: Option<SocketAddr>,
    /// Address that takes logs and claims from the pods of stages; none are taken without it. Takes the right to review tokens.
    #[arg(long, env = "SLIPWAY_STAGE_LISTEN", global = true)]
    pub stage_listen: Option<SocketAddr>,
    /// URL at which the pods of stages reach that address, such as http://slipway-receiver.slipway-system.svc:8091.
    #[arg(
        long,
        env = "SLIPWAY_STAGE_URL",
        requires = "stage_listen",
        global = true
    )]
    pub stage_url: Option<String>,
    /// Folder that the logs of stages are kept in, for as long as their run is there.
    #[arg(
        long,
        env = "SLIPWAY_LOG_FOLDER",
        default_value = "/var/lib/slipway/logs",
        global = true
    )]
    pub log_folder: PathBuf,
    /// Longest log of a pod, in MiB: of a longer one the beginning and the end are kept.
    #[arg(long, env = "SLIPWAY_LOG_MAX_MIB", default_value_t = 16, global = true)]
    pub log_max_mib: u32,
    /// All logs together, in MiB: beyond that those of the oldest runs go.
    #[arg(
        long,
        env = "SLIPWAY_LOG_TOTAL_MIB",
        default_value_t = 4096,
        global = true
    )]
    pub log_total_mib: u32,
    /// Address that serves the dashboard to people who bring a token of Kubernetes; it is not served without it. Takes no right: it does what
    /// they may do.
    #[cfg(feature = "dashboard")]
    #[arg(long, env = "SLIPWAY_DASHBOARD_LISTEN", global = true)]
    pub dashboard_listen: Option<SocketAddr>,
    /// Service of this operator's namespace that hands logs out, for the dashboard.
    #[cfg(feature = "dashboard")]
    #[arg(
        long,
        env = "SLIPWAY_RECEIVER",
        default_value = "slipway-receiver",
        global = true
    )]
    pub receiver_service: String,
    /// Objects of one kind that are worked on at the same time.
    #[arg(long, env = "SLIPWAY_WORKERS", default_value_t = 16, global = true)]
    pub workers: usize,
    /// Image with slipway-runner and git, for the pods of stages.
    #[arg(long, env = "SLIPWAY_RUNNER_IMAGE", global = true)]
    pub runner_image: Option<String>,
    /// Image with buildkitd, buildctl and buildkit-runc, for the pods of Build stages; for rootless builds, one with
    /// rootlesskit and newuidmap too, such as moby/buildkit's that end with -rootless.
    #[arg(long, env = "SLIPWAY_BUILDKIT_IMAGE", global = true)]
    pub buildkit_image: Option<String>,
    /// Image with buildah, for the pods of Build stages that ask for it.
    #[arg(long, env = "SLIPWAY_BUILDAH_IMAGE", global = true)]
    pub buildah_image: Option<String>,
    /// What may keep builds apart from their nodes, separated by commas; the first that a builder has is what Auto takes.
    #[arg(
        long,
        env = "SLIPWAY_BUILD_ISOLATION",
        value_delimiter = ',',
        value_parser = isolation,
        default_value = "Privileged,Chroot,Rootless,UserNamespace",
        global = true
    )]
    pub build_isolation: Vec<Isolation>,
    /// Image with syft, for the pods of SBOM stages.
    #[arg(long, env = "SLIPWAY_SYFT_IMAGE", global = true)]
    pub syft_image: Option<String>,
    /// Copy the Secrets of Rollouts that ask for it; takes the right to read and write Secrets.
    #[arg(long, env = "SLIPWAY_SECRET_SNAPSHOTS", global = true)]
    pub secret_snapshots: bool,
    /// Read Secrets that metrics and notifications name and that carry the label slipway.dev/use; takes the right to get Secrets.
    #[arg(long, env = "SLIPWAY_METRIC_SECRETS", global = true)]
    pub metric_secrets: bool,
    /// Let Pipelines and migrations name Secrets that carry the label slipway.dev/use: variables and files of scripts,
    /// credentials of repositories; takes the right to get Secrets.
    #[arg(long, env = "SLIPWAY_STAGE_SECRETS", global = true)]
    pub stage_secrets: bool,
    /// Make previews of pull requests where Environments ask for them; takes the right to make and delete namespaces, which
    /// have to be watched.
    #[arg(long, env = "SLIPWAY_PREVIEWS", global = true)]
    pub previews: bool,
    /// Reach the other clusters that Environments name with kubeconfigs in Secrets that carry the label slipway.dev/use; takes the
    /// rights to get Secrets and to patch Environments, for their finalizer.
    #[arg(long, env = "SLIPWAY_CLUSTERS", global = true)]
    pub clusters: bool,
    /// What the cluster is called, where other clusters have namespaces and Environments of the same names and write to the same
    /// repository: small letters, digits and dashes, at most 52.
    #[arg(long, env = "SLIPWAY_CLUSTER_NAME", value_parser = cluster_name, global = true)]
    pub cluster_name: Option<String>,
    /// Act for tenants as ServiceAccounts of theirs only: in other clusters, where Environments have to name one.
    #[arg(long, env = "SLIPWAY_TENANCY", global = true)]
    pub tenancy: bool,
    /// Where metrics may come from, separated by commas: names, *.names, addresses and networks. Addresses of this machine
    /// and its link, and of metadata services, are out of reach unless an address or a network names them.
    #[arg(
        long,
        env = "SLIPWAY_METRIC_HOSTS",
        value_delimiter = ',',
        default_value = "*",
        global = true
    )]
    pub metric_hosts: Vec<String>,
    /// Promotes nothing anywhere, and says this to those who wait; rollbacks go on. Without it Environments have their own freezes
    /// only.
    #[arg(long, env = "SLIPWAY_FREEZE", global = true)]
    pub freeze: Option<String>,
    /// When that ends by itself, such as 2026-12-27T08:00:00Z.
    #[arg(long, env = "SLIPWAY_FREEZE_UNTIL", requires = "freeze", global = true)]
    pub freeze_until: Option<Timestamp>,
    /// Form of the log lines.
    #[arg(
        long,
        env = "SLIPWAY_LOG_FORMAT",
        value_enum,
        default_value = "text",
        global = true
    )]
    pub log_format: LogFormat,
    /// What is logged, in the syntax of RUST_LOG.
    #[arg(
        long,
        env = "RUST_LOG",
        default_value = "info,kube=warn,hyper=warn,tower=warn,rustls=warn",
        global = true
    )]
    pub log: String,
    /// Where traces go, such as http://collector:4318; none are made without it. Other OTEL_* variables are honoured too.
    #[arg(long, env = "OTEL_EXPORTER_OTLP_ENDPOINT", global = true)]
    pub otlp_endpoint: Option<String>,
}

/// Form of the log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// For machines: one object per line.
    Json,
}

impl Config {
    /// Scopes of the watches: the namespaces, or `""` for all.
    pub fn namespaces(&self) -> Vec<String> {
        if self.watch_namespace.is_empty() {
            return vec![String::new()];
        }
        self.watch_namespace.clone()
    }

    /// What it has to be allowed beyond what every operator has.
    pub fn rights(&self) -> Extra {
        Extra {
            copies_secrets: self.secret_snapshots,
            reads_secrets: self.metric_secrets
                || self.stage_secrets
                || self.clusters
                || self.alert_listen.is_some(),
            takes_logs: self.stage_listen.is_some(),
            makes_previews: self.previews,
            reaches_clusters: self.clusters,
        }
    }

    /// Whether other clusters are reached.
    pub fn reaching(&self) -> Reaching {
        match (self.clusters, self.tenancy) {
            (false, _) => Reaching::Nothing,
            (true, false) => Reaching::Clusters,
            (true, true) => Reaching::AsAccounts,
        }
    }

    /// Why nothing is promoted, if nothing is.
    pub fn frozen(&self) -> Option<Frozen> {
        let reason = self.freeze.clone().filter(|reason| !reason.is_empty())?;
        Some(Frozen {
            reason,
            until: self.freeze_until,
        })
    }

    /// Images of stage pods; an empty one counts as none.
    pub fn images(&self) -> StageImages {
        let some = |image: &Option<String>| image.clone().filter(|image| !image.is_empty());
        StageImages {
            runner: some(&self.runner_image),
            buildkit: some(&self.buildkit_image),
            receiver: some(&self.stage_url).map(|url| ReceiverPlace {
                url,
                max_log_bytes: u64::from(self.log_max_mib) << 20,
            }),
            buildah: some(&self.buildah_image),
            isolations: self.build_isolation.clone(),
            syft: some(&self.syft_image),
        }
    }
}

/// A name of a cluster that can stand in names of branches and in labels.
fn cluster_name(text: &str) -> Result<String, String> {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let has_ends = !text.starts_with('-') && !text.ends_with('-');
    if has_ends && (1..=52).contains(&text.len()) && text.bytes().all(is_plain) {
        return Ok(text.to_owned());
    }
    Err(
        "must be small letters, digits and dashes between them, at most 52, such as prod-eu"
            .to_owned(),
    )
}

/// An isolation that is one: `Auto` is what is taken of this list.
fn isolation(word: &str) -> Result<Isolation, String> {
    let all = Isolation::ALL.iter().copied();
    let mut known = all.filter(|isolation| *isolation != Isolation::Auto);
    known
        .find(|isolation| isolation.as_str() == word)
        .ok_or_else(|| {
            "must be Privileged, Rootless, UserNamespace (for BuildKit) or Chroot (for Buildah)"
                .to_owned()
        })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn without_namespaces_all_are_watched() {
        let args = Args::parse_from(["slipway", "--watch-namespace", "a,b"]);
        assert_eq!(args.config.namespaces(), ["a", "b"]);
    }
}
