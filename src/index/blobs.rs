//! The index blobs of a repository: which of them count, reading them, writing new ones.

use super::epoch::{EpochSettings, Epochs};
use super::{Error, MergedBuilder, MergedIndex, PackIndex, Result, fetch, v0};
use crate::base::{Clock, Entropy, error_chain};
use crate::blob::{self, BlobId, BlobMetadata, Durability, PutOptions, Storage, StorageExt};
use crate::crypto::BlobCrypto;
use bytes::Bytes;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

/// How often the set of active blobs is determined anew because one of them was replaced meanwhile.
const OPEN_ATTEMPTS_MAX: u32 = 10;
const OPEN_BACKOFF_FIRST: Duration = Duration::from_millis(100);
/// Bytes of an entry with a 16-byte hash in a file of version 2 at least; for estimates.
const BYTES_PER_ENTRY: u64 = 33;
/// Estimates beyond this are not believed.
const ENTRIES_PLANNED_MAX: u64 = 16_000_000;

/// Manages the index blobs of one repository.
pub struct IndexBlobs {
    storage: Arc<dyn Storage>,
    crypto: BlobCrypto,
    entropy: Arc<dyn Entropy>,
    clock: Arc<dyn Clock>,
    /// `None` in repositories without epochs.
    epochs: Option<Epochs>,
}

/// The index blobs that count at a moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActiveSet {
    /// Blobs to load.
    pub blobs: Vec<BlobMetadata>,
    /// Blobs without content, left by writers that crashed; nothing can be read from them.
    pub set_aside: Vec<BlobMetadata>,
    /// Tombstones up to this time, in seconds since the Unix epoch, count as absent; `i64::MIN` for none.
    pub deletion_watermark: i64,
}

impl ActiveSet {
    /// Moves blobs without content aside.
    pub(super) fn new(
        blobs: Vec<BlobMetadata>,
        mut set_aside: Vec<BlobMetadata>,
        deletion_watermark: i64,
    ) -> Self {
        let (empty, blobs) = blobs.into_iter().partition(|blob| blob.length == 0);
        set_aside.extend::<Vec<_>>(empty);
        Self { blobs, set_aside, deletion_watermark }
    }

    fn entries_planned(&self) -> usize {
        let bytes: u64 = self.blobs.iter().fold(0, |sum, blob| sum.saturating_add(blob.length));
        (bytes / BYTES_PER_ENTRY).min(ENTRIES_PLANNED_MAX) as usize
    }
}

/// The index blobs that an index in memory was made of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReadSet {
    /// `None` for an index that was never read, which equals no other.
    deletion_watermark: Option<i64>,
    blobs: HashSet<BlobId>,
}

impl ReadSet {
    fn of(set: &ActiveSet) -> Self {
        let blobs = set.blobs.iter().map(|blob| blob.id.clone()).collect();
        Self { deletion_watermark: Some(set.deletion_watermark), blobs }
    }

    /// Adds blobs whose entries were merged into the index.
    pub fn extend(&mut self, blobs: Vec<BlobId>) {
        self.blobs.extend(blobs);
    }
}

/// An index blob that counts and cannot be read. Contents that only it names are missing.
#[derive(Debug, Clone)]
pub struct DamagedIndex {
    /// The blob.
    pub blob: BlobId,
    /// What is wrong with it; none for one that never was an index: empty or all zeroes, as a crashed writer leaves it.
    pub error: Option<Arc<Error>>,
}

impl DamagedIndex {
    /// Whether it once was an index. Then nothing may be written that builds on what is missing, and nothing be deleted
    /// because it seems to be in no use; after a void one only the latter.
    pub fn was_whole(&self) -> bool {
        self.error.is_some()
    }
}

/// An index in memory, and what it was made of.
#[derive(Debug)]
pub struct OpenedIndex {
    /// The index.
    pub index: MergedIndex,
    /// The blobs that it was made of.
    pub read: ReadSet,
    /// The blobs that it lacks.
    pub damaged: Vec<DamagedIndex>,
}

/// An encrypted index. The name lacks what comes before the hash.
pub(super) struct SealedIndex {
    pub(super) name: String,
    pub(super) bytes: Bytes,
}

