//! A short run of every target: seeds, what mutations make of them, and what is made to hurt.

use std::path::Path;
use std::time::{Duration, Instant};

use super::*;
use crate::report::ReportError;

/// Mutants of each seed.
const MUTANTS: u64 = 300;

fn seeds(target: &str) -> Vec<Vec<u8>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = root.join("fuzz/seeds").join(target);
    let entries = std::fs::read_dir(&folder).unwrap();
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(!paths.is_empty(), "no seeds in {}", folder.display());
    paths
        .iter()
        .map(|path| std::fs::read(path).unwrap())
        .collect()
}

/// The same numbers in every run (splitmix64).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((x ^ (x >> 31)) % u64::try_from(sides.max(1)).unwrap()).unwrap()
    }
}

fn mutant(seed: &[u8], dice: &mut Dice) -> Vec<u8> {
    let mut data = seed.to_vec();
    for _ in 0..=dice.roll(4) {
        let at = dice.roll(data.len().max(1)).min(data.len());
        let end = (at + dice.roll(24)).min(data.len());
        match dice.roll(6) {
            0 if at < data.len() => data[at] ^= 1 << dice.roll(8),
            1 => drop(data.drain(at..end)),
            2 => {
                let part = data[at..end].to_vec();
                data.splice(at..at, part.repeat(1 + dice.roll(30)));
            }
            3 => {
                let words: [&[u8]; 6] = [
                    b"99999999999999999999",
                    b"-1",
                    b"1e400",
                    b"null",
                    b"<",
                    b"{",
                ];
                data.splice(at..end, words[dice.roll(words.len())].iter().copied());
            }
            4 => data.truncate(at.max(1)),
            _ => data.insert(at, u8::try_from(dice.roll(256)).unwrap()),
        }
    }
    data
}

fn run(target: &str, probe: fn(&[u8])) {
    run_some(target, probe, MUTANTS);
}

fn run_some(target: &str, probe: fn(&[u8]), mutants: u64) {
    for seed in seeds(target) {
        probe(&seed);
        for number in 0..mutants {
            probe(&mutant(&seed, &mut Dice(number)));
        }
    }
}

#[test]
fn reports_of_any_bytes_stay_within_bounds() {
    run("report", report);
}

#[test]
fn rendered_manifests_of_any_bytes_stay_in_their_namespace() {
    run("rendered", rendered);
}

#[test]
fn last_words_of_any_bytes_stay_within_bounds() {
    run("termination_message", termination_message);
}

#[test]
fn output_of_any_bytes_stays_within_bounds() {
    run("output", output);
}

#[test]
fn deliveries_of_any_bytes_start_nothing_that_cannot_be() {
    run("delivery", delivery);
}

#[test]
fn answers_of_any_bytes_are_read_to_their_end() {
    run("git", git);
}

#[test]
fn a_definition_of_any_bytes_leaves_the_pipeline_as_it_is() {
    // Each is held against the schema of Pipelines.
    run_some("definition", definition, 40);
}

#[test]
fn every_target_has_a_function_and_a_short_run() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let names = |folder: &str| -> Vec<String> {
        let entries = std::fs::read_dir(root.join("fuzz").join(folder)).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        names.sort();
        let names = names.iter().map(|path| path.file_stem().unwrap());
        names
            .map(|name| name.to_str().unwrap().to_owned())
            .collect()
    };
    let targets = names("targets");
    assert_eq!(targets, names("seeds"));
    let manifest = std::fs::read_to_string(root.join("fuzz/Cargo.toml")).unwrap();
    let own = include_str!("tests.rs");
    let built = std::fs::read_to_string(root.join("src/fuzzing/targets.rs")).unwrap();
    for target in targets {
        let source = format!("fuzz/targets/{target}.rs");
        let text = std::fs::read_to_string(root.join(&source)).unwrap();
        assert!(
            text.contains(&format!("slipway::fuzzing::{target}(data)")),
            "{target}"
        );
        assert!(
            manifest.contains(&format!("path = \"targets/{target}.rs\"")),
            "{target}"
        );
        assert!(
            built.contains(&source),
            "{target} is built by make fuzz alone"
        );
        assert!(
            own.contains(&format!("(\"{target}\", {target}")),
            "{target}"
        );
    }
}

