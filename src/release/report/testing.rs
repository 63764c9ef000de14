//! Records of a Release for tests, and the report of it.

use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::{Records, Report, report};
use crate::environment::api::Environment;
use crate::pipeline_run::api::PipelineRun;
use crate::promotion::api::Promotion;
use crate::release::api::Release;

/// When reports are made.
fn now() -> Timestamp {
    "2026-11-28T12:00:00Z".parse().unwrap()
}

/// All that a report is read off, as it stands in YAML.
#[derive(Clone, Debug)]
pub(crate) struct Shop {
    pub(crate) release: Value,
    pub(crate) before: Value,
    pub(crate) promotions: Vec<Value>,
    pub(crate) environments: Vec<Value>,
}

fn read<T: DeserializeOwned>(value: &Value) -> T {
    serde_json::from_value(value.clone()).unwrap()
}

fn object(kind: &str, name: &str, created: &str, spec: &Value) -> Value {
    json!({
        "apiVersion": "slipway.dev/v1alpha1", "kind": kind,
        "metadata": {"namespace": "shop", "name": name, "uid": format!("uid-{name}"), "creationTimestamp": created},
        "spec": spec,
    })
}

fn commit(sha: &str, author: &str, subject: &str) -> Value {
    json!({"sha": sha.repeat(40), "author": author, "email": format!("{author}@example.com"),
           "committedAt": "2026-11-26T09:00:00Z", "subject": subject})
}

fn a_release(name: &str, created: &str, previous: Option<&str>, covered: u32) -> Value {
    let digest = |letter: &str| format!("sha256:{}", letter.repeat(64));
    let said =
        |kind: &str, letter: &str| json!({"image": "api", "kind": kind, "digest": digest(letter)});
    let spec = json!({
        "pipeline": "shop", "version": "1.3.0", "ref": "refs/heads/main", "previous": previous,
        "commit": commit("a", "alice", "feat: pay later"),
        "changes": [commit("a", "alice", "feat: pay later"), commit("b", "bob", "fix: a sum")],
        "images": [{"name": "api", "repository": "registry.example/shop/api", "digest": digest("9")}],
        "evidence": {
            "run": "shop-7",
            "tests": {"total": 120, "passed": 117, "failed": 1, "skipped": 2, "flaky": 1, "quarantined": 1},
            "gates": [
                {"name": "tests", "result": "Passed", "measured": "0 failed", "threshold": "at most 0 failures"},
                {"name": "vulnerabilities", "result": "Waived", "measured": "1 High",
                 "waivers": ["CVE-2026-1 until 2026-12-31, carol"]}],
            "attestations": [said("SBOM", "1"), said("Signature", "2"), said("Provenance", "3")],
            "reports": [
                {"stage": "unit", "summary": {"coverage": {"lines": 1000, "coveredLines": covered, "branches": 100, "coveredBranches": 60}}},
                {"stage": "scan", "summary": {
                    "licences": {"MIT": 80, "Apache-2.0": 40},
                    "findings": [{"category": "Vulnerability", "total": {"critical": 0, "high": 1, "medium": 2, "low": 0},
                                  "unfixed": {"critical": 0, "high": 0, "medium": 1, "low": 0}, "marks": ""}]}}],
        },
    });
    object("Release", name, created, &spec)
}

impl Default for Shop {
    fn default() -> Self {
        let release = a_release("shop-2", "2026-11-26T10:00:00Z", Some("shop-1"), 810);
        let before = a_release("shop-1", "2026-11-20T10:00:00Z", Some("shop-0"), 790);
        let image = format!("registry.example/shop/api@sha256:{}", "9".repeat(64));
        let mut promotion = object(
            "Promotion",
            "production-999999999999-1",
            "2026-11-27T08:00:00Z",
            &json!({"environment": "production", "release": "shop-2", "pipeline": "shop", "kind": "Promote", "attempt": 1,
                    "requestedBy": "slipway", "number": 4, "policyHash": "f".repeat(64), "previous": "shop-1",
                    "images": [{"name": "api", "ref": image}]}),
        );
        promotion["status"] = json!({
            "phase": "Succeeded", "startedAt": "2026-11-27T09:00:00Z", "finishedAt": "2026-11-27T09:20:00Z",
            "approvals": [{"user": "carol", "at": "2026-11-27T08:30:00Z", "decision": "production-approve-1"}],
            "steps": [{"name": "rollout-api", "state": "Succeeded"}, {"name": "smoke-paths", "state": "Succeeded"}],
            "audit": [{"seq": 1, "at": "2026-11-27T08:00:00Z", "actor": "slipway", "event": "made", "prevHash": "", "hash": "c".repeat(64)}],
        });
        let spec = json!({"tier": "Production", "promotion": {"from": {"pipelines": ["shop"]}}, "rollouts": [{"name": "api"}]});
        let mut environment = object("Environment", "production", "2026-01-01T00:00:00Z", &spec);
        environment["status"] = json!({
            "current": [{"pipeline": "shop", "release": "shop-2", "promotion": "production-999999999999-1", "images": [],
                         "since": "2026-11-27T09:20:00Z"}],
            "slos": [{"name": "availability", "state": "Met", "remainingBudget": "0.62"}],
        });
        Self {
            release,
            before,
            promotions: vec![promotion],
            environments: vec![environment],
        }
    }
}

impl Shop {
    pub(crate) fn report(&self) -> Report {
        let run = object(
            "PipelineRun",
            "shop-7",
            "2026-11-26T09:30:00Z",
            &json!({"pipelineRef": {"name": "shop"}, "ref": "refs/heads/main", "trigger": {"kind": "Push", "actor": "alice"}}),
        );
        let run: PipelineRun = read(&run);
        let release: Release = read(&self.release);
        let releases = [read(&self.before), release.clone()];
        let promotions: Vec<Promotion> = self.promotions.iter().map(read).collect();
        let environments: Vec<Environment> = self.environments.iter().map(read).collect();
        let records = Records {
            release: &release,
            releases: &releases,
            run: Some(&run),
            promotions: &promotions,
            environments: &environments,
        };
        report(&records, now())
    }
}

/// The report of a Release that went to production.
pub(crate) fn shop() -> Report {
    Shop::default().report()
}

/// The same of one whose author means harm.
pub(crate) fn hostile() -> Report {
    let mut shop = Shop::default();
    let subject = "<script>alert(1)</script> [x](http://evil) <img src=x> | \u{7} @everyone `";
    shop.release["spec"]["commit"]["subject"] = subject.into();
    shop.release["spec"]["changes"][0]["subject"] = subject.into();
    shop.report()
}
