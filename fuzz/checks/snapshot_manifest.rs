//! Snapshot manifests.

use packhorse::base::gojson;
use packhorse::snapshot::SnapshotManifest;

pub fn check(data: &[u8]) {
    let Ok(manifest) = serde_json::from_slice::<SnapshotManifest>(data) else { return };
    let written = gojson::to_vec(&manifest).expect("what was read is written");
    let again: SnapshotManifest = serde_json::from_slice(&written).expect("what was written is read");
    assert_eq!(again, manifest);
    assert_eq!(gojson::to_vec(&again).expect("as before"), written);
    assert_eq!(manifest.is_complete(), manifest.incomplete_reason.is_empty());
    let labels = manifest.labels();
    assert!(manifest.tags.iter().all(|(key, value)| labels.get(key) == Some(value)));
    if manifest.root_entry.is_none() {
        assert_eq!((manifest.fatal_errors(), manifest.ignored_errors()), (0, 0));
    }
    assert!(manifest.source.is_global() || !manifest.source.to_string().is_empty());
}
