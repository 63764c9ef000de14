//! What is asked of Prometheus about an SLO. One query brings many numbers, told apart by the label `of`. No I/O.

use std::time::Duration;

use jiff::Timestamp;

use super::Slo;
use super::window::Window;
use crate::environment::api::Severity;
use crate::metric::provider::{Credentials, connected};
use crate::model::access::{FORM, percent_encoded};
use crate::model::action::Request;
use crate::model::key::Key;

/// Longest wait for an answer.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Time between two records of the numbers that a period is summed up from, in seconds.
pub const STEP: u64 = 300;
/// The same, as Prometheus writes it.
pub const STEP_TEXT: &str = "5m";
/// The label that tells the numbers of an answer apart.
pub const OF: &str = "of";

/// Which SLO a recorded series is of.
#[derive(Clone, Copy, Debug)]
pub struct Labels<'a> {
    /// Namespace of the Environment.
    pub namespace: &'a str,
    /// Its name.
    pub environment: &'a str,
}

impl<'a> Labels<'a> {
    /// Those of an Environment's SLOs.
    pub fn of(environment: &'a Key) -> Self {
        Self {
            namespace: &environment.namespace,
            environment: &environment.name,
        }
    }

    /// The matchers of the series of an SLO.
    pub fn matchers(&self, slo: &Slo) -> String {
        let Self {
            namespace,
            environment,
        } = self;
        let name = &slo.name;
        format!(r#"{{namespace="{namespace}",environment="{environment}",slo="{name}"}}"#)
    }
}

/// Name of the number of requests, or of those that failed, over a time.
pub fn name(what: &str, time: &str) -> String {
    format!("{what}/{time}")
}

/// Numbers over the windows that change quickly.
pub fn burn(slo: &Slo) -> String {
    let windows = Window::ALL.into_iter().filter(|window| !window.is_slow());
    let parts: Vec<String> = windows.flat_map(|window| counts(slo, window)).collect();
    parts.join(" or ")
}

/// Numbers of requests that failed since something began, `elapsed` seconds ago, in the windows of rows that page.
pub fn since(slo: &Slo, elapsed: u64) -> String {
    let windows = paged(slo).into_iter().map(|window| {
        let clipped = format!("{}s", elapsed.clamp(1, window.seconds()));
        named(
            &slo.events.errors(&clipped),
            &name("since", window.as_str()),
        )
    });
    windows.collect::<Vec<_>>().join(" or ")
}

/// Numbers over the windows that change slowly, and over the period, by what the rules recorded.
pub fn budget(slo: &Slo, labels: &Labels) -> String {
    let matchers = labels.matchers(slo);
    let period = slo.period_text();
    let over = |function: &str, series: &str| format!("{function}({series}{matchers}[{period}])");
    let mut parts = slow(slo);
    parts.extend([
        named(&over("sum_over_time", ERRORS), "errors/period"),
        named(&over("sum_over_time", TOTAL), "total/period"),
        named(&over("count_over_time", TOTAL), "records/period"),
    ]);
    parts.join(" or ")
}

/// The numbers over the period, where no rules have recorded them: the same sums, over what they would have recorded.
pub fn budget_of_series(slo: &Slo) -> String {
    let (errors, total) = (slo.events.errors(STEP_TEXT), slo.events.total(STEP_TEXT));
    let period = slo.period_text();
    let over = |function: &str, what: &str| format!("{function}(({what})[{period}:{STEP_TEXT}])");
    let parts = [
        named(&over("sum_over_time", &errors), "errors/period"),
        named(&over("sum_over_time", &total), "total/period"),
        named(&over("count_over_time", &total), "records/period"),
    ];
    parts.join(" or ")
}

/// Numbers over the short windows of rows that page: asked of the time at which something begins.
pub fn before(slo: &Slo) -> String {
    let rows = slo.rows.iter().filter(|row| row.severity == Severity::Page);
    let parts: Vec<String> = rows.flat_map(|row| counts(slo, row.short)).collect();
    parts.join(" or ")
}

/// Series of failed requests in the last five minutes, recorded.
pub const ERRORS: &str = "slipway:slo_errors:increase5m";
/// Series of all requests in the last five minutes, recorded.
pub const TOTAL: &str = "slipway:slo_total:increase5m";

fn slow(slo: &Slo) -> Vec<String> {
    let windows = Window::ALL.into_iter().filter(|window| window.is_slow());
    windows.flat_map(|window| counts(slo, window)).collect()
}

/// The windows of rows that page.
pub fn paged(slo: &Slo) -> Vec<Window> {
    let rows = slo.rows.iter().filter(|row| row.severity == Severity::Page);
    let mut windows: Vec<Window> = rows.flat_map(|row| [row.long, row.short]).collect();
    windows.sort_unstable();
    windows.dedup();
    windows
}

fn counts(slo: &Slo, window: Window) -> [String; 2] {
    let time = window.as_str();
    [
        named(&slo.events.errors(time), &name("errors", time)),
        named(&slo.events.total(time), &name("total", time)),
    ]
}

pub(super) fn named(expression: &str, name: &str) -> String {
    format!(r#"label_replace({expression}, "{OF}", "{name}", "", "")"#)
}

/// The request for one instant query; of a time that is over, where one is given. The Secrets that it takes are in this
/// namespace.
pub fn request(slo: &Slo, namespace: &str, text: &str, at: Option<Timestamp>) -> Request {
    let address = slo.server.address.trim_end_matches('/');
    let url = format!("{address}/api/v1/query");
    let mut body = format!("query={}", percent_encoded(text));
    if let Some(at) = at {
        let at = at.as_second();
        body = format!("{body}&time={at}");
    }
    let request = Request::post(url, FORM, body, TIMEOUT);
    let credentials = Credentials {
        namespace: namespace.to_owned(),
        ..Credentials::default()
    };
    connected(request, &slo.server.connection, &credentials)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::testing::slo;
    use super::*;

    const LABELS: Labels<'static> = Labels {
        namespace: "shop",
        environment: "production",
    };

    #[test]
    fn everything_that_is_asked() {
        let slo = slo(&json!({}));
        let asked = [
            burn(&slo),
            since(&slo, 97),
            budget(&slo, &LABELS),
            budget_of_series(&slo),
            before(&slo),
        ];
        let asked = asked.map(|query| query.replace(" or label_replace", "\nor label_replace"));
        insta::assert_snapshot!(asked.join("\n\n"));
    }

    #[test]
    fn a_question_about_the_past_says_when() {
        let at = Timestamp::from_second(1_800_000_000).unwrap();
        let request = request(&slo(&json!({})), "shop", "up", Some(at));
        assert_eq!(request.url, "http://prometheus:9090/api/v1/query");
        assert_eq!(request.body.as_deref(), Some("query=up&time=1800000000"));
    }

    #[test]
    fn who_asks_stands_in_placeholders() {
        let server = json!({
            "address": "https://prometheus:9090",
            "headers": [{"name": "X-Scope-OrgID", "value": "shop"}],
            "auth": {"bearer": {"name": "prometheus", "key": "token"}},
            "tls": {"ca": {"name": "prometheus", "key": "ca.crt"}, "clientCertificate": "client"},
        });
        let slo = slo(&json!({"prometheus": server}));
        let request = request(&slo, "shop", "up", None);
        assert_eq!(request.headers["x-scope-orgid"], "shop");
        let token = "Bearer ~secret~prometheus~token~";
        assert_eq!(request.headers["authorization"], token);
        let access = request.access.unwrap();
        assert_eq!(access.namespace, "shop");
        assert_eq!(access.client_certificate.as_deref(), Some("client"));
        assert_eq!(access.needed().len(), 4, "{access:?}");
    }
}
