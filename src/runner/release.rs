//! Gives a commit its version in the repository: a commit with the version in files, a tag, merges into other branches. Talks
//! to the operating system and, through git, to the network.
//!
//! Nothing is checked out: files are changed in git's own objects, so that a link in the repository leads nowhere. What is made
//! of the same commit is the same, down to its hash: done again, it is found to be there. Tag and branch are pushed together or
//! not at all, and neither is ever forced.

use std::fs;
use std::path::Path;

use jiff::Timestamp;

use super::git::Git;
use super::registry::{self, Trouble};
use super::report::{StageReport, clean};
use super::task::ReleaseTask;
use super::{Folders, say};
use crate::pipeline::api::SourceError;
use crate::pipeline_run::api::FailureKind;
use crate::release::file;

/// How often a branch that others push to is tried.
const TRIES: usize = 4;
/// All of a history, as git takes it.
const EVERYTHING: &str = "--depth=2147483647";
/// Largest file that the version is put into, in bytes.
const MAX_FILE: usize = 4 << 20;

/// Does it; the report and the container's exit code.
pub async fn run(task: &ReleaseTask, folders: &Folders) -> (StageReport, u8) {
    let mut published = Vec::new();
    let done = registry::within(task.timeout_seconds, release(task, folders, &mut published)).await;
    let (mut report, code) = registry::finished(done.map(|message| StageReport {
        message: Some(message),
        ..StageReport::default()
    }));
    // Also where it failed after that: nobody is to build them.
    report.published = published;
    (report, code)
}

async fn release(
    task: &ReleaseTask,
    folders: &Folders,
    published: &mut Vec<String>,
) -> Result<String, Trouble> {
    let folder = folders.workspace.join("release.git");
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).map_err(|error| failed(error.to_string()))?;
    let git = Git::new(&folder, &task.source);
    let (url, sha) = (task.source.url.as_str(), task.source.sha.as_str());
    git.call(&["init", "-q", "--bare"]).await?;
    git.call(&["fetch", "-q", "--no-tags", "--depth=1", url, sha])
        .await?;
    let at = git.call(&["log", "-1", "--format=%ct", sha]).await?;
    let at: i64 = at.trim().parse().unwrap_or_default();
    let work = Work {
        git: git.by(&task.author, at),
        folder: &folder,
        task,
        day: Timestamp::from_second(at)
            .map(|at| at.strftime("%Y-%m-%d").to_string())
            .unwrap_or_default(),
    };
    let made = work.commit().await?;
    let mut said = vec![work.push(&made, published).await?];
    for branch in &task.merge_into {
        said.push(work.merge_into(branch, &made).await?);
    }
    Ok(said.join("; "))
}

/// What is done in one repository.
struct Work<'a> {
    git: Git<'a>,
    folder: &'a Path,
    task: &'a ReleaseTask,
    day: String,
}

/// How a push ended.
enum Pushed {
    Yes,
    /// Somebody else was faster.
    Moved,
}

