//! What pods read, and how many there are: ConfigMaps and Secrets that go with a revision, and an autoscaler of the
//! cluster.

use k8s_openapi::ByteString;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::ResourceExt;
use kube::api::{Api, ListParams, Patch, PatchParams};
use serde_json::{Value, json};
use slipway::model::object::ObjectKind;

use crate::app::{App, NAME, REPLICAS, SOON, in_steps, nothing_lost, wait_for, with_app};
use crate::cluster::Version;
use crate::film::Film;

/// Names of copies, with one of their values.
async fn copies(app: &App, kind: ObjectKind) -> Vec<(String, Value)> {
    let all = app.api(kind);
    let label = ListParams::default().labels("slipway.dev/rollout");
    let found = all.list(&label).await.unwrap();
    let copies = found.into_iter();
    copies
        .map(|copy| (copy.name_any(), copy.data["data"]["GREETING"].clone()))
        .collect()
}

async fn set_greeting(app: &App, kind: ObjectKind, greeting: &str) {
    let value = if kind == ObjectKind::Secret {
        json!(ByteString(greeting.as_bytes().to_vec()))
    } else {
        json!(greeting)
    };
    let settings = json!({
        "apiVersion": "v1", "kind": kind.kind(), "metadata": {"name": "settings"},
        "data": {"GREETING": value},
    });
    app.apply(kind, &settings).await;
}

