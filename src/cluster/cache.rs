//! What one watch knows of one kind: objects by key, children by parent, and our own writes at once.
//!
//! A watch lags behind our writes. Whatever the API server answers to a write is put in here too, and
//! the newer of the two is kept, so a reconcile never plans on anything older than its own last write.
//! No I/O: `watch.rs` and `write.rs` do the talking.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use kube::ResourceExt;
use kube::runtime::watcher::Event;

use crate::model::key::Key;
use crate::model::object::ObjectKind;

/// An object of ours that has to be looked at when something else changes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Parent {
    /// Its kind.
    pub kind: ObjectKind,
    /// Its key.
    pub key: Key,
}

/// Maps an object to those that have to be looked at when it changes.
pub type Parents<K> = fn(&K) -> Vec<Parent>;

/// The objects of one kind.
pub struct Cache<K> {
    state: Arc<RwLock<State<K>>>,
    parents: Parents<K>,
}

impl<K> Clone for Cache<K> {
    fn clone(&self) -> Self {
        Self {
            state: Arc::clone(&self.state),
            parents: self.parents,
        }
    }
}

struct State<K> {
    objects: HashMap<Key, Arc<K>>,
    children: HashMap<Parent, BTreeSet<Key>>,
    /// Objects that we deleted or saw go, until a later namesake: uid of the one that is gone.
    gone: HashMap<Key, String>,
    /// Keys seen since the last `Init` of a scope, while a list is running.
    listing: HashMap<String, HashSet<Key>>,
    synced: BTreeSet<String>,
}

impl<K: ResourceExt + Clone> Cache<K> {
    /// An empty cache whose objects belong to the parents that `parents` names.
    pub fn new(parents: Parents<K>) -> Self {
        let state = State {
            objects: HashMap::new(),
            children: HashMap::new(),
            gone: HashMap::new(),
            listing: HashMap::new(),
            synced: BTreeSet::new(),
        };
        Self {
            state: Arc::new(RwLock::new(state)),
            parents,
        }
    }

    /// The object of that key.
    pub fn get(&self, key: &Key) -> Option<Arc<K>> {
        self.read().objects.get(key).cloned()
    }

    /// The objects that belong to a parent, in the order of their names.
    pub fn children_of(&self, kind: ObjectKind, key: &Key) -> Vec<Arc<K>> {
        let state = self.read();
        let parent = Parent {
            kind,
            key: key.clone(),
        };
        let keys = state.children.get(&parent).into_iter().flatten();
        keys.filter_map(|key| state.objects.get(key).cloned())
            .collect()
    }

    /// Keys of everything in the cache; for start-up and metrics, never for a reconcile.
    pub fn keys(&self) -> Vec<Key> {
        self.read().objects.keys().cloned().collect()
    }

    /// How many objects are known.
    pub fn len(&self) -> usize {
        self.read().objects.len()
    }

    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether the first list of every one of these scopes is complete.
    pub fn is_synced(&self, scopes: &[String]) -> bool {
        let state = self.read();
        scopes.iter().all(|scope| state.synced.contains(scope))
    }

    /// Takes in a watch event of a scope (a namespace, or `""` for all) and tells which parents, and
    /// which objects themselves, have news. Our own writes coming back are no news.
    pub fn observe(&self, scope: &str, event: Event<K>) -> News {
        let mut state = self.write();
        match event {
            Event::Init => {
                state.listing.insert(scope.to_owned(), HashSet::new());
                News::default()
            }
            Event::InitApply(object) => {
                let key = Key::of(&object);
                state
                    .listing
                    .entry(scope.to_owned())
                    .or_default()
                    .insert(key);
                state.put(object, self.parents)
            }
            Event::InitDone => {
                state.synced.insert(scope.to_owned());
                let listed = state.listing.remove(scope).unwrap_or_default();
                let in_scope = |key: &Key| scope.is_empty() || key.namespace == scope;
                let vanished: Vec<Key> = state
                    .objects
                    .keys()
                    .filter(|key| in_scope(key) && !listed.contains(*key))
                    .cloned()
                    .collect();
                let mut news = News::default();
                for key in vanished {
                    news.extend(state.remove(&key, self.parents));
                }
                news
            }
            Event::Apply(object) => state.put(object, self.parents),
            Event::Delete(object) => {
                let key = Key::of(&object);
                let same = |known: &Arc<K>| known.uid() == object.uid();
                if state.objects.get(&key).is_some_and(same) {
                    state.remove(&key, self.parents)
                } else {
                    News::default()
                }
            }
        }
    }

    /// Takes in the answer to one of our own writes.
    pub fn remember(&self, object: K) {
        let _ = self.write().put(object, self.parents);
    }

    /// Takes in that we deleted an object.
    pub fn forget(&self, key: &Key, uid: &str) {
        let mut state = self.write();
        if state
            .objects
            .get(key)
            .and_then(|known| known.uid())
            .as_deref()
            == Some(uid)
        {
            let _ = state.remove(key, self.parents);
        }
    }

    // A poisoned lock means that a thread panicked between two complete updates; the data is sound.
    fn read(&self) -> RwLockReadGuard<'_, State<K>> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State<K>> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: ResourceExt + Clone> State<K> {
    fn put(&mut self, object: K, parents: Parents<K>) -> News {
        let key = Key::of(&object);
        let uid = object.uid().unwrap_or_default();
        if self.gone.get(&key) == Some(&uid) {
            return News::default();
        }
        if let Some(known) = self.objects.get(&key)
            && known.uid() == object.uid()
            && version(known.as_ref()) >= version(&object)
        {
            return News::default();
        }
        self.gone.remove(&key);
        let mut news = News {
            changed: vec![key.clone()],
            parents: parents(&object),
        };
        if let Some(old) = self.objects.insert(key.clone(), Arc::new(object)) {
            for parent in parents(&old) {
                self.unlink(&parent, &key);
                news.parents.push(parent);
            }
        }
        if let Some(new) = self.objects.get(&key) {
            for parent in parents(new) {
                self.children.entry(parent).or_default().insert(key.clone());
            }
        }
        news
    }

