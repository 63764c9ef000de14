//! Looks at an object again and again, until it is as somebody waits for. Talks to the API server.

use std::fmt::Debug;
use std::time::Duration;

use kube::Resource;
use kube::core::NamespaceResourceScope;
use serde::de::DeserializeOwned;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::cluster::{Server, span};

/// Time between two looks.
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

/// Looks at an object until `check` has found what it looks for.
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
    K: Clone + Debug + DeserializeOwned,
{
    let mut looks = looks();
    loop {
        looks.tick().await;
        if let Some(found) = check(&server.get(name).await?) {
            return Ok(found);
        }
    }
}
