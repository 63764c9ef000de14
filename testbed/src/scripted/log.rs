//! What containers say: said by whoever sets the scene, and handed out as kubelets do, over HTTPS. Talks to the API server.

use std::collections::{BTreeMap, HashMap};
use std::convert::Infallible;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Result;
use http::{Request, Response, StatusCode, Uri};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

/// Nobody checks whose it is: the API server of the testbed knows no authority of kubelets.
const CERTIFICATE: &str = include_str!("../../../tests/data/tls/server.crt");
const KEY: &str = include_str!("../../../tests/data/tls/server.key");

type Body = UnsyncBoxBody<Bytes, Infallible>;
type Said = BTreeMap<String, String>;

/// What was said so far, by image, and the pods that it may be asked of.
pub(super) struct Voices {
    said: watch::Sender<Said>,
    pods: Mutex<HashMap<String, watch::Receiver<Arc<Pod>>>>,
}

impl Voices {
    pub(super) fn new() -> Self {
        Self {
            said: watch::Sender::new(Said::new()),
            pods: Mutex::default(),
        }
    }

    /// Containers of this image have said this too.
    pub(super) fn say(&self, image: &str, text: &str) {
        self.said
            .send_modify(|said| said.entry(image.to_owned()).or_default().push_str(text));
    }

    /// A pod is there.
    pub(super) fn see(&self, pod: &Pod, updates: watch::Receiver<Arc<Pod>>) {
        self.pods().insert(key(pod), updates);
    }

    /// A pod is gone; another one may have its name.
    pub(super) fn forget(&self, pod: &Pod) {
        let mut pods = self.pods();
        let known = pods.get(&key(pod)).map(|known| known.borrow().uid());
        if known == Some(pod.uid()) {
            pods.remove(&key(pod));
        }
    }

    fn pods(&self) -> MutexGuard<'_, HashMap<String, watch::Receiver<Arc<Pod>>>> {
        self.pods.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers `/containerLogs/NAMESPACE/POD/CONTAINER`.
    fn answer(&self, asked: &Uri) -> Response<Body> {
        let mut words = asked.path().split('/').skip(1);
        let words = (words.next(), words.next(), words.next(), words.next());
        let (Some("containerLogs"), Some(namespace), Some(name), Some(container)) = words else {
            return refused(StatusCode::NOT_FOUND, "only logs are handed out here");
        };
        let known = self.pods().get(&format!("{namespace}/{name}")).cloned();
        let Some(pod) = known else {
            return refused(StatusCode::NOT_FOUND, "there is no such pod here");
        };
        let (image, stage) = {
            let seen = pod.borrow();
            (image_of(&seen, container), Stage::of(&seen, container))
        };
        if stage == Stage::Waiting {
            let why = format!("container {container} in pod {name} is waiting to start");
            return refused(StatusCode::BAD_REQUEST, &why);
        }
        let mut options = asked.query().unwrap_or_default().split('&');
        let voice = Voice {
            container: container.to_owned(),
            image,
            is_followed: options.any(|option| option == "follow=true"),
            offset: 0,
            said: self.said.subscribe(),
            pod,
        };
        let parts = futures::stream::unfold(voice, |mut voice| async move {
            let text = voice.next().await?;
            Some((Ok(Frame::data(Bytes::from(text))), voice))
        });
        Response::new(StreamBody::new(parts).boxed_unsync())
    }
}

fn key(pod: &Pod) -> String {
    format!("{}/{}", pod.namespace().unwrap_or_default(), pod.name_any())
}

fn image_of(pod: &Pod, container: &str) -> String {
    let spec = pod.spec.as_ref();
    let all = spec.into_iter().flat_map(|spec| {
        let init = spec.init_containers.iter().flatten();
        init.chain(&spec.containers)
    });
    let mut named = all.filter(|one| one.name == container);
    let image = named.next().and_then(|one| one.image.clone());
    image.unwrap_or_default()
}

fn refused(status: StatusCode, why: &str) -> Response<Body> {
    let mut response = Response::new(Full::from(why.to_owned()).boxed_unsync());
    *response.status_mut() = status;
    response
}

/// How far a container is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Waiting,
    Running,
    Over,
}

impl Stage {
    fn of(pod: &Pod, container: &str) -> Self {
        let status = pod.status.as_ref();
        let mut all = status.into_iter().flat_map(|status| {
            let init = status.init_container_statuses.iter().flatten();
            init.chain(status.container_statuses.iter().flatten())
        });
        let found = all.find(|one| one.name == container);
        match found.and_then(|one| one.state.as_ref()) {
            Some(state) if state.terminated.is_some() => Self::Over,
            Some(state) if state.running.is_some() => Self::Running,
            Some(_) | None => Self::Waiting,
        }
    }
}

