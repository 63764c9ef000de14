//! What is known to be vulnerable, told as osv.dev tells it: from the small database of ours, since nothing of the internet can
//! be asked here.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use anyhow::{Context, Result};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};

/// A running service. Dropping it closes its port.
#[derive(Debug)]
pub struct Advisories {
    address: SocketAddr,
    _stop_on_drop: DropGuard,
}

impl Advisories {
    /// Starts it on an address, such as one that pods reach.
    ///
    /// # Errors
    ///
    /// No port is to be had, or a record of the database is broken.
    pub async fn start_on(address: IpAddr) -> Result<Self> {
        let records: Arc<[Value]> = records()?.into();
        let listener = TcpListener::bind((address, 0)).await?;
        let address = listener.local_addr()?;
        let stop = CancellationToken::new();
        let serving = serve(listener, records, stop.clone());
        tokio::spawn(stop.clone().run_until_cancelled_owned(serving));
        Ok(Self {
            address,
            _stop_on_drop: stop.drop_guard(),
        })
    }

    /// Where a package of a version is asked for.
    pub fn url(&self) -> String {
        format!("http://{}/v1/query", self.address)
    }
}

/// The records about packages of Python.
fn records() -> Result<Vec<Value>> {
    let folder = crate::repository_root().join("testbed/src/image/osv/PyPI");
    let mut found = Vec::new();
    for entry in fs::read_dir(&folder)? {
        let path = entry?.path();
        let record = serde_json::from_slice(&fs::read(&path)?);
        found.push(record.with_context(|| format!("cannot read {}", path.display()))?);
    }
    Ok(found)
}

async fn serve(listener: TcpListener, records: Arc<[Value]>, stop: CancellationToken) {
    while let Ok((stream, _)) = listener.accept().await {
        let records = Arc::clone(&records);
        let service = service_fn(move |request| {
            let records = Arc::clone(&records);
            async move { answer(&records, request).await }
        });
        let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
        tokio::spawn(stop.clone().run_until_cancelled_owned(async move {
            // A client that goes in the middle is its own business.
            let _ = connection.await;
        }));
    }
}

async fn answer(records: &[Value], request: Request<Incoming>) -> Result<Response<Full<Bytes>>> {
    let (head, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let query: Option<Value> = serde_json::from_slice(&body).ok();
    let (status, said) = match query {
        Some(query) if head.method == Method::POST && head.uri.path() == "/v1/query" => {
            (StatusCode::OK, about(records, &query))
        }
        _ => (StatusCode::NOT_FOUND, json!({"message": "ask /v1/query"})),
    };
    let answer = Response::builder().status(status);
    let answer = answer.header("content-type", "application/json");
    Ok(answer.body(said.to_string().into())?)
}

/// What is known of a package at a version: an empty object if nothing is.
fn about(records: &[Value], query: &Value) -> Value {
    let package = &query["package"];
    let version = query["version"].as_str().unwrap_or_default();
    let is_hit = |record: &&Value| {
        let affected = record["affected"].as_array();
        let mut affected = affected.into_iter().flatten();
        affected.any(|affected| {
            let same =
                |field: &str| affected.pointer(&format!("/package/{field}")) == package.get(field);
            let ranges = affected.get("ranges");
            same("name")
                && same("ecosystem")
                && ranges.is_some_and(|ranges| is_within(ranges, version))
        })
    };
    let found: Vec<&Value> = records.iter().filter(is_hit).collect();
    if found.is_empty() {
        json!({})
    } else {
        json!({"vulns": found})
    }
}

/// Whether a version is in one of the ranges. Events are in order in the database.
fn is_within(ranges: &Value, version: &str) -> bool {
    let events = |range: &Value| range["events"].as_array().cloned().unwrap_or_default();
    let mut ranges = ranges.as_array().into_iter().flatten();
    ranges.any(|range| {
        events(range).iter().fold(false, |is_in, event| {
            let reaches = |what: &str| {
                let since = event[what].as_str();
                since.is_some_and(|since| numbers(version) >= numbers(since))
            };
            reaches("introduced") || (is_in && !reaches("fixed"))
        })
    })
}

/// The numbers of a version, without zeros at the end: pre-releases are in no record.
fn numbers(version: &str) -> Vec<u64> {
    let numbers = version.split('.').map(|part| part.parse().unwrap_or(0));
    let mut numbers: Vec<u64> = numbers.collect();
    while numbers.last() == Some(&0) {
        numbers.pop();
    }
    numbers
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(name: &str, version: &str) -> usize {
        let package = json!({"name": name, "ecosystem": "PyPI"});
        let said = about(
            &records().unwrap(),
            &json!({"package": package, "version": version}),
        );
        said["vulns"].as_array().map_or(0, Vec::len)
    }

    #[test]
    fn a_package_is_vulnerable_until_it_is_repaired() {
        assert_eq!(known("requests", "2.19.1"), 2);
        assert_eq!(known("requests", "2.20.0"), 0);
        assert_eq!(known("requests", "2.32.4"), 0);
        assert_eq!(known("flask", "2.19.1"), 0);
    }

    #[test]
    fn of_several_ranges_each_counts() {
        for (version, hits) in [
            ("2.1", 0),
            ("2.2.27", 1),
            ("2.2.28", 0),
            ("3.2.12", 1),
            ("3.2.13", 0),
        ] {
            assert_eq!(known("django", version), hits, "{version}");
        }
    }
}