/// The template reads a ConfigMap or a Secret in a volume.
fn reading(kind: ObjectKind) -> Value {
    let volume = if kind == ObjectKind::Secret {
        json!({"name": "settings", "secret": {"secretName": "settings"}})
    } else {
        json!({"name": "settings", "configMap": {"name": "settings"}})
    };
    let mut extra = in_steps();
    extra["revisionHistoryLimit"] = 0.into();
    extra["configs"] = json!({"secrets": "Snapshot"});
    extra["template"] = json!({"spec": {"volumes": [volume]}});
    extra
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a node; run make test"]
async fn an_edit_of_a_config_map_is_a_change_and_goes_back_with_its_revision() {
    edited_and_taken_back(ObjectKind::ConfigMap).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a node; run make test"]
async fn an_edit_of_a_secret_is_a_change_and_goes_back_with_its_revision() {
    edited_and_taken_back(ObjectKind::Secret).await;
}

async fn edited_and_taken_back(kind: ObjectKind) {
    with_app(async |app| {
        let extra = reading(kind);
        app.ask_for(Version::One, &extra).await;
        app.until("a word about what is missing", |rollout| {
            let message = rollout["status"]["message"].as_str();
            let words = format!("there is no {} settings", kind.kind());
            message.is_some_and(|text| text.contains(&words))
        })
        .await;
        set_greeting(app, kind, "hello").await;
        app.until_healthy().await;
        let before = copies(app, kind).await;
        assert_eq!(before.len(), 1, "{before:?}");
        let load = app.load().await;
        set_greeting(app, kind, "good morning").await;
        app.until_paused_at(20).await;
        assert_eq!(
            copies(app, kind).await.len(),
            2,
            "each revision has its own"
        );
        app.decide("Abort").await;
        app.until_pods(REPLICAS).await;
        wait_for("the copy of what was given up may go", SOON, async || {
            // As long as the spec asks for it, its ReplicaSet is kept, and so is what it reads.
            set_greeting(app, kind, "hello").await;
            let copies = copies(app, kind).await;
            if copies == before {
                Ok(())
            } else {
                Err(format!("{copies:?}"))
            }
        })
        .await;
        nothing_lost(&format!("an edit of a {}, taken back", kind.kind()), load).await;

        let mut leaving = extra;
        leaving["deletionPolicy"] = "Orphan".into();
        app.ask_for(Version::One, &leaving).await;
        app.delete(ObjectKind::Rollout, NAME).await;
        assert_eq!(
            copies(app, kind).await,
            before,
            "pods that go on serving go on reading"
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a node; run make test"]
async fn an_autoscaler_changes_the_size_both_ways_in_the_middle_of_a_change() {
    with_app(async |app| {
        let mut extra = in_steps();
        extra["strategy"]["steps"][1] = json!({"pause": {}});
        app.start(Version::One, &extra).await;
        let load = app.load().await;
        app.ask_for(Version::Two, &extra).await;
        app.until_paused_at(20).await;
        scaled(app, (REPLICAS + 2, REPLICAS + 3), REPLICAS + 2).await;
        app.until("stable at the new size", |rollout| {
            rollout["status"]["stable"]["ready"] == json!(REPLICAS + 2)
        })
        .await;
        let known = scalers(app).get(NAME).await.unwrap().status.unwrap();
        let counted = known.current_replicas.unwrap_or_default();
        assert!(counted >= i32::try_from(REPLICAS).unwrap(), "{known:?}");
        // Fewer pods wait: each revision has to be able to take everything.
        scaled(app, (1, REPLICAS - 1), REPLICAS - 1).await;
        app.until("a word about the smaller size", |rollout| {
            let message = rollout["status"]["message"].as_str().unwrap_or_default();
            let words = format!("spec.replicas went down to {}", REPLICAS - 1);
            message.contains(&words) && rollout["status"]["stable"]["ready"] == json!(REPLICAS + 2)
        })
        .await;
        let film = app.film().await;
        app.decide("Resume").await;
        app.until_healthy().await;
        app.until_pods(REPLICAS - 1).await;
        stayed_while_shared(&film);
        nothing_lost("a change while an autoscaler changes the size", load).await;
    })
    .await;
}

fn scalers(app: &App) -> Api<HorizontalPodAutoscaler> {
    Api::namespaced(app.client.clone(), &app.namespace)
}

/// Has an autoscaler keep the number of pods within bounds, and waits until it has written a size.
async fn scaled(app: &App, bounds: (usize, usize), size: usize) {
    let wanted = app.autoscaler(&ObjectKind::Rollout.api_resource(), bounds);
    let params = PatchParams::apply("people").force();
    scalers(app)
        .patch(NAME, &params, &Patch::Apply(&wanted))
        .await
        .unwrap();
    wait_for("the autoscaler has written the size", SOON, async || {
        let now = app.now().await["spec"]["replicas"].clone();
        if now == json!(size) {
            Ok(())
        } else {
            Err(now.to_string())
        }
    })
    .await;
}

/// As long as both revisions got requests, stable kept the pods that it had.
fn stayed_while_shared(film: &Film) {
    let fewer = film.first(|rollout| {
        let status = &rollout["status"];
        let is_shared = (1..100).contains(&status["weights"]["canary"].as_u64()?);
        let is_less = status["stable"]["replicas"].as_u64()? < u64::try_from(REPLICAS + 2).ok()?;
        (is_shared && is_less).then(|| status.clone())
    });
    assert!(
        fewer.is_none(),
        "{:#}",
        json!(fewer.map(|(_, status)| status))
    );
}

/// People's ConfigMaps are not touched.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a node; run make test"]
async fn a_config_map_that_pods_read_live_is_left_alone() {
    with_app(async |app| {
        let kind = ObjectKind::ConfigMap;
        let mut extra = reading(kind);
        extra["configs"] = json!({"configMaps": "Live"});
        set_greeting(app, kind, "hello").await;
        app.start(Version::One, &extra).await;
        let before: Vec<String> = app.pods().await.into_keys().collect();
        set_greeting(app, kind, "good morning").await;
        app.ask_for(Version::One, &extra).await;
        app.until_healthy().await;
        let after: Vec<String> = app.pods().await.into_keys().collect();
        assert_eq!(after, before);
        assert_eq!(copies(app, kind).await, []);
        let maps: Api<ConfigMap> = Api::namespaced(app.client.clone(), &app.namespace);
        let settings = maps.get("settings").await.unwrap();
        assert_eq!(settings.owner_references(), []);
    })
    .await;
}
