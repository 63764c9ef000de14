//! The whole status of a Promotion, made complete. Its Environment writes it. No I/O.

use jiff::Timestamp;

use super::api::{PromotionPhase, PromotionStatus};
use crate::model::condition::Conditions;
use crate::model::text::truncate;

/// Longest message, in bytes.
const MAX_MESSAGE: usize = 1000;

/// Fills in what follows from phase, reason and message.
pub fn complete(mut status: PromotionStatus, generation: i64, now: Timestamp) -> PromotionStatus {
    let phase = status.phase.unwrap_or_default();
    let message = status.message.take().unwrap_or_default();
    let message = truncate(&message, MAX_MESSAGE).to_owned();
    let reason = status
        .reason
        .get_or_insert_with(|| phase.as_str().to_owned());
    let is_moving = matches!(
        phase,
        PromotionPhase::Migrating | PromotionPhase::Promoting | PromotionPhase::Verifying
    );
    let has_failed = matches!(phase, PromotionPhase::Failed | PromotionPhase::RolledBack);
    let has_succeeded = phase == PromotionPhase::Succeeded;
    // Waiting for people or for a newer Release is no failure, and no movement.
    let conditions = Conditions::new(&status.conditions, generation, now)
        .set("Ready", !is_moving && !has_failed, reason, &message)
        .set_if("Reconciling", is_moving, reason, &message)
        .set_if("Stalled", has_failed, reason, &message)
        .set_if("Succeeded", has_succeeded, reason, &message)
        .set_if("Failed", has_failed, reason, &message)
        .build();
    status.conditions = conditions;
    status.observed_generation = Some(generation);
    status.message = Some(message);
    status
}
