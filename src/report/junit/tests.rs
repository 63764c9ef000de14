//! The forms that tools write.

use proptest::prelude::*;

use super::*;

fn read(xml: &str) -> Summary {
    let mut summary = Summary::default();
    summary.add(xml.as_bytes(), &[]).unwrap();
    summary
}

fn counts(xml: &str) -> [u32; 4] {
    let counts = read(xml).counts;
    [counts.total, counts.passed, counts.failed, counts.skipped]
}

#[test]
fn pytest() {
    let xml = r#"<?xml version="1.0" encoding="utf-8"?><testsuites><testsuite name="pytest" errors="1" failures="1" skipped="1" tests="4" time="0.1">
        <testcase classname="tests.test_a" name="test_good" time="0.001" />
        <testcase classname="tests.test_a" name="test_bad"><failure message="assert 1 == 2&#10; +  where">def test_bad(): ...</failure></testcase>
        <testcase classname="tests.test_a" name="test_skip"><skipped type="pytest.skip" message="later">x</skipped></testcase>
        <testcase classname="" name="tests.test_b"><error message="collection failure">ImportError</error></testcase>
        </testsuite></testsuites>"#;
    assert_eq!(counts(xml), [4, 1, 2, 1]);
    let failed = read(xml).failed;
    assert_eq!(failed[0].name, "tests.test_a.test_bad");
    assert_eq!(
        failed[0].message.as_deref(),
        Some("assert 1 == 2\n +  where")
    );
    assert_eq!(failed[1].name, "tests.test_b");
}

#[test]
fn suites_within_suites() {
    let xml = r#"<testsuites><testsuite><testsuite><testcase name="a"/></testsuite><testcase name="b"/></testsuite>
        <testsuite><testcase name="c"><failure>no message here</failure></testcase></testsuite></testsuites>"#;
    assert_eq!(counts(xml), [3, 2, 1, 0]);
    assert_eq!(
        read(xml).failed[0].message.as_deref(),
        Some("no message here")
    );
}

#[test]
fn flaky_tests_of_surefire_and_nextest_have_passed() {
    let xml = r#"<testsuite>
        <testcase name="flaky"><flakyFailure message="first try"/><flakyError message="second"/></testcase>
        <testcase name="lost"><failure message="still"/><rerunFailure message="again"><stackTrace>x</stackTrace></rerunFailure></testcase>
        </testsuite>"#;
    assert_eq!(counts(xml), [2, 1, 1, 0]);
    assert_eq!(read(xml).counts.flaky, 1);
    assert_eq!(read(xml).flaky, ["flaky"]);
}

#[test]
fn failures_in_quarantine_are_counted_apart_and_listed_last() {
    let xml = r#"<testsuite><testcase classname="a" name="known"><failure/></testcase><testcase name="new"><failure/></testcase>
        <testcase classname="a" name="fine"/></testsuite>"#;
    let mut summary = Summary::default();
    let quarantine = ["a.known".to_owned(), "a.fine".to_owned()];
    summary.add(xml.as_bytes(), &quarantine).unwrap();
    assert_eq!((summary.counts.failed, summary.counts.quarantined), (2, 1));
    let names: Vec<&str> = summary.failed.iter().map(|t| t.name.as_str()).collect();
    assert_eq!(names, ["new", "a.known"]);
}

#[test]
fn one_test_with_a_failure_and_an_error_has_failed_once() {
    let xml = r#"<testsuite><testcase name="a"><failure message="one"/><error message="two"/></testcase></testsuite>"#;
    assert_eq!(counts(xml), [1, 0, 1, 0]);
    assert_eq!(read(xml).failed[0].message.as_deref(), Some("one"));
}

#[test]
fn a_failure_outside_of_any_test_counts() {
    let xml = r#"<testsuite name="s"><error message="setup"/><testcase name="a"/></testsuite>"#;
    assert_eq!(counts(xml), [2, 1, 1, 0]);
}

#[test]
fn tests_that_were_not_run_are_skipped() {
    let xml = r#"<testsuite><testcase name="a" status="notrun"/><testcase name="b" status="run"/></testsuite>"#;
    assert_eq!(counts(xml), [2, 1, 0, 1]);
}

#[test]
fn an_element_of_that_name_within_output_is_no_failure() {
    let xml = r#"<testsuite><testcase name="a"><system-out><![CDATA[<failure/>]]></system-out>
        <properties><property name="failure" value="x"/></properties></testcase></testsuite>"#;
    assert_eq!(counts(xml), [1, 1, 0, 0]);
}

#[test]
fn totals_in_attributes_are_not_believed() {
    assert_eq!(
        counts(r#"<testsuite tests="100" failures="0"/>"#),
        [0, 0, 0, 0]
    );
}

#[test]
fn what_is_cut_off_or_something_else_is_an_error_and_adds_nothing() {
    let mut summary = Summary::default();
    for bad in [
        "",
        "no xml",
        "<coverage/>",
        r#"<testsuite><testcase name="a"/>"#,
        r#"<testsuite><testcase name="a"></testsuite>"#,
        "<testsuite><testcase",
    ] {
        assert!(summary.add(bad.as_bytes(), &[]).is_err(), "{bad}");
    }
    assert_eq!(summary, Summary::default());
}

#[test]
fn entities_are_not_expanded_and_nesting_ends() {
    let bomb = r#"<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]>
        <testsuite><testcase name="&b;"><failure message="&b;"/></testcase></testsuite>"#;
    assert_eq!(counts(bomb), [1, 0, 1, 0]);
    let deep = "<testsuite>".repeat(100);
    assert!(matches!(
        Summary::default().add(deep.as_bytes(), &[]),
        Err(ReportError::Deep)
    ));
}

#[test]
fn only_the_first_failures_are_kept() {
    let cases = r#"<testcase name="a"><failure/></testcase>"#.repeat(30);
    let summary = read(&format!("<testsuite>{cases}</testsuite>"));
    assert_eq!(summary.counts.failed, 30);
    assert_eq!(summary.failed.len(), MAX_LISTED);
}

proptest! {
    #[test]
    fn garbage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = Summary::default().add(&bytes, &[]);
        let wrapped = [b"<testsuite><testcase>".as_slice(), &bytes].concat();
        let _ = Summary::default().add(&wrapped, &[]);
    }
}
