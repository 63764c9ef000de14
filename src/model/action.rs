//! The verbs of a plan. Each is idempotent, or carries a key that makes it so. No I/O.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use super::access::Access;
use super::change::Change;
use super::changed::Changed;
use super::kept::Kept;
use super::leftover::LeftoverQuestion;
use super::mail::Mail;
use super::manifest::{Manifest, Target};
use super::package::PackageQuestion;
use super::place::{Mirroring, Place};
use super::probe::Probe;
use super::signed::SignedQuestion;
use super::tagged::TagQuestion;

/// Where the API server is, in words: who asks it knows the way.
const API_SERVER: &str = "https://kubernetes.default.svc";

/// One thing that a plan wants done. Actions run in order; after a failed one none is run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub enum Action {
    /// Server-side apply of an object that is ours.
    Apply(Manifest),
    /// Create once: an object of that name that is already there is success.
    Create(Manifest),
    /// Merge `change` into an object, only if it still is at the version the plan has seen.
    Patch {
        /// The object, with the version that the plan was made on.
        target: Target,
        /// A JSON merge patch.
        change: Value,
    },
    /// The same for several objects, each of them whatever becomes of the others: that one is refused is told once all
    /// were tried.
    PatchEach(Vec<(Target, Value)>),
    /// The same as `Patch` for its `/status`, which is replaced whole.
    Status {
        /// The object, with the version that the plan was made on.
        target: Target,
        /// The whole new status.
        status: Value,
    },
    /// Delete exactly this object. One that is gone is success.
    Delete {
        /// The object.
        target: Target,
        /// Leave its children alone instead of deleting them too.
        orphan: bool,
    },
    /// Ask for exactly this pod to go, as far as budgets of disruption allow it. One that is gone is success; that one
    /// may not go now is an answer, which is folded into the status.
    Evict {
        /// The pod.
        target: Target,
    },
    /// Something that is done to the mirror of an Environment in another cluster.
    Mirror {
        /// Where.
        place: Place,
        /// What.
        what: Mirroring,
    },
    /// One HTTP exchange, whose reply is folded into the status.
    Fetch {
        /// What the reply belongs to; the same key is never answered twice.
        key: String,
        /// What to send.
        request: Request,
    },
}

impl Action {
    /// The objects that it patches, each with the change.
    pub fn patches(&self) -> impl Iterator<Item = (&Target, &Value)> {
        let one = if let Self::Patch { target, change } = self {
            Some((target, change))
        } else {
            None
        };
        let each = if let Self::PatchEach(changes) = self {
            changes.as_slice()
        } else {
            &[]
        };
        let each = each.iter().map(|(target, change)| (target, change));
        one.into_iter().chain(each)
    }

    /// The verb, for logs and metric labels.
    pub fn verb(&self) -> &'static str {
        match self {
            Self::Apply(_) => "apply",
            Self::Create(_) => "create",
            Self::Patch { .. } | Self::PatchEach(_) => "patch",
            Self::Status { .. } => "status",
            Self::Delete { .. } => "delete",
            Self::Evict { .. } => "evict",
            Self::Mirror { .. } => "mirror",
            Self::Fetch { .. } => "fetch",
        }
    }
}

/// An HTTP request, rendered by a pure provider and sent by the shell.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Request {
    /// `GET`, `POST`, `PUT` or `PATCH`.
    pub method: &'static str,
    /// Absolute URL.
    pub url: String,
    /// Header fields.
    pub headers: BTreeMap<String, String>,
    /// The body, if any.
    pub body: Option<String>,
    /// A body that is no text. Nothing is filled in there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<Vec<u8>>,
    /// How long to wait for the whole answer.
    pub timeout: Duration,
    /// Certificates to trust beside the system's, in PEM.
    pub ca_bundle: Option<String>,
    /// What the shell has to fill in. For metrics, a request that has it goes only where they may come from.
    pub access: Option<Box<Access>>,
    /// What is done in its place; then `url` only says where.
    pub errand: Option<Box<Errand>>,
}

/// What is done in the place of one HTTP request.
#[expect(clippy::large_enum_variant, reason = "a request has it in a box")]
#[derive(Clone, Debug, PartialEq, Serialize)]
pub enum Errand {
    /// A registry is asked for the signatures of an image, in several exchanges.
    Signed(SignedQuestion),
    /// A registry is asked about a tag, or given one, in several exchanges.
    Tagged(TagQuestion),
    /// A registry is asked for the files of a package, in several exchanges.
    Package(PackageQuestion),
    /// Registries are asked what still needs what a run has left there, and to delete the rest, in several exchanges.
    Leftovers(LeftoverQuestion),
    /// Something is tried.
    Probe(Probe),
    /// One text is kept up to date with a server, in several exchanges.
    Kept(Kept),
    /// It is found out about commits of a repository, in several exchanges.
    Changed(Changed),
    /// Something is handed to a mail server.
    Mail(Mail),
    /// A file of a repository is changed, in several exchanges.
    Change(Change),
    /// The API server is asked whether it would take objects, of which nothing is stored. 200 says so, and 422 why it would not.
    Rehearsal(Vec<Manifest>),
}

impl Request {
    /// What is handed to a mail server in its place.
    pub fn mail(&self) -> Option<&Mail> {
        match self.errand.as_deref()? {
            Errand::Mail(mail) => Some(mail),
            Errand::Signed(_)
            | Errand::Tagged(_)
            | Errand::Package(_)
            | Errand::Leftovers(_)
            | Errand::Probe(_)
            | Errand::Kept(_)
            | Errand::Changed(_)
            | Errand::Change(_)
            | Errand::Rehearsal(_) => None,
        }
    }

