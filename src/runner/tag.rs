//! Gives images their tags. Talks to the network.
//!
//! Its pod runs no code of people's. A tag is written only where it names something else: what is there already is
//! left alone.

use super::registry::{self, Trouble};
use super::report::StageReport;
use super::say;
use super::task::TagTask;

/// Writes tags; the report and the container's exit code.
pub async fn run(task: &TagTask) -> (StageReport, u8) {
    let done = registry::within(task.timeout_seconds, tag_all(task)).await;
    registry::finished(done.map(|message| StageReport {
        message: Some(message),
        ..StageReport::default()
    }))
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
