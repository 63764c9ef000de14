//! Objects of which only a part is kept, on their way from the API server into a cache. No I/O.

use std::borrow::Cow;

use kube::Resource;
use kube::core::{NamespaceResourceScope, ObjectMeta};
use kube::runtime::watcher::Event;
use serde::{Deserialize, Deserializer};

use crate::model::workload::Part;

/// The part, and what a watch wants to know of each object: its version.
#[derive(Clone, Debug)]
pub(super) struct Coming<K> {
    metadata: ObjectMeta,
    part: K,
}

impl<'de, K: Part + Deserialize<'de>> Deserialize<'de> for Coming<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let part = K::deserialize(deserializer)?;
        let version = Some(part.own_version()).filter(|version| !version.is_empty());
        let metadata = ObjectMeta {
            resource_version: version.map(str::to_owned),
            ..ObjectMeta::default()
        };
        Ok(Self { metadata, part })
    }
}

impl<K: Part> Resource for Coming<K> {
    type DynamicType = ();
    type Scope = NamespaceResourceScope;

    fn kind((): &()) -> Cow<'_, str> {
        K::Whole::kind(&())
    }

    fn group((): &()) -> Cow<'_, str> {
        K::Whole::group(&())
    }

    fn version((): &()) -> Cow<'_, str> {
        K::Whole::version(&())
    }

    fn plural((): &()) -> Cow<'_, str> {
        K::Whole::plural(&())
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

/// The same event of what is kept.
pub(super) fn arrived<K>(event: Event<Coming<K>>) -> Event<K> {
    match event {
        Event::Apply(coming) => Event::Apply(coming.part),
        Event::Delete(coming) => Event::Delete(coming.part),
        Event::InitApply(coming) => Event::InitApply(coming.part),
        Event::Init => Event::Init,
        Event::InitDone => Event::InitDone,
    }
}

#[cfg(test)]
mod tests {
    use kube::ResourceExt;
    use kube::core::WatchEvent;
    use serde_json::json;

    use super::*;
    use crate::model::workload::{Job, Pod, ReplicaSet};

    #[test]
    fn a_watch_is_told_the_kind_and_the_version_and_a_cache_gets_the_part() {
        assert_eq!(Coming::<Pod>::kind(&()), "Pod");
        assert_eq!(
            Coming::<Pod>::url_path(&(), Some("shop")),
            "/api/v1/namespaces/shop/pods"
        );
        assert_eq!(Coming::<Job>::api_version(&()), "batch/v1");
        assert_eq!(Coming::<ReplicaSet>::plural(&()), "replicasets");
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": "a", "namespace": "shop", "uid": "u", "resourceVersion": "7"},
            "spec": {"containers": []}, "status": {"phase": "Running"},
        });
        let event = json!({"type": "MODIFIED", "object": pod});
        let event: WatchEvent<Coming<Pod>> = serde_json::from_value(event).unwrap();
        let WatchEvent::Modified(coming) = event else {
            panic!("another event");
        };
        assert_eq!(coming.resource_version().as_deref(), Some("7"));
        let Event::Apply(kept) = arrived(Event::Apply(coming)) else {
            panic!("another event");
        };
        assert_eq!(kept, serde_json::from_value(pod).unwrap());
        let without: Coming<Pod> = serde_json::from_value(json!({"metadata": {}})).unwrap();
        assert_eq!(without.resource_version(), None);
    }
}