/// What one container says, for one who listens.
struct Voice {
    container: String,
    image: String,
    is_followed: bool,
    offset: usize,
    said: watch::Receiver<Said>,
    pod: watch::Receiver<Arc<Pod>>,
}

impl Voice {
    /// What it says next; nothing once there is no more to come.
    async fn next(&mut self) -> Option<String> {
        loop {
            // In this order: what was said before the end belongs to it.
            let stage = Stage::of(&self.pod.borrow_and_update(), &self.container);
            let more = self.more();
            if !more.is_empty() {
                self.offset += more.len();
                return Some(more);
            }
            if !self.is_followed || stage == Stage::Over {
                return None;
            }
            tokio::select! {
                changed = self.said.changed() => changed.ok()?,
                changed = self.pod.changed() => changed.ok()?,
            }
        }
    }

    fn more(&mut self) -> String {
        let said = self.said.borrow_and_update();
        let text = said.get(&self.image).map_or("", String::as_str);
        text.get(self.offset..).unwrap_or_default().to_owned()
    }
}

/// Hands logs out at an address until `stop`; the port.
///
/// # Errors
///
/// The address is not this machine's.
pub(super) async fn serve(
    ip: Ipv4Addr,
    voices: &Arc<Voices>,
    stop: &CancellationToken,
) -> Result<u16> {
    let listener = TcpListener::bind((ip, 0)).await?;
    let port = listener.local_addr()?.port();
    let accepting = accept(listener, acceptor()?, Arc::clone(voices));
    tokio::spawn(stop.clone().run_until_cancelled_owned(accepting));
    Ok(port)
}

fn acceptor() -> Result<TlsAcceptor> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let chain = CertificateDer::pem_slice_iter(CERTIFICATE.as_bytes());
    let chain = chain.collect::<Result<Vec<_>, _>>()?;
    let key = PrivateKeyDer::from_pem_slice(KEY.as_bytes())?;
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

async fn accept(listener: TcpListener, acceptor: TlsAcceptor, voices: Arc<Voices>) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                drop(tokio::spawn(hand_out(
                    acceptor.clone(),
                    stream,
                    Arc::clone(&voices),
                )));
            }
            Err(error) => tracing::warn!(%error, "accepting a connection failed"),
        }
    }
}

async fn hand_out(acceptor: TlsAcceptor, stream: TcpStream, voices: Arc<Voices>) {
    let _ = stream.set_nodelay(true);
    // Who speaks no TLS, or goes in the middle, has had the answer.
    let Ok(stream) = acceptor.accept(stream).await else {
        return;
    };
    let service = service_fn(move |request: Request<Incoming>| {
        let answer = voices.answer(request.uri());
        async move { Ok::<_, Infallible>(answer) }
    });
    let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    let _ = connection.await;
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const IMAGE: &str = "registry.example/shop/python:1";

    fn pod(state: &Value) -> Arc<Pod> {
        let pod = json!({
            "metadata": {"namespace": "shop", "name": "unit", "uid": "1"},
            "spec": {"containers": [{"name": "main", "image": IMAGE}]},
            "status": {"containerStatuses": [{
                "name": "main", "image": IMAGE, "imageID": "", "ready": false, "restartCount": 0, "state": state,
            }]},
        });
        Arc::new(serde_json::from_value(pod).unwrap())
    }

    async fn asked(voices: &Voices, path: &str) -> (u16, String) {
        let answer = voices.answer(&path.parse().unwrap());
        let status = answer.status().as_u16();
        let text = answer.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(text.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn a_container_says_what_it_has_said_and_what_comes_until_it_ends() {
        let voices = Voices::new();
        let (updates, seen) = watch::channel(pod(&json!({"waiting": {}})));
        voices.see(&updates.borrow(), seen);
        let path = "/containerLogs/shop/unit/main";
        assert_eq!(asked(&voices, path).await.0, 400);
        assert_eq!(
            asked(&voices, "/containerLogs/shop/other/main").await.0,
            404
        );
        assert_eq!(asked(&voices, "/exec/shop/unit/main").await.0, 404);

        updates.send_replace(pod(&json!({"running": {}})));
        voices.say(IMAGE, "one\n");
        assert_eq!(asked(&voices, path).await, (200, "one\n".to_owned()));
        let followed = format!("{path}?timestamps=false&follow=true");
        let (told, ()) = tokio::join!(asked(&voices, &followed), async {
            tokio::task::yield_now().await;
            voices.say(IMAGE, "two\n");
            voices.say("another", "nothing\n");
            updates.send_replace(pod(&json!({"terminated": {"exitCode": 0}})));
        });
        assert_eq!(told, (200, "one\ntwo\n".to_owned()));

        voices.forget(&pod(&json!({})));
        assert_eq!(asked(&voices, path).await.0, 404);
    }
}
