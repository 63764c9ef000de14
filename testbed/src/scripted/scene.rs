//! A behaviour as a sequence of scenes: what a pod looks like, and when it does. No I/O.

use std::iter;
use std::time::Duration;

use super::script::{Behaviour, Exit, Then};

/// From a container's creation to its start, and from a crash to the back-off.
const MOMENT: Duration = Duration::from_millis(20);
/// A container that takes longer than this to be ready is seen running before.
const SLOW: Duration = Duration::from_millis(100);
/// From an image's first failure to the back-off.
const PULL: Duration = Duration::from_millis(100);
/// The kubelet's back-off, a hundred times as fast.
const BACK_OFF: Duration = Duration::from_millis(100);
const LONGEST_BACK_OFF: Duration = Duration::from_secs(3);

/// What a pod looks like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Pose {
    /// Accepted by the node.
    Creating,
    /// Its main container runs.
    Running { is_ready: bool },
    /// Its main container cannot start.
    Waiting {
        reason: &'static str,
        message: String,
    },
    /// Its main container ended. `is_final`: and with it the pod.
    Exited { exit: Exit, is_final: bool },
    /// Its main container ended and is to start again.
    BackOff { exit: Exit },
    /// Failed, because the node had no room.
    Evicted,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Scene {
    /// How long after the scene before, or after the beginning.
    pub(super) after: Duration,
    pub(super) pose: Pose,
}

pub(super) type Scenes = Box<dyn Iterator<Item = Scene> + Send + Sync>;

/// Where a pod stands when a behaviour begins; scripts can change in the middle of a pod's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Entry {
    New,
    Running { is_ready: bool },
}

/// What a pod with this behaviour goes through, perhaps without end.
pub(super) fn scenes(behaviour: &Behaviour, entry: Entry, restart_policy: &str) -> Scenes {
    let is_ready = entry == Entry::Running { is_ready: true };
    let created = (entry == Entry::New)
        .then(|| at(Duration::ZERO, Pose::Creating))
        .into_iter();
    match behaviour.clone() {
        Behaviour::Ready { after } => Box::new(created.chain(ready(after, is_ready))),
        Behaviour::NeverReady => {
            let start = if entry == Entry::New {
                MOMENT
            } else {
                Duration::ZERO
            };
            Box::new(created.chain([running(start, false)]))
        }
        Behaviour::ReadyThen {
            after,
            ready_for,
            then,
        } => {
            let start = created.chain(ready(after, is_ready));
            match then {
                Then::Unready => Box::new(start.chain([running(ready_for, false)])),
                Then::Evicted => Box::new(start.chain([at(ready_for, Pose::Evicted)])),
                Then::Fail => {
                    let loops = exits(ready_for, MOMENT, &Exit::with_code(1), restart_policy);
                    Box::new(start.chain(loops))
                }
            }
        }
        Behaviour::Exits { after, exit } => {
            let started = (entry == Entry::New).then(|| running(MOMENT, false));
            let loops = exits(after, after, &exit, restart_policy);
            Box::new(created.chain(started).chain(loops))
        }
        Behaviour::ImageMissing => Box::new(created.chain(image_missing())),
        Behaviour::ConfigError => {
            let message = "configmap \"missing\" not found".to_owned();
            let reason = "CreateContainerConfigError";
            Box::new(created.chain([at(MOMENT, Pose::Waiting { reason, message })]))
        }
        Behaviour::Evicted => Box::new(created.chain([at(MOMENT, Pose::Evicted)])),
        Behaviour::Invalid(message) => {
            let reason = "InvalidScript";
            Box::new(created.chain([at(Duration::ZERO, Pose::Waiting { reason, message })]))
        }
    }
}

fn at(after: Duration, pose: Pose) -> Scene {
    Scene { after, pose }
}

fn running(after: Duration, is_ready: bool) -> Scene {
    at(after, Pose::Running { is_ready })
}

/// Nothing for a pod that is ready already.
fn ready(after: Duration, is_ready: bool) -> Vec<Scene> {
    match is_ready {
        true => Vec::new(),
        false if after > SLOW => vec![
            running(MOMENT, false),
            running(after.saturating_sub(MOMENT), true),
        ],
        false => vec![running(after, true)],
    }
}

fn image_missing() -> [Scene; 2] {
    let message = "not found".to_owned();
    let waiting = |reason| Pose::Waiting {
        reason,
        message: message.clone(),
    };
    [
        at(MOMENT, waiting("ErrImagePull")),
        at(PULL, waiting("ImagePullBackOff")),
    ]
}

