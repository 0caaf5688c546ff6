//! Index files of version 2. Every accessor must hold up on whatever file was opened, and so must the merged index.

use packhorse::crypto::Hash;
use packhorse::format::{ContentId, IdPrefix};
use packhorse::index::{self, IndexEntry, MergedIndex, PackIndex};

pub fn check(data: &[u8]) {
    check_version(2, data);
}

/// Reads the input as a file of one version, whatever its first byte says.
pub(super) fn check_version(version: u8, data: &[u8]) {
    let mut file = data.to_vec();
    if let Some(first) = file.first_mut() {
        *first = version;
    }
    let Ok(index) = PackIndex::open(file) else { return };
    let entries = check_index(&index);
    check_merged(&index, &entries);
    let Ok(encoded) = index::encode(version, &entries) else { return };
    let again = PackIndex::open(encoded).expect("what was written is read");
    assert!(again.iter().eq(entries.iter().cloned()));
}

/// Calls every accessor of an opened file and returns what it holds.
pub(super) fn check_index(index: &PackIndex) -> Vec<IndexEntry> {
    let entries: Vec<_> = index.iter().collect();
    assert_eq!((entries.len(), entries.is_empty()), (index.len(), index.is_empty()));
    assert!(entries.is_sorted_by(|a, b| a.id < b.id));
    for (position, entry) in entries.iter().enumerate() {
        assert_eq!(index.entry(position).as_ref(), Some(entry));
        assert_eq!(index.find(&entry.id).as_ref(), Some(entry));
        assert!(entry.pack.is_valid());
        for absent in neighbours(&entry.id) {
            let known = entries.binary_search_by_key(&absent, |entry| entry.id).is_ok();
            assert_eq!(index.find(&absent).is_some(), known);
        }
    }
    assert_eq!(index.entry(index.len()), None);
    assert_eq!(index.entry(usize::MAX), None);
    assert!(index.packs().iter().all(packhorse::blob::BlobId::is_valid));
    entries
}

/// Ids that differ a little.
fn neighbours(id: &ContentId) -> Vec<ContentId> {
    let hash = id.hash().as_bytes();
    let mut changed = hash.to_vec();
    changed[hash.len() - 1] ^= 1;
    let longer = [hash, &[0]].concat();
    let hashes = [&changed[..], &longer, &hash[1..]].into_iter().filter_map(Hash::from_slice);
    let same_prefix = hashes.map(|hash| ContentId::new(id.prefix(), hash));
    same_prefix.chain([ContentId::new(IdPrefix::MANIFEST, *id.hash())]).collect()
}

fn check_merged(index: &PackIndex, entries: &[IndexEntry]) {
    let mut merged = MergedIndex::new([index, index], i64::MIN).expect("a file is small");
    check_union(&merged, entries);
    merged.merge_with(std::slice::from_ref(index)).expect("a file is small");
    check_union(&merged, entries);
    let watermark = entries.first().map_or(0, |entry| entry.timestamp_seconds);
    let live = |entry: &&IndexEntry| !(entry.deleted && entry.timestamp_seconds <= watermark);
    let kept: Vec<_> = entries.iter().filter(live).cloned().collect();
    let merged = MergedIndex::new([index], watermark).expect("a file is small");
    assert_eq!(merged.deletion_watermark(), watermark);
    check_union(&merged, &kept);
}

fn check_union(merged: &MergedIndex, entries: &[IndexEntry]) {
    assert_eq!((merged.len(), merged.is_empty()), (entries.len(), entries.is_empty()));
    assert!(merged.iter(true).map(|entry| entry.to_entry()).eq(entries.iter().cloned()));
    let live = entries.iter().filter(|entry| !entry.deleted).map(|entry| entry.id);
    assert!(merged.iter(false).map(|entry| entry.id()).eq(live));
    for entry in entries {
        assert_eq!(merged.lookup(&entry.id).as_ref(), Some(entry));
        let found = merged.find(&entry.id).expect("it was just found");
        assert_eq!((found.pack(), found.compression()), (&entry.pack, entry.compression));
        for absent in neighbours(&entry.id) {
            let known = entries.binary_search_by_key(&absent, |entry| entry.id).is_ok();
            assert_eq!(merged.find(&absent).is_some(), known);
        }
    }
    let prefixes = std::iter::once(0).chain(b'g'..=b'z').filter_map(IdPrefix::new);
    assert_eq!(prefixes.map(|prefix| merged.iter_prefix(prefix, true).count()).sum::<usize>(), entries.len());
    let mut packs: Vec<_> = entries.iter().map(|entry| entry.pack.clone()).collect();
    packs.sort();
    packs.dedup();
    assert_eq!(merged.packs(), packs);
    assert!(merged.memory_bytes() < 1 << 30);
}
