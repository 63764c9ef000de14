//! What reports that are made to hurt cost in memory: each is read in a process of its own, which says what it took at most.

use std::fs;
use std::io::{BufWriter, Write};
use std::process::Command;

use super::*;
use crate::runner::script_file;
use crate::runner::tests::Folder;
use ReportFormat as F;

const MIB: usize = 1 << 20;
/// What reading one report may take beyond what the runner has before, in KiB.
const MOST: u64 = 256 << 10;
/// Says to a process of this test what it is to read: a folder.
const FOLDER: &str = "SLIPWAY_TEST_HOSTILE_REPORT";

/// A report: its format, what begins it, what is repeated how often (`#` is the number of the repetition), what ends it, and
/// what is said of it, where it is not read.
type Hostile = (
    F,
    &'static str,
    (&'static str, usize),
    &'static str,
    &'static str,
);

/// One text of almost as many bytes as a report may have.
const LONG: (&str, usize) = ("xxxxxxxxxxxxxxxx", 2 * MIB - 64);
const STRAYS: (&str, usize) = (STRAY, 31 * MIB);
/// As many objects as there may be values: each begins, and has a comma.
const OBJECTS: (&str, usize) = ("{},", 499_000);
const DEEP: (&str, usize) = ("[", 8 * MIB);
/// Lists of one object in each other: a list has room for more than that. 30 levels.
const NESTED: &str = concat!(
    "{\"components\":[{\"components\":[{\"components\":[{\"components\":[{\"components\":[{\"components\":[",
    "{\"components\":[{\"components\":[{\"components\":[{\"components\":[{\"components\":[{\"components\":[",
    "{\"components\":[{\"components\":[{\"components\":[{\"components\":[{\"components\":[{\"components\":[",
    "{\"components\":[{\"components\":[{\"components\":[{\"components\":[{\"components\":[{\"components\":[",
    "{\"components\":[{\"components\":[{\"components\":[{\"components\":[{\"components\":[{\"components\":[",
    "]}]}]}]}]}]}]}]}]}]}]}]}]}]}]}]}]}]}]}]}]}]}]}]}]}]}]}]}]}]},"
);
/// An empty object of its own name, and room.
const PADDED: &str = "\"#\":{                                                },";
const VALUES: &str = "a million values";

const HOSTILE: &[Hostile] = &[
    // Longer than any report.
    (F::Junit, "", (" ", 40 * MIB), "", "larger than 32 MiB"),
    // One name, one text, one element.
    (
        F::Junit,
        "<testsuite><testcase name=\"",
        LONG,
        "\"/></testsuite>",
        "",
    ),
    (
        F::Junit,
        "<testsuite><testcase><failure>",
        LONG,
        "</failure></testcase></testsuite>",
        "",
    ),
    (
        F::Junit,
        "<testsuite><testcase name=\"",
        STRAYS,
        "\"/></testsuite>",
        "",
    ),
    (F::Lcov, "SF:", STRAYS, "\nDA:1,1\nend_of_record\n", ""),
    (F::Junit, "<testsuite><", LONG, "/></testsuite>", ""),
    (
        F::Cobertura,
        "<coverage><packages/><source>",
        LONG,
        "</source></coverage>",
        "",
    ),
    (
        F::Cobertura,
        "<coverage><packages/><class filename=\"",
        LONG,
        "\"/></coverage>",
        "",
    ),
    (
        F::Jacoco,
        "<report><package name=\"",
        LONG,
        "\"><sourcefile name=\"a\"/></package></report>",
        "",
    ),
    (F::Lcov, "SF:", LONG, "\nDA:1,1\nend_of_record\n", ""),
    // Entities, depth, and as many elements as there is room for.
    (
        F::Junit,
        "<!DOCTYPE x [<!ENTITY a \"lollollollollollollol\"><!ENTITY b \"&a;&a;&a;&a;&a;&a;&a;&a;\">]><testsuite><testcase name=\"",
        ("&b;", 4 * MIB),
        "\"/></testsuite>",
        "",
    ),
    (
        F::Junit,
        "",
        ("<testsuite>", MIB),
        "",
        "nested deeper than 64",
    ),
    (
        F::Junit,
        "<testsuite>",
        ("<testcase><error/></testcase>", MIB / 4),
        "</testsuite>",
        "",
    ),
    (
        F::Cobertura,
        "<coverage><packages/>",
        ("<source>a</source>", MIB / 4),
        "</coverage>",
        "",
    ),
    (F::Lcov, "SF:a\n", ("DA:#,1\n", MIB), "end_of_record\n", ""),
    // JSON: depth, one text, and as many objects as there may be.
    (F::Benchmarks, "", DEEP, "", VALUES),
    (F::Axe, "{\"x\":", DEEP, "", VALUES),
    (F::Sarif, "{\"x\":", ("[", MIB / 2), "", "not complete JSON"),
    (
        F::Gitleaks,
        "[{\"File\":\"a\",\"RuleID\":\"",
        LONG,
        "\"}]",
        "",
    ),
    (
        F::Gitleaks,
        "[{\"File\":\"a\",\"RuleID\":\"",
        ("\\u0041", 5 * MIB),
        "\"}]",
        "",
    ),
    (
        F::Gitleaks,
        "[",
        ("{\"File\":\"\",\"RuleID\":\"\"},", 333_000),
        "{}]",
        "RuleID",
    ),
    (
        F::Sarif,
        "{\"version\":\"2.1.0\",\"runs\":[{\"tool\":{\"driver\":{\"name\":\"x\"}},\"results\":[",
        OBJECTS,
        "{}]}]}",
        "",
    ),
    (
        F::Sarif,
        "{\"version\":\"2.1.0\",\"runs\":[{\"results\":[],\"tool\":{\"driver\":{\"name\":\"x\",\"rules\":[",
        ("{\"id\":\"#\"},", 499_000),
        "{}]}}}]}",
        "",
    ),
    (
        F::CycloneDx,
        "{\"bomFormat\":\"CycloneDX\",\"components\":[",
        OBJECTS,
        "{}]}",
        "",
    ),
    (
        F::CycloneDx,
        "{\"bomFormat\":\"CycloneDX\",\"vulnerabilities\":[",
        OBJECTS,
        "{}]}",
        "",
    ),
    (
        F::CycloneDx,
        "{\"bomFormat\":\"CycloneDX\",\"components\":[",
        ("{\"licenses\":[{\"license\":{\"name\":\"#\"}}]},", 199_000),
        "{}]}",
        "",
    ),
    (
        F::CycloneDx,
        "{\"bomFormat\":\"CycloneDX\",\"components\":[",
        (NESTED, 16_000),
        "{}]}",
        "",
    ),
    (
        F::Osv,
        "{\"results\":[{\"packages\":[{\"package\":{},\"vulnerabilities\":[",
        ("{\"affected\":[{}]},", 249_000),
        "{}]}]}]}",
        "",
    ),
    (
        F::Benchmarks,
        "[",
        ("{\"name\":\"#\",\"value\":1},", 333_000),
        "{}]",
        "name",
    ),
    (
        F::Axe,
        "[",
        ("{\"url\":\"\",\"violations\":[]},", 249_000),
        "{}]",
        "url",
    ),
    (
        F::Lighthouse,
        "{\"lighthouseVersion\":\"1\",\"categories\":{",
        ("\"#\":{},", 499_000),
        "\"accessibility\":{}}}",
        "could not give the page a score",
    ),
    (
        F::K6,
        "{\"metrics\":{",
        ("\"#\":{},", 499_000),
        "\"x\":{}}}",
        "http_req_duration",
    ),
    (
        F::K6,
        "{\"metrics\":{\"http_req_duration\":{",
        ("\"#\":{},", 499_000),
        "\"x\":{}}}}",
        "",
    ),
    (
        F::PipAudit,
        "{\"fixes\":[],\"dependencies\":[",
        ("{\"name\":\"\",\"vulns\":[]},", 249_000),
        "{}]}",
        "name",
    ),
    (
        F::NpmAudit,
        "{\"auditReportVersion\":2,\"vulnerabilities\":{",
        ("\"#\":{\"via\":[]},", 332_000),
        "\"x\":{}}}",
        "via",
    ),
    (
        F::NpmAudit,
        "{\"auditReportVersion\":2,\"vulnerabilities\":{\"a\":{\"via\":[",
        OBJECTS,
        "{}]}}}",
        "",
    ),
    (
        F::NpmAudit,
        "{\"auditReportVersion\":2,\"vulnerabilities\":{\"a\":{\"via\":[{\"x\":[",
        OBJECTS,
        "{}]}]}}}",
        "",
    ),
    // The most that was found, in a file that is as long as it may be.
    (
        F::NpmAudit,
        "{\"metadata\":{},\"advisories\":{",
        (PADDED, 499_000),
        "\"x\":{}}}",
        "",
    ),
    (
        F::Osv,
        "{\"results\":[{\"packages\":[{\"package\":{},\"vulnerabilities\":[",
        OBJECTS,
        "{}]}]}]}",
        "",
    ),
    (
        F::Osv,
        "{\"results\":[{\"packages\":[{\"package\":{},\"groups\":[",
        OBJECTS,
        "{}]}]}]}",
        "",
    ),
    (
        F::Osv,
        "{\"results\":[],\"x\":[",
        OBJECTS,
        "{}]}",
        "no experimental_config",
    ),
    (F::Radon, "{", ("\"#\":[],", 499_000), "\"x\":[]}", ""),
    (
        F::Radon,
        "{\"a.py\":[",
        OBJECTS,
        "{}]}",
        "no report of radon",
    ),
];

/// In a report, it stands for a byte that is in no text.
const STRAY: &str = "\u{7f}";

fn write(folder: &Folder, hostile: &Hostile) {
    let (format, head, (one, times), tail, _) = hostile;
    let root = folder.folders().checkout();
    fs::write(script_file(&folder.folders()), "").unwrap();
    let mut file = BufWriter::new(fs::File::create(root.join("report")).unwrap());
    file.write_all(head.as_bytes()).unwrap();
    for number in 0..*times {
        let one = one.replace('#', &number.to_string());
        let one = if one == STRAY {
            &[0xff]
        } else {
            one.as_bytes()
        };
        file.write_all(one).unwrap();
    }
    file.write_all(tail.as_bytes()).unwrap();
    file.flush().unwrap();
    let format = serde_json::to_vec(format).unwrap();
    fs::write(folder.0.join("format"), format).unwrap();
}

/// One of the figures that the kernel has of this process, in KiB.
fn memory(field: &str) -> u64 {
    let text = fs::read_to_string("/proc/self/status").unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(field));
    let number = line.unwrap().trim().trim_end_matches("kB").trim();
    number.parse().unwrap()
}

