//! What divides requests. No I/O.

use serde_json::{Value, json};

use super::super::written::{Written, duration, text_at};
use crate::model::json::set;

/// Writes how requests reach the pods; whether anything divides them.
pub(super) fn convert(spec: &Value, here: &mut Value, path: &str, written: &mut Written) -> bool {
    let service = &spec["service"];
    let provider = text_at(spec, "/provider").unwrap_or_default();
    let mut traffic = json!({});
    if let Some(port) = service.get("port") {
        set(&mut traffic, &["port"], port.clone());
    }
    if let Some(port) = service.get("targetPort") {
        set(&mut traffic, &["targetPort"], port.clone());
    }
    let has_router = router(spec, provider, &mut traffic, (path, written));
    let affinity = spec.pointer("/analysis/sessionAffinity");
    if let (Some(affinity), true) = (affinity, traffic.pointer("/gatewayAPI/generate").is_some()) {
        let mut session = json!({"cookie": affinity["cookieName"]});
        if let Some(age) = affinity.get("maxAge").and_then(duration) {
            set(&mut session, &["maxAge"], age);
        }
        set(&mut traffic, &["sessionAffinity"], session);
    } else if affinity.is_some() {
        written.tell(format!(
            "{path}.analysis.sessionAffinity: is for a generated route of the Gateway API"
        ));
    }
    let apex = text_at(service, "/name").or_else(|| text_at(spec, "/targetRef/name"));
    let apex = apex.unwrap_or_default();
    written.tell(format!(
        "{path}.service: Services are called <rollout>-stable and <rollout>-canary; Service {apex}, which Flagger has made, goes with \
         the Canary: make one of your own for those who use that name"
    ));
    set(here, &["traffic"], traffic);
    let known = [
        "name",
        "port",
        "targetPort",
        "hosts",
        "gatewayRefs",
        "portName",
        "portDiscovery",
    ];
    written.tell_rest(
        (service, &format!("{path}.service")),
        &known,
        |field| match field {
            "retries" | "timeout" | "headers" | "corsPolicy" | "match" | "rewrite" | "gateways" => {
                Some("stands in a route of your own, which can be named in traffic")
            }
            _ => None,
        },
    );
    has_router
}

fn router(
    spec: &Value,
    provider: &str,
    traffic: &mut Value,
    (path, written): (&str, &mut Written),
) -> bool {
    let service = &spec["service"];
    if let Some(parents) = service.get("gatewayRefs") {
        let mut generate = json!({"parentRefs": parents});
        if let Some(hosts) = service.get("hosts") {
            set(&mut generate, &["hostnames"], hosts.clone());
        }
        set(traffic, &["gatewayAPI"], json!({"generate": generate}));
        return true;
    }
    if let Some(ingress) = text_at(spec, "/ingressRef/name") {
        set(traffic, &["nginx"], json!({"ingresses": [ingress]}));
        written.tell(format!(
            "{path}.ingressRef: Ingress {ingress} has to lead to Service <rollout>-stable (docs/routers/nginx.md)"
        ));
        return true;
    }
    let apex = text_at(service, "/name").or_else(|| text_at(spec, "/targetRef/name"));
    let apex = apex.unwrap_or_default();
    match provider {
        "istio" => {
            set(traffic, &["allowForeign"], true);
            set(
                traffic,
                &["istio"],
                json!({"virtualServices": [{"name": apex}]}),
            );
            written.tell(format!(
                "{path}.provider: VirtualService {apex}, which Flagger has made, is yours to write (docs/routers/istio.md)"
            ));
            true
        }
        "traefik" => {
            set(traffic, &["allowForeign"], true);
            set(traffic, &["traefik"], json!({"services": [apex]}));
            written.tell(format!(
                "{path}.provider: TraefikService {apex}, which Flagger has made, is yours to write (docs/routers/traefik.md)"
            ));
            true
        }
        other => {
            let what = if other.is_empty() {
                "none is named"
            } else {
                other
            };
            written.tell(format!(
                "{path}.provider: {what}: docs/routers has what divides requests here; without any, the stable Service is switched in \
                 one write"
            ));
            false
        }
    }
}
