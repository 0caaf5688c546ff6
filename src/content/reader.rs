//! Content ids to bytes.

use super::blocks::BlockCache;
use super::format::ContentFormat;
use super::{Error, Result};
use crate::base::Clock;
use crate::blob::{BlobId, ByteRange, Storage};
use crate::compression;
use crate::crypto;
use crate::format::{ContentId, IdPrefix};
use crate::index::{DamagedIndex, IndexBlobs, IndexEntry, MergedIndex, OpenedIndex, PackIndex, ReadSet};
use parking_lot::{Mutex, RwLock};
use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

/// Contents up to this length are read through the block cache: neighbours in a pack are wanted together.
const SMALL_CONTENT_BYTES: u32 = 64 * 1024;
/// No compressor here expands a content to more than what an index can record.
const MAX_PLAINTEXT_BYTES: usize = 1 << 28;

/// How often and how long it is waited for those who look at the index, before it is copied to be changed.
const INDEX_WAITS_MAX: u32 = 100;
const INDEX_WAIT: Duration = Duration::from_micros(100);

/// Receives what the operator should know although work goes on.
pub type Warn = Arc<dyn Fn(&str) + Send + Sync>;

/// Reads contents by id. Shared by all threads.
pub struct ContentReader {
    storage: Arc<dyn Storage>,
    format: ContentFormat,
    index_blobs: IndexBlobs,
    index: RwLock<Arc<MergedIndex>>,
    /// What the index was made of. Locked before the index, by whoever changes it.
    read_set: Mutex<ReadSet>,
    damaged: Mutex<Arc<[DamagedIndex]>>,
    blocks: BlockCache,
    clock: Arc<dyn Clock>,
    warn: Warn,
}

impl std::fmt::Debug for ContentReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ContentReader").field("storage", &self.storage).finish_non_exhaustive()
    }
}

impl ContentReader {
    /// Loads the index and gets ready to read.
    ///
    /// # Errors
    /// [`Error::Index`] when the index blobs cannot be read.
    pub fn open(
        storage: Arc<dyn Storage>,
        format: ContentFormat,
        index_blobs: IndexBlobs,
        clock: Arc<dyn Clock>,
        warn: Warn,
    ) -> Result<Self> {
        let this = Self {
            storage,
            format,
            index_blobs,
            index: RwLock::new(Arc::new(MergedIndex::empty())),
            read_set: Mutex::default(),
            damaged: Mutex::default(),
            blocks: BlockCache::new(),
            clock,
            warn,
        };
        this.read_index()?;
        Ok(this)
    }

    /// The store underneath.
    pub fn storage(&self) -> &Arc<dyn Storage> {
        &self.storage
    }

    /// The parameters of the repository.
    pub fn format(&self) -> &ContentFormat {
        &self.format
    }

    /// The index blobs, to be written to.
    pub fn index_blobs(&self) -> &IndexBlobs {
        &self.index_blobs
    }

    /// The clock of this repository.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// Tells the operator.
    pub fn warn(&self, message: &str) {
        (self.warn)(message);
    }

    /// The index as of the last refresh.
    pub fn index(&self) -> Arc<MergedIndex> {
        Arc::clone(&self.index.read())
    }

    /// Index blobs that could not be read. While there are any, contents that are in use may seem to be in none: whoever
    /// deletes what is in no use must refuse to.
    pub fn damaged_index_blobs(&self) -> Arc<[DamagedIndex]> {
        Arc::clone(&self.damaged.lock())
    }

    /// Looks for index blobs that others have written since, and reads all anew if there are any: the view of the epochs
    /// is looked at anew, too, although it may be used for longer.
    ///
    /// # Errors
    /// [`Error::Index`] when they cannot be read.
    pub fn refresh(&self) -> Result<()> {
        self.index_blobs.invalidate();
        self.read_index()
    }

    fn read_index(&self) -> Result<()> {
        let mut read_set = self.read_set.lock();
        let fresh = self
            .index_blobs
            .open_unless(&read_set, &|message: &str| self.warn(message))
            .map_err(|source| Error::Index { action: "read the index of the repository", source })?;
        if let Some(OpenedIndex { index, read, damaged }) = fresh {
            *self.index.write() = Arc::new(index);
            *self.damaged.lock() = damaged.into();
            *read_set = read;
        }
        Ok(())
    }

    /// Adds index files that this process has just written as `blobs`.
    pub(super) fn add_to_index(&self, files: &[PackIndex], blobs: Vec<BlobId>) -> Result<()> {
        let mut read_set = self.read_set.lock();
        let mut index = self.index.write();
        // Others hold it for the time of a question; a copy would be as big as the index.
        for _ in 0..INDEX_WAITS_MAX {
            if Arc::get_mut(&mut index).is_some() {
                break;
            }
            std::thread::sleep(INDEX_WAIT);
        }
        Arc::make_mut(&mut index)
            .merge_with(files)
            .map_err(|source| Error::Index { action: "add what was written to the index", source })?;
        read_set.extend(blobs);
        Ok(())
    }

