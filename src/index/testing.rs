//! What tests of the index share.

use super::{EpochSettings, IndexBlobs, IndexEntry, PackIndex};
use crate::base::{Entropy, FixedClock, Timestamp};
use crate::blob::{self, BlobId, BlobMetadata, ByteRange, Durability, PutOptions, Storage};
use crate::compression::HeaderId;
use crate::crypto::{self, BlobCrypto};
use crate::format::{ContentId, EpochParameters};
use bytes::Bytes;
use parking_lot::Mutex;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::Arc;

/// An entry with a hash, a pack and a time.
pub(super) fn entry(id: &str, pack: &str, timestamp_seconds: i64) -> IndexEntry {
    IndexEntry {
        id: id.parse().unwrap(),
        pack: pack.into(),
        pack_offset: 0,
        packed_length: 128,
        original_length: 100,
        timestamp_seconds,
        deleted: false,
        format_version: 3,
        compression: HeaderId(0),
        encryption_key_id: 0,
    }
}

/// The three entries of the format description's example.
pub(super) fn example() -> Vec<IndexEntry> {
    let session = "-s0102030405060708143";
    let (p, q) = (format!("p{}{session}", "aa".repeat(16)), format!("q{}{session}", "bb".repeat(16)));
    vec![
        IndexEntry {
            pack_offset: 32,
            packed_length: 39,
            original_length: 11,
            ..entry("30a572157ba3e8a14424acacde62ee4a", &p, 0x6600_0000)
        },
        IndexEntry {
            pack_offset: 71,
            packed_length: 512,
            original_length: 100_000,
            compression: HeaderId(0x1101),
            ..entry("f0a572157ba3e8a14424acacde62ee4b", &p, 0x6600_0001)
        },
        IndexEntry {
            pack_offset: 32,
            packed_length: 180,
            original_length: 300,
            compression: HeaderId(0x1101),
            deleted: true,
            ..entry("k00112233445566778899aabbccddeeff", &q, 0x6600_0002)
        },
    ]
}

pub(super) fn hex_dump(text: &str) -> Vec<u8> {
    hex::decode(text.split_whitespace().collect::<String>()).unwrap()
}

/// Calls every accessor.
pub(super) fn read_everything(index: &PackIndex) {
    let entries: Vec<_> = index.iter().collect();
    assert_eq!(entries.len(), index.len());
    for entry in &entries {
        assert_eq!(index.find(&entry.id).as_ref(), Some(entry));
    }
    assert_eq!(index.entry(index.len()), None);
    let merged = super::MergedIndex::new([index], i64::MIN).unwrap();
    assert!(merged.iter(true).map(|entry| entry.to_entry()).eq(entries));
}

/// Few distinct ids, so that they meet; what both versions can hold.
pub(super) fn entries(version: u8, crowded: bool) -> impl Strategy<Value = Vec<IndexEntry>> {
    let id = (prop::sample::select(b"\0gkmxz".to_vec()), 0..if crowded { 40_u8 } else { 255 }, any::<bool>());
    let id = id.prop_map(|(prefix, n, spread)| {
        let mut key = vec![if spread { n.wrapping_mul(37) } else { 0 }; 17];
        key[0] = prefix;
        key[16] = n;
        ContentId::from_key(&key).unwrap()
    });
    let times = if crowded { 5 } else { i64::from(u32::MAX) };
    let lengths = 28..1_u32 << 28;
    let place = (prop::sample::select(vec!["p1", "p2-s3", "q"]), 0_u32..1 << 30, lengths);
    let fields = (id, place, 0..times, any::<bool>(), any::<u8>(), 0..4_u32, 0..2_u8);
    let one =
        fields.prop_map(move |(id, (pack, offset, length), time, deleted, format, compression, key)| {
            let modern = version != 1;
            IndexEntry {
                id,
                pack: pack.into(),
                pack_offset: offset,
                packed_length: length,
                original_length: if modern { length ^ 0xfff } else { length - 28 },
                timestamp_seconds: time,
                deleted,
                format_version: format,
                compression: HeaderId(if modern { compression } else { 0 }),
                encryption_key_id: if modern { key } else { 0 },
            }
        });
    prop::collection::vec(one, 0..60)
}

type Hook = Box<dyn FnMut(&TestStore, &str, &str) + Send>;

/// Blobs in memory, with a hook that sees every call before it happens.
#[derive(Default)]
pub(super) struct TestStore {
    blobs: Mutex<BTreeMap<BlobId, Vec<u8>>>,
    hook: Mutex<Option<Hook>>,
}

impl TestStore {
    /// Calls `hook` with the operation and its blob or prefix.
    pub(super) fn set_hook(&self, hook: impl FnMut(&TestStore, &str, &str) + Send + 'static) {
        *self.hook.lock() = Some(Box::new(hook));
    }

    /// Puts a blob without telling the hook.
    pub(super) fn insert(&self, name: &str, data: &[u8]) {
        self.blobs.lock().insert(name.into(), data.to_vec());
    }

    /// Removes a blob without telling the hook.
    pub(super) fn remove(&self, name: &str) {
        self.blobs.lock().remove(name);
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.blobs.lock().keys().map(ToString::to_string).collect()
    }

