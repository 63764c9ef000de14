//! Whose fault it is that a container cannot start, by the words of the node. Pure.
//!
//! What pulls an image says in words only why it could not, and which words those are differs between nodes and registries. So
//! what is known to take an edit is a verdict, and everything else about an image is not: another attempt may fare better, and
//! there are only so many. Of what is wrong with a container the node knows more, and there it is the other way round.

use super::super::api::FailureKind;
use super::super::observed::Trouble;
use super::{Ending, MAX_WORDS, ending, lost};
use crate::runner::report::clean;

/// What networks, registries and nodes say in a bad moment, in small letters.
const PASSING: &[&str] = &[
    "500 internal",
    "502 bad gateway",
    "503 service",
    "504 gateway",
    "429 too many",
    "toomanyrequests",
    "connection refused",
    "connection reset",
    "broken pipe",
    "i/o timeout",
    "tls handshake timeout",
    "deadline exceeded",
    "timeout exceeded",
    "timed out",
    "no such host",
    "server misbehaving",
    "temporary failure in name resolution",
    "no route to host",
    "is unreachable",
    ": eof",
    "unexpected eof",
    "failed to sync",
    "no space left on device",
    "is reserved for",
];
/// What is said of an image that takes an edit: of its name, its platform, the login or the certificate of its registry.
const WRONG_IMAGE: &[&str] = &[
    "not found",
    "no such image",
    "manifest unknown",
    "name unknown",
    "does not exist",
    "invalid reference",
    "no match for platform",
    "no matching manifest",
    "denied",
    "unauthorized",
    "forbidden",
    "authentication required",
    "authorization failed",
    "no basic auth credentials",
    "x509",
    "server gave http response to https client",
];

/// Of a pod with a container that cannot start.
pub(super) fn cannot_start(trouble: &Trouble) -> Ending {
    let (reason, words) = trouble.message.split_once(": ").unwrap_or_default();
    let is_pull = matches!(
        reason,
        "ErrImagePull" | "ImagePullBackOff" | "RegistryUnavailable"
    );
    let said = words.to_lowercase();
    let has = |signs: &[&str]| signs.iter().any(|sign| said.contains(sign));
    let is_passing = has(PASSING) || (is_pull && !has(WRONG_IMAGE));
    // Kubernetes 1.31 says why in the moment of the pull only, which may be over when it is looked.
    let is_bare = words.is_empty() || (words.starts_with("Back-off") && words.ends_with('"'));
    let more = if is_pull && is_bare {
        "; the node does not say why: see the Events of the pod"
    } else {
        ""
    };
    let message = format!(
        "container {} cannot start: {}{more}",
        trouble.container,
        clean(&trouble.message, MAX_WORDS)
    );
    if is_passing {
        lost(FailureKind::Infra, message)
    } else {
        ending(FailureKind::Config, message)
    }
}
