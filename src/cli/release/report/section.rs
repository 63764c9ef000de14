//! A quality report as headings and tables, whatever they are written in. No I/O.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::model::span::exact;
use crate::pipeline_run::api::Severity;
use crate::release::report::{Delivery, Report};

/// Characters of a commit that people read.
const SHORT: usize = 12;

/// A heading, and a table below it. The first cell of a row says what the row is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    /// The heading.
    pub title: &'static str,
    /// What stands there where the table would be empty.
    pub without: &'static str,
    /// Headings of the columns.
    pub headings: Vec<&'static str>,
    /// The rows.
    pub rows: Vec<Vec<String>>,
}

/// The name of what the report is about, as its title.
pub fn title(report: &Report) -> String {
    let about = &report.release;
    let version = about.version.as_ref();
    let version = version.map_or(String::new(), |version| format!(" ({version})"));
    format!("Quality report of {}{version}", about.name)
}

/// All sections, in their order.
pub fn sections(report: &Report) -> Vec<Section> {
    vec![
        about(report),
        checklist(report),
        gates(report),
        tests(report),
        trend(report),
        findings(report),
        section(
            "Licences",
            "No licences were reported.",
            ["Licence", "Components"],
            report
                .licences
                .iter()
                .map(|one| [one.licence.clone(), one.components.to_string()]),
        ),
        section(
            "Statements about images",
            "Nothing is said about its images.",
            ["Image", "Statement", "Digest"],
            report
                .attestations
                .iter()
                .map(|one| [one.image.clone(), one.kind.to_string(), one.digest.clone()]),
        ),
        promotions(report),
        section(
            "Error budgets where it runs",
            "It runs nowhere, or there are no SLOs.",
            ["SLO", "Environment", "State", "Left"],
            report.budgets.iter().map(|one| {
                let left = one.remaining.clone().unwrap_or_else(unknown);
                [
                    one.slo.clone(),
                    one.environment.clone(),
                    one.state.to_string(),
                    left,
                ]
            }),
        ),
        changes(report),
    ]
}

