//! Incidents: which promotion an alert is of, what opens and closes them, and the way back from an alert. No I/O.
//!
//! They are in the records of the Promotions, which may have ended by then: of what has ended, nothing else is written any
//! more. An alert is of the last promotion that started before it, where that was not too long ago; a rollback is never
//! the culprit.

use std::cmp::Reverse;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::super::api::{AlertStatus, NotificationEvent, RollbackCause};
use super::super::{alert, observed::Act};
use super::advance::Cause;
use super::candidate::Wish;
use super::history::Entry;
use super::migrated::{FAILED, STUCK};
use super::ruling::wished_until;
use super::{Draft, Said, after};
use crate::decision::api::{DecisionAction, TargetKind};
use crate::model::action::Action;
use crate::promotion::api::{
    Incident, IncidentSource, LinkedAlert, MigrationState, MigrationStatus, PromotionStatus,
    StepState,
};
use crate::promotion::incident;

impl<'a> Draft<'a> {
    /// The promotion that an alert is of.
    fn culprit(&self, alert: &AlertStatus) -> Option<Entry<'a>> {
        let window = self.seen.spec.incidents.as_ref()?.attribution_window;
        let at = alert.starts_at.0;
        let entries = self.history.entries.iter();
        let before = entries.filter(|entry| {
            let started = entry.started_at;
            !entry.is_rollback() && started.is_some_and(|started| started <= at)
        });
        let last = before.max_by_key(|entry| entry.started_at)?;
        (at <= after(last.started_at?, window.into())).then_some(*last)
    }

    /// The alerts that are kept, each with the Promotion that it is of.
    pub(super) fn shown_alerts(&self) -> Vec<AlertStatus> {
        let of = |alert: &AlertStatus| self.culprit(alert).map(|entry| entry.name().to_owned());
        let all = self.alerts.iter();
        all.map(|alert| AlertStatus {
            promotion: of(alert),
            ..alert.clone()
        })
        .collect()
    }

    /// The promotion that an alert takes back, and that alert: the last that started, while it is under way, and within
    /// `rollback.within` of its end.
    fn alarm(&self) -> Option<(Entry<'a>, AlertStatus)> {
        let causes = &self.seen.spec.rollback.on;
        let last = self
            .last_started()
            .filter(|_| causes.contains(&RollbackCause::AlertFiring))?;
        if last.is_rollback() || !self.is_lively(&last) {
            return None;
        }
        let is_of_last = |alert: &&AlertStatus| {
            let culprit = self.culprit(alert);
            alert.ends_at.is_none() && culprit.is_some_and(|entry| entry.name() == last.name())
        };
        let first = self
            .alerts
            .iter()
            .filter(is_of_last)
            .min_by_key(|alert| alert.starts_at.0)?;
        Some((last, first.clone()))
    }

    /// Ends a promotion that is under way, and because of which an alert fires.
    pub(super) fn leave_for_alert(&mut self, entry: &Entry<'a>) -> bool {
        let alarm = self.alarm().filter(|(from, _)| from.name() == entry.name());
        let Some((_, alert)) = alarm else {
            return false;
        };
        let steps = entry.record.status.steps.clone();
        let cause = Cause::By(RollbackCause::AlertFiring);
        self.fail(entry, steps, cause, &in_words(&alert));
        true
    }

    /// The way back from a promotion that has ended: for what it did to an SLO, because an alert fires, or because its Release
    /// is not good any more where it came from.
    pub(super) fn way_back_wish(&mut self) -> Option<Wish> {
        if let Some(wish) = self.burn_wish() {
            return Some(wish);
        }
        match self.alert_wish() {
            Some(wish) => Some(wish),
            None => self.revoked_wish(),
        }
    }

    fn alert_wish(&mut self) -> Option<Wish> {
        let (from, alert) = self.alarm().filter(|(from, _)| from.phase.is_finished())?;
        let Some(to) = self.history.way_back(&from) else {
            self.notice(format!(
                "{} because of {}, and there is no earlier good Release to go back to",
                in_words(&alert),
                from.release()
            ));
            return None;
        };
        let because = (RollbackCause::AlertFiring, &*in_words(&alert));
        let incident = |_: &str| of_alert(&alert);
        Some(Wish::taking_back(
            &from,
            because,
            (to, from.release()),
            incident,
        ))
    }

    /// Makes the Promotion that takes another one back, which has an incident then.
    pub(super) fn take_back(&mut self, wish: &Wish) {
        if let Some((name, cause)) = &wish.culprit {
            let mut entries = self.history.entries.iter();
            let culprit = entries.find(|entry| entry.name() == name).copied();
            if let Some(entry) = culprit {
                let mut status = entry.record.status.clone();
                self.taken_into(&entry, &mut status, vec![cause.clone()]);
                self.put(&entry, &status);
            }
        }
        self.create(wish);
    }

    /// The incidents of a promotion that fails. That a person wants to go back is none by itself.
    pub(super) fn incidents_after(
        &mut self,
        entry: &Entry<'a>,
        cause: Cause,
        message: &str,
        response: &str,
    ) -> Vec<Incident> {
        let mut status = entry.record.status.clone();
        let Cause::By(cause) = cause else {
            return status.incidents;
        };
        let source = match cause {
            RollbackCause::RolloutFailed
            | RollbackCause::SmokeFailed
            | RollbackCause::GateRevoked => IncidentSource::Failure,
            RollbackCause::SLOBurn => IncidentSource::SLOBurn,
            RollbackCause::AlertFiring => IncidentSource::Alert,
        };
        let said = incident::Cause::new(cause.as_str(), source, message, self.now);
        let alarm = self.alarm().filter(|_| cause == RollbackCause::AlertFiring);
        let cause = alarm.map_or(said, |(_, alert)| of_alert(&alert));
        let response = Some(response.to_owned());
        self.taken_into(
            entry,
            &mut status,
            vec![incident::Cause { response, ..cause }],
        );
        status.incidents
    }

    /// The incidents of a record whose migrations changed a database, and then failed. Where nothing was changed there is none.
    pub(super) fn incidents_of_database(
        &mut self,
        entry: &Entry<'a>,
        (reason, message): (&str, &str),
        migrations: Option<&MigrationStatus>,
    ) -> Vec<Incident> {
        let mut status = entry.record.status.clone();
        if !matches!(reason, FAILED | STUCK) {
            return status.incidents;
        }
        let phases = migrations.iter().flat_map(|known| &known.phases);
        let mut failed = phases.filter(|phase| phase.state == StepState::Failed);
        let at = failed.find_map(|phase| phase.finished_at.as_ref());
        let at = at.map_or(self.now, |at| at.0);
        let response = if reason == STUCK {
            "nothing touches the database until somebody has looked at it"
        } else {
            "the database was taken back"
        };
        let cause = incident::Cause {
            response: Some(response.to_owned()),
            ..incident::Cause::new(reason, IncidentSource::Failure, message, at)
        };
        self.taken_into(entry, &mut status, vec![cause]);
        status.incidents
    }

    /// When others came through on a database that is left to people.
    fn mended_at(&self, from: &Entry) -> Option<Timestamp> {
        let is_through = |other: &&Entry| {
            let is_later = other.record.spec.number > from.record.spec.number;
            is_later && state_of(other) == Some(MigrationState::Done)
        };
        let ends = self.history.all().filter(is_through);
        ends.filter_map(|other| other.finished_at).min()
    }

    /// Takes causes into the incidents of a Promotion, and tells of the one that they open.
    fn taken_into(
        &mut self,
        entry: &Entry<'a>,
        status: &mut PromotionStatus,
        causes: Vec<incident::Cause>,
    ) {
        let was_open = incident::open(&status.incidents).is_some();
        for cause in causes {
            incident::take_in(&mut status.incidents, cause);
        }
        if let Some(opened) = incident::open(&status.incidents).filter(|_| !was_open) {
            let about = format!("{}/{}", entry.name(), opened.key);
            self.announce(NotificationEvent::IncidentOpened, &about);
        }
    }

    /// Writes the incidents of a Promotion, and nothing else, if that changes anything.
    fn put(&mut self, entry: &Entry<'a>, status: &PromotionStatus) {
        if status.incidents != entry.record.status.incidents {
            self.actions.push(Action::Status {
                target: entry.record.target.clone(),
                status: serde_json::to_value(status).unwrap_or_default(),
            });
        }
    }

    /// Opens and closes incidents, of one Promotion after the other. What changes what runs comes first.
    pub(super) fn keep_incidents(&mut self) {
        let alerts = self.shown_alerts();
        let all: Vec<Entry<'a>> = self.history.all().copied().collect();
        for entry in all {
            if !self.actions.is_empty() {
                return;
            }
            // One that was lost is written again first.
            if entry.record.status.phase.is_none() {
                continue;
            }
            let causes = self.new_causes(&entry, &alerts);
            if causes.is_empty() && incident::open(&entry.record.status.incidents).is_none() {
                continue;
            }
            let mut status = entry.record.status.clone();
            self.taken_into(&entry, &mut status, causes);
            self.close_incident(&entry, &mut status);
            self.put(&entry, &status);
        }
    }

    fn new_causes(&self, entry: &Entry, alerts: &[AlertStatus]) -> Vec<incident::Cause> {
        let incidents = &entry.record.status.incidents;
        let is_of = |alert: &&AlertStatus| {
            let is_culprit = alert.promotion.as_deref() == Some(entry.name());
            is_culprit && !incident::has_alert(incidents, &alert.key)
        };
        let alerts = alerts.iter().rev().filter(is_of).map(of_alert);
        let acts = self.seen.decisions.iter();
        let acts = acts.filter(|act| self.is_about(act, entry) && !is_followed(act, incidents));
        alerts.chain(acts.map(of_act)).collect()
    }

    /// Whether a Decision says that a promotion caused an incident: the one that it names, the last of the Release that it
    /// names, or the last that had started by then.
    fn is_about(&self, act: &Act, entry: &Entry) -> bool {
        if act.spec.action != DecisionAction::LinkIncident || self.now >= wished_until(act) {
            return false;
        }
        if act.spec.target.kind == TargetKind::Promotion {
            return act.spec.target.name == entry.name();
        }
        let release = act.spec.release.as_deref();
        let mut meant = self.history.entries.iter().rev().filter(|one| {
            !one.is_rollback()
                && one.started_at.is_some_and(|started| started <= act.at)
                && release.is_none_or(|release| release == one.release())
        });
        meant.next().is_some_and(|one| one.name() == entry.name())
    }

    fn close_incident(&mut self, entry: &Entry, status: &mut PromotionStatus) {
        let Some(open) = incident::open(&status.incidents).map(|open| open.key.clone()) else {
            return;
        };
        let recovered_at = self.recovered_at(entry);
        incident::close(
            &mut status.incidents,
            |alert| self.ended(alert),
            recovered_at,
        );
        if incident::open(&status.incidents).is_none() {
            let about = format!("{}/{open}", entry.name());
            self.announce(NotificationEvent::IncidentResolved, &about);
        }
    }

    /// When something good served again after a promotion, or its database was well again.
    fn recovered_at(&self, from: &Entry) -> Option<Timestamp> {
        let left = state_of(from);
        if left == Some(MigrationState::RolledBack) {
            return from.finished_at;
        }
        // A way back of the traffic says nothing about the database.
        if left == Some(MigrationState::Stuck) && self.seen.spec.migrations.is_some() {
            return self.mended_at(from);
        }
        let good = self.history.good(&from.record.spec.pipeline)?;
        let is_later = good.record.spec.number > from.record.spec.number;
        good.finished_at.filter(|_| is_later)
    }

    /// When an alert ended. Where nobody listens any more nobody will ever tell.
    fn ended(&self, linked: &LinkedAlert) -> Option<Timestamp> {
        if self.seen.spec.incidents.is_none() {
            return Some(self.now);
        }
        let known = self.alerts.iter().find(|alert| alert.key == linked.key);
        if let Some(known) = known {
            return known.ends_at.as_ref().map(|end| end.0);
        }
        let is_next = |alert: &&AlertStatus| alert::follows(alert, &linked.key, linked.starts_at.0);
        let next = self.alerts.iter().filter(is_next);
        next.map(|alert| alert.starts_at.0).min()
    }

    /// How many incidents are open, and what is said of them.
    pub(super) fn said_of_incidents(&self) -> Option<(u32, Said)> {
        let open = self
            .history
            .all()
            .filter_map(|entry| Some((entry, incident::open(&entry.record.status.incidents)?)));
        let mut open: Vec<(&Entry, &Incident)> = open.collect();
        open.sort_by_key(|(entry, _)| Reverse(entry.record.spec.number));
        let (entry, last) = open.first()?;
        let (name, release) = (entry.name(), entry.release());
        let more = match open.len() {
            1 => String::new(),
            count => format!(" (and {} more)", count - 1),
        };
        let text = format!(
            "an incident of {release} (Promotion {name}) is open: {}{more}",
            last.message
        );
        let count = u32::try_from(open.len()).unwrap_or(u32::MAX);
        Some((count, Said::new(last.source.as_str(), text)))
    }
}