    /// A GET without headers.
    pub fn get(url: String, timeout: Duration) -> Self {
        let headers = BTreeMap::new();
        Self {
            method: "GET",
            url,
            headers,
            body: None,
            bytes: None,
            timeout,
            ca_bundle: None,
            access: None,
            errand: None,
        }
    }

    /// A POST with a body.
    pub fn post(url: String, content_type: &str, body: String, timeout: Duration) -> Self {
        Self {
            method: "POST",
            headers: BTreeMap::from([("content-type".to_owned(), content_type.to_owned())]),
            body: Some(body),
            ..Self::get(url, timeout)
        }
    }

    /// An email. It goes only where metrics may come from.
    pub fn for_mail(mail: Mail, access: Access, timeout: Duration) -> Self {
        let url = format!("smtp://{}:{}", mail.host, mail.port);
        Self {
            access: Some(Box::new(access)),
            errand: Some(Box::new(Errand::Mail(mail))),
            ..Self::get(url, timeout)
        }
    }

    /// Something that is tried. It goes only where metrics may come from.
    pub fn for_probe(probe: Probe, timeout: Duration) -> Self {
        let url = probe.url();
        Self {
            errand: Some(Box::new(Errand::Probe(probe))),
            ..Self::get(url, timeout)
        }
    }

    /// A text of ours that is kept up to date with a server.
    pub fn for_kept(kept: Kept) -> Self {
        let (url, timeout) = (kept.list.url.clone(), kept.list.timeout);
        Self {
            errand: Some(Box::new(Errand::Kept(kept))),
            ..Self::get(url, timeout)
        }
    }

    /// A question for what a commit says and changes.
    pub fn for_changed(changed: Changed, timeout: Duration) -> Self {
        let url = changed.ask.url.clone();
        Self {
            errand: Some(Box::new(Errand::Changed(changed))),
            ..Self::get(url, timeout)
        }
    }

    /// A file of a repository that is changed.
    pub fn for_change(change: Change) -> Self {
        let (url, timeout) = (change.repository.url.clone(), change.repository.timeout);
        Self {
            errand: Some(Box::new(Errand::Change(change))),
            ..Self::get(url, timeout)
        }
    }

    /// A question for what was signed for an image. It goes only where metrics may come from.
    pub fn for_signed(question: SignedQuestion, timeout: Duration) -> Self {
        let url = registry_url(&question.repository, question.is_insecure);
        Self {
            errand: Some(Box::new(Errand::Signed(question))),
            ..Self::get(url, timeout)
        }
    }

    /// A question for the manifests in a package. It goes only where metrics may come from.
    pub fn for_package(question: PackageQuestion, timeout: Duration) -> Self {
        let url = registry_url(&question.repository, question.is_insecure);
        Self {
            errand: Some(Box::new(Errand::Package(question))),
            ..Self::get(url, timeout)
        }
    }

    /// A question for whether the API server would take objects.
    pub fn for_rehearsal(objects: Vec<Manifest>, timeout: Duration) -> Self {
        Self {
            errand: Some(Box::new(Errand::Rehearsal(objects))),
            ..Self::get(API_SERVER.to_owned(), timeout)
        }
    }

    /// That what a run has left in registries goes. It goes only where metrics may come from.
    pub fn for_leftovers(question: LeftoverQuestion, timeout: Duration) -> Self {
        Self {
            errand: Some(Box::new(Errand::Leftovers(question))),
            ..Self::get(String::new(), timeout)
        }
    }

    /// A question for the digest of a tag. It goes only where metrics may come from.
    pub fn for_tagged(question: TagQuestion, timeout: Duration) -> Self {
        let url = registry_url(&question.repository, question.is_insecure);
        Self {
            errand: Some(Box::new(Errand::Tagged(question))),
            ..Self::get(url, timeout)
        }
    }
}

fn registry_url(repository: &str, is_insecure: bool) -> String {
    let scheme = if is_insecure { "http" } else { "https" };
    format!("{scheme}://{repository}")
}

/// The answer to a [`Request`], cut at the shell's limit.
#[derive(Clone, Debug, PartialEq)]
pub struct Reply {
    /// HTTP status code.
    pub status: u16,
    /// The body.
    pub body: Vec<u8>,
}

/// A [`Reply`], or why there is none, that is kept: everybody who looks at it shares it.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// When it came.
    pub at: Timestamp,
    /// What came.
    pub reply: Result<Reply, String>,
}

/// What the API server said to an eviction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Eviction {
    /// The pod goes.
    Granted,
    /// A budget of disruption does not allow it now; why, in the server's words.
    Refused(String),
}

/// What became of a plan's actions.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcome {
    /// Answers by key of their `Fetch`; the error is a sentence for people.
    pub replies: BTreeMap<String, Result<Reply, String>>,
    /// What the server said to evictions, by the name of the pod.
    pub evictions: BTreeMap<String, Eviction>,
    /// Why the actions stopped before their end, as a sentence for people.
    pub failure: Option<String>,
}

impl Outcome {
    /// A sentence about a plan, and why its actions stopped, where they did.
    pub fn told_after(&self, said: &str) -> String {
        match &self.failure {
            Some(failure) => format!("{said}; last try failed: {failure}"),
            None => said.to_owned(),
        }
    }
}
