//! A git server for tests: real repositories, served by git's own CGI program over http on loopback.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::process::Command;
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};

/// A running server. Dropping it closes its port and removes its repositories.
#[derive(Debug)]
pub struct GitServer {
    address: SocketAddr,
    shared: Arc<Shared>,
    _stop_on_drop: DropGuard,
}

#[derive(Debug)]
struct Shared {
    root: PathBuf,
    /// Answer everything with this status instead.
    failing: watch::Sender<Option<StatusCode>>,
    /// What has to be asked with: user and password.
    login: watch::Sender<Option<String>>,
    /// Requests so far.
    requests: watch::Sender<u64>,
}

impl Drop for Shared {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.root);
    }
}

impl GitServer {
    /// Starts a server without repositories on loopback.
    ///
    /// # Errors
    ///
    /// No port or no folder is to be had.
    pub async fn start() -> Result<Self> {
        Self::start_on(Ipv4Addr::LOCALHOST.into()).await
    }

    /// The same on another address, such as one that pods reach.
    ///
    /// # Errors
    ///
    /// No port or no folder is to be had.
    pub async fn start_on(address: IpAddr) -> Result<Self> {
        let listener = TcpListener::bind((address, 0)).await?;
        let address = listener.local_addr()?;
        let root = std::env::temp_dir().join(crate::control_plane::unique("git"));
        fs::create_dir_all(&root)?;
        let shared = Arc::new(Shared {
            root,
            failing: watch::Sender::new(None),
            login: watch::Sender::new(None),
            requests: watch::Sender::new(0),
        });
        let stop = CancellationToken::new();
        let serving = serve(listener, Arc::clone(&shared), stop.clone());
        tokio::spawn(stop.clone().run_until_cancelled_owned(serving));
        Ok(Self {
            address,
            shared,
            _stop_on_drop: stop.drop_guard(),
        })
    }

    /// The URL of a repository.
    pub fn url(&self, name: &str) -> String {
        format!("http://{}/{name}.git", self.address)
    }

    /// Makes an empty repository.
    ///
    /// # Errors
    ///
    /// git is missing, or refuses.
    pub async fn create(&self, name: &str) -> Result<Repository> {
        let bare = self.shared.root.join(format!("{name}.git"));
        let work = self.shared.root.join(format!("{name}.work"));
        let path = bare.display().to_string();
        git(
            &self.shared.root,
            &["init", "-q", "--bare", "-b", "main", &path],
        )
        .await?;
        git(&bare, &["config", "uploadpack.allowFilter", "true"]).await?;
        git(&bare, &["config", "http.receivepack", "true"]).await?;
        Repository::clone_of(&path, &work).await
    }

    /// From now on everything is answered with this status; nothing more is wrong with `None`.
    pub fn set_failing(&self, status: Option<StatusCode>) {
        self.shared.failing.send_replace(status);
    }

    /// From now on only who comes with this user and password gets an answer.
    pub fn set_login(&self, user: &str, password: &str) {
        let login = STANDARD.encode(format!("{user}:{password}"));
        self.shared
            .login
            .send_replace(Some(format!("Basic {login}")));
    }

    /// How often it was asked for anything.
    pub fn requests(&self) -> u64 {
        *self.shared.requests.borrow()
    }
}

/// A repository, through a working tree of its own.
#[derive(Debug)]
pub struct Repository {
    work: PathBuf,
}

impl Repository {
    /// The repository at a URL, which may have no commit yet, with its working tree in a new folder.
    pub(crate) async fn clone_of(url: &str, work: &Path) -> Result<Self> {
        fs::create_dir_all(work)?;
        git(work, &["clone", "-q", url, "."]).await?;
        Ok(Self {
            work: work.to_owned(),
        })
    }

    /// Writes files, commits them on a branch and pushes it; the new commit.
    ///
    /// # Errors
    ///
    /// git refuses.
    pub async fn commit(
        &self,
        branch: &str,
        message: &str,
        files: &[(&str, &str)],
    ) -> Result<String> {
        let sha = self.prepare(branch, message, files).await?;
        self.push(branch).await?;
        Ok(sha)
    }

