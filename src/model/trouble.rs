//! Why a container will never run, as far as its state tells. No I/O.

use super::workload::{ContainerStatus, PodStatus};

/// Words for troubles.
pub const REASONS: [&str; 4] = ["CrashLoop", "OutOfMemory", "ImagePull", "ContainerConfig"];

/// Why a pod will not become ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// One of [`REASONS`].
    pub reason: &'static str,
    /// Container, and what Kubernetes says.
    pub message: String,
}

/// The first trouble of a pod's containers.
pub fn of_pod(status: &PodStatus) -> Option<Trouble> {
    let init = status.init_container_statuses.iter().flatten();
    let mut all = init.chain(status.container_statuses.iter().flatten());
    all.find_map(trouble)
}

/// What a container's state says about whether it will ever run.
fn trouble(container: &ContainerStatus) -> Option<Trouble> {
    let waiting = container.state.as_ref()?.waiting.as_ref()?;
    let last = container
        .last_state
        .as_ref()
        .and_then(|state| state.terminated.as_ref());
    let why = waiting.reason.as_deref().unwrap_or_default();
    let reason = match why {
        "CrashLoopBackOff" => match last.and_then(|last| last.reason.as_deref()) {
            Some("OOMKilled") => "OutOfMemory",
            _ => "CrashLoop",
        },
        "ImagePullBackOff" | "ErrImageNeverPull" | "InvalidImageName" => "ImagePull",
        // The first try may fail for a reason that passes; that there is no such image does not, and the
        // kubelet takes its time to say so in another way.
        "ErrImagePull" if is_missing(waiting.message.as_deref()) => "ImagePull",
        "CreateContainerConfigError" | "CreateContainerError" | "RunContainerError" => {
            "ContainerConfig"
        }
        _ => return None,
    };
    let exit = last
        .map(|last| format!(", last exit code {}", last.exit_code))
        .unwrap_or_default();
    let words = waiting.message.as_deref().unwrap_or(why);
    let name = &container.name;
    Some(Trouble {
        reason,
        message: format!("container {name}: {why}: {words}{exit}"),
    })
}

/// Whether a registry has answered that it has no such image.
fn is_missing(message: Option<&str>) -> bool {
    let message = message.unwrap_or_default();
    ["not found", "manifest unknown", "NotFound"]
        .iter()
        .any(|words| message.contains(words))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn told(reason: &str, message: &str, last: Option<&str>) -> Option<&'static str> {
        let last = last.map(|reason| json!({"terminated": {"exitCode": 1, "reason": reason}}));
        let status = json!({
            "name": "web", "image": "api", "imageID": "", "ready": false, "restartCount": 1,
            "state": {"waiting": {"reason": reason, "message": message}},
            "lastState": last.unwrap_or_else(|| json!({})),
        });
        trouble(&serde_json::from_value(status).unwrap()).map(|trouble| trouble.reason)
    }

    #[test]
    fn a_container_that_will_never_run_is_told_from_one_that_takes_its_time() {
        assert_eq!(told("ContainerCreating", "", None), None);
        assert_eq!(told("PodInitializing", "", None), None);
        assert_eq!(
            told("CrashLoopBackOff", "", Some("Error")),
            Some("CrashLoop")
        );
        assert_eq!(
            told("CrashLoopBackOff", "", Some("OOMKilled")),
            Some("OutOfMemory")
        );
        assert_eq!(told("ImagePullBackOff", "", None), Some("ImagePull"));
        assert_eq!(
            told("CreateContainerConfigError", "", None),
            Some("ContainerConfig")
        );
    }

    #[test]
    fn an_image_that_is_not_there_is_told_by_the_first_try() {
        let missing = "failed to resolve reference \"reg/api:9\": reg/api:9: not found";
        assert_eq!(told("ErrImagePull", missing, None), Some("ImagePull"));
        assert_eq!(
            told("ErrImagePull", "dial tcp: connection refused", None),
            None
        );
    }
}
