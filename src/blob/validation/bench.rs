//! What the checks work with: connections, names, bytes, and words for what is wrong.

use super::ValidationOptions;
use crate::base::{Clock, Entropy, ErrorClass, SeededEntropy};
use crate::blob::{BlobId, Error, PutOptions, Result, Storage, StorageExt};
use bytes::Bytes;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Blobs deleted at once when all is over.
const CLEANING_BATCH: usize = 500;

pub(super) struct Bench<'a> {
    stores: &'a [Arc<dyn Storage>],
    turn: AtomicUsize,
    pub(super) clock: &'a dyn Clock,
    pub(super) entropy: &'a dyn Entropy,
    pub(super) options: &'a ValidationOptions,
    cancel: &'a AtomicBool,
    /// What the names of all blobs begin with.
    prefix: String,
}

impl<'a> Bench<'a> {
    pub(super) fn new(
        stores: &'a [Arc<dyn Storage>],
        clock: &'a dyn Clock,
        entropy: &'a dyn Entropy,
        options: &'a ValidationOptions,
        cancel: &'a AtomicBool,
    ) -> Self {
        let prefix = format!("z{}", hex::encode(entropy.bytes::<16>()));
        Self { stores, turn: AtomicUsize::new(0), clock, entropy, options, cancel, prefix }
    }

    /// Every connection in turn, so that what follows goes through another one than what went before.
    pub(super) fn next(&self) -> &dyn Storage {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        self.stores[turn % self.stores.len()].as_ref()
    }

    /// All connections.
    pub(super) fn all(&self) -> impl Iterator<Item = &dyn Storage> {
        self.stores.iter().map(AsRef::as_ref)
    }

    /// The name of a blob of these checks.
    pub(super) fn id(&self, rest: &str) -> BlobId {
        format!("{}{rest}", self.prefix).into()
    }

    pub(super) fn put(&self, id: &BlobId, data: Vec<u8>) -> Result<()> {
        self.next().put(id, Bytes::from(data), PutOptions::default())
    }

    /// How many blobs of these checks begin so, in the list of the next connection.
    pub(super) fn count(&self, rest: &str) -> Result<usize> {
        let mut count = 0;
        self.next().list(self.id(rest).as_str(), &mut |_| {
            count += 1;
            Ok(())
        })?;
        Ok(count)
    }

    pub(super) fn check_cancel(&self) -> Result<()> {
        if self.cancel.load(Ordering::Relaxed) { Err(Error::Canceled) } else { Ok(()) }
    }

    /// Removes all blobs of these checks, whatever became of them.
    pub(super) fn clean_up(&self) -> Result<String> {
        let store = self.next();
        let left: Vec<BlobId> = store.list_all(&self.prefix)?.into_iter().map(|blob| blob.id).collect();
        for batch in left.chunks(CLEANING_BATCH) {
            store.delete_many(batch)?;
        }
        match self.count("")? {
            0 => Ok(format!("{} blobs removed", left.len())),
            left => Err(wrong(format!("{left} blobs that begin with {} are left", self.prefix))),
        }
    }
}

/// What a store should not have done.
pub(super) fn wrong(message: impl Into<String>) -> Error {
    Error::Other { message: message.into(), class: ErrorClass::Other }
}

/// Fails with what is wrong unless all is as it should be.
pub(super) fn ensure(is_right: bool, message: impl FnOnce() -> String) -> Result<()> {
    if is_right { Ok(()) } else { Err(wrong(message())) }
}

/// Bytes that follow from a number.
pub(super) fn data(seed: u64, length: usize) -> Vec<u8> {
    let mut data = vec![0; length];
    SeededEntropy::new(seed).fill(&mut data);
    data
}
