//! The operator process, from start to end: connect, check, watch, elect, work, hand over.

mod definition;
pub mod ready;
pub mod retire;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use kube::Client;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use crate::archive::Archive;
#[cfg(feature = "dashboard")]
use crate::cli::{cluster::Server, run::archive::Keeper};
use crate::clock::Clock;
use crate::cluster::fetch::egress::Egress;
use crate::cluster::watch::{Queues, Watches, wait_for_sync};
use crate::cluster::{Cluster, client, fetch, preflight, sweep};
use crate::config::Config;
use crate::controller::queue::Queue;
#[cfg(feature = "dashboard")]
use crate::dashboard::{self, Door};
use crate::kinds::{self, KINDS};
use crate::leader::{self, Candidate};
use crate::model::object::ObjectKind;
use crate::receiver::alert::Receiver;
use crate::receiver::stage;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::trace::Changes;
use crate::web::{self, Health};

/// Longest wait for the first lists.
const SYNC: Duration = Duration::from_mins(1);
/// Longest wait for reconciles that are under way at the end. The lease is kept meanwhile.
const DRAIN: Duration = Duration::from_secs(8);

/// Why the operator ended with an error.
#[derive(Debug, thiserror::Error)]
pub enum OperatorError {
    /// No kubeconfig and no ServiceAccount.
    #[error(
        "no cluster configured; set KUBECONFIG, or run in a pod that has a ServiceAccount token"
    )]
    NoConfig(#[source] Box<kube::config::InferConfigError>),
    /// The configuration is there and cannot be used.
    #[error("cannot use the cluster's configuration")]
    BadConfig(#[source] Box<kube::Error>),
    /// The list of hosts that metrics may come from.
    #[error("cannot use --metric-hosts: {0}")]
    MetricHosts(String),
    /// The way to the cluster for the dashboard.
    #[error("cannot serve the dashboard: {0}")]
    Dashboard(String),
    /// Something is missing in the cluster.
    #[error(transparent)]
    Preflight(#[from] preflight::PreflightError),
    /// The address is taken, most likely.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address that was asked for.
        address: std::net::SocketAddr,
        /// The cause.
        source: std::io::Error,
    },
    /// Logs have no place.
    #[error("cannot keep logs in {}; mount a volume there that the process may write to, or name another folder with --log-folder", folder.display())]
    LogFolder {
        /// The folder that was named.
        folder: std::path::PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// The first lists did not come.
    #[error("no complete list of {0} within {seconds} s", seconds = SYNC.as_secs())]
    NoSync(String),
    /// Somebody else leads now.
    #[error("the lead was lost; ending, so that nothing is written twice")]
    LostLead,
    /// What a check of an installation misses.
    #[error("the operator is not ready: {0}")]
    NotReady(String),
    /// A read or a write before an uninstall.
    #[error("failed to {what}")]
    Retire {
        /// What was tried.
        what: &'static str,
        /// The cause.
        source: Box<kube::Error>,
    },
    /// Who should have ended, or somebody else, keeps the Lease.
    #[error(
        "an operator keeps the Lease though Deployment {0} has no replicas, and nothing was let go; end what else runs with this Lease, and run it again"
    )]
    StillLed(String),
    /// What would wait for an operator that is gone.
    #[error(
        "{0} objects still have the finalizer slipway.dev/cleanup; the log has the reasons; run it again, or take it off by hand"
    )]
    Unreleased(usize),
    /// A mistake in the metrics.
    #[error("cannot register metrics")]
    Metrics(#[from] prometheus::Error),
}

/// How long an eviction may take.
const EVICTION: Duration = Duration::from_secs(15);

/// The cluster that is configured.
async fn configured() -> Result<kube::Config, OperatorError> {
    let config = kube::Config::infer().await;
    config.map_err(|error| OperatorError::NoConfig(Box::new(error)))
}

/// Whether all that is needed is there; false where the end was asked for meanwhile.
async fn checked(
    client: &Client,
    config: &Config,
    stop: &CancellationToken,
) -> Result<bool, OperatorError> {
    let namespaces = config.namespaces();
    let check = preflight::check(client, &namespaces, config.rights());
    let Some(found) = stop.run_until_cancelled(check).await else {
        return Ok(false);
    };
    found?;
    Ok(true)
}