impl Work<'_> {
    fn sha(&self) -> &str {
        &self.task.source.sha
    }

    /// The commit that gets the tag: the one that was built, or one on top of it that differs in nothing but the version.
    async fn commit(&self) -> Result<String, Trouble> {
        let task = self.task;
        if task.branch.is_none() {
            return Ok(self.sha().to_owned());
        }
        self.git.call(&["read-tree", self.sha()]).await?;
        for file in &task.files {
            let text = self.file(&file.path).await?;
            let text = text.ok_or_else(|| config(&file.path, "is not there"))?;
            let new = file::with_version(&text, file.pattern.as_deref(), &task.version);
            let new = new.map_err(|problem| config(&file.path, &problem))?;
            self.put(&file.path, &new).await?;
        }
        if let Some(path) = &task.changelog {
            let text = self.file(path).await?.unwrap_or_default();
            let new = file::with_notes(&text, &task.version, &self.day, &task.notes);
            self.put(path, &new).await?;
        }
        let tree = self.line(&["write-tree"]).await?;
        let old = format!("{}^{{tree}}", self.sha());
        if tree == self.line(&["rev-parse", &old]).await? {
            return Ok(self.sha().to_owned());
        }
        let message = format!("chore(release): {} [skip ci]", task.version);
        let commit = ["commit-tree", &tree, "-p", self.sha(), "-m", &message];
        self.line(&commit).await
    }

    /// The text of a file of the commit; nothing where there is none.
    async fn file(&self, path: &str) -> Result<Option<String>, Trouble> {
        if path
            .split('/')
            .any(|part| matches!(part, "" | "." | ".." | ".git"))
        {
            return Err(config(path, "is no path in the repository"));
        }
        let Some((mode, blob)) = self.entry(self.sha(), path).await? else {
            return Ok(None);
        };
        if !matches!(mode.as_str(), "100644" | "100755") {
            return Err(config(path, "is no plain file"));
        }
        let bytes = self.git.read(&["cat-file", "blob", &blob]).await?;
        if bytes.len() > MAX_FILE {
            return Err(config(path, "is larger than 4 MiB"));
        }
        let text = String::from_utf8(bytes).map_err(|_| config(path, "is no text in UTF-8"))?;
        Ok(Some(text))
    }

    /// Mode and object of a path.
    async fn entry(&self, commit: &str, path: &str) -> Result<Option<(String, String)>, Trouble> {
        let literal = format!(":(literal){path}");
        let listed = self
            .git
            .call(&["ls-tree", "-z", commit, "--", &literal])
            .await?;
        let entry = listed.split('\0').next().unwrap_or_default();
        let Some((facts, _)) = entry.split_once('\t') else {
            return Ok(None);
        };
        let mut facts = facts.split(' ');
        let mode = facts.next().unwrap_or_default().to_owned();
        let object = facts.nth(1).unwrap_or_default().to_owned();
        Ok(Some((mode, object)))
    }

    /// Puts a text in the place of a file of the index.
    async fn put(&self, path: &str, text: &str) -> Result<(), Trouble> {
        let known = self.entry(self.sha(), path).await?;
        let mode = known.map_or_else(|| "100644".to_owned(), |(mode, _)| mode);
        let file = self.folder.join("slipway-new-file");
        fs::write(&file, text).map_err(|error| failed(error.to_string()))?;
        let file = file.display().to_string();
        let hash = ["hash-object", "-w", "--no-filters", "--", &file];
        let blob = self.line(&hash).await?;
        self.set(path, &mode, &blob).await
    }

    async fn set(&self, path: &str, mode: &str, blob: &str) -> Result<(), Trouble> {
        let entry = format!("{mode},{blob},{path}");
        let update = ["update-index", "--add", "--cacheinfo", &entry];
        self.git.call(&update).await?;
        Ok(())
    }

    async fn line(&self, args: &[&str]) -> Result<String, Trouble> {
        Ok(self.git.call(args).await?.trim().to_owned())
    }

    /// Pushes the tag, and the commit with it; what was done. What nobody needs to build is published: the commit that was made,
    /// and no merge of it, which is code that nobody has tested yet.
    async fn push(&self, made: &str, published: &mut Vec<String>) -> Result<String, Trouble> {
        let task = self.task;
        let tag_ref = format!("refs/tags/{}", task.tag);
        let told = format!("{} is tag {} at {made}", task.version, task.tag);
        for _ in 0..TRIES {
            let mut refs = Vec::new();
            match self.tagged(&tag_ref).await? {
                Some(at) if at == made => {}
                Some(other) => return Err(self.is_taken(&other)),
                None => refs.push(format!("{}:{tag_ref}", self.tag(made).await?)),
            }
            let mut own = None;
            if let Some(branch) = task.branch.as_ref().filter(|_| made != self.sha()) {
                own = Some(made.to_owned());
                let head = self.head(branch).await?;
                let head = head.ok_or_else(|| self.is_gone(branch))?;
                if head == self.sha() {
                    refs.push(format!("{made}:{branch}"));
                } else if !self.is_part(branch, made).await? {
                    if !self.is_part(branch, self.sha()).await? {
                        return Err(self.is_gone(branch));
                    }
                    let merged = self.merge(&head, made).await?;
                    let merged = merged.map_err(|files| Self::cannot_merge(branch, &files))?;
                    refs.push(format!("{merged}:{branch}"));
                }
            }
            if refs.is_empty() {
                published.extend(own);
                return Ok(format!("{told} already"));
            }
            if let Pushed::Yes = self.push_refs(&refs).await? {
                published.extend(own);
                say(&format!("slipway: {told}"));
                return Ok(told);
            }
        }
        Err(failed(
            "others push to the branch all the time; run it again".to_owned(),
        ))
    }

    /// The commit that a tag names.
    async fn tagged(&self, tag_ref: &str) -> Result<Option<String>, Trouble> {
        let whole = format!("{tag_ref}^{{}}");
        let refs = self.refs(&[tag_ref, &whole]).await?;
        let of = |name: &str| {
            let mut refs = refs.iter();
            refs.find(|(known, _)| known == name)
                .map(|(_, sha)| sha.clone())
        };
        Ok(of(&whole).or_else(|| of(tag_ref)))
    }

    async fn head(&self, branch: &str) -> Result<Option<String>, Trouble> {
        let refs = self.refs(&[branch]).await?;
        let mut refs = refs.into_iter();
        Ok(refs.find(|(known, _)| known == branch).map(|(_, sha)| sha))
    }

    /// What the server has under these names.
    async fn refs(&self, names: &[&str]) -> Result<Vec<(String, String)>, Trouble> {
        let ask = ["ls-remote", "-q", &self.task.source.url];
        let listed = self.git.call(&[&ask[..], names].concat()).await?;
        let lines = listed.lines().filter_map(|line| line.split_once('\t'));
        Ok(lines
            .map(|(sha, name)| (name.to_owned(), sha.to_owned()))
            .collect())
    }

    /// A tag object with the notes.
    async fn tag(&self, made: &str) -> Result<String, Trouble> {
        let task = self.task;
        let own = format!("refs/tags/{}", task.tag);
        let message = format!("{}\n\n{}", task.version, task.notes);
        let create = [
            "tag",
            "-f",
            "-a",
            "--no-sign",
            "--cleanup=verbatim",
            "-m",
            &message,
            &task.tag,
            made,
        ];
        self.git.call(&create).await?;
        self.line(&["rev-parse", &own]).await
    }

    /// Whether a commit is part of a branch of the server's, of which all is fetched.
    async fn is_part(&self, branch: &str, commit: &str) -> Result<bool, Trouble> {
        let into = format!("+{branch}:refs/slipway/head");
        let url = self.task.source.url.as_str();
        let fetch = [
            "fetch",
            "-q",
            "--no-tags",
            EVERYTHING,
            url,
            self.sha(),
            &into,
        ];
        self.git.call(&fetch).await?;
        let ask = ["merge-base", "--is-ancestor", commit, "refs/slipway/head"];
        Ok(self.git.run(&ask).await?.status.success())
    }

    /// A merge of what was made into a head, both of which are there: the merge, or the files that keep it from being one.
    /// The version in files, and the changelog, are those of the branch.
    async fn merge(&self, head: &str, made: &str) -> Result<Result<String, Vec<String>>, Trouble> {
        let merge = [
            "merge-tree",
            "--write-tree",
            "--name-only",
            "--no-messages",
            "-z",
            head,
            made,
        ];
        let output = self.git.run(&merge).await?;
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        let mut parts = printed.split('\0').filter(|part| !part.is_empty());
        let tree = parts.next().unwrap_or_default().to_owned();
        let files: Vec<String> = parts.map(str::to_owned).collect();
        if !matches!(output.status.code(), Some(0 | 1)) || tree.is_empty() {
            return Err(self.git.explain(&output).into());
        }
        let task = self.task;
        let is_ours = |path: &String| {
            let mut ours = task
                .files
                .iter()
                .map(|file| &file.path)
                .chain(&task.changelog);
            ours.any(|own| own == path)
        };
        let others: Vec<String> = files
            .iter()
            .filter(|path| !is_ours(path))
            .cloned()
            .collect();
        if !others.is_empty() {
            return Ok(Err(others));
        }
        self.git.call(&["read-tree", &tree]).await?;
        for path in &files {
            if let Some((kind, object)) = self.entry(head, path).await? {
                self.set(path, &kind, &object).await?;
            } else {
                let remove = ["update-index", "--force-remove", "--", path];
                self.git.call(&remove).await?;
            }
        }
        let tree = self.line(&["write-tree"]).await?;
        // It is run as any other commit: both sides of it were tested, and not what they are together.
        let message = format!("chore(release): merge {}", task.tag);
        let commit = ["commit-tree", &tree, "-p", head, "-p", made, "-m", &message];
        Ok(Ok(self.line(&commit).await?))
    }

    /// Merges what was made into another branch; what became of it. One that it cannot be merged into is left alone: the
    /// version is out already.
    async fn merge_into(&self, branch: &str, made: &str) -> Result<String, Trouble> {
        let name = branch.strip_prefix("refs/heads/").unwrap_or(branch);
        for _ in 0..TRIES {
            let Some(head) = self.head(branch).await? else {
                return Ok(format!("there is no branch {name} to merge it into"));
            };
            if self.is_part(branch, made).await? {
                return Ok(format!("{name} has it already"));
            }
            let merged = match self.merge(&head, made).await? {
                Ok(merged) => merged,
                Err(files) => {
                    let files = clean(&files.join(", "), 200);
                    return Ok(format!(
                        "{name} is left alone, because both have changed {files}: merge {} by hand",
                        self.task.tag
                    ));
                }
            };
            match self.push_refs(&[format!("{merged}:{branch}")]).await {
                Ok(Pushed::Yes) => return Ok(format!("merged into {name}")),
                Ok(Pushed::Moved) => {}
                Err(trouble) => return Ok(format!("not merged into {name}: {}", trouble.message)),
            }
        }
        Ok(format!(
            "not merged into {name}: others push to it all the time"
        ))
    }

    async fn push_refs(&self, refs: &[String]) -> Result<Pushed, Trouble> {
        let mut args = vec!["push", "-q", "--atomic", "--no-signed"];
        args.push(&self.task.source.url);
        args.extend(refs.iter().map(String::as_str));
        let output = self.git.run(&args).await?;
        if output.status.success() {
            return Ok(Pushed::Yes);
        }
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let has = |parts: &[&str]| parts.iter().any(|part| said.contains(part));
        if has(&["[remote rejected]", "pre-receive hook", "protected branch"]) {
            let mut lines = said.lines();
            let line = lines.find(|line| line.contains("rejected") || line.contains("remote:"));
            let line = clean(line.unwrap_or_default().trim(), 300);
            let message = format!(
                "the repository does not take it; allow the user of release.credentials to push to the branch and to make tags ({line})"
            );
            return Err(Trouble::new(FailureKind::Publish, message));
        }
        if has(&[
            "[rejected]",
            "fetch first",
            "non-fast-forward",
            "cannot lock ref",
        ]) {
            return Ok(Pushed::Moved);
        }
        Err(self.git.explain(&output).into())
    }

    fn is_taken(&self, other: &str) -> Trouble {
        let tag = &self.task.tag;
        failed(format!(
            "tag {tag} names commit {other} already, and a version is never moved; raise release.version.initial above it, or \
             delete the tag if nobody has it, or, where a run of that commit failed after it had pushed, retry that run"
        ))
    }

    fn is_gone(&self, branch: &str) -> Trouble {
        failed(format!(
            "commit {} is no part of {branch} any more; nothing was pushed",
            self.sha()
        ))
    }

    fn cannot_merge(branch: &str, files: &[String]) -> Trouble {
        let files = clean(&files.join(", "), 200);
        failed(format!(
            "{branch} has changed meanwhile, in the same lines of {files}; nothing was pushed: run it again at its head"
        ))
    }
}

fn failed(message: String) -> Trouble {
    Trouble::new(FailureKind::Publish, message)
}

fn config(path: &str, problem: &str) -> Trouble {
    Trouble::new(FailureKind::Config, format!("file {path} {problem}"))
}

impl From<SourceError> for Trouble {
    fn from(error: SourceError) -> Self {
        Self {
            kind: FailureKind::Publish,
            is_transient: error.kind.is_transient(),
            message: error.message,
        }
    }
}

#[cfg(test)]
mod tests;
