//! What a pod says, as it says it. Talks to the API server.

use std::pin::pin;
use std::time::Duration;

use futures::AsyncReadExt;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use kube::api::{Api, LogParams};
use tokio::time::{Interval, timeout};

use super::Listener;
use super::bookmark::Bookmark;
use crate::archive::About;
use crate::cli::cluster::Server;
use crate::cli::follow::{Followed, Losses, looks};
use crate::pipeline_run::render::{MAIN, SOURCE};

/// Longest silence of a connection: then it is opened again where it was, for nobody knows whether a stage is silent or a connection hangs.
const SILENCE: Duration = Duration::from_mins(1);
/// What comes so late was held up by the connection before.
const LATE: SignedDuration = SignedDuration::from_secs(5);
/// Bytes that are taken at once.
const PART: usize = 8 << 10;

/// Shows what a pod says: the fetching of the commit, then the stage.
pub(super) async fn live<L: Listener>(
    server: &Server,
    about: &About,
    (listener, prefix): (&L, &str),
    follow: bool,
) -> Result<(), String> {
    let mut pod = follow.then(|| Followed::one(server, &about.pod));
    for container in [SOURCE, MAIN] {
        let mut log = Log {
            server,
            pod: &about.pod,
            container,
            listener,
            prefix,
            bookmark: Bookmark::new(L::LONGEST),
            losses: Losses::default(),
            doubt: None,
            is_told: false,
            was_there: false,
        };
        if !log.read(&mut pod).await? {
            break;
        }
    }
    Ok(())
}

/// How a container is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Waits,
    Runs,
    Over,
}

/// How a container of a pod is. A pod that is gone has none that says anything more.
fn state(pod: Option<&Pod>, container: &str) -> State {
    let Some(pod) = pod else {
        return State::Over;
    };
    let status = pod.status.as_ref();
    let phase = status.and_then(|status| status.phase.as_deref());
    if matches!(phase, Some("Succeeded" | "Failed")) {
        return State::Over;
    }
    let lists = status.map(|status| {
        let both = [&status.init_container_statuses, &status.container_statuses];
        both.into_iter().flatten().flatten()
    });
    let mut all = lists.into_iter().flatten();
    let found = all.find(|known: &&ContainerStatus| known.name == container);
    let state = found.and_then(|found| found.state.as_ref());
    match state {
        Some(state) if state.terminated.is_some() => State::Over,
        Some(state) if state.running.is_some() => State::Runs,
        Some(_) | None => State::Waits,
    }
}

/// How a connection ended.
#[derive(Debug)]
enum Ending {
    /// With all that there was to say then.
    Whole,
    /// The container has not begun, and may never.
    Absent,
    /// There is no pod any more; the words for it.
    Gone(String),
    /// Nothing came for too long.
    Silent,
    /// It broke; why.
    Lost(String),
}

/// The log of a container.
struct Log<'a, L> {
    server: &'a Server,
    pod: &'a str,
    container: &'a str,
    listener: &'a L,
    prefix: &'a str,
    bookmark: Bookmark,
    losses: Losses,
    /// When it was opened again because nothing had come.
    doubt: Option<Timestamp>,
    /// That the connection was lost was said, and nothing has come since.
    is_told: bool,
    /// A connection was there.
    was_there: bool,
}

