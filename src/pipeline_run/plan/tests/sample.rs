//! The pipelines of the samples, from a commit to its Release: what their tools would leave is made up, what judges it is not.

use std::collections::{BTreeMap, BTreeSet};

use super::super::super::observed::{Answer, Ended};
use super::super::super::render::PACKAGES;
use super::*;
use crate::model::label;
use crate::pipeline::api::{
    ForkPolicy, GateMode, ReportFormat, Reports, Stage, StageType, TriggerRule,
};
use crate::pipeline::secret;
use crate::pipeline_run::api::{
    AttestationKind, Benchmark, Better, Complexity, Coverage, FindingCategory, FindingSet, Latency,
    PullRequest, ReportSummary, Scores, TestCounts, Trigger,
};
use crate::pipeline_run::observed::PreviewSaid;
use crate::runner::report::{AttestationReport, PackageReport, StageReport};

/// Every Pipeline among the samples, with its file and its name.
fn samples() -> Vec<(String, PipelineSpec)> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/manifests/samples");
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|ending| ending != "yaml") {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let documents: Vec<Value> = serde_saphyr::from_multiple(&text).unwrap();
        let file = path.file_stem().unwrap().to_string_lossy().into_owned();
        for document in documents.iter().filter(|it| it["kind"] == "Pipeline") {
            let name = document["metadata"]["name"].as_str().unwrap();
            let spec = serde_json::from_value(document["spec"].clone()).unwrap();
            found.push((format!("{file} {name}"), spec));
        }
    }
    found.sort_by(|one, other| one.0.cmp(&other.0));
    found
}

/// The first Pipeline of a file.
fn sample(file: &str) -> PipelineSpec {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/manifests/samples");
    let text = std::fs::read_to_string(format!("{folder}/pipeline-{file}.yaml")).unwrap();
    let documents: Vec<Value> = serde_saphyr::from_multiple(&text).unwrap();
    serde_json::from_value(documents[0]["spec"].clone()).unwrap()
}

/// What a report of a format says of good code.
fn good(format: ReportFormat, summary: &mut ReportSummary) {
    let mut look = |category| {
        let mut sets = summary.findings.iter();
        if !sets.any(|set| set.category == category) {
            summary.findings.push(FindingSet::none(category));
        }
    };
    match format {
        ReportFormat::Junit => {}
        ReportFormat::Cobertura | ReportFormat::Lcov | ReportFormat::Jacoco => {
            summary.coverage = Some(Coverage {
                lines: 100,
                covered_lines: 90,
                branches: 10,
                covered_branches: 9,
                changed: None,
            });
        }
        ReportFormat::Sarif => look(FindingCategory::Code),
        ReportFormat::PipAudit | ReportFormat::NpmAudit | ReportFormat::Osv => {
            look(FindingCategory::Vulnerability);
        }
        ReportFormat::Gitleaks => look(FindingCategory::Secret),
        ReportFormat::Axe => look(FindingCategory::Accessibility),
        ReportFormat::CycloneDx => {
            summary.licences.insert("MIT".to_owned(), 3);
        }
        ReportFormat::Lighthouse => {
            summary.scores = Some(Scores {
                accessibility: Some(97),
                ..Scores::default()
            });
        }
        ReportFormat::K6 => summary.latency.push(Latency {
            name: "load".into(),
            requests: Some(5000),
            failed_percent: Some(0.1),
            p95: Some(120.0),
            ..Latency::default()
        }),
        ReportFormat::Benchmarks => summary.benchmarks.push(Benchmark {
            name: "add".into(),
            value: 1.0,
            unit: "ms".into(),
            better: Better::Lower,
            deviation: None,
        }),
        ReportFormat::Radon => {
            summary.complexity = Some(Complexity {
                functions: 10,
                sum: 20,
                highest: 4,
                highest_at: None,
            });
        }
    }
}

