use std::fmt::Write;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::crd::validation;
use crate::environment::api::NotificationEvent;

/// What receivers take: see `tests/data/notification`.
const RULES: [(&str, &str); 5] = [
    (
        "slack",
        include_str!("../../tests/data/notification/slack.json"),
    ),
    (
        "teams",
        include_str!("../../tests/data/notification/teams.json"),
    ),
    (
        "pagerDuty",
        include_str!("../../tests/data/notification/pager_duty.json"),
    ),
    (
        "alertmanager",
        include_str!("../../tests/data/notification/alertmanager.json"),
    ),
    (
        "cloudEvents",
        include_str!("../../tests/data/notification/cloud_events.json"),
    ),
];

fn receiver(type_: &str) -> Notification<NotificationEvent> {
    let key = json!({"secretRef": {"name": "chat", "key": "url"}});
    let of = match type_ {
        "webhook" => json!({"url": "https://hooks.example/x"}),
        "email" => json!({
            "host": "smtp.example.com", "from": "slipway@example.com", "to": ["team@example.com"],
            "auth": {"username": "slipway", "password": {"name": "mail", "key": "password"}},
            "ca": {"name": "mail", "key": "ca.crt"},
        }),
        "alertmanager" => json!({
            "address": "http://alertmanager.monitoring:9093/",
            "auth": {"bearer": {"name": "alertmanager", "key": "token"}},
        }),
        "cloudEvents" => json!({
            "url": "https://broker.example/shop", "mode": "Structured",
            "source": "https://cluster-a.example/",
        }),
        _ => key,
    };
    let on = ["IncidentOpened", "IncidentResolved"];
    serde_json::from_value(json!({"name": "team", type_: of, "on": on})).unwrap()
}

const TYPES: [&str; 7] = [
    "webhook",
    "slack",
    "teams",
    "email",
    "pagerDuty",
    "alertmanager",
    "cloudEvents",
];

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// A Release that has succeeded, with notes.
fn promoted() -> Message {
    let facts = [
        ("environment", "production"),
        ("pipeline", "shop"),
        ("release", "shop-3f9c2e1"),
        ("version", "1.4.0"),
        ("promotion", "production-shop-3f9c2e1-1"),
    ];
    Message {
        event: "PromotionSucceeded",
        cloud_type: "dev.slipway.promotion.succeeded",
        severity: Severity::Info,
        stage: Stage::News,
        subject: ("Environment", "shop".into(), "production".into()),
        title: "production runs shop-3f9c2e1".into(),
        message: "shop-3f9c2e1 runs, and everything passed".into(),
        facts: facts.map(|(name, value)| (name, value.to_owned())).into(),
        notes: "### Features\n\n- **cart**: pay later (aaaaaaa)\n\n### Fixes\n\n- no \\<500\\> any more (bbbbbbb)\n".into(),
        at: at("2027-01-01T10:00:00Z"),
        since: at("2027-01-01T10:00:00Z"),
        thread: "shop/production/production-shop-3f9c2e1-1/".into(),
        key: "shop/production/team/PromotionSucceeded/production-shop-3f9c2e1-1".into(),
        body: json!({"event": "PromotionSucceeded", "release": "shop-3f9c2e1"}),
    }
}

/// An incident that is open, or over.
fn incident(stage: Stage) -> Message {
    let mut message = promoted();
    message.event = if stage == Stage::Ends {
        "IncidentResolved"
    } else {
        "IncidentOpened"
    };
    message.cloud_type = if stage == Stage::Ends {
        "dev.slipway.incident.resolved"
    } else {
        "dev.slipway.incident.opened"
    };
    message.severity = Severity::Critical;
    message.stage = stage;
    message.title = "incident in production, because of shop-3f9c2e1".into();
    message.message = "SLO availability burns 14.4 times too fast".into();
    message.notes = String::new();
    message.facts.insert("incident", "slo/availability".into());
    message.since = at("2027-01-01T09:50:00Z");
    message.thread.push_str("slo/availability");
    message
}

fn rendered(type_: &str, message: &Message, template: Option<&str>) -> Request {
    let receiver = Notification {
        template: template.map(str::to_owned),
        ..receiver(type_)
    };
    assert_eq!(type_of(&receiver), type_);
    request(&receiver, message, "shop").unwrap()
}

