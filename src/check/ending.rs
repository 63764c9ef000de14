//! How the container of a check ended, and what it left. No I/O.

use jiff::Timestamp;

use super::{CHECK, own};
use crate::model::workload::{Job, Pod};

/// How the container of a check ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ending {
    /// Its exit code; above 128 something killed it.
    pub exit_code: i32,
    /// What it wrote to `/dev/termination-log`, at most 4096 bytes; untrusted.
    pub text: String,
}

/// How the container of a Job's own pod ended; nothing, where none of these pods has. Of several the first that ended counts:
/// what came of it is done.
pub fn ending<'a>(job: &Job, pods: impl IntoIterator<Item = &'a Pod>) -> Option<Ending> {
    own(job, pods).find_map(|status| {
        let mut containers = status.container_statuses.iter().flatten();
        let ended = containers.find(|container| container.name == CHECK)?;
        let ended = ended.state.as_ref()?.terminated.as_ref()?;
        Some(Ending {
            exit_code: ended.exit_code,
            text: ended.message.clone().unwrap_or_default(),
        })
    })
}

/// When a Job ended, well or badly; when it was made, where it does not say when it ended.
pub fn finished_at(job: &Job) -> Option<Timestamp> {
    let conditions = job.status.as_ref()?.conditions.as_ref()?;
    let ended = conditions.iter().find(|condition| {
        matches!(condition.type_.as_str(), "Complete" | "Failed") && condition.status == "True"
    })?;
    let ended = ended.last_transition_time.as_ref();
    Some(ended.or(job.metadata.creation_timestamp.as_ref())?.0)
}
