//! What the services beside a stage have to do with how it ended. Pure.

use super::super::api::FailureKind;
use super::super::observed::{Ended, Pod};
use super::{Ending, ending, log_tail};

/// A service that has ended before the script was started is started again by Kubernetes, without end; once is enough.
pub(super) fn failed_service(pod: &Pod) -> Option<Ending> {
    if pod.has_main {
        return None;
    }
    let mut services = pod.services.iter();
    services.find_map(|(name, service)| {
        let ended = service.last_end.as_ref()?;
        let how = how_it_ended(ended);
        let message =
            format!("service {name} did not become ready: {how}; see its log, and ready.timeout");
        Some(Ending {
            log_tail: log_tail(&ended.message),
            ..ending(FailureKind::Service, message)
        })
    })
}

/// What has to be known of the services of a stage that has failed.
pub(super) fn about_services(pod: &Pod) -> Option<String> {
    let mut services = pod
        .services
        .iter()
        .filter(|(_, service)| service.restarts > 0);
    let (name, service) = services.next()?;
    let how = service
        .last_end
        .as_ref()
        .map_or_else(String::new, |ended| format!(", {}", how_it_ended(ended)));
    Some(format!("service {name} has ended meanwhile{how}"))
}

fn how_it_ended(ended: &Ended) -> String {
    if ended.reason == "OOMKilled" {
        return "it used more memory than its limit".to_owned();
    }
    format!("it ended with exit code {}", ended.exit_code)
}
