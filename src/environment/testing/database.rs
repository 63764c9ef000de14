//! A database in the world: Jobs of migrations that do something to it, and a ledger of what they did.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::super::observed::Lock;
use super::super::observed::Observed;
use super::super::render;
use super::World;
use super::cluster::pod_of;
use crate::model::manifest::Target;
use crate::model::object::ObjectKind;
use crate::model::span::exact;

/// What a phase of migrations does, where it does not do well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Play {
    /// Its command ends with this exit code.
    Exit(i32),
    /// Its Job is deleted while it runs, after it has done its work.
    Vanish,
    /// It ends well, and its pod is deleted before anybody has seen it.
    Mute,
    /// It never ends.
    Hang,
    /// It tells this.
    Tells(&'static str),
}

impl World {
    /// The same shop, whose production has a database that has to be migrated first.
    pub(crate) fn shop_with_a_database() -> Self {
        let mut world = Self::shop();
        world.edit("production", &json!({"migrations": migrations()}));
        world
    }

    /// The lock of an Environment's database, as the server has it.
    pub(super) fn lock_of(&self, seen: &Observed) -> Lock {
        let key = render::lock_key(seen, "slipway");
        let held = self.objects.get(&(ObjectKind::Lease, key.name.clone()));
        let held = held.map(|lease| {
            let text = |value: &Value| value.as_str().unwrap().to_owned();
            let target = Target {
                kind: ObjectKind::Lease,
                key: key.clone(),
                uid: text(&lease["metadata"]["uid"]),
                resource_version: text(&lease["metadata"]["resourceVersion"]),
            };
            (text(&lease["spec"]["holderIdentity"]), target)
        });
        Lock { key, held }
    }

    /// Who holds a database.
    pub(crate) fn holders(&self) -> Vec<String> {
        let leases = self.names(ObjectKind::Lease).into_iter();
        let held = leases.map(|name| self.object(ObjectKind::Lease, &name));
        held.map(|lease| lease["spec"]["holderIdentity"].as_str().unwrap().to_owned())
            .collect()
    }

    /// Lets a Job of migrations do its work, unless it is suspended. Whether it is one.
    pub(super) fn migrates(&mut self, name: &str) -> bool {
        let mut job = self.object(ObjectKind::Job, name);
        let Some(phase) = variable(&job, "SLIPWAY_MIGRATION") else {
            return false;
        };
        if job["spec"]["suspend"] == true || job.get("status").is_some() {
            return true;
        }
        let play = self.plays.get(phase.as_str()).copied();
        if play == Some(Play::Hang) {
            return true;
        }
        let owner = job["metadata"]["ownerReferences"][0]["uid"].as_str();
        let done = format!("{phase} of {}", owner.unwrap());
        let changes = ["run", "down", "restore", "contract"].contains(&phase.as_str());
        let is_first = self.done.insert(done.clone());
        assert!(is_first || !changes, "done twice: {done}");
        self.ledger.push(phase.clone());
        if play == Some(Play::Vanish) {
            self.delete(ObjectKind::Job, name);
            return true;
        }
        let told = match (play, phase.as_str()) {
            (Some(Play::Tells(text)), _) => text,
            (_, "validate") => "version 1\npending V2__prices.sql",
            (_, "backup") => "backup /backups/1.dump\nbytes 4096",
            (_, "run") => "version 2",
            (_, "down" | "restore") => "version 1",
            _ => "",
        };
        let code = match play {
            Some(Play::Exit(code)) => code,
            _ => 0,
        };
        if play != Some(Play::Mute) {
            self.put(
                ObjectKind::Pod,
                name,
                pod_of(
                    &job,
                    &json!({"terminated": {"exitCode": code, "message": told}}),
                ),
            );
        }
        let type_ = if code == 0 { "Complete" } else { "Failed" };
        let at = exact(self.now);
        let condition = json!({
            "type": type_, "status": "True", "reason": "BackoffLimitExceeded", "lastTransitionTime": at,
        });
        job["status"] = json!({"conditions": [condition]});
        self.store(ObjectKind::Job, name, job);
        true
    }

    /// At most one Job at a time touches a database, and no traffic moves before it is where it has to be.
    pub(super) fn check_migrations(&self) {
        let mut busy = BTreeSet::new();
        for name in self.names(ObjectKind::Job) {
            let job = self.object(ObjectKind::Job, &name);
            let is_free = job["spec"]["suspend"] == true || job.get("status").is_some();
            if let Some(database) = variable(&job, "SLIPWAY_DATABASE").filter(|_| !is_free) {
                assert!(
                    busy.insert(database),
                    "I1: two Jobs on one database: {name}"
                );
            }
        }
        for environment in self.names(ObjectKind::Environment) {
            let object = self.object(ObjectKind::Environment, &environment);
            if object["spec"].get("migrations").is_none() {
                continue;
            }
            for promotion in self.promotions_of(&environment) {
                let status = promotion.status.unwrap_or_default();
                let was_lost = |status: &crate::promotion::api::PromotionStatus| {
                    let mut audit = status.audit.iter();
                    audit.any(|entry| entry.event.contains("status was lost"))
                };
                if promotion.spec.kind.as_str() != "Promote"
                    || status.started_at.is_none()
                    || was_lost(&status)
                {
                    continue;
                }
                let state = status.migrations.as_ref().map(|known| known.state.as_str());
                assert_eq!(state, Some("Done"), "I3: {:?}", promotion.metadata.name);
            }
        }
    }
}

/// Migrations that do everything, and take back what fails.
pub(crate) fn migrations() -> Value {
    let command = |word: &str| json!({"command": ["db", word]});
    json!({
        "database": "shop-db", "imageFrom": "api",
        "validate": command("validate"), "run": command("run"), "verify": command("verify"),
        "backup": {"command": ["db", "backup"], "restoreTest": command("restore-test")},
        "rollback": {"onFailure": "Down", "onRollback": "Down", "down": command("down")},
    })
}

fn variable(job: &Value, name: &str) -> Option<String> {
    let env = job.pointer("/spec/template/spec/containers/0/env")?;
    let mut env = env.as_array()?.iter();
    let found = env.find(|variable| variable["name"] == name)?;
    Some(found["value"].as_str()?.to_owned())
}
