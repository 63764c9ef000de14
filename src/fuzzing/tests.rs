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
    for target in targets {
        let source = format!("fuzz/targets/{target}.rs");
        let source = std::fs::read_to_string(root.join(source)).unwrap();
        assert!(
            source.contains(&format!("slipway::fuzzing::{target}(data)")),
            "{target}"
        );
        assert!(
            manifest.contains(&format!("path = \"targets/{target}.rs\"")),
            "{target}"
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
            ReportFormat::Sarif,
            deep_json.as_bytes(),
            "a million values",
        ),
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