    fn remove(&mut self, key: &Key, parents: Parents<K>) -> News {
        let Some(old) = self.objects.remove(key) else {
            return News::default();
        };
        self.gone.insert(key.clone(), old.uid().unwrap_or_default());
        let parents = parents(&old);
        for parent in &parents {
            self.unlink(parent, key);
        }
        News {
            changed: vec![key.clone()],
            parents,
        }
    }

    fn unlink(&mut self, parent: &Parent, key: &Key) {
        if let Some(keys) = self.children.get_mut(parent) {
            keys.remove(key);
            if keys.is_empty() {
                self.children.remove(parent);
            }
        }
    }
}

/// Resource versions of one object are compared as numbers, which Kubernetes guarantees since 1.35 and
/// etcd has always given. An unreadable one counts as new, so nothing is ever held back for ever.
fn version<K: ResourceExt>(object: &K) -> u64 {
    object
        .resource_version()
        .and_then(|version| version.parse().ok())
        .unwrap_or(u64::MAX)
}

/// What a watch event changed.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct News {
    /// Objects of the watched kind itself.
    pub changed: Vec<Key>,
    /// Their parents, before and after. May name the same one twice.
    pub parents: Vec<Parent>,
}

impl News {
    fn extend(&mut self, other: Self) {
        self.changed.extend(other.changed);
        self.parents.extend(other.parents);
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::ConfigMap;
    use serde_json::json;

    use super::*;

    fn object(name: &str, uid: &str, version: &str, parent: &str) -> ConfigMap {
        serde_json::from_value(json!({"metadata": {
            "name": name, "namespace": "ns", "uid": uid, "resourceVersion": version,
            "labels": {"parent": parent},
        }}))
        .unwrap()
    }

    fn rollout(name: &str) -> Parent {
        Parent {
            kind: ObjectKind::Rollout,
            key: Key::new("ns", name),
        }
    }

    fn cache() -> Cache<ConfigMap> {
        Cache::new(|object| {
            object
                .labels()
                .get("parent")
                .map(|p| rollout(p))
                .into_iter()
                .collect()
        })
    }

    fn names(cache: &Cache<ConfigMap>, parent: &str) -> Vec<String> {
        let key = Key::new("ns", parent);
        cache
            .children_of(ObjectKind::Rollout, &key)
            .iter()
            .map(|o| o.name_any())
            .collect()
    }

    #[test]
    fn children_are_found_by_their_parent_and_move_with_it() {
        let cache = cache();
        cache.observe("", Event::Apply(object("a", "1", "1", "p")));
        cache.observe("", Event::Apply(object("b", "2", "2", "p")));
        assert_eq!(names(&cache, "p"), ["a", "b"]);
        let news = cache.observe("", Event::Apply(object("a", "1", "3", "q")));
        assert_eq!(news.parents, [rollout("q"), rollout("p")]);
        assert_eq!(names(&cache, "p"), ["b"]);
        assert_eq!(names(&cache, "q"), ["a"]);
    }

    #[test]
    fn our_own_write_coming_back_is_no_news() {
        let cache = cache();
        cache.remember(object("a", "1", "5", "p"));
        assert_eq!(
            cache.observe("", Event::Apply(object("a", "1", "5", "p"))),
            News::default()
        );
    }

    #[test]
    fn an_older_event_never_undoes_our_own_write() {
        let cache = cache();
        cache.remember(object("a", "1", "10", "p"));
        assert_eq!(
            cache.observe("", Event::Apply(object("a", "1", "9", "p"))),
            News::default()
        );
        let known = cache.get(&Key::new("ns", "a")).unwrap();
        assert_eq!(known.resource_version().unwrap(), "10");
    }

    #[test]
    fn what_we_deleted_does_not_come_back_but_a_namesake_does() {
        let cache = cache();
        cache.observe("", Event::Apply(object("a", "1", "1", "p")));
        cache.forget(&Key::new("ns", "a"), "1");
        cache.observe("", Event::Apply(object("a", "1", "2", "p")));
        assert!(cache.is_empty());
        cache.observe("", Event::Apply(object("a", "2", "3", "p")));
        assert_eq!(names(&cache, "p"), ["a"]);
    }

    #[test]
    fn what_vanished_while_nobody_watched_is_news_after_the_next_list() {
        let cache = cache();
        cache.observe("ns", Event::Apply(object("a", "1", "1", "p")));
        cache.observe("ns", Event::Init);
        cache.observe("ns", Event::InitApply(object("b", "2", "2", "p")));
        let news = cache.observe("ns", Event::InitDone);
        assert_eq!(
            news,
            News {
                changed: vec![Key::new("ns", "a")],
                parents: vec![rollout("p")]
            }
        );
        assert_eq!(names(&cache, "p"), ["b"]);
        assert!(cache.is_synced(&["ns".into()]));
    }

    #[test]
    fn a_list_of_one_namespace_leaves_the_others_alone() {
        let cache = cache();
        cache.observe("ns", Event::Apply(object("a", "1", "1", "p")));
        cache.observe("other", Event::Init);
        cache.observe("other", Event::InitDone);
        assert_eq!(cache.len(), 1);
    }
}
