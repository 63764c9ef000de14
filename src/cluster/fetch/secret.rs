//! Values of Secrets: read when a request is sent, filled in, and taken out of whatever comes back. Talks to the API server.
//!
//! They are in memory for as long as the request is under way, and nothing here can be shown.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client, ResourceExt};

use super::sigv4;
use crate::model::access::{Access, FORM, FROM, Login, TO, percent_encoded};
use crate::model::action::Request;
use crate::model::label;
use crate::model::secret::SecretKey;

/// Shortest value that can be taken out of texts again: a shorter one stands in many of them by chance.
const SHORTEST: usize = 6;
/// What stands where a value stood.
const REDACTED: &str = "[redacted]";

/// Values by their names, and the writings of them that are taken out of texts.
#[derive(Default)]
pub(super) struct Secrets {
    values: BTreeMap<SecretKey, String>,
    writings: Vec<String>,
}

/// A request as it goes over the wire.
pub(super) struct Filled {
    pub(super) url: String,
    pub(super) headers: HeaderMap,
    pub(super) body: Option<String>,
    /// Certificates to trust beside the system's, in PEM.
    pub(super) ca: Option<String>,
    /// Certificate and key of the client, in PEM.
    pub(super) identity: Option<String>,
}

impl Filled {
    fn authorize(&mut self, value: &str) -> Result<(), String> {
        let value = HeaderValue::from_str(value);
        let mut value = value.map_err(|_| "the login cannot be sent: a line break?".to_owned())?;
        value.set_sensitive(true);
        self.headers.insert(AUTHORIZATION, value);
        Ok(())
    }
}

impl Secrets {
    /// Reads what is needed. Only labelled Secrets may be used: who may write a Rollout may not be one who may read every
    /// Secret of its namespace.
    pub(super) async fn read(
        client: &Client,
        namespace: &str,
        needed: BTreeSet<SecretKey>,
    ) -> Result<Self, String> {
        let api: Api<Secret> = Api::namespaced(client.clone(), namespace);
        let mut read: BTreeMap<String, Secret> = BTreeMap::new();
        let mut values = BTreeMap::new();
        for wanted in needed {
            let name = &wanted.name;
            if !read.contains_key(name) {
                let found = api.get_opt(name).await;
                let found = found.map_err(|error| format!("cannot read Secret {name}: {error}"))?;
                let found = found
                    .ok_or_else(|| format!("there is no Secret {name} in namespace {namespace}"))?;
                read.insert(name.clone(), found);
            }
            if let Some(secret) = read.get(name) {
                let value = value_of(secret, &wanted)?;
                values.insert(wanted, value);
            }
        }
        Ok(Self::of(values))
    }

    /// Values that are given. One that is too short is in no danger of being told apart in a text.
    pub(super) fn of(values: BTreeMap<SecretKey, String>) -> Self {
        let long = values.values().filter(|value| value.len() >= SHORTEST);
        let writings = long.flat_map(|value| {
            [
                value.clone(),
                percent_encoded(value),
                escaped(value),
                STANDARD.encode(value),
            ]
        });
        let mut writings: Vec<String> = writings.collect();
        // Long ones first: a writing may have another one in it.
        writings.sort_by_key(|writing| std::cmp::Reverse(writing.len()));
        writings.dedup();
        Self { values, writings }
    }

    pub(super) fn value(&self, of: &SecretKey) -> Result<&str, String> {
        let value = self.values.get(of).map(String::as_str);
        value.ok_or_else(|| format!("Secret {} was not read", of.name))
    }

    /// The request with everything in it.
    pub(super) fn fill(
        &self,
        request: &Request,
        access: &Access,
        now: Timestamp,
    ) -> Result<Filled, String> {
        let type_ = request.headers.get(CONTENT_TYPE.as_str());
        let written = |value: &str| match type_.map(String::as_str) {
            Some(FORM) => percent_encoded(value),
            Some(type_) if type_.contains("json") => escaped(value),
            _ => value.to_owned(),
        };
        let body = request.body.as_ref();
        let body = body.map(|body| timed(&self.placed(body, access, written), access, now));
        let mut filled = Filled {
            url: timed(
                &self.placed(&request.url, access, percent_encoded),
                access,
                now,
            ),
            headers: self.headers(request, access)?,
            body,
            ca: None,
            identity: None,
        };
        if let Some(ca) = &access.ca {
            filled.ca = Some(self.value(ca)?.to_owned());
        }
        if let Some(name) = &access.client_certificate {
            let of = |key: &str| self.value(&SecretKey::new(name, key));
            filled.identity = Some(format!("{}\n{}\n", of("tls.crt")?, of("tls.key")?));
        }
        self.log_in(request, access, now, &mut filled)?;
        Ok(filled)
    }