    /// The same, but the server does not hear of it before [`Repository::push`].
    ///
    /// # Errors
    ///
    /// git refuses.
    pub async fn prepare(
        &self,
        branch: &str,
        message: &str,
        files: &[(&str, &str)],
    ) -> Result<String> {
        let work = &self.work;
        if git(work, &["checkout", "-q", branch]).await.is_err() {
            git(work, &["checkout", "-q", "-B", branch]).await?;
        }
        for (path, content) in files {
            let path = work.join(path);
            fs::create_dir_all(path.parent().context("a file without a folder")?)?;
            fs::write(path, content)?;
        }
        git(work, &["add", "-A"]).await?;
        git(work, &["commit", "-q", "--allow-empty", "-m", message]).await?;
        git(work, &["rev-parse", "HEAD"]).await
    }

    /// Pushes a branch as it is here.
    ///
    /// # Errors
    ///
    /// git refuses.
    pub async fn push(&self, branch: &str) -> Result<()> {
        git(&self.work, &["push", "-q", "--force", "origin", branch]).await?;
        Ok(())
    }

    /// Gives a commit a tag with a message, and pushes it.
    ///
    /// # Errors
    ///
    /// git refuses.
    pub async fn tag(&self, name: &str, sha: &str) -> Result<()> {
        git(&self.work, &["tag", "-a", "-m", name, name, sha]).await?;
        git(&self.work, &["push", "-q", "origin", name]).await?;
        Ok(())
    }

    /// Lets any ref be at a commit, as git providers do with those of pull requests.
    ///
    /// # Errors
    ///
    /// git refuses.
    pub async fn push_ref(&self, git_ref: &str, sha: &str) -> Result<()> {
        let what = format!("{sha}:{git_ref}");
        git(&self.work, &["push", "-q", "--force", "origin", &what]).await?;
        Ok(())
    }

    /// Adds a commit of another repository as a submodule and pushes that; the new commit.
    ///
    /// # Errors
    ///
    /// git refuses.
    pub async fn add_submodule(&self, path: &str, url: &str, sha: &str) -> Result<String> {
        let work = &self.work;
        let modules = format!("[submodule \"{path}\"]\n\tpath = {path}\n\turl = {url}\n");
        fs::write(work.join(".gitmodules"), modules)?;
        git(work, &["add", ".gitmodules"]).await?;
        let entry = format!("160000,{sha},{path}");
        git(work, &["update-index", "--add", "--cacheinfo", &entry]).await?;
        git(work, &["commit", "-q", "-m", "Add a submodule"]).await?;
        git(work, &["push", "-q", "origin", "HEAD"]).await?;
        git(work, &["rev-parse", "HEAD"]).await
    }

    /// Commits a symbolic link on `main` and pushes it; the new commit.
    ///
    /// # Errors
    ///
    /// git refuses.
    pub async fn link(&self, path: &str, to: &str) -> Result<String> {
        let work = &self.work;
        std::os::unix::fs::symlink(to, work.join(path))?;
        git(work, &["add", "-A"]).await?;
        git(work, &["commit", "-q", "-m", "Add a link"]).await?;
        git(work, &["push", "-q", "origin", "HEAD"]).await?;
        git(work, &["rev-parse", "HEAD"]).await
    }

    /// The commit that a branch or a tag of the server's names; nothing where there is none.
    ///
    /// # Errors
    ///
    /// git refuses.
    pub async fn resolve(&self, name: &str) -> Result<Option<String>> {
        let whole = format!("{name}^{{}}");
        let listed = git(&self.work, &["ls-remote", "origin", name, &whole]).await?;
        let last = listed.lines().last();
        Ok(last.and_then(|line| Some(line.split_once('\t')?.0.to_owned())))
    }

    /// A file of a branch, a tag or a commit of the server's.
    ///
    /// # Errors
    ///
    /// git refuses, or there is none.
    pub async fn read(&self, name: &str, path: &str) -> Result<String> {
        git(
            &self.work,
            &["fetch", "-q", "--force", "--tags", "origin", name],
        )
        .await?;
        git(&self.work, &["show", &format!("FETCH_HEAD:{path}")]).await
    }

    /// Pushes `main` to another server's repository too.
    ///
    /// # Errors
    ///
    /// git refuses.
    pub async fn copy_to(&self, url: &str) -> Result<()> {
        git(&self.work, &["push", "-q", url, "main"]).await?;
        Ok(())
    }

