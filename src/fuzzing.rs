//! What fuzzers drive: everything that reads what code of other people's wrote, or what servers say. No I/O.
//!
//! Each function takes any bytes, and fails when what must hold does not. `fuzz/` has a target for each; a short run with
//! the same functions is part of the tests.

use crate::environment::api::{CopyKind, RenderedManifests};
use crate::environment::preview::rendered;
use crate::git::object::{self, ObjectType};
use crate::git::{changes, refs};
use crate::model::action::Reply;
use crate::pipeline::api::{PipelineSpec, ProblemMatcher, ReportFormat};
use crate::pipeline::definition;
use crate::pipeline::trigger::event::{self, Provider, Told};
use crate::pipeline::trigger::{Verdict, judge};
use crate::pipeline_run::api::ReportSummary;
use crate::report::changed::{self, Changed};
use crate::report::problem::Problems;
use crate::report::{Collected, bounds};
use crate::runner::report::{LIMIT, SourceReport, StageReport};

/// A report: the first byte chooses its format.
///
/// # Panics
/// If what must hold does not.
pub fn report(data: &[u8]) {
    let Some((first, bytes)) = data.split_first() else {
        return;
    };
    let at = usize::from(*first) % ReportFormat::ALL.len();
    let Some(format) = ReportFormat::ALL.get(at) else {
        return;
    };
    let mut collected = Collected {
        changed: Some(Changed::new(changed::read(bytes), "/workspace/source")),
        ..Collected::default()
    };
    let before = collected.clone();
    if collected.add(*format, "fuzz", bytes).is_err() {
        assert_eq!(collected, before, "what cannot be read adds nothing");
        return;
    }
    is_bounded(&collected.summary);
    let twice = collected.summary.clone();
    if collected.summary.merge(twice).is_ok() {
        is_bounded(&collected.summary);
    }
    let (tests, failed, flaky) = match collected.tests {
        Some(tests) => (Some(tests.counts), tests.failed, tests.flaky),
        None => (None, Vec::new(), Vec::new()),
    };
    let report = StageReport {
        tests,
        failed_tests: failed,
        flaky_tests: flaky,
        reports: Some(collected.summary),
        ..StageReport::default()
    };
    for limit in [LIMIT, 1024] {
        let text = report.clone().encode_within(limit);
        assert!(text.len() <= limit, "{} bytes", text.len());
        assert!(StageReport::parse(&text).is_some(), "{text}");
    }
}

/// What a container left as its last words: a script can write them itself.
///
/// # Panics
/// If what must hold does not.
pub fn termination_message(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if let Some(report) = StageReport::parse(&text) {
        if let Some(summary) = &report.reports {
            is_bounded(summary);
        }
        let text = report.encode();
        assert!(text.len() <= LIMIT, "{} bytes", text.len());
    }
    if let Some(report) = SourceReport::parse(&text) {
        let _ = report.commits();
    }
}

/// The output of a script.
///
/// # Panics
/// If what must hold does not.
pub fn output(data: &[u8]) {
    let mut problems = Problems::of(ProblemMatcher::ALL);
    for piece in data.chunks(13) {
        problems.take_in(piece);
    }
    let findings = problems.finish().into_iter().collect();
    is_bounded(&ReportSummary {
        findings,
        ..ReportSummary::default()
    });
}

/// A Pipeline of which deliveries and definitions are.
const PIPELINE: &str = r#"{
    "source": {"git": {"url": "https://git.example/shop/api.git"}},
    "definition": {},
    "webhook": {"secretRef": {"name": "hook", "key": "token"}},
    "triggers": [
        {"name": "all", "push": {"branches": ["**"], "ignorePaths": ["**/*.md"]}}, {"name": "tags", "tag": {}},
        {"name": "pr", "pullRequest": {}}, {"name": "published", "release": {"prereleases": true}}
    ],
    "stages": [{"name": "unit", "type": "Test", "image": "python", "run": "pytest"}]
}"#;

fn pipeline() -> Option<PipelineSpec> {
    serde_json::from_str(PIPELINE).ok()
}