/// How a stage ends when all is well.
fn report(spec: &PipelineSpec, stage: &Stage, start: &Start) -> StageReport {
    let mut report = StageReport::default();
    let mut summary = ReportSummary::default();
    let formats = stage.reports.iter().flat_map(Reports::by_format);
    for (format, _) in formats {
        good(format, &mut summary);
        if format == ReportFormat::Junit {
            report.tests = Some(TestCounts {
                total: 500,
                passed: 500,
                ..TestCounts::default()
            });
        }
    }
    let reports = stage.reports.as_ref();
    if reports.is_some_and(|reports| !reports.problems.is_empty()) {
        let set = FindingSet::none(FindingCategory::Code);
        if !summary.findings.contains(&set) {
            summary.findings.push(set);
        }
    }
    report.reports = Some(summary).filter(|summary| !summary.is_empty());
    match stage.type_ {
        StageType::Build if start.pushes_image(stage) => {
            report.digest = Some(digest('9'));
            report.size = Some(100 << 20);
        }
        StageType::Build => report.message = Some("built, and not pushed".into()),
        StageType::SBOM => report.attestations = said(spec, AttestationKind::SBOM),
        StageType::Sign => report.attestations = said(spec, AttestationKind::Signature),
        StageType::Test
        | StageType::Lint
        | StageType::Scan
        | StageType::Benchmark
        | StageType::Smoke
        | StageType::Migrate
        | StageType::Custom
        | StageType::Publish
        | StageType::Release
        | StageType::Tag
        | StageType::Preview => {}
    }
    report
}

fn said(spec: &PipelineSpec, kind: AttestationKind) -> Vec<AttestationReport> {
    let builds = spec.stages.iter().filter(|stage| stage.build.is_some());
    builds
        .map(|stage| AttestationReport(stage.name.clone(), kind, digest('5')))
        .collect()
}

/// What started a run.
#[derive(Clone, Debug)]
struct Start {
    git_ref: String,
    trigger: Trigger,
    params: Vec<RunParam>,
}

impl Start {
    fn new(kind: TriggerKind, git_ref: &str) -> Self {
        Self {
            git_ref: git_ref.to_owned(),
            trigger: Trigger {
                kind,
                actor: "slipway".into(),
                name: None,
                at: None,
                pull_request: None,
                image: None,
                needs_approval: None,
            },
            params: Vec::new(),
        }
    }

    fn push(spec: &PipelineSpec) -> Self {
        let git_ref = format!("refs/heads/{}", spec.source.git.branch);
        Self::new(TriggerKind::Push, &git_ref)
    }

    fn pull_request(base: &str, fork: bool) -> Self {
        let mut start = Self::new(TriggerKind::PullRequest, "refs/pull/12/head");
        start.trigger.pull_request = Some(PullRequest {
            number: 12,
            base: Some(base.to_owned()),
            fork,
        });
        start.trigger.needs_approval = Some(fork);
        start
    }

    fn is_fork(&self) -> bool {
        let of = self.trigger.pull_request.as_ref();
        of.is_some_and(|pull_request| pull_request.fork)
    }

    fn pushes_image(&self, stage: &Stage) -> bool {
        let mut build = stage.build.iter();
        !self.is_fork() && build.any(|build| build.pushes_on(self.trigger.kind))
    }
}

