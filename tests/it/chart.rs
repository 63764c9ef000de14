//! What the chart renders, and whether a cluster takes it.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::process::{Command, Stdio};

use k8s_openapi::api::core::v1::{Pod, ServiceAccount};
use kube::Api;
use kube::api::{PatchParams, PostParams};
use serde_json::{Value, json};
use slipway::decision::api::DecisionAction;
use slipway::kinds::KINDS;

use crate::cluster::{
    SOON, apply_with, client, in_namespace, rendered_chart, wait_for, with_namespace,
};

const WRITING: &[&str] = &["create", "update", "patch"];

fn is_hook(manifest: &Value) -> bool {
    manifest["metadata"]["annotations"]["helm.sh/hook"].is_string()
}

/// Renders what the chart installs; the error is what helm says.
async fn render(namespace: &str, values: &Value) -> Result<Vec<Value>, String> {
    let mut manifests = rendered(namespace, values).await?;
    manifests.retain(|manifest| !is_hook(manifest));
    Ok(manifests)
}

/// Renders all of the chart, hooks of `helm test` and `helm uninstall` included.
pub(crate) async fn rendered(namespace: &str, values: &Value) -> Result<Vec<Value>, String> {
    testbed::programs::ensure(&["helm"]).await.unwrap();
    let mut helm = Command::new(testbed::programs::path_of("helm").unwrap())
        .args([
            "template",
            "slipway",
            "charts/slipway",
            "--namespace",
            namespace,
            "--values",
            "-",
        ])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    helm.stdin
        .take()
        .unwrap()
        .write_all(values.to_string().as_bytes())
        .unwrap();
    let output = helm.wait_with_output().unwrap();
    if !output.status.success() {
        return Err(String::from_utf8(output.stderr).unwrap());
    }
    let text = String::from_utf8(output.stdout).unwrap();
    let documents: Vec<Value> = serde_saphyr::from_multiple(&text).unwrap();
    Ok(documents.into_iter().filter(Value::is_object).collect())
}

fn of_kind<'a>(manifests: &'a [Value], kind: &str) -> Vec<&'a Value> {
    manifests
        .iter()
        .filter(|manifest| manifest["kind"] == *kind)
        .collect()
}

fn words(value: &Value) -> Vec<&str> {
    value
        .as_array()
        .into_iter()
        .flatten()
        .map(|word| word.as_str().unwrap())
        .collect()
}

/// Verbs and resources of every rule of every role.
fn rules(manifests: &[Value]) -> Vec<(String, Vec<&str>, Vec<&str>)> {
    let roles = ["ClusterRole", "Role"]
        .map(|kind| of_kind(manifests, kind))
        .concat();
    let mut found = Vec::new();
    for role in roles {
        let name = role["metadata"]["name"].as_str().unwrap();
        for rule in role["rules"].as_array().unwrap() {
            found.push((
                name.to_owned(),
                words(&rule["verbs"]),
                words(&rule["resources"]),
            ));
        }
    }
    found
}

#[test]
fn no_role_has_a_wildcard() {
    for (role, verbs, resources) in rules(&rendered_chart()) {
        assert!(!verbs.contains(&"*") && !resources.contains(&"*"), "{role}");
    }
}

#[test]
fn no_role_for_people_writes_records_or_a_status() {
    for (role, verbs, resources) in rules(&rendered_chart()) {
        let writes = verbs.iter().any(|verb| WRITING.contains(verb));
        if role.starts_with("slipway-") && role != "slipway-leases" && writes {
            for resource in resources {
                assert!(
                    !["releases", "promotions"].contains(&resource),
                    "{role} writes {resource}"
                );
                assert!(!resource.ends_with("/status"), "{role} writes {resource}");
            }
        }
    }
}