/// Runs the operator until `stop`. The ways of changes are traced to where `changes` sends them.
///
/// # Errors
/// See [`OperatorError`]; the text says what to do.
pub async fn run(
    config: Config,
    changes: Changes,
    stop: CancellationToken,
) -> Result<(), OperatorError> {
    let kube_config = configured().await?;
    let bad = |error| OperatorError::BadConfig(Box::new(error));
    let clock = Clock::default();
    let metrics = Metrics::new()?;
    let lease_client = client::connect_for_lease(kube_config.clone(), leader::CALL).map_err(bad)?;
    #[cfg(feature = "dashboard")]
    let nobody = kube_config.clone();
    let evictor = kube_config.clone();
    let evictor = client::connect_once(evictor, EVICTION, metrics.clone(), clock.clone());
    let evictor = evictor.map_err(bad)?;
    let client = client::connect(kube_config, metrics.clone(), clock.clone()).map_err(bad)?;
    if !checked(&client, &config, &stop).await? {
        return Ok(());
    }
    let egress = Egress::parse(&config.metric_hosts).map_err(OperatorError::MetricHosts)?;
    let queues = Arc::new(queues());

    let process = Process {
        cluster: Cluster::new(
            client,
            fetch::Http::new(egress),
            metrics.clone(),
            clock.clone(),
        )
        .with_images(config.images())
        .with_namespace(&config.namespace)
        .with_name(config.cluster_name.as_deref())
        .with_secret_snapshots(config.secret_snapshots)
        .with_metric_secrets(config.metric_secrets)
        .with_stage_secrets(config.stage_secrets)
        .with_previews(config.previews.then(|| config.namespaces()))
        .with_freeze(config.frozen())
        .with_clusters(config.reaching())
        .with_changes(changes)
        .with_evictor(evictor),
        health: Health::new(clock, metrics, Arc::clone(&queues)),
        queues,
        tasks: TaskTracker::new(),
        leads: Arc::default(),
        stop: stop.child_token(),
        config,
    };
    #[cfg(feature = "dashboard")]
    process.show(nobody).await?;
    let result = process.run(lease_client).await;
    if matches!(result, Err(OperatorError::LostLead)) {
        return result;
    }
    process.stop.cancel();
    process.tasks.close();
    let _ = tokio::time::timeout(Duration::from_secs(5), process.tasks.wait()).await;
    result
}

/// A queue per kind with a controller. A Promotion has none: its Environment looks at it.
fn queues() -> Queues {
    KINDS
        .iter()
        .filter(|kind| kind.has_reconciler && kind.object != ObjectKind::Promotion)
        .map(|kind| (kind.object, Arc::new(Queue::default())))
        .collect()
}

async fn listen(address: SocketAddr) -> Result<TcpListener, OperatorError> {
    let listener = TcpListener::bind(address).await;
    listener.map_err(|source| OperatorError::Listen { address, source })
}

struct Process {
    cluster: Cluster,
    health: Health,
    queues: Arc<Queues>,
    tasks: TaskTracker,
    /// Whether the controllers run, and go on running.
    leads: Arc<AtomicBool>,
    stop: CancellationToken,
    config: Config,
}

impl Process {
    async fn run(&self, lease_client: Client) -> Result<(), OperatorError> {
        self.serve().await?;
        self.receive().await?;
        self.receive_logs().await?;
        self.watch().await?;
        if self.stop.is_cancelled() {
            return Ok(());
        }
        self.health.set_ready(true);
        if self.config.no_leader_election {
            self.work(std::future::pending()).await;
            return Ok(());
        }
        self.lead(lease_client).await
    }

    async fn serve(&self) -> Result<(), OperatorError> {
        let listener = listen(self.config.listen).await?;
        if let Ok(address) = listener.local_addr() {
            info!(%address, "serving health and metrics");
        }
        let (health, stop) = (self.health.clone(), self.stop.clone());
        self.tasks.spawn(async move {
            if let Err(error) = web::serve(listener, health, stop).await {
                warn!(%error, "health and metrics are no longer served");
            }
        });
        self.tasks
            .spawn(self.health.clone().beat(self.stop.clone()));
        let watch = definition::watch(self.cluster.client().clone(), self.health.clone());
        let stop = self.stop.clone();
        self.tasks.spawn(stop.run_until_cancelled_owned(watch));
        Ok(())
    }

    /// Takes alerts, where that is wanted. Standbys answer too, and say that they do not lead.
    async fn receive(&self) -> Result<(), OperatorError> {
        let Some(address) = self.config.alert_listen else {
            return Ok(());
        };
        let listener = listen(address).await?;
        if let Ok(address) = listener.local_addr() {
            info!(%address, "taking alerts");
        }
        let receiver = Receiver::new(self.cluster.clone(), Arc::clone(&self.leads));
        let stop = self.stop.clone();
        self.tasks.spawn(async move {
            if let Err(error) = receiver.serve(listener, stop).await {
                warn!(%error, "alerts are no longer taken");
            }
        });
        Ok(())
    }

