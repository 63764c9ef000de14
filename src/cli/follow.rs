//! Follows an object until it is as somebody waits for. Talks to the API server.

mod followed;

use std::fmt::Debug;
use std::time::Duration;

use kube::Resource;
use kube::core::NamespaceResourceScope;
use serde::de::DeserializeOwned;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::cluster::{Server, span};
pub use followed::Followed;

/// Time between two looks, where they are of several kinds, and between two tries.
pub const LOOK: Duration = Duration::from_secs(1);

/// How long it is waited.
#[derive(Debug, Default, clap::Args)]
pub struct Patience {
    /// Longest wait, such as 10m; by default as long as it takes. Exit code 5 says that it was too short.
    #[arg(long, value_name = "SPAN", value_parser = span)]
    pub timeout: Option<Duration>,
}

impl Patience {
    /// Waits for it; nothing, if it was not over in time.
    ///
    /// # Errors
    /// Those of what is waited for.
    pub async fn wait<T>(
        &self,
        work: impl Future<Output = Result<T, String>>,
    ) -> Result<Option<T>, String> {
        let Some(longest) = self.timeout else {
            return work.await.map(Some);
        };
        match timeout(longest, work).await {
            Ok(done) => done.map(Some),
            Err(_) => Ok(None),
        }
    }
}

/// Ticks at which to look, the first at once.
pub fn looks() -> tokio::time::Interval {
    let mut looks = interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    looks
}

/// Looks that may fail one after the other before nobody waits any more: for so long an API server may be away.
const LOST_LOOKS: u32 = 60;

/// Bears it that an API server is away for a while.
#[derive(Debug, Default)]
pub struct Losses(u32);

impl Losses {
    /// The answer to a look; nothing where it was lost, and the next one may do better. `may_pass` says so of an error.
    ///
    /// # Errors
    /// The error, if it is final, or one too many.
    pub fn bear<T>(
        &mut self,
        answer: Result<T, String>,
        may_pass: bool,
    ) -> Result<Option<T>, String> {
        match answer {
            Ok(answer) => {
                self.0 = 0;
                Ok(Some(answer))
            }
            Err(_) if may_pass && self.0 < LOST_LOOKS => {
                self.0 += 1;
                Ok(None)
            }
            Err(problem) => Err(problem),
        }
    }
}

/// Follows an object until `check` has found what it looks for.
///
/// # Errors
/// One clear sentence; also if the object is gone.
pub async fn until<K, T>(
    server: &Server,
    name: &str,
    mut check: impl FnMut(&K) -> Option<T>,
) -> Result<T, String>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    K: Clone + Debug + DeserializeOwned + Send + 'static,
{
    let mut followed = Followed::one(server, name);
    loop {
        followed.change().await?;
        if let Some(found) = followed.only(name)?.and_then(&mut check) {
            return Ok(found);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_passes_is_borne_for_a_while_and_what_is_final_is_not() {
        let lost = || Err::<(), _>("no answer".to_owned());
        let mut losses = Losses::default();
        for _ in 0..LOST_LOOKS {
            assert_eq!(losses.bear(lost(), true), Ok(None));
        }
        assert_eq!(losses.bear(Ok(()), false), Ok(Some(())));
        for _ in 0..LOST_LOOKS {
            assert_eq!(losses.bear(lost(), true), Ok(None));
        }
        assert!(losses.bear(lost(), true).is_err());
        assert!(Losses::default().bear(lost(), false).is_err());
    }
}
