//! Bytes to content ids: hash, look up, compress, encrypt, pack, upload, index.
//!
//! Invariants:
//! - **C1** a pack is stored after its session's marker and before any index blob that names it;
//! - **C2** an index blob is put only after a storage barrier behind all packs it names;
//! - **C3** the marker is removed only after the index blobs are stored;
//! - **C4** whatever fails, nothing that was committed before is touched.

use super::claims::Claims;
use super::pack::{FinishedPack, PackBuilder, PackKind, PackedContent, index_entries};
use super::recover;
use super::session::{ClientIdentity, Session};
use super::upload::{StoredPack, Uploads};
use super::zero_runs::ZeroRuns;
use super::{ContentReader, Error, Result};
use crate::base::{Entropy, Stopwatch};
use crate::blob::BlobId;
use crate::compression::{self, Compressor, HeaderId};
use crate::crypto::{Hash, NONCE_LEN};
use crate::format::{ContentId, IdPrefix};
use crate::index::{self, MergedIndex, PackIndex};
use parking_lot::{Mutex, RwLock};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Longest chunk of the default splitter, for which pack buffers are made; one that must hold a longer content grows.
const LARGEST_CHUNK_BYTES: usize = 8 << 20;

/// Contents that may wait for their index entry, some 300 bytes each while it is written.
const UNINDEXED_CONTENTS_MAX: u64 = 128 << 10;

/// A content about to be written. The bytes may be encrypted in place, so they are of no use afterwards.
#[derive(Debug)]
pub struct NewContent<'a> {
    /// The plaintext.
    pub data: &'a mut [u8],
    /// What it holds.
    pub prefix: IdPrefix,
    /// How to compress it, if it shrinks.
    pub compressor: Option<&'static dyn Compressor>,
}

/// Buffers that one thread uses again for each batch.
#[derive(Debug, Default)]
pub struct Scratch {
    hashes: Vec<Hash>,
    compressed: Vec<u8>,
}

/// What a write session did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WriteStats {
    /// Contents asked for.
    pub contents: u64,
    /// Contents that were not there before.
    pub new_contents: u64,
    /// Their plaintext bytes.
    pub new_bytes: u64,
    /// Their bytes as stored.
    pub stored_bytes: u64,
}

#[derive(Debug, Default)]
struct Totals {
    contents: AtomicU64,
    new_contents: AtomicU64,
    new_bytes: AtomicU64,
    stored_bytes: AtomicU64,
}

/// Writes contents. Shared by all threads of a run.
pub struct ContentWriter {
    reader: Arc<ContentReader>,
    identity: ClientIdentity,
    entropy: Arc<dyn Entropy>,
    claims: Claims,
    zero_runs: ZeroRuns,
    /// Writers hold it shared; a flush takes it alone for the moment in which it detaches what is pending.
    gate: RwLock<()>,
    session: Mutex<Option<Session>>,
    dead_markers: Mutex<Vec<BlobId>>,
    packs: [Mutex<Option<PackBuilder>>; 2],
    uploads: Uploads,
    totals: Totals,
    flush_interval: Duration,
    /// When the last flush was.
    last_flush: Mutex<Stopwatch>,
    /// New contents up to the last flush.
    flushed_contents: AtomicU64,
}

impl std::fmt::Debug for ContentWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ContentWriter").field("identity", &self.identity).finish_non_exhaustive()
    }
}

impl ContentWriter {
    /// Begins writing; nothing is stored before the first new content. A session that lasts longer than `flush_interval`
    /// makes what it has stored visible, and goes on in a new one.
    pub fn new(
        reader: Arc<ContentReader>,
        identity: ClientIdentity,
        entropy: Arc<dyn Entropy>,
        upload_threads: usize,
        flush_interval: Duration,
    ) -> Self {
        let uploads = Uploads::start(Arc::clone(reader.storage()), upload_threads);
        Self {
            reader,
            identity,
            entropy,
            claims: Claims::new(),
            zero_runs: ZeroRuns::default(),
            gate: RwLock::new(()),
            session: Mutex::new(None),
            dead_markers: Mutex::new(Vec::new()),
            packs: [Mutex::new(None), Mutex::new(None)],
            uploads,
            totals: Totals::default(),
            flush_interval,
            last_flush: Mutex::new(Stopwatch::start()),
            flushed_contents: AtomicU64::new(0),
        }
    }

