//! A store that tries again after passing faults.

use super::backoff::Backoff;
use super::pass_on::pass_on;
use super::{BlobId, BlobMetadata, ByteRange, Capacity, PutOptions, Result, Retention, Storage};
use crate::base::{Clock, Entropy};
use bytes::Bytes;
use std::cell::Cell;
use std::fmt;
use std::sync::Arc;

/// Repeats failed calls of another store, at most ten times in all, waiting 100 ms at first, half as long again each
/// time, and never more than 32 s.
///
/// Only errors of a [retriable class](crate::base::ErrorClass::is_retriable) are worth it. A listing is repeated only
/// as long as its callback has seen nothing. A barrier is not repeated: after a failed sync the system may have
/// forgotten what was not written, and the next one succeeds in vain.
///
/// Source: kopia `repo/blob/retrying/retrying_storage.go`, `internal/retry/retry.go`.
pub struct Retrying {
    inner: Arc<dyn Storage>,
    clock: Arc<dyn Clock>,
    jitter: Option<Arc<dyn Entropy>>,
}

impl Retrying {
    /// Repeats the calls of `inner`, waiting by `clock`.
    pub fn new(inner: Arc<dyn Storage>, clock: Arc<dyn Clock>) -> Self {
        Self { inner, clock, jitter: None }
    }

    /// The same with pauses drawn between nothing and their length, for stores that many clients share. What a store asks
    /// for (`Retry-After`, a minute at most) is waited for besides.
    pub fn with_jitter(inner: Arc<dyn Storage>, clock: Arc<dyn Clock>, entropy: Arc<dyn Entropy>) -> Self {
        Self { inner, clock, jitter: Some(entropy) }
    }

    fn retry<T>(&self, operation: impl FnMut() -> Result<T>) -> Result<T> {
        Backoff::KOPIA.run_jittered(&*self.clock, self.jitter.as_deref(), || true, operation)
    }
}

impl Storage for Retrying {
    pass_on!(inner: barrier, adopt, parallelism, is_read_only, display_name);

    fn get(&self, id: &BlobId, range: Option<ByteRange>) -> Result<Vec<u8>> {
        self.retry(|| self.inner.get(id, range))
    }

    fn get_within(&self, id: &BlobId, range: ByteRange) -> Result<Vec<u8>> {
        self.retry(|| self.inner.get_within(id, range))
    }

    fn metadata(&self, id: &BlobId) -> Result<BlobMetadata> {
        self.retry(|| self.inner.metadata(id))
    }

    fn put(&self, id: &BlobId, data: Bytes, options: PutOptions) -> Result<()> {
        self.retry(|| self.inner.put(id, data.clone(), options))
    }

    fn delete(&self, id: &BlobId) -> Result<()> {
        self.retry(|| self.inner.delete(id))
    }

    fn delete_many(&self, ids: &[BlobId]) -> Result<()> {
        self.retry(|| self.inner.delete_many(ids))
    }

    fn extend_retention(&self, id: &BlobId, retention: Retention) -> Result<()> {
        self.retry(|| self.inner.extend_retention(id, retention))
    }

    fn list(&self, prefix: &str, visit: &mut dyn FnMut(BlobMetadata) -> Result<()>) -> Result<()> {
        let has_visited = Cell::new(false);
        Backoff::KOPIA.run_jittered(
            &*self.clock,
            self.jitter.as_deref(),
            || !has_visited.get(),
            || {
                self.inner.list(prefix, &mut |blob| {
                    has_visited.set(true);
                    visit(blob)
                })
            },
        )
    }

    fn capacity(&self) -> Result<Option<Capacity>> {
        self.retry(|| self.inner.capacity())
    }
}

impl fmt::Debug for Retrying {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Retrying").field("inner", &self.inner).finish_non_exhaustive()
    }
}
