//! The Job of a gate of an Environment. No I/O.

use std::time::Duration;

use super::{job_of, told};
use crate::check::api::CheckJob;
use crate::environment::observed::{Observed, Record};
use crate::model::key::{MAX_LABEL, short_hash, suffixed};
use crate::model::manifest::Manifest;

/// Name of the Job of a gate. It is none that a smoke test has.
pub fn gate_job_name(record: &Record, gate: &str) -> String {
    let mark = short_hash(format!("gate/{}", record.target.uid).as_bytes(), 5);
    suffixed(&format!("{}-{gate}", record.name()), &mark, MAX_LABEL)
}

/// The Job of a gate. It belongs to its Promotion, and is made again only when it is gone.
pub fn gate_job(
    seen: &Observed,
    record: &Record,
    (gate, job): (&str, &CheckJob),
    commit: Option<&str>,
    timeout: Duration,
) -> Manifest {
    let told = told(seen, record, commit);
    job_of(
        seen,
        record,
        gate_job_name(record, gate),
        (job, told, timeout),
    )
}
