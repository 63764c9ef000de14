//! What runs in an Environment beside what a Release would bring. No I/O.

use std::collections::BTreeSet;

use kube::ResourceExt;
use serde::Serialize;

use crate::cli::run::table::short;
use crate::cli::text::{Cell, Palette, Table, Tone};
use crate::environment::api::Environment;
use crate::pipeline_run::api::Commit;
use crate::release::api::{ImageRef, Release};

/// Releases that are gone back through to the one that runs.
const FAR: usize = 100;
/// What stands where there is nothing.
const NOTHING: &str = "–";

/// What would change.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Difference {
    /// Name of the Environment.
    pub environment: String,
    /// The Release that runs; absent where none of this Pipeline does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The Release that would come.
    pub to: String,
    /// Version of what runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from_version: Option<String>,
    /// Version of what would come.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to_version: Option<String>,
    /// Its images, and those that run.
    pub images: Vec<ImageLine>,
    /// Releases between both, that which would come included, newest first; absent where what runs is not among those before it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub releases: Option<Vec<String>>,
    /// Commits of these Releases, newest first.
    pub commits: Vec<Commit>,
}

/// One image.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ImageLine {
    /// Its name.
    pub name: String,
    /// What runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// What would run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
}

/// Compares what runs with a Release, of all that are known.
pub fn difference(environment: &Environment, to: &Release, known: &[Release]) -> Difference {
    let status = environment.status.clone().unwrap_or_default();
    let mut current = status.current.into_iter();
    let runs = current.find(|one| one.pipeline == to.spec.pipeline);
    let from = runs.as_ref().map(|runs| runs.release.clone());
    let named = |name: &str| known.iter().find(|one| one.name_any() == name);
    let from_version = from.as_deref().and_then(named);
    let from_version = from_version.and_then(|one| one.spec.version.clone());
    let way = way(to, from.as_deref(), known);
    let new = way.clone().unwrap_or_else(|| vec![to]);
    let commits = new.iter().flat_map(|one| one.spec.changes.iter().cloned());
    Difference {
        environment: environment.name_any(),
        to: to.name_any(),
        from_version,
        to_version: to.spec.version.clone(),
        images: images(runs.as_ref().map_or(&[], |runs| &runs.images), to),
        commits: if from.as_deref() == Some(to.name_any().as_str()) {
            Vec::new()
        } else {
            commits.collect()
        },
        releases: way.map(|way| way.iter().map(|one| one.name_any()).collect()),
        from,
    }
}

/// The Releases from one back to what runs, without that; nothing where they do not lead there.
fn way<'a>(to: &'a Release, from: Option<&str>, known: &'a [Release]) -> Option<Vec<&'a Release>> {
    let mut way = Vec::new();
    let mut next = Some(to);
    while let Some(release) = next.filter(|_| way.len() < FAR) {
        if from == Some(release.name_any().as_str()) {
            return Some(way);
        }
        way.push(release);
        let previous = release.spec.previous.as_ref();
        next = previous.and_then(|name| known.iter().find(|one| one.name_any() == *name));
    }
    // All there are come, where nothing runs yet.
    from.is_none().then_some(way)
}

fn images(run: &[ImageRef], to: &Release) -> Vec<ImageLine> {
    let come: Vec<ImageRef> = to.spec.images.iter().map(ImageRef::from).collect();
    let names = run.iter().chain(&come).map(|image| image.name.clone());
    let names: BTreeSet<String> = names.collect();
    let of = |all: &[ImageRef], name: &str| {
        let found = all.iter().find(|image| image.name == name);
        found.map(|image| image.reference.clone())
    };
    let line = |name: String| ImageLine {
        from: of(run, &name),
        to: of(&come, &name),
        name,
    };
    names.into_iter().map(line).collect()
}

