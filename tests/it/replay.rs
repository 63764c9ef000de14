//! `kubectl slipway analysis test`, as a process, on a past that a real Prometheus has: an hour in which the canary was well for
//! twenty minutes, and then was not.

use std::fmt::Write;
use std::path::PathBuf;
use std::process::Output;

use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::process::Command;

use crate::plugin::{fed, plugin, text, told};
use crate::prometheus::{PASSWORD, Prometheus};

/// Both revisions of then.
const CANARY: &str = "2221a9eb9e";
const STABLE: &str = "22b005613e";
/// When the past begins.
const BEGIN: &str = "2026-03-02T09:00:00Z";

/// Ten requests a second on each side, of which two of a thousand fail; on the canary a fifth from the 20th minute on, which
/// takes its time as well. Samples are 15 seconds apart.
fn past() -> String {
    let begin: Timestamp = BEGIN.parse().unwrap();
    let mut text = "# TYPE http_requests counter\n".to_owned();
    for revision in [CANARY, STABLE] {
        for code in ["200", "500"] {
            let (mut count, mut rest) = (0, 0);
            for n in 0..=240 {
                let is_ill = revision == CANARY && n > 80;
                let in_a_thousand = match (code, is_ill) {
                    ("500", true) => 200,
                    ("500", false) => 2,
                    (_, true) => 800,
                    (_, false) => 998,
                };
                rest += 150 * in_a_thousand;
                count += rest / 1000;
                rest %= 1000;
                let at = begin.as_second() + 15 * n;
                writeln!(text, "http_requests_total{{pod=\"api-{revision}-x2k4f\",code=\"{code}\"}} {count} {at}").unwrap();
            }
        }
    }
    text.push_str("# TYPE request_seconds gauge\n");
    for n in 0..=240 {
        let (seconds, at) = (if n > 80 { 0.9 } else { 0.2 }, begin.as_second() + 15 * n);
        writeln!(
            text,
            "request_seconds{{pod=\"api-{CANARY}-x2k4f\"}} {seconds} {at}"
        )
        .unwrap();
    }
    text.push_str("# EOF\n");
    text
}

/// What is measured, by metrics of three kinds and one that has no past.
fn file(address: &str) -> Value {
    let of = |side: &str, codes: &str| {
        format!("sum by (pod) (http_requests_total{{pod=~\"{{{{{side}.pods}}}}\"{codes}}})")
    };
    let rate = |codes: &str| {
        format!("sum(rate(http_requests_total{{pod=~\"{{{{canary.pods}}}}\"{codes}}}[1m]))")
    };
    let bad = ",code=~\"5..\"";
    let template = json!({
        "apiVersion": "slipway.dev/v1alpha1", "kind": "AnalysisTemplate", "metadata": {"name": "house-rules"},
        "spec": {"args": [{"name": "least"}], "metrics": [{
            "name": "success-rate", "interval": "30s", "pass": "value >= {{args.least}}", "fail": "value < 0.95",
            "minSamples": 5, "failureLimit": 1,
            "prometheus": {
                "address": address,
                "query": format!("{} / {}", rate(",code!~\"5..\""), rate("")),
            },
        }]},
    });
    let rollout = json!({
        "apiVersion": "slipway.dev/v1alpha1", "kind": "Rollout", "metadata": {"name": "api", "namespace": "shop"},
        "spec": {
            "replicas": 4,
            "selector": {"matchLabels": {"app": "api"}},
            "template": {
                "metadata": {"labels": {"app": "api"}},
                "spec": {"containers": [{"name": "web", "image": "registry.example/api:1"}]},
            },
            "strategy": {"steps": [{"setWeight": {"weight": 25}}, {"pause": {"for": "10m"}}]},
            "analysis": {
                "templates": [{"name": "house-rules", "args": {"least": "0.99"}}],
                "metrics": [
                    {
                        "name": "latency", "interval": "1m", "fail": "value > 0.5", "failureLimit": 3,
                        "prometheus": {
                            "address": address, "query": "max(request_seconds{pod=~\"{{canary.pods}}\"})",
                            "range": {"for": "1m", "step": "15s", "reduce": "Max"},
                        },
                    },
                    {
                        "name": "errors-vs-stable", "interval": "30s", "count": 60, "dryRun": true,
                        "compare": {
                            "test": "Ratio", "tolerance": "50%",
                            "prometheus": {
                                "address": address,
                                "canary": of("canary", bad), "canaryTotal": of("canary", ""),
                                "stable": of("stable", bad), "stableTotal": of("stable", ""),
                            },
                        },
                    },
                    {"name": "smoke", "dryRun": true, "job": {"image": "registry.example/smoke:1"}},
                ],
            },
        },
    });
    json!({"apiVersion": "v1", "kind": "List", "items": [template, rollout]})
}

/// A Prometheus with this past, and files of who may ask it.
struct Past {
    prometheus: Prometheus,
}

