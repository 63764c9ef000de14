//! What an auditor asks of a Release, answered from records. Pure.

use kube::ResourceExt;
use serde::Serialize;

use super::{Delivery, Findings, Records};
use crate::environment::api::Tier;
use crate::model::span::exact;
use crate::pipeline_run::api::{AttestationKind, FindingCategory, GateResult, Severity};
use crate::promotion::api::{PromotionKind, PromotionPhase};
use crate::schema::closed_set;

closed_set! {
    /// An answer.
    pub enum Answer {
        /// It is so, and a record says so.
        Yes,
        /// It is not so.
        No,
        /// No record tells.
        Unknown,
    }
}

/// A question, and the answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Check {
    /// A word that tells it apart.
    pub id: &'static str,
    /// The question.
    pub question: &'static str,
    /// `Yes`, `No` or `Unknown`.
    pub answer: Answer,
    /// What was found, in one sentence.
    pub detail: String,
    /// The records that it was read off.
    pub evidence: Vec<String>,
}

/// All of them, in the order in which they are asked.
pub(super) fn answers(
    records: &Records,
    findings: &[Findings],
    deliveries: &[Delivery],
) -> Vec<Check> {
    let attested = |kind, id, question| attested(records, kind, (id, question));
    vec![
        reviewed(records, deliveries),
        tested(records),
        gates(records),
        scanned(records, findings),
        attested(
            AttestationKind::SBOM,
            "bill-of-materials",
            "Is it known what is in it?",
        ),
        licences(records),
        attested(
            AttestationKind::Signature,
            "signed",
            "Does somebody stand for every image, by a signature?",
        ),
        attested(
            AttestationKind::Provenance,
            "provenance",
            "Is it known how every image was built?",
        ),
        approved(deliveries),
        deployed(deliveries),
    ]
}

fn check(
    (id, question): (&'static str, &'static str),
    answer: Answer,
    detail: impl Into<String>,
    evidence: Vec<String>,
) -> Check {
    Check {
        id,
        question,
        answer,
        detail: detail.into(),
        evidence,
    }
}

fn own(records: &Records, field: &str) -> Vec<String> {
    vec![format!("Release {}: {field}", records.release.name_any())]
}

fn listed<'a>(all: impl Iterator<Item = &'a str>) -> String {
    let mut all: Vec<&str> = all.collect();
    all.sort_unstable();
    all.dedup();
    all.join(", ")
}

/// Reviews with the git provider are on no record. People who approved a promotion, and have written none of its commits, are.
fn reviewed(records: &Records, deliveries: &[Delivery]) -> Check {
    let spec = &records.release.spec;
    let is_author = |user: &str| {
        let commits = std::iter::once(&spec.commit).chain(&spec.changes);
        let mut names = commits.flat_map(|commit| [&commit.author, &commit.email]);
        names.any(|name| name.eq_ignore_ascii_case(user))
    };
    let all = deliveries.iter().flat_map(|one| &one.approvals);
    let others: Vec<_> = all.filter(|approval| !is_author(&approval.user)).collect();
    let question = (
        "reviewed",
        "Has somebody other than its authors looked at it?",
    );
    if others.is_empty() {
        let detail = "nobody else has approved a promotion of it; reviews with the git provider are not on record";
        return check(question, Answer::Unknown, detail, Vec::new());
    }
    let names = listed(others.iter().map(|approval| approval.user.as_str()));
    let evidence = others
        .iter()
        .map(|one| format!("Decision {}", one.decision));
    check(
        question,
        Answer::Yes,
        format!("approved by {names}, who are not among its authors"),
        evidence.collect(),
    )
}

fn tested(records: &Records) -> Check {
    let question = ("tested", "Was it tested, and did its tests pass?");
    let Some(tests) = records.release.spec.evidence.tests else {
        let detail = "no stage reported tests";
        return check(question, Answer::Unknown, detail, Vec::new());
    };
    // What is in quarantine is not held against a commit, and is told.
    let held = tests.failed.saturating_sub(tests.quarantined);
    let answer = match (tests.total, held) {
        (0, _) => Answer::Unknown,
        (_, 0) => Answer::Yes,
        _ => Answer::No,
    };
    let detail = format!(
        "{} of {} tests passed, {} failed ({} in quarantine), {} were skipped, {} were flaky",
        tests.passed, tests.total, tests.failed, tests.quarantined, tests.skipped, tests.flaky
    );
    let mut evidence = own(records, "spec.evidence.tests");
    evidence.push(format!("PipelineRun {}", records.release.spec.evidence.run));
    check(question, answer, detail, evidence)
}

fn gates(records: &Records) -> Check {
    let question = ("gates", "Did it pass the gates of its Pipeline?");
    let gates = &records.release.spec.evidence.gates;
    if gates.is_empty() {
        let detail = "the Pipeline has no gates";
        return check(question, Answer::Unknown, detail, Vec::new());
    }
    let with = |result: GateResult| {
        let all = gates.iter().filter(move |gate| gate.result == result);
        listed(all.map(|gate| gate.name.as_str()))
    };
    let parts = GateResult::ALL.iter().filter_map(|result| {
        let names = with(*result);
        (!names.is_empty()).then(|| format!("{result}: {names}"))
    });
    let detail: Vec<String> = parts.collect();
    let has = |result| gates.iter().any(|gate| gate.result == result);
    let answer = if has(GateResult::Failed) || has(GateResult::Warned) {
        Answer::No
    } else if has(GateResult::NoData) {
        Answer::Unknown
    } else {
        Answer::Yes
    };
    let evidence = own(records, "spec.evidence.gates");
    check(question, answer, detail.join("; "), evidence)
}

