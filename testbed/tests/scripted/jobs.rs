//! Jobs, whose real controller judges scripted pods.

use std::time::{Duration, Instant};

use anyhow::Result;
use futures::{AsyncBufReadExt, TryStreamExt};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{ListParams, LogParams};
use serde_json::{Value, json};
use testbed::scripted::SCRIPT_ANNOTATION;
use testbed::wait::until;

use super::cluster::{PATIENCE, Space, in_cluster, pod_spec};

/// A job whose pods play `script`; an empty one leaves it to the rules.
async fn a_job(space: &Space, name: &str, script: &str, more: Value) -> Result<()> {
    let mut spec = pod_spec(name);
    spec["restartPolicy"] = json!("Never");
    let annotations = match script {
        "" => json!({}),
        script => json!({SCRIPT_ANNOTATION: script}),
    };
    let template = json!({"metadata": {"annotations": annotations}, "spec": spec});
    let mut job = json!({
        "metadata": {"name": name},
        "spec": {"backoffLimit": 0, "template": template},
    });
    for (key, value) in more.as_object().into_iter().flatten() {
        job["spec"][key] = value.clone();
    }
    let _: Job = space.create_one(job).await?;
    Ok(())
}

/// Waits until the job is over; tells whether it is complete.
async fn is_complete(space: &Space, name: &str) -> Result<bool> {
    let jobs = space.api::<Job>();
    until(&format!("the end of job {name}"), PATIENCE, || async {
        let status = json!(jobs.get(name).await?.status);
        let mut conditions = status["conditions"].as_array().into_iter().flatten();
        let over = conditions.find(|condition| {
            condition["status"] == "True"
                && ["Complete", "Failed"].contains(&condition["type"].as_str().unwrap_or_default())
        });
        Ok(over.map(|condition| condition["type"] == "Complete"))
    })
    .await
}

async fn pods_of(space: &Space, job: &str) -> Result<Vec<Value>> {
    let labelled = ListParams::default().labels(&format!("batch.kubernetes.io/job-name={job}"));
    let pods = space.api::<Pod>().list(&labelled).await?;
    Ok(pods.iter().map(|pod| json!(pod.status)).collect())
}

#[test]
#[ignore = "needs a cluster: make test"]
fn a_job_ends_as_its_pod_exits_with_its_message() {
    in_cluster(async |space| {
        let before = Instant::now();
        a_job(
            space,
            "good",
            "exit=0,after=300ms,message={\"a\":1,\"b\":2}",
            json!({}),
        )
        .await?;
        a_job(space, "bad", "exit=3,message=no", json!({})).await?;
        a_job(space, "plain", "", json!({})).await?;
        assert!(is_complete(space, "good").await?);
        assert!(before.elapsed() >= Duration::from_millis(300));
        assert!(!is_complete(space, "bad").await?);
        assert!(
            is_complete(space, "plain").await?,
            "without a script, jobs succeed"
        );

        for (job, code, message) in [("good", 0, "{\"a\":1,\"b\":2}"), ("bad", 3, "no")] {
            let pods = pods_of(space, job).await?;
            let terminated = &pods[0]["containerStatuses"][0]["state"]["terminated"];
            assert_eq!(
                (&terminated["exitCode"], &terminated["message"]),
                (&json!(code), &json!(message))
            );
        }
        Ok(())
    });
}

#[test]
#[ignore = "needs a cluster: make test"]
fn an_evicted_attempt_does_not_count_and_is_replaced() {
    in_cluster(async |space| {
        let image = format!("{}-evicted", space.name);
        let nodes = &space.cluster.nodes;
        nodes.set_rule(&image, "evicted")?;
        let ignore = json!({"podFailurePolicy": {"rules": [{
            "action": "Ignore",
            "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}],
        }]}});
        a_job(space, &image, "", ignore).await?;
        until("an evicted pod", PATIENCE, || async {
            let pods = pods_of(space, &image).await?;
            Ok(pods
                .iter()
                .any(|status| status["reason"] == "Evicted")
                .then_some(()))
        })
        .await?;
        nodes.set_rule(&image, "exit=0")?;
        assert!(is_complete(space, &image).await?);
        let status = space
            .api::<Job>()
            .get(&image)
            .await?
            .status
            .unwrap_or_default();
        assert_eq!((status.succeeded, status.failed.unwrap_or(0)), (Some(1), 0));
        nodes.remove_rule(&image);
        Ok(())
    });
}

#[test]
#[ignore = "needs a cluster: make test"]
fn on_failure_restarts_in_place() {
    in_cluster(async |space| {
        let mut spec = pod_spec("again");
        spec["restartPolicy"] = json!("OnFailure");
        let pod = json!({
            "metadata": {"name": "again", "annotations": {SCRIPT_ANNOTATION: "exit=1,after=20ms"}},
            "spec": spec,
        });
        let _: Pod = space.create_one(pod).await?;
        let is_restarted =
            |status: &Value| status["containerStatuses"][0]["restartCount"].as_i64() >= Some(2);
        let pod = space.until_pod("again", is_restarted).await?;
        assert_eq!(json!(pod.status)["phase"], "Running");
        Ok(())
    });
}

#[test]
#[ignore = "needs a cluster: make test"]
fn a_container_says_what_it_is_told_to_until_it_ends() {
    in_cluster(async |space| {
        let image = format!("registry.local/{}-says:v1", space.name);
        let nodes = &space.cluster.nodes;
        nodes.set_rule(&image, "ready-after=10ms")?;
        let container = json!({"name": "app", "image": image});
        let spec = json!({"restartPolicy": "Never", "containers": [container]});
        let _: Pod = space
            .create_one(json!({"metadata": {"name": "says"}, "spec": spec}))
            .await?;
        space
            .until_pod("says", |status| status["phase"] == "Running")
            .await?;
        let pods = space.api::<Pod>();
        let follow = LogParams {
            follow: true,
            ..LogParams::default()
        };
        let stream = std::pin::pin!(pods.log_stream("says", &follow).await?);
        let mut lines = stream.lines();
        nodes.say(&image, "one\n");
        assert_eq!(lines.try_next().await?.as_deref(), Some("one"));
        nodes.say(&image, "two\n");
        nodes.set_rule(&image, "exit=0")?;
        assert_eq!(lines.try_next().await?.as_deref(), Some("two"));
        assert_eq!(lines.try_next().await?, None);
        let all = pods.logs("says", &LogParams::default()).await?;
        assert_eq!(all, "one\ntwo\n");
        nodes.remove_rule(&image);

        space.pod("waits", "image-missing").await?;
        space
            .until_pod("waits", |status| !status["containerStatuses"].is_null())
            .await?;
        let refused = pods.logs("waits", &LogParams::default()).await;
        let is_bad_request =
            matches!(&refused, Err(kube::Error::Api(status)) if status.code == 400);
        assert!(is_bad_request, "{refused:?}");
        Ok(())
    });
}