impl Past {
    async fn start() -> Self {
        let prometheus = Prometheus::start(Some(&past())).await;
        let write = |name: &str, text: String| std::fs::write(prometheus.path(name), text).unwrap();
        // As `echo` writes it.
        write("password", format!("{PASSWORD}\n"));
        write(
            "api.yaml",
            file("http://prometheus.monitoring:9090").to_string(),
        );
        Self { prometheus }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.prometheus.path(name)
    }

    /// Asks the real Prometheus, as somebody who may.
    fn asking(&self, args: &[&str]) -> Command {
        let mut command = analysis_test(args);
        command
            .args(["--prometheus", &self.prometheus.address])
            .args(["--username", "slipway", "--password-file"])
            .arg(self.path("password"))
            .env("SLIPWAY_PROMETHEUS_CA_FILE", self.path("ca.crt"))
            .arg("--client-certificate")
            .arg(self.path("client.crt"))
            .arg("--client-key")
            .arg(self.path("client.key"));
        command
    }

    /// The same about the file.
    async fn run(&self, args: &[&str]) -> Output {
        let mut command = self.asking(args);
        command.arg("-f").arg(self.path("api.yaml"));
        command.output().await.unwrap()
    }
}

fn analysis_test(args: &[&str]) -> Command {
    plugin(&[&["analysis", "test"], args].concat())
}

#[tokio::test]
#[ignore = "needs prometheus and promtool; run make test"]
async fn the_past_of_a_rollout_is_judged_as_it_would_have_been() {
    let past = Past::start().await;
    let sides = ["--canary", CANARY, "--stable", STABLE];
    let over =
        |from: &'static str, to: &'static str| [&["--from", from, "--to", to][..], &sides].concat();
    let ill = over("2026-03-02T09:05:00Z", "2026-03-02T09:35:00Z");
    let shown = past.run(&ill).await;
    let page = text(&shown);
    println!("{page}");
    assert_eq!(shown.status.code(), Some(3), "{}", told(&shown));
    assert_eq!(told(&shown), "");
    for words in [
        "Rollout shop/api, 2026-03-02T09:05:00Z to 2026-03-02T09:35:00Z (30m)",
        "would have been rolled back at 2026-03-02T09:21:00Z (AnalysisFailed): success-rate: 2 of 32 samples are bad",
        "bad at 09:21:00Z ▲",
        "smoke: a Job checks how things are when it runs",
    ] {
        assert!(page.contains(words), "{words} is not in:\n{page}");
    }
    assert!(!page.contains('\u{1b}'), "colours without a terminal");

    let shown = past.run(&[&ill[..], &["-o", "json"]].concat()).await;
    let read: Value = serde_json::from_slice(&shown.stdout).unwrap();
    assert_eq!(shown.status.code(), Some(3));
    assert_eq!(
        (&read["end"]["outcome"], &read["end"]["at"]),
        (&json!("RolledBack"), &json!("2026-03-02T09:21:00Z"))
    );
    let metric = |name: &str| {
        let metrics = read["metrics"].as_array().unwrap();
        metrics
            .iter()
            .find(|metric| metric["name"] == name)
            .unwrap()
            .clone()
    };
    // Three questions of an instant, one of the last minute, and one of everything since the beginning.
    let rate = metric("success-rate");
    assert_eq!(rate["samples"].as_array().unwrap().len(), 32);
    assert_eq!(
        (&rate["samples"][0]["at"], &rate["samples"][0]["result"]),
        (&json!("2026-03-02T09:05:30Z"), &json!("Good"))
    );
    let value = rate["samples"][1]["value"].as_f64().unwrap();
    assert!((value - 0.998).abs() < 0.001, "{value}");
    let latency = metric("latency");
    let values = latency["samples"].as_array().unwrap().iter();
    let values: Vec<f64> = values
        .map(|sample| sample["value"].as_f64().unwrap())
        .collect();
    assert_eq!(
        (values.len(), values[14], values[15]),
        (16, 0.2, 0.9),
        "{values:?}"
    );
    let compared = metric("errors-vs-stable");
    assert_eq!(compared["thresholds"], json!([50.0]));
    let last = compared["samples"].as_array().unwrap().last().unwrap();
    let looks = last["shown"].as_str().unwrap();
    assert!(
        looks.contains("times stable") && looks.ends_with("look 32 of 60"),
        "{looks}"
    );

    let well = past
        .run(&over("2026-03-02T09:05:00Z", "2026-03-02T09:15:00Z"))
        .await;
    assert_eq!(
        well.status.code(),
        Some(0),
        "{}{}",
        text(&well),
        told(&well)
    );
    assert!(
        text(&well).contains("would have been promoted, as far as it was replayed"),
        "{}",
        text(&well)
    );

    let before = past
        .run(&over("2026-03-02T07:00:00Z", "2026-03-02T07:10:00Z"))
        .await;
    assert_eq!(before.status.code(), Some(3), "{}", told(&before));
    assert!(
        text(&before).contains("no verdict by 2026-03-02T07:10:00Z"),
        "{}",
        text(&before)
    );
}