/// For people.
pub fn page(of: &Difference, palette: Palette) -> String {
    let name = |release: &str, version: &Option<String>| match version {
        Some(version) => format!("{release} ({version})"),
        None => release.to_owned(),
    };
    let from = of.from.as_ref().map(|from| name(from, &of.from_version));
    let heading = format!(
        "Environment {}: from {} to {}\n",
        palette.paint(Tone::Strong, &of.environment),
        from.as_deref().unwrap_or("nothing"),
        name(&of.to, &of.to_version)
    );
    let mut table = Table::new(&["IMAGE", "CHANGE", "RUNS", "WOULD RUN"], &[]);
    table.rows(of.images.iter().map(|image| {
        let (tone, change) = match (&image.from, &image.to) {
            (Some(from), Some(to)) if from == to => (Tone::Faint, "same"),
            (Some(_), Some(_)) => (Tone::Warn, "changed"),
            (None, _) => (Tone::Good, "new"),
            (Some(_), None) => (Tone::Bad, "gone"),
        };
        let side = |side: &Option<String>| brief(side.as_deref().unwrap_or(NOTHING));
        [
            image.name.as_str().into(),
            Cell::new(tone, change),
            side(&image.from).into(),
            side(&image.to).into(),
        ]
    }));
    let mut text = format!("{heading}\n{}", table.text(palette));
    if of.releases.is_none() {
        text.push_str(
            "\nWhat runs is not among the Releases before it: this goes back, or aside.\n",
        );
    }
    if !of.commits.is_empty() {
        let mut table = Table::new(&["COMMIT", "AUTHOR", "SUBJECT"], &[]);
        table.rows(of.commits.iter().map(|commit| {
            [
                short(&commit.sha).into(),
                commit.author.as_str().into(),
                commit.subject.as_str().into(),
            ]
        }));
        text.push('\n');
        text.push_str(&table.text(palette));
    }
    text
}

/// An image with the first digits of its digest.
fn brief(image: &str) -> String {
    match image.split_once("@sha256:") {
        Some((name, digest)) => format!("{name}@{}…", short(digest)),
        None => image.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn release(number: u8) -> Release {
        let digit = number.to_string();
        let commit = json!({"sha": digit.repeat(40), "author": "Alice", "email": "a@example.com",
                            "committedAt": "2026-11-26T09:00:00Z", "subject": format!("feat: number {number}")});
        let image = |name: &str, digit: &str| json!({"name": name, "repository": format!("r.example/{name}"), "digest": format!("sha256:{}", digit.repeat(64))});
        let release = json!({
            "apiVersion": "slipway.dev/v1alpha1", "kind": "Release", "metadata": {"name": format!("shop-{number}")},
            "spec": {
                "pipeline": "shop", "version": format!("1.{number}.0"), "commit": commit, "changes": [commit],
                "ref": "refs/heads/main", "previous": (number > 1).then(|| format!("shop-{}", number - 1)),
                "images": [image("api", &digit), image("web", "7")], "evidence": {"run": "shop-7"},
            },
        });
        serde_json::from_value(release).unwrap()
    }

    fn environment(runs: Option<u8>) -> Environment {
        let image = |name: &str, digit: &str| json!({"name": name, "ref": format!("r.example/{name}@sha256:{}", digit.repeat(64))});
        let current = runs.map(|number| {
            json!({"pipeline": "shop", "release": format!("shop-{number}"), "promotion": "production-1", "since": "2026-11-26T10:01:00Z",
                   "images": [image("api", &number.to_string()), image("web", "7"), image("old", "8")]})
        });
        let environment = json!({
            "apiVersion": "slipway.dev/v1alpha1", "kind": "Environment", "metadata": {"name": "production"},
            "spec": {"tier": "Production", "promotion": {"from": {"pipelines": ["shop"]}}},
            "status": {"current": current.into_iter().collect::<Vec<_>>()},
        });
        serde_json::from_value(environment).unwrap()
    }

    #[test]
    fn images_and_commits_since_what_runs_are_shown() {
        let all = [release(1), release(2), release(3)];
        let found = difference(&environment(Some(1)), &all[2], &all);
        insta::assert_snapshot!(page(&found, Palette::new(false)));
    }

    #[test]
    fn the_same_release_changes_nothing_and_an_earlier_one_goes_back() {
        let all = [release(1), release(2), release(3)];
        let same = difference(&environment(Some(3)), &all[2], &all);
        assert_eq!((same.commits.len(), same.releases), (0, Some(vec![])));
        let back = difference(&environment(Some(3)), &all[0], &all);
        assert_eq!(back.releases, None);
        let first = difference(&environment(None), &all[1], &all);
        assert_eq!((first.from, first.commits.len()), (None, 2));
    }
}
