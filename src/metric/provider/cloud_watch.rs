//! Amazon CloudWatch: renders GetMetricData and reads the values. The shell signs it. No I/O.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Credentials, Sample, WINDOW, answer, reduced};
use crate::analysis::api::provider::Reduce;
use crate::analysis::api::provider::hosted::{CloudWatchMetric, CloudWatchQuery};
use crate::model::access::{FROM, Login, TO};
use crate::model::action::{Reply, Request};
use crate::model::json::set;

/// Seconds of a period, when a metric does not say.
const PERIOD: i32 = 60;

/// The request.
pub fn request(query: &CloudWatchQuery, credentials: &Credentials, timeout: Duration) -> Request {
    let region = &query.region;
    let standard = || {
        let suffix = if region.starts_with("cn-") { ".cn" } else { "" };
        format!("https://monitoring.{region}.amazonaws.com{suffix}")
    };
    let endpoint = query.endpoint.clone().unwrap_or_else(standard);
    let queries: Vec<Value> = query.queries.iter().map(rendered).collect();
    let body = json!({
        "StartTime": FROM, "EndTime": TO, "ScanBy": "TimestampAscending", "MetricDataQueries": queries,
    });
    // Times are numbers, and placeholders cannot be.
    let body = [FROM, TO].iter().fold(body.to_string(), |body, time| {
        body.replace(&format!("\"{time}\""), time)
    });
    let url = format!("{}/", endpoint.trim_end_matches('/'));
    let mut request = Request::post(url, "application/x-amz-json-1.0", body, timeout);
    let target = "GraniteServiceVersion20100801.GetMetricData";
    request
        .headers
        .insert("x-amz-target".to_owned(), target.to_owned());
    let mut access = credentials.access();
    access.window = Some(query.for_.map_or(WINDOW, Duration::from));
    access.login = Some(Login::Aws {
        region: region.clone(),
        service: "monitoring",
        access_key_id: query.credentials.access_key_id.clone(),
        secret_access_key: query.credentials.secret_access_key.clone(),
        session_token: query.credentials.session_token.clone(),
    });
    request.access = Some(Box::new(access));
    request
}

fn rendered(query: &CloudWatchMetric) -> Value {
    let shown = !query.hidden.unwrap_or_default();
    let mut rendered = json!({"Id": query.name, "ReturnData": shown});
    if let Some(expression) = &query.expression {
        set(&mut rendered, &["Expression"], expression.clone());
    }
    if let Some(metric) = &query.metric {
        let dimensions = metric.dimensions.iter();
        let dimensions: Vec<Value> = dimensions
            .map(|(name, value)| json!({"Name": name, "Value": value}))
            .collect();
        let statistic = json!({
            "Metric": {"Namespace": metric.namespace, "MetricName": metric.name, "Dimensions": dimensions},
            "Period": metric.period.unwrap_or(PERIOD),
            "Stat": metric.statistic,
        });
        set(&mut rendered, &["MetricStat"], statistic);
    }
    rendered
}

