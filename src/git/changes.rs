//! What a commit says, and which files differ between it and another one: found out by asking for one object after the other,
//! and only for folders that differ. No I/O.
//!
//! ```text
//! commit ── its message, and its folder ──┐
//! the commit before it ── its folder ─────┴── folders that differ ── files that differ
//! ```
//!
//! That is cheap where little differs, whatever the size of the repository. Where much does it is given up, and what differs
//! counts as not known.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::object::{self, Entry, ObjectType};
use super::refs::{broken, check_status, unreachable};
use crate::model::action::{Reply, Request};
use crate::model::changed::Changed;
use crate::pipeline::api::{GitSource, SourceError};

/// Longest wait for all of it.
const TIMEOUT: Duration = Duration::from_secs(20);
/// Objects that are asked for.
const MOST: usize = 64;
/// Files that are told.
const MOST_FILES: usize = 2000;

/// What a commit says and changes.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// Its message.
    pub message: String,
    /// Files that differ from the commit before it, where that was asked for and is known.
    pub files: Option<Vec<String>>,
}

/// What is handed on by who asks.
#[derive(Serialize, Deserialize)]
enum Answer {
    Told(Told),
    Error(SourceError),
}

/// The question what a commit says, and, with a commit before it, which files differ.
pub fn request(
    git: &GitSource,
    namespace: &str,
    ca_bundle: Option<String>,
    (from, to): (Option<&str>, &str),
) -> Request {
    let ask = object::request(git, namespace, ca_bundle, (ObjectType::Commit, to));
    let changed = Changed {
        ask: Request { body: None, ..ask },
        from: from.map(str::to_owned),
        to: to.to_owned(),
    };
    Request::for_changed(changed, TIMEOUT)
}

/// Reads the answer.
///
/// # Errors
/// Says why it is not known, whether that can change by itself, and what to do.
pub fn read(reply: &Result<Reply, String>) -> Result<Told, SourceError> {
    let reply = reply.as_ref().map_err(|error| unreachable(error))?;
    check_status(reply.status)?;
    match serde_json::from_slice(&reply.body) {
        Ok(Answer::Told(told)) => Ok(told),
        Ok(Answer::Error(error)) => Err(error),
        Err(_) => Err(broken()),
    }
}

/// A folder that differs.
#[derive(Debug)]
struct Folder {
    path: String,
    before: Option<String>,
    after: Option<String>,
}

/// The way through the folders of two commits: what is to be asked for next, and what was learned so far.
#[derive(Debug)]
pub struct Walk {
    question: Changed,
    told: Option<Told>,
    error: Option<SourceError>,
    /// The folder of the commit.
    after: Option<String>,
    folders: Vec<Folder>,
    known: BTreeMap<String, Vec<u8>>,
    asked: usize,
    is_over: bool,
    wanted: Option<(ObjectType, String)>,
}

impl Walk {
    /// At the beginning.
    pub fn of(question: &Changed) -> Self {
        Self {
            question: question.clone(),
            told: None,
            error: None,
            after: None,
            folders: Vec::new(),
            known: BTreeMap::new(),
            asked: 0,
            is_over: false,
            wanted: Some((ObjectType::Commit, question.to.clone())),
        }
    }

    /// What is to be asked next; nothing at the end.
    pub fn ask(&mut self) -> Option<Request> {
        while self.wanted.is_none() && !self.is_over {
            self.look();
        }
        if self.is_over {
            return None;
        }
        if self.asked >= MOST {
            self.give_up();
            return None;
        }
        self.asked += 1;
        let (type_, id) = self.wanted.as_ref()?;
        Some(Request {
            body: Some(object::body((*type_, id))),
            ..self.question.ask.clone()
        })
    }

    /// Takes in the answer.
    pub fn take(&mut self, reply: &Result<Reply, String>) {
        let Some((type_, id)) = self.wanted.take() else {
            return;
        };
        match object::read(reply, (type_, &id)) {
            Ok(content) if type_ == ObjectType::Tree => {
                self.known.insert(id, content);
            }
            Ok(content) => self.commit(&content),
            Err(error) if self.told.is_none() => {
                self.error = Some(error);
                self.is_over = true;
            }
            // The commit before may be gone, after a push by force for example.
            Err(_) => self.give_up(),
        }
    }

    /// What is handed on, at the end.
    pub fn answer(self) -> Reply {
        let answer = match self.error {
            Some(error) => Answer::Error(error),
            None => Answer::Told(self.told.unwrap_or_default()),
        };
        Reply {
            status: 200,
            body: serde_json::to_vec(&answer).unwrap_or_default(),
        }
    }

