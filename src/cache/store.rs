//! A store whose immutable blobs are kept on disk.
//!
//! Index blobs are kept whole. Packs are kept in blocks of half a mebibyte, which is what readers of small contents ask
//! for; of a pack of directories four blocks are fetched at once. What this client puts is kept at once, so that its next
//! run asks for none of it. Long reads of file data pass by: they are as fast as the store, and would push out the rest.

use super::folder::Folder;
use super::options::{CacheLimits, CacheOptions, SUBFOLDER};
use super::room::Room;
use crate::base::{Clock, Secret};
use crate::blob::pass_on::pass_on;
use crate::blob::{BlobId, ByteRange, PutOptions, Result, Storage};
use bytes::Bytes;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Of what a file of a pack keeps.
const BLOCK_BYTES: u64 = 512 << 10;
/// Blocks of a pack of directories fetched at once.
const METADATA_BLOCKS: u64 = 4;
/// Longer reads pass by.
const READ_BLOCKS_MAX: u64 = 32;
/// The part of a blob that is kept whole.
const WHOLE: u64 = u64::MAX;
/// Longer blobs are not kept whole.
const WHOLE_BYTES_MAX: usize = 64 << 20;

/// Keeps what never changes of another store on disk.
pub struct Cached {
    inner: Arc<dyn Storage>,
    metadata: Part,
    contents: Part,
    clock: Arc<dyn Clock>,
    warn: Arc<dyn Fn(&str) + Send + Sync>,
    has_warned: AtomicBool,
    /// Set when nothing more can be kept.
    is_broken: AtomicBool,
}

struct Part {
    folder: Folder,
    room: Room,
}

/// How a blob is kept.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Index,
    MetadataPack,
    DataPack,
    /// Not at all.
    None,
}

impl Kind {
    fn of(id: &BlobId) -> Self {
        match id.as_str().as_bytes() {
            // Markers of epochs and watermarks are names only.
            [b'x', b'e' | b'w', ..] => Self::None,
            [b'x' | b'n', ..] => Self::Index,
            [b'q', ..] => Self::MetadataPack,
            [b'p', ..] => Self::DataPack,
            _ => Self::None,
        }
    }
}

impl Cached {
    /// Keeps blobs of `inner` under `key`, which has 32 bytes and belongs to the repository.
    pub fn new(
        inner: Arc<dyn Storage>,
        options: &CacheOptions,
        key: &Secret,
        clock: Arc<dyn Clock>,
        warn: Arc<dyn Fn(&str) + Send + Sync>,
    ) -> Self {
        let root = options.folder.join(SUBFOLDER);
        let part = |name, limits: CacheLimits| Part {
            folder: Folder::new(&root, name, key.clone()),
            room: Room::new(limits),
        };
        Self {
            inner,
            metadata: part("metadata", options.metadata),
            contents: part("contents", options.contents),
            clock,
            warn,
            has_warned: AtomicBool::new(false),
            is_broken: AtomicBool::new(false),
        }
    }

    /// The part for blobs of a kind, if they are kept.
    fn part(&self, kind: Kind) -> Option<&Part> {
        let part = match kind {
            Kind::Index | Kind::MetadataPack => &self.metadata,
            Kind::DataPack => &self.contents,
            Kind::None => return None,
        };
        part.room.is_any().then_some(part)
    }

    fn find(&self, part: &Part, id: &BlobId, number: u64) -> Option<Vec<u8>> {
        match part.folder.read(id, number, self.clock.now().as_seconds()) {
            Ok(found) => found,
            Err(error) => {
                self.note(part, &error);
                None
            }
        }
    }

    fn keep(&self, part: &Part, id: &BlobId, number: u64, data: &[u8]) {
        if self.is_broken.load(Ordering::Relaxed) {
            return;
        }
        let folder = &part.folder;
        let room = part.room.admit(data.len() as u64, folder.path(), folder.temporary(), self.clock.now());
        let kept = room.and_then(|has_room| if has_room { folder.write(id, number, data) } else { Ok(()) });
        if let Err(error) = kept {
            self.is_broken.store(true, Ordering::Relaxed);
            self.note(part, &error);
        }
    }

    /// Says once that the cache is not what it should be.
    fn note(&self, part: &Part, error: &io::Error) {
        if !self.has_warned.swap(true, Ordering::Relaxed) {
            let folder = part.folder.path().display();
            (self.warn)(&format!(
                "the cache {folder} is of little use, which costs time and nothing else: {error}"
            ));
        }
    }

    fn keep_blocks(&self, part: &Part, id: &BlobId, first: u64, data: &[u8]) {
        for (number, block) in (first..).zip(data.chunks(BLOCK_BYTES as usize)) {
            self.keep(part, id, number, block);
        }
    }