/// Everything that one trigger of a Pipeline starts.
fn starts_of(spec: &PipelineSpec, rule: &TriggerRule) -> Vec<Start> {
    let own = &spec.source.git.branch;
    let heads = |globs: &[String]| {
        let named: Vec<String> = globs.iter().map(|glob| glob.replace('*', "next")).collect();
        if named.is_empty() {
            vec![own.clone()]
        } else {
            named
        }
    };
    let tag = |pattern: Option<&String>| {
        let pattern = pattern.map_or("v*", String::as_str);
        format!("refs/tags/{}", pattern.replace('*', "1.2.3"))
    };
    let head = |branch: Option<&String>| format!("refs/heads/{}", branch.unwrap_or(own));
    let mut starts = Vec::new();
    if let Some(push) = &rule.push {
        let branches = heads(&push.branches);
        let refs = branches.iter().map(|branch| format!("refs/heads/{branch}"));
        starts.extend(refs.map(|git_ref| Start::new(TriggerKind::Push, &git_ref)));
    }
    if let Some(pull_request) = &rule.pull_request {
        for base in heads(&pull_request.branches) {
            starts.push(Start::pull_request(&base, false));
            if pull_request.forks() != ForkPolicy::Never {
                starts.push(Start::pull_request(&base, true));
            }
        }
    }
    if let Some(of) = &rule.tag {
        starts.push(Start::new(TriggerKind::Tag, &tag(of.pattern.as_ref())));
    }
    if let Some(of) = &rule.release {
        let git_ref = tag(of.pattern.as_ref());
        starts.push(Start::new(TriggerKind::Release, &git_ref));
    }
    if let Some(of) = &rule.schedule {
        let git_ref = head(of.branch.as_ref());
        starts.push(Start::new(TriggerKind::Schedule, &git_ref));
    }
    if let Some(of) = &rule.image {
        let mut start = Start::new(TriggerKind::Image, &head(of.branch.as_ref()));
        start.trigger.image = Some(format!("{}@{}", of.reference, digest('3')));
        starts.push(start);
    }
    for start in &mut starts {
        start.trigger.name = Some(rule.name.clone());
    }
    starts
}

/// What people can start by hand: everything, and each choice that a parameter has.
fn by_hand(spec: &PipelineSpec) -> Vec<Start> {
    let plain = Start {
        trigger: Start::new(TriggerKind::Manual, "").trigger,
        ..Start::push(spec)
    };
    let mut starts = vec![plain.clone()];
    for param in &spec.params {
        let pattern = param.pattern.as_deref().unwrap_or_default();
        let choices = pattern.split('|').filter(|choice| !choice.is_empty());
        starts.extend(choices.map(|value| Start {
            params: vec![RunParam {
                name: param.name.clone(),
                value: value.to_owned(),
            }],
            ..plain.clone()
        }));
    }
    starts
}

/// A Job that has done what its stage is for.
fn done(spec: &PipelineSpec, manifest: &Manifest, start: &Start) -> Job {
    let name = &manifest.body["metadata"]["labels"][label::STAGE];
    let stage = spec
        .stages
        .iter()
        .find(|stage| stage.name == *name)
        .unwrap();
    let job = a_job(&manifest.key.name).over(NOW, 0, report(spec, stage, start));
    let pushed = stage.packages.iter();
    let pushed = pushed.filter(|package| !start.is_fork() && package.pushes_on(start.trigger.kind));
    let packages: Vec<PackageReport> = pushed
        .map(|package| {
            PackageReport(
                package.name.clone(),
                digest('7'),
                1000,
                Some("1.2.3".into()),
            )
        })
        .collect();
    job.with_pod(|pod| {
        if !packages.is_empty() {
            let report = StageReport {
                packages,
                ..StageReport::default()
            };
            let ended = Ended {
                message: report.encode(),
                ..Ended::default()
            };
            pod.ended.insert(PACKAGES.into(), ended);
        }
    })
}

/// A run that is over.
struct Played {
    status: PipelineRunStatus,
    release: Option<Value>,
    /// Its Jobs, by the names of their stages.
    jobs: BTreeMap<String, Value>,
}

/// The run before anything has been done.
fn begins(spec: &PipelineSpec, start: &Start) -> Observed {
    let mut seen = begun();
    seen.spec.git_ref.clone_from(&start.git_ref);
    seen.spec.trigger.clone_from(&start.trigger);
    seen.spec.params.clone_from(&start.params);
    seen.answer = Some(Answer::Approved("olga".into()));
    let usable = |(name, named): (String, secret::Named)| {
        let facts = Facts {
            is_labelled: true,
            keys: named.keys,
        };
        (name, Some(facts))
    };
    let named = secret::named(spec).into_iter();
    seen.secrets = Secrets::Known(named.map(usable).collect());
    seen.snapshot = Snapshot::Taken(Box::new(spec.clone()));
    let waits = spec
        .stages
        .iter()
        .filter_map(|stage| stage.preview.as_ref());
    for wait in waits {
        let ready = json!({
            "number": 12, "phase": "Ready", "namespace": "shop-review-pr-12", "url": "https://pr-12.example",
            "run": seen.key.name,
        });
        let ready = PreviewSaid::Status(Box::new(serde_json::from_value(ready).unwrap()));
        seen.previews.insert(wait.environment.clone(), ready);
    }
    seen
}

