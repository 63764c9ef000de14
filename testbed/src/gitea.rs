//! Gitea, a real git provider, as a process of this machine: accounts, repositories, pull requests, webhooks, statuses and
//! comments, all through its own API. Its program is built on first use, in about four minutes.

use std::fmt::Write;
use std::net::Ipv4Addr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use http::Method;
use serde_json::{Value, json};

use crate::control_plane::unique;
use crate::git::Repository;
use crate::settings::Settings;
use crate::site::Site;
use crate::{process, programs, wait, web};

/// Long enough for a machine that is busy building something else.
const PATIENCE: Duration = Duration::from_mins(2);

/// A running Gitea, ready to use. Dropping it ends it and removes all that it has; killing the process that started it ends it too.
#[derive(Debug)]
pub struct Gitea {
    address: String,
    admin: Account,
    api: Api,
    site: Site,
}

/// A Gitea's API, asked as one account.
#[derive(Debug, Clone)]
pub(crate) struct Api {
    pub(crate) http: reqwest::Client,
    /// `http://…`, without a slash at the end.
    pub(crate) server: String,
    pub(crate) token: String,
}

/// Somebody with an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// The login.
    pub name: String,
    /// What their programs show, to the API and to git.
    pub token: String,
}

impl Gitea {
    /// Starts one on loopback, in a second or two once its program is built. `alice` is its administrator.
    ///
    /// # Errors
    ///
    /// It cannot be built, or does not become ready.
    pub async fn start() -> Result<Self> {
        Self::start_on(Ipv4Addr::LOCALHOST).await
    }

    /// The same on another address, such as one that pods reach.
    ///
    /// # Errors
    ///
    /// It cannot be built, or does not become ready.
    pub async fn start_on(ip: Ipv4Addr) -> Result<Self> {
        programs::ensure(&["gitea"]).await?;
        let files = programs::gitea_files().await?;
        let mut site = Site::ephemeral(&Settings::from_env().root, &unique("gitea"))?;
        let address = site.address("gitea", ip, None)?;
        let config = config(&address, &site.path(""), &files)?;
        let config = site.write("app.ini", &config)?.display().to_string();
        let program = programs::path_of("gitea")?;
        let args = ["web", "--config", &config].map(str::to_owned);
        site.start("gitea", &program, &args)?;
        let http = reqwest::Client::builder().no_proxy().build()?;
        let server = format!("http://{address}");
        let health = format!("{server}/api/healthz");
        site.ready("gitea", PATIENCE, || web::is_well(&http, &health))
            .await?;
        let admin = administrator(&program, &config).await?;
        Ok(Self {
            address,
            api: Api {
                http,
                server,
                token: admin.token.clone(),
            },
            admin,
            site,
        })
    }

    /// Who may do anything.
    pub fn admin(&self) -> &Account {
        &self.admin
    }

    /// The URL of a repository, such as `shop/api`, for who needs no login.
    pub fn url(&self, name: &str) -> String {
        format!("http://{}/{name}.git", self.address)
    }

    /// Makes an account for somebody.
    ///
    /// # Errors
    ///
    /// Gitea refuses.
    pub async fn account(&self, name: &str) -> Result<Account> {
        let (email, password) = (format!("{name}@example.com"), format!("of {name} alone"));
        let account = json!({
            "username": name, "email": email, "password": password, "must_change_password": false,
        });
        self.ask(Method::POST, "admin/users", &account).await?;
        let url = format!("{}/api/v1/users/{name}/tokens", self.api.server);
        let wanted = json!({"name": "tests", "scopes": ["write:repository", "write:issue"]});
        let request = self.api.http.post(url).basic_auth(name, Some(password));
        let made = web::ask(request, &wanted).await?;
        let token = made.get("sha1").and_then(Value::as_str);
        Ok(Account {
            name: name.to_owned(),
            token: token.context("Gitea gives no token")?.to_owned(),
        })
    }

    /// Makes an empty repository of an organisation, such as `shop/api`, which everybody may read; with a working tree of the administrator's.
    ///
    /// # Errors
    ///
    /// Gitea or git refuses.
    pub async fn create(&self, name: &str) -> Result<Repository> {
        let (owner, short) = name.split_once('/').context("a name without an owner")?;
        let there = format!("orgs/{owner}");
        if self.ask(Method::GET, &there, &Value::Null).await.is_err() {
            let organisation = json!({"username": owner});
            self.ask(Method::POST, "orgs", &organisation).await?;
        }
        let repository = json!({"name": short, "default_branch": "main"});
        let path = format!("orgs/{owner}/repos");
        self.ask(Method::POST, &path, &repository).await?;
        let Account { name: user, token } = &self.admin;
        let url = format!("http://{user}:{token}@{}/{name}.git", self.address);
        Repository::clone_of(&url, &self.site.path(&format!("work/{name}"))).await
    }

