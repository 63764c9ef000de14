//! Calls git, and tells what its errors mean. Talks to the operating system and, through git, to the network.

use std::ffi::OsStr;
use std::io;
use std::path::Path;
use std::process::{Output, Stdio};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tokio::io::AsyncReadExt;
use tokio::process::Command;
use tokio::time::timeout;

use super::report::clean;
use super::task::SourceTask;
use crate::pipeline::api::{Author, SourceError, SourceErrorKind};

/// Longest time for one call: a large repository over a slow line.
const LIMIT: Duration = Duration::from_mins(4);
/// Longest output of one, in bytes.
const MAX_OUTPUT: usize = 64 << 20;

/// git in one folder.
#[derive(Debug)]
pub struct Git<'a> {
    folder: &'a Path,
    task: &'a SourceTask,
    /// Who makes commits, and when; nobody most of the time.
    committer: Vec<(&'static str, String)>,
}

impl<'a> Git<'a> {
    /// git in a folder, for a task.
    pub fn new(folder: &'a Path, task: &'a SourceTask) -> Self {
        let committer = Vec::new();
        Self {
            folder,
            task,
            committer,
        }
    }

    /// The same for somebody who makes commits, at a time in seconds since 1970. The same commit made again is the same.
    pub fn by(mut self, author: &Author, at: i64) -> Self {
        let date = format!("{at} +0000");
        self.committer = vec![
            ("GIT_AUTHOR_NAME", author.name.clone()),
            ("GIT_AUTHOR_EMAIL", author.email.clone()),
            ("GIT_AUTHOR_DATE", date.clone()),
            ("GIT_COMMITTER_NAME", author.name.clone()),
            ("GIT_COMMITTER_EMAIL", author.email.clone()),
            ("GIT_COMMITTER_DATE", date),
        ];
        self
    }

    /// git in a new repository without files, in a folder that is emptied before.
    ///
    /// # Errors
    /// If the folder cannot be made, or git cannot be run.
    pub async fn bare(folder: &'a Path, task: &'a SourceTask) -> Result<Self, SourceError> {
        let _ = std::fs::remove_dir_all(folder);
        std::fs::create_dir_all(folder)
            .map_err(|error| SourceError::new(SourceErrorKind::Protocol, error.to_string()))?;
        let git = Self::new(folder, task);
        git.call(&["init", "-q", "--bare"]).await?;
        Ok(git)
    }

    /// Calls git; what it printed.
    ///
    /// # Errors
    /// Says what went wrong in words for people, and whether it may work the next time.
    pub async fn call<S: AsRef<OsStr>>(&self, args: &[S]) -> Result<String, SourceError> {
        let output = self.read(args).await?;
        Ok(String::from_utf8_lossy(&output).into_owned())
    }

    /// The same, for what is no text.
    ///
    /// # Errors
    /// As for [`Git::call`].
    pub async fn read<S: AsRef<OsStr>>(&self, args: &[S]) -> Result<Vec<u8>, SourceError> {
        let output = self.run(args).await?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            return Err(explain(&said, &self.task.sha));
        }
        Ok(output.stdout)
    }

    /// The same, for what may end in several ways.
    ///
    /// # Errors
    /// If git cannot be run, or does not come to its end.
    pub async fn run<S: AsRef<OsStr>>(&self, args: &[S]) -> Result<Output, SourceError> {
        let mut command = Command::new("git");
        command.arg("-C").arg(self.folder).args(args);
        self.confine(&mut command);
        self.log_in(&mut command)?;
        match timeout(LIMIT, output_of(&mut command)).await {
            Ok(Ok(output)) => Ok(output),
            Ok(Err(error)) => {
                let message = format!("cannot run git: {error}; the runner's image needs it");
                Err(SourceError::new(SourceErrorKind::Protocol, message))
            }
            Err(_) => {
                let message = format!("no end within {} s", LIMIT.as_secs());
                Err(SourceError::new(SourceErrorKind::Timeout, message))
            }
        }
    }

    /// What the words of a call that failed mean.
    pub fn explain(&self, output: &Output) -> SourceError {
        explain(&String::from_utf8_lossy(&output.stderr), &self.task.sha)
    }

    /// Nothing but the task decides what git does: no configuration, no prompts, no other protocols.
    fn confine(&self, command: &mut Command) {
        let protocols = if self.task.insecure {
            "http:https"
        } else {
            "https"
        };
        command
            .env_remove(super::task::VARIABLE)
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_ASKPASS", "/bin/false")
            .env("GIT_ALLOW_PROTOCOL", protocols)
            .env("GIT_HTTP_LOW_SPEED_LIMIT", "1000")
            .env("GIT_HTTP_LOW_SPEED_TIME", "60")
            .env("LC_ALL", "C")
            .envs(self.committer.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .kill_on_drop(true);
        if let Some(file) = &self.task.ca_file {
            command.env("GIT_SSL_CAINFO", file);
        }
    }
}