    fn placed(&self, text: &str, access: &Access, written: impl Fn(&str) -> String) -> String {
        access.secrets.iter().fold(text.to_owned(), |text, secret| {
            match self.values.get(secret) {
                Some(value) => text.replace(&secret.to_string(), &written(value)),
                None => text,
            }
        })
    }

    fn headers(&self, request: &Request, access: &Access) -> Result<HeaderMap, String> {
        let mut headers = HeaderMap::new();
        for (name, value) in &request.headers {
            let filled = self.placed(value, access, str::to_owned);
            let mut filled_in = HeaderValue::from_str(&filled).map_err(|_| {
                format!("header field {name} has a value that cannot be sent: a line break?")
            })?;
            filled_in.set_sensitive(filled != *value);
            let name = HeaderName::try_from(name)
                .map_err(|_| format!("{name} is no name of a header field"))?;
            headers.insert(name, filled_in);
        }
        Ok(headers)
    }

    fn log_in(
        &self,
        request: &Request,
        access: &Access,
        now: Timestamp,
        filled: &mut Filled,
    ) -> Result<(), String> {
        match &access.login {
            None => Ok(()),
            Some(Login::Basic { username, password }) => {
                let both = format!("{username}:{}", self.value(password)?);
                filled.authorize(&format!("Basic {}", STANDARD.encode(both)))
            }
            Some(Login::Bearer { token }) => {
                filled.authorize(&format!("Bearer {}", self.value(token)?))
            }
            Some(Login::Url { url }) => {
                self.value(url)?.clone_into(&mut filled.url);
                Ok(())
            }
            Some(Login::Aws {
                region,
                service,
                access_key_id,
                secret_access_key,
                session_token,
            }) => {
                let key = sigv4::Key {
                    id: self.value(access_key_id)?,
                    secret: self.value(secret_access_key)?,
                    token: session_token
                        .as_ref()
                        .map(|token| self.value(token))
                        .transpose()?,
                };
                let scope = sigv4::Scope {
                    region,
                    service,
                    now,
                };
                sigv4::sign(&key, &scope, request.method, filled)
            }
        }
    }

    /// The text without what is secret.
    pub(super) fn redact(&self, text: &str) -> String {
        self.writings.iter().fold(text.to_owned(), |text, writing| {
            if text.contains(writing) {
                text.replace(writing, REDACTED)
            } else {
                text
            }
        })
    }

    /// The same for the bytes of an answer.
    pub(super) fn redact_all(&self, body: Vec<u8>) -> Vec<u8> {
        if self.values.is_empty() {
            return body;
        }
        match String::from_utf8(body) {
            Ok(text) => self.redact(&text).into_bytes(),
            // What is no text stays as it is but for the values: a repository hands out packed objects.
            Err(error) => {
                let body = error.into_bytes();
                let writings = self.writings.iter();
                writings.fold(body, |body, writing| without(&body, writing.as_bytes()))
            }
        }
    }
}

/// The bytes with a mark in the place of each run of these.
fn without(body: &[u8], writing: &[u8]) -> Vec<u8> {
    let mut kept = Vec::with_capacity(body.len());
    let mut rest = body;
    while let Some(at) = rest
        .windows(writing.len().max(1))
        .position(|part| part == writing)
    {
        let (before, after) = rest.split_at_checked(at).unwrap_or((rest, &[]));
        kept.extend_from_slice(before);
        kept.extend_from_slice(REDACTED.as_bytes());
        rest = after.get(writing.len()..).unwrap_or_default();
    }
    kept.extend_from_slice(rest);
    kept
}

/// What a key of a Secret says that may be used.
pub(in crate::cluster) fn value_of(secret: &Secret, wanted: &SecretKey) -> Result<String, String> {
    let SecretKey { name, key } = wanted;
    if !secret.labels().contains_key(label::USE) {
        return Err(format!(
            "Secret {name} may not be used: it does not carry the label {}; if Slipway may use it, label it",
            label::USE
        ));
    }
    let data = secret.data.as_ref().and_then(|data| data.get(key));
    let data = data.ok_or_else(|| format!("Secret {name} has no key {key}"))?;
    let text = std::str::from_utf8(&data.0)
        .map_err(|_| format!("key {key} of Secret {name} is no text"))?;
    // `echo token | base64` has a line break that nobody means.
    let text = text.trim_end_matches(['\r', '\n']);
    if text.len() < SHORTEST {
        return Err(format!(
            "key {key} of Secret {name} has fewer than {SHORTEST} characters: too few to keep it out of messages"
        ));
    }
    Ok(text.to_owned())
}

/// As it stands in a text of JSON.
fn escaped(value: &str) -> String {
    let quoted = serde_json::Value::from(value).to_string();
    quoted
        .trim_start_matches('"')
        .strip_suffix('"')
        .unwrap_or_default()
        .to_owned()
}

