//! One index file in memory, checked once and read often.

use super::entry::{Format, RawEntry, UNKNOWN_PACK};
use super::{Error, IndexEntry, Result, v1, v2};
use crate::blob::BlobId;
use crate::crypto::Hash;
use crate::format::ContentId;
use std::cmp::Ordering;

const KEY_LEN_MAX: usize = 1 + Hash::MAX_LEN;

/// An index file of either version.
///
/// Bytes after the described structure are ignored: local indexes end in random ones.
#[derive(Debug, Clone)]
pub struct PackIndex {
    data: Vec<u8>,
    layout: Layout,
    packs: Vec<BlobId>,
    /// Version 2 only.
    formats: Vec<Format>,
    /// Version 1 only: the number of each entry's pack.
    pack_of_entry: Vec<u32>,
}

impl AsRef<[u8]> for PackIndex {
    /// The file, unencrypted.
    fn as_ref(&self) -> &[u8] {
        &self.data
    }
}

impl PackIndex {
    /// Checks a decrypted index file as a whole and takes it over.
    ///
    /// # Errors
    /// [`Error::UnsupportedVersion`]; [`Error::Malformed`] when sizes, names, keys or their order are wrong.
    pub fn open(data: Vec<u8>) -> Result<Self> {
        match data.first() {
            None => Err(malformed("it is empty")),
            Some(&v1::VERSION) => v1::open(data),
            Some(&v2::VERSION) => v2::open(data),
            Some(&version) => Err(Error::UnsupportedVersion { version }),
        }
    }

    /// Joins checked parts after checking the keys.
    pub(super) fn checked(
        data: Vec<u8>,
        layout: Layout,
        packs: Vec<BlobId>,
        formats: Vec<Format>,
        pack_of_entry: Vec<u32>,
    ) -> Result<Self> {
        let this = Self { data, layout, packs, formats, pack_of_entry };
        let mut previous: &[u8] = &[];
        for position in 0..this.len() {
            let key = this.key(position);
            if key <= previous {
                return Err(malformed("its entries are not in order"));
            }
            if ContentId::from_key(key).is_none() {
                return Err(malformed("a key is no content id"));
            }
            previous = key;
        }
        Ok(this)
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.layout.count
    }

    /// Whether there are no entries.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The entry at a position, in the order of ids.
    pub fn entry(&self, position: usize) -> Option<IndexEntry> {
        if position >= self.len() {
            return None;
        }
        let id =
            ContentId::from_key(self.key(position)).expect("all keys were checked when the file was opened");
        let raw = self.raw(position);
        Some(IndexEntry {
            id,
            pack: self.packs.get(raw.pack as usize).cloned().unwrap_or_else(|| UNKNOWN_PACK.into()),
            pack_offset: raw.pack_offset,
            packed_length: raw.packed_length,
            original_length: raw.original_length,
            timestamp_seconds: raw.timestamp_seconds,
            deleted: raw.deleted,
            format_version: raw.format.version,
            compression: raw.format.compression,
            encryption_key_id: raw.format.key_id,
        })
    }

    /// The entry of a content.
    pub fn find(&self, id: &ContentId) -> Option<IndexEntry> {
        let mut wanted = Vec::with_capacity(KEY_LEN_MAX);
        id.append_key(&mut wanted);
        if wanted.len() != self.layout.key_len {
            return None;
        }
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low + (high - low) / 2;
            match self.key(middle).cmp(&wanted) {
                Ordering::Less => low = middle + 1,
                Ordering::Greater => high = middle,
                Ordering::Equal => return self.entry(middle),
            }
        }
        None
    }

    /// All entries in the order of ids.
    pub fn iter(&self) -> impl Iterator<Item = IndexEntry> + '_ {
        (0..self.len()).filter_map(|position| self.entry(position))
    }

    /// The packs the file names.
    pub fn packs(&self) -> &[BlobId] {
        &self.packs
    }

    /// Length of every key, including the byte of the prefix.
    pub(super) fn key_len(&self) -> usize {
        self.layout.key_len
    }

    /// The key at a position below [`PackIndex::len`].
    pub(super) fn key(&self, position: usize) -> &[u8] {
        let start = self.layout.start + position * self.layout.stride;
        &self.data[start..start + self.layout.key_len]
    }

    /// The value at a position below [`PackIndex::len`].
    pub(super) fn raw(&self, position: usize) -> RawEntry {
        let value = self.layout.value(&self.data, position);
        match self.pack_of_entry.get(position) {
            Some(&pack) => v1::decode(value, pack),
            None => v2::decode(value, self.layout.base_seconds, &self.formats),
        }
    }
}

