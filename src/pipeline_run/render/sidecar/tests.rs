use super::super::super::testing::{a_run, receiver};
use super::*;

fn taking_logs() -> Observed {
    let mut run = a_run();
    run.images.receiver = Some(receiver());
    run
}

fn a_pod() -> Value {
    let container = |name: &str| json!({"name": name, "volumeMounts": []});
    json!({
        "initContainers": [container("tools"), container(SOURCE), container("service-db")],
        "containers": [container(MAIN)],
        "volumes": [{"name": "workspace", "emptyDir": {}}],
    })
}

fn containers(pod: &Value) -> Vec<&Value> {
    let lists = ["initContainers", "containers"];
    let lists = lists.iter().map(|list| pod[*list].as_array().unwrap());
    lists.flatten().collect()
}

#[test]
fn a_pod_whose_log_is_sent_and_whose_attempt_is_claimed() {
    let mut pod = a_pod();
    add_logs(&taking_logs(), &mut pod);
    add_claim(&taking_logs(), &mut pod);
    insta::assert_yaml_snapshot!(pod);
}

#[test]
fn the_token_is_in_no_container_of_people_s_and_they_cannot_read_it_from_the_volume_of_the_log() {
    let mut pod = a_pod();
    add_logs(&taking_logs(), &mut pod);
    add_claim(&taking_logs(), &mut pod);
    let has_token: Vec<&str> = containers(&pod)
        .into_iter()
        .filter(|container| container["volumeMounts"].to_string().contains(TOKEN))
        .map(|container| container["name"].as_str().unwrap())
        .collect();
    assert_eq!(has_token, [LOGS, CLAIM]);
    let volumes = pod["volumes"].to_string();
    assert_eq!(volumes.matches("serviceAccountToken").count(), 1);
    assert!(volumes.contains(task::AUDIENCE));
    for container in containers(&pod) {
        let name = container["name"].as_str().unwrap();
        let mounts = container["volumeMounts"].as_array().unwrap();
        let log = mounts.iter().find(|mount| mount["name"] == LOGS);
        assert_eq!(
            log.is_some(),
            [LOGS, SOURCE, MAIN].contains(&name),
            "{name}"
        );
        let is_read_only = log.is_some_and(|log| log["readOnly"] == true);
        assert_eq!(is_read_only, name == LOGS, "{name}");
    }
}

#[test]
fn without_a_receiver_the_pod_is_as_it_was() {
    let mut pod = a_pod();
    add_logs(&a_run(), &mut pod);
    add_claim(&a_run(), &mut pod);
    assert_eq!(pod, a_pod());
}