/// The run to its end.
fn play(spec: &PipelineSpec, start: &Start) -> Played {
    let mut seen = begins(spec, start);
    let mut release = None;
    let mut jobs = BTreeMap::new();
    for _ in 0..100 {
        let plan = plan(&seen, NOW);
        for manifest in created(&plan) {
            if manifest.kind == ObjectKind::Release {
                release = Some(manifest.body["spec"].clone());
                seen.releases.push(std::sync::Arc::new(
                    serde_json::from_value(json!({
                        "metadata": {"name": manifest.key.name}, "spec": manifest.body["spec"],
                    }))
                    .unwrap(),
                ));
                continue;
            }
            let stage = &manifest.body["metadata"]["labels"][label::STAGE];
            let stage = stage.as_str().unwrap().to_owned();
            jobs.insert(stage, manifest.body.clone());
            let job = done(spec, manifest, start);
            seen.jobs.insert(manifest.key.name.clone(), job);
        }
        seen.status = status(&seen, &plan, &Outcome::default(), NOW);
        if seen.status.phase.is_some_and(RunPhase::is_finished) {
            break;
        }
    }
    Played {
        status: seen.status,
        release,
        jobs,
    }
}

#[test]
fn every_workflow_comes_to_its_release() {
    let of_pull_requests: &[&str] = &["shown", "integration-preview"];
    let none: &[&str] = &[];
    for (name, images, packages, idle) in [
        ("webapp", 1, 0, of_pull_requests),
        ("library", 1, 1, none),
        ("container", 1, 0, none),
        ("product", 2, 1, none),
        ("platform", 1, 1, none),
        ("gates", 1, 0, none),
        ("matrix", 1, 0, none),
        ("images", 2, 0, none),
        ("signed", 1, 0, none),
        ("keyservice", 1, 0, none),
        ("keyless", 1, 0, none),
        ("versions", 0, 1, none),
    ] {
        let spec = sample(name);
        let played = play(&spec, &Start::push(&spec));
        let status = played.status;
        assert_eq!(
            status.phase,
            Some(RunPhase::Succeeded),
            "{name}: {:#?}",
            status.failure
        );
        let release = played
            .release
            .unwrap_or_else(|| panic!("{name}: no Release"));
        let count = |list: &str| release[list].as_array().map_or(0, Vec::len);
        assert_eq!(
            (count("images"), count("packages")),
            (images, packages),
            "{name}"
        );
        let without_job = status.stages.iter().map(|stage| stage.name.as_str());
        let without_job: Vec<&str> = without_job
            .filter(|stage| !played.jobs.contains_key(*stage))
            .collect();
        assert_eq!(without_job, idle, "{name}");
        for gate in &status.gates {
            assert_eq!(gate.result, GateResult::Passed, "{name}: {gate:#?}");
        }
    }
}

/// What a gate says of a run whose stages have all done well: it holds. One that only warns may find nothing where stages were left
/// out, or nothing was pushed.
fn assert_gates(said: &str, spec: &PipelineSpec, start: &Start, status: &PipelineRunStatus) {
    for (gate, verdict) in spec.gates.iter().zip(&status.gates) {
        let is_left_out = |stage: &StageStatus| {
            let is_in = gate.from.is_empty() || gate.from.contains(&stage.name);
            is_in && stage.phase == StagePhase::Skipped
        };
        let is_partial =
            start.trigger.kind == TriggerKind::PullRequest || status.stages.iter().any(is_left_out);
        let may_warn = gate.mode() == GateMode::Warn && is_partial;
        let is_fine = verdict.result == GateResult::Passed
            || (may_warn && verdict.result == GateResult::Warned);
        assert!(is_fine, "{said}: {verdict:#?}");
    }
}

