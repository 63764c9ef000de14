//! The pipelines of the samples, from a commit to its Release: what their tools would leave is made up, what judges it is not.

use std::collections::BTreeSet;

use super::super::super::observed::Ended;
use super::super::super::render::PACKAGES;
use super::*;
use crate::model::label;
use crate::pipeline::api::{ReportFormat, Reports, Stage, StageType};
use crate::pipeline_run::api::{
    AttestationKind, Benchmark, Better, Complexity, Coverage, FindingCategory, FindingSet, Latency,
    ReportSummary, Scores, TestCounts,
};
use crate::runner::report::{AttestationReport, PackageReport, StageReport};

fn sample(name: &str) -> PipelineSpec {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/manifests/samples");
    let text = std::fs::read_to_string(format!("{folder}/pipeline-{name}.yaml")).unwrap();
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
fn report(spec: &PipelineSpec, stage: &Stage) -> StageReport {
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
        StageType::Build => {
            report.digest = Some(digest('9'));
            report.size = Some(100 << 20);
        }
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

/// A Job that has done what its stage is for.
fn done(spec: &PipelineSpec, manifest: &Manifest) -> Job {
    let name = &manifest.body["metadata"]["labels"][label::STAGE];
    let stage = spec
        .stages
        .iter()
        .find(|stage| stage.name == *name)
        .unwrap();
    let job = a_job(&manifest.key.name).over(NOW, 0, report(spec, stage));
    let packages = stage.packages.iter().map(|package| {
        PackageReport(
            package.name.clone(),
            digest('7'),
            1000,
            Some("1.2.3".into()),
        )
    });
    let packages = StageReport {
        packages: packages.collect(),
        ..StageReport::default()
    };
    job.with_pod(|pod| {
        if !stage.packages.is_empty() {
            let ended = Ended {
                message: packages.encode(),
                ..Ended::default()
            };
            pod.ended.insert(PACKAGES.into(), ended);
        }
    })
}

/// The run to its end: the status, the Release, and the stages that had Jobs.
fn run(name: &str, git_ref: Option<&str>) -> (PipelineRunStatus, Option<Value>, BTreeSet<String>) {
    let spec = sample(name);
    assert_eq!(spec::problems(&spec), [], "{name}");
    let mut seen = begun();
    seen.spec.git_ref = format!("refs/heads/{}", spec.source.git.branch);
    if let Some(git_ref) = git_ref {
        seen.spec.git_ref = git_ref.to_owned();
        seen.spec.trigger.kind = TriggerKind::Manual;
    }
    seen.secrets = Secrets::Known(
        crate::pipeline::secret::named(&spec)
            .into_iter()
            .map(|(name, named)| {
                let facts = Facts {
                    is_labelled: true,
                    keys: named.keys,
                };
                (name, Some(facts))
            })
            .collect(),
    );
    seen.snapshot = Snapshot::Taken(Box::new(spec.clone()));
    let mut release = None;
    let mut stages = BTreeSet::new();
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
            let name = &manifest.body["metadata"]["labels"][label::STAGE];
            stages.insert(name.as_str().unwrap().to_owned());
            let job = done(&spec, manifest);
            seen.jobs.insert(manifest.key.name.clone(), job);
        }
        seen.status = status(&seen, &plan, &Outcome::default(), NOW);
        if seen.status.phase.is_some_and(RunPhase::is_finished) {
            break;
        }
    }
    (seen.status, release, stages)
}

#[test]
fn every_workflow_comes_to_its_release() {
    for (name, images, packages) in [
        ("webapp", 1, 0),
        ("library", 1, 1),
        ("container", 1, 0),
        ("product", 2, 1),
        ("platform", 1, 1),
        ("gates", 1, 0),
        ("matrix", 1, 0),
        ("images", 2, 0),
        ("signed", 1, 0),
        ("keyservice", 1, 0),
        ("keyless", 1, 0),
        ("versions", 0, 1),
    ] {
        let (status, release, stages) = run(name, None);
        assert_eq!(
            status.phase,
            Some(RunPhase::Succeeded),
            "{name}: {:#?}",
            status.failure
        );
        let release = release.unwrap_or_else(|| panic!("{name}: no Release"));
        let count = |list: &str| release[list].as_array().map_or(0, Vec::len);
        assert_eq!(
            (count("images"), count("packages")),
            (images, packages),
            "{name}"
        );
        let idle: Vec<&StageStatus> = status
            .stages
            .iter()
            .filter(|stage| !stages.contains(&stage.name))
            .collect();
        assert!(idle.is_empty(), "{name}: {idle:#?}");
        for gate in &status.gates {
            assert_eq!(gate.result, GateResult::Passed, "{name}: {gate:#?}");
        }
    }
}

#[test]
fn a_version_of_the_library_comes_to_a_release_too() {
    let (status, release, stages) = run("library", Some("refs/tags/v1.2.3"));
    assert_eq!(
        status.phase,
        Some(RunPhase::Succeeded),
        "{:#?}",
        status.failure
    );
    assert!(stages.contains("tags"));
    let release = release.unwrap();
    assert_eq!(release["ref"], "refs/tags/v1.2.3");
    assert_eq!(release["packages"][0]["version"], "1.2.3");
}
