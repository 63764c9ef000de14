//! Changes files of a repository: reads them, and where one does not say what it should, pushes one commit; and looks after the
//! pull request that asks for it. Talks to the network.
//!
//! Changes of one repository take turns, and one that has begun goes on to its end even if nobody waits for it any more: what
//! it has pushed is found by the next one. A push that comes too late, because somebody else has pushed meanwhile, begins anew.

use std::collections::BTreeMap;

use serde_json::Value;

use super::kept::Turns;
use crate::cluster::Cluster;
use crate::git::object::{self, ObjectType};
use crate::git::push::{self, Move, Object};
use crate::model::action::{Reply, Request};
use crate::model::change::{Answer, Change, FileEdit, FoundPull, Pull, Trouble};
use crate::model::kept::{ID, PAGES};
use crate::pipeline::api::{SourceError, SourceErrorKind};
use crate::provider;
use crate::write_back::edit;
use crate::write_back::file::{File, Turn, Way};

/// How often a branch that others push to is tried at once. Then it is tried again later.
const TRIES: usize = 4;

impl Cluster {
    pub(super) async fn change(&self, change: &Change) -> Result<Reply, String> {
        let cluster = self.clone();
        to_its_end(&self.http.turns, change.clone(), move |request| {
            let cluster = cluster.clone();
            async move { cluster.fetch_one(&request).await }
        })
        .await
    }
}

async fn to_its_end<F>(
    turns: &Turns,
    change: Change,
    ask: impl Fn(Request) -> F + Send + Sync + 'static,
) -> Result<Reply, String>
where
    F: Future<Output = Result<Reply, String>> + Send,
{
    let turn = turns.of(&change.repository.url);
    let work = tokio::spawn(async move {
        let _turn = turn.lock().await;
        exchange(&change, &ask).await
    });
    let answer = work
        .await
        .map_err(|_| "the exchange broke off".to_owned())?;
    let body = serde_json::to_vec(&answer).unwrap_or_default();
    Ok(Reply { status: 200, body })
}

async fn exchange<F>(change: &Change, ask: &(impl Fn(Request) -> F + Sync)) -> Answer
where
    F: Future<Output = Result<Reply, String>> + Send,
{
    let work = Work { change, ask };
    for _ in 0..TRIES {
        match work.attempt().await {
            Ok(Some(answer)) => return answer,
            Ok(None) => {}
            Err(trouble) => return Answer::Refused(trouble),
        }
    }
    let message = "others push to the branch all the time; it is tried again";
    Answer::Refused(Trouble::new("Conflict", message))
}

/// A change under way.
struct Work<'a, A> {
    change: &'a Change,
    ask: &'a A,
}

/// What a repository has now, as far as it matters.
struct Now<'a> {
    /// The commit of the branch.
    head: String,
    /// The commit of the branch of the pull request.
    own: Option<String>,
    /// What the files are to say, by their paths.
    texts: BTreeMap<&'a str, String>,
    /// The folder at the top, as the branch has it.
    before: String,
    /// The folder at the top that has them so.
    tree: String,
    /// What has to be pushed for that.
    objects: Vec<Object>,
}

