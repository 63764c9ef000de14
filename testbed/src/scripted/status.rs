//! Renders a pod's status as a kubelet would write it. No I/O.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container, ContainerStatus, Pod, PodStatus};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::scene::Pose;
use super::script::Exit;

/// The longest termination message a kubelet keeps.
const LONGEST_MESSAGE: usize = 4096;
/// The kubelet's words when it evicts.
const LOW_ON_MEMORY: &str = "The node was low on resource: memory.";
/// Conditions that are ours; all others on a pod stay as they are.
const OURS: [&str; 6] = [
    "PodReadyToStartContainers",
    "Initialized",
    "Ready",
    "ContainersReady",
    "PodScheduled",
    "DisruptionTarget",
];

/// What a status is rendered from.
#[derive(Debug, Clone, Copy)]
pub(super) struct View<'a> {
    /// As it is in the cluster.
    pub(super) pod: &'a Pod,
    pub(super) pose: &'a Pose,
    /// Termination messages of init containers, by name.
    pub(super) init_messages: &'a BTreeMap<String, String>,
    /// The index of the main container.
    pub(super) main: usize,
    /// Of the main container.
    pub(super) restarts: i32,
    pub(super) ip: Ipv4Addr,
    pub(super) node_ip: Ipv4Addr,
    pub(super) now: Timestamp,
}

/// The state of one container.
enum State {
    Waiting {
        reason: String,
        message: Option<String>,
    },
    Running,
    Terminated(Exit),
}

/// `Always`, `OnFailure` or `Never`.
pub(super) fn restart_policy(pod: &Pod) -> &str {
    let policy = pod
        .spec
        .as_ref()
        .and_then(|spec| spec.restart_policy.as_deref());
    policy.unwrap_or("Always")
}

pub(super) fn is_terminal(pod: &Pod) -> bool {
    ["Succeeded", "Failed"].contains(&phase_of(pod))
}

fn phase_of(pod: &Pod) -> &str {
    pod.status
        .as_ref()
        .and_then(|status| status.phase.as_deref())
        .unwrap_or_default()
}

/// The status of the main container, if there is one.
pub(super) fn main_status(pod: &Pod, main: usize) -> Option<&ContainerStatus> {
    let name = &pod.spec.as_ref()?.containers.get(main)?.name;
    pod.status
        .as_ref()?
        .container_statuses
        .iter()
        .flatten()
        .find(|status| &status.name == name)
}

pub(super) fn has_condition(pod: &Pod, name: &str) -> bool {
    let conditions = pod
        .status
        .iter()
        .flat_map(|status| status.conditions.iter().flatten());
    conditions
        .into_iter()
        .any(|condition| condition.type_ == name && condition.status == "True")
}

/// Whether the pod would be ready in this pose: its containers are, and all readiness gates hold.
pub(super) fn is_ready(pod: &Pod, pose: &Pose) -> bool {
    let gates = pod
        .spec
        .iter()
        .flat_map(|spec| spec.readiness_gates.iter().flatten());
    *pose == (Pose::Running { is_ready: true })
        && gates
            .into_iter()
            .all(|gate| has_condition(pod, &gate.condition_type))
}

/// A merge patch for the `status` subresource. Bound to the version of the pod it was rendered from.
pub(super) fn patch(view: View<'_>) -> Value {
    let metadata = &view.pod.metadata;
    json!({
        "metadata": {"uid": metadata.uid, "resourceVersion": metadata.resource_version},
        "status": status(view),
    })
}

fn status(view: View<'_>) -> Value {
    let is_evicted = *view.pose == Pose::Evicted;
    let started = view
        .pod
        .status
        .as_ref()
        .and_then(|status| status.start_time.as_ref());
    json!({
        "phase": phase(view.pose),
        "reason": is_evicted.then_some("Evicted"),
        "message": is_evicted.then_some(LOW_ON_MEMORY),
        "startTime": started.map_or_else(|| time(view.now), |started| json!(started)),
        "hostIP": view.node_ip,
        "hostIPs": [{"ip": view.node_ip}],
        "podIP": view.ip,
        "podIPs": [{"ip": view.ip}],
        "conditions": conditions(view),
        "initContainerStatuses": init_containers(view),
        "containerStatuses": containers(view),
    })
}

fn phase(pose: &Pose) -> &'static str {
    match pose {
        Pose::Creating | Pose::Waiting { .. } => "Pending",
        Pose::Running { .. }
        | Pose::BackOff { .. }
        | Pose::Exited {
            is_final: false, ..
        } => "Running",
        Pose::Exited {
            exit,
            is_final: true,
        } if exit.code == 0 => "Succeeded",
        Pose::Exited { .. } | Pose::Evicted => "Failed",
    }
}

