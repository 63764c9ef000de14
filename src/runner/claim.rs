//! The `claim` container of a stage that runs at most once: it lets the stage begin only where nobody has begun it.
//! Talks to the network.
//!
//! It ends well only after the operator has put on record that this process, and no other, may go on. Kubernetes may start
//! its container again (a node that comes back does that); then it is another process, and it is refused.

use std::io;

use super::call::Receiver;
use super::report::StageReport;
use super::say;
use super::task::ClaimTask;
use crate::pipeline_run::api::FailureKind;

/// What tells this process from any other.
const RANDOM: &str = "/proc/sys/kernel/random/uuid";
/// How often the receiver is called, each time with some patience: a new leader takes less than that.
const CALLS: u32 = 8;

/// Claims the attempt of the pod; the report and the container's exit code.
pub async fn run(task: &ClaimTask) -> (StageReport, u8) {
    match claim(task).await {
        Ok(()) => (StageReport::default(), 0),
        Err((kind, message)) => {
            say(&format!("slipway: {message}"));
            let report = StageReport {
                failure: Some(kind),
                message: Some(message),
                ..StageReport::default()
            };
            (report, 1)
        }
    }
}

async fn claim(task: &ClaimTask) -> Result<(), (FailureKind, String)> {
    let nonce = std::fs::read_to_string(RANDOM);
    let nonce = nonce.map_err(|error| infra(&error))?;
    let receiver = Receiver::new(&task.url, &task.token_file);
    let receiver = receiver.map_err(|error| infra(&error))?;
    let mut last = io::Error::other("not tried");
    for _ in 0..CALLS {
        match receiver.post("/v1/claim", nonce.trim().as_bytes()).await {
            Ok(answer) if answer.status == 200 => return Ok(()),
            // The operator may not have seen the pod yet.
            Ok(answer) if answer.status == 401 => last = io::Error::other(answer.text),
            Ok(answer) => return Err((FailureKind::Infra, answer.text)),
            Err(error) => last = error,
        }
    }
    Err(infra(&last))
}

fn infra(error: &io::Error) -> (FailureKind, String) {
    let message = format!(
        "this stage runs at most once, and the operator has not said that it may begin: {error}; it was not begun"
    );
    (FailureKind::Infra, message)
}
