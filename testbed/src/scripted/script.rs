//! What a scripted pod does, in words: `ready-after=50ms`, `exit=1,after=100ms,message=…`. No I/O.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, Error, Result, bail, ensure};

/// How long a container takes to become ready or, in a Job, to succeed.
pub(super) const DEFAULT_AFTER: Duration = Duration::from_millis(50);
/// How long a container runs each time before it crashes.
const DEFAULT_CRASH_AFTER: Duration = Duration::from_millis(20);

/// A parsed script. What it leaves open depends on the pod.
///
/// Items are separated by commas; `message=` comes last and takes the rest. One behaviour at most:
///
/// | item | what the pod's main container does |
/// |---|---|
/// | `ready-after=50ms` | runs, and is ready after this time |
/// | `never-ready` | runs |
/// | `ready-then-unready=5s` | is ready, and no longer after this time (`ready-after` may be given) |
/// | `ready-then-fail=5s` | is ready, and crashes in a loop after this time (`ready-after` may be given) |
/// | `crash-loop`, `crash-loop=20ms` | exits with 1 after this time, again and again |
/// | `oom`, `oom=20ms` | is killed for its memory after this time, again and again |
/// | `image-missing` | waits: `ErrImagePull`, then `ImagePullBackOff` |
/// | `config-error` | waits: `CreateContainerConfigError` |
/// | `evicted`, `evicted=5s` | the pod is evicted at once, or this time after it became ready |
/// | `exit=0`, with `after=100ms` and `message=…` | exits; the message is its termination message |
///
/// And with each: `terminate-after=200ms`, the time from deletion to the end, cut off at the pod's
/// grace period; `appends=/tmp/ledger`, a file that gets a line with the pod's name and labels when its main container
/// begins. Under restart policy `Never` (or `OnFailure` and exit code 0) an exit ends the pod;
/// else the container starts again, ever later.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Script {
    /// `None`: ready after 50 ms, or a success after 50 ms where the restart policy is not `Always`.
    pub behaviour: Option<Behaviour>,
    /// `None`: 50 ms.
    pub terminate_after: Option<Duration>,
    /// What gets a line when the main container begins.
    pub appends: Option<PathBuf>,
}

/// What the main container does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Behaviour {
    /// Runs, and is ready after a time.
    Ready {
        /// From its creation.
        after: Duration,
    },
    /// Runs and never is ready.
    NeverReady,
    /// Is ready for a time only.
    ReadyThen {
        /// From its creation.
        after: Duration,
        /// How long it is ready.
        ready_for: Duration,
        /// What comes then.
        then: Then,
    },
    /// Ends by itself after a time; the restart policy says what comes then.
    Exits {
        /// From its start.
        after: Duration,
        /// How it ends.
        exit: Exit,
    },
    /// Waits for its image.
    ImageMissing,
    /// Waits for its configuration.
    ConfigError,
    /// The pod is evicted before it starts.
    Evicted,
    /// Waits, because the pod's script cannot be read.
    Invalid(String),
}

/// What comes after being ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// Runs on, not ready.
    Unready,
    /// Crashes in a loop.
    Fail,
    /// The pod is evicted.
    Evicted,
}

/// How a container ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exit {
    /// The exit code.
    pub code: i32,
    /// `Completed`, `Error` or `OOMKilled`.
    pub reason: &'static str,
    /// The termination message.
    pub message: Option<String>,
}

impl Exit {
    /// As a process that exits by itself.
    pub fn with_code(code: i32) -> Self {
        Self {
            code,
            reason: if code == 0 { "Completed" } else { "Error" },
            message: None,
        }
    }

    /// As the kernel does when a container uses too much memory.
    pub fn out_of_memory() -> Self {
        Self {
            code: 137,
            reason: "OOMKilled",
            message: None,
        }
    }
}

/// The items of a script, taken out one by one; what is left is a mistake.
struct Items<'a>(BTreeMap<&'a str, &'a str>);

