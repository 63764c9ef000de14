//! The only writes in the program: create, server-side apply, guarded patch, guarded status, delete, evict.
//!
//! Each puts the server's answer into the caches, so that the next plan knows of it. Talks to the API server.

use kube::api::{
    DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams, Preconditions,
    PropagationPolicy,
};
use kube::core::Status;
use kube::core::response::StatusCause;
use kube::{Api, ResourceExt};
use serde_json::{Value, json};

use super::{Cluster, page};
use crate::error::{Class, Classify, chain};
use crate::model::action::{Eviction, Outcome};
use crate::model::json::set;
use crate::model::key::Key;
use crate::model::label::SLIPWAY;
use crate::model::manifest::{Manifest, Target, controller_of};
use crate::model::object::ObjectKind;
use crate::model::place::Place;

/// Cause of a refused eviction.
const DISRUPTION_BUDGET: &str = "DisruptionBudget";

/// A write that did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The object changed since the plan was made; the next plan knows better.
    #[error("{} {key} changed in the meantime", kind.kind())]
    Conflict {
        /// What.
        kind: ObjectKind,
        /// Which.
        key: Key,
    },
    /// An object of that name is there and belongs to somebody else.
    #[error(
        "{} {key} exists and does not belong to this object; delete it, or choose another name",
        kind.kind()
    )]
    Foreign {
        /// What.
        kind: ObjectKind,
        /// Which.
        key: Key,
    },
    /// Another cluster did not answer.
    #[error("no answer from {place}")]
    Away {
        /// Where.
        place: Box<Place>,
    },
    /// The API server refused, or did not answer.
    #[error("failed to {verb} {} {key}", kind.kind())]
    Api {
        /// What we tried.
        verb: &'static str,
        /// On what.
        kind: ObjectKind,
        /// On which.
        key: Key,
        /// The cause.
        source: Box<kube::Error>,
    },
}

/// What became of an object that is created once.
#[derive(Debug)]
pub enum Once {
    /// It was made.
    Made,
    /// It was there, this one.
    WasThere(Box<DynamicObject>),
}

impl WriteError {
    fn of(verb: &'static str, kind: ObjectKind, key: &Key, error: kube::Error) -> Self {
        let key = key.clone();
        if matches!(&error, kube::Error::Api(status) if status.is_conflict()) {
            return Self::Conflict { kind, key };
        }
        let source = Box::new(error);
        Self::Api {
            verb,
            kind,
            key,
            source,
        }
    }

    /// What to tell people: the server's own words where it has some.
    pub fn sentence(&self) -> String {
        let Self::Api { source, .. } = self else {
            return self.to_string();
        };
        if let kube::Error::Api(status) = source.as_ref() {
            return format!("{self}: {}", status.message);
        }
        chain(self)
    }
}

impl Classify for WriteError {
    fn class(&self) -> Class {
        // A foreign object is not watched: that it is gone is found out by trying.
        match self {
            Self::Foreign { .. } | Self::Conflict { .. } | Self::Away { .. } | Self::Api { .. } => {
                Class::Transient
            }
        }
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Conflict { .. } => "Conflict",
            Self::Foreign { .. } => "ForeignObject",
            Self::Away { .. } => "ClusterAway",
            Self::Api { .. } => "ApiError",
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "this is the one place that writes"
)]
impl Cluster {
    /// Creates an object. One of that name that has the same owner is success.
    pub async fn create(&self, manifest: &Manifest) -> Result<(), WriteError> {
        let Manifest { kind, key, body } = manifest;
        let fail = |error| WriteError::of("create", *kind, key, error);
        let object: DynamicObject =
            serde_json::from_value(body.clone()).map_err(|e| fail(kube::Error::SerdeError(e)))?;
        match self.api(*kind, key).create(&as_slipway(), &object).await {
            Ok(created) => self.remember(*kind, created),
            Err(kube::Error::Api(status)) if status.is_already_exists() => {
                let Some(found) = self.find(*kind, key).await.map_err(fail)? else {
                    // Gone in between: the next plan makes it again.
                    let (kind, key) = (*kind, key.clone());
                    return Err(WriteError::Conflict { kind, key });
                };
                // A namespace has no owner: what it says of itself is what counts.
                let is_foreign = *kind == ObjectKind::Namespace && !has_labels(&found, &object);
                if is_foreign || !same_owner(&found, &object) {
                    return Err(WriteError::Foreign {
                        kind: *kind,
                        key: key.clone(),
                    });
                }
                if has_labels(&found, &object) {
                    self.remember(*kind, found);
                } else {
                    // Without its labels no watch sees it: it was there all the time.
                    let labels = json!({"metadata": {"labels": object.metadata.labels}});
                    self.patch(&Target::of(*kind, &found), &labels).await?;
                }
            }
            Err(error) => return Err(fail(error)),
        }
        Ok(())
    }

