//! What migrations create: a Job per phase, and the Lease of the database. No I/O.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::super::api::{MigrationVariable, Migrations};
use super::super::migration::word;
use super::super::observed::{Observed, Record};
use crate::check::api::CheckJob;
use crate::model::action::Action;
use crate::model::json::set;
use crate::model::key::{Key, MAX_NAME, suffixed};
use crate::model::label;
use crate::model::manifest::{Manifest, Target};
use crate::model::object::ObjectKind;
use crate::promotion::api::{MigrationPhase, MigrationStatus};
use crate::release::api::ImageRef;

/// Value of the component label on the Lease of a database.
const LOCK: &str = "database-lock";

/// Where the Lease of an Environment's database is: in the operator's own namespace, where nobody else can hold or free it.
/// Databases of the same name in two namespaces are two. What is under way keeps the database that it has begun with.
pub fn lock_key(seen: &Observed, namespace: &str) -> Key {
    let all = seen.promotions.iter().chain(&seen.migrations);
    let mut under_way = all.filter(|record| !record.status.phase.unwrap_or_default().is_finished());
    let begun = under_way.find_map(|record| {
        let known = record.status.migrations.as_ref();
        known.filter(|known| known.has_lock())
    });
    let rules = seen.spec.migrations.as_ref();
    let wanted = rules.map(|rules| rules.database.as_str());
    let database = begun.map(|begun| begun.database.as_str()).or(wanted);
    let database = database.unwrap_or_default();
    let whose = format!("slipway-db.{}", seen.key.namespace);
    Key::new(namespace, suffixed(&whose, database, MAX_NAME))
}

/// Who holds the Lease while the migrations of a record run.
pub fn holder(seen: &Observed, record: &Record) -> String {
    format!("{}/{}", seen.key, record.name())
}

/// The Lease of the database, held by a record.
pub fn lock(seen: &Observed, record: &Record, now: Timestamp) -> Manifest {
    let since = now.strftime("%Y-%m-%dT%H:%M:%S.000000Z").to_string();
    let rest = json!({"spec": {"holderIdentity": holder(seen, record), "acquireTime": since}});
    let labels = [(label::COMPONENT, LOCK)];
    Manifest::new(
        ObjectKind::Lease,
        seen.lock.key.clone(),
        &labels,
        None,
        rest,
    )
}

/// The image that the commands of migrations are in; nothing, where the Release has none.
pub fn image<'a>(rules: &'a Migrations, images: &'a [ImageRef]) -> Option<&'a str> {
    let Some(name) = &rules.image_from else {
        return rules.image.as_deref();
    };
    let found = images.iter().find(|image| image.name == *name);
    found.map(|image| image.reference.as_str())
}

/// Name of the Job of a phase. It is the same whoever makes it, whenever.
pub fn phase_job_name(record: &Record, phase: MigrationPhase) -> String {
    super::job_name(record, &format!("migrate-{}", word(phase)), 1)
}

/// What a phase is told beside what every check of its Promotion is.
#[derive(Clone, Copy, Debug)]
pub struct Telling<'a> {
    /// What is known of the migrations.
    pub status: &'a MigrationStatus,
    /// The image of the command.
    pub image: &'a str,
    /// The commit of the Release.
    pub commit: Option<&'a str>,
}

/// The Job of a phase, suspended: it is let go when the record says so. It stays as long as its Promotion, because it is what
/// shows that the phase was done.
pub fn phase_job(
    seen: &Observed,
    record: &Record,
    (rules, phase): (&Migrations, MigrationPhase),
    telling: Telling<'_>,
) -> Option<Manifest> {
    let (command, timeout) = rules.command(phase)?;
    let check = CheckJob {
        image: telling.image.to_owned(),
        command: command.to_vec(),
        env: Vec::new(),
    };
    let mut told = super::told(seen, record, telling.commit);
    told.extend(about(record, phase, telling.status));
    let name = phase_job_name(record, phase);
    let mut job = super::job_of(seen, record, name, (&check, told, timeout));
    set(&mut job.body, &["spec", "suspend"], true);
    if let Some(spec) = job.body.get_mut("spec").and_then(Value::as_object_mut) {
        spec.remove("ttlSecondsAfterFinished");
    }
    add_env(&mut job, &rules.env);
    Some(job)
}

/// Gives the container of a Job variables, some of which are values of Secrets.
pub fn add_env(job: &mut Manifest, variables: &[MigrationVariable]) {
    let env = job.body.pointer_mut("/spec/template/spec/containers/0/env");
    if let Some(env) = env.and_then(Value::as_array_mut) {
        env.extend(variables.iter().map(|variable| {
            let name = &variable.name;
            if let Some(secret) = &variable.secret_ref {
                let of = json!({"name": secret.name, "key": secret.key});
                return json!({"name": name, "valueFrom": {"secretKeyRef": of}});
            }
            let value = variable.value.as_deref().unwrap_or_default();
            json!({"name": name, "value": value})
        }));
    }
}

fn about(
    record: &Record,
    phase: MigrationPhase,
    status: &MigrationStatus,
) -> Vec<(String, String)> {
    let mut all = vec![
        ("SLIPWAY_MIGRATION", word(phase).to_owned()),
        ("SLIPWAY_DATABASE", status.database.clone()),
    ];
    if let Some(version) = &record.spec.version {
        all.push(("SLIPWAY_TARGET_VERSION", version.clone()));
    }
    if let Some(version) = &status.version_before {
        all.push(("SLIPWAY_VERSION_BEFORE", version.clone()));
    }
    if let Some(backup) = &status.backup {
        all.push(("SLIPWAY_BACKUP", backup.reference.clone()));
    }
    let all = all.into_iter();
    all.map(|(name, value)| (name.to_owned(), value)).collect()
}

/// What lets a suspended Job go.
pub fn let_go(job: &Target) -> Action {
    Action::Patch {
        target: job.clone(),
        change: json!({"spec": {"suspend": false}}),
    }
}
