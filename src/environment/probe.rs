//! Checks that the operator makes itself: what is asked, and whether an answer is as it should be. No I/O.
//!
//! An answer stays in memory, as those about SLOs do. What a check has come to is on record, in the step of its Promotion;
//! after a restart the attempt that was under way is made again, which changes nothing anywhere.

use std::time::Duration;

use super::api::{HttpRequest, SmokeTest};
use crate::model::access::Access;
use crate::model::action::{Reply, Request};
use crate::model::key::short_hash;
use crate::model::probe::Probe;

/// What every question of a check begins with.
pub const PREFIX: &str = "smoke/";
/// Longest wait for a connection or a name.
const PATIENCE: Duration = Duration::from_secs(5);
/// Bytes of an answer that are repeated to people.
const MAX_WORDS: usize = 120;

/// One question of a check.
#[derive(Clone, Debug, PartialEq)]
pub struct Question<'a> {
    /// What the answer is kept under.
    pub key: String,
    /// What is sent.
    pub request: Request,
    expected: Expected<'a>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Expected<'a> {
    /// Any answer is good.
    Anything,
    /// A status, and something in the body.
    Http(&'a HttpRequest),
}

/// Everything that a check asks for a Promotion, in its order; nothing, where it is a Job.
pub fn questions<'a>(test: &'a SmokeTest, promotion_uid: &str) -> Vec<Question<'a>> {
    let mark = short_hash(promotion_uid.as_bytes(), 10);
    let key = |name: &str| format!("{PREFIX}{mark}/{}/{name}", test.name);
    let probe = |probe: Probe, ca_bundle: Option<&String>| Question {
        key: key("probe"),
        request: Request {
            ca_bundle: ca_bundle.cloned(),
            ..Request::for_probe(probe, PATIENCE)
        },
        expected: Expected::Anything,
    };
    let mut all = Vec::new();
    for request in test.http.iter().flat_map(|http| &http.requests) {
        all.push(Question {
            key: key(&request.name),
            request: rendered(request),
            expected: Expected::Http(request),
        });
    }
    if let Some(tcp) = &test.tcp {
        let (host, port) = (tcp.host.clone(), tcp.port);
        all.push(probe(Probe::Tcp { host, port }, None));
    }
    if let Some(dns) = &test.dns {
        let host = dns.name.clone();
        all.push(probe(Probe::Dns { host }, None));
    }
    if let Some(tls) = &test.tls {
        let probed = Probe::Tls {
            host: tls.host.clone(),
            port: tls.port(),
            valid_for: tls.valid_for(),
        };
        all.push(probe(probed, tls.ca_bundle.as_ref()));
    }
    all
}

/// Its latency is how long it is waited for.
fn rendered(request: &HttpRequest) -> Request {
    let (url, latency) = (request.url.clone(), request.latency());
    let sent = match &request.json {
        None => Request::get(url, latency),
        Some(body) => Request::post(url, "application/json", body.clone(), latency),
    };
    Request {
        ca_bundle: request.ca_bundle.clone(),
        // It goes only where metrics may come from.
        access: Some(Box::new(Access::default())),
        ..sent
    }
}

impl Question<'_> {
    /// Whether an answer is as it should be.
    ///
    /// # Errors
    /// What is wrong with it, in one sentence.
    pub fn judge(&self, reply: &Result<Reply, String>) -> Result<(), String> {
        let name = match self.expected {
            Expected::Anything => return reply.as_ref().map(drop).map_err(Clone::clone),
            Expected::Http(request) => request,
        };
        let of = &name.name;
        let reply = reply.as_ref().map_err(|why| format!("{of}: {why}"))?;
        if reply.status != name.status() {
            let (have, want) = (reply.status, name.status());
            return Err(format!("{of}: answered with {have} instead of {want}"));
        }
        let body = String::from_utf8_lossy(&reply.body);
        match &name.contains {
            Some(text) if !body.contains(text.as_str()) => {
                let text: String = text.chars().take(MAX_WORDS).collect();
                Err(format!("{of}: the answer does not contain {text:?}"))
            }
            Some(_) | None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn test(what: &Value) -> SmokeTest {
        let mut test = json!({"name": "paths"});
        json_patch::merge(&mut test, what);
        serde_json::from_value(test).unwrap()
    }

    #[expect(clippy::unnecessary_wraps, reason = "that is what is judged")]
    fn reply(status: u16, body: &str) -> Result<Reply, String> {
        let body = body.as_bytes().to_vec();
        Ok(Reply { status, body })
    }

    #[test]
    fn a_path_is_several_requests_each_with_its_own_answer() {
        let test = test(&json!({"http": {"requests": [
            {"name": "front", "url": "http://shop/", "latency": "300ms"},
            {"name": "order", "url": "http://shop/order", "json": "{\"item\": 7}", "status": 201, "contains": "\"ok\""},
        ]}}));
        let asked = questions(&test, "u");
        let [front, order] = asked.as_slice() else {
            panic!("{asked:?}")
        };
        assert_ne!(front.key, order.key);
        assert!(front.key.starts_with("smoke/"), "{}", front.key);
        assert_eq!(front.request.method, "GET");
        assert_eq!(front.request.timeout, Duration::from_millis(300));
        assert!(front.request.access.is_some(), "guarded");
        assert_eq!(order.request.method, "POST");
        assert_eq!(front.judge(&reply(200, "")), Ok(()));
        let told = front.judge(&reply(503, "")).unwrap_err();
        assert_eq!(told, "front: answered with 503 instead of 200");
        assert_eq!(order.judge(&reply(201, "{\"ok\": 1}")), Ok(()));
        let told = order.judge(&reply(201, "no")).unwrap_err();
        assert_eq!(told, r#"order: the answer does not contain "\"ok\"""#);
        let told = front.judge(&Err("no answer from shop within 300 ms".into()));
        assert_eq!(
            told.unwrap_err(),
            "front: no answer from shop within 300 ms"
        );
    }

    #[test]
    fn connections_names_and_certificates_are_tried() {
        for (what, url) in [
            (
                json!({"tcp": {"host": "db", "port": 5432}}),
                "tcp://db:5432",
            ),
            (
                json!({"dns": {"name": "shop.example"}}),
                "dns://shop.example",
            ),
            (json!({"tls": {"host": "shop"}}), "tls://shop:443"),
        ] {
            let test = test(&what);
            let asked = questions(&test, "u");
            assert_eq!(asked.len(), 1);
            assert_eq!(asked[0].request.url, url);
            assert_eq!(asked[0].judge(&reply(200, "")), Ok(()));
            assert_eq!(asked[0].judge(&Err("no".into())), Err("no".into()));
        }
    }

    #[test]
    fn each_promotion_asks_anew() {
        let test = test(&json!({"dns": {"name": "shop"}}));
        assert_ne!(questions(&test, "u1")[0].key, questions(&test, "u2")[0].key);
        let job = self::test(&json!({"job": {"image": "smoke:1"}}));
        assert_eq!(questions(&job, "u"), []);
    }
}