    /// The reading side.
    pub fn reader(&self) -> &Arc<ContentReader> {
        &self.reader
    }

    /// Takes over packs that an earlier run of this identity stored without having written their index, so that their
    /// contents need not be uploaded again. Returns how many contents were taken over.
    ///
    /// # Errors
    /// [`Error::Storage`] when markers or packs cannot be listed.
    pub fn adopt_abandoned_packs(&self) -> Result<u64> {
        let mut adopted = 0;
        let abandoned = recover::find_abandoned(&self.reader, &self.identity)?;
        self.dead_markers.lock().extend(abandoned.dead_markers);
        let index = self.reader.index();
        for (pack, contents) in abandoned.packs {
            let fresh =
                |content: &PackedContent| is_adoptable(content, &index) && self.claims.adopt(content.id);
            let contents: Vec<_> = contents.into_iter().filter(fresh).collect();
            if contents.is_empty() {
                continue;
            }
            adopted += contents.len() as u64;
            let adopting = |source| Error::Storage { action: "take over a pack", source };
            self.reader.storage().adopt(&pack).map_err(adopting)?;
            self.uploads.adopt((pack, contents));
        }
        Ok(adopted)
    }

    /// Writes one content.
    ///
    /// # Errors
    /// Those of [`ContentWriter::write_batch`].
    pub fn write(
        &self,
        data: &mut [u8],
        prefix: IdPrefix,
        compressor: Option<&'static dyn Compressor>,
        scratch: &mut Scratch,
    ) -> Result<ContentId> {
        let mut id = None;
        self.write_batch(&mut [NewContent { data, prefix, compressor }], scratch, |_, written| {
            id = Some(written);
        })?;
        Ok(id.expect("a batch of one reports one id"))
    }

