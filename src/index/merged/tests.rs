//! The merged index against a map that does the same slowly.

use super::MergedIndex;
use crate::format::IdPrefix;
use crate::index::testing::{entries, entry, example};
use crate::index::{IndexEntry, PackIndex, build};
use proptest::prelude::*;
use std::collections::BTreeMap;

fn open(entries: Vec<IndexEntry>) -> Vec<PackIndex> {
    build(2, entries).unwrap().into_iter().map(|shard| PackIndex::open(shard).unwrap()).collect()
}

/// Winners by the rule, without the tombstones that count as absent.
fn model(files: &[Vec<IndexEntry>], watermark: i64) -> BTreeMap<crate::format::ContentId, IndexEntry> {
    let mut winners: BTreeMap<_, IndexEntry> = BTreeMap::new();
    for entry in files.iter().flatten() {
        let known = winners.entry(entry.id).or_insert_with(|| entry.clone());
        if entry.supersedes(known) {
            *known = entry.clone();
        }
    }
    winners.retain(|_, entry| !(entry.deleted && entry.timestamp_seconds <= watermark));
    winners
}

fn check(merged: &MergedIndex, files: &[Vec<IndexEntry>], watermark: i64) -> Result<(), TestCaseError> {
    let expected = model(files, watermark);
    prop_assert_eq!(merged.len(), expected.len());
    prop_assert!(merged.iter(true).map(|entry| entry.to_entry()).eq(expected.values().cloned()));
    let live = expected.values().filter(|entry| !entry.deleted);
    prop_assert!(merged.iter(false).map(|entry| entry.id()).eq(live.map(|entry| entry.id)));
    for entry in files.iter().flatten() {
        prop_assert_eq!(merged.lookup(&entry.id), expected.get(&entry.id).cloned());
    }
    for letter in b"\0ghkmxz" {
        let prefix = IdPrefix::new(*letter).unwrap();
        let wanted = expected.keys().filter(|id| id.prefix() == prefix).copied();
        prop_assert!(merged.iter_prefix(prefix, true).map(|entry| entry.id()).eq(wanted));
    }
    let mut packs: Vec<_> = expected.values().map(|entry| entry.pack.clone()).collect();
    packs.sort();
    packs.dedup();
    prop_assert_eq!(merged.packs(), packs);
    Ok(())
}

proptest! {
    #[test]
    fn the_union_is_what_the_rule_says(
        files in prop::collection::vec(entries(2, true), 0..6),
        watermark in -1_i64..6,
    ) {
        let indexes: Vec<_> = files.iter().cloned().flat_map(open).collect();
        let merged = MergedIndex::new(&indexes, watermark).unwrap();
        check(&merged, &files, watermark)?;
    }

    #[test]
    fn what_is_added_later_is_as_if_it_had_been_there(
        mut files in prop::collection::vec(entries(2, true), 0..4),
        added in prop::collection::vec(entries(2, true), 0..4),
    ) {
        let indexes: Vec<_> = files.iter().cloned().flat_map(open).collect();
        let mut merged = MergedIndex::new(&indexes, i64::MIN).unwrap();
        for file in added {
            merged.merge_with(&open(file.clone())).unwrap();
            files.push(file);
            check(&merged, &files, i64::MIN)?;
        }
    }

    #[test]
    fn any_two_ids_are_told_apart(hashes in prop::collection::btree_set(prop::collection::vec(0_u8..3, 6), 0..200)) {
        let all: Vec<_> = hashes.iter().map(|hash| entry(&hex::encode(hash), "p", 1)).collect();
        let merged = MergedIndex::new(&open(all.clone()), i64::MIN).unwrap();
        check(&merged, &[all], i64::MIN)?;
    }
}

#[test]
fn a_tombstone_at_the_watermark_hides_older_entries() {
    let dead = IndexEntry { deleted: true, ..entry("aa", "p", 5) };
    let files = open(vec![dead]).into_iter().chain(open(vec![entry("aa", "p", 4)])).collect::<Vec<_>>();
    let id = "aa".parse().unwrap();
    assert!(MergedIndex::new(&files, 5).unwrap().find(&id).is_none());
    let merged = MergedIndex::new(&files, 4).unwrap();
    assert!(merged.find(&id).unwrap().deleted());
    assert_eq!((merged.iter(false).count(), merged.iter(true).count()), (0, 1));
    let mut revived = MergedIndex::new(&files, 5).unwrap();
    revived.merge_with(&open(vec![entry("aa", "p", 6)])).unwrap();
    assert_eq!(revived.find(&id).unwrap().timestamp_seconds(), 6);
    revived.merge_with(&open(vec![IndexEntry { deleted: true, ..entry("bb", "p", 5) }])).unwrap();
    assert_eq!((revived.len(), revived.deletion_watermark()), (1, 5));
}

#[test]
fn hashes_of_different_lengths_do_not_meet() {
    let mut merged = MergedIndex::empty();
    assert!(merged.is_empty());
    merged.merge_with(&open(vec![entry("aa", "p", 1)])).unwrap();
    merged.merge_with(&open(vec![entry("aabb", "p", 1), entry("kaabb", "q", 1)])).unwrap();
    merged.merge_with(&open(example())).unwrap();
    assert_eq!(merged.len(), 6);
    for id in ["aa", "aabb", "kaabb"] {
        assert_eq!(merged.find(&id.parse().unwrap()).unwrap().id().to_string(), id);
    }
    assert!(merged.find(&"aabbcc".parse().unwrap()).is_none());
    for entry in example() {
        assert_eq!(merged.lookup(&entry.id), Some(entry));
    }
}

#[test]
fn both_versions_merge() {
    let old = IndexEntry { timestamp_seconds: 1 << 40, ..entry("aa", "p1", 0) };
    let old = PackIndex::open(build(1, vec![old.clone()]).unwrap().remove(0)).unwrap();
    let new = open(vec![entry("aa", "p2", 7)]);
    let merged = MergedIndex::new(new.iter().chain([&old]), i64::MIN).unwrap();
    assert_eq!(merged.lookup(&"aa".parse().unwrap()), old.entry(0));
    assert_eq!(merged.packs(), ["p1".into()]);
    assert!(merged.memory_bytes() > 0);
}
