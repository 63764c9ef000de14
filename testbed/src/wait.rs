//! Waiting for a condition, with a deadline. The only place that sleeps.

use std::future::Future;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// How often a condition is looked at.
const PERIOD: Duration = Duration::from_millis(50);

/// Polls `condition` until it gives a value.
///
/// `Ok(None)` and errors mean "not yet"; when `within` has passed, the last error is the reason reported.
pub async fn until<T, C, F>(what: &str, within: Duration, mut condition: C) -> Result<T>
where
    C: FnMut() -> F,
    F: Future<Output = Result<Option<T>>>,
{
    let deadline = Instant::now() + within;
    loop {
        let seen = condition().await;
        match seen {
            Ok(Some(value)) => return Ok(value),
            Ok(None) if Instant::now() >= deadline => {
                bail!("{what}: not so after {}", human(within));
            }
            Err(error) if Instant::now() >= deadline => {
                return Err(error.context(format!("{what}: not so after {}", human(within))));
            }
            Ok(None) | Err(_) => pause().await,
        }
    }
}

/// The same for callers without a runtime: destructors.
pub(crate) fn until_blocking(within: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + within;
    while !condition() {
        if Instant::now() >= deadline {
            return false;
        }
        #[expect(
            clippy::disallowed_methods,
            reason = "the pause between two looks at a condition"
        )]
        std::thread::sleep(Duration::from_millis(10));
    }
    true
}

#[expect(
    clippy::disallowed_methods,
    reason = "the pause between two looks at a condition"
)]
async fn pause() {
    tokio::time::sleep(PERIOD).await;
}

/// `2m05s`, `8.3s`.
pub(crate) fn human(time: Duration) -> String {
    if time.as_secs() >= 60 {
        return format!("{}m{:02}s", time.as_secs() / 60, time.as_secs() % 60);
    }
    format!("{:.1}s", time.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_last_error_is_the_reason_given() {
        let failed: Result<()> = until("the door opens", Duration::ZERO, || async {
            bail!("it is locked")
        })
        .await;

        let message = format!("{:#}", failed.unwrap_err());
        assert_eq!(message, "the door opens: not so after 0.0s: it is locked");
    }

    #[test]
    fn times_read_like_times() {
        assert_eq!(human(Duration::from_millis(8_340)), "8.3s");
        assert_eq!(human(Duration::from_secs(125)), "2m05s");
    }
}
