//! The storage contract.

use super::{BlobId, Error, Result};
use crate::base::Timestamp;
use bytes::Bytes;
use std::fmt;
use std::time::Duration;

/// Requests that a store beyond a network likes in flight: with 40 ms each, more than a thousand a second.
pub const REMOTE_PARALLELISM: usize = 64;
/// Requests in flight that a disk or a server nearby likes.
const LOCAL_PARALLELISM: usize = 16;
/// Blobs that a store which can deletes with one request.
pub const DELETES_AT_ONCE: usize = 1000;

/// A range of bytes inside a blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ByteRange {
    /// First byte.
    pub offset: u64,
    /// Number of bytes.
    pub length: u64,
}

impl fmt::Display for ByteRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}+{}", self.offset, self.length)
    }
}

/// What a store knows of a blob without reading it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlobMetadata {
    /// The name.
    pub id: BlobId,
    /// Size in bytes.
    pub length: u64,
    /// Modification time by the **store's** clock.
    pub timestamp: Timestamp,
}

/// When a put must have reached stable storage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// Before the call returns.
    #[default]
    Now,
    /// The bytes before the call returns, the name at the latest when the next [`Storage::barrier`] returns. For packs,
    /// which nothing refers to before the barrier: it spares a directory sync for each.
    AtBarrier,
}

/// Who may delete a blob before its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetentionMode {
    /// Those with a special permission.
    Governance,
    /// Nobody.
    Compliance,
}

/// Object lock: a blob that cannot be deleted, and whose bytes cannot be replaced, for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// How strict.
    pub mode: RetentionMode,
    /// How long from now.
    pub period: Duration,
}

/// How a blob is to be put.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PutOptions {
    /// When it must be durable.
    pub durability: Durability,
    /// The modification time to give it (repository copies only).
    pub set_timestamp: Option<Timestamp>,
    /// The lock to put on it. A store without locks answers [`Error::Unsupported`], and stores nothing.
    pub retention: Option<Retention>,
}

/// Room in a store that is a volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capacity {
    /// Total bytes.
    pub total_bytes: u64,
    /// Bytes that may still be written.
    pub available_bytes: u64,
}

/// A flat map from names to immutable bytes, shared by many clients at once.
///
/// **Blocking.** Calls return when done; whoever wants more in flight calls from several threads (why not `async`:
/// `docs/decisions/0001-blocking-storage.md`). Every method may be called from any number of threads.
///
/// **Atomicity.** A put is all or nothing: readers and listings see the old state or the complete new blob, never a
/// part, also after a crash. Putting an existing name replaces it; upper layers do that only for `kopia.*`, markers,
/// and retries of identical bytes.
///
/// **Ordering.** When a put has returned, every later `get`, `metadata` and `list` by this client sees the blob; other
/// clients see it as soon as the medium lets them. Whether it survives a power cut is said by [`Durability`]. Nothing
/// orders two puts that overlap in time.
///
/// **Missing blobs.** `get` and `metadata` answer [`Error::NotFound`]; `delete` succeeds. A missing root (an unmounted
/// volume) is not a missing blob: it answers [`Error::Root`], and no call ever creates the root.
///
/// **Ranges.** Exactly the bytes asked for or [`Error::InvalidRange`]; a range of length 0 still proves that the blob is
/// there.
///
/// **Listing.** Every blob whose name starts with the prefix, each once, in no order. A blob put or deleted meanwhile
/// may or may not appear. Foreign files, temporary files and blobs that vanish meanwhile are passed over in silence.
///
/// **Retry.** Only errors whose class [is retriable](crate::base::ErrorClass::is_retriable) may be tried again, and all
/// calls may be tried again after one: they are idempotent. Refused permission is never retried.
pub trait Storage: Send + Sync + fmt::Debug {
    /// Reads a whole blob, or the `range` of it.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::InvalidRange`], or what the medium says.
    fn get(&self, id: &BlobId, range: Option<ByteRange>) -> Result<Vec<u8>>;

    /// Reads what a blob has of `range`: less where it ends before, and nothing where it ends before the first byte.
    ///
    /// A store that can do so with one request should.
    ///
    /// # Errors
    /// Those of [`Storage::get`] but for [`Error::InvalidRange`].
    fn get_within(&self, id: &BlobId, range: ByteRange) -> Result<Vec<u8>> {
        match self.get(id, Some(range)) {
            Err(Error::InvalidRange { .. }) => {}
            outcome => return outcome,
        }
        let length = self.metadata(id)?.length.saturating_sub(range.offset).min(range.length);
        self.get(id, Some(ByteRange { length, ..range }))
    }

