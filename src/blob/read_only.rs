//! A store that refuses changes.

use super::pass_on::pass_on;
use super::{BlobId, Error, PutOptions, Result, Retention, Storage};
use bytes::Bytes;
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
    pass_on!(inner: get, get_within, parallelism, metadata, barrier, adopt, list, capacity, display_name);

    fn put(&self, id: &BlobId, _data: Bytes, _options: PutOptions) -> Result<()> {
        Err(Error::ReadOnly { id: id.clone() })
    }

    fn delete(&self, id: &BlobId) -> Result<()> {
        Err(Error::ReadOnly { id: id.clone() })
    }

    fn delete_many(&self, ids: &[BlobId]) -> Result<()> {
        match ids.first() {
            Some(id) => Err(Error::ReadOnly { id: id.clone() }),
            None => Ok(()),
        }
    }

    fn extend_retention(&self, id: &BlobId, _retention: Retention) -> Result<()> {
        Err(Error::ReadOnly { id: id.clone() })
    }

    fn is_read_only(&self) -> bool {
        true
    }
}