    pub(super) fn data(&self, name: &str) -> Vec<u8> {
        self.blobs.lock()[name].clone()
    }

    fn call(&self, operation: &str, name: &str) {
        let hook = self.hook.lock().take();
        if let Some(mut hook) = hook {
            hook(self, operation, name);
            self.hook.lock().get_or_insert(hook);
        }
    }
}

impl std::fmt::Debug for TestStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TestStore")
    }
}

impl Storage for TestStore {
    fn get(&self, id: &BlobId, _range: Option<ByteRange>) -> blob::Result<Vec<u8>> {
        self.call("get", id.as_str());
        self.blobs.lock().get(id).cloned().ok_or(blob::Error::NotFound { id: id.clone() })
    }

    fn metadata(&self, id: &BlobId) -> blob::Result<BlobMetadata> {
        let length = self.get(id, None)?.len() as u64;
        Ok(BlobMetadata { id: id.clone(), length, timestamp: Timestamp::EPOCH })
    }

    fn put(&self, id: &BlobId, data: Bytes, options: PutOptions) -> blob::Result<()> {
        assert_eq!(options.durability, Durability::Now);
        self.call("put", id.as_str());
        self.blobs.lock().insert(id.clone(), data.to_vec());
        Ok(())
    }

    fn delete(&self, id: &BlobId) -> blob::Result<()> {
        self.call("delete", id.as_str());
        self.blobs.lock().remove(id);
        Ok(())
    }

    fn list(
        &self,
        prefix: &str,
        visit: &mut dyn FnMut(BlobMetadata) -> blob::Result<()>,
    ) -> blob::Result<()> {
        self.call("list", prefix);
        let found: Vec<_> =
            self.blobs.lock().iter().map(|(id, data)| (id.clone(), data.len() as u64)).collect();
        found
            .into_iter()
            .filter(|(id, _)| id.as_str().starts_with(prefix))
            .try_for_each(|(id, length)| visit(BlobMetadata { id, length, timestamp: Timestamp::EPOCH }))
    }

    fn display_name(&self) -> String {
        "test".into()
    }
}

/// Randomness that is not.
struct Zeros;

impl Entropy for Zeros {
    fn fill(&self, buffer: &mut [u8]) {
        buffer.fill(0);
    }
}

/// A repository without anything but index blobs; keys are those of the format description's example.
pub(super) struct World {
    pub(super) store: Arc<TestStore>,
    pub(super) clock: Arc<FixedClock>,
    pub(super) crypto: BlobCrypto,
    pub(super) parameters: EpochParameters,
}

impl World {
    pub(super) fn new(epochs: bool) -> Self {
        let (master_key, secret): (Vec<u8>, Vec<u8>) = ((0x20..0x40).collect(), (0x40..0x60).collect());
        let hasher = crypto::hasher(crypto::DEFAULT_HASH, &secret).unwrap();
        let encryptor = crypto::encryptor(crypto::DEFAULT_ENCRYPTION, &master_key).unwrap();
        Self {
            store: Arc::new(TestStore::default()),
            clock: Arc::new(FixedClock::new(Timestamp::from_seconds(1_714_557_600, 0))),
            crypto: BlobCrypto::new(hasher, encryptor, None),
            parameters: EpochParameters { enabled: epochs, ..EpochParameters::DEFAULT },
        }
    }

    /// A client of its own.
    pub(super) fn index_blobs(&self) -> IndexBlobs {
        let (store, clock) = (Arc::clone(&self.store), Arc::clone(&self.clock));
        let settings = EpochSettings::new(self.parameters.clone());
        IndexBlobs::new(store, self.crypto.clone(), settings, clock, Arc::new(Zeros))
    }

    /// Encrypts and puts a blob; returns its name.
    pub(super) fn put_sealed(&self, prefix: &str, suffix: &str, plain: &[u8]) -> String {
        let (name, bytes) = self.crypto.seal(&Zeros, prefix, suffix, plain).unwrap();
        self.store.insert(&name, &bytes);
        name
    }

    /// Puts an index with one entry; returns the blob's name.
    pub(super) fn put_index(&self, prefix: &str, suffix: &str, id: &str) -> String {
        self.put_sealed(prefix, suffix, &index(&[entry(id, "p", 1)]))
    }
}

/// An index file of version 2.
pub(super) fn index(entries: &[IndexEntry]) -> Vec<u8> {
    super::encode(2, entries).unwrap()
}

/// Names of the blobs that count, sorted.
pub(super) fn active(blobs: &IndexBlobs) -> Vec<String> {
    let mut names: Vec<_> = blobs.active().unwrap().blobs.iter().map(|b| b.id.to_string()).collect();
    names.sort();
    names
}

/// Opens the index and checks that there is one warning for each of `names`.
pub(super) fn expect_warnings(blobs: &IndexBlobs, names: &[&str]) {
    let seen = std::cell::RefCell::new(Vec::new());
    blobs.open_all(&|text| seen.borrow_mut().push(text.to_owned())).unwrap();
    let seen = seen.into_inner();
    assert_eq!(seen.len(), names.len(), "{seen:?}");
    for name in names {
        assert!(seen.iter().any(|text| text.contains(name)), "{name}: {seen:?}");
    }
}
