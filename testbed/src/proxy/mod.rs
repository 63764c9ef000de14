//! A fault-injecting HTTP proxy in front of a real API server, or any other.
//!
//! Listens on plain HTTP, on loopback unless told otherwise, and passes everything on as it comes, watches included, but
//! for the requests an injected [`Fault`] hits. It also keeps a list of the writes the server
//! answered. Protocol upgrades (exec, attach, port-forward) are not passed on.

mod fault;
mod forward;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use http::Method;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use kube::config::{
    AuthInfo, Cluster, Context as KubeContext, KubeConfigOptions, Kubeconfig, NamedAuthInfo,
    NamedCluster, NamedContext,
};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};

pub use self::fault::{Fault, Injected, Match, What};

use self::fault::Faults;
use self::forward::Upstream;

/// A running proxy. Dropping it closes its port and all connections.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    auth: AuthInfo,
    namespace: String,
    shared: Arc<Shared>,
    _stop_on_drop: DropGuard,
}

/// A write that the server answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    /// POST, PUT, PATCH or DELETE.
    pub method: Method,
    /// The path without the query.
    pub path: String,
    /// The query, for example `fieldManager=…`; empty when there is none.
    pub query: String,
    /// The client's user agent.
    pub user_agent: String,
    /// The server's answer.
    pub status: u16,
    /// Whether the answer was passed on to the client.
    pub is_answered: bool,
}

#[derive(Debug)]
struct Shared {
    faults: Faults,
    upstream: Upstream,
    writes: watch::Sender<Vec<Write>>,
    /// Ends the connections of now; exchanged for a new one by `drop_connections`.
    connections: Mutex<CancellationToken>,
    stop: CancellationToken,
}

impl Proxy {
    /// Starts a proxy in front of the API server that `upstream` points at.
    ///
    /// Requests keep their own `Authorization`; those without get the upstream's credentials.
    /// Where the upstream takes a client certificate, every request is made under it.
    ///
    /// # Errors
    ///
    /// The upstream's certificates cannot be read, or no port is free.
    pub async fn start(upstream: kube::Config) -> Result<Self> {
        Self::start_on(Ipv4Addr::LOCALHOST.into(), upstream).await
    }

    /// The same on another address, such as one that pods reach.
    ///
    /// # Errors
    ///
    /// As for [`Proxy::start`].
    pub async fn start_on(address: IpAddr, upstream: kube::Config) -> Result<Self> {
        let listener = TcpListener::bind((address, 0)).await?;
        let address = listener.local_addr()?;
        let stop = CancellationToken::new();
        let shared = Arc::new(Shared {
            faults: Faults::default(),
            upstream: Upstream::new(&upstream)?,
            writes: watch::Sender::new(Vec::new()),
            connections: Mutex::new(stop.child_token()),
            stop: stop.clone(),
        });
        tokio::spawn(accept(listener, Arc::clone(&shared)));
        let namespace = upstream.default_namespace;
        let guard = stop.drop_guard();
        Ok(Self {
            address,
            auth: upstream.auth_info,
            namespace,
            shared,
            _stop_on_drop: guard,
        })
    }

    /// Where the proxy listens, for example `http://127.0.0.1:41234`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Address and port, for example `127.0.0.1:41234`.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// A kubeconfig for the proxy, with the upstream's credentials.
    pub fn kubeconfig(&self) -> Kubeconfig {
        let name = "proxy".to_owned();
        let cluster = Cluster {
            server: Some(self.url()),
            ..Cluster::default()
        };
        let mut user = self.auth.clone();
        // Certificates mean nothing on plain HTTP: the proxy uses them towards the server.
        user.client_certificate = None;
        user.client_certificate_data = None;
        user.client_key = None;
        user.client_key_data = None;
        let context = KubeContext {
            cluster: name.clone(),
            user: Some(name.clone()),
            namespace: Some(self.namespace.clone()),
            ..KubeContext::default()
        };
        Kubeconfig {
            api_version: Some("v1".to_owned()),
            kind: Some("Config".to_owned()),
            clusters: vec![NamedCluster {
                name: name.clone(),
                cluster: Some(cluster),
                ..Default::default()
            }],
            auth_infos: vec![NamedAuthInfo {
                name: name.clone(),
                auth_info: Some(user),
                ..Default::default()
            }],
            contexts: vec![NamedContext {
                name: name.clone(),
                context: Some(context),
                ..Default::default()
            }],
            current_context: Some(name),
            ..Kubeconfig::default()
        }
    }

