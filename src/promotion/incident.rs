//! The incidents of a Promotion: opened, joined and closed. No I/O.
//!
//! While one is open, whatever else goes wrong because of the promotion belongs to it: a bad Release that fails its
//! analysis and has five alerts fire is one incident. It is over when its alerts are, and, where the Environment went back or
//! should have, when something good serves again.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::api::{Incident, IncidentSource, LinkedAlert};
use crate::model::key::short_hash;
use crate::model::text::truncate;

/// Incidents that a Promotion has room for.
const CAP: usize = 8;
/// Alerts that an incident has room for.
const MAX_ALERTS: usize = 16;
/// Longest sentence of what happened, in bytes.
const MAX_MESSAGE: usize = 500;
/// Longest sentence of what was done, in bytes.
const MAX_RESPONSE: usize = 250;

/// Something that went wrong because of a promotion.
#[derive(Clone, Debug, PartialEq)]
pub struct Cause {
    /// What tells it apart.
    pub key: String,
    /// How it became known.
    pub source: IncidentSource,
    /// What happened.
    pub message: String,
    /// When it began.
    pub started_at: Timestamp,
    /// What is done about it.
    pub response: Option<String>,
    /// Who says so.
    pub linked_by: Option<String>,
    /// The alert that it is.
    pub alert: Option<LinkedAlert>,
}

impl Cause {
    /// One that nobody said.
    pub fn new(key: &str, source: IncidentSource, message: &str, started_at: Timestamp) -> Self {
        Self {
            key: key.to_owned(),
            source,
            message: message.to_owned(),
            started_at,
            response: None,
            linked_by: None,
            alert: None,
        }
    }
}

/// The key of what a Decision says.
pub fn decision_key(decision: &str) -> String {
    format!("decision-{}", short_hash(decision.as_bytes(), 12))
}

/// The incident that is open. There is at most one.
pub fn open(incidents: &[Incident]) -> Option<&Incident> {
    incidents
        .iter()
        .find(|incident| incident.resolved_at.is_none())
}

fn open_mut(incidents: &mut [Incident]) -> Option<&mut Incident> {
    incidents
        .iter_mut()
        .find(|incident| incident.resolved_at.is_none())
}

/// Whether an alert belongs to one of the incidents.
pub fn has_alert(incidents: &[Incident], key: &str) -> bool {
    let mut alerts = incidents.iter().flat_map(|incident| &incident.alerts);
    alerts.any(|alert| alert.key == key)
}

/// Takes in what went wrong: it joins the incident that is open, or opens one. Nothing changes by what is known already, and
/// by what there is no room for.
pub fn take_in(incidents: &mut Vec<Incident>, cause: Cause) {
    let is_known = |incident: &Incident| incident.key == cause.key;
    let is_linked = cause
        .alert
        .as_ref()
        .is_some_and(|alert| has_alert(incidents, &alert.key));
    if open(incidents).is_none() {
        if is_linked || incidents.iter().any(is_known) || incidents.len() >= CAP {
            return;
        }
        incidents.push(Incident {
            key: cause.key.clone(),
            source: cause.source,
            message: truncate(&cause.message, MAX_MESSAGE).to_owned(),
            started_at: Time(cause.started_at),
            resolved_at: None,
            response: None,
            linked_by: None,
            alerts: Vec::new(),
        });
    }
    let Some(incident) = open_mut(incidents) else {
        return;
    };
    if let Some(response) = cause.response {
        incident.response = Some(truncate(&response, MAX_RESPONSE).to_owned());
    }
    if let Some(user) = cause.linked_by {
        incident.linked_by.get_or_insert(user);
    }
    if let Some(alert) = cause
        .alert
        .filter(|_| !is_linked && incident.alerts.len() < MAX_ALERTS)
    {
        incident.alerts.push(alert);
    }
}

/// Whether an incident is over only when something good serves again.
fn needs_recovery(incident: &Incident) -> bool {
    incident.response.is_some() || incident.source == IncidentSource::Decision
}

