//! The audit list of a Promotion: each entry is chained to the one before by its hash. No I/O.
//!
//! Whoever changes, drops or reorders an entry has to compute all later hashes again, and the last one
//! has been told elsewhere (log, Event) by then.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::{Value, json};

use super::api::{AuditEntry, PromotionStatus};
use crate::model::key::short_hash;
use crate::model::plan::Why;
use crate::model::text::truncate;

/// Entries that are kept; beyond it the oldest go, and the chain starts with a hash that is not there.
const CAP: usize = 64;
/// Longest text of an entry, in bytes.
const MAX_TEXT: usize = 256;
/// Digits of a SHA-256 in hex.
const DIGITS: usize = 64;

/// Adds an entry at the end.
pub fn append(log: &mut Vec<AuditEntry>, at: Timestamp, actor: &str, event: &str) {
    let last = log.last();
    let mut entry = AuditEntry {
        seq: last.map_or(1, |last| last.seq.saturating_add(1)),
        at: Time(at),
        actor: truncate(actor, MAX_TEXT).to_owned(),
        event: truncate(event, MAX_TEXT).to_owned(),
        prev_hash: last.map(|last| last.hash.clone()).unwrap_or_default(),
        hash: String::new(),
    };
    entry.hash = hash(&entry);
    log.push(entry);
    if log.len() > CAP {
        log.drain(..log.len() - CAP);
    }
}

/// Whether an event is on the list.
pub fn has(log: &[AuditEntry], event: &str) -> bool {
    let event = truncate(event, MAX_TEXT);
    log.iter().any(|entry| entry.event == event)
}

/// What is told elsewhere of the head of a list, where a status has another one than before, and whether it is the last one.
pub fn told(before: &PromotionStatus, status: &Value) -> Option<(Why, bool)> {
    let last = status.get("audit")?.as_array()?.last()?;
    let (seq, hash) = (last.get("seq")?.as_u64()?, last.get("hash")?.as_str()?);
    if before.audit.last().is_some_and(|known| known.hash == hash) {
        return None;
    }
    let is_over = status.get("finishedAt").is_some();
    let text = format!("audit entry {seq} has the hash {hash}");
    Some((Why::normal("Audited", text), is_over))
}

/// Checks the chain.
///
/// # Errors
/// The number of the first entry that does not fit.
pub fn verify(log: &[AuditEntry]) -> Result<(), u32> {
    let mut before: Option<&AuditEntry> = None;
    for entry in log {
        let follows = match before {
            Some(before) => entry.seq == before.seq + 1 && entry.prev_hash == before.hash,
            // Entries go from the beginning only to make room for new ones.
            None => {
                (entry.seq == 1) == entry.prev_hash.is_empty()
                    && (entry.seq == 1 || log.len() == CAP)
            }
        };
        if !follows || entry.hash != hash(entry) {
            return Err(entry.seq);
        }
        before = Some(entry);
    }
    Ok(())
}

/// The hash of everything in an entry but its own hash. Times count in whole seconds, as the API stores them.
fn hash(entry: &AuditEntry) -> String {
    let AuditEntry {
        seq,
        at,
        actor,
        event,
        prev_hash,
        hash: _,
    } = entry;
    let content = json!([prev_hash, seq, at.0.as_second(), actor, event]);
    short_hash(content.to_string().as_bytes(), DIGITS)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn log(events: &[String]) -> Vec<AuditEntry> {
        let mut log = Vec::new();
        for (second, event) in (0_i64..).zip(events) {
            let at = Timestamp::from_second(second).unwrap();
            append(&mut log, at, "slipway", event);
        }
        log
    }

    #[test]
    fn a_new_head_is_told_and_the_last_one_for_good() {
        let mut before = PromotionStatus::default();
        let mut status = PromotionStatus {
            audit: log(&["asked for".to_owned()]),
            ..PromotionStatus::default()
        };
        let read = |status: &PromotionStatus| serde_json::to_value(status).unwrap();
        let (why, is_last) = told(&before, &read(&status)).unwrap();
        let hash = &status.audit[0].hash;
        assert_eq!(why.message, format!("audit entry 1 has the hash {hash}"));
        assert!(!is_last);
        before = status.clone();
        assert_eq!(told(&before, &read(&status)), None);
        status.finished_at = Some(Time(Timestamp::UNIX_EPOCH));
        assert_eq!(told(&before, &read(&status)), None, "nothing new was said");
        append(&mut status.audit, Timestamp::UNIX_EPOCH, "slipway", "over");
        assert!(told(&before, &read(&status)).unwrap().1);
    }

    fn events() -> impl Strategy<Value = Vec<String>> {
        proptest::collection::vec(".{0,300}", 1..80)
    }

    proptest! {
        #[test]
        fn a_list_verifies_after_it_was_stored(events in events()) {
            let log = log(&events);
            prop_assert!(log.len() <= CAP);
            let stored = serde_json::to_string(&log).unwrap();
            let read: Vec<AuditEntry> = serde_json::from_str(&stored).unwrap();
            prop_assert_eq!(verify(&read), Ok(()));
        }

        #[test]
        fn a_changed_entry_is_found(events in events(), index: prop::sample::Index, field in 0..5_u8) {
            let mut log = log(&events);
            let index = index.index(log.len());
            let entry = &mut log[index];
            match field {
                0 => entry.event.push('x'),
                1 => entry.actor.push('x'),
                2 => entry.at = Time(entry.at.0 + jiff::SignedDuration::from_secs(1)),
                3 => entry.seq += 1,
                _ => entry.hash = "0".repeat(DIGITS),
            }
            prop_assert!(verify(&log).is_err());
        }

        #[test]
        fn a_dropped_entry_is_found(events in proptest::collection::vec(".{0,20}", 3..60), index: prop::sample::Index) {
            let mut log = log(&events);
            // Without its last entry a list is a shorter list; the head of the chain is told elsewhere.
            log.remove(index.index(log.len() - 1));
            prop_assert!(verify(&log).is_err());
        }
    }
}
