//! Directory manifests.

use packhorse::base::Timestamp;
use packhorse::snapshot::{DirectoryManifest, EntryError};

pub fn check(data: &[u8]) {
    let Ok(manifest) = DirectoryManifest::parse(data) else { return };
    let written = manifest.to_bytes();
    let again = DirectoryManifest::parse(&written).expect("what was written is read");
    assert_eq!(again, manifest);
    assert_eq!(again.to_bytes(), written);
    // What a later snapshot does with members it takes over: their totals are untrusted.
    let failures = manifest.summary.iter().flat_map(|summary| summary.errors.clone());
    let failures: Vec<(EntryError, bool)> = failures.map(|error| (error, error_is_ignored(data))).collect();
    let built = DirectoryManifest::build(manifest.entries, failures, Timestamp::EPOCH, "");
    assert_eq!(DirectoryManifest::parse(&built.to_bytes()).expect("what was built is read"), built);
    let summary = built.summary.expect("a built directory has totals");
    assert!(summary.dirs > 0);
}

fn error_is_ignored(data: &[u8]) -> bool {
    data.len().is_multiple_of(2)
}
