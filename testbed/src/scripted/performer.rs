//! Plays one pod, from its binding to its end. Talks to the API server.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};
use kube::{Api, Client, ResourceExt};
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, sleep_until};

use super::begin;
use super::rules::{Role, Rules};
use super::scene::{Entry, Pose, Scene, Scenes, scenes};
use super::script::Exit;
use super::status::{self, View};

/// Until a write that failed is tried again.
const RETRY: Duration = Duration::from_millis(200);
/// How often a write follows a pod that others change at the same time.
const CONFLICTS: usize = 5;

/// What all performers share.
pub(super) struct Stage {
    pub(super) client: Client,
    pub(super) writes: Semaphore,
}

/// Plays one pod. Ends when the pod is deleted, or its updates end.
pub(super) struct Performer {
    pub(super) stage: Arc<Stage>,
    pub(super) updates: watch::Receiver<Arc<Pod>>,
    pub(super) rules: watch::Receiver<Rules>,
    pub(super) ip: Ipv4Addr,
    pub(super) node_ip: Ipv4Addr,
    /// Whether the main container has begun: once, whatever becomes of the status that says so.
    pub(super) has_begun: bool,
}

/// A role in the middle of its scenes.
struct Play {
    role: Role,
    scenes: Scenes,
    next: Option<Scene>,
    due_at: Instant,
    /// The pose that is in the cluster.
    shown: Option<Pose>,
    restarts: i32,
}

impl Play {
    /// Begins where the pod stands. What this performer has shown itself counts before what it sees of the pod: that may
    /// be older, and then nothing would follow from a last scene that was never its last.
    fn begin(role: Role, pod: &Pod, before: Option<&Self>) -> Self {
        let main = status::main_status(pod, role.main);
        let shown = before
            .filter(|before| before.role.main == role.main)
            .and_then(|before| before.shown.as_ref());
        let is_ready = shown.map_or_else(
            || main.is_some_and(|status| status.ready),
            |shown| matches!(shown, Pose::Running { is_ready: true }),
        );
        let has_run = matches!(
            shown,
            Some(Pose::Running { .. } | Pose::Exited { .. } | Pose::BackOff { .. })
        );
        let has_started = has_run || main.is_some_and(|status| !status.image_id.is_empty());
        let entry = if has_started {
            Entry::Running { is_ready }
        } else {
            Entry::New
        };
        let mut scenes = scenes(&role.behaviour, entry, status::restart_policy(pod));
        let next = scenes.next();
        let restarts = main.map_or(0, |status| status.restart_count);
        let restarts = restarts.max(before.map_or(0, |before| before.restarts));
        let due_at = Instant::now() + next.as_ref().map_or(Duration::ZERO, |next| next.after);
        let shown = match entry {
            Entry::Running { is_ready } => Some(Pose::Running { is_ready }),
            Entry::New => None,
        };
        Self {
            role,
            scenes,
            next,
            due_at,
            shown,
            restarts,
        }
    }

    /// Restarts when the next scene is shown.
    fn next_restarts(&self) -> i32 {
        let is_restart = self
            .next
            .as_ref()
            .is_some_and(|next| matches!(next.pose, Pose::BackOff { .. }));
        self.restarts + i32::from(is_restart)
    }

    /// The next scene has been shown.
    fn advance(&mut self) {
        self.restarts = self.next_restarts();
        let after = self.scenes.next();
        self.shown = std::mem::replace(&mut self.next, after).map(|scene| scene.pose);
        self.due_at += self.next.as_ref().map_or(Duration::ZERO, |next| next.after);
    }
}

impl Performer {
    pub(super) async fn perform(mut self) {
        let mut play: Option<Play> = None;
        loop {
            let pod = Arc::clone(&self.updates.borrow_and_update());
            let role = self.rules.borrow_and_update().role(&pod);
            if pod.metadata.deletion_timestamp.is_some() {
                return self.terminate(pod, &role).await;
            }
            if play.as_ref().is_none_or(|play| play.role != role) {
                play = Some(Play::begin(role, &pod, play.as_ref()));
            }
            let Some(play) = play.as_mut() else { continue };
            if !status::is_terminal(&pod) {
                self.keep_gates(&pod, play).await;
            }
            let has_scene = play.next.is_some() && !status::is_terminal(&pod);
            tokio::select! {
                changed = self.updates.changed() => if changed.is_err() { return },
                changed = self.rules.changed() => if changed.is_err() { return },
                () = sleep_until(play.due_at), if has_scene => self.show(&pod, play).await,
            }
        }
    }

    async fn show(&mut self, pod: &Pod, play: &mut Play) {
        match self.show_next(pod, play).await {
            Ok(()) => play.advance(),
            Err(error) => {
                tracing::warn!(
                    error = format!("{error:#}"),
                    pod = pod.name_any(),
                    "no status"
                );
                play.due_at = Instant::now() + RETRY;
            }
        }
    }

