//! A real Prometheus behind TLS, a password and certificates of clients, with a past that is written.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;
use testbed::programs;
use tokio::net::TcpListener;
use tokio::process::{Child, Command};

use crate::cluster::{SOON, wait_for};

pub(crate) const PASSWORD: &str = "open sesame";
/// The hash of it that Prometheus wants: bcrypt.
const HASH: &str = "$2b$10$abcdefghijklmnopqrstuu4SuEsu2LsUrAYUpWQHLMMc4GV5pZTxK";

/// A Prometheus that lets in who has the password and a certificate. Dropping it ends it.
pub(crate) struct Prometheus {
    _child: Child,
    folder: PathBuf,
    pub(crate) address: String,
}

impl Prometheus {
    /// Starts one, with this past (OpenMetrics with times) or without any.
    pub(crate) async fn start(past: Option<&str>) -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        programs::ensure(&["prometheus", "promtool"]).await.unwrap();
        let (process, count) = (std::process::id(), COUNT.fetch_add(1, Ordering::SeqCst));
        let folder = std::env::temp_dir().join(format!("slipway-prometheus-{process}-{count}"));
        std::fs::create_dir_all(&folder).unwrap();
        if let Some(past) = past {
            fill(&folder, past).await;
        }
        certificates(&folder).await;
        std::fs::write(folder.join("prometheus.yaml"), "{}").unwrap();
        let web = json!({
            "basic_auth_users": {"slipway": HASH},
            "tls_server_config": {
                "cert_file": "server.crt", "key_file": "server.key",
                "client_auth_type": "RequireAndVerifyClientCert", "client_ca_file": "ca.crt",
            },
        });
        std::fs::write(folder.join("web.yaml"), web.to_string()).unwrap();
        // A port that was free a moment ago.
        let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let child = Command::new(programs::path_of("prometheus").unwrap())
            .current_dir(&folder)
            .args([
                "--config.file=prometheus.yaml",
                "--web.config.file=web.yaml",
            ])
            .args(["--storage.tsdb.path=data", "--log.level=warn"])
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        wait_for("Prometheus listens", SOON, async || {
            let connected = tokio::net::TcpStream::connect(("127.0.0.1", port)).await;
            connected.ok().map(drop)
        })
        .await;
        Self {
            _child: child,
            folder,
            address: format!("https://localhost:{port}"),
        }
    }

    /// Where a file of it is: `ca.crt`, `client.crt` and `client.key` are for who asks.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// What is in it.
    pub(crate) fn file(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Puts the past where Prometheus will look for it.
async fn fill(folder: &Path, past: &str) {
    std::fs::write(folder.join("past.txt"), past).unwrap();
    let promtool = Command::new(programs::path_of("promtool").unwrap())
        .current_dir(folder)
        .args([
            "tsdb",
            "create-blocks-from",
            "openmetrics",
            "past.txt",
            "data",
        ])
        .output()
        .await
        .unwrap();
    let said = String::from_utf8_lossy(&promtool.stderr);
    assert!(promtool.status.success(), "{said}");
}

/// An authority, and what it signs for the server and for a client.
async fn certificates(folder: &Path) {
    let openssl = async |args: &str| {
        let run = Command::new("openssl")
            .args(args.split(' '))
            .current_dir(folder)
            .output()
            .await;
        let run = run.unwrap();
        assert!(
            run.status.success(),
            "{args}: {}",
            String::from_utf8_lossy(&run.stderr)
        );
    };
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    openssl(&format!(
        "req -x509 -days 30 {key} -keyout ca.key -out ca.crt -subj /CN=authority"
    ))
    .await;
    std::fs::write(folder.join("names"), "subjectAltName=DNS:localhost").unwrap();
    for name in ["server", "client"] {
        openssl(&format!(
            "req {key} -keyout {name}.key -out {name}.csr -subj /CN={name}"
        ))
        .await;
        let signed = "-CA ca.crt -CAkey ca.key -CAcreateserial -days 30 -extfile names";
        openssl(&format!(
            "x509 -req -in {name}.csr {signed} -out {name}.crt"
        ))
        .await;
    }
}
