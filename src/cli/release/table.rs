//! Releases as tables for people. No I/O.

use jiff::Timestamp;
use kube::ResourceExt;

use crate::cli::run::table::{gates, short};
use crate::cli::text::{self, Cell, Palette, Table, Tone};
use crate::release::api::{Release, ReleaseKind};

/// One line per Release.
pub fn list(releases: &[Release], now: Timestamp, is_wide: bool) -> Table {
    let headings = ["NAME", "PIPELINE", "VERSION", "COMMIT", "AGE", "SUBJECT"];
    let mut table = Table::new(&headings, &[]);
    for release in releases {
        let spec = &release.spec;
        let version = spec.version.as_deref();
        table.row([
            release.name_any().into(),
            spec.pipeline.as_str().into(),
            version.map_or_else(|| Cell::new(Tone::Faint, "–"), Cell::from),
            short(&spec.commit.sha).into(),
            age(release, now).into(),
            spec.commit.subject.as_str().into(),
        ]);
    }
    if is_wide {
        let headings = ["KIND", "REF", "AUTHOR", "RUN", "IMAGES"].map(Cell::heading);
        table.behind(std::iter::once(headings).chain(releases.iter().map(more)));
    }
    table
}

/// What else there is to say of a Release.
fn more(release: &Release) -> [Cell; 5] {
    let spec = &release.spec;
    let images: Vec<&str> = spec
        .images
        .iter()
        .map(|image| image.name.as_str())
        .collect();
    [
        spec.kind.as_str().into(),
        spec.git_ref.as_str().into(),
        spec.commit.author.as_str().into(),
        spec.evidence.run.as_str().into(),
        images.join(", ").into(),
    ]
}

/// A Release with what is in it, and the evidence for it.
pub fn show(release: &Release, now: Timestamp, palette: Palette) -> String {
    let spec = &release.spec;
    let name = palette.paint(Tone::Strong, &release.name_any());
    let mut text = format!("Release {name}\n");
    text.push_str(&facts(release, now).text(palette));
    let mut made = Table::new(&["MADE", "WHERE", "DIGEST", "VERSION"], &[]);
    made.rows(spec.images.iter().map(|image| {
        [
            image.name.as_str().into(),
            image.repository.as_str().into(),
            image.digest.as_str().into(),
            Cell::from(""),
        ]
    }));
    made.rows(spec.packages.iter().map(|package| {
        [
            package.name.as_str().into(),
            package.repository.as_str().into(),
            package.digest.as_str().into(),
            package.version.clone().unwrap_or_default().into(),
        ]
    }));
    text.push('\n');
    text.push_str(&made.text(palette));
    if !spec.evidence.gates.is_empty() {
        text.push('\n');
        text.push_str(&gates(&spec.evidence.gates).text(palette));
    }
    if let Some(notes) = &spec.changelog {
        text.push('\n');
        text.push_str(notes);
    }
    text
}

fn age(release: &Release, now: Timestamp) -> String {
    let created = release.creation_timestamp();
    text::age(created.as_ref(), now)
}

fn facts(release: &Release, now: Timestamp) -> Table {
    let spec = &release.spec;
    let kind = (spec.kind != ReleaseKind::Normal).then(|| spec.kind.as_str().to_owned());
    let tests = spec.evidence.tests;
    let tests = tests.map(|tests| format!("{} of {} passed", tests.passed, tests.total));
    let differs = spec.difference.as_ref().map(|difference| {
        let lines = difference.lines;
        match &difference.files {
            Some(files) => format!("{lines} lines in {} files", files.len()),
            None => format!("{lines} lines in many files"),
        }
    });
    let mut facts = Table::new(&["", ""], &[]);
    for (name, value) in [
        ("pipeline", Some(spec.pipeline.clone())),
        ("version", spec.version.clone()),
        ("kind", kind),
        ("ref", Some(spec.git_ref.clone())),
        ("commit", Some(spec.commit.sha.clone())),
        ("author", Some(spec.commit.author.clone())),
        ("subject", Some(spec.commit.subject.clone())),
        ("previous", spec.previous.clone()),
        ("differs", differs),
        ("age", Some(age(release, now))),
        ("run", Some(spec.evidence.run.clone())),
        ("tests", tests),
    ] {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            facts.row([Cell::new(Tone::Faint, name), value.into()]);
        }
    }
    facts
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn a_release() -> Release {
        let commit = json!({"sha": "a".repeat(40), "author": "Alice", "email": "a@example.com",
                            "committedAt": "2026-11-26T09:00:00Z", "subject": "feat: pay later"});
        let release = json!({
            "apiVersion": "slipway.dev/v1alpha1", "kind": "Release",
            "metadata": {"name": "shop-3f9c2e1b0d", "creationTimestamp": "2026-11-26T10:00:00Z"},
            "spec": {
                "pipeline": "shop", "version": "1.3.0", "commit": commit, "ref": "refs/heads/main", "previous": "shop-0a0a",
                "difference": {"lines": 412, "files": ["src/cart.py", "src/pay.py"]},
                "images": [{"name": "api", "repository": "registry.example/shop/api", "digest": format!("sha256:{}", "9".repeat(64))}],
                "changelog": "### Features\n\n- pay later (aaaaaaa)\n",
                "evidence": {
                    "run": "shop-7", "gates": [{"name": "tests", "result": "Passed", "measured": "0 failed"}],
                    "tests": {"total": 12, "passed": 11, "failed": 0, "skipped": 1},
                },
            },
        });
        serde_json::from_value(release).unwrap()
    }

    fn now() -> Timestamp {
        "2026-11-28T12:00:00Z".parse().unwrap()
    }

    #[test]
    fn a_release_with_all_that_is_known() {
        insta::assert_snapshot!(show(&a_release(), now(), Palette::new(false)));
    }

    #[test]
    fn all_releases() {
        let mut without = a_release();
        without.spec.version = None;
        let all = [a_release(), without];
        let text = |is_wide| list(&all, now(), is_wide).text(Palette::new(false));
        insta::assert_snapshot!(text(false));
        insta::assert_snapshot!("all_releases_wide", text(true));
    }
}
