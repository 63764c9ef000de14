//! Statuses as a kubelet would write them.

use super::*;

const IP: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 1);

fn now() -> Timestamp {
    "2026-11-20T10:00:00Z".parse().unwrap()
}

fn a_pod(status: &Value) -> Pod {
    serde_json::from_value(json!({
        "metadata": {"name": "api", "uid": "u", "resourceVersion": "7"},
        "spec": {
            "initContainers": [
                {"name": "setup", "image": "setup:v1"},
                {"name": "sidecar", "image": "sidecar:v1", "restartPolicy": "Always"},
            ],
            "containers": [
                {"name": "app", "image": "r:5000/api@sha256:abc"},
                {"name": "other", "image": "r:5000/other:v1"},
            ],
        },
        "status": status,
    }))
    .unwrap()
}

/// The status after these poses, each rendered from the one before.
fn after(poses: &[(Pose, i32)]) -> Value {
    let mut pod = a_pod(&json!({}));
    for (pose, restarts) in poses {
        pod = a_pod(&of(&pod, pose, *restarts));
    }
    json!(pod.status)
}

fn of(pod: &Pod, pose: &Pose, restarts: i32) -> Value {
    let view = View {
        pod,
        pose,
        init_messages: &BTreeMap::new(),
        main: 0,
        restarts,
        ip: IP,
        node_ip: IP,
        now: now(),
    };
    patch(view)["status"].clone()
}

fn conditions(status: &Value) -> Vec<String> {
    let conditions = status["conditions"].as_array().unwrap().iter();
    let holding = conditions.filter(|condition| condition["status"] == "True");
    holding
        .map(|condition| condition["type"].as_str().unwrap().to_owned())
        .collect()
}

/// `waiting Reason`, `running ready`, `terminated 1` of each container.
fn states(list: &Value) -> Vec<String> {
    let state = |status: &Value| {
        let state = &status["state"];
        let ready = if status["ready"] == true {
            "ready"
        } else {
            "unready"
        };
        match (
            &state["waiting"]["reason"],
            &state["terminated"]["exitCode"],
        ) {
            (Value::String(reason), _) => format!("waiting {reason}"),
            (_, Value::Number(code)) => format!("terminated {code} {ready}"),
            _ => format!("running {ready}"),
        }
    };
    list.as_array().unwrap().iter().map(state).collect()
}

const READY: Pose = Pose::Running { is_ready: true };
const UNREADY: Pose = Pose::Running { is_ready: false };

#[test]
fn a_ready_pod_says_so_everywhere() {
    let status = after(&[(Pose::Creating, 0), (READY, 0)]);
    assert_eq!(
        (&status["phase"], &status["podIP"]),
        (&json!("Running"), &json!("198.18.0.1"))
    );
    assert_eq!(
        states(&status["containerStatuses"]),
        ["running ready", "running ready"]
    );
    assert_eq!(
        states(&status["initContainerStatuses"]),
        ["terminated 0 ready", "running ready"]
    );
    let all = [
        "PodReadyToStartContainers",
        "Initialized",
        "Ready",
        "ContainersReady",
        "PodScheduled",
    ];
    assert_eq!(conditions(&status), all);
    let image = &status["containerStatuses"][0]["imageID"];
    assert_eq!(image, "r:5000/api@sha256:abc");
}

#[test]
fn a_pod_is_created_before_it_runs() {
    let status = after(&[(Pose::Creating, 0)]);
    assert_eq!(
        (&status["phase"], &status["startTime"]),
        (&json!("Pending"), &json!(now()))
    );
    let creating = "waiting ContainerCreating";
    assert_eq!(states(&status["containerStatuses"]), [creating, creating]);
    assert_eq!(
        states(&status["initContainerStatuses"]),
        ["waiting PodInitializing"; 2]
    );
    assert_eq!(conditions(&status), ["PodScheduled"]);
    assert_eq!(status["containerStatuses"][0]["imageID"], "");
}

#[test]
fn an_unready_pod_runs() {
    let status = after(&[(READY, 0), (UNREADY, 0)]);
    assert_eq!(
        states(&status["containerStatuses"]),
        ["running unready", "running ready"]
    );
    assert!(!conditions(&status).contains(&"Ready".to_owned()));
}

#[test]
fn a_crash_is_told_by_last_state_and_restarts() {
    let exit = Exit::out_of_memory();
    let crashed = Pose::Exited {
        exit: exit.clone(),
        is_final: false,
    };
    let looping = [
        (UNREADY, 0),
        (crashed.clone(), 0),
        (Pose::BackOff { exit }, 1),
    ];
    let status = after(&looping[..2]);
    assert_eq!(
        (
            &status["phase"],
            &status["containerStatuses"][0]["restartCount"]
        ),
        (&json!("Running"), &json!(0))
    );
    assert_eq!(
        states(&status["containerStatuses"])[0],
        "terminated 137 unready"
    );

    let status = after(&looping);
    assert_eq!(
        states(&status["containerStatuses"])[0],
        "waiting CrashLoopBackOff"
    );
    let main = &status["containerStatuses"][0];
    assert_eq!(
        (
            &main["restartCount"],
            &main["lastState"]["terminated"]["reason"]
        ),
        (&json!(1), &json!("OOMKilled"))
    );

    let status = after(&[&looping[..], &[(UNREADY, 1)]].concat());
    let main = &status["containerStatuses"][0];
    assert_eq!(
        (
            &main["restartCount"],
            &main["lastState"]["terminated"]["exitCode"]
        ),
        (&json!(1), &json!(137))
    );
}