    /// Creates an object that nobody may have created before, whoever they are. What is there already is read from the server.
    pub async fn create_once(&self, manifest: &Manifest) -> Result<Once, WriteError> {
        let Manifest { kind, key, body } = manifest;
        let fail = |error| WriteError::of("create", *kind, key, error);
        let object: DynamicObject =
            serde_json::from_value(body.clone()).map_err(|e| fail(kube::Error::SerdeError(e)))?;
        match self.api(*kind, key).create(&as_slipway(), &object).await {
            Ok(_) => Ok(Once::Made),
            Err(kube::Error::Api(status)) if status.is_already_exists() => {
                let found = self.api(*kind, key).get(&key.name).await.map_err(fail)?;
                Ok(Once::WasThere(Box::new(found)))
            }
            Err(error) => Err(fail(error)),
        }
    }

    /// Reads an object of people's that somebody names into its cache: news of it from before then was not kept. A kind
    /// that the cluster does not have has no objects.
    pub async fn read_named(&self, kind: ObjectKind, key: &Key) -> Result<(), Box<kube::Error>> {
        match self.find(kind, key).await {
            Ok(found) => {
                if let Some(found) = found {
                    self.remember(kind, found);
                }
                Ok(())
            }
            Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
            Err(error) => Err(Box::new(error)),
        }
    }

    /// The object of that name, as the server has it now, past the caches.
    pub async fn peek(
        &self,
        kind: ObjectKind,
        key: &Key,
    ) -> Result<Option<DynamicObject>, Box<kube::Error>> {
        self.find(kind, key).await.map_err(Box::new)
    }

    /// Reads one object by its name. As a list, which the operator may do anyway: that it may read every kind one by one
    /// as well would be a right that nearly nothing uses.
    async fn find(&self, kind: ObjectKind, key: &Key) -> kube::Result<Option<DynamicObject>> {
        let by_name = ListParams::default().fields(&format!("metadata.name={}", key.name));
        let found = self.api(kind, key).list(&by_name).await?;
        Ok(found.items.into_iter().next())
    }

    /// Server-side apply of an object that is ours.
    pub async fn apply(&self, manifest: &Manifest) -> Result<(), WriteError> {
        let params = PatchParams::apply(SLIPWAY).force();
        self.apply_with(manifest, &params).await
    }

    /// The same of one that is not there yet: what somebody else has made meanwhile is a conflict.
    pub async fn apply_first(&self, manifest: &Manifest) -> Result<(), WriteError> {
        self.apply_with(manifest, &PatchParams::apply(SLIPWAY))
            .await
    }

    /// What the server would say to [`Self::apply`]; nothing is stored.
    pub async fn would_take(&self, manifest: &Manifest) -> Result<(), Box<kube::Error>> {
        let Manifest { kind, key, body } = manifest;
        let params = PatchParams::apply(SLIPWAY).force().dry_run();
        let api = self.api(*kind, key);
        let taken = api.patch(&key.name, &params, &Patch::Apply(body)).await;
        taken.map(|_| ()).map_err(Box::new)
    }

    async fn apply_with(
        &self,
        manifest: &Manifest,
        params: &PatchParams,
    ) -> Result<(), WriteError> {
        let Manifest { kind, key, body } = manifest;
        let applied = self
            .api(*kind, key)
            .patch(&key.name, params, &Patch::Apply(body))
            .await;
        let applied = applied.map_err(|error| WriteError::of("apply", *kind, key, error))?;
        self.remember(*kind, applied);
        Ok(())
    }

    /// Merges `change` into an object that still is at the version of `target`.
    pub async fn patch(&self, target: &Target, change: &Value) -> Result<(), WriteError> {
        let Target {
            kind,
            key,
            uid,
            resource_version,
        } = target;
        let mut body = change.clone();
        set(
            &mut body,
            &["metadata", "resourceVersion"],
            resource_version.as_str(),
        );
        set(&mut body, &["metadata", "uid"], uid.as_str());
        let params = PatchParams {
            field_manager: Some(SLIPWAY.to_owned()),
            ..PatchParams::default()
        };
        let patched = self
            .api(*kind, key)
            .patch(&key.name, &params, &Patch::Merge(&body))
            .await;
        let patched = patched.map_err(|error| WriteError::of("patch", *kind, key, error))?;
        self.remember(*kind, patched);
        Ok(())
    }

    /// The same for each of several objects. Of what fails, what is no lost race comes first: people have to hear of it.
    pub async fn patch_each(&self, changes: &[(Target, Value)]) -> Result<(), WriteError> {
        let mut failed = None;
        for (target, change) in changes {
            let Err(error) = self.patch(target, change).await else {
                continue;
            };
            let is_lost_race = |error: &WriteError| matches!(error, WriteError::Conflict { .. });
            if failed.as_ref().is_none_or(is_lost_race) {
                failed = Some(error);
            }
        }
        failed.map_or(Ok(()), Err)
    }

