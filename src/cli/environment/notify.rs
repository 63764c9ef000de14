//! `env notify`: what the receivers of an Environment would be sent. Sends nothing. Talks to the API server.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::str::FromStr;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;
use serde::Serialize;
use serde_json::Value;

use super::list::promotions;
use crate::cli::cluster::{Place, Server};
use crate::cli::{Answer, Output, file};
use crate::environment::api::{Environment, NotificationEvent};
use crate::environment::notify::{self, About};
use crate::model::action::Request;
use crate::model::key::Key;
use crate::model::mail::Mail;
use crate::notification::api::Notification;
use crate::notification::{self, Message};
use crate::promotion::api::{
    Incident, IncidentSource, Promotion, PromotionKind, PromotionSpec, PromotionStatus,
};
use crate::release::api::Release;

/// Which Environment, and which message.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Name of the Environment; with a file it need not be given.
    #[arg(required_unless_present = "file")]
    pub name: Option<String>,
    /// Where it is.
    #[command(flatten)]
    pub place: Place,
    /// A file with the Environment, instead of the cluster; `-` is the standard input. The message is then about a sample.
    #[arg(short, long)]
    pub file: Option<String>,
    /// The event. Example: IncidentOpened.
    #[arg(long, default_value = "PromotionSucceeded", value_parser = event)]
    pub event: NotificationEvent,
    /// Only this receiver.
    #[arg(long)]
    pub sink: Option<String>,
    /// Only show what would be sent. It has to be given: nobody but the operator sends.
    #[arg(long, required = true)]
    pub dry_run: bool,
    /// How the answer is written.
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    pub output: Output,
}

fn event(text: &str) -> Result<NotificationEvent, String> {
    let mut all = NotificationEvent::ALL.iter();
    let found = all.find(|event| event.as_str().eq_ignore_ascii_case(text));
    found.copied().ok_or_else(|| {
        let all: Vec<&str> = NotificationEvent::ALL
            .iter()
            .map(|event| event.as_str())
            .collect();
        format!("there is {}", all.join(", "))
    })
}

/// What one receiver would be sent, for programs.
#[derive(Serialize, Debug)]
#[serde(rename_all = "camelCase")]
struct Rendered {
    receiver: String,
    #[serde(rename = "type")]
    type_: &'static str,
    event: &'static str,
    /// Whether it hears of the event at all.
    hears: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request: Option<Sent>,
}

/// A request, with the names of Secrets in the place of what they hold.
#[derive(Serialize, Debug)]
#[serde(rename_all = "camelCase")]
struct Sent {
    url: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    secrets: Vec<String>,
    /// The header fields that have something of the message.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    headers: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mail: Option<Mail>,
}

/// Shows it.
pub(super) async fn run(args: &Args) -> Result<Answer, String> {
    let (environment, promotion, release, now) = match &args.file {
        Some(name) => (read(name)?, None, None, Timestamp::UNIX_EPOCH),
        None => asked(args).await?,
    };
    let receivers = &environment.spec.notifications;
    if let Some(name) = &args.sink
        && !receivers.iter().any(|receiver| receiver.name == *name)
    {
        let known: Vec<&str> = receivers.iter().map(|one| one.name.as_str()).collect();
        let known = known.join(", ");
        return Ok(Answer::invalid(vec![format!(
            "there is no receiver {name} in spec.notifications; there is {known}"
        )]));
    }
    let namespace = environment.namespace().unwrap_or_default();
    let key = Key::new(namespace, environment.name_any());
    let promotion = promotion.unwrap_or_else(|| sample(&key.name, now));
    let message = message(args.event, (&key, &promotion), release.as_ref(), now);
    let wanted = receivers
        .iter()
        .filter(|receiver| args.sink.as_ref().is_none_or(|name| receiver.name == *name));
    let rendered: Vec<Rendered> = wanted
        .map(|receiver| rendered(receiver, args.event, &message, &key.namespace))
        .collect();
    let document = args.output.document(&rendered);
    Ok(Answer {
        text: document.unwrap_or_else(|| text(&rendered)),
        ..Answer::default()
    })
}

