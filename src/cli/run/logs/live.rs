//! What a pod says, as it says it. Talks to the API server.

use futures::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, LogParams};
use tokio::time::interval;

use super::{LOOK, Listener};
use crate::archive::About;
use crate::cli::cluster::Server;
use crate::error::chain;
use crate::pipeline_run::render::{MAIN, SOURCE};

/// Shows what a pod says: the fetching of the commit, then the stage.
pub(super) async fn live<L: Listener>(
    server: &Server,
    about: &About,
    (listener, prefix): (&L, &str),
    follow: bool,
) -> Result<(), String> {
    let pods: Api<Pod> = Api::namespaced(server.patient_client(), server.namespace());
    let mut tick = interval(LOOK);
    for container in [SOURCE, MAIN] {
        let params = LogParams {
            container: Some(container.to_owned()),
            follow,
            ..LogParams::default()
        };
        loop {
            tick.tick().await;
            match pods.log_stream(&about.pod, &params).await {
                Ok(stream) => {
                    pass(std::pin::pin!(stream), (listener, prefix)).await?;
                    break;
                }
                Err(kube::Error::Api(status)) if status.code == 400 => {
                    // It has not begun, and may never.
                    if !follow || is_over(server, &about.pod).await? {
                        return Ok(());
                    }
                }
                Err(kube::Error::Api(status)) => {
                    return Err(format!("pod {}: {}", about.pod, status.message));
                }
                Err(error) => return Err(format!("pod {}: {}", about.pod, chain(&error))),
            }
        }
    }
    Ok(())
}

/// Passes on what comes, line by line, and a line in pieces where it is longer than the listener hears as one.
async fn pass<L: Listener>(
    mut stream: impl AsyncBufRead + Unpin,
    (listener, prefix): (&L, &str),
) -> Result<(), String> {
    let mut line = Vec::new();
    loop {
        let mut piece = (&mut stream).take(L::LONGEST as u64);
        let read = piece.read_until(b'\n', &mut line).await;
        // A pod that goes takes the connection along.
        if !matches!(read, Ok(count) if count > 0) {
            return Ok(());
        }
        listener.hear(prefix, &line).await?;
        line.clear();
    }
}

async fn is_over(server: &Server, pod: &str) -> Result<bool, String> {
    let Some(pod) = server.find::<Pod>(pod).await? else {
        return Ok(true);
    };
    let phase = pod.status.and_then(|status| status.phase);
    Ok(matches!(phase.as_deref(), Some("Succeeded" | "Failed")))
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// Hears four bytes at once.
    #[derive(Default)]
    struct Ear(Mutex<Vec<String>>);

    impl Listener for Ear {
        const LONGEST: usize = 4;

        async fn hear(&self, prefix: &str, line: &[u8]) -> Result<(), String> {
            let line = String::from_utf8(line.to_vec()).unwrap();
            self.0.lock().unwrap().push(format!("{prefix}{line}"));
            Ok(())
        }
    }

    #[tokio::test]
    async fn a_line_without_an_end_comes_in_pieces() {
        let ear = Ear::default();
        let said: &[u8] = b"ok\nabcdefghij\n\nend";
        pass(said, (&ear, "> ")).await.unwrap();
        let heard = ear.0.into_inner().unwrap();
        let lines = ["> ok\n", "> abcd", "> efgh", "> ij\n", "> \n", "> end"];
        assert_eq!(heard, lines);
    }
}
