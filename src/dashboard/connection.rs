//! Connections: so many at the same time, each of which has to say soon what it wants. Talks to whoever connects.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::serve::Listener;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Longest head of a request, in bytes: a token may have a quarter of it.
const MAX_HEAD: usize = 64 << 10;

/// What connections may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// At the same time; others wait.
    connections: usize,
    /// Longest wait for the head of a request, be it the first one or another.
    head: Duration,
}

/// Streams, logs and everything else.
pub(super) const BOUNDS: Bounds = Bounds {
    connections: 256,
    head: Duration::from_secs(30),
};

/// Serves until `stop`, and then what was begun.
pub(super) async fn serve(
    mut listener: TcpListener,
    router: Router,
    bounds: Bounds,
    stop: CancellationToken,
) {
    let room = Arc::new(Semaphore::new(bounds.connections));
    let tasks = TaskTracker::new();
    loop {
        let next = async {
            // It is never closed.
            let place = Arc::clone(&room).acquire_owned().await;
            let (stream, _) = Listener::accept(&mut listener).await;
            (place, stream)
        };
        let Some((place, stream)) = stop.run_until_cancelled(next).await else {
            break;
        };
        let (router, stop) = (router.clone(), stop.clone());
        tasks.spawn(async move {
            talk(stream, router, bounds.head, stop).await;
            drop(place);
        });
    }
    drop(listener);
    tasks.close();
    tasks.wait().await;
}

/// Answers a connection until it ends.
async fn talk(stream: TcpStream, router: Router, head: Duration, stop: CancellationToken) {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(head)
        .max_buf_size(MAX_HEAD)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let mut connection = std::pin::pin!(connection);
    // What goes wrong is over with the connection.
    tokio::select! {
        _ = connection.as_mut() => return,
        () = stop.cancelled() => connection.as_mut().graceful_shutdown(),
    }
    let _ = connection.await;
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::time::timeout;

    use super::*;

    const DEADLINE: Duration = Duration::from_secs(20);

    #[tokio::test]
    async fn who_says_nothing_keeps_nobody_out() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().route("/", get(|| async { "here" }));
        let bounds = Bounds {
            connections: 1,
            head: Duration::from_millis(200),
        };
        let stop = CancellationToken::new();
        let served = tokio::spawn(serve(listener, router, bounds, stop.clone()));

        let mut silent = TcpStream::connect(address).await.unwrap();
        silent.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
        let mut other = TcpStream::connect(address).await.unwrap();
        let request = b"GET / HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n";
        other.write_all(request).await.unwrap();
        let mut answer = String::new();
        let read = timeout(DEADLINE, other.read_to_string(&mut answer)).await;
        read.unwrap().unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
        assert!(answer.ends_with("here"), "{answer}");
        let mut rest = Vec::new();
        let ended = timeout(DEADLINE, silent.read_to_end(&mut rest)).await;
        assert!(ended.is_ok(), "it is still open");

        stop.cancel();
        timeout(DEADLINE, served).await.unwrap().unwrap();
    }
}
