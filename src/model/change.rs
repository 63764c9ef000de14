//! A change of files of a repository in one commit, pushed without a checkout, and the pull request that asks for it. No I/O.
//!
//! What was read of a repository is worth nothing after a crash: it is read again, and a file that says what it should is left
//! alone. So all of it is one exchange, and no plan ever remembers what it is about to push.

use serde::{Deserialize, Serialize};

use super::action::Request;

/// A change that is to be made, where it is not made yet.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Change {
    /// Carries what the repository wants to see of whoever asks; its URL is that of the repository.
    pub repository: Request,
    /// Short name of the branch whose files are changed.
    pub branch: String,
    /// The files, and what they are to say; all of them get it by one commit, or none does.
    pub files: Vec<FileEdit>,
    /// Who makes the commit.
    pub author: Person,
    /// When, in seconds since 1970: so the same change of the same commit is the same commit.
    pub at: i64,
    /// Its message.
    pub message: String,
    /// A line of the message, by which a commit is known to be of this origin.
    pub marker: String,
    /// The commit that is known to be of this origin whatever it says: it was made before the origin had this name.
    pub known: Option<String>,
    /// The pull request that asks for it; nothing where the branch itself gets the commit.
    pub pull: Option<Pull>,
}

/// A file that is to say something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FileEdit {
    /// Where it is.
    pub path: String,
    /// What it is to say.
    pub edit: Edit,
}

/// Who makes a commit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Person {
    /// Name.
    pub name: String,
    /// Email.
    pub email: String,
}

/// What a file is to say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum Edit {
    /// Entries of `images` in a file of kustomize.
    Kustomize(Vec<ImageEdit>),
    /// Values by their dotted keys.
    Values(Vec<ValueEdit>),
}

impl Edit {
    /// Whether it asks for nothing.
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Kustomize(images) => images.is_empty(),
            Self::Values(values) => values.is_empty(),
        }
    }
}

/// An entry of `images`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ImageEdit {
    /// What manifests call the image.
    pub name: String,
    /// The repository that takes its place.
    pub new_name: String,
    /// `sha256:` and 64 characters.
    pub digest: String,
}

/// A value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ValueEdit {
    /// Keys, joined by dots.
    pub key: String,
    /// The value.
    pub value: String,
}

/// One pull request that asks for a change, among those of others.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Pull {
    /// Short name of the branch that it brings. It has no other commits than those of this origin.
    pub branch: String,
    /// Asks for a page of the open ones; its URL ends where the number of the page stands.
    pub list: Request,
    /// Entries of a page that is not the last.
    pub page_size: usize,
    /// Makes it; nothing where only one that is there is looked after.
    pub make: Option<Request>,
    /// Gives it the title and the text that it should have; [`super::kept::ID`] stands in its URL.
    pub change: Request,
    /// Closes it; [`super::kept::ID`] stands in its URL.
    pub close: Request,
    /// Title that it should have.
    pub title: String,
    /// Text that it should have.
    pub body: String,
    /// Where an entry has what.
    pub places: PullPlaces,
}

/// Where an entry of a list of pull requests has what, as JSON pointers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct PullPlaces {
    /// Its number.
    pub number: &'static str,
    /// Its page.
    pub url: &'static str,
    /// The branch that it brings.
    pub head: &'static str,
    /// Where that branch is.
    pub from: &'static str,
    /// The branch that it goes into.
    pub base: &'static str,
    /// Where that one is.
    pub into: &'static str,
    /// Its title.
    pub title: &'static str,
    /// Its text.
    pub body: &'static str,
}

/// A pull request that was found or made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FoundPull {
    /// Its number.
    pub number: u64,
    /// Its page.
    pub url: String,
    /// Its title.
    pub title: String,
    /// Its text.
    pub body: String,
}

/// What became of a change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// The branch says it, at this commit.
    Written {
        /// The commit.
        commit: String,
        /// Whether it was made for this; else somebody has done it before.
        is_new: bool,
    },
    /// A pull request asks for it.
    Proposed {
        /// The commit that it brings.
        commit: String,
        /// The pull request.
        pull: FoundPull,
    },
    /// The pull request that asked for it is not open any more, and the branch does not say it.
    Declined,
    /// It could not be done.
    Refused(Trouble),
}

/// Why a change could not be made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trouble {
    /// In CamelCase.
    pub reason: String,
    /// For people.
    pub message: String,
}

impl Trouble {
    /// One of them.
    pub fn new(reason: &str, message: impl Into<String>) -> Self {
        Self {
            reason: reason.to_owned(),
            message: message.into(),
        }
    }
}
