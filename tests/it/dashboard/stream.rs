//! What changes, told as it happens: small in lists, whole where it is asked for, and without a gap when a connection was lost.

use futures::future::join_all;
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::{Value, json};
use slipway::rollout::api::Rollout;
use testbed::proxy::{Fault, Match, Proxy, What};

use super::server::{Events, Local, Page, Told};
use crate::cluster::{SOON, Space, config, kubeconfig_path, wait_for, with_namespace};
use crate::rollout::{Subject, manifest};

/// Most streams that one server has for one user at a time.
const MOST: usize = 16;

/// A Rollout with a long template, which nobody follows.
async fn a_long_one(space: &Space, name: &str) -> Api<Rollout> {
    let variable =
        |number: u32| json!({"name": format!("VARIABLE_{number}"), "value": "x".repeat(200)});
    let variables: Vec<Value> = (0..100).map(variable).collect();
    let containers = json!([{"name": "web", "image": "greeter:1", "env": variables}]);
    let extra = json!({"metadata": {"name": name}, "spec": {"template": {"spec": {"containers": containers}}}});
    Subject::create(space, &manifest("greeter:1", &extra))
        .await
        .api
}

async fn change(api: &Api<Rollout>, name: &str, change: &Value) {
    let params = PatchParams::default();
    api.patch(name, &params, &Patch::Merge(change))
        .await
        .unwrap();
}

async fn resize(api: &Api<Rollout>, name: &str, replicas: u32) {
    change(api, name, &json!({"spec": {"replicas": replicas}})).await;
}

fn has(replicas: u32) -> impl Fn(&Value) -> bool {
    move |object| object["spec"]["replicas"] == replicas
}