#[tokio::test]
#[ignore = "needs prometheus and promtool; run make test"]
async fn a_comparison_finds_in_the_past_what_it_would_have_found() {
    let past = Past::start().await;
    let mut rollout = file("http://prometheus.monitoring:9090")["items"][1].clone();
    let analysis = &mut rollout["spec"]["analysis"];
    let mut compared = analysis["metrics"][1].clone();
    compared["dryRun"] = false.into();
    *analysis = json!({"metrics": [compared]});
    let time = [
        "--from",
        "2026-03-02T09:15:00Z",
        "--to",
        "2026-03-02T09:35:00Z",
    ];
    let judged = async |sides: &[&str]| {
        let mut command = past.asking(&[&["-f", "-"][..], &time, sides].concat());
        fed(&mut command, &rollout.to_string()).await
    };
    let ill = judged(&["--canary", CANARY, "--stable", STABLE]).await;
    println!("{}", text(&ill));
    assert_eq!(ill.status.code(), Some(3), "{}", told(&ill));
    assert!(
        text(&ill).contains("would have been rolled back at 2026-03-02T09:2"),
        "{}",
        text(&ill)
    );
    // The other way round there is nothing to find.
    let well = judged(&["--canary", STABLE, "--stable", CANARY]).await;
    assert_eq!(
        well.status.code(),
        Some(0),
        "{}{}",
        text(&well),
        told(&well)
    );
    let unsaid = judged(&[]).await;
    assert_eq!(unsaid.status.code(), Some(2));
    assert!(
        told(&unsaid).contains("say which revisions these were with --canary and --stable"),
        "{}",
        told(&unsaid)
    );
}

#[tokio::test]
#[ignore = "needs prometheus and promtool; run make test"]
async fn a_template_is_judged_by_itself_and_what_is_wrong_is_told() {
    let past = Past::start().await;
    let time = [
        "--from",
        "2026-03-02T09:05:00Z",
        "--to",
        "2026-03-02T09:15:00Z",
    ];
    let with = |more: &[&'static str]| [&time[..], more].concat();
    let of_template = with(&[
        "house-rules",
        "--canary-pods",
        "api-2221a9eb9e-.*",
        "-o",
        "yaml",
    ]);
    let run = async |least: &'static str| {
        past.run(&[&of_template[..], &["--arg", least]].concat())
            .await
    };
    let good = run("least=0.99").await;
    assert_eq!(good.status.code(), Some(0), "{}", told(&good));
    let read: Value = serde_saphyr::from_str(&text(&good)).unwrap();
    assert_eq!(
        (&read["kind"], &read["end"]["outcome"]),
        (&json!("AnalysisTemplate"), &json!("Promoted"))
    );
    let strict = run("least=0.9999").await;
    assert_eq!(strict.status.code(), Some(3), "{}", told(&strict));
    assert!(
        text(&strict).contains("neither good nor bad"),
        "{}",
        text(&strict)
    );

    for (code, words, args) in [
        (
            2,
            "needs a value for least, and has none by default",
            with(&["house-rules"]),
        ),
        (
            2,
            "there is no web in the files; there are: Rollout api, AnalysisTemplate house-rules",
            with(&["web"]),
        ),
        (
            2,
            "--arg is for an AnalysisTemplate by itself",
            with(&["--arg", "least=1"]),
        ),
        (
            2,
            "has to be before --to",
            vec!["--from", "1h", "--to", "2h"],
        ),
        (
            2,
            "is still to come",
            vec!["--from", "1h", "--to", "2100-01-01T00:00:00Z"],
        ),
        (2, "is neither a time", vec!["--from", "yesterday"]),
        (
            2,
            "more than 20000 samples would have been taken",
            vec![
                "house-rules",
                "--arg",
                "least=1",
                "--canary-pods",
                "x",
                "--from",
                "9000h",
            ],
        ),
    ] {
        let answer = past.run(&args).await;
        let problem = told(&answer);
        assert_eq!(answer.status.code(), Some(code), "{args:?}: {problem}");
        assert!(problem.contains(words), "{args:?}: {problem}");
    }
    // As somebody whom it does not know, and where nobody is.
    let mut stranger = past.asking(&time);
    stranger.arg("-f").arg(past.path("api.yaml"));
    std::fs::write(past.path("password"), "close sesame").unwrap();
    let refused = stranger.output().await.unwrap();
    assert_eq!(refused.status.code(), Some(1));
    let problem = told(&refused);
    assert!(
        problem.contains("status 401") && problem.contains("--bearer-token-file"),
        "{problem}"
    );
    assert!(!problem.contains("close sesame"), "{problem}");
    let mut nobody =
        analysis_test(&[&time[..], &["--prometheus", "http://127.0.0.1:1", "-f"]].concat());
    let nobody = nobody.arg(past.path("api.yaml")).output().await.unwrap();
    assert_eq!(nobody.status.code(), Some(1));
    assert!(
        told(&nobody).starts_with("error: latency: cannot ask http://127.0.0.1:1/"),
        "{}",
        told(&nobody)
    );
}