#[test]
fn every_sample_comes_to_a_good_end_whatever_starts_it() {
    let mut kinds = BTreeSet::new();
    for (name, spec) in samples() {
        assert_eq!(spec::problems(&spec), [], "{name}");
        let rules = spec.triggers();
        let told = rules.iter().flat_map(|rule| starts_of(&spec, rule));
        for start in told.chain(by_hand(&spec)) {
            let said = format!("{name}, started by {start:?}");
            let played = play(&spec, &start);
            let status = &played.status;
            let phase = status.phase;
            let failure = &status.failure;
            assert_eq!(phase, Some(RunPhase::Succeeded), "{said}: {failure:#?}");
            assert_gates(&said, &spec, &start, status);
            let is_pull_request = start.trigger.kind == TriggerKind::PullRequest;
            assert!(!is_pull_request || played.release.is_none(), "{said}");
            kinds.insert(start.trigger.kind.as_str());
        }
    }
    // None is left out because no sample has it.
    let all: BTreeSet<&str> = TriggerKind::ALL.iter().map(|kind| kind.as_str()).collect();
    assert_eq!(kinds, all);
}

/// The value of a variable of a stage's script.
fn variable<'a>(job: &'a Value, name: &str) -> Option<&'a str> {
    let main = &job["spec"]["template"]["spec"]["containers"][0];
    let mut all = main["env"].as_array()?.iter();
    all.find(|env| env["name"] == name)?["value"].as_str()
}

#[test]
fn a_pull_request_of_the_application_is_shown_and_its_integration_tests_ask_what_is_shown() {
    let spec = sample("webapp");
    let played = play(&spec, &Start::pull_request("main", false));
    let status = &played.status;
    assert_eq!(
        status.phase,
        Some(RunPhase::Succeeded),
        "{:#?}",
        status.failure
    );
    let preview = status.preview.as_ref().unwrap();
    assert_eq!(preview.url.as_deref(), Some("https://pr-12.example"));
    let job = &played.jobs["integration-preview"];
    let url = variable(job, "SLIPWAY_PREVIEW_URL");
    assert_eq!(url, Some("https://pr-12.example"));
    assert!(!played.jobs.contains_key("integration"));
    let gate = status.gates.iter().find(|gate| gate.name == "integration");
    assert_eq!(gate.unwrap().result, GateResult::Passed);
    assert!(played.release.is_none());
}

#[test]
fn a_version_of_the_library_comes_to_a_release_too() {
    let spec = sample("library");
    let played = play(&spec, &Start::new(TriggerKind::Tag, "refs/tags/v1.2.3"));
    let status = played.status;
    assert_eq!(
        status.phase,
        Some(RunPhase::Succeeded),
        "{:#?}",
        status.failure
    );
    assert!(played.jobs.contains_key("tags"));
    let release = played.release.unwrap();
    assert_eq!(release["ref"], "refs/tags/v1.2.3");
    assert_eq!(release["packages"][0]["version"], "1.2.3");
}

/// The words of the commits say which version main gets; the run of its tag has it, and hands the wheel out.
#[test]
fn a_product_gets_its_version_on_main_and_is_handed_out_by_its_tag() {
    let all = samples();
    let of = |name: &str| {
        let mut all = all.iter();
        all.find(|(known, _)| known.ends_with(&format!(" {name}")))
            .map(|(_, spec)| spec)
            .unwrap()
    };
    let versions = of("product-version");
    let played = play(versions, &Start::push(versions));
    let known = played.status.version.unwrap();
    assert_eq!(known.number.as_deref(), Some("1.0.0"));
    assert!(played.jobs.contains_key("version"));
    let played = play(
        of("product-main"),
        &Start::new(TriggerKind::Tag, "refs/tags/v1.0.0"),
    );
    let job = &played.jobs["pypi"];
    assert_eq!(variable(job, "SLIPWAY_VERSION"), Some("1.0.0"));
    assert_eq!(played.release.unwrap()["ref"], "refs/tags/v1.0.0");
    // The commit that a Release stage makes says that it is not to be run; here it is.
    assert!(!of("product-main").is_skipped("chore(release): 1.0.0 [skip ci]"));
}
