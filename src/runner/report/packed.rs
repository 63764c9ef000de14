//! A summary as compressed text, to get through where there is room for 4 KiB. No I/O.
//!
//! The reader is given whatever a script likes: it unpacks no more than a summary can be, and takes nothing that
//! is larger than a status holds.

use std::io::{Read, Write};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::pipeline_run::api::ReportSummary;
use crate::report::bounds;

/// Largest summary, unpacked, in bytes.
const MAX_UNPACKED: u64 = 64 << 10;

/// Packs a summary.
#[expect(clippy::ref_option, reason = "serde passes fields by reference")]
pub(super) fn serialize<S: Serializer>(
    summary: &Option<ReportSummary>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let Some(summary) = summary else {
        return serializer.serialize_none();
    };
    let pack = || -> Option<String> {
        let text = serde_json::to_vec(summary).ok()?;
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(&text).ok()?;
        Some(STANDARD.encode(encoder.finish().ok()?))
    };
    pack().serialize(serializer)
}

/// Unpacks a summary.
pub(super) fn deserialize<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<ReportSummary>, D::Error> {
    let Some(text) = Option::<String>::deserialize(deserializer)? else {
        return Ok(None);
    };
    let packed = STANDARD.decode(text).map_err(D::Error::custom)?;
    let mut unpacked = Vec::new();
    let mut decoder = DeflateDecoder::new(packed.as_slice()).take(MAX_UNPACKED);
    decoder
        .read_to_end(&mut unpacked)
        .map_err(D::Error::custom)?;
    let mut summary: ReportSummary = serde_json::from_slice(&unpacked).map_err(D::Error::custom)?;
    bounds::keep(&mut summary);
    Ok(Some(summary))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runner::report::StageReport;

    #[test]
    fn a_bomb_is_not_unpacked() {
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
        let piece = vec![b' '; 1 << 20];
        for _ in 0..64 {
            encoder.write_all(&piece).unwrap();
        }
        let bomb = STANDARD.encode(encoder.finish().unwrap());
        let text = format!("{{\"reports\":\"{bomb}\"}}");
        assert_eq!(StageReport::parse(&text), None);
        assert_eq!(StageReport::parse(r#"{"reports":"!"}"#), None);
    }
}