/// Notes which alerts have ended, and closes the incident if that was all. `recovered_at` is when something good served again
/// after the promotion.
pub fn close(
    incidents: &mut [Incident],
    ended: impl Fn(&LinkedAlert) -> Option<Timestamp>,
    recovered_at: Option<Timestamp>,
) {
    let Some(incident) = open_mut(incidents) else {
        return;
    };
    for alert in &mut incident.alerts {
        if alert.ends_at.is_none() {
            alert.ends_at = ended(alert).map(Time);
        }
    }
    let alerts: Option<Vec<Timestamp>> = incident
        .alerts
        .iter()
        .map(|alert| Some(alert.ends_at.as_ref()?.0))
        .collect();
    let recovery = needs_recovery(incident).then_some(recovered_at);
    let (Some(mut ends), false) = (alerts, recovery == Some(None)) else {
        return;
    };
    ends.extend(recovery.flatten());
    ends.push(incident.started_at.0);
    incident.resolved_at = ends.into_iter().max().map(Time);
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Timestamp = Timestamp::UNIX_EPOCH;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn alert(key: &str, second: i64) -> Cause {
        let linked = LinkedAlert {
            key: key.to_owned(),
            name: "Slow".to_owned(),
            starts_at: Time(at(second)),
            ends_at: None,
        };
        Cause {
            alert: Some(linked),
            ..Cause::new(key, IncidentSource::Alert, "slow", at(second))
        }
    }

    fn failure(response: &str) -> Cause {
        Cause {
            response: Some(response.to_owned()),
            ..Cause::new("RolloutFailed", IncidentSource::Failure, "it failed", at(5))
        }
    }

    fn still(_: &LinkedAlert) -> Option<Timestamp> {
        None
    }

    #[test]
    fn what_comes_while_one_is_open_belongs_to_it() {
        let mut all = Vec::new();
        take_in(&mut all, alert("a", 1));
        take_in(&mut all, failure("going back to x"));
        take_in(&mut all, alert("b", 7));
        take_in(&mut all, alert("b", 7));
        assert_eq!(all.len(), 1);
        let one = &all[0];
        assert_eq!(
            (one.key.as_str(), one.source, one.started_at.0),
            ("a", IncidentSource::Alert, at(1))
        );
        assert_eq!(one.response.as_deref(), Some("going back to x"));
        assert_eq!(one.alerts.len(), 2);
    }

    #[test]
    fn it_is_over_when_all_of_it_is() {
        let mut all = Vec::new();
        take_in(&mut all, alert("a", 1));
        take_in(&mut all, failure("going back to x"));
        close(&mut all, |_| Some(at(20)), None);
        assert_eq!(all[0].alerts[0].ends_at, Some(Time(at(20))));
        assert_eq!(all[0].resolved_at, None, "nothing good serves yet");
        close(&mut all, still, Some(at(15)));
        assert_eq!(all[0].resolved_at, Some(Time(at(20))));
        // What is told late opens nothing.
        let before = all.clone();
        take_in(&mut all, alert("a", 1));
        take_in(&mut all, failure("going back to x"));
        assert_eq!(
            all.len(),
            2,
            "a failure is another one, an alert that is known is not"
        );
        assert_eq!(all[0], before[0]);
    }

    #[test]
    fn an_alert_alone_needs_no_way_back() {
        let mut all = Vec::new();
        take_in(&mut all, alert("a", 1));
        close(&mut all, still, Some(START));
        assert_eq!(all[0].resolved_at, None);
        close(&mut all, |_| Some(at(9)), None);
        assert_eq!(all[0].resolved_at, Some(Time(at(9))));
    }

    #[test]
    fn there_is_room_for_so_many_and_no_loop_beyond() {
        let mut all = Vec::new();
        for number in 0..20 {
            take_in(&mut all, alert(&number.to_string(), number));
        }
        assert_eq!((all.len(), all[0].alerts.len()), (1, MAX_ALERTS));
        close(&mut all, |_| Some(at(30)), None);
        for number in 30..60 {
            take_in(&mut all, alert(&number.to_string(), number));
            close(&mut all, |_| Some(at(60)), None);
        }
        assert_eq!(all.len(), CAP);
        let before = all.clone();
        take_in(&mut all, alert("99", 99));
        assert_eq!(all, before);
    }
}
