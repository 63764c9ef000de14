//! One exchange with a registry: who we are, how much is read, what an answer means. Talks to the network.

use std::io;

use futures::StreamExt;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue, LINK, WWW_AUTHENTICATE};
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode, Url};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::sync::Mutex;

use super::login::{Challenge, Login};
use super::repository::Repository;
use crate::error::chain;
use crate::model::text::truncate;

/// Largest answer that is read where nothing else is said, tokens and errors, in bytes.
pub(super) const MAX_TOKEN: usize = 1 << 20;
/// Longest part of an error that is a registry's own words, in bytes.
const MAX_WORDS: usize = 300;

/// Why a registry did not do what it was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Problem {
    /// It does not let us.
    Denied,
    /// It has no such thing.
    NotFound,
    /// It cannot be reached, or does not answer.
    Unreachable,
    /// It has a problem of its own.
    Server,
    /// It said what makes no sense, or what we sent makes none to it.
    Protocol,
}

/// Why a registry did not do what it was asked for, in words for people.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct RegistryError {
    /// What kind of problem it is.
    pub problem: Problem,
    /// What happened and what to do; nothing secret.
    pub message: String,
}

impl RegistryError {
    /// A problem, in words for people.
    pub fn new(problem: Problem, message: impl Into<String>) -> Self {
        Self {
            problem,
            message: message.into(),
        }
    }

    /// Whether it may work the next time.
    pub fn is_transient(&self) -> bool {
        matches!(self.problem, Problem::Unreachable | Problem::Server)
    }
}

pub(super) type Result<T> = std::result::Result<T, RegistryError>;

/// Takes what comes, part by part.
pub(super) type Sink<'a> = &'a mut (dyn FnMut(&[u8]) -> io::Result<()> + Send);

/// Says why a URL may not be asked.
pub type Guard = Box<dyn Fn(&Url) -> std::result::Result<(), String> + Send + Sync>;

/// A registry and what lets us in.
pub(super) struct Wire {
    http: Client,
    pub(super) repository: Repository,
    login: Option<Login>,
    authorization: Mutex<Option<String>>,
    pub(super) may_go: Option<Guard>,
}

/// An answer that was read.
pub(super) struct Answer {
    pub(super) url: Url,
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

impl Answer {
    pub(super) fn field(&self, name: &HeaderName) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Where a list goes on.
    pub(super) fn next_page(&self) -> Option<Url> {
        let (link, rest) = self.field(&LINK)?.split_once('>')?;
        let is_next = rest.contains("rel=\"next\"") || rest.contains("rel=next");
        let next = self.url.join(link.trim().strip_prefix('<')?).ok()?;
        is_next.then_some(next)
    }
}

/// What a server that hands out tokens says.
#[derive(Deserialize)]
struct Token {
    token: Option<String>,
    access_token: Option<String>,
}

impl Wire {
    pub(super) fn new(http: Client, repository: Repository, login: Option<Login>) -> Self {
        Self {
            http,
            repository,
            login,
            authorization: Mutex::new(None),
            may_go: None,
        }
    }

    pub(super) fn request(&self, method: Method, url: &str) -> Result<RequestBuilder> {
        let url = Url::parse(url).map_err(|_| self.protocol("leads to what is no URL"))?;
        Ok(self.http.request(method, url))
    }

    /// Sends a request. A registry that asks who we are is told, once.
    pub(super) async fn send(&self, request: RequestBuilder, limit: usize) -> Result<Answer> {
        let again = request.try_clone();
        let known = self.authorization.lock().await.clone();
        let answer = self.exchange(request, known, limit).await?;
        if answer.status != StatusCode::UNAUTHORIZED {
            return Ok(answer);
        }
        let fields = answer.headers.get_all(WWW_AUTHENTICATE).iter();
        let mut fields = fields.filter_map(|field| field.to_str().ok());
        let (Some(challenge), Some(again)) = (fields.find_map(Challenge::parse), again) else {
            return Ok(answer);
        };
        let Some(authorization) = self.answer_to(challenge).await? else {
            return Ok(answer);
        };
        *self.authorization.lock().await = Some(authorization.clone());
        self.exchange(again, Some(authorization), limit).await
    }

    /// Sends a request as who we have told to be before, and hands on what is in the answer, if it is what was asked for.
    pub(super) async fn receive(
        &self,
        request: RequestBuilder,
        limit: u64,
        sink: Sink<'_>,
    ) -> Result<Answer> {
        let known = self.authorization.lock().await.clone();
        let response = self.respond(request, known).await?;
        if response.status().is_success() {
            return self.hand_on(response, limit, sink).await;
        }
        self.read(response, MAX_TOKEN).await
    }

    async fn exchange(
        &self,
        request: RequestBuilder,
        authorization: Option<String>,
        limit: usize,
    ) -> Result<Answer> {
        let response = self.respond(request, authorization).await?;
        self.read(response, limit).await
    }

    async fn respond(
        &self,
        request: RequestBuilder,
        authorization: Option<String>,
    ) -> Result<Response> {
        let (client, request) = request.build_split();
        let mut request = request.map_err(|error| self.unreachable(error))?;
        if let Some(may_go) = &self.may_go {
            may_go(request.url()).map_err(|why| RegistryError::new(Problem::Denied, why))?;
        }
        if let Some(authorization) = authorization.filter(|_| self.is_own(request.url()))
            && let Ok(mut value) = HeaderValue::from_str(&authorization)
        {
            value.set_sensitive(true);
            request.headers_mut().insert(AUTHORIZATION, value);
        }
        let response = client.execute(request).await;
        let response = response.map_err(|error| self.unreachable(error))?;
        let status = response.status();
        if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
            let message = format!("{} answers {status}", self.repository.host);
            return Err(RegistryError::new(Problem::Server, message));
        }
        Ok(response)
    }