/// Where the entries lie in a file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Layout {
    pub(super) start: usize,
    pub(super) count: usize,
    pub(super) key_len: usize,
    pub(super) stride: usize,
    pub(super) base_seconds: u32,
}

impl Layout {
    /// Reads key length and count, which both versions keep in the first eight bytes, and checks that all entries are
    /// there.
    pub(super) fn new(
        data: &[u8],
        version: u8,
        start: usize,
        value_len: usize,
        base_seconds: u32,
    ) -> Result<Self> {
        let key_len = usize::from(data[1]);
        let count = be_u32(data, 4) as usize;
        let known = (2..=KEY_LEN_MAX).contains(&key_len);
        let none = count == 0 && (key_len == usize::from(v1::KEY_LEN_UNKNOWN) || version == v2::VERSION);
        if !known && !none {
            return Err(malformed("its keys are no content ids"));
        }
        let stride = key_len + value_len;
        let layout = Self { start, count, key_len, stride, base_seconds };
        let len = count.checked_mul(stride).and_then(|len| len.checked_add(start));
        if len.is_none_or(|len| len > data.len()) {
            return Err(malformed("it ends inside its entries"));
        }
        Ok(layout)
    }

    /// Where the entries end.
    pub(super) fn end(&self) -> usize {
        self.start + self.count * self.stride
    }

    /// The value of an entry below `count` in the file this layout was made for.
    pub(super) fn value<'a>(&self, data: &'a [u8], position: usize) -> &'a [u8] {
        let end = self.start + (position + 1) * self.stride;
        &data[end - self.stride + self.key_len..end]
    }
}

/// Reads pack names out of a file.
///
/// Writers store each name once. A file whose names overlap could claim far more memory than it has bytes, so the names
/// together may not be longer than the file.
pub(super) struct Names<'a> {
    data: &'a [u8],
    left: usize,
    packs: Vec<BlobId>,
}

impl<'a> Names<'a> {
    pub(super) fn new(data: &'a [u8]) -> Self {
        Self { data, left: data.len(), packs: Vec::new() }
    }

    /// Reads one name and returns its number.
    pub(super) fn read(&mut self, len: u8, offset: u32) -> Result<u32> {
        let (start, len) = (offset as usize, usize::from(len));
        let name = start.checked_add(len).and_then(|end| self.data.get(start..end));
        let name = name.ok_or(malformed("a pack name lies outside of it"))?;
        self.left = self.left.checked_sub(len).ok_or(malformed("its pack names overlap"))?;
        let pack = BlobId::from(std::str::from_utf8(name).map_err(|_| malformed("a pack name is no text"))?);
        if !pack.is_valid() {
            return Err(malformed("a pack name cannot be the name of a blob"));
        }
        self.packs.push(pack);
        Ok(self.packs.len() as u32 - 1)
    }

    pub(super) fn finish(self) -> Vec<BlobId> {
        self.packs
    }
}