/// The values of the one query that is not hidden.
pub fn read(query: &CloudWatchQuery, reply: &Reply) -> Result<Sample, String> {
    let body = answer::json(reply)?;
    let results = body.get("MetricDataResults").and_then(Value::as_array);
    let one = match results.map(Vec::as_slice) {
        Some([]) => return Ok(Sample::Empty),
        Some([one]) => one,
        Some(many) => {
            return Err(format!(
                "the queries yield {} results; set hidden: true on all but one",
                many.len()
            ));
        }
        None => return Err("an answer without results".to_owned()),
    };
    // Part of the values would count too little.
    let status = one.get("StatusCode").and_then(Value::as_str);
    if status.is_some_and(|status| status != "Complete")
        || body.get("NextToken").is_some_and(Value::is_string)
    {
        let messages = [
            one.pointer("/Messages/0/Value"),
            body.pointer("/Messages/0/Value"),
        ];
        let message = messages.into_iter().flatten().find_map(Value::as_str);
        let message = message.map(|words| format!(": {}", answer::cut(words)));
        return Err(format!(
            "the answer is not complete: {}{}",
            status
                .filter(|status| *status != "Complete")
                .unwrap_or("there is more"),
            message.unwrap_or_default()
        ));
    }
    let values = one.get("Values").and_then(Value::as_array);
    let values = values.into_iter().flatten().filter_map(answer::number);
    Ok(reduced(values, query.reduce.unwrap_or(Reduce::Last)))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{sent, told};
    use super::*;

    fn query(extra: &Value) -> Value {
        let secret = |key: &str| json!({"name": "aws", "key": key});
        let metric = |name: &str| {
            json!({
                "namespace": "AWS/ApplicationELB", "name": name, "statistic": "Sum",
                "dimensions": {"TargetGroup": "targetgroup/{{canary.revision}}/6d0ecf831eec9f09"},
            })
        };
        let mut query = json!({"cloudWatch": {
            "region": "eu-central-1",
            "queries": [
                {"name": "errors", "metric": metric("HTTPCode_Target_5XX_Count"), "hidden": true},
                {"name": "requests", "metric": metric("RequestCount"), "hidden": true},
                {"name": "rate", "expression": "errors / requests"},
            ],
            "credentials": {"accessKeyId": secret("id"), "secretAccessKey": secret("key")},
        }});
        json_patch::merge(&mut query, &json!({"cloudWatch": extra}));
        query
    }

    fn result(status: &str, values: &[f64]) -> Value {
        let times: Vec<f64> = values.iter().map(|_| 1_709_424_000.0).collect();
        json!({"Id": "rate", "Label": "rate", "StatusCode": status, "Timestamps": times, "Values": values})
    }

    fn recorded(results: &[Value]) -> String {
        json!({"MetricDataResults": results, "Messages": []}).to_string()
    }

    #[test]
    fn metrics_and_expressions_are_asked_for_in_one_request() {
        insta::assert_snapshot!(sent(&query(&json!({"for": "10m"}))));
    }

    #[test]
    fn another_way_to_the_service_and_other_partitions_are_possible() {
        let own = sent(&query(
            &json!({"endpoint": "https://vpce-1.monitoring.eu-central-1.vpce.amazonaws.com"}),
        ));
        assert!(
            own.starts_with("POST https://vpce-1.monitoring.eu-central-1.vpce.amazonaws.com/\n")
        );
        let china = sent(&query(&json!({"region": "cn-north-1"})));
        assert!(china.starts_with("POST https://monitoring.cn-north-1.amazonaws.com.cn/\n"));
    }

    #[test]
    fn the_last_value_counts_or_what_the_metric_says() {
        let body = recorded(&[result("Complete", &[0.5, 0.25])]);
        assert_eq!(told(&query(&json!({})), 200, &body), Sample::Value(0.25));
        let mean = query(&json!({"reduce": "Mean"}));
        assert_eq!(told(&mean, 200, &body), Sample::Value(0.375));
    }

    #[test]
    fn no_values_are_no_data() {
        for body in [recorded(&[]), recorded(&[result("Complete", &[])])] {
            assert_eq!(told(&query(&json!({})), 200, &body), Sample::Empty);
        }
    }

    #[test]
    fn what_is_no_answer_is_an_error() {
        let error = |status, body: &str| match told(&query(&json!({})), status, body) {
            Sample::Error(error) => error,
            other => panic!("{other:?}"),
        };
        let partial = recorded(&[result("PartialData", &[0.5])]);
        assert!(error(200, &partial).contains("not complete: PartialData"));
        let mut forbidden = result("Forbidden", &[]);
        forbidden["Messages"] =
            json!([{"Code": "Forbidden", "Value": "Access denied to account 1"}]);
        assert!(error(200, &recorded(&[forbidden])).contains("Access denied to account 1"));
        let more = json!({"MetricDataResults": [result("Complete", &[0.5])], "NextToken": "x"});
        assert!(error(200, &more.to_string()).contains("there is more"));
        let two = recorded(&[result("Complete", &[]), result("Complete", &[])]);
        assert!(error(200, &two).contains("hidden: true"));
        let denied = json!({
            "__type": "com.amazonaws.cloudwatch.v2010_08_01#InvalidClientTokenId",
            "message": "The security token included in the request is invalid.",
        });
        assert!(
            error(403, &denied.to_string())
                .contains("security token included in the request is invalid")
        );
        let throttled = json!({"__type": "com.amazon.coral.availability#ThrottlingException", "message": "Rate exceeded"});
        assert!(error(400, &throttled.to_string()).contains("Rate exceeded"));
    }
}
