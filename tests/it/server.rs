//! Servers on this machine, which play what is outside of a cluster.

use axum::Router;
use tokio::net::TcpListener;
use tokio::task::AbortHandle;

/// Serves something at a free port. Its URL, without a slash at the end, and what ends it before the test does.
pub(crate) async fn serve(app: Router) -> (String, AbortHandle) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let task = tokio::spawn(async move { axum::serve(listener, app).await });
    (url, task.abort_handle())
}