/// What somebody delivers: the first byte chooses the provider, the first line says what it is about.
///
/// # Panics
/// If what must hold does not.
pub fn delivery(data: &[u8]) {
    let Some((first, rest)) = data.split_first() else {
        return;
    };
    let providers = [Provider::GitHub, Provider::GitLab, Provider::Gitea];
    let provider = providers.get(usize::from(*first) % providers.len());
    let mut lines = rest.splitn(2, |byte| *byte == b'\n');
    let (kind, body) = (lines.next().unwrap_or_default(), lines.next());
    let kind = String::from_utf8_lossy(kind);
    let (Some(provider), Some(body), Some(spec)) = (provider, body, pipeline()) else {
        return;
    };
    let Ok(Told::Event(event)) = event::read(*provider, &kind, body, &spec) else {
        return;
    };
    if let Verdict::Start(start) = judge(&spec, &event) {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "_./+-".contains(c);
        assert!(start.git_ref.chars().all(is_plain), "{}", start.git_ref);
        assert!(start.actor.len() <= 256, "{}", start.actor);
        assert!(!start.identity.is_empty());
    }
}

/// What a git server answers: the first byte says to what.
///
/// # Panics
/// If what must hold does not.
pub fn git(data: &[u8]) {
    let Some((first, bytes)) = data.split_first() else {
        return;
    };
    let body = bytes.to_vec();
    let reply = Ok(Reply { status: 200, body });
    match first % 3 {
        0 => {
            for (_, sha) in refs::all(&reply).unwrap_or_default() {
                assert_eq!(sha.len(), 40, "{sha}");
            }
        }
        1 => {
            let types = [ObjectType::Commit, ObjectType::Tree, ObjectType::Blob];
            for type_ in types {
                assert!(object::read(&reply, (type_, "of no content")).is_err());
            }
        }
        _ => {
            let entries = object::entries(bytes).unwrap_or_default();
            assert!(entries.len() <= bytes.len());
            let _ = (object::tree_of(bytes), object::message_of(bytes));
            let _ = (object::entry_of(bytes, "a"), changes::read(&reply));
        }
    }
}

/// The file that a repository brings.
///
/// # Panics
/// If what must hold does not.
pub fn definition(data: &[u8]) {
    let (Some(own), Ok(text)) = (pipeline(), std::str::from_utf8(data)) else {
        return;
    };
    if let Ok(whole) = definition::merged(&own, Some(text)) {
        assert!(whole.stages.starts_with(&own.stages), "{text}");
        assert!(whole.stages.len() <= 32, "{text}");
        assert_eq!(whole.triggers, own.triggers);
    }
}

/// The manifests that a run has rendered.
///
/// # Panics
/// If what must hold does not.
pub fn rendered(data: &[u8]) {
    let wanted = RenderedManifests {
        package: "manifests".to_owned(),
        kinds: CopyKind::ALL.to_vec(),
        registry_secret_name: None,
        insecure_registry: None,
    };
    let text = String::from_utf8_lossy(data);
    let Ok(objects) = rendered::read(&text, &wanted, "shop-review-pr-7") else {
        return;
    };
    for object in objects {
        let text = |field: &str| object.pointer(field).and_then(serde_json::Value::as_str);
        let kind = text("/kind").unwrap_or_default();
        assert!(CopyKind::ALL.iter().any(|known| known.as_str() == kind));
        let place = text("/metadata/namespace").unwrap_or("shop-review-pr-7");
        assert_eq!(place, "shop-review-pr-7");
        let name = text("/metadata/name").unwrap_or_default();
        assert!(!name.is_empty() && !name.contains('/'), "{name}");
    }
}

/// What a summary holds is within what a status takes.
fn is_bounded(summary: &ReportSummary) {
    let mut kept = summary.clone();
    bounds::keep(&mut kept);
    assert_eq!(&kept, summary, "beyond the bounds");
    let size = serde_json::to_vec(summary).map_or(0, |bytes| bytes.len());
    assert!(size < 48 << 10, "{size} bytes");
}

#[cfg(test)]
mod targets;
#[cfg(test)]
mod tests;