/// Everything that is sent, and from where its secrets come.
fn shown(request: &Request) -> String {
    let mut text = format!("{} {}\n", request.method, request.url);
    for (name, value) in &request.headers {
        writeln!(text, "{name}: {value}").unwrap();
    }
    if let Some(access) = &request.access {
        let needed = access.needed();
        let needed: Vec<String> = needed.iter().map(ToString::to_string).collect();
        writeln!(text, "secrets: {}", needed.join(" ")).unwrap();
        assert_eq!(access.purpose, Purpose::Notification);
        assert_eq!(access.namespace, "shop");
    }
    if let Some(body) = &request.body {
        let body: Value = serde_json::from_str(body).unwrap();
        writeln!(text, "{}", serde_json::to_string_pretty(&body).unwrap()).unwrap();
    }
    if let Some(mail) = request.mail() {
        writeln!(
            text,
            "{:?} from {} to {:?}\n{} {}\n{}\n\n{}",
            mail.transport, mail.from, mail.to, mail.id, mail.at, mail.subject, mail.text
        )
        .unwrap();
    }
    text
}

fn assert_fits(type_: &str, request: &Request) {
    let body = request.body.as_deref().unwrap_or("null");
    assert!(type_ != "teams" || body.len() <= 28 << 10, "{}", body.len());
    let Some((_, rules)) = RULES.iter().find(|(name, _)| *name == type_) else {
        return;
    };
    let rules: Value = serde_json::from_str(rules).unwrap();
    let body: Value = serde_json::from_str(body).unwrap();
    let schema = json!({"type": "object", "properties": {"spec": rules}});
    let problems = validation::problems(&json!({"spec": body}), &schema);
    assert!(problems.is_empty(), "{type_}: {problems:?}\n{body:#}");
}

#[test]
fn every_type_of_receiver_is_told_in_its_own_way() {
    for type_ in TYPES {
        let mut text = String::new();
        for message in [promoted(), incident(Stage::Begins), incident(Stage::Ends)] {
            let request = rendered(type_, &message, None);
            assert_fits(type_, &request);
            writeln!(text, "{}", shown(&request)).unwrap();
        }
        insta::assert_snapshot!(type_, text);
    }
}

#[test]
fn the_rules_of_receivers_refuse_what_they_would() {
    let mut message = promoted();
    message.title = "x".repeat(151);
    let mut request = rendered("slack", &message, None);
    let body = request.body.as_mut().unwrap();
    *body = body.replace("…", &"x".repeat(10));
    let refused = std::panic::catch_unwind(|| assert_fits("slack", &request));
    assert!(refused.is_err());
}

#[test]
fn beginning_and_end_are_one_thing() {
    let body = |type_: &str, stage: Stage| -> Value {
        let request = rendered(type_, &incident(stage), None);
        serde_json::from_str(request.body.as_deref().unwrap()).unwrap()
    };
    let (begins, ends) = (
        body("pagerDuty", Stage::Begins),
        body("pagerDuty", Stage::Ends),
    );
    assert_eq!(begins["dedup_key"], ends["dedup_key"]);
    assert_eq!(begins["event_action"], "trigger");
    assert_eq!(ends["event_action"], "resolve");
    let (begins, ends) = (
        body("alertmanager", Stage::Begins),
        body("alertmanager", Stage::Ends),
    );
    assert_eq!(begins[0]["labels"], ends[0]["labels"]);
    assert_eq!(begins[0]["startsAt"], ends[0]["startsAt"]);
    let end = |body: &Value| at(body[0]["endsAt"].as_str().unwrap());
    assert!(end(&begins) > end(&ends));
}

/// The event that a sink gets in either mode: attributes and data.
fn cloud_event(sink: &Value, message: &Message) -> (BTreeMap<String, String>, Value) {
    let receiver = json!({"name": "bus", "cloudEvents": sink, "minSeverity": "Info"});
    let receiver: Notification<NotificationEvent> = serde_json::from_value(receiver).unwrap();
    let request = request(&receiver, message, "shop").unwrap();
    let body: Value = serde_json::from_str(request.body.as_deref().unwrap()).unwrap();
    let type_ = request.headers["content-type"].as_str();
    if sink["mode"] != "Structured" {
        assert_eq!(type_, "application/json");
        let fields = request.headers.iter();
        let fields = fields.filter_map(|(name, value)| {
            let name = name.strip_prefix("ce-")?.to_owned();
            let is_plain = value.bytes().all(|byte| (b'!'..=b'~').contains(&byte));
            assert!(is_plain && !value.contains('"'), "{name}: {value}");
            let value = percent_encoding::percent_decode_str(value);
            Some((name, value.decode_utf8().unwrap().into_owned()))
        });
        return (fields.collect(), body);
    }
    assert!(type_.starts_with("application/cloudevents+json"), "{type_}");
    let mut event = body.as_object().unwrap().clone();
    let data = event.remove("data").unwrap();
    assert_eq!(event.remove("datacontenttype").unwrap(), "application/json");
    let text = |value: Value| value.as_str().unwrap().to_owned();
    let attributes = event.into_iter().map(|(name, value)| (name, text(value)));
    (attributes.collect(), data)
}

