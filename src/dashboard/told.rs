//! What a stream tells, as Server-Sent Events: put together for a moment, and with ids that say how far everything was told. No I/O.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Write;

use serde_json::{Value, json};

use super::topic::Topic;

/// What there is where a kind cannot be told of.
const NOTHING: &str = "-";

/// What there is where whoever looks is not known any more.
const UNKNOWN: &str = "Unauthorized";
/// What there is where the API server does not answer.
const UNAVAILABLE: &str = "Unavailable";

/// What a watch says.
#[derive(Clone, Debug, PartialEq)]
pub enum Heard {
    /// An object is there, or has changed.
    Put {
        /// Its kind.
        topic: Topic,
        /// What pages get of it.
        object: Value,
        /// The version of the kind that it brings; none while it is listed.
        version: Option<String>,
    },
    /// An object is gone.
    Gone {
        /// Its kind.
        topic: Topic,
        /// Its namespace, name and uid.
        whose: [String; 3],
        /// The version of the kind that it brings.
        version: String,
    },
    /// Everything that was there has been told, up to this version.
    Synced(Topic, String),
    /// There is nothing new up to this version.
    Quiet(Topic, String),
    /// A kind cannot be told of.
    Trouble(Topic, Trouble),
    /// What was told cannot be gone on from.
    Lost,
}

/// Why a kind cannot be told of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// A word.
    pub reason: &'static str,
    /// What the API server says.
    pub message: String,
}

impl Heard {
    /// Whether there is nothing to tell any more: the API server does not know whoever looks.
    pub fn is_end(&self) -> bool {
        matches!(self, Self::Trouble(_, trouble) if trouble.reason == UNKNOWN)
    }

    /// Keeps the kinds that are not told of, for more than a moment.
    pub fn note_refusal(&self, refused: &mut BTreeSet<Topic>) {
        match self {
            Self::Trouble(topic, trouble) if !trouble.may_pass() => {
                refused.insert(*topic);
            }
            Self::Put { topic, .. }
            | Self::Gone { topic, .. }
            | Self::Synced(topic, _)
            | Self::Quiet(topic, _)
            | Self::Trouble(topic, _) => {
                refused.remove(topic);
            }
            Self::Lost => refused.clear(),
        }
    }
}

impl Trouble {
    /// What a status of HTTP says of it.
    pub fn of(code: u16, message: String) -> Self {
        let reason = match code {
            401 => UNKNOWN,
            403 => "Forbidden",
            404 => "NotFound",
            _ => UNAVAILABLE,
        };
        Self { reason, message }
    }

    /// Whether it may be over in a moment.
    pub fn may_pass(&self) -> bool {
        self.reason == UNAVAILABLE
    }
}

/// How far each kind was told, as versions of the API server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Position(BTreeMap<Topic, String>);

impl Position {
    /// What an id of an event says, if it says something of each of these kinds.
    pub fn read(id: &str, topics: &[Topic]) -> Option<Self> {
        let parts = id.split(',').filter_map(|part| part.split_once('='));
        let known: HashMap<&str, &str> = parts.collect();
        let of = |topic: &Topic| {
            let version = known.get(topic.plural())?;
            let is_version = !version.is_empty() && version.bytes().all(|b| b.is_ascii_digit());
            (is_version || *version == NOTHING).then(|| (*topic, (*version).to_owned()))
        };
        let found: Option<BTreeMap<Topic, String>> = topics.iter().map(of).collect();
        found.map(Self)
    }

    /// The version from which a kind is told on; from its beginning, where there is none.
    pub fn of(&self, topic: Topic) -> Option<&str> {
        let version = self.0.get(&topic).map(String::as_str);
        version.filter(|version| *version != NOTHING)
    }

    fn id(&self, topics: usize) -> Option<String> {
        if self.0.len() < topics {
            return None;
        }
        let parts = self.0.iter();
        let parts = parts.map(|(topic, version)| format!("{}={version}", topic.plural()));
        Some(parts.collect::<Vec<_>>().join(","))
    }
}