impl<'a, A, F> Work<'a, A>
where
    A: Fn(Request) -> F + Sync,
    F: Future<Output = Result<Reply, String>> + Send,
{
    /// All of it, once; nothing where somebody else was faster.
    async fn attempt(&self) -> Result<Option<Answer>, Trouble> {
        let pull = self.change.pull.as_ref();
        if let Some(pull) = pull.filter(|pull| pull.branch == self.change.branch) {
            let message = format!(
                "{} is the branch that the pull request goes into; name another one in writeBack.pullRequestBranch",
                pull.branch
            );
            return Err(Trouble::new("Refused", message));
        }
        let now = self.now().await?;
        let says_so = now.tree == now.before;
        match &self.change.pull {
            None if says_so => Ok(Some(Answer::Written {
                commit: now.head,
                is_new: false,
            })),
            None => self.write(&now).await,
            Some(pull) if says_so => {
                if now.own.is_some() {
                    self.close(pull).await?;
                }
                let is_new = false;
                let commit = now.head;
                Ok(Some(Answer::Written { commit, is_new }))
            }
            Some(pull) => self.propose(pull, &now).await,
        }
    }

    async fn now(&self) -> Result<Now<'a>, Trouble> {
        let change = self.change;
        let asked = push::refs_request(&change.repository);
        let refs = push::refs(&(self.ask)(asked).await).map_err(trouble)?;
        let of = |branch: &str| {
            let name = format!("refs/heads/{branch}");
            let mut refs = refs.iter();
            refs.find(|(known, _)| *known == name)
                .map(|(_, sha)| sha.clone())
        };
        let branch = &change.branch;
        let head = of(branch).ok_or_else(|| {
            let message = format!(
                "the repository has no branch {branch}; push it, or change writeBack.repository.branch"
            );
            Trouble::new("NotFound", message)
        })?;
        let before = self.tree(&head).await?;
        let mut tree = before.clone();
        let mut objects: Vec<Object> = Vec::new();
        let mut texts = BTreeMap::new();
        for FileEdit { path, edit } in &change.files {
            let file = self.file(&tree, path, &objects).await?;
            let text = edit::apply(edit, &file.text).map_err(|problem| {
                let message = format!("{path} cannot be changed: {problem}");
                Trouble::new("NotEditable", message)
            })?;
            if text != file.text {
                let changed = file.with(&text).ok_or_else(broken)?;
                tree = changed.last().ok_or_else(broken)?.id();
                objects.extend(changed);
            }
            texts.insert(path.as_str(), text);
        }
        Ok(Now {
            own: change.pull.as_ref().and_then(|pull| of(&pull.branch)),
            head,
            texts,
            before,
            tree,
            objects,
        })
    }

    /// The folder at the top of a commit.
    async fn tree(&self, commit: &str) -> Result<String, Trouble> {
        let content = self.read((ObjectType::Commit, commit)).await?;
        let tree = object::tree_of(&content);
        tree.ok_or_else(|| Trouble::new("Refused", "the answer is no commit"))
    }

    /// A file below a folder, of which something may be new and nowhere but here.
    async fn file<'p>(
        &self,
        tree: &str,
        path: &'p str,
        new: &[Object],
    ) -> Result<File<'p>, Trouble> {
        let lost = |problem: String| {
            let message = format!("{path} {problem}; correct the path, or push the file");
            Trouble::new("NotFound", message)
        };
        let mut way = Way::new(tree, path).map_err(lost)?;
        loop {
            let next = way.next();
            let known = new.iter().find(|object| object.id() == next.1);
            let content = match known {
                Some(object) => object.content.clone(),
                None => self.read(next).await?,
            };
            match way.follow(content).map_err(lost)? {
                Turn::More(next) => way = next,
                Turn::Here(file) => return Ok(file),
            }
        }
    }

    async fn read(&self, what: (ObjectType, &str)) -> Result<Vec<u8>, Trouble> {
        let request = object::of(&self.change.repository, what);
        let reply = (self.ask)(request).await;
        object::read(&reply, what).map_err(trouble)
    }

    /// Pushes one commit to the branch itself.
    async fn write(&self, now: &Now<'a>) -> Result<Option<Answer>, Trouble> {
        let branch = &self.change.branch;
        let pushed = self.push(branch, Some(&now.head), now).await?;
        let is_new = true;
        Ok(pushed.map(|commit| Answer::Written { commit, is_new }))
    }

    /// Pushes one commit on top of the branch; nothing where the pushed branch is at another commit than it was.
    async fn push(
        &self,
        to: &str,
        from: Option<&str>,
        now: &Now<'a>,
    ) -> Result<Option<String>, Trouble> {
        let change = self.change;
        let mut objects = now.objects.clone();
        let commit = push::commit(
            &now.tree,
            &now.head,
            &change.author,
            change.at,
            &change.message,
        );
        let id = commit.id();
        objects.push(commit);
        let git_ref = format!("refs/heads/{to}");
        let moved = Move {
            git_ref: &git_ref,
            from,
            to: &id,
        };
        let request = push::request(&change.repository, moved, &objects);
        let pushed = push::read(&(self.ask)(request).await, &git_ref);
        let Err(error) = pushed else {
            return Ok(Some(id));
        };
        // Whose answer was lost has pushed it; who was slower has to look again. The server's words differ, its refs do not.
        let asked = push::refs_request(&change.repository);
        let refs = push::refs(&(self.ask)(asked).await).map_err(trouble)?;
        let mut refs = refs.iter();
        let at = refs
            .find(|(known, _)| *known == git_ref)
            .map(|(_, sha)| sha.as_str());
        if at == Some(id.as_str()) {
            return Ok(Some(id));
        }
        if at != from {
            return Ok(None);
        }
        Err(trouble(error))
    }

    /// Brings the pull request, and the branch that it brings, to what they should be.
    async fn propose(&self, pull: &Pull, now: &Now<'a>) -> Result<Option<Answer>, Trouble> {
        let open = self.open(pull).await?;
        if open.is_none() && pull.make.is_none() {
            return Ok(Some(Answer::Declined));
        }
        let commit = match &now.own {
            Some(own) if self.brings(own, now).await? => own.clone(),
            own => {
                let pushed = self.push(&pull.branch, own.as_deref(), now).await?;
                let Some(commit) = pushed else {
                    return Ok(None);
                };
                commit
            }
        };
        let pull = match (open, &pull.make) {
            (Some(open), _) if open.title == pull.title && open.body == pull.body => open,
            (Some(open), _) => {
                self.tell(&pull.change, open.number).await?;
                open
            }
            (None, Some(make)) => {
                let reply = (self.ask)(make.clone()).await;
                let body = provider::body(&reply).map_err(refused)?;
                let entry: Value = serde_json::from_slice(body).unwrap_or_default();
                found(pull, &entry).ok_or_else(no_provider)?
            }
            (None, None) => return Ok(Some(Answer::Declined)),
        };
        Ok(Some(Answer::Proposed { commit, pull }))
    }

    /// Whether a commit of the pull request's branch has the files as they are to be. One that has not, and is somebody else's, is
    /// left alone.
    async fn brings(&self, own: &str, now: &Now<'a>) -> Result<bool, Trouble> {
        let tree = self.tree(own).await?;
        let mut has_all = true;
        for (path, text) in &now.texts {
            let file = self.file(&tree, path, &[]).await?;
            has_all &= file.id == File::id_with(text);
        }
        if has_all {
            return Ok(true);
        }
        if self.change.known.as_deref() == Some(own) {
            return Ok(false);
        }
        let content = self.read((ObjectType::Commit, own)).await?;
        let text = String::from_utf8_lossy(&content);
        if text.lines().any(|line| line == self.change.marker) {
            return Ok(false);
        }
        let pull = self.change.pull.as_ref();
        let branch = pull.map_or("", |pull| pull.branch.as_str());
        let message = format!(
            "the last commit of branch {branch} is somebody else's; merge it, or delete the branch"
        );
        Err(Trouble::new("Conflict", message))
    }

    /// The open pull request of the branch.
    async fn open(&self, pull: &Pull) -> Result<Option<FoundPull>, Trouble> {
        for number in 1..=PAGES {
            let mut request = pull.list.clone();
            request.url = format!("{}{number}", request.url);
            let page = (self.ask)(request).await;
            let page = provider::body(&page).map_err(refused)?;
            let page: Vec<Value> = serde_json::from_slice(page).map_err(|_| no_provider())?;
            let text = |entry: &Value, place: &str| {
                let value = entry.pointer(place);
                value.map(|value| {
                    value
                        .as_str()
                        .map_or_else(|| value.to_string(), str::to_owned)
                })
            };
            let is_ours = |entry: &&Value| {
                let places = &pull.places;
                let of = |place: &str| text(entry, place);
                of(places.head).as_deref() == Some(pull.branch.as_str())
                    && of(places.base).as_deref() == Some(self.change.branch.as_str())
                    && of(places.from).is_some()
                    && of(places.from) == of(places.into)
            };
            if let Some(entry) = page.iter().find(is_ours) {
                return Ok(found(pull, entry));
            }
            if page.len() < pull.page_size {
                break;
            }
        }
        Ok(None)
    }

    /// Closes the pull request: what it asks for is not wanted any more, or is done.
    async fn close(&self, pull: &Pull) -> Result<(), Trouble> {
        match self.open(pull).await? {
            Some(open) => self.tell(&pull.close, open.number).await,
            None => Ok(()),
        }
    }

    async fn tell(&self, request: &Request, number: u64) -> Result<(), Trouble> {
        let mut request = request.clone();
        request.url = request.url.replace(ID, &number.to_string());
        let told = (self.ask)(request).await;
        provider::body(&told).map(drop).map_err(refused)
    }
}

