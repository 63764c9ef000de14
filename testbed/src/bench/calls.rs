//! Requests of one user, counted from the API server's audit log.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::Value;

/// The audit log from a moment on.
#[derive(Debug)]
pub(super) struct Mark {
    log: PathBuf,
    at: u64,
    user: String,
}

/// Requests by verb and resource. Watches, and what concerns the Lease, are left out.
#[derive(Debug, Default, Clone)]
pub(super) struct Calls(BTreeMap<(String, String), u64>);

impl Mark {
    /// From now on.
    pub(super) fn now(log: &Path, user: &str) -> Result<Self> {
        let at = std::fs::metadata(log).context("no audit log")?.len();
        Ok(Self {
            log: log.to_owned(),
            at,
            user: user.to_owned(),
        })
    }

    /// What came since.
    pub(super) fn calls(&self) -> Result<Calls> {
        let mut file = File::open(&self.log)?;
        file.seek(SeekFrom::Start(self.at))?;
        let mut text = String::new();
        file.read_to_string(&mut text)?;
        let mut calls = Calls::default();
        let needle = format!("\"username\":\"{}\"", self.user);
        for line in text.lines().filter(|line| line.contains(&needle)) {
            // The server may be writing the last line.
            if let Ok(event) = serde_json::from_str::<Value>(line) {
                calls.add(&event, &self.user);
            }
        }
        Ok(calls)
    }
}

impl Calls {
    fn add(&mut self, event: &Value, user: &str) {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let object = &event["objectRef"];
        let mut resource = text(&object["resource"]);
        if let Some(subresource) = object["subresource"].as_str() {
            resource = format!("{resource}/{subresource}");
        }
        let verb = text(&event["verb"]);
        let is_counted = event["user"]["username"] == user
            && event["stage"] == "ResponseComplete"
            && verb != "watch"
            && !resource.is_empty()
            && resource != "leases"
            && resource != "selfsubjectaccessreviews";
        if is_counted {
            *self.0.entry((verb, resource)).or_default() += 1;
        }
    }

    /// All of them.
    pub(super) fn total(&self) -> u64 {
        self.0.values().sum()
    }

    /// The Events among them.
    pub(super) fn events(&self) -> u64 {
        self.of(|_, resource| resource == "events")
    }

    /// Those that only read.
    pub(super) fn reads(&self) -> u64 {
        self.of(|verb, _| verb == "get" || verb == "list")
    }

    fn of(&self, is_meant: impl Fn(&str, &str) -> bool) -> u64 {
        let meant = self
            .0
            .iter()
            .filter(|((verb, resource), _)| is_meant(verb, resource));
        meant.map(|(_, count)| count).sum()
    }

    /// Each kind of request per object.
    pub(super) fn per_object(&self, count: u32) -> Vec<(String, f64)> {
        let each = self.0.iter().map(|((verb, resource), calls)| {
            (
                format!("{verb} {resource}"),
                as_f64(*calls) / f64::from(count),
            )
        });
        each.collect()
    }
}

/// Counts here are far below 2^53.
#[expect(clippy::cast_precision_loss, reason = "counts of a benchmark")]
pub(super) fn as_f64(count: u64) -> f64 {
    count as f64
}
