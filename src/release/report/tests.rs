//! What reports answer.

use serde_json::{Value, json};

use super::testing::{Shop, shop};
use super::{Answer, Report};

fn answers(report: &Report) -> Vec<(&'static str, Answer)> {
    let all = report.checklist.iter();
    all.map(|check| (check.id, check.answer)).collect()
}

fn answer(shop: &Shop, id: &str) -> Answer {
    let report = shop.report();
    let mut all = report.checklist.into_iter();
    all.find(|check| check.id == id).unwrap().answer
}

#[test]
fn every_answer_has_the_record_that_says_so() {
    let report = shop();
    for check in &report.checklist {
        assert_eq!(check.answer, Answer::Yes, "{check:?}");
        assert!(!check.evidence.is_empty(), "{check:?}");
    }
    assert_eq!(report.trend.len(), 2, "the Release before that is gone");
    assert_eq!(report.trend[0].line_coverage.as_deref(), Some("79.00"));
    assert_eq!(report.trend[1].line_coverage.as_deref(), Some("81.00"));
}

#[test]
fn what_no_record_says_is_unknown() {
    let mut shop = Shop::default();
    shop.promotions.clear();
    shop.environments.clear();
    shop.release["spec"]["evidence"] = json!({"run": "shop-7"});
    let report = shop.report();
    let expected = [
        ("reviewed", Answer::Unknown),
        ("tested", Answer::Unknown),
        ("gates", Answer::Unknown),
        ("scanned", Answer::Unknown),
        // That nothing is said about an image is known.
        ("bill-of-materials", Answer::No),
        ("licences", Answer::Unknown),
        ("signed", Answer::No),
        ("provenance", Answer::No),
        ("approved", Answer::Unknown),
        ("deployed", Answer::Unknown),
    ];
    assert_eq!(answers(&report), expected);
    assert_eq!((report.tests, report.coverage), (None, None));
}

#[test]
fn an_answer_is_no_where_a_record_says_no() {
    for (id, path, value) in [
        (
            "tested",
            "/release/spec/evidence/tests/quarantined",
            json!(0),
        ),
        (
            "gates",
            "/release/spec/evidence/gates/0/result",
            json!("Warned"),
        ),
        (
            "signed",
            "/release/spec/evidence/attestations/1/image",
            json!("web"),
        ),
        ("approved", "/promotion/status/approvals", json!([])),
        ("deployed", "/promotion/status/phase", json!("RolledBack")),
    ] {
        let mut shop = Shop::default();
        assert_eq!(answer(&shop, id), Answer::Yes, "{id}");
        let mut all = json!({"release": shop.release, "promotion": shop.promotions[0]});
        *all.pointer_mut(path).unwrap() = value;
        shop.release = all["release"].take();
        shop.promotions[0] = all["promotion"].take();
        assert_eq!(answer(&shop, id), Answer::No, "{id}");
    }
}

#[test]
fn an_author_who_approves_has_not_reviewed() {
    let mut shop = Shop::default();
    shop.promotions[0]["status"]["approvals"][0]["user"] = "bob@example.com".into();
    assert_eq!(answer(&shop, "reviewed"), Answer::Unknown);
    assert_eq!(answer(&shop, "approved"), Answer::Yes);
}

#[test]
fn a_report_is_bounded_and_says_which_form_it_has() {
    let mut shop = Shop::default();
    let one = shop.promotions[0].clone();
    for number in 0..200 {
        let mut more = one.clone();
        more["metadata"]["name"] = format!("production-{number}").into();
        shop.promotions.push(more);
    }
    let licences = (0..48).map(|number| (format!("L{number}"), Value::from(number)));
    let licences: serde_json::Map<String, Value> = licences.collect();
    shop.release["spec"]["evidence"]["reports"][0]["summary"]["licences"] = licences.into();
    let report = shop.report();
    assert_eq!(report.promotions.len(), 50);
    assert_eq!(report.licences.len(), 50);
    let read: Value = serde_json::to_value(&report).unwrap();
    assert_eq!(read["schema"], "slipway.dev/quality-report/v1");
}

#[test]
fn a_set_counts_for_its_members() {
    let alone = shop();
    let mut shop = Shop::default();
    let members =
        json!([{"pipeline": "shop", "release": "shop-2"}, {"pipeline": "web", "release": "web-1"}]);
    for spec in [
        &mut shop.promotions[0]["spec"],
        &mut shop.environments[0]["status"]["current"][0],
    ] {
        spec["release"] = json!("all-0123456789ab");
        spec["pipeline"] = json!("all");
        spec["members"] = members.clone();
    }
    let report = shop.report();
    assert_eq!(report.promotions, alone.promotions);
    assert_eq!(report.budgets, alone.budgets);
    assert!(!report.budgets.is_empty());
}