impl<L: Listener> Log<'_, L> {
    /// Passes on all that it says; where its pod is followed, as long as it says something. Whether another container may come after it.
    async fn read(&mut self, pod: &mut Option<Followed<'_, Pod>>) -> Result<bool, String> {
        if !self.until_begun(pod).await? {
            return Ok(false);
        }
        let (mut looks, mut was_whole) = (looks(), false);
        loop {
            look(&mut looks, pod).await?;
            // What ends before that is known to be over may have been cut off by somebody in between.
            let is_over = self.state(pod.as_ref()) == Some(State::Over);
            let ending = self.connect_beside(pod).await?;
            match ending {
                Ending::Whole if is_over => {
                    if let Some(rest) = self.bookmark.end() {
                        self.listener.hear(self.prefix, &rest).await?;
                    }
                    return Ok(true);
                }
                Ending::Absent if is_over => return Ok(false),
                Ending::Gone(_) if was_whole => return Ok(false),
                Ending::Gone(words) => return Err(words),
                Ending::Whole => was_whole = true,
                Ending::Absent => {}
                Ending::Silent if !is_over => {
                    was_whole = false;
                    self.doubt = Some(self.server.now());
                }
                Ending::Silent => self.lose("nothing came for a minute").await?,
                Ending::Lost(why) => {
                    was_whole = false;
                    self.lose(&why).await?;
                }
            }
        }
    }

    /// How the container is, where that is known. Without a pod that is followed it is all that there is.
    fn state(&self, pod: Option<&Followed<'_, Pod>>) -> Option<State> {
        let Some(pod) = pod else {
            return Some(State::Over);
        };
        let known = pod.known()?;
        Some(state(known.get(self.pod), self.container))
    }

    /// Waits until it has begun; not, where its pod goes before that.
    async fn until_begun(&self, pod: &mut Option<Followed<'_, Pod>>) -> Result<bool, String> {
        let mut has_waited = false;
        loop {
            match self.state(pod.as_ref()) {
                None => {}
                Some(State::Waits) => has_waited = true,
                Some(State::Runs | State::Over) => break,
            }
            change(pod).await?;
        }
        let known = pod.as_ref().and_then(Followed::known);
        let is_gone = known.is_some_and(|known| !known.contains_key(self.pod));
        Ok(!(has_waited && is_gone))
    }

    /// Reads a connection to its end, and hears of the pod meanwhile.
    async fn connect_beside(
        &mut self,
        pod: &mut Option<Followed<'_, Pod>>,
    ) -> Result<Ending, String> {
        let mut connection = pin!(self.connect(pod.is_some()));
        loop {
            tokio::select! {
                ending = &mut connection => return ending,
                changed = change(pod) => changed?,
            }
        }
    }

    async fn connect(&mut self, follow: bool) -> Result<Ending, String> {
        let pods: Api<Pod> = Api::namespaced(self.server.patient_client(), self.server.namespace());
        let params = LogParams {
            container: Some(self.container.to_owned()),
            follow,
            since_time: self.bookmark.reopen(),
            timestamps: true,
            ..LogParams::default()
        };
        // A container that says nothing is answered nothing, not even that it is there.
        let stream = match timeout(SILENCE, pods.log_stream(self.pod, &params)).await {
            Ok(Ok(stream)) => {
                self.was_there = true;
                stream
            }
            Ok(Err(error)) => return self.refused(&error),
            Err(_) => return Ok(Ending::Silent),
        };
        let mut stream = pin!(stream);
        let mut part = vec![0; PART];
        loop {
            let count = match timeout(SILENCE, stream.read(&mut part)).await {
                Ok(Ok(0)) => return Ok(Ending::Whole),
                Ok(Ok(count)) => count,
                Ok(Err(error)) => return Ok(Ending::Lost(error.to_string())),
                Err(_) => return Ok(Ending::Silent),
            };
            self.hear(part.get(..count).unwrap_or_default()).await?;
        }
    }

    /// What it means that a log is not handed out. One that was never there is not waited for.
    fn refused(&self, error: &kube::Error) -> Result<Ending, String> {
        let words = self
            .server
            .told(error, &format!("pod {}", self.pod), "pods");
        match self.server.failed_with() {
            Some(400) => Ok(Ending::Absent),
            Some(404) => Ok(Ending::Gone(words)),
            Some(_) | None if self.was_there && self.server.may_pass() => Ok(Ending::Lost(words)),
            Some(_) | None => Err(words),
        }
    }

    async fn hear(&mut self, said: &[u8]) -> Result<(), String> {
        let pieces = self.bookmark.take(said);
        if !pieces.is_empty() {
            self.losses = Losses::default();
            self.is_told = false;
            let opened = self.doubt.take();
            let first = self.bookmark.first_new();
            let late = opened
                .zip(first)
                .map(|(at, first)| at.duration_since(first));
            if late.is_some_and(|late| late > LATE) {
                let words = "the connection to this log had hung; it was opened again where it was";
                self.listener.note(self.prefix, words).await?;
            }
        }
        for piece in pieces {
            self.listener.hear(self.prefix, &piece).await?;
        }
        Ok(())
    }

    /// Bears it that a connection is lost, and says that it is opened again, once until something comes.
    async fn lose(&mut self, why: &str) -> Result<(), String> {
        let lost: Result<(), String> = Err(format!("pod {}: {why}", self.pod));
        self.losses.bear(lost, true)?;
        if std::mem::replace(&mut self.is_told, true) {
            return Ok(());
        }
        let words =
            format!("the connection to this log was lost ({why}); it is opened again where it was");
        self.listener.note(self.prefix, &words).await
    }
}

/// The next look, and what is heard of a pod until then.
async fn look(looks: &mut Interval, pod: &mut Option<Followed<'_, Pod>>) -> Result<(), String> {
    loop {
        tokio::select! {
            _ = looks.tick() => return Ok(()),
            changed = change(pod) => changed?,
        }
    }
}