/// What is to be told next.
#[derive(Debug, Default)]
pub struct Batch {
    /// Number of kinds that are told of.
    topics: usize,
    position: Position,
    /// The id that was told last.
    told: Option<String>,
    frames: Vec<(&'static str, Value)>,
    /// Where among the frames what is told of an object stands.
    places: HashMap<(Topic, String, String), usize>,
}

impl Batch {
    /// Nothing yet, of so many kinds, going on from where a stream was before.
    pub fn new(topics: usize, position: Position) -> Self {
        Self {
            topics,
            position,
            ..Self::default()
        }
    }

    /// Whether there is nothing to tell.
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// Takes what a watch says. Of one object the last word counts.
    pub fn take(&mut self, heard: Heard) {
        match heard {
            Heard::Put {
                topic,
                object,
                version,
            } => {
                let [namespace, name] = ["/metadata/namespace", "/metadata/name"].map(|path| {
                    let found = object.pointer(path).and_then(Value::as_str);
                    found.unwrap_or_default().to_owned()
                });
                let data = json!({"kind": topic.kind(), "object": object});
                self.tell((topic, namespace, name), ("put", data));
                if let Some(version) = version {
                    self.position.0.insert(topic, version);
                }
            }
            Heard::Gone {
                topic,
                whose: [namespace, name, uid],
                version,
            } => {
                let data =
                    json!({"kind": topic.kind(), "namespace": namespace, "name": name, "uid": uid});
                self.tell((topic, namespace, name), ("gone", data));
                self.position.0.insert(topic, version);
            }
            Heard::Synced(topic, version) => {
                self.frames.push(("synced", json!({"kind": topic.kind()})));
                self.position.0.insert(topic, version);
            }
            Heard::Quiet(topic, version) => drop(self.position.0.insert(topic, version)),
            Heard::Trouble(topic, Trouble { reason, message }) => {
                let data = json!({"kind": topic.kind(), "reason": reason, "message": message});
                self.frames.push(("trouble", data));
                let nothing = || NOTHING.to_owned();
                self.position.0.entry(topic).or_insert_with(nothing);
            }
            Heard::Lost => {
                *self = Self::new(self.topics, Position::default());
                self.frames.push(("reset", json!({})));
            }
        }
    }

