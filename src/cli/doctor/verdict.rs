//! From what was found in a cluster to what is missing, and how to mend it. No I/O.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::ResourceExt;
use serde::Serialize;
use serde_json::Value;

use crate::cli::answer::End;
use crate::cli::text::{Cell, Palette, Table, Tone};
use crate::crd::field;
use crate::environment::api::{Environment, SloState};
use crate::rollout::api::Rollout;

/// The oldest Kubernetes that Slipway works on: 1.31.
const OLDEST: (u32, u32) = (1, 31);
/// Names that are listed before it is only said how many more there are.
const LISTED: usize = 5;
/// What the names of the policies end with.
const POLICIES: [&str; 4] = ["decisions", "protection", "records", "runs"];
/// Where HTTPRoutes come from.
const GATEWAY: &str = "gateway.networking.k8s.io";

/// What was found.
pub(super) struct Facts {
    pub(super) now: Timestamp,
    pub(super) namespace: String,
    pub(super) home: String,
    pub(super) cluster: String,
    pub(super) plugin: &'static str,
    /// Names and schemas of the definitions that this plugin knows.
    pub(super) wanted: Vec<(String, Value)>,
    pub(super) definitions: Result<Vec<CustomResourceDefinition>, String>,
    pub(super) operators: Result<Vec<Operator>, String>,
    pub(super) leases: Result<Vec<Lease>, String>,
    pub(super) rights: Vec<Right>,
    pub(super) operator_rights: Vec<Right>,
    pub(super) policies: Result<Vec<String>, String>,
    pub(super) groups: Result<Vec<String>, String>,
    pub(super) registries: Vec<(String, Result<(), String>)>,
    pub(super) environments: Vec<Environment>,
    pub(super) rollouts: Vec<Rollout>,
}

/// A Deployment of the operator.
pub(super) struct Operator {
    pub(super) name: String,
    pub(super) version: Option<String>,
    pub(super) ready: i32,
    pub(super) wanted: i32,
}

/// Something that somebody may do, or not; or nobody knows.
pub(super) struct Right {
    pub(super) what: String,
    pub(super) is_given: Result<bool, String>,
}

/// How something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) enum Mark {
    /// As it should be.
    Ok,
    /// Not as it should be, and things work all the same; or it is not known.
    Warn,
    /// Things do not work like this.
    Fail,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Line {
    /// What was looked at.
    pub(super) check: &'static str,
    /// How it is.
    pub(super) result: Mark,
    /// What was found.
    pub(super) found: String,
    /// How to mend it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) mend: Option<String>,
}

fn line(check: &'static str, result: Mark, found: impl Into<String>, mend: &str) -> Line {
    Line {
        check,
        result,
        found: found.into(),
        mend: (!mend.is_empty()).then(|| mend.to_owned()),
    }
}

/// That something is not known, and why.
fn unknown(check: &'static str, why: &str) -> Line {
    line(check, Mark::Warn, format!("not known: {why}"), "")
}

/// Everything that was looked at.
pub(super) fn lines(facts: &Facts) -> Vec<Line> {
    vec![
        cluster(facts),
        definitions(facts),
        operator(facts),
        leader(facts),
        rights(facts),
        operator_rights(facts),
        policies(facts),
        routers(facts),
        metrics(facts),
        registries(facts),
    ]
}

/// How a verb ends that has found this.
pub(super) fn end(lines: &[Line]) -> End {
    if lines.iter().any(|line| line.result == Mark::Fail) {
        End::Bad
    } else {
        End::Well
    }
}

fn cluster(facts: &Facts) -> Line {
    let version = facts.cluster.trim_start_matches('v');
    let mut parts = version.split(['.', '-', '+']);
    let mut number = || parts.next().and_then(|part| part.parse::<u32>().ok());
    let found = format!("Kubernetes {version}");
    match (number(), number()) {
        (Some(major), Some(minor)) if (major, minor) < OLDEST => {
            let mend = "Slipway needs Kubernetes 1.31: upgrade the cluster";
            line("cluster", Mark::Fail, found, mend)
        }
        (Some(_), Some(_)) => line("cluster", Mark::Ok, found, ""),
        _ => unknown("cluster", &format!("its version is {version}")),
    }
}

