//! What is asked over HTTP in JSON.

use anyhow::{Context, Result, ensure};
use reqwest::{Client, RequestBuilder};
use serde_json::Value;

/// The answer to a request with this body; null is no body, there and back.
pub(crate) async fn ask(request: RequestBuilder, body: &Value) -> Result<Value> {
    let request = if body.is_null() {
        request
    } else {
        request.json(body)
    };
    let answer = request.send().await?;
    let (url, status) = (answer.url().clone(), answer.status());
    let text = answer.text().await?;
    ensure!(status.is_success(), "{url} answers {status}: {text}");
    if text.trim().is_empty() {
        return Ok(Value::Null);
    }
    serde_json::from_str(&text).with_context(|| format!("{url} answers no JSON"))
}

/// Whether what is there says that it is well.
pub(crate) async fn is_well(http: &Client, url: &str) -> Result<()> {
    let status = http.get(url).send().await?.status();
    ensure!(status.is_success(), "{url} answers {status}");
    Ok(())
}