/// The next change of a pod; never, where none is followed.
async fn change(pod: &mut Option<Followed<'_, Pod>>) -> Result<(), String> {
    match pod {
        Some(pod) => pod.change().await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use serde_json::{Value, json};

    use super::*;
    use crate::cli::cluster::testing::{Said, scripted};

    /// Keeps what it hears, and what it is told beside that.
    #[derive(Default)]
    struct Ear {
        lines: Mutex<Vec<String>>,
        notes: Mutex<Vec<String>>,
    }

    impl Listener for Ear {
        const LONGEST: usize = 99;

        async fn hear(&self, prefix: &str, line: &[u8]) -> Result<(), String> {
            let line = String::from_utf8(line.to_vec()).unwrap();
            self.lines.lock().unwrap().push(format!("{prefix}{line}"));
            Ok(())
        }

        async fn note(&self, _: &str, words: &str) -> Result<(), String> {
            self.notes.lock().unwrap().push(words.to_owned());
            Ok(())
        }
    }

    fn about() -> About {
        About {
            pod: "unit-1".to_owned(),
            stage: "unit".to_owned(),
            cell: None,
            attempt: 1,
            started_at: Timestamp::UNIX_EPOCH,
            is_complete: false,
        }
    }

    fn pod(version: &str, phase: &str, main: &Value) -> Value {
        let done = json!({"terminated": {"exitCode": 0}});
        let container = |name: &str, state: &Value| {
            json!({"name": name, "state": state, "ready": false, "restartCount": 0,
            "image": "i", "imageID": "i"})
        };
        json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "unit-1", "namespace": "shop", "resourceVersion": version},
            "status": {"phase": phase, "initContainerStatuses": [container("source", &done)],
                "containerStatuses": [container("main", main)]},
        })
    }

    const CLONED: &[u8] = b"2020-01-15T08:00:00.5Z cloned\n";
    const BROKEN: &[u8] = b"2020-01-15T08:00:01.25Z one\n2020-01-15T08:00:01.75Z tw";
    const WHOLE: &[u8] =
        b"2020-01-15T08:00:01.25Z one\n2020-01-15T08:00:01.75Z two\n2020-01-15T08:00:02Z three\n";

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_hangs_is_opened_again_where_it_was() {
        let mut logs = [
            Said::text(200, CLONED),
            Said::hangs(BROKEN),
            Said::text(200, WHOLE),
        ]
        .into_iter();
        let (server, asked) = scripted(move |_| logs.next());
        let ear = Ear::default();
        let about = about();
        let read = live(&server, &about, (&ear, "> "), false);
        assert_eq!(timeout(SILENCE * 3, read).await, Ok(Ok(())));
        let lines = ear.lines.into_inner().unwrap();
        assert_eq!(lines, ["> cloned\n", "> one\n", "> two\n", "> three\n"]);
        let notes = ear.notes.into_inner().unwrap();
        assert!(notes[0].contains("nothing came for a minute"), "{notes:?}");
        assert_eq!(notes.len(), 1);
        let asked = asked.lock().unwrap();
        assert!(asked.iter().all(|uri| uri.contains("timestamps=true")));
        assert!(!asked[1].contains("sinceTime"), "from the beginning");
        let since = "sinceTime=2020-01-15T08%3A00%3A00Z";
        assert!(asked[2].contains(since), "{}", asked[2]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_followed_goes_on_after_a_connection_until_its_pod_is_over() {
        let mut logs = [
            Said::hangs(BROKEN),
            Said::whole(503, &json!({"kind": "Status", "status": "Failure", "code": 503, "message": "not now", "reason": ""})),
            Said::text(200, &WHOLE[..BROKEN.len() + 2]),
        ]
        .into_iter();
        let mut connections = 0;
        let (server, _) = scripted(move |uri| {
            let running = json!({"running": {}});
            if uri.contains("container=source") {
                return Some(Said::text(200, CLONED));
            }
            if uri.contains("/log?") {
                connections += 1;
                return logs.next().or_else(|| Some(Said::text(200, WHOLE)));
            }
            if uri.contains("watch=true") {
                // It is over once the third connection has begun.
                if connections < 3 {
                    return Some(Said::lasts(b"", SILENCE / 2));
                }
                let over = pod("2", "Succeeded", &json!({"terminated": {"exitCode": 0}}));
                let told = json!({"type": "MODIFIED", "object": over});
                return Some(Said::hangs(format!("{told}\n").as_bytes()));
            }
            let list = json!({"metadata": {"resourceVersion": "1"}, "items": [pod("1", "Running", &running)]});
            Some(Said::whole(200, &list))
        });
        let ear = Ear::default();
        let about = about();
        let read = live(&server, &about, (&ear, ""), true);
        assert_eq!(timeout(SILENCE * 10, read).await, Ok(Ok(())));
        let lines = ear.lines.into_inner().unwrap();
        assert_eq!(lines, ["cloned\n", "one\n", "two\n", "three\n"]);
        let notes = ear.notes.into_inner().unwrap();
        assert!(notes[0].contains("not now"), "{notes:?}");
        assert!(
            notes[1].contains("had hung"),
            "what was said before it was opened again came after: {notes:?}"
        );
    }

    #[test]
    fn a_container_is_as_its_pod_says() {
        let of = |phase: &str, main: Value| {
            let pod: Pod = serde_json::from_value(pod("1", phase, &main)).unwrap();
            state(Some(&pod), MAIN)
        };
        let waits = json!({"waiting": {"reason": "PodInitializing"}});
        assert_eq!(of("Pending", waits.clone()), State::Waits);
        assert_eq!(of("Failed", waits), State::Over);
        assert_eq!(of("Running", json!({"running": {}})), State::Runs);
        let over = json!({"terminated": {"exitCode": 0}});
        assert_eq!(of("Running", over), State::Over);
        assert_eq!(state(None, MAIN), State::Over);
    }
}