impl<'a> Items<'a> {
    fn split(text: &'a str) -> Result<Self> {
        let mut items = BTreeMap::new();
        let mut rest = text.trim();
        while !rest.is_empty() {
            let end = if rest.starts_with("message=") {
                None
            } else {
                rest.find(',')
            };
            let (item, tail) = match end {
                Some(end) => (rest.get(..end), rest.get(end + 1..)),
                None => (Some(rest), None),
            };
            rest = tail.unwrap_or_default().trim_start();
            let item = item.unwrap_or_default();
            let (key, value) = item.split_once('=').unwrap_or((item, ""));
            ensure!(
                items.insert(key.trim(), value).is_none(),
                "`{}` comes twice",
                key.trim()
            );
        }
        Ok(Self(items))
    }

    fn take(&mut self, key: &str) -> Option<&'a str> {
        self.0.remove(key)
    }

    /// A duration that must be given when the key is.
    fn duration(&mut self, key: &str) -> Result<Option<Duration>> {
        self.take(key).map(|value| duration(key, value)).transpose()
    }

    /// A duration that may be left out when the key is given.
    fn duration_or(&mut self, key: &str, default: Duration) -> Result<Option<Duration>> {
        let value = self.take(key);
        value
            .map(|v| {
                if v.is_empty() {
                    Ok(default)
                } else {
                    duration(key, v)
                }
            })
            .transpose()
    }

    fn flag(&mut self, key: &str) -> Result<bool> {
        let value = self.take(key);
        ensure!(
            value.unwrap_or_default().is_empty(),
            "`{key}` takes no value"
        );
        Ok(value.is_some())
    }
}

fn duration(key: &str, value: &str) -> Result<Duration> {
    let parsed = value.parse::<kube::core::Duration>();
    let parsed = parsed
        .ok()
        .filter(|parsed| !value.is_empty() && !parsed.is_negative());
    let parsed = parsed.with_context(|| format!("`{key}` is no duration: `{value}`"))?;
    Ok(parsed.into())
}

impl FromStr for Script {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let mut items = Items::split(text)?;
        let terminate_after = items.duration("terminate-after")?;
        let appends = items.take("appends").map(PathBuf::from);
        let mut behaviours = behaviours(&mut items)?;
        if let Some(key) = items.0.keys().next() {
            bail!("`{key}` is unknown, or of no use here: {text}");
        }
        let behaviour = behaviours.pop();
        ensure!(behaviours.is_empty(), "more than one behaviour: {text}");
        Ok(Self {
            behaviour,
            terminate_after,
            appends,
        })
    }
}

fn behaviours(items: &mut Items<'_>) -> Result<Vec<Behaviour>> {
    let mut found = Vec::new();
    if items.flag("never-ready")? {
        found.push(Behaviour::NeverReady);
    }
    if items.flag("image-missing")? {
        found.push(Behaviour::ImageMissing);
    }
    if items.flag("config-error")? {
        found.push(Behaviour::ConfigError);
    }
    for (key, exit) in [
        ("crash-loop", Exit::with_code(1)),
        ("oom", Exit::out_of_memory()),
    ] {
        if let Some(after) = items.duration_or(key, DEFAULT_CRASH_AFTER)? {
            found.push(Behaviour::Exits { after, exit });
        }
    }
    found.extend(exit(items)?);
    found.extend(ready(items)?);
    Ok(found)
}

fn exit(items: &mut Items<'_>) -> Result<Option<Behaviour>> {
    let Some(code) = items.take("exit") else {
        return Ok(None);
    };
    let code: u8 = code
        .parse()
        .with_context(|| format!("`exit` is no exit code: `{code}`"))?;
    let after = items.duration("after")?.unwrap_or(DEFAULT_AFTER);
    let message = items.take("message").map(str::to_owned);
    Ok(Some(Behaviour::Exits {
        after,
        exit: Exit {
            message,
            ..Exit::with_code(code.into())
        },
    }))
}