fn timed(text: &str, access: &Access, now: Timestamp) -> String {
    let Some(window) = access.window else {
        return text.to_owned();
    };
    let from = now
        .as_second()
        .saturating_sub_unsigned(Duration::as_secs(&window));
    text.replace(FROM, &from.to_string())
        .replace(TO, &now.as_second().to_string())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn key(key: &str) -> SecretKey {
        SecretKey::new("s", key)
    }

    fn secrets(values: &[(&str, &str)]) -> Secrets {
        let values = values
            .iter()
            .map(|(name, value)| (key(name), (*value).to_owned()));
        Secrets::of(values.collect())
    }

    fn now() -> Timestamp {
        "2026-01-02T03:04:05Z".parse().unwrap()
    }

    #[test]
    fn values_are_written_as_their_place_wants_it() {
        let secrets = secrets(&[("t", "a\"b c&d")]);
        let access = Access {
            secrets: BTreeSet::from([key("t")]),
            window: Some(Duration::from_secs(5)),
            ..Access::default()
        };
        let text = format!("{}/{FROM}-{TO}", key("t"));
        let sent = |type_: &str| {
            let mut request = Request::post(
                format!("https://x/{text}"),
                type_,
                text.clone(),
                Duration::ZERO,
            );
            request
                .headers
                .insert("x-token".into(), format!("T {}", key("t")));
            secrets.fill(&request, &access, now()).unwrap()
        };
        let form = sent("application/x-www-form-urlencoded");
        assert_eq!(form.url, "https://x/a%22b%20c%26d/1767323040-1767323045");
        assert_eq!(
            form.body.as_deref(),
            Some("a%22b%20c%26d/1767323040-1767323045")
        );
        assert_eq!(form.headers["x-token"], "T a\"b c&d");
        assert!(form.headers["x-token"].is_sensitive());
        let json = sent("application/json").body;
        assert_eq!(json.as_deref(), Some("a\\\"b c&d/1767323040-1767323045"));
        assert_eq!(
            sent("text/plain").body.as_deref(),
            Some("a\"b c&d/1767323040-1767323045")
        );
    }

    #[test]
    fn only_what_is_listed_is_filled_in() {
        let secrets = secrets(&[("t", "secret-value")]);
        let url = format!("https://x/{}", key("t"));
        let request = Request::get(url.clone(), Duration::ZERO);
        assert_eq!(
            secrets
                .fill(&request, &Access::default(), now())
                .unwrap()
                .url,
            url
        );
    }

    #[test]
    fn a_user_and_a_password_are_sent_as_http_says() {
        let secrets = secrets(&[("p", "open sesame")]);
        let access = Access {
            login: Some(Login::Basic {
                username: "Aladdin".into(),
                password: key("p"),
            }),
            ..Access::default()
        };
        let request = Request::get("https://x".into(), Duration::ZERO);
        let filled = secrets.fill(&request, &access, now()).unwrap();
        assert_eq!(
            filled.headers[AUTHORIZATION],
            "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="
        );
    }

    #[test]
    fn nothing_secret_comes_back_in_any_writing() {
        let secrets = secrets(&[("t", "top \"secret\""), ("u", "top \"secret\" more")]);
        for writing in [
            "top \"secret\"",
            "top%20%22secret%22",
            "top \\\"secret\\\"",
            "dG9wICJzZWNyZXQi",
            "top \"secret\" more",
        ] {
            let text = format!("no such token: {writing}.");
            assert_eq!(
                secrets.redact(&text),
                "no such token: [redacted].",
                "{writing}"
            );
        }
        let body = secrets.redact_all(b"\xff top \"secret\"".to_vec());
        assert_eq!(body, b"\xff [redacted]");
        let packed = b"PACK\xff\x00\x9c\xc3".to_vec();
        assert_eq!(secrets.redact_all(packed.clone()), packed);
    }

    #[test]
    fn a_secret_has_to_be_meant_for_it() {
        let secret = |labels: serde_json::Value, value: &str| {
            let data = STANDARD.encode(value);
            let secret = json!({"metadata": {"name": "s", "labels": labels}, "data": {"t": data}});
            serde_json::from_value::<Secret>(secret).unwrap()
        };
        let labelled = json!({"slipway.dev/use": "metrics"});
        assert_eq!(
            value_of(&secret(labelled.clone(), "token-1\n"), &key("t")).unwrap(),
            "token-1"
        );
        let refused = |secret, wanted| value_of(&secret, &wanted).unwrap_err();
        assert!(refused(secret(json!({}), "token-1"), key("t")).contains("label slipway.dev/use"));
        assert!(refused(secret(labelled.clone(), "token-1"), key("u")).contains("no key u"));
        let short = refused(secret(labelled, "tiny"), key("t"));
        assert!(short.contains("fewer than 6") && !short.contains("tiny"));
    }
}