fn definitions(facts: &Facts) -> Line {
    let check = "definitions";
    let there = match &facts.definitions {
        Ok(there) => there,
        Err(why) => return unknown(check, why),
    };
    let (mut missing, mut older) = (Vec::new(), Vec::new());
    for (name, schema) in &facts.wanted {
        let Some(found) = there.iter().find(|found| found.name_any() == *name) else {
            missing.push(name.clone());
            continue;
        };
        let known = serde_json::to_value(found).unwrap_or_default();
        let known = known.pointer("/spec/versions/0/schema/openAPIV3Schema");
        let lacks = field::lacking(schema, known.unwrap_or(&Value::Null)).len();
        if lacks > 0 {
            older.push(format!(
                "{name} lacks {lacks} fields that this plugin knows"
            ));
        }
    }
    if !missing.is_empty() {
        let mend = "install them: slipway crds | kubectl apply --server-side -f -, or crds.install in the chart";
        let found = format!("missing: {}", listed(&missing));
        return line(check, Mark::Fail, found, mend);
    }
    if !older.is_empty() {
        let mend = "bring definitions and operator to the version of the plugin";
        return line(check, Mark::Warn, listed(&older), mend);
    }
    let count = facts.wanted.len();
    let found = format!("all {count} are there, with every field that this plugin knows");
    line(check, Mark::Ok, found, "")
}

fn operator(facts: &Facts) -> Line {
    let check = "operator";
    let all = match &facts.operators {
        Ok(all) => all,
        Err(why) => return unknown(check, why),
    };
    let Some(operator) = all.first() else {
        let found = format!("there is none in {}", facts.home);
        let mend = "install the chart, or name its namespace with --operator-namespace";
        return line(check, Mark::Fail, found, mend);
    };
    let Operator {
        name,
        version,
        ready,
        wanted,
    } = operator;
    let version = version.as_deref().unwrap_or("of an unknown version");
    let found = format!("{name} {version}: {ready} of {wanted} ready");
    if *ready == 0 {
        let mend = format!("see why: kubectl -n {} logs deployment/{name}", facts.home);
        return line(check, Mark::Fail, found, &mend);
    }
    if version != facts.plugin {
        let mend = format!(
            "this plugin is {}: bring both to the same version",
            facts.plugin
        );
        return line(check, Mark::Warn, found, &mend);
    }
    if ready < wanted {
        return line(
            check,
            Mark::Warn,
            found,
            "see why: kubectl describe its pods",
        );
    }
    line(check, Mark::Ok, found, "")
}

fn leader(facts: &Facts) -> Line {
    let check = "leader";
    let leases = match &facts.leases {
        Ok(leases) => leases,
        Err(why) => return unknown(check, why),
    };
    let operators = facts.operators.as_ref().ok();
    let names = operators.into_iter().flatten().map(|one| one.name.as_str());
    let names: Vec<&str> = names.collect();
    let Some(lease) = leases
        .iter()
        .find(|one| names.contains(&one.name_any().as_str()))
    else {
        let found = format!("no Lease of an operator in {}", facts.home);
        let mend = "an operator with --no-leader-election has none; see its log otherwise";
        return line(check, Mark::Warn, found, mend);
    };
    let spec = lease.spec.clone().unwrap_or_default();
    let holder = spec.holder_identity.unwrap_or_default();
    let renewed = spec.renew_time.map(|at| at.0);
    let seconds = u64::try_from(spec.lease_duration_seconds.unwrap_or(0)).unwrap_or(0);
    let patience = Duration::from_secs(seconds.saturating_mul(2));
    let age = renewed.map(|at| facts.now.duration_since(at));
    let is_fresh = age.is_some_and(|age| age.unsigned_abs() <= patience || age.is_negative());
    if holder.is_empty() || !is_fresh {
        let mend = format!(
            "see why nobody leads: kubectl -n {} logs -l app.kubernetes.io/component=operator",
            facts.home
        );
        return line(check, Mark::Fail, "nobody leads", &mend);
    }
    line(check, Mark::Ok, format!("{holder} leads"), "")
}

/// What somebody may not do, what is not known, and why.
fn lacking(rights: &[Right]) -> (Vec<String>, Option<&String>) {
    let missing = rights.iter().filter(|right| right.is_given == Ok(false));
    let missing = missing.map(|right| right.what.clone()).collect();
    let unknown = rights
        .iter()
        .find_map(|right| right.is_given.as_ref().err());
    (missing, unknown)
}

fn rights(facts: &Facts) -> Line {
    let check = "your rights";
    let (missing, why) = lacking(&facts.rights);
    if let Some(why) = why {
        return unknown(check, why);
    }
    let namespace = &facts.namespace;
    if missing.is_empty() {
        let found = format!("you may read, start runs and decide in {namespace}");
        return line(check, Mark::Ok, found, "");
    }
    let found = format!("in {namespace} you may not: {}", listed(&missing));
    let mend = "ask for the ClusterRole slipway-viewer (to read), slipway-developer (to start runs and steer Rollouts) or slipway-approver (to approve)";
    line(check, Mark::Warn, found, mend)
}