/// The behaviours that start with being ready.
fn ready(items: &mut Items<'_>) -> Result<Vec<Behaviour>> {
    let given = items.duration("ready-after")?;
    let after = given.unwrap_or(DEFAULT_AFTER);
    let mut found = Vec::new();
    for (key, then) in [
        ("ready-then-unready", Then::Unready),
        ("ready-then-fail", Then::Fail),
    ] {
        if let Some(ready_for) = items.duration(key)? {
            found.push(Behaviour::ReadyThen {
                after,
                ready_for,
                then,
            });
        }
    }
    match items.take("evicted") {
        Some("") => {
            ensure!(
                given.is_none(),
                "`evicted` needs a time after `ready-after`"
            );
            found.push(Behaviour::Evicted);
        }
        Some(value) => {
            let ready_for = duration("evicted", value)?;
            found.push(Behaviour::ReadyThen {
                after,
                ready_for,
                then: Then::Evicted,
            });
        }
        None => {}
    }
    if found.is_empty() && given.is_some() {
        found.push(Behaviour::Ready { after });
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Script {
        text.parse()
            .unwrap_or_else(|error| panic!("{text}: {error:#}"))
    }

    const fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn every_behaviour_has_a_word() {
        let ready_then = |after, ready_for, then| Behaviour::ReadyThen {
            after,
            ready_for,
            then,
        };
        let crash = |after, exit| Behaviour::Exits { after, exit };
        for (text, expected) in [
            ("ready-after=50ms", Behaviour::Ready { after: ms(50) }),
            ("never-ready", Behaviour::NeverReady),
            (
                "ready-then-unready=5s",
                ready_then(ms(50), ms(5_000), Then::Unready),
            ),
            (
                "ready-then-fail=5s",
                ready_then(ms(50), ms(5_000), Then::Fail),
            ),
            (
                "ready-after=1s, ready-then-fail=2s",
                ready_then(ms(1_000), ms(2_000), Then::Fail),
            ),
            ("crash-loop", crash(ms(20), Exit::with_code(1))),
            ("crash-loop=1m", crash(ms(60_000), Exit::with_code(1))),
            ("oom", crash(ms(20), Exit::out_of_memory())),
            ("image-missing", Behaviour::ImageMissing),
            ("config-error", Behaviour::ConfigError),
            ("evicted", Behaviour::Evicted),
            ("evicted=1s", ready_then(ms(50), ms(1_000), Then::Evicted)),
            ("exit=3", crash(ms(50), Exit::with_code(3))),
        ] {
            assert_eq!(parsed(text).behaviour, Some(expected), "{text}");
        }
    }

    #[test]
    fn a_message_takes_the_rest_commas_and_all() {
        let script =
            parsed("terminate-after=1s,exit=0,after=100ms,message={\"a\":1,\"b\":\"x=y\"}");
        let message = Some("{\"a\":1,\"b\":\"x=y\"}".to_owned());
        let exit = Exit {
            code: 0,
            reason: "Completed",
            message,
        };
        assert_eq!(
            script.behaviour,
            Some(Behaviour::Exits {
                after: ms(100),
                exit
            })
        );
        assert_eq!(script.terminate_after, Some(ms(1_000)));
    }

    #[test]
    fn what_begins_can_leave_a_line() {
        let script = parsed("appends=/tmp/a=b,exit=0,message=x");
        assert_eq!(script.appends, Some(PathBuf::from("/tmp/a=b")));
        assert!(matches!(script.behaviour, Some(Behaviour::Exits { .. })));
    }

    #[test]
    fn what_is_not_said_is_left_open() {
        assert_eq!(parsed(""), Script::default());
        let script = parsed("terminate-after=200ms");
        assert_eq!(
            (script.behaviour, script.terminate_after),
            (None, Some(ms(200)))
        );
    }

    #[test]
    fn mistakes_are_told() {
        for (text, reason) in [
            ("redy-after=50ms", "`redy-after` is unknown"),
            ("ready-after=", "`ready-after` is no duration"),
            ("ready-after=-1s", "`ready-after` is no duration"),
            ("ready-after=50", "`ready-after` is no duration"),
            ("never-ready=1s", "`never-ready` takes no value"),
            ("never-ready,oom", "more than one behaviour"),
            ("exit=256", "`exit` is no exit code"),
            ("never-ready,message=x", "`message` is unknown"),
            ("never-ready,never-ready", "`never-ready` comes twice"),
            ("evicted,ready-after=1s", "`evicted` needs a time"),
        ] {
            let error = text.parse::<Script>().unwrap_err().to_string();
            assert!(error.starts_with(reason), "{text}: {error}");
        }
    }
}
