//! What the operator may do, and what it did: the same, says the API server's audit log.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::cluster::{NAMESPACE, RELEASE, cluster};

/// Verb, group, resource and subresource.
type Right = (String, String, String);

/// Rights that never show up as requests: the admission plugin OwnerReferencesPermissionEnforcement asks for them when
/// an owner is taken off or set, as it asks for `update` on `finalizers`. The testbed has it; without these rights no
/// other test here would pass.
const ASKED_BY_ADMISSION: &[(&str, &str, &str)] = &[
    // An apply of what is not there yet is a patch, for which the server asks for this as well.
    ("create", "monitoring.coreos.com", "prometheusrules"),
    ("create", "", "resourcequotas"),
    ("create", "", "limitranges"),
    ("create", "networking.k8s.io", "networkpolicies"),
    ("create", "slipway.dev", "rollouts"),
    ("delete", "", "services"),
    ("delete", "gateway.networking.k8s.io", "httproutes"),
];

/// Rights that no end-to-end test needs yet. One that is used, or gone, has to leave this list.
const NOT_PLAYED_YET: &[(&str, &str, &str)] = &[];

/// Requests that every user may make: about its own rights.
const OPEN_TO_ALL: &[&str] = &["selfsubjectaccessreviews"];

/// Runs after all other tests: `tests/run.sh` sees to it.
#[tokio::test]
#[ignore = "needs a node, and the other tests before it; run make test"]
async fn the_operator_did_all_that_it_may_and_nothing_else() {
    let cluster = cluster().await;
    let log = cluster
        .node
        .control_plane()
        .audit_log_path()
        .expect("the cluster's audit log");
    let (done, refused) = requests(&std::fs::read_to_string(log).unwrap());
    // What comes before an uninstall acts as the operator, too.
    let mut manifests = String::new();
    for of in ["manifest", "hooks"] {
        let args = ["get", of, RELEASE, "--namespace", NAMESPACE];
        manifests.push_str("\n---\n");
        manifests.push_str(&cluster.helm(&args).await);
    }
    let granted = granted(&manifests);
    let not_played_yet: BTreeSet<Right> = NOT_PLAYED_YET.iter().map(owned).collect();
    let unused: BTreeSet<_> = granted
        .difference(&done)
        .filter(|right| !is_asked(right))
        .cloned()
        .collect();
    let missing: BTreeSet<_> = done.difference(&granted).collect();
    assert!(refused.is_empty(), "refused: {refused:#?}");
    assert!(missing.is_empty(), "not granted: {missing:#?}");
    assert_eq!(unused, not_played_yet, "granted and never used");
}

/// What the operator's user asked for: what it was let do, and what it was not.
fn requests(log: &str) -> (BTreeSet<Right>, BTreeSet<Right>) {
    let user = format!("system:serviceaccount:{NAMESPACE}:{RELEASE}");
    let (mut done, mut refused) = (BTreeSet::new(), BTreeSet::new());
    let mut is_installed = true;
    let is_of_interest =
        |line: &&str| line.contains(&user) || line.contains("/clusterrolebindings");
    for line in log.lines().filter(is_of_interest) {
        // The server may be writing the last line.
        let Ok(event) = serde_json::from_str::<Value>(line) else {
            continue;
        };
        is_installed = is_bound_after(&event).unwrap_or(is_installed);
        if event["user"]["username"] != user {
            continue;
        }
        let Some(right) = right_of(&event) else {
            continue;
        };
        if OPEN_TO_ALL.contains(&right.2.as_str()) {
            continue;
        }
        match event["annotations"]["authorization.k8s.io/decision"].as_str() {
            // While it is uninstalled its rights go before its pods do.
            Some("forbid") if !is_installed => false,
            Some("forbid") => refused.insert(right),
            _ => done.insert(right),
        };
    }
    (done, refused)
}

/// Whether the operator has rights after a request, where the request decides about that.
fn is_bound_after(event: &Value) -> Option<bool> {
    let object = &event["objectRef"];
    if object["resource"] != "clusterrolebindings" || object["name"] != RELEASE {
        return None;
    }
    match event["verb"].as_str()? {
        "delete" => Some(false),
        "create" | "patch" | "update" => Some(true),
        _ => None,
    }
}

/// Nothing for requests that are not about an object, such as the server's version.
fn right_of(event: &Value) -> Option<Right> {
    let object = event.get("objectRef")?;
    let text = |key: &str| object[key].as_str().map(str::to_owned);
    let resource = match (text("resource")?, text("subresource")) {
        (resource, Some(subresource)) => format!("{resource}/{subresource}"),
        (resource, None) => resource,
    };
    Some((
        event["verb"].as_str()?.to_owned(),
        text("apiGroup").unwrap_or_default(),
        resource,
    ))
}

/// What the roles grant that are bound to the operator's ServiceAccount.
fn granted(manifest: &str) -> BTreeSet<Right> {
    let mut objects: Vec<Value> = serde_saphyr::from_multiple(manifest).unwrap();
    objects.retain(Value::is_object);
    let is_operators = |binding: &&Value| {
        let subjects = binding["subjects"].as_array();
        subjects.is_some_and(|all| {
            all.iter()
                .any(|s| s["kind"] == "ServiceAccount" && s["name"] == RELEASE)
        })
    };
    let bindings = objects.iter().filter(is_operators);
    let bound: Vec<&Value> = bindings.map(|binding| &binding["roleRef"]).collect();
    let is_bound = |object: &&Value| {
        bound.iter().any(|role| {
            role["kind"] == object["kind"] && role["name"] == object["metadata"]["name"]
        })
    };
    objects
        .iter()
        .filter(is_bound)
        .flat_map(|role| rights(&role["rules"]))
        .collect()
}

fn rights(rules: &Value) -> Vec<Right> {
    let words = |value: &Value| -> Vec<String> { serde_json::from_value(value.clone()).unwrap() };
    let mut rights = Vec::new();
    for rule in rules.as_array().unwrap() {
        for group in words(&rule["apiGroups"]) {
            for resource in words(&rule["resources"]) {
                let verbs = words(&rule["verbs"]);
                rights.extend(
                    verbs
                        .into_iter()
                        .map(|verb| (verb, group.clone(), resource.clone())),
                );
            }
        }
    }
    rights
}

fn is_asked(right: &Right) -> bool {
    let is_about_owners = right.0 == "update" && right.2.ends_with("/finalizers");
    is_about_owners
        || ASKED_BY_ADMISSION
            .iter()
            .any(|asked| owned(asked) == *right)
}

fn owned((verb, group, resource): &(&str, &str, &str)) -> Right {
    (
        (*verb).to_owned(),
        (*group).to_owned(),
        (*resource).to_owned(),
    )
}