#[test]
fn both_modes_of_cloud_events_say_the_same() {
    let mut message = incident(Stage::Begins);
    message.key = "shop/production/bus/IncidentOpened/100 % \"häßlich\"\n".into();
    let url = "https://broker.example/shop";
    let binary = cloud_event(&json!({"url": url}), &message);
    let structured = cloud_event(&json!({"url": url, "mode": "Structured"}), &message);
    assert_eq!(binary, structured);
    let (attributes, data) = binary;
    assert_eq!(data, message.body);
    let expected = [
        ("id", message.key.as_str()),
        ("severity", "critical"),
        (
            "source",
            "/apis/slipway.dev/v1alpha1/namespaces/shop/environments/production",
        ),
        ("specversion", "1.0"),
        ("subject", "production-shop-3f9c2e1-1"),
        ("time", "2027-01-01T10:00:00Z"),
        ("type", "dev.slipway.incident.opened"),
    ];
    let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(attributes, BTreeMap::from(expected));
    message.subject.0 = "Pipeline";
    let sink =
        json!({"secretRef": {"name": "events", "key": "url"}, "source": "https://a.example/"});
    let (attributes, _) = cloud_event(&sink, &message);
    let source = "https://a.example/apis/slipway.dev/v1alpha1/namespaces/shop/pipelines/production";
    assert_eq!(attributes["source"], source);
}

/// What is sent to a broker goes where metrics may come from, with a secret URL or an open one.
#[test]
fn cloud_events_go_only_where_the_operator_may_go() {
    let request = rendered("cloudEvents", &promoted(), None);
    let access = request.access.unwrap();
    assert_eq!(access.purpose, Purpose::Notification);
    assert!(access.needed().is_empty());
}

#[test]
fn types_of_cloud_events_are_words_below_ours_and_of_one_event_each() {
    use crate::pipeline::api::RunEvent;
    let environments = NotificationEvent::ALL
        .iter()
        .map(|event| event.cloud_type());
    let all = environments.chain(RunEvent::ALL.iter().map(|event| event.cloud_type()));
    let mut known = std::collections::BTreeSet::new();
    for type_ in all {
        let words: Vec<&str> = type_.split('.').collect();
        assert_eq!((words.len(), &words[..2]), (4, &["dev", "slipway"][..]));
        let is_word = |word: &str| word.chars().all(|c| c.is_ascii_lowercase());
        assert!(words.iter().all(|word| is_word(word)), "{type_}");
        assert!(known.insert(type_), "{type_}");
    }
}

/// Clocks differ, and what is over has to be over for the Alertmanager too.
#[test]
fn an_alert_ends_before_now_and_not_before_it_began() {
    let ends = |since: &str| {
        let mut message = incident(Stage::Ends);
        message.since = at(since);
        let body = rendered("alertmanager", &message, None).body.unwrap();
        let body: Value = serde_json::from_str(&body).unwrap();
        body[0]["endsAt"].as_str().unwrap().to_owned()
    };
    assert_eq!(ends("2027-01-01T09:50:00Z"), "2027-01-01T09:59:00Z");
    assert_eq!(ends("2027-01-01T09:59:30Z"), "2027-01-01T09:59:30Z");
}

#[test]
fn an_alert_of_a_tag_is_none_of_a_branch() {
    let label = |git_ref: &str| {
        let mut message = promoted();
        message.subject.0 = "Pipeline";
        message.facts.insert("branch", "v1".into());
        message.body = json!({"ref": git_ref});
        let body = rendered("alertmanager", &message, None).body.unwrap();
        let body: Value = serde_json::from_str(&body).unwrap();
        body[0]["labels"]["branch"].as_str().unwrap().to_owned()
    };
    assert_eq!(label("refs/heads/v1"), "v1");
    assert_eq!(label("refs/tags/v1"), "refs/tags/v1");
}

#[test]
fn a_template_takes_the_place_of_the_text_and_its_values_stay_text() {
    let mut message = promoted();
    message.message = "<!channel> fixed".into();
    let template = "*{{ release }}*: {{message}}{{incident}}";
    let slack = rendered("slack", &message, Some(template)).body.unwrap();
    assert!(
        slack.contains("*shop-3f9c2e1*: &lt;!channel&gt; fixed"),
        "{slack}"
    );
    assert!(!slack.contains("pay later"), "{slack}");
    let posted = rendered("email", &message, Some(template));
    let mail = posted.mail().unwrap();
    assert_eq!(mail.text, "*shop-3f9c2e1*: <!channel> fixed");
    let receiver = Notification {
        template: Some("{{relase}}".into()),
        ..receiver("slack")
    };
    let told = request(&receiver, &message, "shop").unwrap_err();
    assert!(
        told.starts_with("the template names {{relase}}; there is event, severity"),
        "{told}"
    );
}