fn section<const N: usize>(
    title: &'static str,
    without: &'static str,
    headings: [&'static str; N],
    rows: impl Iterator<Item = [String; N]>,
) -> Section {
    Section {
        title,
        without,
        headings: headings.to_vec(),
        rows: rows.map(|row| row.to_vec()).collect(),
    }
}

fn unknown() -> String {
    "–".to_owned()
}

fn at(at: Option<&Time>) -> String {
    at.map_or_else(unknown, |at| exact(at.0))
}

fn about(report: &Report) -> Section {
    let about = &report.release;
    let images = about.images.iter().map(|image| image.reference.clone());
    let made: Vec<String> = images.chain(about.packages.iter().cloned()).collect();
    let rows = [
        ("Namespace", Some(about.namespace.clone())),
        ("Pipeline", Some(about.pipeline.clone())),
        ("Kind", Some(about.kind.to_string())),
        ("Ref", Some(about.git_ref.clone())),
        ("Commit", Some(about.commit.sha.clone())),
        ("Author", Some(about.commit.author.clone())),
        ("Subject", Some(about.commit.subject.clone())),
        ("Release before it", about.previous.clone()),
        ("Made", Some(at(about.created_at.as_ref()))),
        ("Run", Some(about.run.clone())),
        ("Run started by", about.started_by.clone()),
        ("Images and packages", Some(made.join(", "))),
    ];
    let rows = rows.into_iter().map(|(name, value)| {
        let value = value.filter(|value| !value.is_empty());
        [name.to_owned(), value.unwrap_or_else(unknown)]
    });
    section("Release", "", ["Fact", "Value"], rows)
}

fn checklist(report: &Report) -> Section {
    let rows = report.checklist.iter().map(|check| {
        [
            check.question.to_owned(),
            check.answer.to_string(),
            check.detail.clone(),
            check.evidence.join("; "),
        ]
    });
    let headings = ["Question", "Answer", "Found", "Evidence"];
    section("Checklist", "", headings, rows)
}

fn gates(report: &Report) -> Section {
    let rows = report.gates.iter().map(|gate| {
        let text = |text: &Option<String>| text.clone().unwrap_or_else(unknown);
        [
            gate.name.clone(),
            gate.result.to_string(),
            text(&gate.measured),
            text(&gate.threshold),
            gate.waivers.join("; "),
        ]
    });
    let headings = ["Gate", "Result", "Measured", "Asked for", "Waivers"];
    section("Gates", "The Pipeline has no gates.", headings, rows)
}

fn tests(report: &Report) -> Section {
    let mut rows = Vec::new();
    if let Some(tests) = report.tests {
        for (name, count) in [
            ("Tests", tests.total),
            ("Passed", tests.passed),
            ("Failed", tests.failed),
            ("Skipped", tests.skipped),
            ("Flaky", tests.flaky),
            ("In quarantine", tests.quarantined),
        ] {
            rows.push([name.to_owned(), count.to_string()]);
        }
    }
    if let Some(coverage) = &report.coverage {
        for (name, percent) in [
            ("Line coverage", &coverage.lines),
            ("Branch coverage", &coverage.branches),
            ("Coverage of changed lines", &coverage.changed_lines),
        ] {
            rows.extend(
                percent
                    .as_ref()
                    .map(|text| [name.to_owned(), format!("{text} %")]),
            );
        }
    }
    section(
        "Tests and coverage",
        "No tests were reported.",
        ["What", "Number"],
        rows.into_iter(),
    )
}

fn trend(report: &Report) -> Section {
    let rows = report.trend.iter().map(|point| {
        let number = |number: Option<u32>| number.map_or_else(unknown, |number| number.to_string());
        let coverage = point.line_coverage.as_ref();
        [
            point.release.clone(),
            point.version.clone().unwrap_or_else(unknown),
            at(point.created_at.as_ref()),
            number(point.tests),
            number(point.failed),
            coverage.map_or_else(unknown, |text| format!("{text} %")),
            number(point.findings),
        ]
    });
    let headings = [
        "Release",
        "Version",
        "Made",
        "Tests",
        "Failed",
        "Line coverage",
        "Findings",
    ];
    section("Trend", "", headings, rows)
}

fn findings(report: &Report) -> Section {
    let rows = report.findings.iter().map(|found| {
        let of = |severity| found.total.of(severity).to_string();
        [
            found.category.to_string(),
            of(Severity::Critical),
            of(Severity::High),
            of(Severity::Medium),
            of(Severity::Low),
            found.unfixed.sum().to_string(),
        ]
    });
    let headings = [
        "About",
        "Critical",
        "High",
        "Medium",
        "Low",
        "Without a repair",
    ];
    section("Findings", "Nobody looked for any.", headings, rows)
}

fn promotions(report: &Report) -> Section {
    section(
        "Promotions",
        "It was not promoted, as far as is on record.",
        [
            "Promotion",
            "Environment",
            "Kind",
            "Phase",
            "Asked by",
            "Approved by",
            "Ended",
            "Steps",
            "Incidents",
        ],
        report.promotions.iter().map(promotion),
    )
}

fn changes(report: &Report) -> Section {
    section(
        "Changes",
        "No commits are on record.",
        ["Commit", "Subject", "Author", "Committed"],
        report.changes.iter().map(|one| {
            let sha = one.sha.chars().take(SHORT).collect();
            [
                sha,
                one.subject.clone(),
                one.author.clone(),
                at(Some(&one.committed_at)),
            ]
        }),
    )
}

fn promotion(one: &Delivery) -> [String; 9] {
    let approvals = one.approvals.iter().map(|approval| approval.user.clone());
    let approvals: Vec<String> = approvals.collect();
    [
        one.promotion.clone(),
        one.environment.clone(),
        one.kind.to_string(),
        one.phase.to_string(),
        one.requested_by.clone(),
        if approvals.is_empty() {
            unknown()
        } else {
            approvals.join(", ")
        },
        at(one.finished_at.as_ref()),
        one.steps.clone(),
        one.incidents.to_string(),
    ]
}