/// How the migrations of a record were left.
fn state_of(entry: &Entry) -> Option<MigrationState> {
    let known = entry.record.status.migrations.as_ref();
    known.map(|known| known.state)
}

/// What an alert says, in one sentence.
fn in_words(alert: &AlertStatus) -> String {
    let severity = alert.labels.get("severity");
    let severity = severity.map_or(String::new(), |severity| format!(" ({severity})"));
    let summary = alert.summary.as_ref();
    let summary = summary.map_or(String::new(), |summary| format!(": {summary}"));
    format!("alert {}{severity} fires{summary}", alert.name)
}

fn of_alert(alert: &AlertStatus) -> incident::Cause {
    let linked = LinkedAlert {
        key: alert.key.clone(),
        name: alert.name.clone(),
        starts_at: alert.starts_at.clone(),
        ends_at: alert.ends_at.clone(),
    };
    let key = format!("alert-{}", alert.key);
    let cause = incident::Cause::new(
        &key,
        IncidentSource::Alert,
        &in_words(alert),
        alert.starts_at.0,
    );
    incident::Cause {
        alert: Some(linked),
        ..cause
    }
}

fn of_act(act: &Act) -> incident::Cause {
    let key = incident::decision_key(&act.name);
    let reason = act.spec.reason.as_deref().unwrap_or("no reason given");
    let cause = incident::Cause::new(&key, IncidentSource::Decision, reason, act.at);
    incident::Cause {
        linked_by: Some(act.spec.user.clone()),
        ..cause
    }
}

/// Whether a Decision opened an incident or joined the one that was open then.
fn is_followed(act: &Act, incidents: &[Incident]) -> bool {
    let key = incident::decision_key(&act.name);
    let was_open = |incident: &Incident| {
        let end = incident.resolved_at.as_ref();
        incident.linked_by.is_some() && end.is_none_or(|Time(end)| *end >= act.at)
    };
    incidents
        .iter()
        .any(|incident| incident.key == key || was_open(incident))
}