    /// Asks the API something as the administrator; `path` is what follows `/api/v1/`, and no body is null.
    ///
    /// # Errors
    ///
    /// What Gitea says against it.
    pub async fn ask(&self, method: Method, path: &str, body: &Value) -> Result<Value> {
        self.api.ask(method, path, body).await
    }

    /// Waits until a commit that was pushed to a repository has had its turn: see [`Api::has_taken`].
    ///
    /// # Errors
    ///
    /// Gitea refuses, or does not come to it in time.
    pub async fn has_taken(&self, name: &str, sha: &str) -> Result<()> {
        self.api.has_taken(name, sha).await
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.site.path("logs/gitea.log")).unwrap_or_default()
    }
}

impl Api {
    /// Asks something; `path` is what follows `/api/v1/`, and no body is null.
    ///
    /// # Errors
    ///
    /// What Gitea says against it.
    pub(crate) async fn ask(&self, method: Method, path: &str, body: &Value) -> Result<Value> {
        let url = format!("{}/api/v1/{path}", self.server);
        let request = self.http.request(method, url).bearer_auth(&self.token);
        web::ask(request, body).await
    }

    /// Waits until a commit that was pushed to a repository, such as `shop/api`, has had its turn. Gitea queues what git has taken:
    /// only then does it know a new branch, and tell the webhooks that are there at that time.
    ///
    /// # Errors
    ///
    /// Gitea refuses, or does not come to it in time.
    pub(crate) async fn has_taken(&self, name: &str, sha: &str) -> Result<()> {
        let path = format!("repos/{name}/activities/feeds?limit=50");
        wait::until("Gitea to deal with a push", PATIENCE, || async {
            let feed = self.ask(Method::GET, &path, &Value::Null).await?;
            let acts = feed.as_array().into_iter().flatten();
            let mut told = acts.filter_map(|act| act.get("content")?.as_str());
            Ok(told.any(|content| content.contains(sha)).then_some(()))
        })
        .await
    }
}

/// The first account, which the API cannot make.
async fn administrator(program: &Path, config: &str) -> Result<Account> {
    let name = "alice";
    let email = format!("{name}@example.com");
    let create = ["admin", "user", "create", "--config", config, "--admin"];
    let who = ["--username", name, "--email", &email, "--random-password"];
    let token = ["--access-token", "--access-token-scopes", "all"];
    let args = [&create[..], &who, &token, &["--must-change-password=false"]].concat();
    let said = process::run(&program.display().to_string(), &args).await?;
    Ok(Account {
        name: name.to_owned(),
        token: token_in(&said)?,
    })
}

/// The token that Gitea's command has made.
pub(crate) fn token_in(said: &str) -> Result<String> {
    let is_token =
        |word: &&str| word.len() == 40 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
    let token = said.split_whitespace().find(is_token);
    Ok(token.context("Gitea gives no token")?.to_owned())
}

/// What it is told: everything in one folder, nothing that it would ask the internet for, and webhooks to this machine.
fn config(address: &str, folder: &Path, files: &Path) -> Result<String> {
    let (ip, port) = address.split_once(':').context("an address without port")?;
    let (folder, files) = (folder.display(), files.display());
    let mut text = format!("WORK_PATH = {folder}\nRUN_MODE = prod\n");
    // As whom tests run.
    text.push_str("I_AM_BEING_UNSAFE_RUNNING_AS_ROOT = true\n");
    let server = format!("HTTP_ADDR = {ip}\nHTTP_PORT = {port}\nROOT_URL = http://{address}/");
    let server = format!(
        "{server}\nSTATIC_ROOT_PATH = {files}\nOFFLINE_MODE = true\nDISABLE_SSH = true\nLFS_START_SERVER = false"
    );
    for (section, lines) in [
        ("server", server.as_str()),
        // Of half a second each, a machine that is busy elsewhere would make refusals.
        (
            "database",
            "DB_TYPE = sqlite3\nSQLITE_JOURNAL_MODE = WAL\nSQLITE_TIMEOUT = 60000",
        ),
        ("security", "INSTALL_LOCK = true"),
        ("service", "DISABLE_REGISTRATION = true"),
        (
            "webhook",
            "ALLOWED_HOST_LIST = loopback,private\nDELIVER_TIMEOUT = 60",
        ),
        // In the order of the pushes, as on a server that has one processor.
        ("queue.push_update", "MAX_WORKERS = 1"),
        ("queue.webhook_sender", "MAX_WORKERS = 1"),
        ("indexer", "ISSUE_INDEXER_TYPE = db"),
        ("session", "PROVIDER = memory"),
        ("actions", "ENABLED = false"),
        ("packages", "ENABLED = true"),
        ("log", "MODE = console\nLEVEL = Warn"),
    ] {
        write!(text, "\n[{section}]\n{lines}\n")?;
    }
    Ok(text)
}
