//! What people write of those who are told something: receivers, and what each of them hears of. Types only. No I/O.

use schemars::{JsonSchema, Schema};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::analysis::api::provider::access::{BasicAuth, Connection};
use crate::model::secret::SecretKey;
use crate::schema::{self, closed_set};

closed_set! {
    /// How much an event matters.
    #[derive(Default)]
    pub enum Severity {
        /// Good to know.
        #[default]
        Info,
        /// Somebody should look at it.
        Warning,
        /// Somebody has to do something about it now.
        Critical,
    }
}

/// Everything that a template may name. What an event does not have is empty.
pub const VARIABLES: [&str; 17] = [
    "event",
    "severity",
    "title",
    "message",
    "namespace",
    "environment",
    "pipeline",
    "release",
    "version",
    "promotion",
    "run",
    "branch",
    "commit",
    "reason",
    "incident",
    "notes",
    "time",
];

/// Longest template, in characters.
const MAX_TEMPLATE: u32 = 2048;

/// Someone who is told something: one receiver, of one type, and which events reach it.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(
    rename_all = "camelCase",
    bound(serialize = "E: Serialize", deserialize = "E: Deserialize<'de>")
)]
#[schemars(transform = schema::Rules(&[
    ("[has(self.webhook), has(self.slack), has(self.teams), has(self.email), has(self.pagerDuty), has(self.alertmanager), has(self.cloudEvents)].filter(is, is).size() == 1",
     "a notification needs a receiver: set exactly one of webhook, slack, teams, email, pagerDuty, alertmanager, cloudEvents"),
    ("has(self.on) || has(self.minSeverity)",
     "a receiver that hears of nothing: set on to the events it is told about, or minSeverity to hear of all that matter so much"),
    ("!(has(self.pagerDuty) || has(self.alertmanager)) || has(self.on) && self.on.all(event, event in ['IncidentOpened', 'IncidentResolved', 'RunFailed', 'RunRecovered'])",
     "PagerDuty and Alertmanager are told of what begins and ends: set on to IncidentOpened and IncidentResolved, or in a Pipeline to RunFailed and RunRecovered"),
    ("!(has(self.pagerDuty) || has(self.alertmanager)) || !has(self.on) || ('IncidentOpened' in self.on) == ('IncidentResolved' in self.on) && ('RunFailed' in self.on) == ('RunRecovered' in self.on)",
     "what PagerDuty or Alertmanager is told of the beginning of, it has to be told of the end of: name both events in on"),
    ("!has(self.template) || !has(self.alertmanager)",
     "an alert has labels and annotations instead of a text: take template out"),
]))]
pub struct Notification<E> {
    /// Name of the receiver. Example: `team`.
    #[schemars(transform = schema::name)]
    pub name: String,
    /// An HTTP endpoint that gets a POST with a JSON body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub webhook: Option<Webhook>,
    /// A channel of Slack, through an incoming webhook.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slack: Option<Channel>,
    /// A channel or chat of Microsoft Teams, through a workflow that takes webhooks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub teams: Option<Channel>,
    /// People who get an email.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<Email>,
    /// A service of PagerDuty, through its Events API v2: who is on call is paged, and the page is resolved when it is over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pager_duty: Option<PagerDuty>,
    /// An Alertmanager, which gets an alert that ends when it is over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alertmanager: Option<AlertReceiver>,
    /// A program that takes events of CloudEvents 1.0 over HTTP, such as a broker or an event bus.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cloud_events: Option<CloudEventSink>,
    /// The events that it is told about. Default: all that matter as much as `minSeverity` says.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1), transform = schema::words::<16>)]
    pub on: Vec<E>,
    /// What matters less is left out: `Info`, `Warning` or `Critical`. Default `Info`: nothing is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_severity: Option<Severity>,
    /// The text that people read, in place of the usual one; at most 2048 characters. `{{event}}` and the like stand for what
    /// happened; docs/notifications.md lists them. Default: a sentence, what it is about, and the release notes.
    /// Example: `{{environment}} runs {{release}}: {{message}}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = template)]
    pub template: Option<String>,
}

/// An HTTP endpoint that gets a POST with a JSON body.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = schema::Rules(&[(
    "has(self.url) != has(self.secretRef)",
    "a webhook has exactly one of url, secretRef",
)]))]
pub struct Webhook {
    /// URL of the endpoint, without user or password. Example: `https://hooks.example/slipway`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::http_url)]
    pub url: Option<String>,
    /// Where the URL stands, if it is secret: a key of a Secret that carries the label `slipway.dev/use`.
    /// Example: `{name: hooks, key: url}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<SecretKey>,
}

/// A channel whose URL lets everybody who has it write there.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Channel {
    /// Where its URL stands: a key of a Secret that carries the label `slipway.dev/use`. Example: `{name: chat, key: url}`.
    pub secret_ref: SecretKey,
}

closed_set! {
    /// How a connection to a mail server is kept from being read.
    #[derive(Default)]
    pub enum Encryption {
        /// It begins in the open, and goes on with TLS before anything is told.
        #[default]
        StartTls,
        /// TLS from the beginning.
        Tls,
        /// Not at all.
        None,
    }
}

