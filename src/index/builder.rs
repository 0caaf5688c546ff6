//! Index files out of entries.

use super::{Error, IndexEntry, Result, v1, v2};
use crate::base::Entropy;
use crate::format::ContentId;
use hashbrown::HashMap;
use std::hash::Hash;
use std::io::Write;

/// Above this many entries an index is split into several files.
pub const ENTRIES_PER_SHARD_MAX: usize = 16_000_000;

/// Random bytes at the end of a local index.
const RANDOM_SUFFIX_LEN: usize = 32;

/// Encodes sorted, unique entries as one index file of the given version, byte for byte as Kopia does.
///
/// # Errors
/// [`Error::Limit`] and [`Error::TooLarge`] when the version cannot hold them, [`Error::Unordered`],
/// [`Error::UnsupportedVersion`].
pub fn encode(version: u8, entries: &[IndexEntry]) -> Result<Vec<u8>> {
    if let Some(pair) = entries.windows(2).find(|pair| pair[0].id >= pair[1].id) {
        return Err(Error::Unordered { id: pair[1].id });
    }
    if u32::try_from(entries.len()).is_err() {
        return Err(Error::TooLarge { what: "more than 2^32 entries" });
    }
    let key_len = |entry: &IndexEntry| entry.id.hash().as_bytes().len() + 1;
    let first_key_len = entries.first().map(key_len);
    if let Some(other) = entries.iter().find(|&entry| Some(key_len(entry)) != first_key_len) {
        return Err(Error::Limit { id: other.id, what: "its hash has another length than others" });
    }
    let packs = Numbered::new(entries.iter().map(|entry| &entry.pack));
    if let Some(bad) = packs.order.iter().find(|pack| !pack.is_valid()) {
        let id = entries.iter().find(|entry| entry.pack == **bad).map_or(entries[0].id, |entry| entry.id);
        return Err(Error::Limit { id, what: "its pack has an impossible name" });
    }
    match version {
        v1::VERSION => v1::encode(entries, &packs, first_key_len),
        v2::VERSION => v2::encode(entries, &packs, first_key_len),
        _ => Err(Error::UnsupportedVersion { version }),
    }
}

/// Things numbered in the order in which they first appear.
pub(super) struct Numbered<T> {
    /// Each thing once.
    pub(super) order: Vec<T>,
    /// The number of each thing given.
    pub(super) numbers: Vec<u32>,
}

impl<T: Copy + Eq + Hash> Numbered<T> {
    /// Numbers fewer than 2^32 things.
    pub(super) fn new(things: impl Iterator<Item = T>) -> Self {
        let mut order = Vec::new();
        let mut known = HashMap::new();
        let numbers = things.map(|thing| {
            *known.entry(thing).or_insert_with(|| {
                order.push(thing);
                order.len() as u32 - 1
            })
        });
        let numbers = numbers.collect();
        Self { order, numbers }
    }
}

/// Makes index files out of entries in any order; of several for one content the one that
/// [supersedes](IndexEntry::supersedes) the others is kept. No entries make no file.
///
/// # Errors
/// Those of [`encode`].
///
/// Source: kopia `repo/content/index/index_builder.go`.
pub fn build(version: u8, entries: Vec<IndexEntry>) -> Result<Vec<Vec<u8>>> {
    build_shards(version, entries, ENTRIES_PER_SHARD_MAX)
}

/// Makes a local index unlike any other, as Kopia does with those at the end of packs.
pub fn append_random_suffix(index: &mut Vec<u8>, entropy: &dyn Entropy) {
    let mut suffix = [0; RANDOM_SUFFIX_LEN];
    entropy.fill(&mut suffix);
    index.extend_from_slice(&suffix);
}

fn build_shards(version: u8, mut entries: Vec<IndexEntry>, per_shard: usize) -> Result<Vec<Vec<u8>>> {
    entries.sort_by_key(|entry| entry.id);
    entries.dedup_by(|later, kept| {
        let same = later.id == kept.id;
        if same && later.supersedes(kept) {
            std::mem::swap(later, kept);
        }
        same
    });
    let shards = entries.len().div_ceil(per_shard);
    if shards <= 1 {
        return (0..shards).map(|_| encode(version, &entries)).collect();
    }
    let mut parts = vec![Vec::new(); shards];
    for entry in entries {
        parts[fnv1a(&entry.id) as usize % shards].push(entry);
    }
    parts.iter().filter(|part| !part.is_empty()).map(|part| encode(version, part)).collect()
}

/// FNV-1a over the text of an id, prefix included: says which shard an entry goes to.
fn fnv1a(id: &ContentId) -> u32 {
    let mut text = [0; 65];
    let mut rest = &mut text[..];
    write!(rest, "{id}").expect("the text of an id has at most 65 bytes");
    let left = rest.len();
    let len = text.len() - left;
    text[..len].iter().fold(0x811c_9dc5, |hash, &byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::SeededEntropy;
    use crate::index::PackIndex;
    use crate::index::testing::{entry, example};

    #[test]
    fn the_shard_of_an_id_is_kopias() {
        assert_eq!(fnv1a(&"k00112233445566778899aabbccddeeff".parse().unwrap()), 0x4dbe_c3ca);
    }

    #[test]
    fn shards_hold_every_entry_once() {
        let entries: Vec<_> = (0..100).map(|n| entry(&format!("{n:032x}"), "p", 1)).collect();
        let shards = build_shards(2, entries.clone(), 30).unwrap();
        assert_eq!(shards.len(), 4);
        let mut found: Vec<_> =
            shards.into_iter().flat_map(|s| PackIndex::open(s).unwrap().iter().collect::<Vec<_>>()).collect();
        found.sort_by_key(|entry| entry.id);
        assert_eq!(found, entries);
        assert!(build(2, Vec::new()).unwrap().is_empty());
    }

    #[test]
    fn the_greater_of_two_entries_is_kept_wherever_it_stands() {
        let (old, new) = (entry("aa", "p1", 1), entry("aa", "p0", 2));
        for entries in [vec![old.clone(), new.clone()], vec![new.clone(), old.clone()]] {
            let index = PackIndex::open(build(2, entries).unwrap().remove(0)).unwrap();
            assert!(index.iter().eq([new.clone()]));
        }
    }

    #[test]
    fn only_sorted_entries_of_a_known_version_are_encoded() {
        let mut entries = example();
        assert!(matches!(encode(3, &entries), Err(Error::UnsupportedVersion { version: 3 })));
        entries.swap(0, 1);
        assert!(matches!(encode(2, &entries), Err(Error::Unordered { .. })));
        let mixed = [entry("aa", "p", 1), entry("aabb", "p", 1)];
        assert!(matches!(encode(2, &mixed), Err(Error::Limit { .. })));
    }

    #[test]
    fn a_random_suffix_does_not_change_what_is_read() {
        let mut data = encode(2, &example()).unwrap();
        append_random_suffix(&mut data, &SeededEntropy::new(1));
        assert_eq!(data.len(), 249 + 32);
        assert!(PackIndex::open(data).unwrap().iter().eq(example()));
    }
}
