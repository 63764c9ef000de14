//! The generator against small servers that answer, drop, stall and lie.

use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroU64};
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;

/// What the server does with the request of a sequence number.
#[derive(Clone, Copy)]
enum Reply {
    Answer(&'static str),
    Last(&'static str),
    Drop,
    Never,
}

const OK_BYTES: &str = "HTTP/1.1 200 OK\r\nx-revision: v1\r\ncontent-length: 2\r\n\r\nok";
const OK: Reply = Reply::Answer(OK_BYTES);

struct Server {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    async fn start(reply: impl Fn(u64) -> Reply + Clone + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&connections);
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                counted.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(serve(stream, reply.clone()));
            }
        });
        Self {
            address,
            connections,
            task,
        }
    }

    fn spec(&self, count: u64) -> LoadSpec {
        let spec = LoadSpec::new(&format!("http://{}/", self.address)).unwrap();
        spec.rate(NonZeroU32::new(500).unwrap()).count(count)
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

async fn serve(mut stream: TcpStream, reply: impl Fn(u64) -> Reply) {
    let mut received = Vec::new();
    while let Ok(read @ 1..) = stream.read_buf(&mut received).await {
        let text = String::from_utf8_lossy(&received);
        let Some(head) = text.strip_suffix("\r\n\r\n") else {
            continue;
        };
        let seq = head
            .lines()
            .find_map(|line| line.strip_prefix("x-slipway-seq: "))
            .unwrap();
        let seq = seq.parse().unwrap();
        assert!(
            head.contains(&format!("x-slipway-seq={seq} HTTP/1.1")),
            "{read} bytes: {head}"
        );
        match reply(seq) {
            Reply::Answer(answer) => stream.write_all(answer.as_bytes()).await.unwrap(),
            Reply::Last(answer) => return stream.write_all(answer.as_bytes()).await.unwrap(),
            Reply::Drop => return,
            Reply::Never => std::future::pending().await,
        }
        received.clear();
    }
}

async fn summary_of(spec: LoadSpec) -> Summary {
    Load::start(spec).await.unwrap().finish().await
}

fn lost(summary: &Summary) -> Vec<(Loss, u64)> {
    summary
        .stats
        .lost_by_reason
        .iter()
        .map(|(loss, count)| (*loss, *count))
        .collect()
}

#[tokio::test]
async fn a_good_server_loses_nothing() {
    let server = Server::start(|_| OK).await;
    let summary = summary_of(server.spec(200)).await;
    assert_eq!(
        (
            summary.stats.sent,
            summary.stats.answered,
            summary.stats.lost
        ),
        (200, 200, 0)
    );
    assert_eq!(summary.stats.revisions, [("v1".to_owned(), 200)].into());
    assert_eq!(summary.statuses, [(200, 200)].into());
}

#[tokio::test]
async fn every_dropped_connection_is_one_loss() {
    let server = Server::start(|seq| if seq % 10 == 9 { Reply::Drop } else { OK }).await;
    for connections in [Connections::Reuse(4), Connections::Fresh] {
        let summary = summary_of(server.spec(200).connections(connections)).await;
        assert_eq!(
            (summary.stats.sent, summary.stats.answered),
            (200, 180),
            "{connections:?}"
        );
        assert_eq!(lost(&summary), [(Loss::Reset, 20)], "{connections:?}");
        assert!(
            summary.losses.iter().all(|loss| loss.seq % 10 == 9),
            "{connections:?}"
        );
    }
}

#[tokio::test]
async fn a_kept_connection_that_was_closed_meanwhile_costs_nothing() {
    let server = Server::start(|_| Reply::Last(OK_BYTES)).await;
    let spec = server.spec(100).connections(Connections::Reuse(4));
    assert_eq!(summary_of(spec).await.stats.answered, 100);
    assert_eq!(server.connections(), 100);
}

#[tokio::test]
async fn a_truncated_answer_is_lost() {
    const HALF: &str = "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nok";
    let cut = Server::start(|_| Reply::Last(HALF)).await;
    assert_eq!(lost(&summary_of(cut.spec(3)).await), [(Loss::Reset, 3)]);
    let stalled = Server::start(|_| Reply::Answer(HALF)).await;
    let spec = stalled.spec(3).timeout(Duration::from_millis(300));
    assert_eq!(lost(&summary_of(spec).await), [(Loss::Timeout, 3)]);
}

#[tokio::test]
async fn errors_are_lost_unless_the_sample_made_them() {
    let server = Server::start(|seq| match seq % 4 {
        0 => OK,
        1 => Reply::Answer("HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n"),
        2 => Reply::Answer("HTTP/1.1 404 No Route\r\ncontent-length: 0\r\n\r\n"),
        _ => Reply::Answer(
            "HTTP/1.1 500 Oops\r\nx-sample-error: 1\r\nx-revision: v2\r\ncontent-length: 0\r\n\r\n",
        ),
    })
    .await;
    let summary = summary_of(server.spec(40)).await;
    assert_eq!(
        lost(&summary),
        [(Loss::ClientError, 10), (Loss::ServerError, 10)]
    );
    assert_eq!((summary.stats.answered, summary.stats.injected), (20, 10));
    assert_eq!(
        summary.stats.revisions,
        [("v1".to_owned(), 10), ("v2".to_owned(), 10)].into()
    );
}

#[tokio::test]
async fn an_answer_to_another_request_is_lost() {
    const WRONG: &str = "HTTP/1.1 200 OK\r\nx-slipway-seq: 7\r\ncontent-length: 0\r\n\r\n";
    let server = Server::start(|_| Reply::Answer(WRONG)).await;
    let summary = summary_of(server.spec(10)).await;
    assert_eq!(
        (lost(&summary), summary.stats.answered),
        (vec![(Loss::WrongAnswer, 9)], 1)
    );
}

#[tokio::test]
async fn silent_servers_do_not_slow_the_schedule_down() {
    let server = Server::start(|_| Reply::Never).await;
    let mut load = Load::start(server.spec(100).timeout(Duration::from_secs(2)))
        .await
        .unwrap();
    let all_sent = |stats: &Stats| stats.sent == 100;
    let stats = load.until(Duration::from_secs(2), all_sent).await.unwrap();
    assert_eq!(
        (stats.in_flight, stats.lost),
        (100, 0),
        "sent before the first timeout"
    );
    assert_eq!(lost(&load.finish().await), [(Loss::Timeout, 100)]);
}

#[tokio::test]
async fn nobody_listening_is_refused() {
    let server = Server::start(|_| OK).await;
    let spec = server.spec(20);
    let address = server.address;
    drop(server);
    while TcpStream::connect(address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    assert_eq!(lost(&summary_of(spec).await), [(Loss::Refused, 20)]);
}

#[tokio::test]
async fn connections_are_kept_or_fresh_as_asked() {
    let server = Server::start(|_| OK).await;
    let spec = || server.spec(100).rate(NonZeroU32::new(100).unwrap());
    summary_of(spec().connections(Connections::Reuse(3))).await;
    let kept = server.connections();
    // One more is opened when the machine is slow and all three are busy, but not for every request.
    assert!((3..100).contains(&kept), "{kept} connections");
    summary_of(spec().connections(Connections::Fresh)).await;
    assert_eq!(server.connections() - kept, 100);
    let mixed = Connections::Mixed {
        kept: 3,
        fresh_every: NonZeroU64::new(4).unwrap(),
    };
    let before = server.connections();
    summary_of(spec().connections(mixed)).await;
    let mixed = server.connections() - before;
    assert!((28..100).contains(&mixed), "{mixed} connections");
}

#[tokio::test]
async fn stopping_ends_the_schedule_and_settles_what_was_sent() {
    let server = Server::start(|_| OK).await;
    let load = Load::start(server.spec(1_000_000)).await.unwrap();
    load.until(Duration::from_secs(10), |stats| stats.answered >= 20)
        .await
        .unwrap();
    let summary = load.stop().await;
    assert!(summary.stats.sent < 10_000, "{} sent", summary.stats.sent);
    assert_eq!(summary.stats.answered, summary.stats.sent);
}

#[tokio::test]
async fn public_addresses_are_refused() {
    let spec = LoadSpec::new("http://192.0.2.1/").unwrap();
    let error = Load::start(spec).await.unwrap_err().to_string();
    assert!(error.contains("only loopback and private"), "{error}");
}