    /// Writes several contents at once, which lets the hash run over four of them together, and reports each id by its
    /// position.
    ///
    /// # Errors
    /// [`Error::Write`] or [`Error::SessionFailed`] when a pack could not be stored: the run cannot succeed any more.
    pub fn write_batch(
        &self,
        batch: &mut [NewContent<'_>],
        scratch: &mut Scratch,
        mut written: impl FnMut(usize, ContentId),
    ) -> Result<()> {
        self.check_failed()?;
        let limit = self.reader.format().max_content_bytes();
        if let Some(long) = batch.iter().find(|content| content.data.len() > limit) {
            return Err(Error::TooLong { length: long.data.len() });
        }
        let inputs: Vec<&[u8]> = batch.iter().map(|content| &*content.data).collect();
        scratch.hashes.clear();
        let hasher = self.reader.format().crypto.hasher();
        self.zero_runs.hash_many(hasher, &inputs, &mut scratch.hashes);
        drop(inputs);
        let open = self.gate.read();
        for (position, content) in batch.iter_mut().enumerate() {
            let id = ContentId::new(content.prefix, scratch.hashes[position]);
            self.totals.contents.fetch_add(1, Ordering::Relaxed);
            if let Some(previous) = self.claim(id) {
                self.store(id, content, previous, &mut scratch.compressed)?;
            }
            written(position, id);
        }
        drop(open);
        self.flush_if_due()
    }

    /// Stores all pending packs, then their index, then removes the session marker. Other threads may go on writing
    /// meanwhile, into the next session.
    ///
    /// # Errors
    /// Whatever could not be stored; nothing refers to what was.
    pub fn flush(&self) -> Result<()> {
        let mut last_flush = self.last_flush.lock();
        self.flush_alone()?;
        *last_flush = Stopwatch::start();
        Ok(())
    }

    /// Makes a long session's contents visible now and then, and looks at what others have written. Whoever finds it
    /// due does it; the others go on.
    fn flush_if_due(&self) -> Result<()> {
        let unindexed = || {
            let new = self.totals.new_contents.load(Ordering::Relaxed);
            new.saturating_sub(self.flushed_contents.load(Ordering::Relaxed))
        };
        let Some(mut last_flush) = self.last_flush.try_lock() else { return Ok(()) };
        if last_flush.elapsed() < self.flush_interval && unindexed() < UNINDEXED_CONTENTS_MAX {
            return Ok(());
        }
        self.flush_alone()?;
        self.reader.refresh()?;
        // What the index has now, nobody else need remember.
        let index = self.reader.index();
        self.claims.forget(|id| index.find(id).is_some_and(|entry| !entry.deleted()));
        *last_flush = Stopwatch::start();
        Ok(())
    }

    fn flush_alone(&self) -> Result<()> {
        self.flushed_contents.store(self.totals.new_contents.load(Ordering::Relaxed), Ordering::Relaxed);
        let (session, packs) = self.detach();
        for pack in packs {
            // Data first: even whoever rebuilds an index from packs alone finds no manifest before what it needs.
            self.uploads.wait();
            self.check_failed()?;
            self.uploads.submit(self.finish(pack)?);
        }
        self.uploads.wait();
        self.check_failed()?;
        // Taken before the barrier: a pack that is stored after it waits for the next flush.
        let stored = self.uploads.take_stored();
        let storage = self.reader.storage();
        storage.barrier().map_err(|source| Error::Storage { action: "make the packs durable", source })?;
        self.write_index(stored, session.as_ref())?;
        if let Some(session) = session {
            session.end(storage.as_ref())?;
        }
        for marker in std::mem::take(&mut *self.dead_markers.lock()) {
            storage.delete(&marker).map_err(|source| Error::Storage {
                action: "remove the marker of a broken session",
                source,
            })?;
        }
        Ok(())
    }

    /// Totals since the beginning.
    pub fn stats(&self) -> WriteStats {
        WriteStats {
            contents: self.totals.contents.load(Ordering::Relaxed),
            new_contents: self.totals.new_contents.load(Ordering::Relaxed),
            new_bytes: self.totals.new_bytes.load(Ordering::Relaxed),
            stored_bytes: self.totals.stored_bytes.load(Ordering::Relaxed),
        }
    }

    /// Bytes of packs that have reached the store.
    pub fn uploaded_bytes(&self) -> u64 {
        self.uploads.stored_bytes()
    }

    fn check_failed(&self) -> Result<()> {
        let Some(class) = self.uploads.failed_class() else { return Ok(()) };
        match self.uploads.take_failure() {
            Some((pack, source)) => Err(Error::Write { pack, source }),
            None => Err(Error::SessionFailed { class }),
        }
    }

    /// Claims a content for writing: the time its new entry must exceed, or `None` when it is there already.
    ///
    /// A deleted content is never a duplicate: maintenance may be about to drop it.
    fn claim(&self, id: ContentId) -> Option<i64> {
        let index = self.reader.index();
        let stored = index.find(&id);
        let exists = stored.as_ref().is_some_and(|entry| !entry.deleted());
        let mine = self.claims.claim(id, || exists);
        // Nor may its entry lose to a tombstone that the watermark hides from this client.
        let hidden = index.deletion_watermark().max(0);
        mine.then(|| stored.map_or(hidden, |entry| entry.timestamp_seconds().max(hidden)))
    }

    fn store(
        &self,
        id: ContentId,
        content: &mut NewContent<'_>,
        previous: i64,
        compressed: &mut Vec<u8>,
    ) -> Result<()> {
        let format = self.reader.format();
        let original_length = content.data.len() as u32;
        let compressor = content.compressor.filter(|_| format.compresses_contents());
        let mut compression = HeaderId::default();
        if let Some(compressor) = compressor
            && compression::compress_framed(compressor, content.data, compressed).map_err(Error::Compress)?
        {
            compression = compressor.id();
        }
        let body = if compression.0 == 0 { &mut *content.data } else { compressed.as_mut_slice() };
        let now = self.reader.clock().now().as_seconds();
        let packed = PackedContent {
            id,
            offset: 0,
            packed_length: 0,
            original_length,
            timestamp_seconds: u32::try_from(now.max(previous + 1)).unwrap_or(u32::MAX),
            compression,
        };
        self.totals.new_contents.fetch_add(1, Ordering::Relaxed);
        self.totals.new_bytes.fetch_add(u64::from(original_length), Ordering::Relaxed);
        if format.crypto.ecc().is_some() {
            let sealed = format.seal(self.entropy.as_ref(), id.hash().iv(), body)?;
            return self.append(packed, &[&sealed]);
        }
        let nonce = self.entropy.bytes::<NONCE_LEN>();
        let tag = format
            .crypto
            .encryptor()
            .seal(id.hash().iv(), &nonce, body)
            .map_err(|source| Error::Crypto { action: "encrypt a content", source })?;
        self.append(packed, &[&nonce, body, &tag])
    }

    fn append(&self, content: PackedContent, pieces: &[&[u8]]) -> Result<()> {
        let format = self.reader.format();
        let length: usize = pieces.iter().map(|piece| piece.len()).sum();
        if length > format.max_content_bytes() {
            return Err(Error::TooLong { length });
        }
        self.totals.stored_bytes.fetch_add(length as u64, Ordering::Relaxed);
        let kind = PackKind::of(&content.id);
        let slot = &self.packs[kind as usize];
        let mut slot = slot.lock();
        let mut pack = match slot.take() {
            Some(pack) => pack,
            None => self.open_pack(kind)?,
        };
        pack.append(PackedContent { packed_length: length as u32, ..content }, pieces);
        if pack.len() < format.max_pack_bytes {
            *slot = Some(pack);
            return Ok(());
        }
        // The lock is kept until an upload thread has taken the pack: were another opened meanwhile, packs would pile up
        // as fast as the disk is slow.
        self.uploads.submit(self.finish(pack)?);
        Ok(())
    }

    /// The marker must be stored before the pack's name exists, and everyone who waits here needs it too.
    fn open_pack(&self, kind: PackKind) -> Result<PackBuilder> {
        let format = self.reader.format();
        let mut session = self.session.lock();
        if session.is_none() {
            let (storage, clock) = (self.reader.storage().as_ref(), self.reader.clock().as_ref());
            *session = Some(Session::begin(storage, format, &self.identity, clock, self.entropy.as_ref())?);
        }
        let id = session.as_ref().expect("begun above").id();
        let buffer = match kind {
            PackKind::Data => self.uploads.buffer(format.pack_buffer_bytes(LARGEST_CHUNK_BYTES)),
            // Most runs write few directories; the buffer grows when they are many.
            PackKind::Metadata => self.uploads.buffer(0),
        };
        Ok(PackBuilder::new(kind, id, format, self.entropy.as_ref(), buffer))
    }

    fn finish(&self, pack: PackBuilder) -> Result<FinishedPack> {
        pack.finish(self.reader.format(), self.entropy.as_ref())
    }

    fn detach(&self) -> (Option<Session>, Vec<PackBuilder>) {
        let _alone = self.gate.write();
        let packs = self.packs.iter().filter_map(|slot| slot.lock().take()).collect();
        (self.session.lock().take(), packs)
    }

    fn write_index(&self, stored: Vec<StoredPack>, session: Option<&Session>) -> Result<()> {
        let format = self.reader.format();
        if stored.is_empty() {
            return Ok(());
        }
        let mut entries = Vec::with_capacity(stored.iter().map(|(_, contents)| contents.len()).sum());
        for (pack, contents) in stored {
            entries.extend(index_entries(&pack, &contents, format));
        }
        let failed = |source| Error::Index { action: "write the index of this session", source };
        let shards = index::build(format.index_version, entries).map_err(failed)?;
        // Opened before they are stored: what cannot be read must not be there.
        let shards: Vec<PackIndex> =
            shards.into_iter().map(PackIndex::open).collect::<index::Result<_>>().map_err(failed)?;
        // Adopted packs alone need no session of their own, but an index blob's name has one.
        let adopted = format!("s{}0", hex::encode(self.entropy.bytes::<8>()));
        let session_id = session.map_or(adopted.as_str(), Session::id);
        let written = self.reader.index_blobs().write(&shards, session_id).map_err(failed)?;
        self.reader.add_to_index(&shards, written)
    }
}

/// Whether a content of a broken run is better than what the index has: nothing, or a tombstone that is older. An entry
/// that lost to a tombstone, seen or hidden by the watermark, would be a hole.
fn is_adoptable(content: &PackedContent, index: &MergedIndex) -> bool {
    let written = i64::from(content.timestamp_seconds);
    let wins =
        index.find(&content.id).is_none_or(|entry| entry.deleted() && written > entry.timestamp_seconds());
    wins && written > index.deletion_watermark()
}
