//! A question for what a commit of a repository says, and what it changes. No I/O.

use serde::Serialize;

use super::action::Request;

/// What is to be found out about a commit.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Changed {
    /// Asks the repository for an object; which one is filled in.
    pub ask: Request,
    /// The commit before it; nothing where files are of no interest.
    pub from: Option<String>,
    /// The commit.
    pub to: String,
}
