//! Batches: how manifests lie in a content.

use super::ManifestEntry;
use crate::base::gojson;
use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;
use serde::{Deserialize, Serialize};
use std::io::{Read, Write};

/// No repository has a gigabyte of manifests in one batch; a bomb has.
const MAX_BATCH_BYTES: u64 = 1 << 30;

#[derive(Serialize)]
struct BatchOut<'a> {
    entries: &'a [ManifestEntry],
}

#[derive(Deserialize)]
struct BatchIn {
    entries: Option<Vec<ManifestEntry>>,
}

/// Encodes a batch. Only `entries` may stand in it: Kopia's reader stumbles over anything else.
pub fn encode_batch(entries: &[ManifestEntry]) -> Vec<u8> {
    let json = gojson::to_line(&BatchOut { entries }).expect("manifests are JSON already");
    let mut gzip = GzEncoder::new(Vec::with_capacity(json.len() / 4 + 64), Compression::default());
    gzip.write_all(&json).and_then(|()| gzip.finish()).expect("memory takes every write")
}

/// Decodes a batch, the plaintext of a content with prefix `m`.
///
/// # Errors
/// What is wrong with it, in words.
pub fn decode_batch(data: &[u8]) -> Result<Vec<ManifestEntry>, String> {
    let mut json = Vec::new();
    let read = MultiGzDecoder::new(data).take(MAX_BATCH_BYTES + 1).read_to_end(&mut json);
    read.map_err(|error| error.to_string())?;
    if json.len() as u64 > MAX_BATCH_BYTES {
        return Err(format!("it unpacks to more than {MAX_BATCH_BYTES} bytes"));
    }
    let mut values = serde_json::Deserializer::from_slice(&json).into_iter::<BatchIn>();
    let batch = values.next().ok_or("it is empty")?.map_err(|error| error.to_string())?;
    Ok(batch.entries.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::ManifestId;
    use std::collections::BTreeMap;

    #[test]
    fn a_batch_reads_as_it_was_written() {
        let labels = BTreeMap::from([("type".to_owned(), "policy".to_owned())]);
        let live = ManifestEntry {
            id: ManifestId::new("0123"),
            labels: Some(labels.into()),
            modified: "2024-05-01T10:00:03.6Z".parse().unwrap(),
            deleted: false,
            data: serde_json::value::to_raw_value(&serde_json::json!({"later": [1]})).ok().map(Into::into),
        };
        let gone = ManifestEntry { labels: None, deleted: true, data: None, ..live.clone() };
        let encoded = encode_batch(&[live, gone]);
        let mut json = String::new();
        MultiGzDecoder::new(encoded.as_slice()).read_to_string(&mut json).unwrap();
        let wanted = concat!(
            r#"{"entries":[{"id":"0123","labels":{"type":"policy"},"modified":"2024-05-01T10:00:03.6Z","data":{"later":[1]}},"#,
            r#"{"id":"0123","labels":null,"modified":"2024-05-01T10:00:03.6Z","deleted":true,"data":null}]}"#,
            "\n"
        );
        assert_eq!(json, wanted);
        let back = decode_batch(&encoded).unwrap();
        assert_eq!(back.len(), 2);
        assert_eq!(back[0].data.as_ref().unwrap().get(), r#"{"later":[1]}"#);
        assert!(back[1].deleted);
    }

    proptest::proptest! {
        #[test]
        fn garbage_is_refused(bytes: Vec<u8>) {
            proptest::prop_assert!(decode_batch(&bytes).is_err());
        }
    }
}
