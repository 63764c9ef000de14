//! Who is answered by the dashboard, and with what: RBAC and admission decide, and nothing of the operator's own is lent.

use k8s_openapi::api::core::v1::ServiceAccount;
use kube::api::{Api, PostParams};
use reqwest::Method;
use serde_json::{Value, json};
use slipway::decision::api::{DecisionAction, TargetKind};

use super::server::{Local, Page};
use crate::cluster::{
    OPERATOR, Space, kubeconfig_of, kubeconfig_path, with_guarded_namespace, with_namespace,
};
use crate::operator::Operator;
use crate::policy::decision::decision;
use crate::policy::{ADMIN, APPROVER, DEVELOPER, VIEWER, bind, bind_to, grant, object, permitted};
use crate::rollout::{Subject, manifest};

/// Somebody with a token.
pub(super) struct Person {
    pub(super) user: String,
    pub(super) token: String,
}

impl Person {
    /// A ServiceAccount, and a token that the API server has made for it.
    pub(super) async fn new(space: &Space, name: &str) -> Self {
        let accounts: Api<ServiceAccount> = Api::namespaced(space.client.clone(), &space.name);
        let account = serde_json::from_value(json!({"metadata": {"name": name}})).unwrap();
        let params = PostParams::default();
        accounts.create(&params, &account).await.unwrap();
        let request = serde_json::from_value(json!({"spec": {"audiences": []}})).unwrap();
        let answer = accounts.create_token_request(name, &params, &request).await;
        Self {
            user: format!("system:serviceaccount:{}:{name}", space.name),
            token: answer.unwrap().status.unwrap().token.unwrap(),
        }
    }

    /// A kubeconfig with that token.
    pub(super) fn kubeconfig(&self, space: &Space) -> std::path::PathBuf {
        let name = self.user.rsplit(':').next().unwrap();
        kubeconfig_of(name, space, |user| *user = json!({"token": self.token}))
    }
}

