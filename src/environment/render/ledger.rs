//! The pages of what counts of an Environment's promotions. No I/O.

use serde_json::json;

use super::super::api::DeletionPolicy;
use super::super::observed::Observed;
use crate::dora::record::{self, Line};
use crate::model::key::{Key, MAX_LABEL, suffixed};
use crate::model::label;
use crate::model::manifest::Manifest;
use crate::model::object::ObjectKind;

/// Value of the component label on pages.
pub const LEDGER: &str = "ledger";

/// A page with these lines, which is told apart by what is on it: making it twice is making it once. It stays as long as the
/// Promotions do: where they outlive the Environment it has no owner either.
pub fn ledger(seen: &Observed, lines: &[Line]) -> Manifest {
    let mark = format!("ledger-{}", record::mark(lines));
    let name = suffixed(&seen.key.name, &mark, MAX_LABEL);
    let labels = [
        (label::COMPONENT, LEDGER),
        (label::ENVIRONMENT, seen.key.name.as_str()),
    ];
    let owner = match seen.spec.deletion_policy() {
        DeletionPolicy::Retain => None,
        DeletionPolicy::Delete => Some(&seen.owner),
    };
    // Which came when does not matter.
    let rest = json!({"data": {"lines": lines}, "revision": 1});
    let key = Key::new(seen.key.namespace.clone(), name);
    Manifest::new(ObjectKind::ControllerRevision, key, &labels, owner, rest)
}