    async fn show_next(&mut self, pod: &Pod, play: &Play) -> Result<()> {
        let Some(next) = &play.next else {
            return Ok(());
        };
        if matches!(next.pose, Pose::Running { .. }) && !self.has_begun {
            begin::claim(&self.stage.client, pod).await?;
            if let Some(ledger) = &play.role.appends {
                begin::note(ledger, pod)?;
            }
            self.has_begun = true;
        }
        let restarts = play.next_restarts();
        self.write(pod, &next.pose, play.role.main, restarts).await
    }

    /// Readiness gates change without us: show the same pose again when they do.
    async fn keep_gates(&self, pod: &Pod, play: &Play) {
        let has_gates = pod
            .spec
            .as_ref()
            .is_some_and(|spec| spec.readiness_gates.is_some());
        let Some(shown) = play.shown.as_ref().filter(|_| has_gates) else {
            return;
        };
        if status::is_ready(pod, shown) != status::has_condition(pod, "Ready")
            && let Err(error) = self.write(pod, shown, play.role.main, play.restarts).await
        {
            tracing::warn!(
                error = format!("{error:#}"),
                pod = pod.name_any(),
                "no status"
            );
        }
    }

    /// Writes a status on the version of the pod that was seen, or on the newest if that is gone.
    #[expect(clippy::disallowed_methods, reason = "plays the kubelet")]
    async fn write(&self, seen: &Pod, pose: &Pose, main: usize, restarts: i32) -> Result<()> {
        let _permit = self.stage.writes.acquire().await?;
        let (pods, name) = (self.pods(seen), seen.name_any());
        let mut newest = None;
        for _ in 0..CONFLICTS {
            let pod = newest.as_ref().unwrap_or(seen);
            let (ip, node_ip, now) = (self.ip, self.node_ip, Timestamp::now());
            let init_messages = self.rules.borrow().init_messages(pod);
            let patch = status::patch(View {
                pod,
                pose,
                init_messages: &init_messages,
                main,
                restarts,
                ip,
                node_ip,
                now,
            });
            match pods
                .patch_status(&name, &PatchParams::default(), &Patch::Merge(patch))
                .await
            {
                Ok(_) => return Ok(()),
                Err(kube::Error::Api(answer)) if answer.is_not_found() => return Ok(()),
                Err(kube::Error::Api(answer)) if answer.is_conflict() => {}
                Err(error) => return Err(error.into()),
            }
            match pods.get_opt(&name).await? {
                Some(pod) if pod.metadata.uid == seen.metadata.uid => newest = Some(pod),
                // It is gone, and so soon is this performer.
                Some(_) | None => return Ok(()),
            }
        }
        anyhow::bail!("{CONFLICTS} conflicts in a row")
    }

    /// Ends a deleted pod: waits as scripted, shows the end, and lets the object go.
    async fn terminate(mut self, pod: Arc<Pod>, role: &Role) {
        let grace = pod
            .metadata
            .deletion_grace_period_seconds
            .unwrap_or_default();
        let grace = Duration::from_secs(u64::try_from(grace).unwrap_or_default());
        let mut due_at = Instant::now() + role.terminate_after.min(grace);
        loop {
            tokio::select! {
                changed = self.updates.changed() => if changed.is_err() { return },
                () = sleep_until(due_at) => {
                    let pod = Arc::clone(&self.updates.borrow());
                    match self.end(&pod, role, grace).await {
                        Ok(()) => return,
                        Err(error) => tracing::warn!(error = format!("{error:#}"), "not ended"),
                    }
                    due_at = Instant::now() + RETRY;
                }
            }
        }
    }

    #[expect(clippy::disallowed_methods, reason = "plays the kubelet")]
    async fn end(&self, pod: &Pod, role: &Role, grace: Duration) -> Result<()> {
        if !status::is_terminal(pod) {
            // A server ends well when it is told to; a Job's work is cut short.
            let code = match (role.terminate_after > grace, status::restart_policy(pod)) {
                (true, _) => 137,
                (false, "Always") => 0,
                (false, _) => 143,
            };
            let pose = Pose::Exited {
                exit: Exit::with_code(code),
                is_final: true,
            };
            let restarts = status::main_status(pod, role.main).map_or(0, |main| main.restart_count);
            self.write(pod, &pose, role.main, restarts).await?;
        }
        let _permit = self.stage.writes.acquire().await?;
        let same = Preconditions {
            uid: pod.metadata.uid.clone(),
            ..Preconditions::default()
        };
        let now = DeleteParams::default().grace_period(0).preconditions(same);
        match self.pods(pod).delete(&pod.name_any(), &now).await {
            Ok(_) => Ok(()),
            // Gone, or another pod of the same name.
            Err(kube::Error::Api(answer)) if answer.is_not_found() || answer.is_conflict() => {
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }

    fn pods(&self, pod: &Pod) -> Api<Pod> {
        let namespace = pod.metadata.namespace.as_deref().unwrap_or("default");
        Api::namespaced(self.stage.client.clone(), namespace)
    }
}