/// What an entry says of a pull request.
fn found(pull: &Pull, entry: &Value) -> Option<FoundPull> {
    let text = |place: &str| {
        let value = entry.pointer(place).and_then(Value::as_str);
        value.unwrap_or_default().to_owned()
    };
    let places = &pull.places;
    Some(FoundPull {
        number: entry.pointer(places.number)?.as_u64()?,
        url: text(places.url),
        title: text(places.title),
        body: text(places.body),
    })
}

fn broken() -> Trouble {
    let message = "the folders of the repository are not understood";
    Trouble::new("Refused", message)
}

fn no_provider() -> Trouble {
    let message = "the answer is not the provider's; check writeBack.repository.provider";
    Trouble::new("Refused", message)
}

/// What a repository says against it.
fn trouble(error: SourceError) -> Trouble {
    let SourceError { kind, message } = error;
    let reason = match kind {
        SourceErrorKind::Timeout | SourceErrorKind::Unreachable | SourceErrorKind::Server => {
            "Unreachable"
        }
        SourceErrorKind::NotFound | SourceErrorKind::NoBranch => "NotFound",
        SourceErrorKind::Auth
        | SourceErrorKind::NotOnBranch
        | SourceErrorKind::Protocol
        | SourceErrorKind::TooMany
        | SourceErrorKind::Definition => "Refused",
    };
    let ours = "writeBack.repository.credentials";
    let message = message.replace("source.git.credentials", ours);
    Trouble::new(reason, message)
}

/// What a provider says against it.
fn refused(refusal: provider::Refusal) -> Trouble {
    let reason = if refusal.is_transient() {
        "Unreachable"
    } else {
        "Refused"
    };
    let provider::Refusal { message, .. } = refusal;
    let ours = "writeBack.repository.provider";
    let message = message.replace("source.git.provider", ours);
    Trouble::new(reason, message)
}

#[cfg(test)]
mod tests;
