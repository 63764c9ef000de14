//! The dashboard as a process, and how it is asked: as people ask it, and as its page does.

use std::path::Path;
use std::process::Stdio;

use reqwest::{Client, Method, RequestBuilder, Response};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout};

use crate::cluster::SOON;
use crate::plugin::plugin;

/// `kubectl slipway dashboard`. Dropping it ends it.
pub(super) struct Local {
    /// Where it is, with the secret in it.
    pub(super) address: String,
    _child: Child,
    _said: Lines<BufReader<ChildStdout>>,
}

impl Local {
    /// Starts one with a kubeconfig, and waits until it says where it is.
    pub(super) async fn start(kubeconfig: &Path, args: &[&str]) -> Self {
        let mut command = plugin(&["dashboard", "--port", "0", "--no-open"]);
        let command = command.args(args).env("KUBECONFIG", kubeconfig);
        let command = command.stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().unwrap();
        let mut said = BufReader::new(child.stdout.take().unwrap()).lines();
        let first = tokio::time::timeout(SOON, said.next_line()).await;
        let line = first.expect("an address in time").unwrap();
        let line = line.expect("an address, before it ends");
        let address = line
            .split_whitespace()
            .find(|word| word.contains("#token="));
        let address = address.unwrap_or_else(|| panic!("no address in: {line}"));
        Self {
            address: address.to_owned(),
            _child: child,
            _said: said,
        }
    }

    /// Asks it as its page does.
    pub(super) fn page(&self) -> Page {
        let (base, secret) = self.address.split_once("#token=").unwrap();
        Page::new(base, Some(secret))
    }
}

/// What a page of the dashboard does: asks with a token.
pub(super) struct Page {
    pub(super) base: String,
    token: Option<String>,
    http: Client,
}

impl Page {
    pub(super) fn new(base: &str, token: Option<&str>) -> Self {
        Self {
            base: base.to_owned(),
            token: token.map(str::to_owned),
            http: Client::builder().no_proxy().build().unwrap(),
        }
    }

    pub(super) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.base));
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    /// Status and answer.
    pub(super) async fn get(&self, path: &str) -> (u16, Value) {
        answered(self.request(Method::GET, path).send().await.unwrap()).await
    }

    /// Decides something.
    pub(super) async fn decide(&self, about: &Value) -> (u16, Value) {
        let request = self.request(Method::POST, "api/v1/decisions").json(about);
        answered(request.send().await.unwrap()).await
    }

    /// The actions that are offered for an object.
    pub(super) async fn may(&self, plural: &str, namespace: &str, name: &str) -> Vec<String> {
        let (status, said) = self
            .get(&format!("api/v1/may/{plural}/{namespace}/{name}"))
            .await;
        assert_eq!(status, 200, "{said}");
        let mut actions: Vec<String> = serde_json::from_value(said["actions"].clone()).unwrap();
        actions.sort_unstable();
        actions
    }

    /// Begins to listen, or goes on after what was heard last.
    pub(super) async fn listen(&self, query: &str, last: Option<&str>) -> Events {
        let answer = self.ask_to_listen(query, last).await;
        assert_eq!(answer.status(), 200, "{query}");
        let kind = answer.headers()["content-type"].to_str().unwrap();
        assert!(kind.starts_with("text/event-stream"), "{kind}");
        Events {
            answer,
            heard: Vec::new(),
        }
    }

    pub(super) async fn ask_to_listen(&self, query: &str, last: Option<&str>) -> Response {
        let request = self.request(Method::GET, &format!("api/v1/stream?{query}"));
        let request = match last {
            Some(id) => request.header("last-event-id", id),
            None => request,
        };
        request.send().await.unwrap()
    }
}

async fn answered(answer: Response) -> (u16, Value) {
    let status = answer.status().as_u16();
    let text = answer.text().await.unwrap();
    let said =
        serde_json::from_str(&text).unwrap_or_else(|_| panic!("{status} without JSON: {text}"));
    (status, said)
}

/// A stream of events.
pub(super) struct Events {
    answer: Response,
    heard: Vec<u8>,
}

/// One of them.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) event: String,
    pub(super) id: Option<String>,
    pub(super) data: Value,
    /// Length of the data, in bytes.
    pub(super) size: usize,
}

impl Told {
    /// Whether it is the news of an object.
    pub(super) fn is_put(&self, name: &str) -> bool {
        self.event == "put" && self.data["object"]["metadata"]["name"] == name
    }

    fn read(block: &str) -> Option<Self> {
        let field = |name: &str| {
            let lines = block.lines().filter_map(|line| line.strip_prefix(name));
            let values: Vec<&str> = lines.map(|value| value.trim_start_matches(' ')).collect();
            (!values.is_empty()).then(|| values.join("\n"))
        };
        // Keep-alives are comments.
        let event = field("event:")?;
        let data = field("data:").unwrap_or_default();
        Some(Self {
            event,
            id: field("id:"),
            size: data.len(),
            data: serde_json::from_str(&data).unwrap_or(Value::Null),
        })
    }
}

impl Events {
    /// The next one; none when the stream has ended.
    async fn next(&mut self) -> Option<Told> {
        loop {
            let end = self.heard.windows(2).position(|two| two == b"\n\n");
            if let Some(end) = end {
                let block: Vec<u8> = self.heard.drain(..end + 2).collect();
                let told = Told::read(std::str::from_utf8(&block).unwrap());
                if told.is_some() {
                    return told;
                }
                continue;
            }
            let chunk = self.answer.chunk().await.ok()??;
            self.heard.extend_from_slice(&chunk);
        }
    }

    /// Listens until something is told; all that was told, that last.
    pub(super) async fn until(&mut self, what: &str, check: impl Fn(&Told) -> bool) -> Vec<Told> {
        let mut all = Vec::new();
        let listened = tokio::time::timeout(SOON, async {
            while let Some(told) = self.next().await {
                let is_it = check(&told);
                all.push(told);
                if is_it {
                    return true;
                }
            }
            false
        })
        .await;
        match listened {
            Ok(true) => all,
            Ok(false) => panic!("{what}: the stream ended after {all:#?}"),
            Err(late) => panic!("{what}: not told within {SOON:?} ({late}), but {all:#?}"),
        }
    }

    /// Listens until everything that was there of a kind has been told.
    pub(super) async fn until_synced(&mut self, kind: &str) -> Vec<Told> {
        let is_it = |told: &Told| told.event == "synced" && told.data["kind"] == kind;
        self.until(&format!("all of {kind}"), is_it).await
    }

    /// Listens until an object is told of of which this is so.
    pub(super) async fn until_put(
        &mut self,
        name: &str,
        check: impl Fn(&Value) -> bool,
    ) -> Vec<Told> {
        let is_it = |told: &Told| told.is_put(name) && check(&told.data["object"]);
        self.until(&format!("news of {name}"), is_it).await
    }
}