fn read(name: &str) -> Result<Environment, String> {
    let files = file::files(&[name.to_owned()])?;
    let text = files.first().map(|file| file.text.as_str());
    let unusable = |error| format!("{name} is no Environment: {error}");
    serde_saphyr::from_str(text.unwrap_or_default()).map_err(unusable)
}

/// The Environment, its newest Promotion, and the Release of that.
async fn asked(
    args: &Args,
) -> Result<(Environment, Option<Promotion>, Option<Release>, Timestamp), String> {
    let server = Server::at(&args.place).await?;
    let name = args.name.as_deref().unwrap_or_default();
    let environment: Environment = server.get(name).await?;
    let newest = promotions(&server, name).await?.pop();
    let release = match &newest {
        Some(promotion) => {
            let all: Vec<Release> = server.list("").await?;
            let mut all = all.into_iter();
            all.find(|release| release.name_any() == promotion.spec.release)
        }
        None => None,
    };
    Ok((environment, newest, release, server.now()))
}

fn message(
    event: NotificationEvent,
    (environment, promotion): (&Key, &Promotion),
    release: Option<&Release>,
    now: Timestamp,
) -> Message {
    let status = promotion.status.clone().unwrap_or_default();
    let is_incident = matches!(
        event,
        NotificationEvent::IncidentOpened | NotificationEvent::IncidentResolved
    );
    let mut incident = status.incidents.last().cloned();
    let incident = incident.get_or_insert_with(|| sample_incident(now));
    if event == NotificationEvent::IncidentResolved {
        incident.resolved_at.get_or_insert(Time(now));
    }
    let created = promotion.creation_timestamp();
    let name = promotion.name_any();
    let about = About {
        environment,
        promotion: &name,
        created_at: created.map_or(now, |at| at.0),
        spec: &promotion.spec,
        status: &status,
        release,
        incident: is_incident.then_some(&*incident),
    };
    notify::message(
        event,
        &about,
        &format!("{environment}/dry-run/{event}/{name}"),
    )
}

/// A Promotion, where there is none.
fn sample(environment: &str, now: Timestamp) -> Promotion {
    let spec = PromotionSpec {
        environment: environment.to_owned(),
        release: "sample-3f9c2e1a".to_owned(),
        pipeline: "sample".to_owned(),
        members: Vec::new(),
        images: Vec::new(),
        templates: Vec::new(),
        kind: PromotionKind::Promote,
        attempt: 1,
        requested_by: "slipway".to_owned(),
        previous: None,
        number: Some(1),
        decision: None,
        commit: None,
        policy_hash: None,
        reason: None,
        version: None,
    };
    let status = PromotionStatus {
        message: Some("this is a sample: nothing was promoted".to_owned()),
        finished_at: Some(Time(now)),
        ..PromotionStatus::default()
    };
    let mut promotion = Promotion::new(&format!("{environment}-sample-1"), spec);
    promotion.status = Some(status);
    promotion
}

fn sample_incident(now: Timestamp) -> Incident {
    let began = now.checked_sub(SignedDuration::from_mins(10));
    Incident {
        key: "sample".to_owned(),
        source: IncidentSource::Failure,
        message: "this is a sample: nothing is wrong".to_owned(),
        started_at: Time(began.unwrap_or(now)),
        resolved_at: None,
        response: None,
        linked_by: None,
        alerts: Vec::new(),
    }
}

fn rendered(
    receiver: &Notification<NotificationEvent>,
    event: NotificationEvent,
    message: &Message,
    namespace: &str,
) -> Rendered {
    let (problem, request) = match notification::request(receiver, message, namespace) {
        Ok(request) => (None, Some(sent(request))),
        Err(problem) => (Some(problem), None),
    };
    Rendered {
        receiver: receiver.name.clone(),
        type_: notification::type_of(receiver),
        event: event.as_str(),
        hears: receiver.hears(event, event.severity()),
        problem,
        request,
    }
}

