//! Hosts in an Environment that the operator asks, and that mean something else where it is. No I/O.
//!
//! A name without a dot is looked for in the namespace of who asks, and the operator has one of its own. That is no mistake where
//! both are the same, so it is a warning.

use serde_json::Value;

use crate::model::invalid::Invalid;

/// Fields with a URL or a host that the operator asks itself. `[]` stands for every item of a list.
const ASKED: &[&str] = &[
    "spec.metrics.prometheus.address",
    "spec.slos[].prometheus.address",
    "spec.protection.gates[].prometheus.address",
    "spec.protection.gates[].web.url",
    "spec.smokeTests[].http.requests[].url",
    "spec.smokeTests[].tcp.host",
    "spec.smokeTests[].dns.name",
    "spec.smokeTests[].tls.host",
    "spec.notifications[].webhook.url",
    "spec.notifications[].email.host",
    "spec.notifications[].pagerDuty.url",
    "spec.notifications[].alertmanager.address",
    "spec.notifications[].cloudEvents.url",
    "spec.writeBack.repository.url",
    "spec.writeBack.repository.provider.apiUrl",
];

/// What may be asked in the wrong place.
pub(super) fn warnings(environment: &Value) -> Vec<Invalid> {
    let namespace = environment.pointer("/metadata/namespace");
    let namespace = namespace.and_then(Value::as_str);
    let behind = namespace.map_or_else(
        || "NAMESPACE, the namespace of its Service".to_owned(),
        str::to_owned,
    );
    let mut found = Vec::new();
    for field in ASKED {
        let mut asked = Vec::new();
        reach(environment, ("", field), &mut asked);
        for (path, text) in asked {
            let Some(host) = bare(text) else { continue };
            let problem = format!(
                "the operator asks {host} from its own namespace, where it is another one or none; write {host}.{behind}"
            );
            found.push(Invalid::new(path, problem));
        }
    }
    found
}

/// The texts that a field leads to, with their paths.
fn reach<'a>(value: &'a Value, (done, rest): (&str, &str), found: &mut Vec<(String, &'a str)>) {
    let (word, after) = rest.split_once('.').unwrap_or((rest, ""));
    let name = word.trim_end_matches("[]");
    let dot = if done.is_empty() { "" } else { "." };
    let path = format!("{done}{dot}{name}");
    let Some(inner) = value.get(name) else { return };
    let items = inner.as_array().filter(|_| word.ends_with("[]"));
    let Some(items) = items else {
        match inner.as_str().filter(|_| after.is_empty()) {
            Some(text) => found.push((path, text)),
            None => reach(inner, (&path, after), found),
        }
        return;
    };
    for (index, item) in items.iter().enumerate() {
        reach(item, (&format!("{path}[{index}]"), after), found);
    }
}

/// The host of a URL, or a host, where it is a name without a dot. Not that of the machine itself, nor what is filled in.
fn bare(text: &str) -> Option<&str> {
    let rest = text.split_once("://").map_or(text, |(_, rest)| rest);
    let host = rest.split(['/', '?', '#']).next()?;
    if host.starts_with('[') {
        return None;
    }
    let host = host.split(':').next()?;
    let is_name = host
        .chars()
        .all(|one| one.is_ascii_alphanumeric() || one == '-');
    (is_name && !host.is_empty() && host != "localhost").then_some(host)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::crd;
    use crate::kinds::KINDS;

    /// Fields whose URL nobody asks.
    const NAMED_ONLY: &[&str] = &[
        "spec.notifications[].cloudEvents.source",
        "spec.previews.url",
        "spec.protection.requireSigned.identities[].issuer",
    ];

    #[test]
    fn a_name_without_a_dot_is_found_wherever_the_operator_asks() {
        let environment = json!({
            "metadata": {"name": "staging", "namespace": "shop"},
            "spec": {
                "metrics": {"prometheus": {"address": "http://prometheus:9090"}},
                "smokeTests": [
                    {"name": "one", "http": {"requests": [
                        {"name": "good", "url": "http://api-stable.shop/healthz"},
                        {"name": "bad", "url": "http://api-stable/healthz?deep=a.b"}]}},
                    {"name": "two", "tcp": {"host": "db", "port": 5432}},
                    {"name": "three", "job": {"image": "smoke:1", "command": ["smoke", "http://api-stable"]}},
                ],
                "protection": {"gates": [{"name": "change", "web": {"url": "https://change.example.com/api"}}]},
            },
        });
        let found = warnings(&environment);
        let paths: Vec<&str> = found.iter().map(|found| found.path.as_str()).collect();
        assert_eq!(
            paths,
            [
                "spec.metrics.prometheus.address",
                "spec.smokeTests[0].http.requests[1].url",
                "spec.smokeTests[1].tcp.host",
            ]
        );
        assert!(
            found[1].problem.ends_with("write api-stable.shop"),
            "{found:?}"
        );
        let mut nowhere = environment;
        nowhere["metadata"] = json!({"name": "staging"});
        let found = warnings(&nowhere);
        let words = "write api-stable.NAMESPACE, the namespace of its Service";
        assert!(found[1].problem.ends_with(words), "{found:?}");
    }

    #[test]
    fn hosts_are_read_out_of_urls() {
        assert_eq!(bare("http://api:8080/a.b"), Some("api"));
        assert_eq!(bare("api"), Some("api"));
        for other in [
            "http://api.shop:8080",
            "http://10.0.0.1",
            "http://[fd00::1]:8080/",
            "http://localhost:9090",
            "http://{{args.host}}/",
            "",
        ] {
            assert_eq!(bare(other), None, "{other}");
        }
    }

    /// Every field of an Environment with a URL for HTTP is asked, or said not to be.
    #[test]
    fn every_url_of_an_environment_is_looked_at() {
        let info = KINDS.iter().find(|info| info.kind == "Environment");
        let schema = crd::schema_of(info.unwrap()).unwrap();
        let mut urls = Vec::new();
        urls_of(&schema["properties"]["spec"], "spec", &mut urls);
        assert!(urls.len() > 8, "{urls:?}");
        let known: Vec<&str> = ASKED.iter().chain(NAMED_ONLY).copied().collect();
        for url in &urls {
            assert!(known.contains(&url.as_str()), "{url}");
        }
        let is_url = |field: &&&str| field.ends_with("url") || field.ends_with("address");
        for field in ASKED.iter().filter(is_url) {
            assert!(urls.iter().any(|url| url == field), "{field} is no URL");
        }
    }

    fn urls_of(schema: &Value, path: &str, found: &mut Vec<String>) {
        let rules = schema["x-kubernetes-validations"].to_string();
        if schema["type"] == "string" && rules.contains("must be an http:// or https:// URL") {
            found.push(path.to_owned());
        }
        for (name, field) in schema["properties"].as_object().into_iter().flatten() {
            urls_of(field, &format!("{path}.{name}"), found);
        }
        if schema["items"].is_object() {
            urls_of(&schema["items"], &format!("{path}[]"), found);
        }
    }
}
