//! What one watch knows of one kind: objects by key, children by parent, and our own writes at once.
//!
//! A watch lags behind our writes. Whatever the API server answers to a write is put in here too, and
//! the newer of the two is kept, so a reconcile never plans on anything older than its own last write.
//! No I/O: `watch.rs` and `write.rs` do the talking.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use kube::runtime::watcher::Event;

use crate::model::key::Key;
use crate::model::meta::Identified;
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

/// Maps an object to those whose changes it has to hear of, though it does not belong to them.
pub type Interests<K> = fn(&K) -> Vec<Parent>;

/// The objects of one kind.
pub struct Cache<K> {
    state: Arc<RwLock<State<K>>>,
    relations: Relations<K>,
}

/// How objects of a kind relate to others.
struct Relations<K> {
    parents: Parents<K>,
    interests: Interests<K>,
}

impl<K> Clone for Relations<K> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K> Copy for Relations<K> {}

impl<K> Clone for Cache<K> {
    fn clone(&self) -> Self {
        Self {
            state: Arc::clone(&self.state),
            relations: self.relations,
        }
    }
}

struct State<K> {
    /// Each key is shared with the indexes, and with the object where that keeps it.
    objects: HashMap<Arc<Key>, Arc<K>>,
    children: Index,
    listeners: Index,
    /// Objects that we deleted or saw go.
    gone: Tombstones,
    /// Keys seen since the last `Init` of a scope, while a list is running.
    listing: HashMap<String, HashSet<Key>>,
    synced: BTreeSet<String>,
}

impl<K: Identified + Clone> Cache<K> {
    /// An empty cache whose objects belong to the parents that `parents` names.
    pub fn new(parents: Parents<K>) -> Self {
        let state = State {
            objects: HashMap::new(),
            children: Index::default(),
            listeners: Index::default(),
            gone: Tombstones::default(),
            listing: HashMap::new(),
            synced: BTreeSet::new(),
        };
        Self {
            state: Arc::new(RwLock::new(state)),
            relations: Relations {
                parents,
                interests: |_| Vec::new(),
            },
        }
    }

    /// The same cache, whose objects also hear of what `interests` names.
    #[must_use]
    pub fn interested_in(mut self, interests: Interests<K>) -> Self {
        self.relations.interests = interests;
        self
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
        let keys = state.children.get(&parent);
        keys.filter_map(|key| state.objects.get(key).cloned())
            .collect()
    }

    /// The objects that an object of this cache belongs to.
    pub fn parents_of(&self, key: &Key) -> Vec<Parent> {
        let object = self.get(key);
        object.map_or_else(Vec::new, |object| (self.relations.parents)(&object))
    }

    /// The objects of this cache that have to hear of `what`.
    pub fn listeners_to(&self, what: &Parent) -> Vec<Key> {
        let state = self.read();
        let listeners = state.listeners.get(what);
        listeners.map(|key| Key::clone(key)).collect()
    }

    /// Keys of everything in the cache; for start-up and metrics, never for a reconcile.
    pub fn keys(&self) -> Vec<Key> {
        let state = self.read();
        state.objects.keys().map(|key| Key::clone(key)).collect()
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
        self.observe_part(scope, "", |_| true, event)
    }

    /// The same from one of several watches that bring a part of a scope's objects each: the part has a name, and
    /// `covers` says what is in it.
    pub fn observe_part(
        &self,
        scope: &str,
        part: &str,
        covers: impl Fn(&K) -> bool,
        event: Event<K>,
    ) -> News {
        let mut state = self.write();
        // A name of a namespace has no slash.
        let list = if part.is_empty() {
            scope.to_owned()
        } else {
            format!("{scope}/{part}")
        };
        match event {
            Event::Init => {
                state.listing.insert(list, HashSet::new());
                News::default()
            }
            Event::InitApply(object) => {
                let key = Key::of(&object);
                state.listing.entry(list).or_default().insert(key);
                state.put(object, self.relations)
            }
            Event::InitDone => {
                let listed = state.listing.remove(&list).unwrap_or_default();
                state.synced.insert(list);
                let in_scope = |key: &Key| scope.is_empty() || key.namespace == scope;
                let known = state.objects.iter();
                let vanished: Vec<Arc<Key>> = known
                    .filter(|(key, object)| in_scope(key) && covers(object))
                    .map(|(key, _)| key)
                    .filter(|key| !listed.contains::<Key>(key))
                    .cloned()
                    .collect();
                let mut news = News::default();
                for key in vanished {
                    // The list may be older than what we know: then the watch brings it back.
                    news.extend(state.remove(&key, None, self.relations));
                }
                news
            }
            Event::Apply(object) => state.put(object, self.relations),
            Event::Delete(object) => {
                let key = Key::of(&object);
                let same = |known: &Arc<K>| known.own_uid() == object.own_uid();
                if state.objects.get(&key).is_some_and(same) {
                    state.remove(&key, Some(version(&object)), self.relations)
                } else {
                    News::default()
                }
            }
        }
    }