fn operator_rights(facts: &Facts) -> Line {
    let check = "operator's rights";
    let (missing, why) = lacking(&facts.operator_rights);
    if let Some(why) = why {
        return unknown(check, why);
    }
    if facts.operator_rights.is_empty() {
        return unknown(check, "there is no operator to ask about");
    }
    if missing.is_empty() {
        let found = format!("it has all that it needs in {}", facts.namespace);
        return line(check, Mark::Ok, found, "");
    }
    let found = format!("in {} it may not: {}", facts.namespace, listed(&missing));
    let mend =
        "install the ClusterRole of the chart, and see that watchNamespaces names the namespace";
    line(check, Mark::Fail, found, mend)
}

fn policies(facts: &Facts) -> Line {
    let check = "policies";
    let there = match &facts.policies {
        Ok(there) => there,
        Err(why) => return unknown(check, why),
    };
    let is_missing = |end: &&str| !there.iter().any(|name| name.ends_with(&format!("-{end}")));
    let missing = POLICIES.iter().copied().filter(is_missing);
    let missing: Vec<String> = missing.map(str::to_owned).collect();
    if missing.is_empty() {
        return line(check, Mark::Ok, "all four admission policies are there", "");
    }
    let found = format!("missing: {}", listed(&missing));
    let mend = "without them nobody proves who decides, and records can be forged: admissionPolicies.enabled in the chart";
    line(check, Mark::Warn, found, mend)
}

fn routers(facts: &Facts) -> Line {
    let check = "Gateway API";
    let groups = match &facts.groups {
        Ok(groups) => groups,
        Err(why) => return unknown(check, why),
    };
    let uses = facts.rollouts.iter().filter(|rollout| {
        let spec = serde_json::to_value(&rollout.spec).unwrap_or_default();
        spec.pointer("/traffic/gatewayAPI")
            .is_some_and(Value::is_object)
    });
    let uses: Vec<String> = uses.map(ResourceExt::name_any).collect();
    if groups.iter().any(|group| group == GATEWAY) {
        let found = format!("installed; {} Rollouts here use it", uses.len());
        return line(check, Mark::Ok, found, "");
    }
    if uses.is_empty() {
        return line(
            check,
            Mark::Ok,
            "not installed, and no Rollout here uses it",
            "",
        );
    }
    let found = format!("not installed, and Rollouts use it: {}", listed(&uses));
    line(
        check,
        Mark::Fail,
        found,
        "install the Gateway API and a gateway for it",
    )
}

fn metrics(facts: &Facts) -> Line {
    let check = "Prometheus";
    let (mut count, mut silent, mut failing) = (0, Vec::new(), Vec::new());
    for environment in &facts.environments {
        let name = environment.name_any();
        let Some(status) = &environment.status else {
            continue;
        };
        count += status.slos.len();
        let without = status
            .slos
            .iter()
            .filter(|slo| slo.state == SloState::NoData);
        silent.extend(without.map(|slo| format!("{name}/{}", slo.name)));
        let mut conditions = status.conditions.iter();
        let alerts = conditions.find(|one| one.type_ == "AlertsReady" && one.status == "False");
        failing.extend(alerts.map(|one| format!("{name}: {}", one.message)));
    }
    if !failing.is_empty() {
        let mend =
            "see docs/slos.md: rules go where the Prometheus Operator, or a ConfigMap, takes them";
        return line(check, Mark::Warn, listed(&failing), mend);
    }
    if !silent.is_empty() {
        let found = format!("no data for {}", listed(&silent));
        let mend = "see that spec.metrics.prometheus.address answers the operator, and that something is requested";
        return line(check, Mark::Warn, found, mend);
    }
    let found = match count {
        0 => "no Environment here has SLOs".to_owned(),
        count => format!("all {count} SLOs here have data"),
    };
    line(check, Mark::Ok, found, "")
}

fn registries(facts: &Facts) -> Line {
    let check = "registries";
    let silent = facts.registries.iter().filter_map(|(name, answer)| {
        let why = answer.as_ref().err()?;
        Some(format!("{name}: {why}"))
    });
    let silent: Vec<String> = silent.collect();
    if !silent.is_empty() {
        let found = format!("not to be asked from here: {}", listed(&silent));
        let mend = "the cluster may reach it all the same; one that asks for a login is checked with release verify --docker-config";
        return line(check, Mark::Warn, found, mend);
    }
    let names = facts.registries.iter().map(|(name, _)| name.clone());
    let names: Vec<String> = names.collect();
    let found = if names.is_empty() {
        "no Release here names one".to_owned()
    } else {
        format!("answer: {}", listed(&names))
    };
    line(check, Mark::Ok, found, "")
}

