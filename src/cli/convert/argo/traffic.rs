//! What divides requests. No I/O.

use serde_json::{Value, json};

use super::super::written::{Written, list_at, text_at};
use crate::model::json::set;

/// What no file of Argo's says.
pub(super) const PORT: &str = "traffic: the port of the Services is not known here, and 80 without traffic.port and traffic.targetPort; \
                               look at `traffic.drain` too";

/// The key of the plugin that writes into routes of the Gateway API.
const GATEWAY_API: &str = "argoproj-labs/gatewayAPI";

/// Services and routers, where there are any.
pub(super) fn convert(canary: &Value, here: &mut Value, path: &str, written: &mut Written) {
    let routing = &canary["trafficRouting"];
    let mut services = json!({});
    for (there, side) in [("stableService", "stable"), ("canaryService", "canary")] {
        if let Some(name) = canary.get(there) {
            set(&mut services, &[side], name.clone());
        }
    }
    if routing.is_null() {
        if services
            .as_object()
            .is_some_and(|services| !services.is_empty())
        {
            written.tell(format!(
                "{path}: stableService and canaryService without trafficRouting select one revision each there; here weights are \
                 numbers of pods behind a Service that selects all of them, so they were left out"
            ));
        }
        return;
    }
    let path = format!("{path}.trafficRouting");
    let mut traffic = json!({"services": services, "allowForeign": true});
    let routers = routing.as_object().into_iter().flatten();
    let mut has_router = false;
    for (kind, router) in routers {
        has_router |= one(kind, router, &mut traffic, &path, written);
    }
    if !has_router {
        written.tell(format!(
            "{path}: none of its routers was converted, so weights are numbers of pods behind a Service of yours that selects all of \
             them; docs/routers has those that there are"
        ));
        return;
    }
    written.tell(PORT);
    set(here, &["traffic"], traffic);
}

fn one(kind: &str, router: &Value, traffic: &mut Value, path: &str, written: &mut Written) -> bool {
    match kind {
        "istio" => istio(router, traffic, path, written),
        "nginx" => {
            let mut ingresses: Vec<Value> = list_at(router, "/stableIngresses").to_vec();
            ingresses.extend(router.get("stableIngress").cloned());
            set(traffic, &["nginx"], json!({"ingresses": ingresses}));
            let known = ["stableIngress", "stableIngresses"];
            written.tell_rest((router, &format!("{path}.nginx")), &known, |_| None);
            true
        }
        "traefik" => {
            set(
                traffic,
                &["traefik"],
                json!({"services": [router["weightedTraefikServiceName"]]}),
            );
            true
        }
        "plugins" => plugins(router, traffic, path, written),
        "managedRoutes" => {
            written.tell(format!("{path}.managedRoutes: needs nothing here"));
            false
        }
        other => {
            written.tell(format!(
                "{path}.{other}: has no equivalent, and was left out"
            ));
            false
        }
    }
}

fn istio(router: &Value, traffic: &mut Value, path: &str, written: &mut Written) -> bool {
    let path = format!("{path}.istio");
    let mut all: Vec<&Value> = list_at(router, "/virtualServices").iter().collect();
    all.extend(router.get("virtualService"));
    let mut services = Vec::new();
    for there in all {
        written.tell_rest((there, &path), &["name", "routes"], |_| None);
        let mut service = json!({"name": there["name"]});
        if let Some(routes) = there.get("routes") {
            set(&mut service, &["routes"], routes.clone());
        }
        services.push(service);
    }
    let mut istio = json!({"virtualServices": services});
    if let Some(rule) = router.get("destinationRule") {
        set(
            &mut istio,
            &["destinationRule"],
            json!({
                "name": rule["name"],
                "stableSubset": text_at(rule, "/stableSubsetName").unwrap_or("stable"),
                "canarySubset": text_at(rule, "/canarySubsetName").unwrap_or("canary"),
            }),
        );
    }
    set(traffic, &["istio"], istio);
    true
}

fn plugins(router: &Value, traffic: &mut Value, path: &str, written: &mut Written) -> bool {
    let mut has_router = false;
    for (name, plugin) in router.as_object().into_iter().flatten() {
        if name != GATEWAY_API {
            written.tell(format!(
                "{path}.plugins.{name}: has no equivalent, and was left out"
            ));
            continue;
        }
        let mut named_here = json!({});
        for (one, many, here) in [
            ("/httpRoute", "/httpRoutes", "httpRoutes"),
            ("/grpcRoute", "/grpcRoutes", "grpcRoutes"),
        ] {
            let named = list_at(plugin, many)
                .iter()
                .filter_map(|it| text_at(it, "/name"));
            let named = named.chain(text_at(plugin, one));
            let named: Vec<Value> = named.map(|name| json!({"name": name})).collect();
            if !named.is_empty() {
                set(&mut named_here, &[here], named);
                has_router = true;
            }
        }
        if has_router {
            set(traffic, &["gatewayAPI"], named_here);
        }
    }
    has_router
}