fn sent(request: Request) -> Sent {
    let mail = request.mail().cloned();
    let access = request.access.map(|access| access.needed());
    let needed = access.unwrap_or_default();
    let secrets = needed
        .into_iter()
        .map(|key| format!("{}/{}", key.name, key.key));
    let mut headers = request.headers;
    headers.retain(|name, _| name.starts_with("ce-"));
    Sent {
        url: request.url,
        secrets: secrets.collect(),
        headers,
        body: request.body.map(|body| {
            let parsed = Value::from_str(&body);
            parsed.unwrap_or(Value::String(body))
        }),
        mail,
    }
}

fn text(all: &[Rendered]) -> String {
    let mut text = String::new();
    if all.is_empty() {
        text.push_str("nobody is told anything: spec.notifications is empty\n");
    }
    // Writing to a String cannot fail.
    for one in all {
        let Rendered {
            receiver,
            type_,
            event,
            ..
        } = one;
        let _ = writeln!(text, "{receiver} ({type_}), {event}");
        if !one.hears {
            let _ = writeln!(text, "  it does not hear of this event; it would be sent:");
        }
        if let Some(problem) = &one.problem {
            let _ = writeln!(text, "  cannot be sent: {problem}");
        }
        if let Some(sent) = &one.request {
            let _ = writeln!(text, "  to {}", sent.url);
            if !sent.secrets.is_empty() {
                let _ = writeln!(text, "  with Secrets {}", sent.secrets.join(", "));
            }
            for (name, value) in &sent.headers {
                let _ = writeln!(text, "  {name}: {value}");
            }
            let body = sent.body.as_ref().map(|body| format!("{body:#}"));
            let mail = sent.mail.as_ref().map(|mail| {
                let to = mail.to.join(", ");
                format!(
                    "From: {}\nTo: {to}\nSubject: {}\n\n{}",
                    mail.from, mail.subject, mail.text
                )
            });
            for line in body.or(mail).unwrap_or_default().lines() {
                let _ = writeln!(text, "  {line}");
            }
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn receiver(of: Value) -> Notification<NotificationEvent> {
        serde_json::from_value(of).unwrap()
    }

    fn shown(event: NotificationEvent, of: Value) -> Rendered {
        let key = Key::new("shop", "production");
        let promotion = sample("production", Timestamp::UNIX_EPOCH);
        let message = message(event, (&key, &promotion), None, Timestamp::UNIX_EPOCH);
        rendered(&receiver(of), event, &message, "shop")
    }

    #[test]
    fn a_sample_is_shown_with_the_names_of_secrets_and_not_what_they_hold() {
        let slack = json!({"name": "team", "slack": {"secretRef": {"name": "chat", "key": "url"}}, "on": ["RolledBack"]});
        let mail = json!({"name": "mail", "on": ["PromotionSucceeded"],
                          "email": {"host": "smtp.example.com", "from": "s@example.com", "to": ["t@example.com"]}});
        let event = NotificationEvent::PromotionSucceeded;
        insta::assert_snapshot!(text(&[shown(event, slack), shown(event, mail)]));
    }

    #[test]
    fn an_incident_is_made_up_where_there_is_none() {
        let pager = json!({"name": "oncall", "on": ["IncidentOpened", "IncidentResolved"],
                           "pagerDuty": {"secretRef": {"name": "pd", "key": "key"}}});
        let all = [
            NotificationEvent::IncidentOpened,
            NotificationEvent::IncidentResolved,
        ];
        let actions = all.map(|event| {
            let body = shown(event, pager.clone()).request.unwrap().body.unwrap();
            body["event_action"].as_str().unwrap().to_owned()
        });
        assert_eq!(actions, ["trigger", "resolve"]);
    }

    #[test]
    fn what_is_no_event_is_told_with_those_that_are() {
        assert_eq!(event("rolledback"), Ok(NotificationEvent::RolledBack));
        assert!(event("x").unwrap_err().contains("IncidentResolved"));
    }
}
