//! The `claim` container of a stage that runs at most once: it lets the stage begin only where nobody has begun it.
//! Talks to the network.
//!
//! It ends well only after the operator has put on record that this process, and no other, may go on. Kubernetes may start
//! its container again (a node that comes back does that); then it is another process, and it is refused.

use std::io;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use super::call::Receiver;
use super::report::StageReport;
use super::say;
use super::task::ClaimTask;
use crate::pipeline_run::api::FailureKind;

/// What tells this process from any other.
const RANDOM: &str = "/proc/sys/kernel/random/uuid";
/// How often the receiver is called, each time with some patience: a new leader takes less than that.
const CALLS: u32 = 8;
/// Time between two calls. A pod that is not known is not known a moment later either.
const PAUSE: Duration = Duration::from_secs(5);
/// How long a receiver is asked at least that does not know the pod.
pub const ASKS_FOR: Duration = PAUSE.saturating_mul(CALLS - 1);

/// Claims the attempt of the pod; the report and the container's exit code.
pub async fn run(task: &ClaimTask) -> (StageReport, u8) {
    match claim(task, PAUSE).await {
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

async fn claim(task: &ClaimTask, pause: Duration) -> Result<(), (FailureKind, String)> {
    let nonce = std::fs::read_to_string(RANDOM);
    let nonce = nonce.map_err(|error| infra(&error))?;
    let receiver = Receiver::new(&task.url, &task.token_file);
    let receiver = receiver.map_err(|error| infra(&error))?;
    let mut last = io::Error::other("not tried");
    let mut tick = interval(pause);
    // A call that took long is not made up for.
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for _ in 0..CALLS {
        tick.tick().await;
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

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};
    use std::time::Instant;

    use axum::Router;
    use axum::http::StatusCode;
    use axum::routing::post;
    use tokio::net::TcpListener;

    use super::*;
    use crate::runner::tests::Folder;

    const SHORT: Duration = Duration::from_millis(40);

    /// Claims from a receiver that does not know the pod so often: how that ends, and when it was called.
    async fn claimed(name: &str, refusals: usize) -> (bool, Vec<Instant>) {
        let calls: Arc<Mutex<Vec<Instant>>> = Arc::default();
        let seen = Arc::clone(&calls);
        let answer = async move || {
            let mut seen = seen.lock().unwrap();
            seen.push(Instant::now());
            if seen.len() > refusals {
                StatusCode::OK
            } else {
                StatusCode::UNAUTHORIZED
            }
        };
        let app = Router::new().route("/v1/claim", post(answer));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, app).await });
        let folder = Folder::new(name);
        let token_file = folder.0.join("token");
        std::fs::write(&token_file, "a token\n").unwrap();
        let is_claimed = claim(&ClaimTask { url, token_file }, SHORT).await.is_ok();
        let calls = calls.lock().unwrap().clone();
        (is_claimed, calls)
    }

    #[tokio::test]
    async fn a_receiver_that_does_not_know_the_pod_yet_is_asked_again_after_a_while() {
        let (is_claimed, calls) = claimed("claim-late", 6).await;
        assert!(is_claimed);
        assert_eq!(calls.len(), 7);
        for pair in calls.windows(2) {
            assert!(pair[1] - pair[0] >= SHORT / 2, "{:?}", pair[1] - pair[0]);
        }
        let (is_claimed, calls) = claimed("claim-never", usize::MAX).await;
        assert!(!is_claimed, "nothing is begun that nobody has allowed");
        assert_eq!(calls.len(), 8);
    }
}