/// The first of them, and how many more there are.
fn listed(all: &[String]) -> String {
    let shown: Vec<&str> = all.iter().take(LISTED).map(String::as_str).collect();
    let shown = shown.join(", ");
    match all.len().saturating_sub(LISTED) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// For people.
pub(super) fn page(lines: &[Line], palette: Palette) -> String {
    let mut table = Table::new(&["", "", ""], &[]);
    for line in lines {
        let (tone, mark) = match line.result {
            Mark::Ok => (Tone::Good, "ok"),
            Mark::Warn => (Tone::Warn, "warn"),
            Mark::Fail => (Tone::Bad, "fail"),
        };
        table.row([
            Cell::new(tone, mark),
            line.check.into(),
            line.found.as_str().into(),
        ]);
        if let Some(mend) = &line.mend {
            table.row([
                Cell::default(),
                Cell::default(),
                Cell::new(Tone::Faint, format!("→ {mend}")),
            ]);
        }
    }
    table.text(palette)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn schema(fields: &[&str]) -> Value {
        let fields = fields
            .iter()
            .map(|name| ((*name).to_owned(), json!({"type": "string"})));
        let fields: serde_json::Map<String, Value> = fields.collect();
        json!({"type": "object", "properties": {"spec": {"type": "object", "properties": fields}}})
    }

    fn definition(name: &str, fields: &[&str]) -> CustomResourceDefinition {
        let definition = json!({
            "metadata": {"name": name},
            "spec": {"group": "slipway.dev", "names": {"kind": "Rollout", "plural": "rollouts"}, "scope": "Namespaced",
                     "versions": [{"name": "v1alpha1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema(fields)}}]},
        });
        serde_json::from_value(definition).unwrap()
    }

    fn now() -> Timestamp {
        "2026-11-28T12:00:00Z".parse().unwrap()
    }

    fn right(what: &str, is_given: bool) -> Right {
        Right {
            what: what.to_owned(),
            is_given: Ok(is_given),
        }
    }

    /// All is as it should be.
    fn good() -> Facts {
        let lease = json!({"metadata": {"name": "slipway"}, "spec": {
            "holderIdentity": "slipway-7d9f", "leaseDurationSeconds": 10, "renewTime": "2026-11-28T11:59:55.000000Z"}});
        let policies = POLICIES.map(|name| format!("slipway-{name}"));
        Facts {
            now: now(),
            namespace: "shop".to_owned(),
            home: "slipway-system".to_owned(),
            cluster: "v1.36.3".to_owned(),
            plugin: "0.1.0",
            wanted: vec![("rollouts.slipway.dev".to_owned(), schema(&["a", "b"]))],
            definitions: Ok(vec![definition("rollouts.slipway.dev", &["a", "b", "c"])]),
            operators: Ok(vec![Operator {
                name: "slipway".to_owned(),
                version: Some("0.1.0".to_owned()),
                ready: 2,
                wanted: 2,
            }]),
            leases: Ok(vec![serde_json::from_value(lease).unwrap()]),
            rights: vec![right("get rollouts", true)],
            operator_rights: vec![right("list rollouts", true)],
            policies: Ok(policies.to_vec()),
            groups: Ok(vec![GATEWAY.to_owned()]),
            registries: vec![("registry.example".to_owned(), Ok(()))],
            environments: Vec::new(),
            rollouts: Vec::new(),
        }
    }

    #[test]
    fn all_is_as_it_should_be() {
        let lines = lines(&good());
        assert_eq!(end(&lines), End::Well);
        insta::assert_snapshot!(page(&lines, Palette::new(false)));
    }

    #[test]
    fn what_is_missing_is_named_with_its_cure() {
        let mut facts = good();
        facts.cluster = "v1.30.1".to_owned();
        facts.definitions = Ok(vec![definition("rollouts.slipway.dev", &["a"])]);
        facts.operators = Ok(Vec::new());
        facts.leases = Ok(Vec::new());
        facts.rights = vec![right("create decisions", false)];
        facts.operator_rights = vec![right("patch rollouts", false)];
        facts.policies = Ok(vec!["slipway-runs".to_owned()]);
        facts.registries = vec![("registry.example".to_owned(), Err("no answer".to_owned()))];
        let lines = lines(&facts);
        assert_eq!(end(&lines), End::Bad);
        insta::assert_snapshot!(page(&lines, Palette::new(false)));
    }

    #[test]
    fn what_may_not_be_read_is_not_known_and_no_failure() {
        let mut facts = good();
        let refused = || "you may not".to_owned();
        facts.definitions = Err(refused());
        facts.operators = Err(refused());
        facts.leases = Err(refused());
        facts.policies = Err(refused());
        facts.groups = Err(refused());
        let lines = lines(&facts);
        assert_eq!(end(&lines), End::Well);
        let unknown = lines
            .iter()
            .filter(|line| line.found == "not known: you may not");
        assert_eq!(unknown.count(), 5);
    }

    #[test]
    fn a_lease_that_nobody_renews_means_that_nobody_leads() {
        let mut facts = good();
        facts.now = "2026-11-28T12:05:00Z".parse().unwrap();
        assert_eq!(leader(&facts).result, Mark::Fail);
    }
}