#[test]
fn a_template_of_which_nothing_comes_is_as_if_there_were_none() {
    let message = promoted();
    for type_ in ["slack", "teams", "email", "pagerDuty"] {
        let blank = rendered(type_, &message, Some(" {{incident}}\n"));
        assert_eq!(blank, rendered(type_, &message, None), "{type_}");
        assert_fits(type_, &blank);
    }
    let mut silent = incident(Stage::Begins);
    silent.message = "\t".into();
    assert_fits("slack", &rendered("slack", &silent, None));
}

#[test]
fn slack_makes_no_links_of_its_own() {
    let body = rendered("slack", &promoted(), None).body.unwrap();
    let (texts, verbatim) = (body.matches("mrkdwn"), body.matches(r#""verbatim":true"#));
    assert!(body.contains("mrkdwn"), "{body}");
    assert_eq!(texts.count(), verbatim.count(), "{body}");
}

#[test]
fn every_variable_has_a_value_and_nothing_else_is_known() {
    let message = promoted();
    for name in VARIABLES {
        assert!(message.value(name).is_some(), "{name}");
    }
    for name in message.facts.keys() {
        assert!(VARIABLES.contains(name), "{name}");
    }
    assert_eq!(message.value("secret"), None);
}

/// Who writes a message of a commit gets no secret of a receiver out of it.
#[test]
fn no_secret_is_put_into_what_people_write() {
    let mut message = incident(Stage::Begins);
    let baits = [
        "~secret~chat~url~ ~secret~alertmanager~token~",
        "~sec\tret~chat~url~ ~sec\u{85}ret\r~chat~url~",
        "~secret~secret~chat~url~",
    ];
    for bait in baits {
        message.message = bait.into();
        message.title = bait.into();
        message.notes = format!("- {bait}");
        message.facts.insert("reason", bait.into());
        for type_ in ["slack", "teams", "pagerDuty", "alertmanager"] {
            for template in [None, Some("{{message}} ~secret~chat~url~")] {
                let template = template.filter(|_| type_ != "alertmanager");
                let body = rendered(type_, &message, template).body.unwrap();
                let meant = usize::from(type_ == "pagerDuty");
                assert_eq!(body.matches("~secret~").count(), meant, "{body}");
            }
        }
    }
}

#[test]
fn who_hears_of_what() {
    use NotificationEvent::{IncidentOpened, PromotionSucceeded, RolledBack};
    let hears = |rule: Value, event: NotificationEvent| {
        let mut receiver = json!({"name": "team", "webhook": {"url": "https://x"}});
        json_patch::merge(&mut receiver, &rule);
        let receiver: Notification<NotificationEvent> = serde_json::from_value(receiver).unwrap();
        receiver.hears(event, event.severity())
    };
    let on = json!({"on": ["RolledBack", "PromotionSucceeded"]});
    assert!(hears(on.clone(), RolledBack) && !hears(on, IncidentOpened));
    let severe = json!({"minSeverity": "Warning"});
    assert!(hears(severe.clone(), RolledBack) && hears(severe.clone(), IncidentOpened));
    assert!(!hears(severe, PromotionSucceeded));
    let both = json!({"on": ["RolledBack", "PromotionSucceeded"], "minSeverity": "Warning"});
    assert!(!hears(both, PromotionSucceeded));
}

proptest! {
    /// Whatever people write, every receiver takes it.
    #[test]
    fn nothing_that_people_write_makes_a_message_that_is_refused(
        text in prop_oneof![Just(String::new()), Just(" \t".to_owned()), "(?s).{0,6000}"],
        title in "(?s).{1,400}",
        notes in prop_oneof![Just(Vec::new()), proptest::collection::vec("(?s).{0,300}", 0..60)],
        template in proptest::option::of(prop_oneof![Just(String::new()), "[^{]{1,1500}"]),
    ) {
        let mut message = incident(Stage::Begins);
        message.title = format!("t {title}");
        message.message.clone_from(&text);
        let lines: Vec<String> = notes.iter().map(|line| format!("- {line}\n")).collect();
        message.notes = lines.concat();
        message.facts.insert("reason", text.clone());
        message.facts.insert("incident", "i".repeat(128));
        message.thread = "x".repeat(400);
        let template = template.map(|template| format!("{template}{{{{message}}}}{{{{notes}}}}"));
        for type_ in TYPES {
            let template = template.as_deref().filter(|_| type_ != "alertmanager");
            assert_fits(type_, &rendered(type_, &message, template));
        }
    }
}
