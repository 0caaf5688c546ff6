//! A store that refuses changes.

use super::{BlobId, BlobMetadata, ByteRange, Capacity, Error, PutOptions, Result, Storage};
use std::sync::Arc;

/// Lets reads through to another store and answers every put and delete with [`Error::ReadOnly`].
#[derive(Debug)]
pub struct ReadOnly {
    inner: Arc<dyn Storage>,
}

impl ReadOnly {
    /// Protects `inner`.
    pub fn new(inner: Arc<dyn Storage>) -> Self {
        Self { inner }
    }
}

impl Storage for ReadOnly {
    fn get(&self, id: &BlobId, range: Option<ByteRange>) -> Result<Vec<u8>> {
        self.inner.get(id, range)
    }

    fn metadata(&self, id: &BlobId) -> Result<BlobMetadata> {
        self.inner.metadata(id)
    }

    fn put(&self, id: &BlobId, _pieces: &[&[u8]], _options: PutOptions) -> Result<()> {
        Err(Error::ReadOnly { id: id.clone() })
    }

    fn barrier(&self) -> Result<()> {
        self.inner.barrier()
    }

    fn adopt(&self, id: &BlobId) -> Result<()> {
        self.inner.adopt(id)
    }

    fn delete(&self, id: &BlobId) -> Result<()> {
        Err(Error::ReadOnly { id: id.clone() })
    }

    fn list(&self, prefix: &str, visit: &mut dyn FnMut(BlobMetadata) -> Result<()>) -> Result<()> {
        self.inner.list(prefix, visit)
    }

    fn capacity(&self) -> Result<Option<Capacity>> {
        self.inner.capacity()
    }

    fn is_read_only(&self) -> bool {
        true
    }

    fn display_name(&self) -> String {
        self.inner.display_name()
    }
}