    /// Takes over what others have pushed to a branch.
    ///
    /// # Errors
    ///
    /// git refuses.
    pub async fn pull(&self, branch: &str) -> Result<()> {
        git(&self.work, &["fetch", "-q", "origin", branch]).await?;
        git(&self.work, &["checkout", "-q", "-B", branch, "FETCH_HEAD"]).await?;
        Ok(())
    }

    /// Moves a branch back to an earlier commit, as a forced push does.
    ///
    /// # Errors
    ///
    /// git refuses.
    pub async fn reset(&self, branch: &str, sha: &str) -> Result<()> {
        git(&self.work, &["checkout", "-q", branch]).await?;
        git(&self.work, &["reset", "-q", "--hard", sha]).await?;
        git(&self.work, &["push", "-q", "--force", "origin", branch]).await?;
        Ok(())
    }
}

async fn git(folder: &Path, args: &[&str]) -> Result<String> {
    let output = Command::new("git")
        .arg("-C")
        .arg(folder)
        .args([
            "-c",
            "user.name=Alice",
            "-c",
            "user.email=alice@example.com",
        ])
        .args(args)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .output()
        .await
        .context("cannot run git; install it")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "git {args:?} failed: {}",
        said.trim()
    );
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

async fn serve(listener: TcpListener, shared: Arc<Shared>, stop: CancellationToken) {
    while let Ok((stream, _)) = listener.accept().await {
        let shared = Arc::clone(&shared);
        let service = service_fn(move |request| {
            let shared = Arc::clone(&shared);
            async move { answer(&shared, request).await }
        });
        let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
        tokio::spawn(stop.clone().run_until_cancelled_owned(async move {
            // A client that goes in the middle is its own business.
            let _ = connection.await;
        }));
    }
}

async fn answer(shared: &Shared, request: Request<Incoming>) -> Result<Response<Full<Bytes>>> {
    shared.requests.send_modify(|count| *count += 1);
    let failing = *shared.failing.borrow();
    if let Some(status) = failing {
        return Ok(Response::builder().status(status).body(Full::default())?);
    }
    let login = shared.login.borrow().clone();
    let given = request.headers().get(AUTHORIZATION);
    if login.is_some_and(|login| given.is_none_or(|given| given.as_bytes() != login.as_bytes())) {
        let refused = Response::builder().status(StatusCode::UNAUTHORIZED);
        let refused = refused.header(WWW_AUTHENTICATE, "Basic realm=\"git\"");
        return Ok(refused.body(Full::default())?);
    }
    let (head, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let header = |name: &str| {
        let value = head.headers.get(name).and_then(|value| value.to_str().ok());
        value.unwrap_or_default().to_owned()
    };
    let mut backend = Command::new("git")
        .arg("http-backend")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_PROJECT_ROOT", &shared.root)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("PATH_INFO", head.uri.path())
        .env("QUERY_STRING", head.uri.query().unwrap_or_default())
        .env("REQUEST_METHOD", head.method.as_str())
        .env("CONTENT_TYPE", header("content-type"))
        .env("HTTP_CONTENT_ENCODING", header("content-encoding"))
        .env("GIT_PROTOCOL", header("git-protocol"))
        .env("CONTENT_LENGTH", body.len().to_string())
        .env("REMOTE_ADDR", "127.0.0.1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    let mut stdin = backend.stdin.take().context("no stdin")?;
    let feed = async move {
        // A backend that does not read its input has its reasons, and says so in its answer.
        let _ = stdin.write_all(&body).await;
    };
    let ((), output) = tokio::join!(feed, backend.wait_with_output());
    parse(&output?.stdout)
}

/// The answer of a CGI program: header fields, an empty line, the body.
fn parse(output: &[u8]) -> Result<Response<Full<Bytes>>> {
    let end = output.windows(4).position(|window| window == b"\r\n\r\n");
    let (head, body) = output.split_at(end.context("the backend has no answer")?);
    let mut response = Response::builder();
    for line in String::from_utf8_lossy(head).lines() {
        let Some((name, value)) = line.split_once(": ") else {
            continue;
        };
        response = if name == "Status" {
            let code = value.split(' ').next().unwrap_or_default();
            response.status(code.parse::<u16>()?)
        } else {
            response.header(name, value)
        };
    }
    let body = body.get(4..).unwrap_or_default().to_vec();
    Ok(response.body(Full::new(body.into()))?)
}
