//! Directory manifests.

use packhorse::base::Timestamp;
use packhorse::snapshot::{DirectoryManifest, EntryError, SpecialEntry};
use packhorse::source::Xattrs;

pub fn check(data: &[u8]) {
    let Ok(manifest) = DirectoryManifest::parse(data) else { return };
    let written = manifest.to_bytes();
    let again = DirectoryManifest::parse(&written).expect("what was written is read");
    assert_eq!(again, manifest);
    assert_eq!(again.to_bytes(), written);
    if let Some(supplement) = &manifest.supplement {
        for special in &supplement.specials {
            assert!(special.kind().is_none_or(|kind| SpecialEntry::new(kind).kind().is_some()));
        }
    }
    for known in manifest.entries.iter().filter_map(|entry| entry.supplement.as_deref()) {
        let xattrs = known.known_xattrs().into_iter().flat_map(Xattrs::iter);
        assert!(xattrs.map(|(name, value)| name.len() + value.len()).sum::<usize>() <= Xattrs::BYTES_MAX);
    }
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