/// Four big-endian bytes at `at`, which lie inside `bytes`.
pub(super) fn be_u32(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

pub(super) const fn malformed(what: &'static str) -> Error {
    Error::Malformed { what }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ErrorClass;
    use crate::index::testing::{entries, example, read_everything};
    use crate::index::{build, encode};
    use proptest::prelude::*;

    #[test]
    fn finds_what_is_there_and_nothing_else() {
        for version in [1, 2] {
            let mut all = example();
            for entry in &mut all {
                entry.compression.0 = 0;
            }
            let index = PackIndex::open(encode(version, &all).unwrap()).unwrap();
            assert_eq!((index.len(), index.packs().len()), (3, 2));
            for entry in &all {
                assert_eq!(index.find(&entry.id).unwrap().pack_offset, entry.pack_offset);
            }
            for missing in ["00", "ffffffffffffffffffffffffffffffff", "k00112233445566778899aabbccddeefe"] {
                assert_eq!(index.find(&missing.parse().unwrap()), None);
            }
            assert_eq!(index.entry(3), None);
        }
    }

    #[test]
    fn wrong_headers_keys_and_orders_are_refused() {
        let good = encode(2, &example()).unwrap();
        let damage = |at: usize, byte: u8| {
            let mut bad = good.clone();
            bad[at] = byte;
            PackIndex::open(bad).unwrap_err()
        };
        assert_eq!(damage(0, 3).class(), ErrorClass::Unsupported);
        // Key length, value length, counts, first key's prefix, order, name length, name offset, name.
        for (at, byte) in [
            (1, 1),
            (1, 34),
            (3, 15),
            (3, 20),
            (4, 255),
            (8, 255),
            (12, 255),
            (17, b'a'),
            (17, b'z'),
            (0x77, 0),
            (0x78, 255),
            (0x8d, b'/'),
            (0x8d, 0xff),
        ] {
            assert_eq!(damage(at, byte).class(), ErrorClass::Corrupt, "byte {at} = {byte}");
        }
        assert!(PackIndex::open(Vec::new()).is_err());
    }

    proptest! {
        #[test]
        fn what_was_encoded_is_decoded(entries in entries(1, false)) {
            let shards = build(1, entries.clone()).unwrap();
            check_round_trip(entries, shards)?;
        }

        #[test]
        fn what_was_encoded_is_decoded_in_version_2(entries in entries(2, false)) {
            let shards = build(2, entries.clone()).unwrap();
            check_round_trip(entries, shards)?;
        }

        #[test]
        fn damaged_files_never_panic(
            version in 1_u8..=2,
            entries in entries(1, false),
            flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
            cut in any::<prop::sample::Index>(),
            truncate: bool,
        ) {
            for mut data in build(version, entries).unwrap() {
                for (at, byte) in &flips {
                    let at = at.index(data.len());
                    data[at] = *byte;
                }
                if truncate {
                    data.truncate(cut.index(data.len()));
                }
                if let Ok(index) = PackIndex::open(data) {
                    read_everything(&index);
                }
            }
        }

        #[test]
        fn arbitrary_bytes_never_panic(version in 0_u8..4, mut data: Vec<u8>) {
            if let Some(first) = data.first_mut() {
                *first = version;
            }
            if let Ok(index) = PackIndex::open(data) {
                read_everything(&index);
            }
        }
    }

    fn check_round_trip(entries: Vec<IndexEntry>, shards: Vec<Vec<u8>>) -> Result<(), TestCaseError> {
        let mut expected = std::collections::BTreeMap::new();
        for entry in entries {
            match expected.get(&entry.id) {
                Some(other) if !entry.supersedes(other) => {}
                _ => {
                    expected.insert(entry.id, entry);
                }
            }
        }
        prop_assert_eq!(shards.len(), usize::from(!expected.is_empty()));
        for data in shards {
            let index = PackIndex::open(data.clone()).unwrap();
            prop_assert!(index.iter().eq(expected.values().cloned()));
            for (id, entry) in &expected {
                prop_assert_eq!(index.find(id), Some(entry.clone()));
            }
            prop_assert_eq!(encode(data[0], &index.iter().collect::<Vec<_>>()).unwrap(), data);
        }
        Ok(())
    }
}
