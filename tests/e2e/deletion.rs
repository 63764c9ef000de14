//! A Rollout that goes in the middle of a change.

use kube::ResourceExt;
use kube::api::{DeleteParams, ListParams};
use serde_json::json;
use slipway::model::object::ObjectKind;

use crate::app::{
    App, DRAIN, NAME, REPLICAS, SOON, in_steps, nothing_lost, rate, wait_for, with_app,
};
use crate::cluster::Version;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a node; run make test"]
async fn orphaned_in_the_middle_of_a_canary_the_stable_version_serves_on() {
    with_app(async |app| {
        let mut extra = in_steps();
        extra["deletionPolicy"] = "Orphan".into();
        app.start(Version::One, &extra).await;
        let before = app.pods().await;
        let load = app.load().await;
        app.ask_for(Version::Two, &extra).await;
        app.until_paused_at(20).await;
        app.delete(ObjectKind::Rollout, NAME).await;
        app.until_pods(REPLICAS).await;
        assert_eq!(app.pods().await, before, "the same pods");
        let wanted = load.stats().answered + 2 * DRAIN.as_secs() * u64::from(rate());
        load.until(SOON, |stats| stats.answered >= wanted)
            .await
            .unwrap();
        let orphans = owned(app).await;
        assert_eq!(orphans, Vec::<String>::new(), "still have an owner");

        app.start(Version::One, &extra).await;
        assert_eq!(app.pods().await, before, "adopted, the same pods still");
        wait_for(
            "ReplicaSet, both Services and the route have an owner again",
            SOON,
            async || match owned(app).await {
                owned if owned.len() == 4 => Ok(()),
                owned => Err(format!("{owned:?}")),
            },
        )
        .await;
        nothing_lost("a Rollout that left its pods, and came back", load).await;
    })
    .await;
}

/// Names of what has an owner among the things that a Rollout leaves behind.
async fn owned(app: &App) -> Vec<String> {
    let mut owned = Vec::new();
    for kind in [
        ObjectKind::ReplicaSet,
        ObjectKind::Service,
        ObjectKind::HttpRoute,
    ] {
        for object in app.api(kind).list(&ListParams::default()).await.unwrap() {
            let is_live = object.data.pointer("/spec/replicas") != Some(&json!(0));
            if !object.owner_references().is_empty() && is_live {
                owned.push(format!("{} {}", kind.kind(), object.name_any()));
            }
        }
    }
    owned
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a node; run make test"]
async fn deleted_in_the_middle_of_a_canary_nothing_is_left() {
    with_app(async |app| {
        app.start(Version::One, &in_steps()).await;
        app.ask_for(Version::Two, &in_steps()).await;
        app.until_paused_at(20).await;
        let rollouts = app.api(ObjectKind::Rollout);
        let params = DeleteParams::foreground();
        rollouts.delete(NAME, &params).await.unwrap();
        app.until_gone(ObjectKind::Rollout, NAME).await;
        let sets = app
            .api(ObjectKind::ReplicaSet)
            .list(&ListParams::default())
            .await
            .unwrap();
        assert_eq!(
            sets.items.len(),
            0,
            "with foreground deletion the children go first"
        );
        app.until_nothing_is_left().await;
    })
    .await;
}

impl App {
    /// Deletes an object, and waits until it is gone.
    pub(crate) async fn delete(&self, kind: ObjectKind, name: &str) {
        let params = DeleteParams::background();
        self.api(kind).delete(name, &params).await.unwrap();
        self.until_gone(kind, name).await;
    }

    /// Waits until an object is gone.
    pub(crate) async fn until_gone(&self, kind: ObjectKind, name: &str) {
        let api = self.api(kind);
        wait_for(
            &format!("{} {name} is gone", kind.kind()),
            SOON,
            async || match api.get_opt(name).await.unwrap() {
                None => Ok(()),
                Some(object) => Err(format!("finalizers {:?}", object.finalizers())),
            },
        )
        .await;
    }

    /// Waits until nothing of what a Rollout makes is in the namespace.
    pub(crate) async fn until_nothing_is_left(&self) {
        let kinds = [
            ObjectKind::ReplicaSet,
            ObjectKind::Service,
            ObjectKind::HttpRoute,
            ObjectKind::Pod,
        ];
        wait_for("nothing is left", SOON, async || {
            let mut left = Vec::new();
            for kind in kinds {
                let objects = self.api(kind).list(&ListParams::default()).await.unwrap();
                left.extend(objects.into_iter().map(|object| object.name_any()));
            }
            if left.is_empty() {
                Ok(())
            } else {
                Err(left.join(", "))
            }
        })
        .await;
    }
}
