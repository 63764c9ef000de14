//! Trying again what is in trouble that passes.

use std::time::Duration;

/// Does something, and again after each of the pauses for as long as it fails with what may pass: `is_passing` says so of an
/// error, and is told the number of the try (from 1) and the pause that would follow.
///
/// # Errors
/// The first that does not pass, or that of the last try.
pub async fn tried<T, E, F: Future<Output = Result<T, E>>>(
    pauses: &[Duration],
    is_passing: impl Fn(&E, usize, Duration) -> bool,
    once: impl Fn() -> F,
) -> Result<T, E> {
    for (number, pause) in (1..).zip(pauses) {
        match once().await {
            Err(error) if is_passing(&error, number, *pause) => {}
            result => return result,
        }
        #[expect(
            clippy::disallowed_methods,
            reason = "a server that is down tells nobody when it is back"
        )]
        tokio::time::sleep(*pause).await;
    }
    once().await
}