/// People who get an email.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = schema::Rules(&[(
    "!has(self.auth) || !has(self.encryption) || self.encryption != 'None'",
    "a password is not sent in the open: set encryption to StartTls or Tls, or take auth out",
)]))]
pub struct Email {
    /// Name or address of the mail server (SMTP). Example: `smtp.example.com`.
    #[schemars(transform = schema::host)]
    pub host: String,
    /// Its port. Default: `587` with `StartTls`, `465` with `Tls`, `25` with `None`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: Option<u16>,
    /// `StartTls`, `Tls` from the beginning, or `None`. Nothing is sent where the server does not do it, or does not prove its
    /// name. Default `StartTls`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encryption: Option<Encryption>,
    /// Who sends. Default: nobody in particular, where the server takes that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth: Option<BasicAuth>,
    /// Certificates (PEM) of authorities that are trusted beside the system's. Example: `{name: mail, key: ca.crt}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<SecretKey>,
    /// Address that it comes from. Example: `slipway@example.com`.
    #[schemars(transform = address)]
    pub from: String,
    /// Addresses that it goes to, 1 to 16. Example: `[team@example.com]`.
    #[schemars(transform = addresses)]
    pub to: Vec<String>,
}

impl Email {
    /// How the connection is kept from being read.
    pub fn encryption(&self) -> Encryption {
        self.encryption.unwrap_or_default()
    }

    /// The port of the server.
    pub fn port(&self) -> u16 {
        self.port.unwrap_or(match self.encryption() {
            Encryption::StartTls => 587,
            Encryption::Tls => 465,
            Encryption::None => 25,
        })
    }
}

/// A service of PagerDuty.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct PagerDuty {
    /// Where its integration key stands: a key of a Secret that carries the label `slipway.dev/use`.
    /// Example: `{name: pagerduty, key: routing-key}`.
    pub secret_ref: SecretKey,
    /// URL of the Events API. Default `https://events.pagerduty.com/v2/enqueue`.
    /// Example: `https://events.eu.pagerduty.com/v2/enqueue`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::http_url)]
    pub url: Option<String>,
}

/// An Alertmanager that gets alerts.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct AlertReceiver {
    /// Address of the Alertmanager, without `/api/v2`. Example: `http://alertmanager.monitoring:9093`.
    #[schemars(transform = schema::http_url)]
    pub address: String,
    /// How it is reached.
    #[serde(flatten)]
    pub connection: Connection,
}

closed_set! {
    /// How an event of CloudEvents is written into a request.
    #[derive(Default)]
    pub enum CloudEventMode {
        /// Its attributes are header fields, and the body is the data.
        #[default]
        Binary,
        /// All of it is in the body.
        Structured,
    }
}

/// Someone who takes events of CloudEvents.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = schema::Rules(&[(
    "has(self.url) != has(self.secretRef)",
    "a receiver of CloudEvents has exactly one of url, secretRef",
)]))]
pub struct CloudEventSink {
    /// URL that takes the events, without user or password. Example: `http://broker-ingress.knative-eventing/shop/default`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::http_url)]
    pub url: Option<String>,
    /// Where the URL stands, if it is secret: a key of a Secret that carries the label `slipway.dev/use`.
    /// Example: `{name: events, key: url}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<SecretKey>,
    /// How an event is written: `Binary`, its attributes as header fields `ce-…` beside the data; `Structured`, all of it in one
    /// JSON. Default `Binary`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<CloudEventMode>,
    /// A URL that stands in front of the path of the object in the attribute `source`, to tell clusters apart. Default: none.
    /// Example: `https://cluster-a.example.com`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::http_url)]
    pub source: Option<String>,
}

impl<E: Copy + PartialEq> Notification<E> {
    /// Whether it is to hear of an event that matters so much.
    pub fn hears(&self, event: E, severity: Severity) -> bool {
        let is_named = self.on.is_empty() || self.on.contains(&event);
        is_named && self.min_severity.is_none_or(|least| severity >= least)
    }

    /// Whether what begins there stays open until its end is told.
    pub fn is_paged(&self) -> bool {
        self.pager_duty.is_some() || self.alertmanager.is_some()
    }
}

/// A text in which only what is known stands between braces.
fn template(schema: &mut Schema) {
    let known = VARIABLES.join("|");
    let rule = json!([{
        "rule": format!(r"self.matches('^([^{{]|\\{{[^{{]|\\{{\\{{ *({known}) *\\}}\\}})*\\{{?$')"),
        "message": format!(
            "between {{{{ and }}}} stands one of {}; correct the name, and close what is opened", VARIABLES.join(", ")
        ),
    }]);
    schema.insert("minLength".to_owned(), 1.into());
    schema.insert("maxLength".to_owned(), MAX_TEMPLATE.into());
    schema.insert("x-kubernetes-validations".to_owned(), rule);
}

/// What an address of a mailbox looks like.
const ADDRESS: &str = r#"^[^\s@<>(),;:"\\\[\]]+@[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?$"#;

/// The address of a mailbox.
fn address(schema: &mut Schema) {
    schema.insert("maxLength".to_owned(), 254.into());
    schema.insert("pattern".to_owned(), ADDRESS.into());
}

/// Several of them.
fn addresses(schema: &mut Schema) {
    let item = json!({ "type": "string", "maxLength": 254, "pattern": ADDRESS });
    schema.insert("items".to_owned(), item);
    schema.insert("minItems".to_owned(), 1.into());
    schema.insert("maxItems".to_owned(), 16.into());
    schema.insert("x-kubernetes-list-type".to_owned(), "set".into());
}