/// The end of a running container: of the pod, or the first of many.
fn exits(first: Duration, later: Duration, exit: &Exit, restart_policy: &str) -> Scenes {
    let is_final = match restart_policy {
        "Always" => false,
        "OnFailure" => exit.code == 0,
        _ => true,
    };
    let exited = |after| {
        at(
            after,
            Pose::Exited {
                exit: exit.clone(),
                is_final,
            },
        )
    };
    if is_final {
        return Box::new(iter::once(exited(first)));
    }
    let (exited_first, exited_later) = (exited(first), exited(later));
    let waiting = at(MOMENT, Pose::BackOff { exit: exit.clone() });
    let back_offs = iter::successors(Some(BACK_OFF), |wait| {
        Some((*wait * 2).min(LONGEST_BACK_OFF))
    });
    let again = back_offs.flat_map(move |back_off| {
        [
            waiting.clone(),
            running(back_off, false),
            exited_later.clone(),
        ]
    });
    Box::new(iter::once(exited_first).chain(again))
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn played(
        script: &str,
        entry: Entry,
        restart_policy: &str,
        count: usize,
    ) -> Vec<(u128, String)> {
        let script: super::super::Script = script.parse().unwrap();
        let scenes = scenes(&script.behaviour.unwrap(), entry, restart_policy).take(count);
        scenes
            .map(|scene| (scene.after.as_millis(), word(&scene.pose)))
            .collect()
    }

    fn word(pose: &Pose) -> String {
        match pose {
            Pose::Creating => "creating".into(),
            Pose::Running { is_ready: true } => "ready".into(),
            Pose::Running { is_ready: false } => "running".into(),
            Pose::Waiting { reason, .. } => (*reason).into(),
            Pose::Exited {
                exit,
                is_final: true,
            } => format!("end {}", exit.code),
            Pose::Exited {
                exit,
                is_final: false,
            } => format!("exit {}", exit.code),
            Pose::BackOff { .. } => "back-off".into(),
            Pose::Evicted => "evicted".into(),
        }
    }

    fn expected(scenes: &[(u128, &str)]) -> Vec<(u128, String)> {
        scenes
            .iter()
            .map(|(after, word)| (*after, (*word).to_owned()))
            .collect()
    }

    #[test]
    fn new_pods_go_through_their_script() {
        for (script, scenes) in [
            ("ready-after=50ms", &[(0, "creating"), (50, "ready")][..]),
            (
                "ready-after=1s",
                &[(0, "creating"), (20, "running"), (980, "ready")],
            ),
            ("never-ready", &[(0, "creating"), (20, "running")]),
            (
                "ready-then-unready=5s",
                &[(0, "creating"), (50, "ready"), (5_000, "running")],
            ),
            ("evicted", &[(0, "creating"), (20, "evicted")]),
            (
                "evicted=1s",
                &[(0, "creating"), (50, "ready"), (1_000, "evicted")],
            ),
            (
                "image-missing",
                &[
                    (0, "creating"),
                    (20, "ErrImagePull"),
                    (100, "ImagePullBackOff"),
                ],
            ),
            (
                "config-error",
                &[(0, "creating"), (20, "CreateContainerConfigError")],
            ),
        ] {
            assert_eq!(
                played(script, Entry::New, "Always", 9),
                expected(scenes),
                "{script}"
            );
        }
    }

    #[test]
    fn a_crash_loop_goes_on_ever_slower() {
        let scenes = [
            (0, "creating"),
            (20, "running"),
            (20, "exit 137"),
            (20, "back-off"),
            (100, "running"),
            (20, "exit 137"),
            (20, "back-off"),
            (200, "running"),
        ];
        assert_eq!(played("oom", Entry::New, "Always", 8), expected(&scenes));
        let waits = played("oom", Entry::New, "Always", 100);
        assert_eq!(waits.iter().map(|(after, _)| *after).max(), Some(3_000));
    }

    #[test]
    fn the_restart_policy_decides_what_an_exit_ends() {
        for (script, policy, is_final) in [
            ("exit=0", "Never", true),
            ("exit=1", "Never", true),
            ("exit=0", "OnFailure", true),
            ("exit=1", "OnFailure", false),
            ("exit=0", "Always", false),
            ("crash-loop", "Never", true),
        ] {
            let scenes = played(script, Entry::New, policy, 9);
            assert_eq!(scenes.len() == 3, is_final, "{script} {policy}: {scenes:?}");
        }
    }

    #[test]
    fn a_running_pod_starts_in_the_middle() {
        let ready = Entry::Running { is_ready: true };
        let unready = Entry::Running { is_ready: false };
        for (script, entry, scenes) in [
            ("ready-after=50ms", ready, &[][..]),
            ("ready-after=50ms", unready, &[(50, "ready")]),
            ("never-ready", ready, &[(0, "running")]),
            ("ready-then-unready=1s", ready, &[(1_000, "running")]),
            ("evicted", ready, &[(20, "evicted")]),
            ("exit=0,after=1s", ready, &[(1_000, "end 0")]),
        ] {
            let policy = if script.starts_with("exit") {
                "Never"
            } else {
                "Always"
            };
            assert_eq!(
                played(script, entry, policy, 9),
                expected(scenes),
                "{script}"
            );
        }
        assert_eq!(ms(50), super::super::script::DEFAULT_AFTER);
    }
}