    /// Replaces the status of an object that still is at the version of `target`; returns the new version.
    pub async fn write_status(
        &self,
        target: &Target,
        status: &Value,
    ) -> Result<Target, WriteError> {
        let Target {
            kind,
            key,
            resource_version,
            ..
        } = target;
        // Setting the version makes a lost race a conflict; a failed `test` would look like an invalid object.
        let ops = json!([
            {"op": "replace", "path": "/metadata/resourceVersion", "value": resource_version},
            {"op": "add", "path": "/status", "value": status},
        ]);
        let fail = |error| WriteError::of("write the status of", *kind, key, error);
        let ops: json_patch::Patch =
            serde_json::from_value(ops).map_err(|e| fail(kube::Error::SerdeError(e)))?;
        let params = PatchParams {
            field_manager: Some("slipway-status".to_owned()),
            ..PatchParams::default()
        };
        let patch = Patch::<()>::Json(ops);
        let written = self
            .api(*kind, key)
            .patch_status(&key.name, &params, &patch)
            .await;
        let written = written.map_err(fail)?;
        let target = Target::of(*kind, &written);
        self.remember(*kind, written);
        Ok(target)
    }

    /// Deletes exactly this object. One that is gone already is success.
    pub async fn delete(&self, target: &Target, orphan: bool) -> Result<(), WriteError> {
        let Target { kind, key, uid, .. } = target;
        let policy = if orphan {
            PropagationPolicy::Orphan
        } else {
            PropagationPolicy::Background
        };
        let params = DeleteParams {
            preconditions: Some(Preconditions {
                uid: Some(uid.clone()),
                resource_version: None,
            }),
            propagation_policy: Some(policy),
            ..DeleteParams::default()
        };
        match self.api(*kind, key).delete(&key.name, &params).await {
            Ok(_) => {}
            Err(kube::Error::Api(status)) if status.is_not_found() => {}
            Err(error) => return Err(WriteError::of("delete", *kind, key, error)),
        }
        self.caches.forget(*kind, key, uid);
        Ok(())
    }

    /// Asks for exactly this pod to go, and notes the answer. One that is gone already is success, and so is the answer
    /// that a budget of disruption does not allow it now.
    pub async fn evict(&self, target: &Target, outcome: &mut Outcome) -> Result<(), WriteError> {
        let Target { kind, key, uid, .. } = target;
        let fail = |error| WriteError::of("evict", *kind, key, error);
        let mut note = |answer| drop(outcome.evictions.insert(key.name.clone(), answer));
        // Not kube's own `evict`: that sends `delete_options`, which the server drops, and the precondition with it.
        let eviction = json!({
            "apiVersion": "policy/v1", "kind": "Eviction",
            "metadata": {"namespace": key.namespace, "name": key.name},
            "deleteOptions": {"preconditions": {"uid": uid}},
        });
        let params = PostParams {
            field_manager: Some(SLIPWAY.to_owned()),
            ..PostParams::default()
        };
        let pods: Api<DynamicObject> =
            Api::namespaced_with(self.evictor.clone(), &key.namespace, &kind.api_resource());
        let answer: kube::Result<Value> = pods
            .create_subresource("eviction", &key.name, &params, &eviction)
            .await;
        match answer {
            Ok(_) => {}
            Err(kube::Error::Api(status)) if status.is_not_found() => {}
            Err(kube::Error::Api(status)) if is_protected(&status) => {
                note(Eviction::Refused(words_of_budget(&status)));
                return Ok(());
            }
            Err(error) => return Err(fail(error)),
        }
        // The answer does not have the pod. Without its end in the cache the next plan would count it as serving.
        match self.find(*kind, key).await.map_err(fail)? {
            Some(found) => self.remember(*kind, found),
            None => self.caches.forget(*kind, key, uid),
        }
        note(Eviction::Granted);
        Ok(())
    }

    fn api(&self, kind: ObjectKind, key: &Key) -> Api<DynamicObject> {
        if kind == ObjectKind::Namespace {
            return Api::all_with(self.client().clone(), &kind.api_resource());
        }
        Api::namespaced_with(self.client().clone(), &key.namespace, &kind.api_resource())
    }

    /// What the server has of a kind in a namespace (`""` for all) that carries labels, past the caches.
    pub async fn list(
        &self,
        kind: ObjectKind,
        namespace: &str,
        selector: &str,
    ) -> Result<Vec<DynamicObject>, Box<kube::Error>> {
        let api = if namespace.is_empty() {
            Api::all_with(self.client().clone(), &kind.api_resource())
        } else {
            self.api(kind, &Key::new(namespace, ""))
        };
        let list = page::list(&api, &ListParams::default().labels(selector)).await;
        list.map_err(Box::new)
    }