fn time(at: Timestamp) -> Value {
    // Kubernetes' times have whole seconds.
    json!(at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}

fn conditions(view: View<'_>) -> Vec<Value> {
    let existing = view
        .pod
        .status
        .iter()
        .flat_map(|status| status.conditions.iter().flatten());
    let others = existing.filter(|condition| {
        !OURS.contains(&condition.type_.as_str())
            || (condition.type_ == "DisruptionTarget" && *view.pose != Pose::Evicted)
    });
    let mut conditions: Vec<Value> = others.map(|condition| json!(condition)).collect();
    let is_created = *view.pose != Pose::Creating;
    let are_ready = *view.pose == Pose::Running { is_ready: true };
    let is_completed = phase(view.pose) == "Succeeded";
    let unready = if is_completed {
        "PodCompleted"
    } else {
        "ContainersNotReady"
    };
    let is_gated = are_ready && !is_ready(view.pod, view.pose);
    let gated = if is_gated {
        "ReadinessGatesNotReady"
    } else {
        unready
    };
    conditions.extend([
        condition(view, "PodReadyToStartContainers", is_created, ""),
        condition(view, "Initialized", is_created, "ContainersNotInitialized"),
        condition(view, "Ready", is_ready(view.pod, view.pose), gated),
        condition(view, "ContainersReady", are_ready, unready),
        condition(view, "PodScheduled", true, ""),
    ]);
    if *view.pose == Pose::Evicted {
        let mut disruption = condition(view, "DisruptionTarget", true, "");
        if let Some(fields) = disruption.as_object_mut() {
            fields.insert("reason".into(), json!("TerminationByKubelet"));
            fields.insert("message".into(), json!(LOW_ON_MEMORY));
        }
        conditions.push(disruption);
    }
    conditions
}

/// `reason` is given when the condition does not hold.
fn condition(view: View<'_>, name: &str, holds: bool, reason: &str) -> Value {
    let status = if holds { "True" } else { "False" };
    let mut conditions = view
        .pod
        .status
        .iter()
        .flat_map(|status| status.conditions.iter().flatten());
    let before = conditions.find(|before| before.type_ == name && before.status == status);
    let since = before.and_then(|before| before.last_transition_time.as_ref());
    let mut condition = json!({
        "type": name,
        "status": status,
        "lastProbeTime": null,
        "lastTransitionTime": since.map_or_else(|| time(view.now), |since| json!(since)),
    });
    if let Some(fields) = condition
        .as_object_mut()
        .filter(|_| !holds && !reason.is_empty())
    {
        fields.insert("reason".into(), json!(reason));
    }
    condition
}

fn containers(view: View<'_>) -> Vec<Value> {
    let containers = view.pod.spec.iter().flat_map(|spec| &spec.containers);
    let statuses = view
        .pod
        .status
        .as_ref()
        .and_then(|status| status.container_statuses.as_ref());
    containers
        .enumerate()
        .map(|(index, of)| {
            let before = statuses
                .into_iter()
                .flatten()
                .find(|status| status.name == of.name);
            let is_main = index == view.main;
            let state = if is_main {
                main_state(view.pose)
            } else {
                other_state(view.pose)
            };
            let restarts = if is_main { view.restarts } else { 0 };
            let is_ready = match (&state, view.pose) {
                (State::Running, Pose::Running { is_ready }) if is_main => *is_ready,
                (State::Running, _) => true,
                (State::Waiting { .. } | State::Terminated(_), _) => false,
            };
            let mut status = container(view, of, &state, before, (restarts, is_ready));
            if let (Pose::BackOff { exit }, true, Some(fields)) =
                (view.pose, is_main, status.as_object_mut())
            {
                fields.insert("lastState".into(), terminated(view, exit, before));
            }
            status
        })
        .collect()
}

fn main_state(pose: &Pose) -> State {
    match pose {
        Pose::Creating => State::Waiting {
            reason: "ContainerCreating".to_owned(),
            message: None,
        },
        Pose::Running { .. } => State::Running,
        Pose::Waiting { reason, message } => State::Waiting {
            reason: (*reason).to_owned(),
            message: Some(message.clone()),
        },
        Pose::Exited { exit, .. } => State::Terminated(exit.clone()),
        Pose::BackOff { .. } => State::Waiting {
            reason: "CrashLoopBackOff".to_owned(),
            message: Some("back-off restarting failed container".to_owned()),
        },
        Pose::Evicted => State::Terminated(Exit::with_code(137)),
    }
}

/// The other containers run, and end with the pod.
fn other_state(pose: &Pose) -> State {
    match pose {
        Pose::Creating => main_state(pose),
        Pose::Evicted => State::Terminated(Exit::with_code(137)),
        Pose::Exited { is_final: true, .. } => State::Terminated(Exit::with_code(0)),
        Pose::Running { .. }
        | Pose::Waiting { .. }
        | Pose::BackOff { .. }
        | Pose::Exited {
            is_final: false, ..
        } => State::Running,
    }
}

/// Init containers have succeeded once the pod runs; sidecars run as long as it does.
fn init_containers(view: View<'_>) -> Vec<Value> {
    let of = |status: &PodStatus| status.init_container_statuses.clone();
    let statuses = view.pod.status.as_ref().and_then(of).unwrap_or_default();
    let containers = view
        .pod
        .spec
        .iter()
        .flat_map(|spec| spec.init_containers.iter().flatten());
    let render = |of: &Container| {
        let before = statuses.iter().find(|status| status.name == of.name);
        let state = match (other_state(view.pose), of.restart_policy.as_deref()) {
            (State::Waiting { .. }, _) => State::Waiting {
                reason: "PodInitializing".to_owned(),
                message: None,
            },
            (state, Some("Always")) => state,
            (State::Running | State::Terminated(_), _) => State::Terminated(Exit {
                message: view.init_messages.get(&of.name).cloned(),
                ..Exit::with_code(0)
            }),
        };
        let is_ready = !matches!(state, State::Waiting { .. });
        container(view, of, &state, before, (0, is_ready))
    };
    containers.map(render).collect()
}

fn container(
    view: View<'_>,
    of: &Container,
    state: &State,
    before: Option<&ContainerStatus>,
    (restarts, is_ready): (i32, bool),
) -> Value {
    let image = of.image.as_deref().unwrap_or_default();
    let was_created = before.is_some_and(|before| !before.image_id.is_empty());
    let is_created = was_created || !matches!(state, State::Waiting { .. });
    let id = is_created.then(|| container_id(view.pod, &of.name, restarts));
    let state_now = match state {
        State::Waiting { reason, message } => {
            json!({"waiting": {"reason": reason, "message": message}})
        }
        State::Running => json!({"running": {"startedAt": started_at(view, before, restarts)}}),
        State::Terminated(exit) => terminated(view, exit, before),
    };
    let last = before.and_then(|before| before.last_state.as_ref());
    json!({
        "name": of.name,
        "image": image,
        "imageID": if is_created { image_id(image) } else { String::new() },
        "containerID": id,
        "ready": is_ready,
        "started": matches!(state, State::Running),
        "restartCount": restarts,
        "state": state_now,
        "lastState": last.map_or_else(|| json!({}), |last| json!(last)),
    })
}

/// When the container started, if it is still the same; else now.
fn started_at(view: View<'_>, before: Option<&ContainerStatus>, restarts: i32) -> Value {
    let same = before.filter(|before| before.restart_count == restarts);
    let running = same.and_then(|before| before.state.as_ref()?.running.as_ref());
    let since = running.and_then(|running| running.started_at.as_ref());
    since.map_or_else(|| time(view.now), |since| json!(since))
}

fn terminated(view: View<'_>, exit: &Exit, before: Option<&ContainerStatus>) -> Value {
    let running = before.and_then(|before| before.state.as_ref()?.running.as_ref());
    let ended = before.and_then(|before| before.state.as_ref()?.terminated.as_ref());
    if let Some(ended) = ended.filter(|ended| ended.exit_code == exit.code) {
        return json!({"terminated": ended});
    }
    let since = running.and_then(|running| running.started_at.as_ref());
    json!({"terminated": {
        "exitCode": exit.code,
        "reason": exit.reason,
        "message": exit.message.as_deref().map(shortened),
        "startedAt": since.map_or_else(|| time(view.now), |since| json!(since)),
        "finishedAt": time(view.now),
    }})
}

fn shortened(message: &str) -> &str {
    let end = message.floor_char_boundary(LONGEST_MESSAGE);
    message.get(..end).unwrap_or(message)
}

/// `repository@digest`, as containerd says it. The digest of a tag is made up, always the same.
pub(super) fn image_id(image: &str) -> String {
    let (name, digest) = match image.split_once('@') {
        Some((name, digest)) => (name, digest.to_owned()),
        None => (image, format!("sha256:{}", hash(image))),
    };
    let repository = match name.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => repository,
        Some(_) | None => name,
    };
    format!("{repository}@{digest}")
}

fn container_id(pod: &Pod, name: &str, restarts: i32) -> String {
    let uid = pod.metadata.uid.as_deref().unwrap_or_default();
    format!("containerd://{}", hash(&format!("{uid}/{name}/{restarts}")))
}

fn hash(text: &str) -> String {
    Sha256::digest(text)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect::<Vec<_>>()
        .concat()
}

#[cfg(test)]
mod tests;