    /// Takes logs and claims from the pods of stages, where that is wanted.
    async fn receive_logs(&self) -> Result<(), OperatorError> {
        let Some(address) = self.config.stage_listen else {
            return Ok(());
        };
        let mib = |number: u32| u64::from(number) << 20;
        let folder = self.config.log_folder.clone();
        let limits = (mib(self.config.log_max_mib), mib(self.config.log_total_mib));
        let archive = Archive::open(folder, limits.0, limits.1);
        let archive = archive.map_err(|source| OperatorError::LogFolder {
            folder: self.config.log_folder.clone(),
            source,
        })?;
        let listener = listen(address).await?;
        if let Ok(address) = listener.local_addr() {
            info!(%address, "taking logs of stages");
        }
        let receiver = stage::Receiver::new(self.cluster.clone(), Arc::clone(&self.leads), archive);
        self.tasks.spawn(receiver.clone().sweep(self.stop.clone()));
        let stop = self.stop.clone();
        self.tasks.spawn(async move {
            if let Err(error) = receiver.serve(listener, stop).await {
                warn!(%error, "logs of stages are no longer taken");
            }
        });
        Ok(())
    }

    /// Serves the dashboard, where that is wanted. Nothing there is asked in the name of this process, so standbys serve it too.
    #[cfg(feature = "dashboard")]
    async fn show(&self, config: kube::Config) -> Result<(), OperatorError> {
        let Some(address) = self.config.dashboard_listen else {
            return Ok(());
        };
        let server = Server::without_login(config).map_err(OperatorError::Dashboard)?;
        let listener = listen(address).await?;
        if let Ok(address) = listener.local_addr() {
            info!(%address, "serving the dashboard");
        }
        let keeper = Keeper {
            operator_namespace: self.config.namespace.clone(),
            receiver: self.config.receiver_service.clone(),
            service_account: "default".to_owned(),
        };
        let stop = self.stop.clone();
        self.tasks.spawn(async move {
            let ended = dashboard::serve(listener, (server, Door::Cluster), keeper, stop).await;
            if let Err(error) = ended {
                warn!(%error, "the dashboard is no longer served");
            }
        });
        Ok(())
    }

    /// Starts the watches and waits for their first lists. Standbys do so too: their caches are warm.
    async fn watch(&self) -> Result<(), OperatorError> {
        let namespaces = self.config.namespaces();
        let remotes = &self.cluster.remotes;
        remotes.live(self.stop.clone(), self.tasks.clone());
        self.cluster.caches.watch(Watches {
            client: self.cluster.client().clone(),
            namespaces: namespaces.clone(),
            copies_secrets: self.config.secret_snapshots,
            queues: Arc::clone(&self.queues),
            metrics: self.cluster.metrics().clone(),
            stop: self.stop.clone(),
            tasks: self.tasks.clone(),
        });
        let unsynced = || self.cluster.caches.unsynced(&namespaces);
        let synced = self
            .stop
            .run_until_cancelled(wait_for_sync(unsynced, SYNC))
            .await;
        if let Some(Err(missing)) = synced {
            let names: Vec<&str> = missing.iter().map(|kind| kind.plural()).collect();
            return Err(OperatorError::NoSync(names.join(", ")));
        }
        Ok(())
    }

    async fn lead(&self, client: Client) -> Result<(), OperatorError> {
        let identity = format!("{}_{}", self.config.identity, std::process::id());
        let clock = self.cluster.clock().clone();
        let config = &self.config;
        let mut candidate =
            Candidate::new(client, &config.namespace, &config.lease, identity, clock);
        if self
            .stop
            .run_until_cancelled(candidate.win())
            .await
            .is_none()
        {
            return Ok(());
        }
        self.cluster.metrics().leading(true);
        let lost = self.work(candidate.keep()).await;
        self.cluster.metrics().leading(false);
        if lost {
            return Err(OperatorError::LostLead);
        }
        candidate.release().await;
        Ok(())
    }

    /// Runs the controllers until the end is asked for (false) or the lead is lost (true).
    async fn work(&self, lost: impl Future<Output = ()>) -> bool {
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        kinds::run(
            &self.cluster,
            &self.queues,
            self.config.workers,
            &stop,
            &tasks,
        );
        if self.cluster.makes_previews() {
            let sweep = sweep::run(self.cluster.clone());
            tasks.spawn(stop.clone().run_until_cancelled_owned(sweep));
        }
        self.leads.store(true, Ordering::Relaxed);
        let mut lost = std::pin::pin!(lost);
        tokio::select! {
            () = self.stop.cancelled() => {}
            () = &mut lost => return true,
        }
        self.leads.store(false, Ordering::Relaxed);
        // Finish what is under way while the lease is still ours, and keep it so.
        stop.cancel();
        tasks.close();
        tokio::select! {
            _ = tokio::time::timeout(DRAIN, tasks.wait()) => false,
            () = &mut lost => true,
        }
    }
}
