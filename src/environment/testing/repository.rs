//! A repository of a world: one file, and the messages of the commits that changed it.

use crate::model::action::Reply;
use crate::model::change::{Answer, Change, FoundPull};
use crate::write_back::edit;

/// A file in Git.
#[derive(Clone, Debug, Default)]
pub(crate) struct Repository {
    /// What it says.
    pub(crate) file: String,
    /// Messages of the commits that changed it, or would if the pull request were merged.
    pub(crate) commits: Vec<String>,
    /// The branch of the last pull request that was asked for.
    pub(crate) branch: String,
    /// The files of the last change that was asked for.
    pub(crate) paths: Vec<String>,
    /// Why it does not answer.
    pub(crate) outage: Option<String>,
    /// What the open pull request would make of the file.
    pub(crate) proposed: Option<String>,
}

impl Repository {
    pub(super) fn reply(&mut self, change: &Change) -> Result<Reply, String> {
        if let Some(outage) = &self.outage {
            return Err(outage.clone());
        }
        let answer = self.answer(change);
        let body = serde_json::to_vec(&answer).unwrap();
        Ok(Reply { status: 200, body })
    }

    fn answer(&mut self, change: &Change) -> Answer {
        let paths = change.files.iter().map(|file| file.path.clone());
        self.paths = paths.collect();
        if let Some(pull) = &change.pull {
            self.branch.clone_from(&pull.branch);
        }
        let edit = &change.files.first().unwrap().edit;
        let text = edit::apply(edit, &self.file).unwrap();
        let commit = |count: usize| format!("{count:040x}");
        let is_new = text != self.file;
        let Some(pull) = &change.pull else {
            if is_new {
                self.file = text;
                self.commits.push(change.message.clone());
            }
            let commit = commit(self.commits.len());
            return Answer::Written { commit, is_new };
        };
        if !is_new {
            self.proposed = None;
            let commit = commit(self.commits.len());
            return Answer::Written { commit, is_new };
        }
        if pull.make.is_none() && self.proposed.is_none() {
            return Answer::Declined;
        }
        if self.proposed.as_ref() != Some(&text) {
            self.proposed = Some(text);
            self.commits.push(change.message.clone());
        }
        Answer::Proposed {
            commit: commit(self.commits.len()),
            pull: FoundPull {
                number: 7,
                url: "https://git.example/shop/config/pulls/7".into(),
                title: pull.title.clone(),
                body: pull.body.clone(),
            },
        }
    }
}