impl IndexBlobs {
    /// A manager for the repository in `storage`; `settings` say whether it uses epochs.
    pub fn new(
        storage: Arc<dyn Storage>,
        crypto: BlobCrypto,
        settings: EpochSettings,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Self {
        let epochs =
            (settings.get().enabled).then(|| Epochs::new(Arc::clone(&storage), settings, Arc::clone(&clock)));
        Self { storage, crypto, entropy, clock, epochs }
    }

    pub(super) fn storage(&self) -> &dyn Storage {
        self.storage.as_ref()
    }

    pub(super) fn crypto(&self) -> &BlobCrypto {
        &self.crypto
    }

    pub(super) fn entropy(&self) -> &dyn Entropy {
        self.entropy.as_ref()
    }

    /// Determines which blobs count.
    ///
    /// # Errors
    /// [`Error::Storage`], [`Error::TooSlow`]; without epochs also [`Error::Upgraded`] and those of damaged documents.
    pub fn active(&self) -> Result<ActiveSet> {
        match &self.epochs {
            Some(epochs) => epochs.active(),
            None => v0::active(&*self.storage, &self.crypto),
        }
    }

    /// The epoch that new index blobs go to; none in a repository without epochs.
    ///
    /// # Errors
    /// [`Error::Storage`], [`Error::TooSlow`].
    pub fn write_epoch(&self) -> Result<Option<i64>> {
        self.epochs.as_ref().map(Epochs::write_epoch).transpose()
    }

    /// Forgets what is known about the epochs, so that the next call looks at the store.
    pub fn invalidate(&self) {
        if let Some(epochs) = &self.epochs {
            epochs.invalidate();
        }
    }

    /// Fetches, decrypts and checks the blobs of a set, in its order. Blobs without content are left out and reported
    /// to `warn`.
    ///
    /// # Errors
    /// [`Error::Storage`], whose [`is_not_found`](Error::is_not_found) says that the set is out of date;
    /// [`Error::Undecryptable`] and [`Error::Corrupt`] name the damaged blob.
    pub fn load(&self, set: &ActiveSet, warn: &dyn Fn(&str)) -> Result<Vec<(BlobId, PackIndex)>> {
        let mut loaded: Vec<_> = set.blobs.iter().map(|_| None).collect();
        self.visit(set, warn, &mut |number, index| {
            loaded[number] = Some(index);
            Ok(())
        })?;
        let loaded = set.blobs.iter().zip(loaded);
        Ok(loaded.filter_map(|(blob, index)| Some((blob.id.clone(), index?))).collect())
    }

    /// Reads all index blobs that count, every one of them.
    ///
    /// # Errors
    /// Those of [`IndexBlobs::active`] and [`IndexBlobs::load`].
    pub fn open_all(&self, warn: &dyn Fn(&str)) -> Result<MergedIndex> {
        let Some(opened) = self.open_unless(&ReadSet::default(), warn)? else {
            return Ok(MergedIndex::empty());
        };
        match opened.damaged.into_iter().find_map(|damaged| damaged.error) {
            Some(error) => Err(Arc::into_inner(error).expect("nobody else has been given it")),
            None => Ok(opened.index),
        }
    }

    /// Reads all index blobs that count, unless they are the ones that were `read` before. When one of them was replaced
    /// meanwhile, starts over with a new set. Damaged ones are left out and reported to `warn`, unless there is no other.
    ///
    /// # Errors
    /// Those of [`IndexBlobs::active`] and [`IndexBlobs::load`].
    pub fn open_unless(&self, read: &ReadSet, warn: &dyn Fn(&str)) -> Result<Option<OpenedIndex>> {
        let mut pause = OPEN_BACKOFF_FIRST;
        for _ in 1..OPEN_ATTEMPTS_MAX {
            match self.open_once(read, warn) {
                Err(error) if error.is_not_found() => {}
                other => return other,
            }
            self.invalidate();
            self.clock.sleep(pause);
            pause *= 2;
        }
        self.open_once(read, warn)
    }

    fn open_once(&self, read: &ReadSet, warn: &dyn Fn(&str)) -> Result<Option<OpenedIndex>> {
        let set = self.active()?;
        let to_read = ReadSet::of(&set);
        if to_read == *read {
            return Ok(None);
        }
        let void = |blob: &BlobMetadata| DamagedIndex { blob: blob.id.clone(), error: None };
        let mut damaged: Vec<_> = set.set_aside.iter().map(void).collect();
        let mut builder = MergedBuilder::with_capacity(set.entries_planned());
        let mut whole = 0_usize;
        fetch::fetch_all(&*self.storage, &self.crypto, &set.blobs, &mut |number, fetched| match fetched {
            Ok(Some(index)) => {
                whole += 1;
                builder.add(&index)
            }
            Ok(None) => {
                damaged.push(void(&set.blobs[number]));
                Ok(())
            }
            Err(error) if error.is_damage() => {
                damaged.push(DamagedIndex { error: Some(Arc::new(error)), ..void(&set.blobs[number]) });
                Ok(())
            }
            Err(error) => Err(error),
        })?;
        if whole == 0
            && let Some(error) = damaged.iter_mut().find_map(|damaged| damaged.error.take())
        {
            return Err(Arc::into_inner(error).expect("nobody else has been given it"));
        }
        for damaged in &damaged {
            warn_of_damage(damaged, warn);
        }
        let index = builder.finish(set.deletion_watermark);
        Ok(Some(OpenedIndex { index, read: to_read, damaged }))
    }

    /// The packs that an index blob names; none for one without content.
    ///
    /// # Errors
    /// Those of [`IndexBlobs::load`]. Markers of epochs and documents of compactions name nothing and are no index.
    pub fn packs_of(&self, blob: &BlobMetadata) -> Result<Vec<BlobId>> {
        if !is_index(&blob.id) {
            return Ok(Vec::new());
        }
        let index = fetch::fetch(&*self.storage, &self.crypto, blob)?;
        Ok(index.map_or_else(Vec::new, |index| index.packs().to_vec()))
    }

    pub(super) fn visit(
        &self,
        set: &ActiveSet,
        warn: &dyn Fn(&str),
        visit: &mut dyn FnMut(usize, PackIndex) -> Result<()>,
    ) -> Result<()> {
        for blob in &set.set_aside {
            warn_of_empty(&blob.id, warn);
        }
        fetch::fetch_all(&*self.storage, &self.crypto, &set.blobs, &mut |number, fetched| {
            if let Some(index) = fetched? {
                return visit(number, index);
            }
            warn_of_empty(&set.blobs[number].id, warn);
            Ok(())
        })
    }

    /// Encrypts and writes the index files of one flush; they are durable when this returns.
    ///
    /// # Errors
    /// [`Error::EpochPassed`] and [`Error::TooSlow`]: nothing was written that counts, keep the entries and write them
    /// again. [`Error::Storage`], [`Error::Seal`].
    pub fn write(&self, shards: &[impl AsRef<[u8]>], session_id: &str) -> Result<Vec<BlobId>> {
        let suffix = match self.epochs {
            Some(_) => format!("{session_id}-c{}", shards.len()),
            None => session_id.to_owned(),
        };
        // Encrypted once: a retry must send the same bytes.
        let mut sealed = Vec::with_capacity(shards.len());
        for shard in shards {
            let (name, bytes) = self
                .crypto
                .seal(&*self.entropy, "", &suffix, shard.as_ref())
                .map_err(|source| Error::Seal { source })?;
            sealed.push(SealedIndex { name, bytes: bytes.into() });
        }
        match &self.epochs {
            _ if sealed.is_empty() => Ok(Vec::new()),
            Some(epochs) => epochs.write(&sealed),
            None => v0::write(&*self.storage, &sealed),
        }
    }
}

impl std::fmt::Debug for IndexBlobs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IndexBlobs").field("storage", &self.storage).finish_non_exhaustive()
    }
}

