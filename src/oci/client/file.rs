//! Content that is too large for memory: put there from a file, and brought into one. Talks to the network and to the
//! operating system.

use std::fs;
use std::io::{self, Read, Write};
use std::path::Path;

use futures::{FutureExt, Stream, stream};
use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE};
use reqwest::{Body, Method};
use sha2::{Digest, Sha256};
use tokio::fs::File;
use tokio::io::AsyncReadExt;

use super::{CONTENT, Registry};
use crate::model::key::hexadecimal;
use crate::oci::manifest::Descriptor;
use crate::oci::wire::{MAX_TOKEN, Problem, RegistryError, Result};

/// How much of a file is in memory.
const PART: usize = 256 << 10;

impl Registry {
    /// Puts the content of a file there, unless it is there already.
    pub async fn put_file(&self, media_type: &str, file: &Path) -> Result<Descriptor> {
        let (hash, size) = hashed(file).map_err(|error| unusable(file, &error))?;
        let descriptor = Descriptor {
            media_type: media_type.to_owned(),
            digest: named(hash),
            size,
            ..Descriptor::default()
        };
        self.tried(|| self.upload_file(&descriptor, file).boxed())
            .await?;
        Ok(descriptor)
    }

    /// Brings content into a file, if it is no longer than it is said to be. What is left of a try that failed is worth nothing.
    pub async fn fetch_file(&self, content: &Descriptor, file: &Path) -> Result<()> {
        self.tried(|| self.download_file(content, file).boxed())
            .await
    }

    async fn upload_file(&self, content: &Descriptor, file: &Path) -> Result<()> {
        let Some(place) = self.place_for(&content.digest).await? else {
            return Ok(());
        };
        let opened = File::open(file).await;
        let opened = opened.map_err(|error| unusable(file, &error))?;
        let request = self.wire.request(Method::PUT, place.as_str())?;
        let request = request
            .header(CONTENT_TYPE, CONTENT)
            .header(CONTENT_LENGTH, content.size)
            .body(Body::wrap_stream(parts(opened)));
        let done = self.wire.send(request, MAX_TOKEN).await?;
        self.wire.expect_success("the content", done).map(drop)
    }

    async fn download_file(&self, content: &Descriptor, file: &Path) -> Result<()> {
        let url = self
            .wire
            .repository
            .url(&format!("blobs/{}", content.digest));
        let request = self.wire.request(Method::GET, &url)?;
        let mut into = fs::File::create(file).map_err(|error| unusable(file, &error))?;
        let mut hash = Sha256::new();
        let mut keep = |part: &[u8]| {
            hash.update(part);
            into.write_all(part)
        };
        let answer = self.wire.receive(request, content.size, &mut keep).await?;
        self.wire.expect_success("content", answer)?;
        self.check(&content.digest, &named(hash))
    }
}

/// The digest of what was hashed.
fn named(hash: Sha256) -> String {
    format!("sha256:{}", hexadecimal(&hash.finalize()))
}

/// What is in a file, hashed, and its length.
///
/// # Errors
/// It cannot be read.
pub fn hashed(file: &Path) -> io::Result<(Sha256, u64)> {
    let mut file = fs::File::open(file)?;
    let mut hash = Sha256::new();
    let mut size = 0_u64;
    let mut buffer = vec![0; PART];
    loop {
        let count = file.read(&mut buffer)?;
        let part = buffer.get(..count).unwrap_or_default();
        if part.is_empty() {
            return Ok((hash, size));
        }
        hash.update(part);
        size = size.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
    }
}

/// A file, part by part.
fn parts(file: File) -> impl Stream<Item = io::Result<Vec<u8>>> + Send + 'static {
    stream::try_unfold(file, |mut file| async move {
        let mut part = vec![0; PART];
        let count = file.read(&mut part).await?;
        part.truncate(count);
        io::Result::Ok((count > 0).then_some((part, file)))
    })
}

fn unusable(file: &Path, error: &io::Error) -> RegistryError {
    let message = format!("cannot use {}: {error}", file.display());
    RegistryError::new(Problem::Protocol, message)
}