    fn tell(&mut self, whose: (Topic, String, String), frame: (&'static str, Value)) {
        let place = self.places.get(&whose).copied();
        if let Some(before) = place.and_then(|place| self.frames.get_mut(place)) {
            *before = frame;
            return;
        }
        self.places.insert(whose, self.frames.len());
        self.frames.push(frame);
    }

    /// What has been put together, as text of a stream. The last event has the id: whoever has it has all before it too.
    pub fn flush(&mut self) -> String {
        let frames = std::mem::take(&mut self.frames);
        self.places.clear();
        let mut text = String::new();
        let last = frames.len().saturating_sub(1);
        for (index, (event, data)) in frames.iter().enumerate() {
            if index == last {
                text.push_str(&self.id());
            }
            // Writing to a String cannot fail.
            let _ = write!(text, "event: {event}\ndata: {data}\n\n");
        }
        text
    }

    /// A sign of life, with the id where it is another one by now.
    pub fn sign_of_life(&mut self) -> String {
        // What is still to be told is told with its own id.
        let id = if self.is_empty() {
            self.id()
        } else {
            String::new()
        };
        format!(": alive\n{id}\n")
    }

    fn id(&mut self) -> String {
        let id = self.position.id(self.topics);
        if id.is_none() || id == self.told {
            return String::new();
        }
        let line = id.as_ref().map(|id| format!("id: {id}\n"));
        self.told = id;
        line.unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::object::ObjectKind;

    const ROLLOUTS: Topic = Topic::Own(ObjectKind::Rollout);
    const ENVIRONMENTS: Topic = Topic::Own(ObjectKind::Environment);

    fn put(topic: Topic, name: &str, phase: &str, version: Option<&str>) -> Heard {
        Heard::Put {
            topic,
            object: json!({"metadata": {"namespace": "shop", "name": name}, "phase": phase}),
            version: version.map(str::to_owned),
        }
    }

    fn gone(topic: Topic, name: &str, version: &str) -> Heard {
        Heard::Gone {
            topic,
            whose: ["shop", name, "u1"].map(str::to_owned),
            version: version.to_owned(),
        }
    }

    fn batch(topics: usize) -> Batch {
        Batch::new(topics, Position::default())
    }

    #[test]
    fn a_stream_begins_with_what_is_there() {
        let mut batch = batch(1);
        batch.take(put(ROLLOUTS, "api", "Healthy", None));
        assert_eq!(
            batch.flush(),
            "event: put\ndata: {\"kind\":\"Rollout\",\"object\":{\"metadata\":{\"name\":\"api\",\"namespace\":\"shop\"},\"phase\":\"Healthy\"}}\n\n"
        );
        batch.take(Heard::Synced(ROLLOUTS, "12".to_owned()));
        assert_eq!(
            batch.flush(),
            "id: rollouts=12\nevent: synced\ndata: {\"kind\":\"Rollout\"}\n\n"
        );
        assert!(batch.is_empty());
        assert_eq!(batch.flush(), "");
    }

    #[test]
    fn of_an_object_the_last_word_counts() {
        let mut batch = batch(1);
        batch.take(put(ROLLOUTS, "api", "Progressing", Some("13")));
        batch.take(put(ROLLOUTS, "web", "Healthy", Some("14")));
        batch.take(put(ROLLOUTS, "api", "Paused", Some("15")));
        batch.take(gone(ROLLOUTS, "web", "16"));
        let text = batch.flush();
        assert!(text.contains("Paused") && !text.contains("Progressing"));
        assert_eq!(text.matches("event: put").count(), 1, "{text}");
        assert_eq!(text.matches("event: gone").count(), 1, "{text}");
        assert_eq!(text.matches("id: ").count(), 1, "{text}");
        // Only with the last one is everything told.
        let end = text.rsplit_once("id: rollouts=16\n").unwrap().1;
        assert!(end.starts_with("event: gone"), "{end}");
        batch.take(put(ROLLOUTS, "api", "Healthy", Some("17")));
        assert!(batch.flush().contains("Healthy"));
    }

    #[test]
    fn there_is_an_id_only_when_each_kind_is_told() {
        let mut batch = batch(2);
        batch.take(Heard::Synced(ROLLOUTS, "12".to_owned()));
        assert!(!batch.flush().contains("id: "));
        let trouble = Trouble {
            reason: "Forbidden",
            message: "olga may not".to_owned(),
        };
        batch.take(Heard::Trouble(ENVIRONMENTS, trouble));
        let text = batch.flush();
        assert!(
            text.starts_with("id: environments=-,rollouts=12\nevent: trouble\n"),
            "{text}"
        );
        let position = Position::read("environments=-,rollouts=12", &[ROLLOUTS, ENVIRONMENTS]);
        let position = position.unwrap();
        assert_eq!(position.of(ROLLOUTS), Some("12"));
        assert_eq!(position.of(ENVIRONMENTS), None);
    }

    #[test]
    fn an_id_that_lacks_a_kind_or_is_none_does_not_count() {
        for wrong in [
            "",
            "rollouts=12",
            "rollouts=12,environments=",
            "rollouts=12,environments=x\n",
            "7",
        ] {
            let read = Position::read(wrong, &[ROLLOUTS, ENVIRONMENTS]);
            assert_eq!(read, None, "{wrong}");
        }
        assert!(Position::read("rollouts=12,pods=3", &[ROLLOUTS]).is_some());
    }

    #[test]
    fn a_quiet_stream_says_that_it_lives_and_how_far_it_is() {
        let mut batch = batch(1);
        assert_eq!(batch.sign_of_life(), ": alive\n\n");
        batch.take(Heard::Quiet(ROLLOUTS, "20".to_owned()));
        assert_eq!(batch.sign_of_life(), ": alive\nid: rollouts=20\n\n");
        assert_eq!(batch.sign_of_life(), ": alive\n\n");
        batch.take(put(ROLLOUTS, "api", "Healthy", Some("21")));
        assert_eq!(batch.sign_of_life(), ": alive\n\n");
        assert!(batch.flush().starts_with("id: rollouts=21\n"));
    }

    #[test]
    fn what_is_lost_begins_anew() {
        let mut batch = Batch::new(1, Position::read("rollouts=3", &[ROLLOUTS]).unwrap());
        batch.take(put(ROLLOUTS, "api", "Healthy", Some("4")));
        batch.take(Heard::Lost);
        assert_eq!(batch.flush(), "event: reset\ndata: {}\n\n");
        batch.take(put(ROLLOUTS, "api", "Paused", None));
        assert!(!batch.flush().contains("id: "));
    }
}
