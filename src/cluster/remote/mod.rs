//! Other clusters that Environments are in: one room for each namespace of each, shared by those who have their mirror there. Talks to
//! the API servers of those clusters, and to this one's for Secrets.
//!
//! Who plans reads memory. What is asked over there is asked by tasks of the room's own, so a cluster that hangs holds up neither a
//! worker nor any other cluster; only writes wait for an answer, and not for long.

mod room;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Cluster;
use super::fetch::value_of;
use super::write::WriteError;
use crate::environment::mirror::kubeconfig::{self, Reach};
use crate::environment::mirror::{State, Trouble};
use crate::model::key::{Key, short_hash};
use crate::model::place::{Mirroring, Place};
use crate::rollout::api::Rollout;
use room::Room;

/// How long another cluster may take to answer.
const CALL: Duration = Duration::from_secs(10);
/// Digits of the hash that tells kubeconfigs apart.
const DIGITS: usize = 32;

/// Whether other clusters are reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reaching {
    /// They are not.
    #[default]
    Nothing,
    /// They are, as whoever the kubeconfig says.
    Clusters,
    /// They are, for tenants: as ServiceAccounts of theirs only.
    AsAccounts,
}

/// Other clusters that Environments are in. Cloning clones the handle.
#[derive(Clone, Default)]
pub struct Remotes(Arc<Inner>);

#[derive(Default)]
struct Inner {
    rooms: Mutex<BTreeMap<Place, Arc<Room>>>,
    life: OnceLock<Life>,
}