#[test]
fn every_format_has_a_seed_that_can_be_read() {
    let mut seen = std::collections::BTreeSet::new();
    for seed in seeds("report") {
        let at = usize::from(seed[0]) % ReportFormat::ALL.len();
        let format = ReportFormat::ALL[at];
        let mut collected = Collected::default();
        collected
            .add(format, "seed", &seed[1..])
            .unwrap_or_else(|error| panic!("{format}: {error}"));
        seen.insert(format);
    }
    assert_eq!(seen.len(), ReportFormat::ALL.len(), "{seen:?}");
}

/// What tools write that have found nothing, or about nothing, and files of everybody's: by the formats that they are of.
const WRITTEN: &[(&[ReportFormat], &str)] = {
    use ReportFormat as F;
    &[
        (
            &[F::Osv],
            r#"{"results":[],"experimental_config":{"licenses":{"summary":false,"allowlist":null}}}"#,
        ),
        (&[F::Osv], r#"{"results":null}"#),
        (
            &[F::PipAudit],
            r#"{"dependencies":[{"name":"six","version":"1.16.0","vulns":[]}],"fixes":[]}"#,
        ),
        (
            &[F::PipAudit],
            r#"[{"name":"six","version":"1.16.0","vulns":[]},{"name":"own","skip_reason":"not on PyPI"}]"#,
        ),
        (
            &[F::NpmAudit],
            r#"{"auditReportVersion":2,"vulnerabilities":{},"metadata":{"vulnerabilities":{"total":0}}}"#,
        ),
        (
            &[F::NpmAudit],
            r#"{"actions":[],"advisories":{},"muted":[],"metadata":{"vulnerabilities":{"high":0}}}"#,
        ),
        (
            &[F::Sarif],
            r#"{"version":"2.1.0","runs":[{"tool":{"driver":{"name":"ruff"}},"results":[]}]}"#,
        ),
        (
            &[F::Sarif],
            r#"{"version":"2.1.0","runs":[{"tool":{"driver":{"name":"gosec"}},"results":null}]}"#,
        ),
        (
            &[F::CycloneDx],
            r#"{"bomFormat":"CycloneDX","specVersion":"1.5","components":[],"dependencies":[{"ref":"a","dependsOn":[]}],"vulnerabilities":[]}"#,
        ),
        (
            &[F::Axe],
            r#"[{"url":"http://x/","violations":[],"passes":[],"testEngine":{"name":"axe-core"}}]"#,
        ),
        (
            &[F::Lighthouse],
            r#"{"lighthouseVersion":"12.2.1","categories":{"accessibility":{"score":1}}}"#,
        ),
        (
            &[F::K6],
            r#"{"metrics":{"http_req_duration":{"p(95)":9.5},"http_reqs":{"count":10}}}"#,
        ),
        // A list of nothing says of nothing else what it is.
        (&[F::Gitleaks, F::Benchmarks], "[]"),
        (&[F::Gitleaks], "null"),
        (&[F::Radon], "{}"),
        (
            &[F::Benchmarks],
            r#"[{"name":"parse","value":12.5,"unit":"ms"}]"#,
        ),
        (
            &[F::Gitleaks],
            r#"[{"RuleID":"key","File":"a.env","StartLine":1,"Secret":"x"}]"#,
        ),
        (&[F::Junit], "<testsuites/>"),
        (
            &[F::Cobertura],
            r#"<coverage line-rate="0"><packages/></coverage>"#,
        ),
        (
            &[F::Jacoco],
            r#"<report name="shop"><sessioninfo id="a" start="1" dump="2"/></report>"#,
        ),
        (
            &[F::Lcov],
            "SF:a.js
DA:1,1
end_of_record
",
        ),
        // Trivy, Grype, semgrep, bandit, Snyk, Composer, tools that failed, and what is no report at all.
        (
            &[],
            r#"{"SchemaVersion":2,"ArtifactName":"shop","Results":[]}"#,
        ),
        (
            &[],
            r#"{"matches":[],"source":{"type":"image"},"descriptor":{"name":"grype"}}"#,
        ),
        (
            &[],
            r#"{"results":[],"errors":[],"paths":{"scanned":[]},"version":"1.90.0"}"#,
        ),
        (
            &[],
            r#"{"errors":[],"generated_at":"2026-11-27T10:00:00Z","metrics":{},"results":[]}"#,
        ),
        (
            &[],
            r#"{"results":[{"check_id":"x","path":"a.py"}],"version":"1.90.0"}"#,
        ),
        (
            &[],
            r#"{"ok":true,"vulnerabilities":[],"dependencyCount":7}"#,
        ),
        (&[], r#"{"advisories":{}}"#),
        (&[], r#"{"vulnerabilities":{}}"#),
        (
            &[],
            r#"{"error":{"code":"ENOLOCK","summary":"no lock file"}}"#,
        ),
        // To radon, that is a file without functions.
        (&[F::Radon], r#"{"dependencies":[]}"#),
        (&[F::Radon], r#"{"violations":[]}"#),
        (&[], r#"{"categories":{}}"#),
        (&[], r#"{"metrics":{}}"#),
        (&[F::Radon], r#"{"runs":[]}"#),
        (
            &[],
            r#"{"version":"2.1.0","runs":[{"tool":{"driver":{"name":"x"}}}]}"#,
        ),
        (&[], "[{}]"),
        (&[], "[[]]"),
        (
            &[],
            r#"[{"id":"image-alt","impact":"critical","nodes":[]}]"#,
        ),
        (
            &[],
            r#"<coverage generated="1" clover="4.4"><project><metrics statements="1"/></project></coverage>"#,
        ),
        (
            &[],
            r#"<coverage version="1"><file path="a.js"><lineToCover lineNumber="1" covered="true"/></file></coverage>"#,
        ),
        (&[], "<report><title>all is well</title></report>"),
        (&[], "<html/>"),
        (
            &[],
            "all is well
",
        ),
        (&[], ""),
    ]
};

#[test]
fn a_report_is_read_as_what_it_is_and_as_nothing_else() {
    for (formats, text) in WRITTEN {
        for format in ReportFormat::ALL {
            let read = Collected::default().add(*format, "x", text.as_bytes());
            let said = read.err().map(|error| error.to_string());
            assert_eq!(
                said.is_none(),
                formats.contains(format),
                "{format} of {text}: {said:?}"
            );
        }
    }
}

/// What reading costs, and what is said.
fn hurts(format: ReportFormat, bytes: &[u8]) -> (Duration, Option<ReportError>) {
    let start = Instant::now();
    let result = Collected::default().add(format, "bomb", bytes);
    (start.elapsed(), result.err())
}

#[test]
fn a_hostile_report_costs_a_bounded_amount_and_says_what_it_is() {
    const MIB: usize = 1 << 20;
    let deep_xml = "<testsuite>".repeat(MIB);
    let bomb = format!(
        "<!DOCTYPE x [<!ENTITY a \"{}\">]><testsuite><testcase name=\"{}\"/></testsuite>",
        "lol".repeat(1000),
        "&a;".repeat(MIB)
    );
    let many_cases = format!(
        "<testsuite>{}</testsuite>",
        "<testcase><failure/></testcase>".repeat(MIB / 2)
    );
    let deep_json = "[".repeat(8 * MIB);
    let many_values = format!("[{}1]", "{},".repeat(4 * MIB));
    let long_line = "DA:1,".to_owned() + &"1".repeat(16 * MIB);
    let huge = vec![b' '; 33 * MIB];
    for (format, bytes, says) in [
        (
            ReportFormat::Junit,
            deep_xml.as_bytes(),
            "nested deeper than 64",
        ),
        (
            ReportFormat::Cobertura,
            deep_xml.as_bytes(),
            "no Cobertura report",
        ),
        (ReportFormat::Junit, bomb.as_bytes(), ""),
        (ReportFormat::Junit, many_cases.as_bytes(), ""),
        (
            ReportFormat::Benchmarks,
            deep_json.as_bytes(),
            "a million values",
        ),
        (ReportFormat::Sarif, deep_json.as_bytes(), "it is a list"),
        (
            ReportFormat::Gitleaks,
            many_values.as_bytes(),
            "a million values",
        ),
        (ReportFormat::Lcov, long_line.as_bytes(), "end_of_record"),
        (ReportFormat::Osv, huge.as_slice(), "32 MiB"),
    ] {
        let (took, error) = hurts(format, bytes);
        let said = error.map(|error| error.to_string()).unwrap_or_default();
        assert!(
            said.contains(says) && says.is_empty() == said.is_empty(),
            "{format}: {said}"
        );
        assert!(said.len() < 300, "{format}: {said}");
        // Without optimisation, on a machine that does other things too.
        assert!(took < Duration::from_mins(1), "{format} took {took:?}");
    }
}