    /// Whether a URL leads to the registry itself. Content may have to be put on another server, to which a signed URL says
    /// enough.
    fn is_own(&self, url: &Url) -> bool {
        let own = Url::parse(&self.repository.url("")).ok();
        let is = |own: Url| {
            own.scheme() == url.scheme()
                && own.host() == url.host()
                && own.port_or_known_default() == url.port_or_known_default()
        };
        own.is_some_and(is)
    }

    async fn read(&self, response: Response, limit: usize) -> Result<Answer> {
        let mut body = Vec::new();
        let mut keep = |part: &[u8]| -> io::Result<()> {
            body.extend_from_slice(part);
            Ok(())
        };
        let limit = u64::try_from(limit).unwrap_or(u64::MAX);
        let answer = self.hand_on(response, limit, &mut keep).await?;
        Ok(Answer { body, ..answer })
    }

    /// Hands on what is in an answer; the answer without it.
    async fn hand_on(&self, response: Response, limit: u64, sink: Sink<'_>) -> Result<Answer> {
        let answer = Answer {
            url: response.url().clone(),
            status: response.status(),
            headers: response.headers().clone(),
            body: Vec::new(),
        };
        let mut left = limit;
        let mut chunks = response.bytes_stream();
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.map_err(|error| self.unreachable(error))?;
            let length = u64::try_from(chunk.len()).unwrap_or(u64::MAX);
            left = left
                .checked_sub(length)
                .ok_or_else(|| self.protocol(&format!("answers with more than {limit} bytes")))?;
            sink(&chunk).map_err(|error| {
                self.protocol(&format!("answers with what cannot be kept: {error}"))
            })?;
        }
        Ok(answer)
    }

    /// What to say to a registry that asks who we are; nothing where we have no answer.
    async fn answer_to(&self, challenge: Challenge) -> Result<Option<String>> {
        let Challenge::Bearer {
            realm,
            service,
            scope,
        } = challenge
        else {
            return Ok(self.login.as_ref().and_then(Login::basic));
        };
        let realm = Url::parse(&realm).map_err(|_| self.protocol("names no server for tokens"))?;
        if realm.scheme() != "https" && !self.repository.is_insecure && self.login.is_some() {
            return Err(self.protocol("wants the login sent without encryption"));
        }
        let mut fields = vec![("service", service.unwrap_or_default())];
        fields.push(("scope", scope.unwrap_or_default()));
        fields.retain(|(_, value)| !value.is_empty());
        let request = match &self.login {
            Some(Login::Identity(token)) => {
                fields.push(("grant_type", "refresh_token".to_owned()));
                fields.push(("client_id", "slipway".to_owned()));
                fields.push(("refresh_token", token.clone()));
                self.http.post(realm).form(&fields)
            }
            Some(Login::Password { user, password }) => {
                let request = self.http.get(realm).query(&fields);
                request.basic_auth(user, Some(password))
            }
            None => self.http.get(realm).query(&fields),
        };
        let answer = self.exchange(request, None, MAX_TOKEN).await?;
        let token: Token = self.parse(&self.expect_success("a token", answer)?.body)?;
        let token = token.token.or(token.access_token);
        Ok(token.map(|token| format!("Bearer {token}")))
    }

    /// The answer, if it is what was asked for.
    pub(super) fn expect_success(&self, what: &str, answer: Answer) -> Result<Answer> {
        let status = answer.status;
        if status.is_success() {
            return Ok(answer);
        }
        let name = self.repository.name();
        let words = told(&answer.body);
        let (problem, message) = match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN if self.login.is_none() => (
                Problem::Denied,
                format!("{name} asks for a login, and there is none for it ({status}{words})"),
            ),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => (
                Problem::Denied,
                format!(
                    "{name} does not accept the login, or it may not do this ({status}{words})"
                ),
            ),
            StatusCode::NOT_FOUND => (
                Problem::NotFound,
                format!("{name} has no such thing: {what} ({status}{words})"),
            ),
            _ => (
                Problem::Protocol,
                format!("{name} refuses {what} ({status}{words})"),
            ),
        };
        Err(RegistryError::new(problem, message))
    }

    pub(super) fn parse<T: DeserializeOwned>(&self, bytes: &[u8]) -> Result<T> {
        let read = serde_json::from_slice(bytes);
        read.map_err(|error| self.protocol(&format!("answers with what cannot be read: {error}")))
    }

    pub(super) fn protocol(&self, what: &str) -> RegistryError {
        let message = format!("{} {what}", self.repository.host);
        RegistryError::new(Problem::Protocol, message)
    }

    fn unreachable(&self, error: reqwest::Error) -> RegistryError {
        let words = chain(&error.without_url());
        let message = format!("cannot reach {}: {words}", self.repository.host);
        RegistryError::new(Problem::Unreachable, message)
    }
}

/// A registry's own words about an error, to be put behind its status.
fn told(body: &[u8]) -> String {
    let body: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    let of = |field: &str| {
        let text = body.pointer(&format!("/errors/0/{field}"))?.as_str()?;
        let is_shown = |c: &char| !c.is_control();
        let text: String = text.chars().filter(is_shown).collect();
        Some(format!(", {}", truncate(&text, MAX_WORDS)))
    };
    of("message").or_else(|| of("code")).unwrap_or_default()
}