#[test]
fn the_end_of_the_main_container_is_the_pods() {
    for (code, phase) in [(0, "Succeeded"), (3, "Failed")] {
        let message = Some("é".repeat(3000));
        let exit = Exit {
            message,
            ..Exit::with_code(code)
        };
        let status = after(&[
            (UNREADY, 0),
            (
                Pose::Exited {
                    exit,
                    is_final: true,
                },
                0,
            ),
        ]);
        assert_eq!(status["phase"], phase);
        let seen = states(&status["containerStatuses"]);
        assert_eq!(
            seen,
            [
                format!("terminated {code} unready"),
                "terminated 0 unready".into()
            ]
        );
        let terminated = &status["containerStatuses"][0]["state"]["terminated"];
        assert_eq!(terminated["message"].as_str().map(str::len), Some(4096));
        assert!(!conditions(&status).contains(&"Ready".to_owned()));
    }
}

#[test]
fn an_evicted_pod_is_a_disruption_target() {
    let status = after(&[(READY, 0), (Pose::Evicted, 0)]);
    assert_eq!(
        (&status["phase"], &status["reason"]),
        (&json!("Failed"), &json!("Evicted"))
    );
    let conditions = status["conditions"].as_array().unwrap();
    let disruption = conditions
        .iter()
        .find(|c| c["type"] == "DisruptionTarget")
        .unwrap();
    assert_eq!(disruption["reason"], "TerminationByKubelet");
}

#[test]
fn foreign_conditions_and_old_times_stay() {
    let old = "2026-11-20T09:00:00Z";
    let pod = a_pod(&json!({"startTime": old, "conditions": [
        {"type": "PodScheduled", "status": "True", "lastTransitionTime": old},
        {"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI"},
        {"type": "shop/warm", "status": "True"},
    ]}));
    let status = of(&pod, &READY, 0);
    assert_eq!(status["startTime"], old);
    let conditions = status["conditions"].as_array().unwrap();
    let named = |name: &str| {
        conditions
            .iter()
            .find(|c| c["type"] == name)
            .unwrap()
            .clone()
    };
    assert_eq!(named("PodScheduled")["lastTransitionTime"], old);
    assert_eq!(named("Ready")["lastTransitionTime"], json!(now()));
    assert_eq!(named("DisruptionTarget")["reason"], "EvictionByEvictionAPI");
    assert_eq!(named("shop/warm")["status"], "True");
}

#[test]
fn readiness_gates_hold_a_pod_back() {
    let mut pod = a_pod(&json!({}));
    let gates = json!([{"conditionType": "shop/warm"}]);
    pod.spec.as_mut().unwrap().readiness_gates = serde_json::from_value(gates).unwrap();
    let status = of(&pod, &READY, 0);
    assert!(!conditions(&status).contains(&"Ready".to_owned()));
    assert!(conditions(&status).contains(&"ContainersReady".to_owned()));

    let warm = json!({"conditions": [{"type": "shop/warm", "status": "True"}]});
    pod.status = serde_json::from_value(warm).unwrap();
    assert!(conditions(&of(&pod, &READY, 0)).contains(&"Ready".to_owned()));
}

#[test]
fn a_patch_is_bound_to_what_was_seen() {
    let view = View {
        pod: &a_pod(&json!({})),
        pose: &READY,
        init_messages: &BTreeMap::new(),
        main: 0,
        restarts: 0,
        ip: IP,
        node_ip: IP,
        now: now(),
    };
    assert_eq!(
        patch(view)["metadata"],
        json!({"uid": "u", "resourceVersion": "7"})
    );
}

#[test]
fn image_ids_are_digests_of_repositories() {
    for (image, expected) in [
        ("r:5000/api@sha256:abc", "r:5000/api@sha256:abc"),
        ("r:5000/api:v1@sha256:abc", "r:5000/api@sha256:abc"),
    ] {
        assert_eq!(image_id(image), expected);
    }
    let made_up = image_id("r:5000/api:v1");
    assert!(
        made_up.starts_with("r:5000/api@sha256:") && made_up.len() == 18 + 64,
        "{made_up}"
    );
    assert_eq!(made_up, image_id("r:5000/api:v1"));
    assert_ne!(made_up, image_id("r:5000/api:v2"));
}
