//! Emails, and a mail server that others have written: `github.com/emersion/go-smtp`, with STARTTLS and a password.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Stdio;

use serde::Deserialize;
use serde_json::json;
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use super::shop::Shop;
use crate::cluster::{SOON, kubeconfig_path, wait_for, with_namespace};
use crate::operator::Operator;

const CA: &str = include_str!("../../data/tls/ca.crt");
const SERVER: &str = include_str!("../../data/tls/server.crt");
const KEY: &str = include_str!("../../data/tls/server.key");
const PASSWORD: &str = "a-password-of-mail";
const WRONG: &str = "a-password-of-somebody-else";

/// What it writes of an email.
#[derive(Debug, Deserialize)]
struct Email {
    from: String,
    to: Vec<String>,
    data: String,
    login: String,
    encrypted: bool,
}

/// The server, gone with the value.
struct Server {
    port: u16,
    file: PathBuf,
    _folder: TempDir,
    _child: Child,
}

impl Server {
    async fn start() -> Self {
        testbed::programs::ensure(&["mail-server"]).await.unwrap();
        let program = testbed::programs::path_of("mail-server").unwrap();
        let folder = TempDir::new().unwrap();
        let [chain, key, file] = ["chain", "key", "emails"].map(|name| folder.path().join(name));
        std::fs::write(&chain, SERVER).unwrap();
        std::fs::write(&key, KEY).unwrap();
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = free.local_addr().unwrap();
        drop(free);
        let mut command = Command::new(program);
        command.arg(address.to_string()).args([&chain, &key]);
        command.args(["slipway", PASSWORD]).arg(&file);
        let quiet = command.stdout(Stdio::null()).stderr(Stdio::null());
        let child = quiet.kill_on_drop(true).spawn().unwrap();
        wait_for("the mail server answers", SOON, async || {
            TcpStream::connect(address).await.ok()
        })
        .await;
        Self {
            port: address.port(),
            file,
            _folder: folder,
            _child: child,
        }
    }

    /// What came so far.
    fn received(&self) -> Vec<Email> {
        let text = std::fs::read_to_string(&self.file).unwrap_or_default();
        let whole = text.lines().map(serde_json::from_str);
        whole.map_while(Result::ok).collect()
    }
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn an_email_is_taken_by_a_server_that_others_have_written_and_a_wrong_password_is_told() {
    with_namespace(async |space| {
        let server = Server::start().await;
        let values = json!({"password": PASSWORD, "wrong": WRONG, "ca.crt": CA});
        space.make_secret("mail", values).await;
        let args = [
            "--no-leader-election",
            "--metric-secrets",
            "--metric-hosts",
            "localhost,127.0.0.0/8,::1",
        ];
        let operator = Operator::start_with(&space.name, &kubeconfig_path(), &args);
        let email = |password: &str| {
            json!({
                "host": "localhost", "port": server.port, "from": "slipway@example.com",
                "to": ["team@example.com", "leads@example.com"], "ca": {"name": "mail", "key": "ca.crt"},
                "auth": {"username": "slipway", "password": {"name": "mail", "key": password}},
            })
        };
        let on = json!(["PromotionSucceeded"]);
        let receivers = json!([
            {"name": "team", "email": email("password"), "on": on},
            {"name": "stranger", "email": email("wrong"), "on": on},
        ]);
        let shop = Shop::new(space);
        shop.environment("staging", &json!({"notifications": receivers})).await;
        shop.release(1).await;
        shop.until_runs("staging", 1).await;
        wait_for("an email", SOON, async || {
            (!server.received().is_empty()).then_some(())
        })
        .await;
        let refused = wait_for("a wrong password", SOON, async || {
            let environment = shop.environments.get("staging").await.unwrap();
            let outbox = environment.status?.outbox;
            let mut entries = outbox.into_iter().filter(|entry| entry.sink == "stranger");
            entries.next()?.last_error
        })
        .await;
        assert!(!refused.contains(WRONG), "{refused}");
        assert!(!operator.log().contains(WRONG) && !operator.log().contains(PASSWORD));
        shop.until_looked_again("staging").await;
        let all = server.received();
        let [mail] = all.as_slice() else {
            panic!("{all:?}")
        };
        assert!(mail.encrypted);
        assert_eq!((mail.login.as_str(), mail.from.as_str()), ("slipway", "slipway@example.com"));
        assert_eq!(mail.to, ["team@example.com", "leads@example.com"]);
        assert!(mail.data.contains("Subject: ") && mail.data.contains("shop-1"), "{}", mail.data);
    })
    .await;
}
