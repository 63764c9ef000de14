//! Gives images their tags. Talks to the network.
//!
//! Its pod runs no code of people's. A tag is written only where it names something else: what is there already is
//! left alone. Tags that move from version to version never move back.

use semver::Version;

use super::registry::{self, Trouble};
use super::report::StageReport;
use super::say;
use super::task::{Moving, TagTask, Versioned};

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
    let mut names = task.names.clone();
    for image in &task.images {
        let registry = registry::open(image)?;
        let manifest = registry::manifest_of(&registry, image).await?;
        let moving = match &task.versioned {
            Some(versioned) => to_move(versioned, &registry.tags().await?),
            None => Vec::new(),
        };
        for name in task.names.iter().chain(&moving) {
            if !names.contains(name) {
                names.push(name.clone());
            }
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
    let names = names.join(", ");
    Ok(match written {
        0 => format!("the images had the tags {names} already"),
        _ => format!("the images have the tags {names}"),
    })
}

/// Tags that move to this version: those that no newer one has, as far as the tags of whole versions tell. Versions that are
/// not ready (`2.0.0-rc.1`) keep nothing back.
fn to_move(versioned: &Versioned, known: &[String]) -> Vec<String> {
    let Ok(own) = Version::parse(&versioned.version) else {
        return Vec::new();
    };
    let numbers = |version: &Version| [version.major, version.minor];
    let is_newer = |moving: &Moving, tag: &String| {
        let rest = tag.strip_prefix(&moving.before);
        let rest = rest.and_then(|rest| rest.strip_suffix(&moving.after));
        let other = rest.and_then(|rest| Version::parse(rest).ok());
        other.is_some_and(|other| {
            let is_same = |depth| numbers(&other).get(..depth) == numbers(&own).get(..depth);
            other.pre.is_empty() && is_same(moving.depth) && other > own
        })
    };
    let mut moves = Vec::new();
    for moving in &versioned.names {
        match known.iter().find(|tag| is_newer(moving, tag)) {
            Some(newer) => say(&format!(
                "slipway: {} stays where it is: there is {newer}",
                moving.name
            )),
            None => moves.push(moving.name.clone()),
        }
    }
    moves
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moved(version: &str, known: &[&str]) -> Vec<String> {
        let moving = |name: &str, depth| Moving {
            name: name.into(),
            before: String::new(),
            after: String::new(),
            depth,
        };
        let versioned = Versioned {
            version: version.into(),
            names: vec![moving("1.2", 2), moving("1", 1), moving("latest", 0)],
        };
        let known: Vec<String> = known.iter().map(|tag| (*tag).to_owned()).collect();
        to_move(&versioned, &known)
    }

    #[test]
    fn tags_move_on_and_never_back() {
        let all = ["1.2", "1", "latest"];
        assert_eq!(moved("1.2.3", &[]), all);
        assert_eq!(
            moved("1.2.3", &["1.2.2", "1.2.3", "main", "0.9.0", "1.2"]),
            all
        );
        assert_eq!(moved("1.2.3", &["1.2.10"]), [""; 0]);
        assert_eq!(moved("1.2.3", &["1.10.0"]), ["1.2"]);
        assert_eq!(moved("1.2.3", &["2.0.0"]), ["1.2", "1"]);
        assert_eq!(moved("1.2.3", &["2.0.0-rc.1", "sha256-abc"]), all);
    }
}