    /// Takes in the answer to one of our own writes. Whoever wrote knows; others may have to hear of it.
    pub fn remember(&self, object: K) -> News {
        self.write().put(object, self.relations)
    }

    /// Takes in that we deleted an object.
    pub fn forget(&self, key: &Key, uid: &str) {
        let mut state = self.write();
        let known = state.objects.get(key);
        if known.is_some_and(|known| known.own_uid() == uid) {
            let _ = state.remove(key, Some(u64::MAX), self.relations);
        }
    }

    /// Drops an object that nobody needs any more, and whose news is not taken in from now on.
    pub fn leave_out(&self, key: &Key) {
        if self.get(key).is_some() {
            let _ = self.write().remove(key, None, self.relations);
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

impl<K: Identified + Clone> State<K> {
    fn put(&mut self, object: K, relations: Relations<K>) -> News {
        let key = object.shared_key();
        if self.gone.covers(object.own_uid(), version(&object)) {
            return News::default();
        }
        if let Some(known) = self.objects.get(&key)
            && known.own_uid() == object.own_uid()
            && version(known.as_ref()) >= version(&object)
        {
            return News::default();
        }
        let mut news = News {
            changed: vec![Key::clone(&key)],
            parents: (relations.parents)(&object),
        };
        let new = Arc::new(object);
        // An entry would keep the old key, which is the old object's.
        let old = self.objects.remove(&key);
        self.objects.insert(Arc::clone(&key), Arc::clone(&new));
        if let Some(old) = old {
            news.parents.extend(self.unlink(&old, &key, relations));
        }
        for parent in (relations.parents)(&new) {
            self.children.add(parent, &key);
        }
        for interest in (relations.interests)(&new) {
            self.listeners.add(interest, &key);
        }
        news
    }

    /// Takes an object out; with a version, for good up to that version: an object that lost the label by which
    /// it is watched looks deleted, and may get it back.
    fn remove(&mut self, key: &Key, up_to: Option<u64>, relations: Relations<K>) -> News {
        let Some(old) = self.objects.remove(key) else {
            return News::default();
        };
        if let Some(version) = up_to {
            self.gone.add(old.own_uid(), version);
        }
        News {
            changed: vec![key.clone()],
            parents: self.unlink(&old, key, relations),
        }
    }

    /// Takes an object out of the indexes and tells whom it belonged to.
    fn unlink(&mut self, old: &K, key: &Key, relations: Relations<K>) -> Vec<Parent> {
        let parents = (relations.parents)(old);
        for parent in &parents {
            self.children.remove(parent, key);
        }
        for interest in (relations.interests)(old) {
            self.listeners.remove(&interest, key);
        }
        parents
    }
}

/// Objects that are gone, by their uid, so that news from before they went does not bring them back. Only the latest are
/// kept: such news comes within seconds, and pods come and go for years.
#[derive(Debug, Default)]
struct Tombstones {
    by_uid: HashMap<Arc<str>, u64>,
    order: VecDeque<Arc<str>>,
}

impl Tombstones {
    const KEPT: usize = 4096;

    fn add(&mut self, uid: &str, version: u64) {
        let grave: Arc<str> = uid.into();
        if self.by_uid.insert(Arc::clone(&grave), version).is_none() {
            self.order.push_back(grave);
        }
        if self.order.len() > Self::KEPT
            && let Some(oldest) = self.order.pop_front()
        {
            self.by_uid.remove(&oldest);
        }
    }

    fn covers(&self, uid: &str, version: u64) -> bool {
        let known = self.by_uid.get(uid);
        known.is_some_and(|gone| version <= *gone)
    }
}

/// Keys of objects by another object that they are related to.
#[derive(Debug, Default)]
struct Index(HashMap<Parent, BTreeSet<Arc<Key>>>);

impl Index {
    fn get(&self, by: &Parent) -> impl Iterator<Item = &Arc<Key>> {
        self.0.get(by).into_iter().flatten()
    }

    fn add(&mut self, by: Parent, key: &Arc<Key>) {
        self.0.entry(by).or_default().insert(Arc::clone(key));
    }

    fn remove(&mut self, by: &Parent, key: &Key) {
        if let Some(keys) = self.0.get_mut(by) {
            keys.remove(key);
            if keys.is_empty() {
                self.0.remove(by);
            }
        }
    }
}

/// Resource versions of one object are compared as numbers, which Kubernetes guarantees since 1.35 and
/// etcd has always given. An unreadable one counts as new, so nothing is ever held back for ever.
fn version<K: Identified>(object: &K) -> u64 {
    object.own_version().parse().unwrap_or(u64::MAX)
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
    use kube::ResourceExt;
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
    fn listeners_are_found_by_what_they_are_interested_in() {
        let cache = cache().interested_in(|object| {
            let other = object.labels().get("hears-of");
            other.map(|name| rollout(name)).into_iter().collect()
        });
        let listener = |version: &str, hears_of: &str| {
            let mut object = object("a", "1", version, "p");
            object
                .labels_mut()
                .insert("hears-of".into(), hears_of.into());
            object
        };
        cache.observe("", Event::Apply(listener("1", "x")));
        assert_eq!(cache.listeners_to(&rollout("x")), [Key::new("ns", "a")]);
        assert!(cache.listeners_to(&rollout("p")).is_empty());
        cache.observe("", Event::Apply(listener("2", "y")));
        assert!(cache.listeners_to(&rollout("x")).is_empty());
        assert_eq!(cache.parents_of(&Key::new("ns", "a")), [rollout("p")]);
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
    fn an_object_that_gets_its_label_back_is_back() {
        let cache = cache();
        cache.observe("", Event::Apply(object("a", "1", "1", "p")));
        // For a watch by label, losing the label is being deleted.
        cache.observe("", Event::Delete(object("a", "1", "2", "p")));
        cache.remember(object("a", "1", "2", "p"));
        assert!(
            cache.is_empty(),
            "an answer that is late brings nothing back"
        );
        cache.observe("", Event::Apply(object("a", "1", "3", "p")));
        assert_eq!(names(&cache, "p"), ["a"]);
    }

    #[test]
    fn a_list_that_is_older_than_our_own_write_hides_it_only_until_the_watch_catches_up() {
        let cache = cache();
        cache.remember(object("a", "1", "5", "p"));
        cache.observe("", Event::Init);
        cache.observe("", Event::InitDone);
        cache.observe("", Event::Apply(object("a", "1", "5", "p")));
        assert_eq!(names(&cache, "p"), ["a"]);
    }

    #[test]
    fn pods_that_come_and_go_for_years_leave_nothing_behind() {
        let cache = cache();
        for number in 0..3 * Tombstones::KEPT {
            let name = number.to_string();
            cache.observe("", Event::Apply(object(&name, &name, "1", "p")));
            cache.observe("", Event::Delete(object(&name, &name, "2", "p")));
        }
        let state = cache.read();
        assert_eq!(state.gone.by_uid.len(), Tombstones::KEPT);
        assert!(state.children.0.is_empty() && state.listeners.0.is_empty());
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

    #[test]
    fn what_one_of_two_watches_lists_says_nothing_about_the_others_part() {
        let cache = cache();
        let (ours, theirs) = (object("a", "1", "1", "p"), object("b", "2", "2", "p"));
        let is_ours = |object: &ConfigMap| object.name_any() == "a";
        cache.observe("", Event::Apply(ours.clone()));
        cache.observe("", Event::Apply(theirs));
        cache.observe_part("", "theirs", |object| !is_ours(object), Event::Init);
        cache.observe_part("", "", is_ours, Event::Init);
        cache.observe_part("", "", is_ours, Event::InitApply(ours));
        cache.observe_part("", "", is_ours, Event::InitDone);
        assert_eq!(cache.len(), 2);
        cache.observe_part("", "theirs", |object| !is_ours(object), Event::InitDone);
        assert_eq!(cache.len(), 1);
    }
}