/// Whether a blob with a name of the index is an index itself.
fn is_index(id: &BlobId) -> bool {
    let name = id.as_str();
    name != v0::POISON && ["n", "xn", "xs", "xr"].iter().any(|prefix| name.starts_with(prefix))
}

fn warn_of_empty(id: &BlobId, warn: &dyn Fn(&str)) {
    warn(&format!(
        "index blob {id} is empty or all zeroes, as a crashed writer leaves it; it is passed over, and contents that \
         only it names are missing"
    ));
}

fn warn_of_damage(damaged: &DamagedIndex, warn: &dyn Fn(&str)) {
    let Some(error) = &damaged.error else { return warn_of_empty(&damaged.blob, warn) };
    warn(&format!(
        "{}; contents that only it names are missing, and nothing is written to the repository until it is mended or \
         set aside",
        error_chain(&**error)
    ));
}

/// Blobs with a prefix, sorted by name.
pub(super) fn list(storage: &dyn Storage, prefix: &str) -> Result<Vec<BlobMetadata>> {
    storage.list_all(prefix).map_err(storage_error("list", prefix))
}

/// Several listings at once.
pub(super) fn list_many<const N: usize>(
    storage: &dyn Storage,
    prefixes: [String; N],
) -> Result<[Vec<BlobMetadata>; N]> {
    let mut lists = [const { Vec::new() }; N];
    std::thread::scope(|scope| {
        let listings = prefixes.map(|prefix| scope.spawn(move || list(storage, &prefix)));
        for (to, listing) in lists.iter_mut().zip(listings) {
            *to = listing.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        }
        Ok(lists)
    })
}

pub(super) fn put(storage: &dyn Storage, id: &BlobId, bytes: Bytes) -> Result<()> {
    let options = PutOptions { durability: Durability::Now, ..PutOptions::default() };
    storage.put(id, bytes, options).map_err(storage_error("write", id.as_str()))
}

pub(super) fn delete(storage: &dyn Storage, ids: &[BlobId]) -> Result<()> {
    ids.iter().try_for_each(|id| storage.delete(id).map_err(storage_error("delete", id.as_str())))
}

pub(super) fn storage_error(operation: &'static str, name: &str) -> impl FnOnce(blob::Error) -> Error {
    move |source| Error::Storage { operation, name: name.to_owned(), source }
}