    fn commit(&mut self, content: &[u8]) {
        let tree = object::tree_of(content);
        if self.told.is_none() {
            self.told = Some(Told {
                message: object::message_of(content),
                files: None,
            });
            self.after = tree;
            match &self.question.from {
                Some(from) => self.wanted = Some((ObjectType::Commit, from.clone())),
                None => self.is_over = true,
            }
            return;
        }
        let (Some(before), Some(after)) = (tree, self.after.take()) else {
            self.give_up();
            return;
        };
        self.set_files(Some(Vec::new()));
        if before != after {
            self.folders.push(Folder {
                path: String::new(),
                before: Some(before),
                after: Some(after),
            });
        }
    }

    /// Wants what is missing of the next folder, or compares it.
    fn look(&mut self) {
        let Some(folder) = self.folders.last() else {
            self.is_over = true;
            return;
        };
        let sides = [folder.before.clone(), folder.after.clone()];
        let mut sides = sides.into_iter().flatten();
        let missing = sides.find(|id| !self.known.contains_key(id));
        if let Some(id) = missing {
            self.wanted = Some((ObjectType::Tree, id));
            return;
        }
        let Some(folder) = self.folders.pop() else {
            return;
        };
        let mut take = |id: &Option<String>| {
            let content = id.as_ref().and_then(|id| self.known.remove(id));
            content.unwrap_or_default()
        };
        let (before, after) = (take(&folder.before), take(&folder.after));
        match (object::entries(&before), object::entries(&after)) {
            (Some(before), Some(after)) => self.compare(&folder.path, &before, &after),
            (None, _) | (_, None) => self.give_up(),
        }
    }

    fn compare(&mut self, path: &str, before: &[Entry<'_>], after: &[Entry<'_>]) {
        let (before, after) = (by_name(before), by_name(after));
        let names: BTreeSet<&[u8]> = before.keys().chain(after.keys()).copied().collect();
        let mut files = Vec::new();
        for name in names {
            let (old, new) = (before.get(name), after.get(name));
            if old == new {
                continue;
            }
            let sides = [old, new];
            let name = String::from_utf8_lossy(name);
            let path = if path.is_empty() {
                name.into_owned()
            } else {
                format!("{path}/{name}")
            };
            // What was a file and is a folder now is both.
            let [before, after] = sides.map(|side| side.and_then(Entry::folder));
            let is_file = |side: Option<&Entry<'_>>| side.is_some_and(|entry| !entry.is_folder());
            if sides.into_iter().any(is_file) {
                files.push(path.clone());
            }
            if before.is_some() || after.is_some() {
                self.folders.push(Folder {
                    path,
                    before,
                    after,
                });
            }
        }
        self.add(files);
    }

    fn add(&mut self, more: Vec<String>) {
        let files = self.told.as_mut().and_then(|told| told.files.as_mut());
        let Some(files) = files else { return };
        files.extend(more);
        if files.len() > MOST_FILES {
            self.give_up();
        }
    }

    fn set_files(&mut self, files: Option<Vec<String>>) {
        if let Some(told) = &mut self.told {
            told.files = files;
        }
    }

    /// Which files differ is not known.
    fn give_up(&mut self) {
        self.set_files(None);
        self.is_over = true;
    }
}