    /// Where a content lies, deleted ones included.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub fn info(&self, id: &ContentId) -> Result<IndexEntry> {
        self.index.read().lookup(id).ok_or(Error::NotFound { id: *id })
    }

    /// Ids of the contents with a prefix that are not deleted, in order.
    pub fn ids_with_prefix(&self, prefix: IdPrefix) -> Vec<ContentId> {
        self.index().iter_prefix(prefix, false).map(|entry| entry.id()).collect()
    }

    /// Reads, authenticates and decompresses a content.
    ///
    /// A pack that has gone may have been rewritten by maintenance, so the index is then read anew, once.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Read`], or a variant saying how the bytes are damaged.
    pub fn get(&self, id: &ContentId) -> Result<Vec<u8>> {
        let entry = self.info(id)?;
        match self.get_entry(&entry) {
            Err(Error::Read { source, .. }) if source.is_not_found() => {
                self.refresh()?;
                self.get_entry(&self.info(id)?)
            }
            result => result,
        }
    }

    /// Reads a content, and proves that the bytes hash to its name.
    ///
    /// # Errors
    /// Those of [`ContentReader::get`], and [`Error::Misnamed`].
    pub fn verify(&self, id: &ContentId) -> Result<Vec<u8>> {
        let data = self.get(id)?;
        if self.format.crypto.hasher().hash(&data) != *id.hash() {
            let pack = self.info(id)?.pack;
            return Err(Error::Misnamed { id: *id, pack });
        }
        Ok(data)
    }

    /// Reads the content that `entry` describes.
    ///
    /// # Errors
    /// [`Error::Read`], or a variant saying how the bytes are damaged.
    pub fn get_entry(&self, entry: &IndexEntry) -> Result<Vec<u8>> {
        let range =
            ByteRange { offset: u64::from(entry.pack_offset), length: u64::from(entry.packed_length) };
        let stored = if entry.packed_length <= SMALL_CONTENT_BYTES {
            self.blocks.read(self.storage.as_ref(), &entry.pack, range)
        } else {
            self.storage.get(&entry.pack, Some(range))
        };
        let stored = stored.map_err(|source| Error::Read {
            id: entry.id,
            pack: entry.pack.clone(),
            offset: entry.pack_offset,
            length: entry.packed_length,
            source,
        })?;
        self.decode(entry, stored)
    }

    /// Turns stored bytes into plaintext.
    ///
    /// # Errors
    /// A variant saying how the bytes are damaged.
    pub fn decode(&self, entry: &IndexEntry, stored: Vec<u8>) -> Result<Vec<u8>> {
        check_key(entry)?;
        let plain = self.format.crypto.open_item(entry.id.hash().iv(), stored).map_err(damaged(entry))?;
        if entry.compression.0 == 0 { Ok(plain) } else { self.decompress(entry, &plain) }
    }

    /// Turns stored bytes into plaintext, without another buffer if they are not compressed.
    ///
    /// # Errors
    /// Those of [`ContentReader::decode`]; then `stored` is of no use any more.
    pub fn decode_in_place<'a>(&self, entry: &IndexEntry, stored: &'a mut [u8]) -> Result<Cow<'a, [u8]>> {
        check_key(entry)?;
        let crypto = &self.format.crypto;
        let plain = crypto.open_item_in_place(entry.id.hash().iv(), stored).map_err(damaged(entry))?;
        if entry.compression.0 == 0 { Ok(plain) } else { self.decompress(entry, &plain).map(Cow::Owned) }
    }

    fn decompress(&self, entry: &IndexEntry, plain: &[u8]) -> Result<Vec<u8>> {
        // Version 1 records no length: there it is derived from the stored one.
        let expected = (self.format.index_version >= 2).then_some(entry.original_length);
        let broken = |source| Error::Decompress {
            id: entry.id,
            pack: entry.pack.clone(),
            offset: entry.pack_offset,
            expected: entry.original_length,
            source,
        };
        let limit = expected.map_or(MAX_PLAINTEXT_BYTES, |length| length as usize);
        let data = compression::decompress_framed(entry.compression, plain, limit)
            .map_err(|source| broken(Some(source)))?;
        if expected.is_some_and(|length| length as usize != data.len()) {
            return Err(broken(None));
        }
        Ok(data)
    }
}

fn check_key(entry: &IndexEntry) -> Result<()> {
    match entry.encryption_key_id {
        0 => Ok(()),
        _ => Err(Error::Unreadable { id: entry.id, reason: "it names an encryption key of a later format" }),
    }
}

fn damaged(entry: &IndexEntry) -> impl FnOnce(crypto::Error) -> Error + '_ {
    |source| {
        let (offset, length) = (entry.pack_offset, entry.packed_length);
        Error::Damaged { id: entry.id, pack: entry.pack.clone(), offset, length, source }
    }
}
