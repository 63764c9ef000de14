//! The git provider of the story: Gitea in the cluster, who has an account there, and what it shows of commits.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result};
use http::Method;
use serde_json::{Value, json};

use super::stage::{DEVELOPER, FORGE, NAMESPACE};
use super::world::{list, number, text};
use crate::gitea::{Api, token_in};
use crate::kubectl::Kubectl;
use crate::{operator, process, wait};

/// The host by which the gateway knows it.
const HOST: &str = "git.test";
/// The account of the operator.
const ROBOT: &str = "slipway";
/// How long the gateway may take to hear of it.
const PATIENCE: Duration = Duration::from_mins(1);

/// Gitea, with the repository of the sample.
#[derive(Debug)]
pub(crate) struct Forge {
    /// As who writes the code.
    api: Api,
    /// Where requests for it go.
    gateway: SocketAddr,
}

impl Forge {
    /// Gives people and the operator accounts, makes the repository, and the Secrets with which both sides show who they are.
    pub(crate) async fn set_up(admin: &Kubectl, gateway: &str) -> Result<Self> {
        let gateway: SocketAddr = gateway.parse().context("the gateway has no address")?;
        let [dana, _] = DEVELOPER;
        let token = account(admin, dana, &["--admin"]).await?;
        let scopes = "--access-token-scopes=write:repository,write:issue,read:user";
        let robot = account(admin, ROBOT, &[scopes]).await?;
        let http = reqwest::Client::builder().no_proxy();
        let forge = Self {
            api: Api {
                // No DNS knows this name.
                http: http.resolve(HOST, gateway).build()?,
                server: format!("http://{HOST}:{}", gateway.port()),
                token,
            },
            gateway,
        };
        let hears = || async {
            forge
                .ask(Method::GET, "version", &Value::Null)
                .await
                .map(Some)
        };
        wait::until("the gateway leads to Gitea", PATIENCE, hears).await?;
        let hook = process::run("openssl", &["rand", "-hex", "16"]).await?;
        let hook = hook.trim();
        forge.repository(hook).await?;
        let secret = |name: &str, token: &str| {
            json!({
                "apiVersion": "v1", "kind": "Secret", "stringData": {"token": token},
                "metadata": {"name": name, "namespace": NAMESPACE, "labels": {"slipway.dev/use": "pipelines"}},
            })
        };
        let secrets = [secret("git", &robot), secret("hook", hook)];
        let secrets = json!({"apiVersion": "v1", "kind": "List", "items": secrets});
        admin.create(&secrets.to_string()).await?;
        Ok(forge)
    }

    /// The repository, in which the operator may write, and the webhook that tells it of pushes and pull requests.
    async fn repository(&self, hook: &str) -> Result<()> {
        let [dana, _] = DEVELOPER;
        let repository = json!({"name": "greeter", "default_branch": "main"});
        self.ask(Method::POST, "user/repos", &repository).await?;
        let of_it = format!("repos/{dana}/greeter");
        let member = format!("{of_it}/collaborators/{ROBOT}");
        let may_write = json!({"permission": "write"});
        self.ask(Method::PUT, &member, &may_write).await?;
        let receiver = format!(
            "http://{}-alerts.{}.svc.cluster.local:8090/hooks/git/{NAMESPACE}/greeter",
            operator::RELEASE,
            operator::NAMESPACE
        );
        let hook = json!({
            "type": "gitea", "active": true, "events": ["push", "pull_request", "pull_request_sync"],
            "config": {"url": receiver, "content_type": "json", "secret": hook},
        });
        self.ask(Method::POST, &format!("{of_it}/hooks"), &hook)
            .await
            .map(drop)
    }

    /// Where its repository is pushed to, and what git has to be told to find it.
    pub(crate) fn remote(&self) -> [String; 2] {
        let ([dana, _], token) = (DEVELOPER, &self.api.token);
        let (ip, port) = (self.gateway.ip(), self.gateway.port());
        [
            format!("http://{dana}:{token}@{HOST}:{port}/{dana}/greeter.git"),
            format!("http.curloptResolve={HOST}:{port}:{ip}"),
        ]
    }

    /// What people see of a commit there, once that is the end of the run and of so many stages: context and state.
    pub(crate) async fn statuses(&self, commit: &str, stages: usize) -> Result<Vec<[String; 2]>> {
        let [dana, _] = DEVELOPER;
        let path = format!("repos/{dana}/greeter/commits/{commit}/status");
        wait::until("Gitea to show how the run went", PATIENCE, || async {
            let said = self.ask(Method::GET, &path, &Value::Null).await?;
            let shown = list(&said, "/statuses").iter();
            let shown =
                shown.map(|one| ["/context", "/status"].map(|key| text(one, key).to_owned()));
            let mut shown: Vec<[String; 2]> = shown.collect();
            shown.sort();
            let is_over = shown.len() > stages && shown.iter().all(|[_, state]| state != "pending");
            Ok(is_over.then_some(shown))
        })
        .await
    }

    /// Asks for a branch to be merged, once the commit at its head has had its turn; the number of the pull request.
    pub(crate) async fn open(&self, branch: &str, commit: &str, title: &str) -> Result<u64> {
        let [dana, _] = DEVELOPER;
        self.api
            .has_taken(&format!("{dana}/greeter"), commit)
            .await?;
        let path = format!("repos/{dana}/greeter/pulls");
        let pull = json!({"title": title, "head": branch, "base": "main"});
        let opened = self.ask(Method::POST, &path, &pull).await?;
        number(&opened, "/number").context("a pull request without number")
    }

    /// The operator's comments on a pull request, once the one about a run tells of its end.
    pub(crate) async fn comments(&self, pull: u64, run: &str) -> Result<Vec<String>> {
        let [dana, _] = DEVELOPER;
        let path = format!("repos/{dana}/greeter/issues/{pull}/comments");
        wait::until("Gitea to have a comment", PATIENCE, || async {
            let all = self.ask(Method::GET, &path, &Value::Null).await?;
            let own = list(&all, "").iter();
            let own = own.filter(|comment| text(comment, "/user/login") == ROBOT);
            let own: Vec<String> = own.map(|one| text(one, "/body").to_owned()).collect();
            let tells = |body: &String| body.contains(run) && !body.contains("in progress");
            Ok(own.iter().any(tells).then_some(own))
        })
        .await
    }

    async fn ask(&self, method: Method, path: &str, body: &Value) -> Result<Value> {
        self.api.ask(method, path, body).await
    }
}

/// An account that Gitea's own command makes in its pod; its token.
async fn account(admin: &Kubectl, name: &str, more: &[&str]) -> Result<String> {
    let inside = ["exec", "--namespace", FORGE, "deployment/git", "--"];
    let config = ["--config", "/var/lib/gitea/app.ini"];
    let create = ["gitea", "admin", "user", "create", "--random-password"];
    let email = format!("{name}@greeter.test");
    let who = ["--username", name, "--email", &email];
    let token = ["--must-change-password=false", "--access-token"];
    let args = [&inside[..], &create, &config, &who, &token, more].concat();
    token_in(&admin.run(&args, "").await?)
}
