//! The API server of a world: what it stores, what it makes of the operator's actions, and the crash after any of them.

use serde_json::Value;

use super::{Crash, NS, World};
use crate::model::action::Action;
use crate::model::manifest::Manifest;
use crate::model::object::ObjectKind;
use crate::model::span::exact;

impl World {
    pub(super) fn put(&mut self, kind: ObjectKind, name: &str, mut object: Value) {
        let created = exact(self.now);
        object["apiVersion"] = kind.api_version().into();
        object["kind"] = kind.kind().into();
        object["metadata"]["namespace"] = NS.into();
        object["metadata"]["name"] = name.into();
        object["metadata"]["uid"] = format!("uid-{name}-{}", self.version).into();
        object["metadata"]["generation"] = 1.into();
        object["metadata"]["creationTimestamp"] = created.into();
        self.store(kind, name, object);
    }

    pub(super) fn store(&mut self, kind: ObjectKind, name: &str, mut object: Value) {
        self.version += 1;
        object["metadata"]["resourceVersion"] = self.version.to_string().into();
        self.caches.remember(kind, &object);
        self.objects.insert((kind, name.to_owned()), object);
    }

    pub(super) fn write(&mut self, action: &Action) -> Result<(), Crash> {
        self.writes += 1;
        match action {
            Action::Create(manifest) => {
                if let (ObjectKind::Job, Some(environment)) = (
                    manifest.kind,
                    manifest
                        .body
                        .pointer("/metadata/labels/slipway.dev~1environment"),
                ) {
                    let environment = environment.as_str().unwrap().to_owned();
                    self.check_stillness(&environment);
                }
                self.create(manifest);
            }
            Action::Status { target, status } => {
                let mut object = self.object(target.kind, &target.key.name);
                let version = &object["metadata"]["resourceVersion"];
                assert_eq!(
                    *version, target.resource_version,
                    "written on an old version"
                );
                object["status"] = status.clone();
                self.store(target.kind, &target.key.name, object);
            }
            Action::Delete { target, .. } => {
                self.check_unused(target.kind, &target.key.name);
                self.version += 1;
                self.delete(target.kind, &target.key.name);
            }
            Action::Fetch { .. } => {}
            Action::Apply(manifest) => {
                assert_eq!(manifest.kind, ObjectKind::ConfigMap);
                self.put(manifest.kind, &manifest.key.name, manifest.body.clone());
            }
            Action::Patch { target, change } if target.kind == ObjectKind::Job => {
                let mut object = self.object(target.kind, &target.key.name);
                let version = &object["metadata"]["resourceVersion"];
                assert_eq!(
                    *version, target.resource_version,
                    "patched on an old version"
                );
                json_patch::merge(&mut object, change);
                self.store(target.kind, &target.key.name, object);
            }
            Action::Mirror { what, .. } => self.mirror(what),
            Action::Patch { .. } | Action::PatchEach(_) | Action::Evict { .. } => {
                panic!("not ours to do: {action:?}")
            }
        }
        self.check();
        match &mut self.fuse {
            Some(0) => {
                self.fuse = None;
                Err(Crash)
            }
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    pub(super) fn create(&mut self, manifest: &Manifest) {
        let name = &manifest.key.name;
        assert!(name.len() <= 63, "{name}");
        if !self.objects.contains_key(&(manifest.kind, name.clone())) {
            self.put(manifest.kind, name, manifest.body.clone());
        }
    }
}