/// The dashboard of an operator, in whose place nobody is.
pub(super) async fn in_cluster(operator: &Operator) -> String {
    format!("http://{}/", operator.dashboard_address().await)
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn a_local_server_answers_its_own_page_alone() {
    with_namespace(async |space| {
        Subject::create(space, &manifest("greeter:1", &json!({}))).await;
        let local = Local::start(&kubeconfig_path(), &["-n", &space.name]).await;
        let page = local.page();
        let (status, about) = page.get("api/v1/about").await;
        assert_eq!((status, &about["mode"]), (200, &json!("Local")), "{about}");
        assert_eq!(about["version"], env!("CARGO_PKG_VERSION"));
        assert_eq!(about["namespace"], json!(space.name));
        assert!(
            about["user"].is_string() && about["now"].is_string(),
            "{about}"
        );
        let path = format!("api/v1/objects/rollouts/{}/api", space.name);
        let (status, rollout) = page.get(&path).await;
        assert_eq!((status, &rollout["metadata"]["name"]), (200, &json!("api")));

        // Who does not know the secret, and pages of others that the browser was led to.
        for stranger in [
            Page::new(&page.base, None),
            Page::new(&page.base, Some("guessed")),
        ] {
            let (status, said) = stranger.get(&path).await;
            assert_eq!(status, 401, "{said}");
            assert!(said["message"].is_string(), "{said}");
        }
        let rebound = page
            .request(Method::GET, &path)
            .header("host", "evil.example:80");
        let rebound = rebound.send().await.unwrap();
        assert!(rebound.status().is_client_error(), "{}", rebound.status());
        assert!(!rebound.text().await.unwrap().contains("greeter:1"));
        let form = page
            .request(Method::POST, "api/v1/decisions")
            .header("content-type", "text/plain");
        let form = form.body("{}").send().await.unwrap();
        assert!(form.status().is_client_error(), "{}", form.status());

        for absent in ["rollouts/nowhere/api", "rollouts/default/nobody"] {
            let (status, said) = page.get(&format!("api/v1/objects/{absent}")).await;
            assert_eq!(
                (status, &said["reason"]),
                (404, &json!("NotFound")),
                "{said}"
            );
        }
        let (status, said) = page.get("api/v1/objects/secrets/default/any").await;
        assert!((400..500).contains(&status), "{status} {said}");

        let front = page.request(Method::GET, "").send().await.unwrap();
        assert_eq!(front.status(), 200);
        let header = |name: &str| front.headers()[name].to_str().unwrap().to_owned();
        let policy = header("content-security-policy");
        for words in [
            "default-src 'self'",
            "frame-ancestors 'none'",
            "base-uri 'none'",
            "form-action 'none'",
        ] {
            assert!(policy.contains(words), "{policy}");
        }
        assert!(!policy.contains("unsafe-eval"), "{policy}");
        assert_eq!(header("x-content-type-options"), "nosniff");
        assert_eq!(header("referrer-policy"), "no-referrer");
        assert_eq!(header("cache-control"), "no-cache");
    })
    .await;
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn in_the_cluster_everybody_is_who_the_token_says() {
    with_namespace(async |space| {
        Subject::create(space, &manifest("greeter:1", &json!({}))).await;
        let operator = Operator::start_with(&space.name, &kubeconfig_path(), DASHBOARD);
        let base = in_cluster(&operator).await;
        let (viewer, nobody) =
            tokio::join!(Person::new(space, "viewer"), Person::new(space, "nobody"));
        bind(space, &viewer.user, VIEWER).await;
        let path = format!("api/v1/objects/rollouts/{}/api", space.name);

        let page = Page::new(&base, Some(&viewer.token));
        let (status, about) = page.get("api/v1/about").await;
        assert_eq!(
            (status, &about["mode"]),
            (200, &json!("Cluster")),
            "{about}"
        );
        assert_eq!(about["user"], viewer.user);
        assert_eq!(page.get(&path).await.0, 200);
        let (status, said) = page.get("api/v1/objects/rollouts/kube-system/api").await;
        assert_eq!(
            (status, &said["reason"]),
            (403, &json!("Forbidden")),
            "{said}"
        );

        // What the operator may do helps nobody.
        let (status, said) = Page::new(&base, Some(&nobody.token)).get(&path).await;
        assert_eq!(status, 403, "{said}");
        assert!(
            said["message"].as_str().unwrap().contains("rollouts"),
            "{said}"
        );
        for token in [None, Some("a-stranger's-token"), Some("")] {
            let (status, said) = Page::new(&base, token).get(&path).await;
            assert_eq!(status, 401, "{token:?}: {said}");
        }
        let pods = format!("api/v1/pods/{}/api", space.name);
        let (status, said) = page.get(&pods).await;
        assert_eq!(
            (status, &said["reason"]),
            (403, &json!("Forbidden")),
            "{said}"
        );
        assert!(said["message"].as_str().unwrap().contains("pods"), "{said}");
    })
    .await;
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn a_kind_that_may_not_be_seen_leaves_the_others() {
    with_namespace(async |space| {
        let subject = Subject::create(space, &manifest("greeter:1", &json!({}))).await;
        let person = Person::new(space, "person").await;
        grant(
            space,
            &person.user,
            &["get", "list", "watch"],
            &["rollouts"],
        )
        .await;
        let local = Local::start(&person.kubeconfig(space), &["-n", &space.name]).await;
        let query = format!(
            "kinds=rollouts,environments,events&namespace={}",
            space.name
        );
        let mut events = local.page().listen(&query, None).await;
        let mut seen = Vec::new();
        for kind in ["Environment", "Event"] {
            if seen.iter().any(|one| is_trouble(one, kind)) {
                continue;
            }
            let told = events
                .until(kind, |one| {
                    one.event == "trouble" && one.data["kind"] == kind
                })
                .await;
            seen.extend(told.into_iter().map(|one| (one.event, one.data)));
        }
        let trouble = seen
            .iter()
            .find(|one| is_trouble(one, "Environment"))
            .unwrap();
        assert_eq!(trouble.1["reason"], "Forbidden", "{trouble:?}");
        assert!(
            trouble.1["message"]
                .as_str()
                .unwrap()
                .contains("environments"),
            "{trouble:?}"
        );
        let is_synced = |one: &(String, Value)| one.0 == "synced" && one.1["kind"] == "Rollout";
        if !seen.iter().any(is_synced) {
            events.until_synced("Rollout").await;
        }
        subject.patch(json!({"spec": {"replicas": 9}})).await;
        events
            .until_put("api", |object| object["spec"]["replicas"] == 9)
            .await;
    })
    .await;
}

fn is_trouble((event, data): &(String, Value), kind: &str) -> bool {
    event == "trouble" && data["kind"] == kind
}

/// What admission takes of somebody, by trying.
async fn taken(space: &Space, user: &str, kind: TargetKind) -> Vec<String> {
    let api = space.api_as(user, &[], "Decision").await;
    let params = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    let mut actions = Vec::new();
    for action in DecisionAction::ALL {
        let spec = decision(user, kind.as_str(), "api", action.as_str());
        match api.create(&params, &object("Decision", "act", &spec)).await {
            Ok(_) => actions.push(action.as_str().to_owned()),
            Err(kube::Error::Api(status)) if status.is_invalid() || status.is_forbidden() => {}
            Err(error) => panic!("{user}: {action} of {kind}: {error}"),
        }
    }
    actions.sort_unstable();
    actions
}

/// One object of each kind that Decisions are about, all called `api`.
async fn one_of_each(space: &Space) {
    bind_to(
        space,
        OPERATOR,
        "operator",
        &json!({"kind": "ClusterRole", "name": "cluster-admin"}),
    )
    .await;
    permitted(space, OPERATOR, "create", "promotions").await;
    Subject::create(space, &manifest("greeter:1", &json!({}))).await;
    let source = json!({"git": {"url": "https://git.example/shop/api"}});
    let stages = json!([{"name": "unit", "type": "Test", "image": "python:3", "run": "pytest"}]);
    let digest = format!("sha256:{}", "a".repeat(64));
    for (kind, spec) in [
        (
            "Environment",
            json!({"tier": "Staging", "promotion": {"from": {"pipelines": ["api"]}}}),
        ),
        ("Pipeline", json!({"source": source, "stages": stages})),
        (
            "PipelineRun",
            json!({"pipelineRef": {"name": "api"}, "trigger": {"kind": "Push", "actor": "slipway"},
            "ref": "refs/heads/main", "sha": "a".repeat(40)}),
        ),
        (
            "Promotion",
            json!({"environment": "staging", "release": "api-1", "pipeline": "api", "kind": "Promote", "attempt": 1,
            "requestedBy": "slipway", "images": [{"name": "api", "ref": format!("registry.example/api@{digest}")}]}),
        ),
    ] {
        let api = space.api_as(OPERATOR, &[], kind).await;
        let made = api
            .create(&PostParams::default(), &object(kind, "api", &spec))
            .await;
        made.unwrap_or_else(|error| panic!("{kind}: {error}"));
    }
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn what_is_offered_is_what_admission_takes() {
    with_guarded_namespace(async |space| {
        one_of_each(space).await;
        let mut offered = 0;
        for role in [VIEWER, DEVELOPER, APPROVER, ADMIN] {
            bind(space, role, role).await;
            let kubeconfig = kubeconfig_of(role, space, |user| user["as"] = json!(role));
            let local = Local::start(&kubeconfig, &["-n", &space.name]).await;
            let page = local.page();
            for (kind, plural) in [
                (TargetKind::Environment, "environments"),
                (TargetKind::Rollout, "rollouts"),
                (TargetKind::Pipeline, "pipelines"),
                (TargetKind::PipelineRun, "pipelineruns"),
                (TargetKind::Promotion, "promotions"),
            ] {
                let may = page.may(plural, &space.name, "api").await;
                assert_eq!(may, taken(space, role, kind).await, "{role} on {kind}");
                offered += may.len();
            }
            std::fs::remove_file(kubeconfig).unwrap();
        }
        assert!(offered > 40, "{offered}");
    })
    .await;
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn a_decision_is_made_in_the_name_of_who_asks_or_refused_in_the_words_of_admission() {
    with_guarded_namespace(async |space| {
        Subject::create(space, &manifest("greeter:1", &json!({}))).await;
        let dave = Person::new(space, "dave").await;
        bind(space, &dave.user, DEVELOPER).await;
        let local = Local::start(&dave.kubeconfig(space), &["-n", &space.name]).await;
        let page = local.page();
        let about = |action: &str, kind: &str| {
            json!({"namespace": space.name, "target": {"kind": kind, "name": "api"}, "action": action, "reason": "Too slow"})
        };
        let (status, said) = page.decide(&about("Pause", "Rollout")).await;
        assert_eq!(status, 201, "{said}");
        let made = space.api("Decision").get(said["name"].as_str().unwrap()).await.unwrap();
        let spec = &made.data["spec"];
        assert_eq!(spec["user"], dave.user);
        assert_eq!((&spec["action"], &spec["reason"]), (&json!("Pause"), &json!("Too slow")));

        // In nobody else's name, whatever the page says.
        let mut forged = about("Pause", "Rollout");
        forged["user"] = json!("alice");
        let (status, said) = page.decide(&forged).await;
        let is_refused = (400..500).contains(&status);
        let is_own = async || {
            let made = space.api("Decision").get(said["name"].as_str().unwrap()).await.unwrap();
            made.data["spec"]["user"] == dave.user
        };
        assert!(is_refused || is_own().await, "{status} {said}");

        let mut approval = about("Approve", "Environment");
        approval["release"] = json!("api-1");
        let (status, said) = page.decide(&approval).await;
        assert_eq!((status, &said["reason"]), (403, &json!("Forbidden")), "{said}");
        let words = "may not approve Environment api";
        assert!(said["message"].as_str().unwrap().contains(words), "{said}");
        let (status, said) = page.decide(&about("Explode", "Rollout")).await;
        assert!((400..500).contains(&status) && said["message"].is_string(), "{status} {said}");
        let (status, said) = page.decide(&about("Approve", "Environment")).await;
        assert!((400..500).contains(&status), "{status} {said}");
        assert!(said["message"].as_str().unwrap().contains("release"), "{said}");
    })
    .await;
}

/// What an operator is started with so that it serves the dashboard too.
pub(super) const DASHBOARD: &[&str] =
    &["--no-leader-election", "--dashboard-listen", "127.0.0.1:0"];