/// What the process of its own does: it reads, as the runner does after a script.
fn read_alone(folder: &Path) {
    let format = fs::read(folder.join("format")).unwrap();
    let task = ScriptTask {
        reports: vec![(
            serde_json::from_slice(&format).unwrap(),
            vec!["report".to_owned()],
        )],
        ..ScriptTask::default()
    };
    let folders = Folders {
        workspace: folder.to_owned(),
    };
    let left = Left::find(&task, &folders).unwrap();
    // From here on, the peak is what comes.
    fs::write("/proc/self/clear_refs", "5").unwrap();
    let before = memory("VmHWM:");
    let read = read(&left, Bounds::ALL, &mut Collected::default());
    let took = memory("VmHWM:").saturating_sub(before);
    println!("\ntook {took}\nsaid {}", read.err().unwrap_or_default());
}

/// What reading it took, in KiB, and what was said.
fn cost(folder: &Folder) -> (u64, String) {
    let (_, module) = module_path!().split_once("::").unwrap();
    let test = format!("{module}::a_hostile_report_costs_a_bounded_amount_of_memory");
    let output = Command::new(std::env::current_exe().unwrap())
        .args([test.as_str(), "--exact", "--nocapture"])
        .env(FOLDER, &folder.0)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let line = |start| said.lines().find_map(|line| line.strip_prefix(start));
    match (line("took "), line("said ")) {
        (Some(took), Some(words)) => (took.parse().unwrap(), words.to_owned()),
        _ => panic!("{said}{}", String::from_utf8_lossy(&output.stderr)),
    }
}

#[test]
fn a_hostile_report_costs_a_bounded_amount_of_memory() {
    if let Some(folder) = std::env::var_os(FOLDER) {
        read_alone(Path::new(&folder));
        return;
    }
    let mut wrong = Vec::new();
    for hostile in HOSTILE {
        let folder = Folder::new("hostile");
        write(&folder, hostile);
        let size = fs::metadata(folder.folders().checkout().join("report")).unwrap();
        let size = size.len() >> 20;
        let (took, said) = cost(&folder);
        let (format, head, (one, times), _, says) = hostile;
        let head = &head[head.len().saturating_sub(40)..];
        let what = format!("{format} {head} {one} × {times}").replace('\n', " ");
        println!(
            "{what}: {size} MiB take {} MiB of {}; {said}",
            took >> 10,
            MOST >> 10
        );
        let is_said = said.contains(says) && says.is_empty() == said.is_empty();
        if took > MOST || !is_said || said.len() > 400 {
            wrong.push(format!("{what}: {took} KiB; {said}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