impl Git<'_> {
    /// Lets git say who asks: to this server only, and not on a command line, where others could read it.
    fn log_in(&self, command: &mut Command) -> Result<(), SourceError> {
        let Some(login) = &self.task.login else {
            return Ok(());
        };
        let password = std::fs::read_to_string(&login.password_file).map_err(|error| {
            SourceError::new(
                SourceErrorKind::Auth,
                format!("the password cannot be read: {error}"),
            )
        })?;
        // `echo token | base64` has a line break that nobody means.
        let password = password.trim_end_matches(['\r', '\n']);
        let both = STANDARD.encode(format!("{}:{password}", login.username));
        command
            .env("GIT_CONFIG_COUNT", "1")
            .env(
                "GIT_CONFIG_KEY_0",
                format!("http.{}.extraHeader", origin(&self.task.url)),
            )
            .env("GIT_CONFIG_VALUE_0", format!("Authorization: Basic {both}"));
        Ok(())
    }
}

/// Runs a program to its end. One that prints without end is killed.
async fn output_of(command: &mut Command) -> io::Result<Output> {
    let piped = command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = piped.spawn()?;
    let (Some(stdout), Some(mut stderr)) = (child.stdout.take(), child.stderr.take()) else {
        return Err(io::Error::other("it has no output"));
    };
    let (mut printed, mut said) = (Vec::new(), Vec::new());
    let mut stdout = stdout.take(MAX_OUTPUT as u64 + 1);
    let read = async {
        stdout.read_to_end(&mut printed).await?;
        if printed.len() > MAX_OUTPUT {
            return Err(io::Error::other("it prints more than 64 MiB"));
        }
        Ok(())
    };
    tokio::try_join!(read, stderr.read_to_end(&mut said))?;
    Ok(Output {
        status: child.wait().await?,
        stdout: printed,
        stderr: said,
    })
}

/// The server of a URL: `https://git.example:8443/`.
fn origin(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or_default();
    let host = rest.split('/').next().unwrap_or_default();
    format!("{scheme}://{host}/")
}

/// What git's words mean, most telling first.
fn explain(said: &str, sha: &str) -> SourceError {
    use SourceErrorKind as Kind;
    let has = |parts: &[&str]| parts.iter().any(|part| said.contains(part));
    let (kind, meaning) = if has(&[
        "not our ref",
        "unadvertised object",
        "no such remote ref",
        "remote ref",
        "did not send all necessary objects",
    ]) {
        let message = format!(
            "the repository does not hand out commit {sha}; it may have been replaced by a forced push"
        );
        return SourceError::new(Kind::NotFound, message);
    } else if has(&[
        "Authentication failed",
        "could not read Username",
        "error: 401",
        "error: 403",
    ]) {
        let meaning = "the repository asks for a login, or does not take this one; set source.git.credentials, or renew the password";
        (Kind::Auth, meaning)
    } else if has(&["' not found", "error: 404", "Repository not found"]) {
        (Kind::NotFound, "there is no repository at this URL")
    } else if has(&[
        "Could not resolve host",
        "Failed to connect",
        "Connection refused",
        "Couldn't connect",
        "Connection reset",
        "Empty reply",
    ]) {
        (
            Kind::Unreachable,
            "the server cannot be reached from the pod",
        )
    } else if has(&["timed out", "Operation too slow"]) {
        (Kind::Timeout, "the server is too slow")
    } else if has(&[
        "error: 5",
        "early EOF",
        "unexpected disconnect",
        "hung up unexpectedly",
    ]) {
        (Kind::Server, "the server has a problem of its own")
    } else if has(&["certificate", "SSL"]) {
        let meaning = "the server's certificate is not trusted; set source.git.caBundle";
        (Kind::Protocol, meaning)
    } else if has(&["not a git command"]) {
        let meaning = "the runner's image has no git submodule; take one that has all of git";
        (Kind::Protocol, meaning)
    } else if has(&["not allowed"]) {
        let meaning = "the server sends git to another protocol, which is not allowed";
        (Kind::Protocol, meaning)
    } else {
        (Kind::Protocol, "git failed")
    };
    let last = said.lines().rfind(|line| !line.trim().is_empty());
    let last = clean(last.unwrap_or_default(), 300);
    SourceError::new(kind, format!("{meaning} ({last})"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_git_says_is_told_with_what_to_do() {
        for (said, kind) in [
            (
                "error: Server does not allow request for unadvertised object aaaa",
                SourceErrorKind::NotFound,
            ),
            (
                "fatal: remote error: upload-pack: not our ref aaaa",
                SourceErrorKind::NotFound,
            ),
            (
                "fatal: repository 'http://x/' not found",
                SourceErrorKind::NotFound,
            ),
            (
                "fatal: could not read Username for 'https://x': terminal prompts disabled",
                SourceErrorKind::Auth,
            ),
            (
                "fatal: unable to access 'https://x/': Could not resolve host: x",
                SourceErrorKind::Unreachable,
            ),
            (
                "fatal: unable to access 'http://x/': The requested URL returned error: 503",
                SourceErrorKind::Server,
            ),
            (
                "fatal: unable to access 'https://x/': SSL certificate problem: self-signed certificate",
                SourceErrorKind::Protocol,
            ),
            (
                "fatal: unable to access 'http://x/': Operation too slow.",
                SourceErrorKind::Timeout,
            ),
            (
                "fatal: transport 'http' not allowed",
                SourceErrorKind::Protocol,
            ),
            ("something new", SourceErrorKind::Protocol),
        ] {
            assert_eq!(explain(said, "aaaa").kind, kind, "{said}");
        }
    }
}
