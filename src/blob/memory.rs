//! Blobs in memory, for tests.

use super::storage::check_name;
use super::{BlobId, BlobMetadata, ByteRange, Error, PutOptions, Result, Retention, Storage};
use crate::base::{Clock, Timestamp};
use bytes::Bytes;
use parking_lot::RwLock;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Bound;
use std::sync::Arc;

/// A store that forgets, locks included. Its times are its clock's, so that tests decide how old a blob is.
pub struct Memory {
    blobs: RwLock<BTreeMap<BlobId, Entry>>,
    clock: Arc<dyn Clock>,
}

#[derive(Clone)]
struct Entry {
    data: Bytes,
    timestamp: Timestamp,
}

impl Memory {
    /// An empty store.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { blobs: RwLock::default(), clock }
    }

    fn find(&self, id: &BlobId) -> Result<Entry> {
        check_name(id)?;
        self.blobs.read().get(id).cloned().ok_or_else(|| Error::NotFound { id: id.clone() })
    }
}

impl Storage for Memory {
    fn get(&self, id: &BlobId, range: Option<ByteRange>) -> Result<Vec<u8>> {
        let data = self.find(id)?.data;
        let Some(range) = range else { return Ok(data.to_vec()) };
        if range.length == 0 {
            return Ok(Vec::new());
        }
        let end = range.offset.checked_add(range.length).and_then(|end| usize::try_from(end).ok());
        let part = end.and_then(|end| data.get(range.offset as usize..end));
        part.map(<[u8]>::to_vec).ok_or_else(|| Error::InvalidRange { id: id.clone(), range })
    }

    fn get_within(&self, id: &BlobId, range: ByteRange) -> Result<Vec<u8>> {
        let data = self.find(id)?.data;
        let from = usize::try_from(range.offset).map_or(data.len(), |offset| offset.min(data.len()));
        let length = usize::try_from(range.length).map_or(usize::MAX, |length| length);
        Ok(data[from..].iter().take(length).copied().collect())
    }

    fn metadata(&self, id: &BlobId) -> Result<BlobMetadata> {
        Ok(self.find(id)?.describe(id))
    }

    fn put(&self, id: &BlobId, data: Bytes, options: PutOptions) -> Result<()> {
        check_name(id)?;
        let timestamp = options.set_timestamp.unwrap_or_else(|| self.clock.now());
        // A copy: the buffer that was handed over may be far larger than what is in it.
        let entry = Entry { data: Bytes::copy_from_slice(&data), timestamp };
        self.blobs.write().insert(id.clone(), entry);
        Ok(())
    }

    fn extend_retention(&self, id: &BlobId, _retention: Retention) -> Result<()> {
        // Whoever can see the memory can change it: a lock would protect nobody from anything.
        self.find(id).map(drop)
    }

    fn delete(&self, id: &BlobId) -> Result<()> {
        check_name(id)?;
        self.blobs.write().remove(id);
        Ok(())
    }

    fn list(&self, prefix: &str, visit: &mut dyn FnMut(BlobMetadata) -> Result<()>) -> Result<()> {
        // Collected first: the callback may use the store.
        let found: Vec<_> = self
            .blobs
            .read()
            .range::<str, _>((Bound::Included(prefix), Bound::Unbounded))
            .take_while(|(id, _)| id.as_str().starts_with(prefix))
            .map(|(id, entry)| entry.describe(id))
            .collect();
        found.into_iter().try_for_each(visit)
    }

    fn display_name(&self) -> String {
        "Memory".to_owned()
    }
}

impl Entry {
    fn describe(&self, id: &BlobId) -> BlobMetadata {
        BlobMetadata { id: id.clone(), length: self.data.len() as u64, timestamp: self.timestamp }
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory").field("blobs", &self.blobs.read().len()).finish_non_exhaustive()
    }
}
