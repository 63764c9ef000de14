//! The files of the page: in the program, or in a program that is not for release on the disk.

use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use rust_embed::RustEmbed;

use super::page::{INDEX, NOT_BUILT, cache_control, content_type, etag, is_known};

/// What `make ui` builds.
#[derive(RustEmbed)]
#[folder = "ui/dist"]
#[allow_missing = true]
struct Files;

/// A file of the page.
pub(super) async fn file(uri: Uri, headers: HeaderMap) -> Response {
    let path = uri.path().trim_start_matches('/');
    let path = if path.is_empty() { INDEX } else { path };
    let Some(file) = Files::get(path) else {
        return missing(path);
    };
    let tag = etag(&file.metadata.sha256_hash());
    let known = headers.get(header::IF_NONE_MATCH);
    let known = known.and_then(|value| value.to_str().ok());
    let fields = [
        (header::CONTENT_TYPE, content_type(path)),
        (header::CACHE_CONTROL, cache_control(path)),
        (header::ETAG, tag.as_str()),
    ];
    if is_known(known, &tag) {
        return (StatusCode::NOT_MODIFIED, fields).into_response();
    }
    (fields, file.data).into_response()
}

fn missing(path: &str) -> Response {
    let fields = [(header::CACHE_CONTROL, "no-store")];
    if path != INDEX {
        let text = "there is no such page; the dashboard begins at /\n";
        return (StatusCode::NOT_FOUND, fields, text).into_response();
    }
    let fields = [
        (header::CONTENT_TYPE, content_type(INDEX)),
        (header::CACHE_CONTROL, "no-store"),
    ];
    (StatusCode::SERVICE_UNAVAILABLE, fields, NOT_BUILT).into_response()
}
