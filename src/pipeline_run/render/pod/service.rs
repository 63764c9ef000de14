//! The services of a stage: containers beside the one that does the work, which is started when they are ready. No I/O.

#![expect(
    clippy::indexing_slicing,
    reason = "naming a field of a JSON object never fails: it adds the field"
)]

use serde_json::{Value, json};

use super::setting;
use super::variable::Variable;
use crate::pipeline::api::{Readiness, SecurityProfile, Service, Stage};
use crate::pipeline_run::api::PipelineRunStatus;

/// How long services may take to end, in seconds; and a script that is stopped, with its report. Programs that do not
/// listen to SIGTERM, as most do not that are process 1 of a container, take all of it.
const GRACE: u32 = 15;

/// One container per service.
pub(super) fn containers(
    stage: &Stage,
    profile: SecurityProfile,
    run: &PipelineRunStatus,
) -> Vec<Value> {
    let services = stage.services.iter();
    services
        .map(|service| container(service, profile, run))
        .collect()
}

fn container(service: &Service, profile: SecurityProfile, run: &PipelineRunStatus) -> Value {
    let made = service.image_from.as_deref();
    let made = made.and_then(|name| super::image_of(run, name));
    let env = service.env.iter().map(|variable| {
        let value = variable.value.clone().unwrap_or_default();
        Variable::plain(&variable.name, value).render()
    });
    let env: Vec<Value> = env.collect();
    let mut container = json!({
        "name": service.name,
        "image": made.or_else(|| service.image.clone()),
        // Beside the stage, and started again where it ends before.
        "restartPolicy": "Always",
        // Of one that fails the end of its log is in the pod's status, and so in the run's.
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "securityContext": setting::of_people(profile),
    });
    if !env.is_empty() {
        container["env"] = env.into();
    }
    if !service.command.is_empty() {
        // Kubernetes replaces `$(NAME)` in commands too.
        let command = service.command.iter();
        let command = command.map(|word| crate::runner::task::env_value(word));
        container["command"] = command.collect();
    }
    if let Some(resources) = &service.resources {
        container["resources"] = resources.clone();
    }
    if let Some(ready) = &service.ready {
        container["startupProbe"] = probe(ready);
    }
    container
}

/// A service that is not ready in time is stopped, which is how its failure shows.
fn probe(ready: &Readiness) -> Value {
    let mut probe = json!({
        "periodSeconds": 1,
        "failureThreshold": seconds(ready).max(1),
        "terminationGracePeriodSeconds": 1,
    });
    if let Some(port) = ready.tcp {
        probe["tcpSocket"] = json!({"port": port});
    } else if let Some(page) = &ready.http {
        let path = page.path.as_deref().unwrap_or("/");
        probe["httpGet"] = json!({"port": page.port, "path": path});
    } else {
        probe["exec"] = json!({"command": ready.exec});
        probe["timeoutSeconds"] = 5.into();
    }
    probe
}

fn seconds(ready: &Readiness) -> u64 {
    // What Kubernetes counts with is no larger.
    ready
        .timeout()
        .as_secs()
        .min(i32::MAX.unsigned_abs().into())
}

/// How long all services may take to be ready, in seconds.
pub(super) fn patience(stage: &Stage) -> u64 {
    let ready = stage
        .services
        .iter()
        .filter_map(|service| service.ready.as_ref());
    ready.map(seconds).fold(0, u64::saturating_add)
}

/// Lets scripts reach services by their names, and services not hold up the end of the pod for long.
pub(super) fn make_room(pod: &mut Value, stage: &Stage) {
    let names: Vec<&str> = stage
        .services
        .iter()
        .map(|service| service.name.as_str())
        .collect();
    if !names.is_empty() {
        pod["terminationGracePeriodSeconds"] = GRACE.into();
        pod["hostAliases"] = json!([{"ip": "127.0.0.1", "hostnames": names}]);
    }
}