fn scanned(records: &Records, findings: &[Findings]) -> Check {
    let question = ("scanned", "Was it scanned for known vulnerabilities?");
    let mut all = findings.iter();
    let Some(found) = all.find(|one| one.category == FindingCategory::Vulnerability) else {
        let detail = "no stage reported vulnerabilities, or that there are none";
        return check(question, Answer::Unknown, detail, Vec::new());
    };
    let counts = Severity::ALL.iter();
    let counts = counts.map(|severity| format!("{} {severity}", found.total.of(*severity)));
    let counts: Vec<String> = counts.collect();
    let detail = format!(
        "{}; {} without a repair",
        counts.join(", "),
        found.unfixed.sum()
    );
    let evidence = own(records, "spec.evidence.reports");
    check(question, Answer::Yes, detail, evidence)
}

fn licences(records: &Records) -> Check {
    let question = ("licences", "Are the licences of what is in it known?");
    let reports = &records.release.spec.evidence.reports;
    let sums = reports.iter().map(|stage| {
        let listed = stage.summary.licences.values().copied();
        listed.fold(stage.summary.unlisted_licences, u32::saturating_add)
    });
    let components = sums.fold(0, u32::saturating_add);
    if components == 0 {
        let detail = "no stage reported licences";
        return check(question, Answer::Unknown, detail, Vec::new());
    }
    let detail = format!("those of {components} components were reported");
    let evidence = own(records, "spec.evidence.reports");
    check(question, Answer::Yes, detail, evidence)
}

fn attested(
    records: &Records,
    kind: AttestationKind,
    question: (&'static str, &'static str),
) -> Check {
    let spec = &records.release.spec;
    if spec.images.is_empty() {
        let detail = "it has no images";
        return check(question, Answer::Unknown, detail, Vec::new());
    }
    let said = spec.evidence.attestations.iter();
    let said: Vec<_> = said.filter(|one| one.kind == kind).collect();
    let images = spec.images.iter();
    let without = images.filter(|image| said.iter().all(|one| one.image != image.name));
    let without = listed(without.map(|image| image.name.as_str()));
    let evidence = said.iter().map(|one| {
        let image = spec.images.iter().find(|image| image.name == one.image);
        let repository = image.map_or("", |image| image.repository.as_str());
        format!("{repository}@{}", one.digest)
    });
    let (answer, detail) = if without.is_empty() {
        (Answer::Yes, format!("{kind} of every image"))
    } else {
        (Answer::No, format!("no {kind} of {without}"))
    };
    check(question, answer, detail, evidence.collect())
}

fn to_production(deliveries: &[Delivery]) -> impl Iterator<Item = &Delivery> {
    deliveries.iter().filter(|one| {
        one.tier == Some(Tier::Production) && !one.kind.is_of_database() && one.started_at.is_some()
    })
}

fn approved(deliveries: &[Delivery]) -> Check {
    let question = (
        "approved",
        "Did people approve it before it went to production?",
    );
    // Going back needs no approval.
    let all = to_production(deliveries).filter(|one| one.kind != PromotionKind::Rollback);
    let all: Vec<&Delivery> = all.collect();
    if all.is_empty() {
        let detail = "it was not promoted to production, as far as is on record";
        return check(question, Answer::Unknown, detail, Vec::new());
    }
    let without = all.iter().filter(|one| one.approvals.is_empty());
    let without = listed(without.map(|one| one.promotion.as_str()));
    let approvals = || all.iter().flat_map(|one| &one.approvals);
    let names = listed(approvals().map(|approval| approval.user.as_str()));
    let evidence = all.iter().map(|one| format!("Promotion {}", one.promotion));
    let decisions = approvals().map(|approval| format!("Decision {}", approval.decision));
    let evidence = evidence.chain(decisions).collect();
    if without.is_empty() {
        let detail = format!("approved by {names}");
        return check(question, Answer::Yes, detail, evidence);
    }
    let detail = format!("nobody approved {without}");
    check(question, Answer::No, detail, evidence)
}

fn deployed(deliveries: &[Delivery]) -> Check {
    let question = ("deployed", "When did it go to production?");
    let good = to_production(deliveries).filter(|one| one.phase == PromotionPhase::Succeeded);
    let good: Vec<&Delivery> = good.collect();
    let (Some(first), true) = (good.last(), !good.is_empty()) else {
        let tried = to_production(deliveries).next().is_some();
        let (answer, detail) = if tried {
            (Answer::No, "it was tried, and did not stay")
        } else {
            (Answer::Unknown, "it was not, as far as is on record")
        };
        return check(question, answer, detail, Vec::new());
    };
    let at = first.finished_at.as_ref();
    let at = at.map_or_else(String::new, |at| format!(" at {}", exact(at.0)));
    let places = listed(good.iter().map(|one| one.environment.as_str()));
    let evidence = good
        .iter()
        .map(|one| format!("Promotion {}", one.promotion));
    let detail = format!("first{at}, in {}; in all in {places}", first.environment);
    check(question, Answer::Yes, detail, evidence.collect())
}
