//! A log that is followed while it is written, and sent to a receiver that loses answers.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::routing::post;
use serde::Deserialize;
use tokio::net::TcpListener;

use super::*;
use crate::runner::tests::Folder;

/// What it has, and how its next answers are.
#[derive(Default)]
struct Kept {
    log: Vec<u8>,
    is_complete: bool,
    reports: Vec<u8>,
    /// From the last to the first: whether a part is taken, and whether the caller hears of it.
    moods: Vec<(bool, bool)>,
}

type Shared = Arc<Mutex<Kept>>;

#[derive(Deserialize)]
struct Where {
    offset: u64,
    last: bool,
}

async fn take(
    State(kept): State<Shared>,
    Query(at): Query<Where>,
    body: Bytes,
) -> (StatusCode, String) {
    let mut kept = kept.lock().unwrap();
    let (takes, answers) = kept.moods.pop().unwrap_or((true, true));
    let busy = (StatusCode::SERVICE_UNAVAILABLE, "later".to_owned());
    if !takes {
        return busy;
    }
    let has = kept.log.len() as u64;
    if has != at.offset {
        return (StatusCode::CONFLICT, format!("{has}\n"));
    }
    kept.log.extend_from_slice(&body);
    kept.is_complete |= at.last;
    if answers {
        (StatusCode::OK, String::new())
    } else {
        busy
    }
}

/// Takes everything that comes next; an answer may be lost.
async fn take_reports(
    State(kept): State<Shared>,
    Query(at): Query<Where>,
    body: Bytes,
) -> (StatusCode, String) {
    let mut kept = kept.lock().unwrap();
    let has = kept.reports.len() as u64;
    if has != at.offset {
        return (StatusCode::CONFLICT, has.to_string());
    }
    kept.reports.extend_from_slice(&body);
    match kept.moods.pop() {
        Some((_, false)) => (StatusCode::SERVICE_UNAVAILABLE, "later".to_owned()),
        Some((_, true)) | None => (StatusCode::OK, String::new()),
    }
}

struct Stage {
    folder: Folder,
    kept: Shared,
    task: LogTask,
}

impl Stage {
    async fn new(name: &str, max_bytes: u64) -> Self {
        let kept = Shared::default();
        let app = Router::new()
            .route("/v1/log", post(take))
            .route("/v1/reports", post(take_reports))
            .with_state(Arc::clone(&kept));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, app).await });
        let folder = Folder::new(name);
        let logs = folder.0.join("logs");
        std::fs::create_dir(&logs).unwrap();
        std::fs::write(folder.0.join("token"), "a token\n").unwrap();
        let task = LogTask {
            url,
            token_file: folder.0.join("token"),
            folder: logs,
            max_bytes,
        };
        Self { folder, kept, task }
    }

    fn says(&self, number: u64, text: &str) {
        use std::io::Write;
        let path = self.task.folder.join(log::name(number));
        let mut file = OpenOptions::new().create(true).append(true).open(path);
        file.as_mut().unwrap().write_all(text.as_bytes()).unwrap();
    }

    fn shipper(&self) -> Shipper<'_> {
        let receiver = Receiver::new(&self.task.url, &self.task.token_file);
        Shipper::new(receiver.unwrap(), &self.task)
    }

    fn log(&self) -> String {
        String::from_utf8(self.kept.lock().unwrap().log.clone()).unwrap()
    }
}

#[tokio::test]
async fn a_log_is_sent_as_it_grows() {
    let stage = Stage::new("ship-grows", 1 << 20).await;
    let mut shipper = stage.shipper();
    shipper.ship().await.unwrap();
    assert_eq!(stage.log(), "", "nothing was said yet");
    stage.says(0, "fetching\n");
    shipper.ship().await.unwrap();
    stage.says(1, "testing");
    shipper.ship().await.unwrap();
    stage.says(1, " …\n");
    stage.says(2, "more\n");
    shipper.finish().await;
    assert_eq!(stage.log(), "fetching\ntesting …\nmore\n");
    assert!(stage.kept.lock().unwrap().is_complete);
}

