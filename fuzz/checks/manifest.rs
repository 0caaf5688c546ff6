//! Batches of manifests: JSON inside gzip. An input that is no gzip is taken for the JSON inside.

use flate2::Compression;
use flate2::write::GzEncoder;
use packhorse::manifest::{ManifestEntry, decode_batch, encode_batch};
use packhorse::policy::Policy;
use packhorse::snapshot::SnapshotManifest;
use std::io::Write;

pub fn check(data: &[u8]) {
    let packed;
    let batch = if data.starts_with(&[0x1f, 0x8b]) {
        data
    } else {
        packed = gzip(data);
        &packed
    };
    let Ok(entries) = decode_batch(batch) else { return };
    for entry in &entries {
        check_entry(entry);
    }
    let again = decode_batch(&encode_batch(&entries)).expect("what was written is read");
    // `RawValue` has no equality.
    assert_eq!(format!("{again:?}"), format!("{entries:?}"));
}

fn gzip(json: &[u8]) -> Vec<u8> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::none());
    gzip.write_all(json).and_then(|()| gzip.finish()).expect("memory takes every write")
}

fn check_entry(entry: &ManifestEntry) {
    assert_eq!(entry.label("type").unwrap_or_default(), entry.kind());
    let labels = entry.labels.iter().flat_map(|labels| labels.iter());
    let wanted: Vec<_> = labels.map(|(key, value)| (key.as_str(), value.as_str())).collect();
    assert!(entry.matches(&wanted));
    assert_eq!(entry.length(), entry.data.as_ref().map_or(0, |data| data.get().len()));
    entry.decode::<serde_json::Value>().ok();
    entry.decode::<SnapshotManifest>().ok();
    entry.decode::<Policy>().ok();
}