fn puts(told: &[Told], name: &str) -> usize {
    told.iter().filter(|one| one.is_put(name)).count()
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn what_changes_is_told_at_once_and_lists_are_small() {
    with_namespace(async |space| {
        let api = a_long_one(space, "api").await;
        let local = Local::start(&kubeconfig_path(), &["-n", &space.name]).await;
        let page = local.page();
        let query = format!("kinds=rollouts&namespace={}", space.name);
        let mut events = page.listen(&query, None).await;
        let told = events.until_synced("Rollout").await;
        let first = told.iter().find(|one| one.is_put("api")).unwrap();
        assert_eq!(first.data["kind"], "Rollout");
        let object = &first.data["object"];
        assert_eq!(object["spec"]["replicas"], 4);
        assert_eq!(object["spec"].get("template"), None, "{object}");
        assert_eq!(object["metadata"].get("managedFields"), None, "{object}");
        assert!(first.size < 2048, "{} bytes: {object}", first.size);
        let uid = object["metadata"]["uid"].clone();

        let whole = format!("{query}&name=api&whole=true");
        let mut whole = page.listen(&whole, None).await;
        let told = whole.until_put("api", |_| true).await;
        let last = told.last().unwrap();
        assert!(last.size > 20_000, "{} bytes", last.size);
        assert_eq!(last.data["object"]["metadata"].get("managedFields"), None);

        resize(&api, "api", 5).await;
        events.until_put("api", has(5)).await;
        whole.until_put("api", has(5)).await;

        // What comes in one moment is told once, as it is in the end.
        let notes = (0..20)
            .map(|number| json!({"metadata": {"annotations": {format!("note-{number}"): "x"}}}));
        let notes: Vec<Value> = notes.collect();
        join_all(notes.iter().map(|note| change(&api, "api", note))).await;
        resize(&api, "api", 6).await;
        let told = events.until_put("api", has(6)).await;
        assert!(puts(&told, "api") < 20, "{} times", puts(&told, "api"));

        api.delete("api", &DeleteParams::default()).await.unwrap();
        let is_gone = |told: &Told| told.event == "gone" && told.data["uid"] == uid;
        let told = events.until("that it is gone", is_gone).await;
        let gone = &told.last().unwrap().data;
        assert_eq!(
            (&gone["kind"], &gone["name"]),
            (&json!("Rollout"), &json!("api"))
        );
        assert_eq!(gone["namespace"], json!(space.name));

        let (status, said) = page.get("api/v1/stream?kinds=secrets").await;
        assert_eq!(status, 400, "{said}");
        assert!(
            said["message"].as_str().unwrap().contains("secrets"),
            "{said}"
        );
    })
    .await;
}

fn last_id(told: &[Told]) -> String {
    let ids = told.iter().rev().find_map(|one| one.id.clone());
    ids.expect("an id to go on from")
}

/// Two Rollouts are known, the connection is lost, one of them changes.
async fn cut_off(page: &Page, query: &str, api: &Api<Rollout>, replicas: u32) -> String {
    let mut events = page.listen(query, None).await;
    let id = last_id(&events.until_synced("Rollout").await);
    drop(events);
    resize(api, "api", replicas).await;
    id
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn a_stream_that_was_cut_goes_on_where_it_was_or_says_that_it_begins_anew() {
    with_namespace(async |space| {
        let api = a_long_one(space, "api").await;
        a_long_one(space, "other").await;
        let proxy = Proxy::start(config().await).await.unwrap();
        let kubeconfig = std::env::temp_dir().join(format!("dashboard-{}.yaml", space.name));
        proxy.write_kubeconfig(&kubeconfig).unwrap();
        let local = Local::start(&kubeconfig, &["-n", &space.name]).await;
        let page = local.page();
        let query = format!("kinds=rollouts&namespace={}", space.name);

        let id = cut_off(&page, &query, &api, 5).await;
        let mut events = page.listen(&query, Some(&id)).await;
        let told = events.until_put("api", has(5)).await;
        assert_eq!(puts(&told, "other"), 0, "{told:#?}");
        assert!(told.iter().all(|one| one.event != "reset"), "{told:#?}");

        // The server itself loses the API server, and misses nothing.
        proxy.drop_connections();
        resize(&api, "api", 6).await;
        events.until_put("api", has(6)).await;
        drop(events);

        // What was heard last is too long ago.
        let id = cut_off(&page, &query, &api, 7).await;
        let watches = Match::any().path_regex(r"/rollouts\?.*watch=").unwrap();
        let expired = proxy.inject(Fault::new(watches, What::Expired));
        let mut events: Events = page.listen(&query, Some(&id)).await;
        let told = events
            .until("that it begins anew", |one| one.event == "reset")
            .await;
        assert_eq!(puts(&told, "other"), 0, "{told:#?}");
        let told = events.until_synced("Rollout").await;
        assert_eq!(
            (puts(&told, "api"), puts(&told, "other")),
            (1, 1),
            "{told:#?}"
        );
        assert!(expired.hits() > 0);

        // What nobody ever said is no place to go on from.
        let mut events = page.listen(&query, Some("nonsense")).await;
        let told = events.until_synced("Rollout").await;
        assert_eq!(
            (puts(&told, "api"), puts(&told, "other")),
            (1, 1),
            "{told:#?}"
        );
        std::fs::remove_file(&kubeconfig).unwrap();
    })
    .await;
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn more_streams_than_there_may_be_are_asked_to_come_later() {
    with_namespace(async |space| {
        let local = Local::start(&kubeconfig_path(), &["-n", &space.name]).await;
        let page = local.page();
        let query = format!("kinds=rollouts&namespace={}", space.name);
        let all = join_all((0..MOST).map(|_| page.listen(&query, None))).await;
        let refused = page.ask_to_listen(&query, None).await;
        assert_eq!(refused.status(), 503);
        assert!(refused.headers().contains_key("retry-after"));
        let said: Value = refused.json().await.unwrap();
        assert!(said["message"].is_string(), "{said}");
        drop(all);
        wait_for("room for another one", SOON, async || {
            let answer = page.ask_to_listen(&query, None).await;
            (answer.status() == 200).then_some(())
        })
        .await;
    })
    .await;
}