#[tokio::test]
async fn lost_answers_and_busy_receivers_change_nothing() {
    let stage = Stage::new("ship-lost", 1 << 20).await;
    let mut shipper = stage.shipper();
    for (number, mood) in [(true, false), (false, false), (true, false), (false, false)]
        .into_iter()
        .enumerate()
    {
        stage.kept.lock().unwrap().moods = vec![mood];
        stage.says(0, &format!("line {number}\n"));
        shipper.ship().await.unwrap();
    }
    stage.kept.lock().unwrap().moods = vec![(true, true), (true, false)];
    stage.says(0, "the end\n");
    shipper.finish().await;
    assert_eq!(stage.log(), "line 0\nline 1\nline 2\nline 3\nthe end\n");
}

#[tokio::test]
async fn reports_follow_the_log_once_whatever_is_lost() {
    let stage = Stage::new("ship-reports", 1 << 20).await;
    let packed = [b"packed".repeat(PART / 3), b"the end".to_vec()].concat();
    std::fs::write(stage.task.folder.join(crate::runner::keep::FILE), &packed).unwrap();
    stage.says(0, "tested\n");
    let mut shipper = stage.shipper();
    shipper.ship().await.unwrap();
    // The last part of the log is heard, that of the reports is not, the first time.
    stage.kept.lock().unwrap().moods = vec![(true, false), (true, true)];
    shipper.finish().await;
    assert_eq!(stage.log(), "tested\n");
    assert!(stage.kept.lock().unwrap().reports == packed);
    // A container that is started again has nothing to add.
    stage.shipper().finish().await;
    assert!(stage.kept.lock().unwrap().reports == packed);
}

#[tokio::test]
async fn a_container_that_is_started_again_sends_nothing_twice() {
    let stage = Stage::new("ship-again", 1 << 20).await;
    stage.says(0, "before\n");
    stage.shipper().ship().await.unwrap();
    stage.says(0, "after\n");
    stage.shipper().finish().await;
    assert_eq!(stage.log(), "before\nafter\n");
}

#[tokio::test]
async fn a_receiver_that_has_lost_its_logs_gets_the_rest_and_a_word_about_it() {
    let stage = Stage::new("ship-disk", 1 << 20).await;
    let mut shipper = stage.shipper();
    stage.says(0, "before\n");
    shipper.ship().await.unwrap();
    stage.kept.lock().unwrap().log.clear();
    stage.says(0, "after\n");
    shipper.ship().await.unwrap_err();
    shipper.finish().await;
    assert_eq!(
        stage.log(),
        "\n[slipway: 7 bytes of this log were lost]\nafter\n"
    );
}

#[tokio::test]
async fn of_a_log_that_is_too_long_the_beginning_and_the_end_are_sent() {
    let max = (END + 100) as u64;
    let stage = Stage::new("ship-long", max).await;
    let mut shipper = stage.shipper();
    for number in 0..100_000 {
        if number % 10_000 == 0 {
            shipper.ship().await.unwrap();
        }
        stage.says(number / 50_000, &format!("line {number}\n"));
    }
    shipper.finish().await;
    let log = stage.log();
    assert!(log.starts_with("line 0\nline 1\n"));
    assert!(log.ends_with("line 99998\nline 99999\n"));
    assert!(log.contains(" bytes are left out here]"), "{}", log.len());
    assert!(log.len() < END + 300, "{}", log.len());
}

#[tokio::test]
async fn what_was_too_fast_to_follow_is_told() {
    let stage = Stage::new("ship-fast", 1 << 20).await;
    stage.says(3, "late\n");
    let mut shipper = stage.shipper();
    shipper.finish().await;
    assert!(stage.log().ends_with("a part of it is left out]\nlate\n"));
}

/// A script can put anything into the folder of the log.
#[tokio::test]
async fn a_link_to_the_token_is_not_followed() {
    let stage = Stage::new("ship-link", 1 << 20).await;
    let link = stage.task.folder.join(log::name(0));
    std::os::unix::fs::symlink(&stage.task.token_file, link).unwrap();
    stage.says(1, "harmless\n");
    let mut shipper = stage.shipper();
    shipper.finish().await;
    assert_eq!(stage.log(), "harmless\n");
    assert!(stage.folder.0.exists());
}