#[test]
fn roles_for_people_name_verbs_and_kinds_that_exist() {
    let actions: Vec<String> = DecisionAction::ALL
        .iter()
        .map(|action| action.verb())
        .collect();
    let plain = [
        "get",
        "list",
        "watch",
        "create",
        "update",
        "patch",
        "delete",
        "deletecollection",
    ];
    let own = ["protect", "purge"];
    let kinds: BTreeSet<&str> = KINDS.iter().map(|info| info.plural).collect();
    for role in ["viewer", "developer", "approver", "admin"] {
        let name = format!("slipway-{role}");
        let manifests = rendered_chart();
        let of_role = rules(&manifests)
            .into_iter()
            .filter(|(role, ..)| *role == name);
        let mut readable = BTreeSet::new();
        for (_, verbs, resources) in of_role {
            for verb in &verbs {
                let known = plain.contains(verb)
                    || own.contains(verb)
                    || actions.contains(&(*verb).to_owned());
                assert!(known, "{name}: {verb}");
            }
            for resource in resources {
                assert!(
                    kinds.contains(resource) || resource == "rollouts/scale",
                    "{name}: {resource}"
                );
                if verbs.contains(&"get") {
                    readable.insert(resource.to_owned());
                }
            }
        }
        for kind in &kinds {
            assert!(readable.contains(*kind), "{name} cannot read {kind}");
        }
    }
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn the_api_server_takes_everything_that_is_rendered() {
    with_namespace(async |space| {
        let values = json!({
            "watchNamespaces": [space.name], "networkPolicy": { "enabled": true },
            "commonLabels": { "team": "platform" }, "priorityClassName": "system-cluster-critical",
            "imagePullSecrets": [{ "name": "registry" }], "extraArgs": ["--workers=4"],
            "extraEnv": [{ "name": "HTTPS_PROXY", "value": "http://proxy:3128" }],
            "extraVolumes": [{ "name": "tmp", "emptyDir": {} }],
            "extraVolumeMounts": [{ "name": "tmp", "mountPath": "/tmp" }],
            "tolerations": [{ "operator": "Exists" }], "nodeSelector": { "kubernetes.io/os": "linux" },
            "otlpEndpoint": "http://collector:4318", "log": "debug",
            "metrics": { "dashboards": { "enabled": true } }, "dashboard": { "enabled": true },
        });
        let accounts: Api<ServiceAccount> = Api::namespaced(space.client.clone(), &space.name);
        wait_for("the default ServiceAccount", SOON, async || {
            accounts.get_opt("default").await.unwrap()
        })
        .await;
        for values in [json!({}), values] {
            for mut manifest in rendered(&space.name, &values).await.unwrap() {
                if manifest["kind"] == "Pod" {
                    // A dry run makes no account, and a pod takes one that is there.
                    manifest["spec"]["serviceAccountName"] = json!("default");
                }
                let what = format!("{} {}", manifest["kind"], manifest["metadata"]["name"]);
                let params = PatchParams { dry_run: true, ..PatchParams::apply("test").force() };
                let result = apply_with(&space.client, &manifest, &params.validation_strict()).await;
                result.unwrap_or_else(|error| panic!("{what}: {error}"));
            }
        }
    })
    .await;
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn the_operator_meets_the_restricted_standard() {
    let labels = json!({ "pod-security.kubernetes.io/enforce": "restricted" });
    in_namespace(labels, async |space| {
        let accounts: Api<ServiceAccount> = Api::namespaced(space.client.clone(), &space.name);
        wait_for("the default ServiceAccount", SOON, async || {
            accounts.get_opt("default").await.unwrap()
        })
        .await;
        let manifests = rendered_chart();
        let mut pod = of_kind(&manifests, "Deployment")[0]["spec"]["template"].clone();
        pod["metadata"]["name"] = json!("operator");
        pod["spec"]["serviceAccountName"] = json!("default");
        let pod: Pod = serde_json::from_value(pod).unwrap();
        let pods: Api<Pod> = Api::namespaced(space.client.clone(), &space.name);
        let params = PostParams {
            dry_run: true,
            ..PostParams::default()
        };
        pods.create(&params, &pod).await.unwrap();
    })
    .await;
}

#[tokio::test]
#[ignore = "needs helm; run make test"]
async fn with_namespaces_the_operator_has_rights_in_these_only() {
    let values = json!({ "watchNamespaces": ["shop", "blog"] });
    let manifests = render("ops", &values).await.unwrap();
    // Tokens are of no namespace.
    let everywhere = of_kind(&manifests, "ClusterRoleBinding");
    let everywhere: Vec<&Value> = everywhere
        .iter()
        .map(|one| &one["roleRef"]["name"])
        .collect();
    assert_eq!(everywhere, ["slipway-receiver"]);
    let bindings = of_kind(&manifests, "RoleBinding").into_iter();
    let bound: Vec<&Value> = bindings
        .filter(|binding| binding["roleRef"]["kind"] == "ClusterRole")
        .map(|binding| &binding["metadata"]["namespace"])
        .collect();
    assert_eq!(bound, ["shop", "blog"]);
    let policies = of_kind(&manifests, "ValidatingAdmissionPolicyBinding");
    assert_eq!(policies.len(), 4);
    for binding in policies {
        let selector =
            &binding["spec"]["matchResources"]["namespaceSelector"]["matchExpressions"][0];
        assert_eq!(selector["values"], json!(["shop", "blog"]));
    }
    let arguments = of_kind(&manifests, "Deployment")[0]["spec"]["template"]["spec"]["containers"]
        [0]["args"]
        .clone();
    assert!(words(&arguments).contains(&"--watch-namespace=shop,blog"));
}

/// Kinds of the whole cluster.
const OF_CLUSTER: &[&str] = &[
    "ClusterRole",
    "ClusterRoleBinding",
    "CustomResourceDefinition",
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionPolicyBinding",
];

#[tokio::test]
#[ignore = "needs helm; run make test"]
async fn an_installation_of_some_namespaces_has_nothing_of_the_whole_cluster() {
    let with = |receiver: bool| {
        json!({
            "watchNamespaces": ["shop", "blog"], "rbac": { "namespaced": true },
            "receiver": { "enabled": receiver }, "crds": { "install": false }, "admissionPolicies": { "enabled": false },
        })
    };
    let manifests = rendered("ops", &with(false)).await.unwrap();
    for kind in OF_CLUSTER {
        assert!(of_kind(&manifests, kind).is_empty(), "{kind}");
    }
    let is_operator = |role: &&&Value| role["metadata"]["name"] == "slipway";
    let roles = of_kind(&manifests, "Role");
    let places: Vec<&Value> = roles
        .iter()
        .filter(is_operator)
        .map(|role| &role["metadata"]["namespace"])
        .collect();
    assert_eq!(places, ["shop", "blog"]);
    let people = roles
        .iter()
        .filter(|role| role["metadata"]["name"] == "slipway-approver");
    assert_eq!(people.count(), 2);
    let bindings = of_kind(&manifests, "RoleBinding");
    assert!(bindings.iter().all(|one| one["roleRef"]["kind"] == "Role"));
    // What it may do there is what it may do elsewhere.
    let standard = render("ops", &json!({})).await.unwrap();
    let everywhere = of_kind(&standard, "ClusterRole");
    let everywhere = everywhere
        .iter()
        .find(|role| role["metadata"]["name"] == "slipway");
    let here = roles
        .iter()
        .find(|role| role["metadata"]["name"] == "slipway");
    assert_eq!(here.unwrap()["rules"], everywhere.unwrap()["rules"]);

    for (values, words) in [
        (json!({ "rbac": { "namespaced": true } }), "watchNamespaces"),
        (with(true), "receiver.enabled: false"),
    ] {
        let refused = render("ops", &values).await.unwrap_err();
        assert!(refused.contains(words), "{refused}");
    }
}

#[tokio::test]
#[ignore = "needs helm; run make test"]
async fn hooks_check_an_installation_and_let_go_before_it_is_removed() {
    let manifests = rendered("ops", &json!({})).await.unwrap();
    let hooks: Vec<&Value> = manifests.iter().filter(|one| is_hook(one)).collect();
    let of = |event: &str, kind: &str| {
        let mut all = hooks.iter();
        let is_it = |one: &&&Value| {
            one["kind"] == *kind && one["metadata"]["annotations"]["helm.sh/hook"] == *event
        };
        (*all
            .find(is_it)
            .unwrap_or_else(|| panic!("no {kind} of {event}")))
        .clone()
    };
    // The operator's own: that of receivers answers elsewhere.
    let operator = &of_kind(&manifests, "Deployment")[0]["metadata"]["name"];
    let services = of_kind(&manifests, "Service");
    let mut services = services.iter().map(|one| &one["metadata"]["name"]);
    assert!(services.any(|name| name == operator), "no Service of it");
    let address = format!(
        "--url=http://{}.ops.svc:8080/readyz",
        operator.as_str().unwrap()
    );
    let pod = of("test", "Pod");
    let args = pod["spec"]["containers"][0]["args"].clone();
    assert!(words(&args).contains(&address.as_str()), "{args}");
    let rules = of("test", "Role")["rules"].clone();
    assert_eq!(rules.as_array().unwrap().len(), 1);
    assert_eq!(words(&rules[0]["resources"]), ["leases"]);
    assert_eq!(words(&rules[0]["verbs"]), ["get"]);

    let job = of("pre-delete", "Job");
    let template = &job["spec"]["template"];
    let args = words(&template["spec"]["containers"][0]["args"]);
    assert!(args.contains(&"--deployment=slipway"), "{args:?}");
    assert_eq!(template["spec"]["serviceAccountName"], "slipway");
    let rules = of("pre-delete", "Role")["rules"].clone();
    assert_eq!(words(&rules[0]["resources"]), ["deployments/scale"]);
    // What reached other clusters once may have left its finalizer, with and without the right to do so now.
    let rules = of("pre-delete", "ClusterRole")["rules"].clone();
    assert_eq!(words(&rules[0]["resources"]), ["environments"]);
    assert_eq!(words(&rules[0]["verbs"]), ["patch"]);
    let some = json!({
        "watchNamespaces": ["shop", "pay"], "rbac": { "namespaced": true }, "receiver": { "enabled": false },
    });
    let some = rendered("ops", &some).await.unwrap();
    let some: Vec<&Value> = some.iter().filter(|one| is_hook(one)).collect();
    assert!(some.iter().all(|one| one["kind"] != "ClusterRole"));
    let mut bound = some.iter().filter(|one| one["kind"] == "RoleBinding");
    assert!(bound.any(|one| one["metadata"]["namespace"] == "pay"));

    // Neither is one of the operator's pods.
    let labels = &of_kind(&manifests, "Deployment")[0]["spec"]["selector"]["matchLabels"];
    for pod in [&pod["metadata"]["labels"], &template["metadata"]["labels"]] {
        let mut labels = labels.as_object().unwrap().iter();
        assert!(labels.any(|(name, value)| pod[name] != *value), "{pod}");
    }
    // What is applied without helm has none: they would run at once.
    assert!(!rendered_chart().iter().any(is_hook));

    let off = json!({ "helmTest": { "enabled": false }, "uninstall": { "enabled": false } });
    assert!(!rendered("ops", &off).await.unwrap().iter().any(is_hook));
}

#[tokio::test]
#[ignore = "needs helm; run make test"]
async fn switches_switch() {
    let with = async |values: Value| render("ops", &values).await.unwrap();
    let standard = with(json!({})).await;
    for kind in ["ServiceMonitor", "NetworkPolicy"] {
        assert!(of_kind(&standard, kind).is_empty(), "{kind}");
    }
    for crd in of_kind(&standard, "CustomResourceDefinition") {
        assert_eq!(
            crd["metadata"]["annotations"]["helm.sh/resource-policy"],
            "keep"
        );
    }
    assert_eq!(
        of_kind(&standard, "CustomResourceDefinition").len(),
        KINDS.len()
    );
    assert_eq!(of_kind(&standard, "PodDisruptionBudget").len(), 1);
    let reads_secrets = |manifests: &[Value]| {
        let rules = rules(manifests);
        let mut rules = rules.iter();
        rules.any(|(_, _, resources)| resources.contains(&"secrets"))
    };
    let arguments = |manifests: &[Value]| {
        let deployment = of_kind(manifests, "Deployment")[0];
        deployment["spec"]["template"]["spec"]["containers"][0]["args"].to_string()
    };
    assert!(!reads_secrets(&standard) && !arguments(&standard).contains("--secret-snapshots"));
    let copying = with(json!({ "secretSnapshots": { "enabled": true } })).await;
    assert!(reads_secrets(&copying) && arguments(&copying).contains("--secret-snapshots"));

    assert!(!arguments(&standard).contains("--metric-secrets"));
    assert!(arguments(&standard).contains("--metric-hosts=*"));
    let measuring = with(json!({ "analysis": {
        "secrets": { "enabled": true }, "allowedHosts": ["prometheus.monitoring", "10.0.0.0/8"],
    } }))
    .await;
    assert!(reads_secrets(&measuring) && arguments(&measuring).contains("--metric-secrets"));
    assert!(arguments(&measuring).contains("--metric-hosts=prometheus.monitoring,10.0.0.0/8"));

    assert!(!arguments(&standard).contains("--clusters"));
    let of_tenants = json!({
        "clusters": { "enabled": true }, "tenancy": { "enabled": true }, "clusterName": "prod-eu",
    });
    let reaching = with(of_tenants).await;
    assert!(reads_secrets(&reaching) && arguments(&reaching).contains("--clusters"));
    assert!(
        arguments(&reaching).contains("--tenancy") && !arguments(&standard).contains("--tenancy")
    );
    assert!(arguments(&reaching).contains("--cluster-name=prod-eu"));
    assert!(!arguments(&standard).contains("--cluster-name"));
    let may_patch = |manifests: &[Value]| {
        let rules = rules(manifests);
        let mut rules = rules.iter().filter(|(role, ..)| role == "slipway");
        rules.any(|(_, verbs, resources)| {
            resources.contains(&"environments") && verbs.contains(&"patch")
        })
    };
    assert!(may_patch(&reaching) && !may_patch(&standard));
    let hub = "system:serviceaccount:shop:slipway-hub";
    let target = with(json!({ "admissionPolicies": { "hubs": [hub] } })).await;
    let has_role = |manifests: &[Value]| {
        let roles = of_kind(manifests, "ClusterRole");
        let mut names = roles.iter().map(|role| &role["metadata"]["name"]);
        names.any(|name| *name == "slipway-hub")
    };
    assert!(has_role(&target) && !has_role(&standard));
    let policies = of_kind(&target, "ValidatingAdmissionPolicy");
    let trusting = policies
        .iter()
        .filter(|policy| policy.to_string().contains(hub));
    assert_eq!(trusting.count(), 2, "of records, and of what protects them");

    assert!(!arguments(&standard).contains("--freeze"));
    let frozen = with(
        json!({ "freeze": { "reason": "moving: \"east\"", "until": "2026-12-27T08:00:00Z" } }),
    )
    .await;
    let args =
        &of_kind(&frozen, "Deployment")[0]["spec"]["template"]["spec"]["containers"][0]["args"];
    let args: Vec<&str> = args
        .as_array()
        .unwrap()
        .iter()
        .filter_map(Value::as_str)
        .collect();
    assert!(args.contains(&"--freeze=moving: \"east\""), "{args:?}");
    assert!(
        args.contains(&"--freeze-until=2026-12-27T08:00:00Z"),
        "{args:?}"
    );

    assert!(arguments(&standard).contains("--stage-listen=0.0.0.0:8091"));
    assert!(arguments(&standard).contains("--stage-url=http://slipway-receiver.ops.svc:8091"));
    assert!(of_kind(&standard, "PersistentVolumeClaim").is_empty());
    for (setting, value) in [
        ("enabled", json!(true)),
        ("storageClassName", json!("shared")),
    ] {
        let persistence = json!({ setting: value });
        let keeping = with(json!({"receiver": {"logs": {"persistence": persistence}}})).await;
        let claim = of_kind(&keeping, "PersistentVolumeClaim")[0];
        let volume = &of_kind(&keeping, "Deployment")[0]["spec"]["template"]["spec"]["volumes"][0];
        let named = &volume["persistentVolumeClaim"]["claimName"];
        assert_eq!(named, &claim["metadata"]["name"]);
        assert_eq!(named, "slipway-logs");
    }
    let silent = with(json!({"receiver": {"enabled": false}})).await;
    assert!(!arguments(&silent).contains("--stage-listen"));
    assert!(
        !rules(&silent)
            .iter()
            .any(|(_, _, of)| of.contains(&"tokenreviews"))
    );

    let off = with(json!({
        "crds": { "install": false }, "admissionPolicies": { "enabled": false }, "replicaCount": 1,
        "rbac": { "userRoles": false }, "serviceAccount": { "create": false, "name": "mine" },
        "metrics": { "serviceMonitor": { "enabled": true } },
        "receiver": { "enabled": false },
    }))
    .await;
    for kind in [
        "CustomResourceDefinition",
        "ValidatingAdmissionPolicy",
        "ValidatingAdmissionPolicyBinding",
        "PodDisruptionBudget",
        "ServiceAccount",
    ] {
        assert!(of_kind(&off, kind).is_empty(), "{kind}");
    }
    assert_eq!(of_kind(&off, "ServiceMonitor").len(), 1);
    assert_eq!(of_kind(&off, "ClusterRole").len(), 1);
    assert_eq!(
        of_kind(&off, "Deployment")[0]["spec"]["template"]["spec"]["serviceAccountName"],
        "mine"
    );
}

#[tokio::test]
#[ignore = "needs helm; run make test"]
async fn the_dashboard_is_served_where_it_is_wanted_and_takes_no_right() {
    let with = async |values: Value| render("ops", &values).await.unwrap();
    let standard = with(json!({ "networkPolicy": { "enabled": true } })).await;
    let wanted = json!({ "networkPolicy": { "enabled": true, "dashboardFrom": [{ "ipBlock": { "cidr": "10.0.0.0/8" } }] },
        "dashboard": { "enabled": true, "port": 9000 }, "fullnameOverride": "mine" });
    let serving = with(wanted).await;
    let service = |manifests: &[Value], name: &str| {
        let services = of_kind(manifests, "Service");
        let mut found = services
            .into_iter()
            .filter(|one| one["metadata"]["name"] == *name);
        found.next().cloned()
    };
    assert_eq!(service(&standard, "slipway-dashboard"), None);
    let found = service(&serving, "mine-dashboard").unwrap();
    assert_eq!(found["spec"]["ports"][0]["port"], 9000);
    assert_eq!(found["spec"]["ports"][0]["targetPort"], "dashboard");
    let container = |manifests: &[Value]| {
        let deployment = of_kind(manifests, "Deployment")[0];
        deployment["spec"]["template"]["spec"]["containers"][0].clone()
    };
    assert!(!container(&standard).to_string().contains("dashboard"));
    let args = container(&serving)["args"].to_string();
    assert!(args.contains("--dashboard-listen=0.0.0.0:9000"), "{args}");
    assert!(args.contains("--receiver-service=mine-receiver"), "{args}");
    let ports = container(&serving)["ports"].clone();
    assert!(ports.to_string().contains("\"dashboard\""), "{ports}");
    let policy = &of_kind(&serving, "NetworkPolicy")[0]["spec"]["ingress"];
    let rules_of_it = policy.as_array().unwrap().iter();
    let mut rules_of_it = rules_of_it.filter(|rule| rule["ports"][0]["port"] == "dashboard");
    assert_eq!(
        rules_of_it.next().unwrap()["from"][0]["ipBlock"]["cidr"],
        "10.0.0.0/8"
    );
    let policy = of_kind(&standard, "NetworkPolicy")[0].to_string();
    assert!(!policy.contains("dashboard"), "{policy}");
    let rights = |manifests: &[Value]| {
        let all = rules(manifests).into_iter();
        let all = all.map(|(_, verbs, resources)| format!("{verbs:?} {resources:?}"));
        all.collect::<BTreeSet<String>>()
    };
    assert_eq!(rights(&serving), rights(&standard));
}

#[tokio::test]
#[ignore = "needs helm; run make test"]
async fn alerts_and_dashboards_are_shipped_where_they_are_wanted() {
    let standard = render("ops", &json!({})).await.unwrap();
    assert!(of_kind(&standard, "PrometheusRule").is_empty());
    assert!(of_kind(&standard, "ConfigMap").is_empty());
    let wanted = json!({ "metrics": {
        "serviceMonitor": { "enabled": true },
        "prometheusRule": {
            "enabled": true, "labels": { "release": "monitoring" }, "runbooks": "https://wiki.example/slipway/",
        },
        "dashboards": { "enabled": true, "annotations": { "grafana_folder": "Slipway" } },
    } });
    let manifests = render("ops", &wanted).await.unwrap();
    let monitor = of_kind(&manifests, "ServiceMonitor")[0];
    assert_eq!(monitor["spec"]["endpoints"][0]["honorLabels"], true);

    let rule = of_kind(&manifests, "PrometheusRule")[0];
    assert_eq!(rule["metadata"]["labels"]["release"], "monitoring");
    let mut expected = Vec::new();
    for file in ["operator", "deliveries"] {
        let path = format!(
            "{}/charts/slipway/alerts/{file}.yaml",
            env!("CARGO_MANIFEST_DIR")
        );
        let text = std::fs::read_to_string(path).unwrap();
        let given = "https://github.com/slipway-dev/slipway/blob/main/docs/runbooks/";
        assert!(text.contains(given), "{file}");
        let text = text.replace(given, "https://wiki.example/slipway/");
        let rules: Value = serde_saphyr::from_str(&text).unwrap();
        expected.extend(rules["groups"].as_array().unwrap().clone());
    }
    assert_eq!(rule["spec"]["groups"], Value::Array(expected));

    let dashboards = of_kind(&manifests, "ConfigMap")[0];
    assert_eq!(dashboards["metadata"]["labels"]["grafana_dashboard"], "1");
    let annotations = &dashboards["metadata"]["annotations"];
    assert_eq!(annotations["grafana_folder"], "Slipway");
    let data = dashboards["data"].as_object().unwrap();
    let names: Vec<&String> = data.keys().collect();
    assert_eq!(
        names,
        [
            "slipway-deliveries.json",
            "slipway-operator.json",
            "slipway-slo.json"
        ]
    );
    for (name, text) in data {
        let dashboard: Value = serde_json::from_str(text.as_str().unwrap()).unwrap();
        let uid = dashboard["uid"].as_str().unwrap();
        assert_eq!(*name, format!("{uid}.json"));
    }
}

/// Manifests by kind, namespace and name, without labels and the order of arguments.
fn by_name(manifests: Vec<Value>) -> BTreeMap<String, Value> {
    let named = manifests.into_iter().map(|mut manifest| {
        let kind = manifest["kind"].to_string();
        let metadata = manifest["metadata"].as_object_mut().unwrap();
        metadata.remove("labels");
        let key = format!(
            "{kind} {:?} {}",
            metadata.get("namespace"),
            metadata["name"]
        );
        let args = manifest.pointer_mut("/spec/template/spec/containers/0/args");
        if let Some(Value::Array(args)) = args {
            args.sort_by_key(Value::to_string);
        }
        (key, manifest)
    });
    named.collect()
}

#[tokio::test]
#[ignore = "needs helm and kubectl; run make test"]
async fn overlays_of_kustomize_are_what_the_chart_renders() {
    testbed::programs::ensure(&["kubectl"]).await.unwrap();
    for (folder, values) in [
        ("manifests", json!({})),
        (
            "kustomize/one-namespace",
            json!({ "watchNamespaces": ["shop"] }),
        ),
        (
            "kustomize/three-replicas",
            json!({ "replicaCount": 3, "podDisruptionBudget": { "minAvailable": 2 } }),
        ),
    ] {
        let built = Command::new(testbed::programs::path_of("kubectl").unwrap())
            .args(["kustomize", folder])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&built.stderr);
        assert!(built.status.success(), "{folder}: {said}");
        let text = String::from_utf8(built.stdout).unwrap();
        let built: Vec<Value> = serde_saphyr::from_multiple(&text).unwrap();
        let built = by_name(built.into_iter().filter(Value::is_object).collect());
        let rendered = by_name(render("slipway-system", &values).await.unwrap());
        let names = |all: &BTreeMap<String, Value>| all.keys().cloned().collect::<Vec<_>>();
        assert_eq!(names(&built), names(&rendered), "{folder}");
        for (name, manifest) in &built {
            assert_eq!(manifest, &rendered[name], "{folder}: {name}");
        }
    }
}

#[tokio::test]
#[ignore = "needs helm; run make test"]
async fn helm_finds_nothing_wrong_with_the_chart() {
    testbed::programs::ensure(&["helm"]).await.unwrap();
    let linted = Command::new(testbed::programs::path_of("helm").unwrap())
        .args(["lint", "--strict", "charts/slipway"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    let said = [linted.stdout, linted.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(linted.status.success(), "{said}");
}

/// Every value of the chart can be checked, and every one that is checked is there for people to read.
#[test]
fn the_schema_of_values_knows_every_value_and_no_other() {
    let read = |name: &str| {
        let path = format!("{}/charts/slipway/{name}", env!("CARGO_MANIFEST_DIR"));
        std::fs::read_to_string(path).unwrap()
    };
    let values: Value = serde_saphyr::from_str(&read("values.yaml")).unwrap();
    let schema: Value = serde_json::from_str(&read("values.schema.json")).unwrap();
    let mut wrong = Vec::new();
    compare("", &values, &schema, &mut wrong);
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// What of values and their schema does not fit together, below a path.
fn compare(path: &str, values: &Value, schema: &Value, wrong: &mut Vec<String>) {
    let Some(known) = schema["properties"].as_object() else {
        if schema["type"].is_null() && schema["enum"].is_null() && schema["anyOf"].is_null() {
            wrong.push(format!("{path}: the schema takes anything"));
        }
        return;
    };
    if schema["additionalProperties"] != false {
        wrong.push(format!("{path}: the schema takes other values"));
    }
    let there = values.as_object().unwrap();
    // Helm gives every chart the values below `global`.
    let known_here = known.keys().filter(|name| *name != "global");
    for name in known_here.filter(|name| !there.contains_key(*name)) {
        wrong.push(format!("{path}.{name} is not in values.yaml"));
    }
    for (name, value) in there {
        match known.get(name) {
            Some(schema) => compare(&format!("{path}.{name}"), value, schema, wrong),
            None => wrong.push(format!("{path}.{name} is not in the schema")),
        }
    }
}

#[tokio::test]
#[ignore = "needs helm; run make test"]
async fn a_digest_wins_over_a_tag() {
    let digest = format!("sha256:{}", "a".repeat(64));
    let values = json!({ "image": { "repository": "registry.example/slipway", "tag": "1", "digest": digest } });
    let manifests = render("ops", &values).await.unwrap();
    let image =
        &of_kind(&manifests, "Deployment")[0]["spec"]["template"]["spec"]["containers"][0]["image"];
    assert_eq!(*image, json!(format!("registry.example/slipway@{digest}")));
}

#[tokio::test]
#[ignore = "needs helm; run make test"]
async fn values_that_do_not_exist_are_refused() {
    for values in [
        json!({ "replicas": 3 }),
        json!({ "image": { "name": "slipway" } }),
        json!({ "logFormat": "xml" }),
        json!({ "replicaCount": 0 }),
        json!({ "image": { "digest": "latest" } }),
        json!({ "admissionPolicies": { "extraOperators": ["a'] || ['b"] } }),
    ] {
        let refused = render("ops", &values).await.expect_err(&values.to_string());
        assert!(
            refused.contains("don't meet the specifications of the schema"),
            "{refused}"
        );
    }
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn every_policy_is_free_of_type_errors() {
    use k8s_openapi::api::admissionregistration::v1::ValidatingAdmissionPolicy;

    let policies: Api<ValidatingAdmissionPolicy> = Api::all(client().await);
    for name in ["decisions", "records", "runs", "protection"] {
        let name = format!("slipway-{name}");
        let checked = wait_for(&format!("{name} is checked"), SOON, async || {
            let policy = policies.get(&name).await.unwrap();
            let status = policy.status?;
            (status.observed_generation == policy.metadata.generation)
                .then_some(status.type_checking)?
        })
        .await;
        let warnings = checked.expression_warnings.unwrap_or_default();
        assert!(warnings.is_empty(), "{name}: {warnings:?}");
    }
}