/// How long rooms are kept, and by whom.
struct Life {
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Remotes {
    /// From now on rooms are kept, until `stop`.
    pub fn live(&self, stop: CancellationToken, tasks: TaskTracker) {
        let _ = self.0.life.set(Life { stop, tasks });
    }

    /// Takes an Environment out of all places but these. A place that nobody is in any more is not watched any more.
    pub fn keep_only(&self, of: &Key, places: &BTreeSet<&Place>) {
        self.rooms().retain(|place, room| {
            let is_used = places.contains(place) || !room.is_empty_without(of);
            if !is_used {
                room.close();
            }
            is_used
        });
    }

    /// A Rollout in a place, as it was when it was last told of.
    pub fn rollout(&self, place: &Place, name: &str) -> Option<Arc<Rollout>> {
        self.room(place)?.rollout(name)
    }

    fn room(&self, place: &Place) -> Option<Arc<Room>> {
        self.rooms().get(place).cloned()
    }

    /// Closes a room whose kubeconfig is gone or is no good any more.
    fn shut(&self, place: &Place) {
        if let Some(room) = self.rooms().remove(place) {
            room.close();
        }
    }

    /// The room of a place that was made with this kubeconfig; made, where there is none.
    fn enter(
        &self,
        place: &Place,
        mark: &str,
        make: impl FnOnce() -> Result<Room, String>,
    ) -> Result<Arc<Room>, String> {
        let mut rooms = self.rooms();
        if let Some(known) = rooms.get(place).filter(|known| known.is_of(mark)) {
            return Ok(Arc::clone(known));
        }
        let room = Arc::new(make()?);
        if let Some(life) = self.0.life.get() {
            let work = room
                .end()
                .run_until_cancelled_owned(Arc::clone(&room).run());
            let stop = life.stop.clone();
            life.tasks.spawn(stop.run_until_cancelled_owned(work));
        }
        if let Some(old) = rooms.insert(place.clone(), Arc::clone(&room)) {
            old.close();
        }
        Ok(room)
    }

    // A poisoned lock means that a thread panicked between two complete updates; the data is sound.
    fn rooms(&self) -> MutexGuard<'_, BTreeMap<Place, Arc<Room>>> {
        self.0.rooms.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Cluster {
    /// What is known of a place, for an Environment that lists these Rollouts. It is told once there is more to know.
    ///
    /// # Errors
    /// The Secret cannot be read for now.
    pub async fn sight(
        &self,
        of: &Key,
        place: &Place,
        rollouts: BTreeSet<String>,
    ) -> Result<State, Box<kube::Error>> {
        let room = match self.room_at(place).await? {
            Ok(room) => room,
            Err((trouble, text)) => {
                self.remotes.shut(place);
                return Ok(State::Away(trouble, text));
            }
        };
        Ok(room.look(of, &rollouts))
    }

    async fn room_at(
        &self,
        place: &Place,
    ) -> Result<Result<Arc<Room>, (Trouble, String)>, Box<kube::Error>> {
        if !self.reaches_clusters() {
            let text = "this operator reaches no other clusters; set clusters.enabled: true in the values of its chart";
            return Ok(Err((Trouble::ClustersOff, text.to_owned())));
        }
        if self.reaching == Reaching::AsAccounts && place.account.is_none() {
            let text = "this operator acts for tenants as ServiceAccounts of theirs only (tenancy.enabled in the values of its chart); \
                        name one in spec.cluster.serviceAccountName";
            return Ok(Err((Trouble::NoServiceAccount, text.to_owned())));
        }
        let text = match self.kubeconfig(place).await? {
            Ok(text) => text,
            Err(problem) => return Ok(Err((Trouble::NoKubeconfig, problem))),
        };
        let about = &place.kubeconfig;
        let invalid = |problem: String| {
            let text = format!("key {} of Secret {}: {problem}", about.key, about.name);
            (Trouble::InvalidKubeconfig, text)
        };
        let reach = match kubeconfig::read(&text, place.context.as_deref()) {
            Ok(reach) => reach,
            Err(problem) => return Ok(Err(invalid(problem))),
        };
        if let Err(refusal) = self.http.egress().check(&reach.server.to_string()) {
            return Ok(Err((Trouble::NotAllowed, refusal)));
        }
        let mark = short_hash(text.as_bytes(), DIGITS);
        let make = || self.make_room(place, &mark, reach);
        Ok(self.remotes.enter(place, &mark, make).map_err(invalid))
    }

    fn make_room(&self, place: &Place, mark: &str, reach: Reach) -> Result<Room, String> {
        Room::new(self, place.clone(), mark.to_owned(), reach)
    }

    /// The kubeconfig of a place, or why there is none.
    async fn kubeconfig(&self, place: &Place) -> Result<Result<String, String>, Box<kube::Error>> {
        let secrets: Api<Secret> = Api::namespaced(self.client.clone(), &place.home);
        let name = &place.kubeconfig.name;
        let found = secrets.get_opt(name).await.map_err(Box::new)?;
        Ok(match found {
            Some(secret) => value_of(&secret, &place.kubeconfig),
            None => Err(format!(
                "there is no Secret {name} in namespace {}",
                place.home
            )),
        })
    }

    /// Does something to a mirror.
    ///
    /// # Errors
    /// As for any write, and where its cluster does not answer.
    pub async fn mirror(&self, place: &Place, what: &Mirroring) -> Result<(), WriteError> {
        let away = || WriteError::Away {
            place: Box::new(place.clone()),
        };
        let Some(room) = self.remotes.room(place) else {
            return Err(away());
        };
        let write = async {
            let there = room.there();
            match what {
                Mirroring::Make(manifest) => there.apply_first(manifest).await,
                Mirroring::Keep { target, change } => {
                    let kept = there.patch(target, change).await;
                    kept.map(|()| room.merged(target, change))
                }
                Mirroring::Tell { target, status } => {
                    there.write_status(target, status).await.map(|_| ())
                }
                Mirroring::Remove(target) => there.delete(target, false).await,
            }
        };
        let done = tokio::time::timeout(CALL, write).await;
        let done = done.unwrap_or_else(|_| Err(away()));
        if done.is_err() {
            room.ask();
        }
        done
    }
}