    /// Length and time of a blob.
    ///
    /// # Errors
    /// [`Error::NotFound`], or what the medium says.
    fn metadata(&self, id: &BlobId) -> Result<BlobMetadata>;

    /// Stores `data` under `id`.
    ///
    /// The bytes are shared, so that a store may keep them for as long as a request takes without a copy; when the call
    /// has returned they are the caller's again, but for what a broken connection may still hold for a moment.
    ///
    /// # Errors
    /// [`Error::InvalidName`], [`Error::ReadOnly`], or what the medium says; after an error the name is bound to what it
    /// was bound to before, or, where only the confirmation failed, to the complete new bytes.
    fn put(&self, id: &BlobId, data: Bytes, options: PutOptions) -> Result<()>;

    /// Makes every put and delete that has returned durable, including puts with [`Durability::AtBarrier`].
    ///
    /// # Errors
    /// What the medium says; then nothing may be assumed of the puts since the last barrier.
    fn barrier(&self) -> Result<()> {
        Ok(())
    }

    /// Makes the next [`Storage::barrier`] cover a blob that another process has put: its name may still be on its way
    /// to the disk.
    ///
    /// # Errors
    /// [`Error::InvalidName`].
    fn adopt(&self, _id: &BlobId) -> Result<()> {
        Ok(())
    }

    /// Removes a blob; a missing one is no error.
    ///
    /// # Errors
    /// [`Error::ReadOnly`], or what the medium says.
    fn delete(&self, id: &BlobId) -> Result<()>;

    /// Removes blobs, where the store can in few requests; missing ones are no error. An error means that some may be
    /// left.
    ///
    /// # Errors
    /// Those of [`Storage::delete`].
    fn delete_many(&self, ids: &[BlobId]) -> Result<()> {
        ids.iter().try_for_each(|id| self.delete(id))
    }

    /// Locks a blob for longer than it is locked now. A store without locks answers [`Error::Unsupported`].
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Unsupported`], or what the medium says.
    fn extend_retention(&self, _id: &BlobId, _retention: Retention) -> Result<()> {
        Err(Error::Unsupported { option: "object lock" })
    }

    /// Calls `visit` for every blob whose name starts with `prefix`; an error from it ends the listing.
    ///
    /// # Errors
    /// The error of `visit`, or what the medium says.
    fn list(&self, prefix: &str, visit: &mut dyn FnMut(BlobMetadata) -> Result<()>) -> Result<()>;

    /// Room in the store, or `None` where that has no meaning.
    ///
    /// # Errors
    /// What the medium says.
    fn capacity(&self) -> Result<Option<Capacity>> {
        Ok(None)
    }

    /// Whether changes are refused.
    fn is_read_only(&self) -> bool {
        false
    }

    /// How many requests the store likes in flight: more wait for each other, fewer wait for the way there and back.
    fn parallelism(&self) -> usize {
        LOCAL_PARALLELISM
    }

    /// A short human name, such as `Filesystem: /backup`.
    fn display_name(&self) -> String;
}

/// Conveniences over any store.
pub trait StorageExt: Storage {
    /// All blobs with a prefix, sorted by name.
    ///
    /// # Errors
    /// Those of [`Storage::list`].
    fn list_all(&self, prefix: &str) -> Result<Vec<BlobMetadata>> {
        let mut found = Vec::new();
        self.list(prefix, &mut |blob| {
            found.push(blob);
            Ok(())
        })?;
        found.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(found)
    }

    /// A whole blob, or `None` when it is not there.
    ///
    /// # Errors
    /// Those of [`Storage::get`] except [`Error::NotFound`].
    fn get_optional(&self, id: &BlobId) -> Result<Option<Vec<u8>>> {
        match self.get(id, None) {
            Ok(data) => Ok(Some(data)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Stores a copy of `data` durably.
    ///
    /// # Errors
    /// Those of [`Storage::put`].
    fn put_now(&self, id: &BlobId, data: &[u8]) -> Result<()> {
        self.put(id, Bytes::copy_from_slice(data), PutOptions::default())
    }
}

impl<S: Storage + ?Sized> StorageExt for S {}

/// Refuses names no store can hold, before they become paths or keys.
///
/// # Errors
/// [`Error::InvalidName`].
pub(super) fn check_name(id: &BlobId) -> Result<()> {
    if id.is_valid() { Ok(()) } else { Err(Error::InvalidName { name: id.as_str().to_owned() }) }
}
