//! Gives images their tags. Talks to the network.
//!
//! Its pod runs no code of people's. A tag is written only where it names something else: what is there already is
//! left alone.

use std::time::Duration;

use tokio::time::timeout;

use super::registry::{self, Trouble};
use super::report::StageReport;
use super::say;
use super::sign::finished;
use super::task::TagTask;
use crate::pipeline_run::api::FailureKind;

/// Writes tags; the report and the container's exit code.
pub async fn run(task: &TagTask) -> (StageReport, u8) {
    let limit = Duration::from_secs(task.timeout_seconds);
    let done = timeout(limit, tag_all(task)).await;
    let done = done.unwrap_or_else(|_| {
        let message = format!("it was stopped after {} s", task.timeout_seconds);
        Err(Trouble::new(FailureKind::Timeout, message))
    });
    finished(done.map(|message| (message, Vec::new())))
}

async fn tag_all(task: &TagTask) -> Result<String, Trouble> {
    let mut written = 0;
    for image in &task.images {
        let registry = registry::open(image)?;
        let manifest = registry::manifest_of(&registry, image).await?;
        for name in &task.names {
            let now = registry.manifest(name).await?;
            if now.is_some_and(|now| now.digest == manifest.digest) {
                continue;
            }
            let kind = &manifest.media_type;
            registry.put_manifest(name, kind, &manifest.bytes).await?;
            say(&format!(
                "slipway: {}:{name} is {}",
                image.repository, image.digest
            ));
            written += 1;
        }
    }
    if task.images.is_empty() {
        return Ok("nothing was pushed, so there is nothing to tag".to_owned());
    }
    let names = task.names.join(", ");
    Ok(match written {
        0 => format!("the images had the tags {names} already"),
        _ => format!("the images have the tags {names}"),
    })
}