    pub(super) fn remember(&self, kind: ObjectKind, mut object: DynamicObject) {
        if !self.caches.needs_managers(kind, &object.metadata) {
            object.metadata.managed_fields = None;
        }
        self.caches.remember(kind, &whole(object));
    }
}

/// An object as JSON. Most of it is moved, not copied.
fn whole(object: DynamicObject) -> Value {
    let DynamicObject {
        types,
        metadata,
        data: mut whole,
    } = object;
    let metadata = serde_json::to_value(metadata).unwrap_or_default();
    set(&mut whole, &["metadata"], metadata);
    if let Some(types) = types {
        set(&mut whole, &["apiVersion"], types.api_version);
        set(&mut whole, &["kind"], types.kind);
    }
    whole
}

/// Whether a budget of disruption is why a pod may not go now. A server that has too much to do answers 429 as well.
fn is_protected(status: &Status) -> bool {
    status.code == 429 && causes(status).any(|cause| cause.reason == DISRUPTION_BUDGET)
}

/// Which budget it is, and what it needs.
fn words_of_budget(status: &Status) -> String {
    let mut causes = causes(status).filter(|cause| cause.reason == DISRUPTION_BUDGET);
    let words = causes.next().map(|cause| cause.message.clone());
    words.unwrap_or_else(|| status.message.clone())
}

fn causes(status: &Status) -> impl Iterator<Item = &StatusCause> {
    status.details.iter().flat_map(|details| &details.causes)
}

/// How objects are created.
fn as_slipway() -> PostParams {
    PostParams {
        field_manager: Some(SLIPWAY.to_owned()),
        ..PostParams::default()
    }
}

fn has_labels(found: &DynamicObject, wanted: &DynamicObject) -> bool {
    let there = found.labels();
    let mut wanted = wanted.labels().iter();
    wanted.all(|(key, value)| there.get(key) == Some(value))
}

/// Whether the object that is there belongs to the controller that wanted to create it.
fn same_owner(found: &DynamicObject, wanted: &DynamicObject) -> bool {
    let [found, wanted] = [found, wanted].map(|object| controller_of(object).map(|of| &of.uid));
    found == wanted
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::action::Action;
    use crate::model::place::Mirroring;
    use crate::model::secret::SecretKey;
    use crate::telemetry::series::{self, Series};

    #[test]
    fn what_fails_and_what_is_done_is_on_the_lists_of_the_metrics() {
        let words = |series: &Series, name: &str| {
            let label = series.labels.iter().find(|label| label.name == name);
            label.unwrap().words().unwrap()
        };
        let (kind, key) = (ObjectKind::Rollout, Key::new("shop", "api"));
        let kubeconfig = SecretKey {
            name: "there".into(),
            key: "kubeconfig".into(),
        };
        let place = Place {
            home: "shop".into(),
            kubeconfig,
            context: None,
            namespace: "shop".into(),
            account: None,
        };
        let foreign = WriteError::Foreign {
            kind,
            key: key.clone(),
        };
        let away = WriteError::Away {
            place: Box::new(place.clone()),
        };
        let failed = kube::Error::TlsRequired;
        let refused = WriteError::of("apply", kind, &key, failed);
        for error in [foreign, away, refused] {
            let reasons = words(&series::RECONCILE_ERRORS, "reason");
            assert!(reasons.contains(&error.name()), "{error}");
        }
        let body = json!({});
        let what = Mirroring::Make(Manifest { kind, key, body });
        let mirror = Action::Mirror { place, what };
        assert!(words(&series::ACTIONS, "verb").contains(&mirror.verb()));
    }

    #[test]
    fn an_object_that_is_taken_apart_is_put_together_again() {
        let metadata = json!({"name": "api", "labels": {"app": "api"}});
        let objects = [
            json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"a": [1]}, "status": {}}),
            json!({"metadata": metadata}),
        ];
        for object in objects {
            let read: DynamicObject = serde_json::from_value(object.clone()).unwrap();
            assert_eq!(whole(read), object);
        }
    }

    fn refusal(causes: &Value) -> Status {
        let status = json!({
            "status": "Failure", "code": 429, "reason": "TooManyRequests",
            "message": "Cannot evict pod as it would violate the pod's disruption budget.",
            "details": {"causes": causes},
        });
        serde_json::from_value(status).unwrap()
    }

    #[test]
    fn a_budget_that_stands_against_an_eviction_is_told_from_a_busy_server() {
        let words = "The disruption budget api needs 4 healthy pods and has 4 currently";
        let by_budget = refusal(&json!([{"reason": "DisruptionBudget", "message": words}]));
        assert!(is_protected(&by_budget));
        assert_eq!(words_of_budget(&by_budget), words);
        assert!(!is_protected(&refusal(&json!([]))));
    }
}
