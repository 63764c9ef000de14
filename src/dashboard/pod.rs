//! Pods of a Rollout as its page shows them. No I/O.

use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;
use serde::Serialize;

use crate::model::label;

/// A pod.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Row {
    /// Its name.
    pub name: String,
    /// Of which revision it is.
    pub revision: Option<String>,
    /// Whether it is ready.
    pub ready: bool,
    /// `Pending`, `Running`, `Succeeded`, `Failed`, `Unknown`, or `Terminating`.
    pub phase: String,
    /// What keeps it from serving, in a word.
    pub reason: Option<String>,
    /// How often containers of it were started again.
    pub restarts: i32,
    /// Where it is.
    pub node: Option<String>,
    /// Since when.
    pub started_at: Option<Time>,
}

/// The pods, by revision and name.
pub fn rows(pods: &[Pod]) -> Vec<Row> {
    let mut rows: Vec<Row> = pods.iter().map(row).collect();
    rows.sort_by(|one, other| (&one.revision, &one.name).cmp(&(&other.revision, &other.name)));
    rows
}

fn row(pod: &Pod) -> Row {
    let status = pod.status.clone().unwrap_or_default();
    let conditions = status.conditions.iter().flatten();
    let mut ready = conditions.filter(|condition| condition.type_ == "Ready");
    let all = status.init_container_statuses.iter().flatten();
    let all = all.chain(status.container_statuses.iter().flatten());
    let is_going = pod.metadata.deletion_timestamp.is_some();
    let phase = if is_going {
        "Terminating".to_owned()
    } else {
        status.phase.clone().unwrap_or_else(|| "Unknown".to_owned())
    };
    Row {
        name: pod.name_any(),
        revision: pod.labels().get(label::REVISION).cloned(),
        ready: ready.any(|condition| condition.status == "True"),
        phase,
        reason: all.clone().find_map(trouble).or(status.reason.clone()),
        restarts: all.map(|container| container.restart_count).sum(),
        node: pod.spec.as_ref().and_then(|spec| spec.node_name.clone()),
        started_at: status.start_time.clone(),
    }
}

/// What keeps a container from running: that it waits, or ended badly.
fn trouble(container: &ContainerStatus) -> Option<String> {
    let state = container.state.as_ref()?;
    let waiting = state.waiting.as_ref();
    let ended = state.terminated.as_ref();
    let ended = ended.filter(|ended| ended.exit_code != 0);
    waiting
        .and_then(|waiting| waiting.reason.clone())
        .or_else(|| ended.and_then(|ended| ended.reason.clone()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(name: &str, revision: &str, status: &serde_json::Value) -> Pod {
        serde_json::from_value(json!({
            "metadata": {"name": name, "labels": {label::REVISION: revision}},
            "spec": {"nodeName": "node-1", "containers": []}, "status": status,
        }))
        .unwrap()
    }

    #[test]
    fn a_pod_says_what_keeps_it_from_serving() {
        let container = |state: serde_json::Value, restarts: i32| json!({"name": "web", "image": "", "imageID": "", "ready": false, "restartCount": restarts, "state": state});
        let good = json!({"phase": "Running", "startTime": "2026-11-01T00:00:00Z",
            "conditions": [{"type": "Ready", "status": "True"}], "containerStatuses": [container(json!({"running": {}}), 0)]});
        let loops = json!({"phase": "Running", "containerStatuses": [
            container(json!({"waiting": {"reason": "CrashLoopBackOff"}}), 3), container(json!({"terminated": {"exitCode": 0, "reason": "Completed"}}), 1)]});
        let away = json!({"phase": "Failed", "reason": "Evicted"});
        let pods = [
            pod("b", "2", &loops),
            pod("c", "1", &away),
            pod("a", "1", &good),
        ];
        let shown = serde_json::to_value(rows(&pods)).unwrap();
        let row = |name,
                   revision,
                   ready,
                   phase,
                   reason: serde_json::Value,
                   restarts,
                   started: serde_json::Value| {
            json!({"name": name, "revision": revision, "ready": ready, "phase": phase, "reason": reason,
                "restarts": restarts, "node": "node-1", "startedAt": started})
        };
        assert_eq!(
            shown,
            json!([
                row(
                    "a",
                    "1",
                    true,
                    "Running",
                    json!(null),
                    0,
                    json!("2026-11-01T00:00:00Z")
                ),
                row("c", "1", false, "Failed", json!("Evicted"), 0, json!(null)),
                row(
                    "b",
                    "2",
                    false,
                    "Running",
                    json!("CrashLoopBackOff"),
                    4,
                    json!(null)
                ),
            ])
        );
    }

    #[test]
    fn a_pod_of_which_nothing_is_known_is_a_row_too() {
        let row = row(&Pod::default());
        assert_eq!(
            (row.phase.as_str(), row.ready, row.restarts),
            ("Unknown", false, 0)
        );
    }
}