fn by_name<'a>(entries: &[Entry<'a>]) -> BTreeMap<&'a [u8], Entry<'a>> {
    entries.iter().map(|entry| (entry.name, *entry)).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::git::object::tests::{answer as object_answer, id_of, line};
    use crate::model::action::Errand;

    /// What a repository has, by hash.
    type Objects = BTreeMap<String, (ObjectType, Vec<u8>)>;

    fn put(objects: &mut Objects, type_: ObjectType, content: Vec<u8>) -> String {
        let id = id_of(type_, &content);
        objects.insert(id.clone(), (type_, content));
        id
    }

    /// A folder with these files, each with what is in it.
    fn tree(objects: &mut Objects, files: &[(&str, &str)]) -> String {
        let mut content = Vec::new();
        let mut folders: BTreeMap<&str, Vec<(&str, &str)>> = BTreeMap::new();
        for (path, text) in files {
            if let Some((folder, rest)) = path.split_once('/') {
                folders.entry(folder).or_default().push((rest, *text));
            } else {
                let id = id_of(ObjectType::Blob, text.as_bytes());
                content.extend(line("100644", path, &id));
            }
        }
        for (name, files) in folders {
            let id = tree(objects, &files);
            content.extend(line("40000", name, &id));
        }
        put(objects, ObjectType::Tree, content)
    }

    fn commit(objects: &mut Objects, files: &[(&str, &str)], message: &str) -> String {
        let tree = tree(objects, files);
        let text = format!("tree {tree}\nauthor a <a@b> 0 +0000\n\n{message}");
        put(objects, ObjectType::Commit, text.into_bytes())
    }

    /// Plays the server, and tells how often it was asked.
    fn asked(
        objects: &Objects,
        from: Option<&str>,
        to: &str,
    ) -> (Result<Told, SourceError>, usize) {
        let git = serde_json::from_value(json!({"url": "https://git.example/a.git"})).unwrap();
        let request = request(&git, "ns", None, (from, to));
        let Some(Errand::Changed(question)) = request.errand.as_deref() else {
            panic!("{request:?}");
        };
        let mut walk = Walk::of(question);
        let mut count = 0;
        while let Some(request) = walk.ask() {
            count += 1;
            let body = request.body.unwrap();
            let (_, rest) = body.split_once("want ").unwrap();
            let body = match objects.get(&rest[..40]) {
                Some((type_, content)) => object_answer(*type_, content, 900),
                None => b"0010ERR not ours".to_vec(),
            };
            walk.take(&Ok(Reply { status: 200, body }));
        }
        (read(&Ok(walk.answer())), count)
    }

    #[test]
    fn only_folders_that_differ_are_looked_into() {
        let mut objects = Objects::new();
        let before = [
            ("README.md", "a"),
            ("api/main.rs", "a"),
            ("api/src/deep/one.rs", "a"),
            ("docs/a/b/c.md", "a"),
            ("old", "a"),
        ];
        let after = [
            ("README.md", "b"),
            ("api/main.rs", "a"),
            ("api/src/deep/one.rs", "b"),
            ("api/src/deep/two.rs", "b"),
            ("docs/a/b/c.md", "a"),
            ("old/file", "a"),
        ];
        let before = commit(&mut objects, &before, "Before");
        let after = commit(&mut objects, &after, "After\n\nMore [skip ci]\n");
        let (told, count) = asked(&objects, Some(&before), &after);
        let mut told = told.unwrap();
        told.files.as_mut().unwrap().sort();
        let files = [
            "README.md",
            "api/src/deep/one.rs",
            "api/src/deep/two.rs",
            "old",
            "old/file",
        ];
        assert_eq!(told.files.unwrap(), files);
        assert_eq!(told.message, "After\n\nMore [skip ci]\n");
        // Two commits, both sides of four folders, and a folder that was none.
        assert_eq!(count, 2 + 2 * 4 + 1);
        let (same, count) = asked(&objects, Some(&after), &after);
        assert_eq!((same.unwrap().files, count), (Some(Vec::new()), 2));
    }

    #[test]
    fn without_a_commit_before_it_the_message_is_all() {
        let mut objects = Objects::new();
        let only = commit(&mut objects, &[("a", "a")], "Only");
        let (told, count) = asked(&objects, None, &only);
        let told = told.unwrap();
        assert_eq!(
            (told.message.as_str(), told.files, count),
            ("Only", None, 1)
        );
        let gone = "1".repeat(40);
        let told = asked(&objects, Some(&gone), &only).0.unwrap();
        assert_eq!((told.message.as_str(), told.files), ("Only", None));
        let error = asked(&objects, None, &gone).0.unwrap_err();
        assert_eq!(error.message, "the server says: not ours");
    }

    #[test]
    fn where_much_differs_it_is_not_known() {
        let mut objects = Objects::new();
        let names: Vec<String> = (0..40).map(|number| format!("{number}/a")).collect();
        let files = |text: &'static str| -> Vec<(&str, &str)> {
            names.iter().map(|name| (name.as_str(), text)).collect()
        };
        let before = commit(&mut objects, &files("a"), "Before");
        let after = commit(&mut objects, &files("b"), "After");
        let (told, count) = asked(&objects, Some(&before), &after);
        assert_eq!((told.unwrap().files, count), (None, MOST));
    }

    #[test]
    fn no_answer_is_told_as_one() {
        let error = read(&Err("no answer from git.example within 20 s".into())).unwrap_err();
        assert!(error.kind.is_transient());
        let body = b"<html>".to_vec();
        assert!(read(&Ok(Reply { status: 200, body })).is_err());
    }

    proptest! {
        /// Nothing that a server says keeps it from its end.
        #[test]
        fn anything_can_be_answered(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut objects = Objects::new();
            let tree = put(&mut objects, ObjectType::Tree, body);
            let text = format!("tree {tree}\n\nx");
            let one = put(&mut objects, ObjectType::Commit, text.into_bytes());
            let other = commit(&mut objects, &[("a/b", "a")], "y");
            let _ = asked(&objects, Some(&one), &other);
        }
    }
}
