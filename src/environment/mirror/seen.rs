//! What one reconcile sees of another cluster. No I/O.

use serde_json::Value;

use super::super::api::{EnvironmentSpec, EnvironmentStatus};
use super::label_of;
use crate::model::key::Key;
use crate::model::manifest::Target;
use crate::model::place::Place;

/// What one reconcile sees of other clusters; nothing for an Environment of this one.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Seen {
    /// Where the mirror is to be.
    pub target: Option<Sight>,
    /// Where it is and is not to be any more.
    pub left: Option<Sight>,
}

/// A place, and what is known of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Sight {
    /// The place.
    pub place: Place,
    /// What is known.
    pub state: State,
}

/// What is known of a place.
#[derive(Clone, Debug, PartialEq)]
pub enum State {
    /// Nothing yet: it is being asked.
    Unknown,
    /// Nothing, and why.
    Away(Trouble, String),
    /// What has the name of the mirror there, if anything has; and of the Rollouts everything.
    Known(Option<Box<Live>>),
}

/// An Environment there that has the name of the mirror.
#[derive(Clone, Debug, PartialEq)]
pub struct Live {
    /// The object.
    pub target: Target,
    /// Generation of its spec.
    pub generation: i64,
    /// Which Environment it says it mirrors.
    pub of: Option<String>,
    /// Whether it is being deleted.
    pub is_going: bool,
    /// What was merged into its spec as it is now, and did not change it: the definition there does not have that.
    pub vain: Option<Value>,
    /// Its spec.
    pub spec: EnvironmentSpec,
    /// Its status.
    pub status: EnvironmentStatus,
}

/// Why nothing is known of a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// This operator reaches no other clusters.
    ClustersOff,
    /// There is no Secret that may be used, or not the key.
    NoKubeconfig,
    /// What is in it cannot be used.
    InvalidKubeconfig,
    /// The operator's settings do not let it go there.
    NotAllowed,
    /// The operator acts for tenants as ServiceAccounts only, and none is named.
    NoServiceAccount,
    /// Nobody answers, or nothing that makes sense.
    Unreachable,
    /// The API server does not know who asks.
    Unauthorized,
    /// It knows, and does not let them.
    Forbidden,
    /// It does not know Environments or Rollouts.
    NotInstalled,
}

impl Trouble {
    /// The word in the condition.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ClustersOff => "ClustersOff",
            Self::NoKubeconfig => "NoKubeconfig",
            Self::InvalidKubeconfig => "InvalidKubeconfig",
            Self::NotAllowed => "NotAllowed",
            Self::NoServiceAccount => "NoServiceAccount",
            Self::Unreachable => "Unreachable",
            Self::Unauthorized => "Unauthorized",
            Self::Forbidden => "Forbidden",
            Self::NotInstalled => "NotInstalled",
        }
    }

    /// Whether it takes an edit in this cluster: of the Secret, or of the operator's settings. The rest may go away by itself.
    pub const fn takes_edit(self) -> bool {
        match self {
            Self::ClustersOff
            | Self::NoKubeconfig
            | Self::InvalidKubeconfig
            | Self::NotAllowed
            | Self::NoServiceAccount => true,
            Self::Unreachable | Self::Unauthorized | Self::Forbidden | Self::NotInstalled => false,
        }
    }
}

/// Why nothing can be told of the Rollouts of an Environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hidden {
    /// In CamelCase.
    pub reason: &'static str,
    /// For people.
    pub message: String,
    /// Whether it takes an edit.
    pub takes_edit: bool,
}

impl Seen {
    /// Whether the Environment is in this cluster, and was never in another.
    pub fn is_local(&self) -> bool {
        self.target.is_none() && self.left.is_none()
    }

    /// Whether its cluster has not answered yet, and has not failed to.
    pub fn is_unknown(&self) -> bool {
        let target = self.target.as_ref();
        target.is_some_and(|target| target.state == State::Unknown)
    }

    /// Why nothing can be told of the Rollouts of Environment `key`; nothing where it can.
    pub fn hidden(&self, key: &Key) -> Option<Hidden> {
        let target = self.target.as_ref()?;
        let place = &target.place;
        match &target.state {
            State::Unknown => Some(Hidden {
                reason: "Connecting",
                message: format!("asks {place} how its Rollouts are"),
                takes_edit: false,
            }),
            State::Away(trouble, text) => Some(Hidden {
                reason: trouble.as_str(),
                message: format!("waits for {place}: {text}"),
                takes_edit: trouble.takes_edit(),
            }),
            State::Known(Some(live)) if !live.is_of(key) => Some(Hidden {
                reason: "NameTaken",
                message: format!(
                    "there is an Environment {} in {place} already that does not mirror this one: rename or delete one of them, or \
                     name another namespace in spec.cluster",
                    key.name
                ),
                takes_edit: true,
            }),
            State::Known(_) => None,
        }
    }
}

impl Live {
    /// Whether it mirrors this Environment.
    pub fn is_of(&self, key: &Key) -> bool {
        self.of.as_ref() == Some(&label_of(key))
    }
}