    /// Writes the kubeconfig to a file only its owner can read.
    ///
    /// # Errors
    ///
    /// The file cannot be written.
    pub fn write_kubeconfig(&self, path: &Path) -> Result<()> {
        let text = serde_saphyr::to_string(&self.kubeconfig())?;
        let mut options = std::fs::OpenOptions::new();
        let file = options
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(path);
        let context = || format!("writing {}", path.display());
        std::io::Write::write_all(&mut file.with_context(context)?, text.as_bytes())
            .with_context(context)
    }

    /// A client configuration for the proxy.
    ///
    /// # Errors
    ///
    /// The upstream's credentials cannot be read.
    pub async fn config(&self) -> Result<kube::Config> {
        let options = KubeConfigOptions::default();
        Ok(kube::Config::from_custom_kubeconfig(self.kubeconfig(), &options).await?)
    }

    /// A client of the proxy.
    ///
    /// # Errors
    ///
    /// As for [`Proxy::config`].
    pub async fn client(&self) -> Result<kube::Client> {
        Ok(kube::Client::try_from(self.config().await?)?)
    }

    /// Injects a fault; the answer tells how often it hit, and takes it back.
    pub fn inject(&self, fault: Fault) -> Injected {
        self.shared.faults.add(fault)
    }

    /// Takes all faults back. Requests that hang already go on hanging.
    pub fn clear(&self) {
        self.shared.faults.clear();
    }

    /// Closes every open connection: watches end in the middle, requests under way lose their
    /// answer. New connections are served.
    pub fn drop_connections(&self) {
        let mut current = self.shared.connections();
        std::mem::replace(&mut *current, self.shared.stop.child_token()).cancel();
    }

    /// The writes that the server answered, in the order of its answers. Leases, events, reviews,
    /// tokens and dry runs do not count.
    pub fn writes(&self) -> Vec<Write> {
        self.shared.writes.borrow().clone()
    }

    /// Waits until the list of writes fulfils `condition`.
    ///
    /// # Errors
    ///
    /// It did not within `within`.
    pub async fn until_writes(
        &self,
        within: Duration,
        condition: impl Fn(&[Write]) -> bool,
    ) -> Result<Vec<Write>> {
        let mut writes = self.shared.writes.subscribe();
        let awaited = timeout(within, writes.wait_for(|writes| condition(writes))).await;
        let writes = awaited.with_context(|| format!("not the awaited writes in {within:?}"))??;
        Ok(writes.clone())
    }
}

impl Shared {
    fn connections(&self) -> std::sync::MutexGuard<'_, CancellationToken> {
        self.connections
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    loop {
        tokio::select! {
            () = shared.stop.cancelled() => return,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => drop(tokio::spawn(serve(stream, Arc::clone(&shared)))),
                Err(error) => tracing::warn!(%error, "accepting a connection failed"),
            }
        }
    }
}

async fn serve(stream: TcpStream, shared: Arc<Shared>) {
    let _ = stream.set_nodelay(true);
    let end = shared.connections().clone();
    let service = service_fn(move |request| forward::answer(Arc::clone(&shared), request));
    let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    // An error here is a client that went away, or a fault that did what it was meant to.
    end.run_until_cancelled(connection).await;
}

#[cfg(test)]
mod tests;