    /// What the cache has of `range`, or gets for it; `None` for reads that pass by.
    fn within(&self, kind: Kind, id: &BlobId, range: ByteRange) -> Option<Result<Vec<u8>>> {
        let part = self.part(kind)?;
        let last_byte = range.offset.checked_add(range.length.checked_sub(1)?)?;
        let (first, last) = (range.offset / BLOCK_BYTES, last_byte / BLOCK_BYTES);
        if last - first >= READ_BLOCKS_MAX {
            return None;
        }
        let skip = (range.offset - first * BLOCK_BYTES) as usize;
        let cut = |bytes: &[u8]| {
            let rest = bytes.get(skip..).unwrap_or_default();
            rest[..rest.len().min(range.length as usize)].to_vec()
        };
        if let Some(bytes) = self.find_blocks(part, id, first, last) {
            return Some(Ok(cut(&bytes)));
        }
        let group = if kind == Kind::MetadataPack { METADATA_BLOCKS } else { 1 };
        let from = first / group * group;
        let wanted = ByteRange {
            offset: from * BLOCK_BYTES,
            length: ((last / group + 1) * group - from) * BLOCK_BYTES,
        };
        let fetched = self.inner.get_within(id, wanted).map(|bytes| {
            self.keep_blocks(part, id, from, &bytes);
            let before = ((first - from) * BLOCK_BYTES) as usize;
            cut(bytes.get(before..).unwrap_or_default())
        });
        Some(fetched)
    }

    /// The blocks from `first` to `last`, as far as the pack has them.
    fn find_blocks(&self, part: &Part, id: &BlobId, first: u64, last: u64) -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        for number in first..=last {
            let block = self.find(part, id, number)?;
            let is_last = block.len() < BLOCK_BYTES as usize;
            if bytes.is_empty() {
                bytes = block;
            } else {
                bytes.extend_from_slice(&block);
            }
            if is_last {
                break;
            }
        }
        Some(bytes)
    }

    fn get_whole(&self, id: &BlobId) -> Result<Vec<u8>> {
        let Some(part) = self.part(Kind::Index) else { return self.inner.get(id, None) };
        if let Some(found) = self.find(part, id, WHOLE) {
            return Ok(found);
        }
        let data = self.inner.get(id, None)?;
        self.keep_whole(part, id, &data);
        Ok(data)
    }

    /// An empty blob, or one of zeroes, is what a crashed writer left, and may be replaced.
    fn keep_whole(&self, part: &Part, id: &BlobId, data: &[u8]) {
        if data.len() <= WHOLE_BYTES_MAX && data.iter().any(|byte| *byte != 0) {
            self.keep(part, id, WHOLE, data);
        }
    }

    fn forget(&self, id: &BlobId) {
        if let Some(part) = self.part(Kind::of(id)) {
            part.folder.remove(id);
        }
    }
}

impl Storage for Cached {
    pass_on!(
        inner: metadata, barrier, adopt, extend_retention, list, capacity, is_read_only, display_name, parallelism
    );

    fn get(&self, id: &BlobId, range: Option<ByteRange>) -> Result<Vec<u8>> {
        let kind = Kind::of(id);
        match range {
            None if kind == Kind::Index => self.get_whole(id),
            Some(wanted) if kind == Kind::MetadataPack => match self.within(kind, id, wanted) {
                Some(Ok(data)) if data.len() as u64 == wanted.length => Ok(data),
                Some(Err(error)) => Err(error),
                // Shorter than it should be: the store says what is wrong.
                Some(Ok(_)) | None => self.inner.get(id, range),
            },
            _ => self.inner.get(id, range),
        }
    }

    fn get_within(&self, id: &BlobId, range: ByteRange) -> Result<Vec<u8>> {
        let kind = Kind::of(id);
        let found = if kind == Kind::Index { None } else { self.within(kind, id, range) };
        found.unwrap_or_else(|| self.inner.get_within(id, range))
    }

    fn put(&self, id: &BlobId, data: Bytes, options: PutOptions) -> Result<()> {
        self.forget(id);
        self.inner.put(id, data.clone(), options)?;
        match (Kind::of(id), self.part(Kind::of(id))) {
            (Kind::Index, Some(part)) => self.keep_whole(part, id, &data),
            (Kind::MetadataPack, Some(part)) => self.keep_blocks(part, id, 0, &data),
            _ => {}
        }
        Ok(())
    }

    fn delete(&self, id: &BlobId) -> Result<()> {
        self.forget(id);
        self.inner.delete(id)
    }

    fn delete_many(&self, ids: &[BlobId]) -> Result<()> {
        for id in ids {
            self.forget(id);
        }
        self.inner.delete_many(ids)
    }
}

impl fmt::Debug for Cached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let folder = self.metadata.folder.path();
        f.debug_struct("Cached").field("inner", &self.inner).field("folder", &folder).finish_non_exhaustive()
    }
}
