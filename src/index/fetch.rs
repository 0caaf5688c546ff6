//! Many index blobs at once, with a bound on what is in memory meanwhile.

use super::blobs::storage_error;
use super::{Error, PackIndex, Result};
use crate::blob::{BlobId, BlobMetadata, Storage};
use crate::crypto::BlobCrypto;
use parking_lot::{Condvar, Mutex};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

const THREADS_MAX: usize = 16;
/// Bytes of blobs being fetched or waiting to be merged; one blob may exceed it alone.
const IN_FLIGHT_BYTES: u64 = 12 << 20;

/// Reads and checks one index blob; `None` for one without content, which a crashed writer left.
pub(super) fn fetch(storage: &dyn Storage, crypto: &BlobCrypto, id: &BlobId) -> Result<Option<PackIndex>> {
    let stored = storage.get(id, None).map_err(storage_error("read", id.as_str()))?;
    if stored.is_empty() {
        return Ok(None);
    }
    let plain = crypto
        .open(id.as_str(), stored)
        .map_err(|source| Error::Undecryptable { blob: id.clone(), source })?;
    let index = PackIndex::open(plain)
        .map_err(|source| Error::Corrupt { blob: id.clone(), source: Box::new(source) })?;
    Ok(Some(index))
}

/// Fetches all blobs and hands them over one by one, in any order, with their numbers. Ends at the first error.
pub(super) fn fetch_all(
    storage: &dyn Storage,
    crypto: &BlobCrypto,
    blobs: &[BlobMetadata],
    visit: &mut dyn FnMut(usize, Option<PackIndex>) -> Result<()>,
) -> Result<()> {
    if let [blob] = blobs {
        return visit(0, fetch(storage, crypto, &blob.id)?);
    }
    let next = AtomicUsize::new(0);
    let stopped = AtomicBool::new(false);
    let budget = Budget::default();
    let (sender, receiver) = crossbeam_channel::bounded(1);
    std::thread::scope(|scope| {
        for _ in 0..THREADS_MAX.min(blobs.len()) {
            let sender = sender.clone();
            let (next, stopped, budget) = (&next, &stopped, &budget);
            scope.spawn(move || {
                while let Some((number, blob)) = take(next, blobs) {
                    budget.acquire(blob.length);
                    if stopped.load(Ordering::Relaxed) {
                        budget.release(blob.length);
                        break;
                    }
                    let fetched = fetch(storage, crypto, &blob.id);
                    if sender.send((number, blob.length, fetched)).is_err() {
                        break;
                    }
                }
            });
        }
        drop(sender);
        let mut result = Ok(());
        // Goes on after an error until every thread has ended, so that none waits for ever.
        for (number, length, fetched) in receiver {
            if result.is_ok() {
                result = fetched.and_then(|index| visit(number, index));
                stopped.store(result.is_err(), Ordering::Relaxed);
            }
            budget.release(length);
        }
        result
    })
}

fn take<'a>(next: &AtomicUsize, blobs: &'a [BlobMetadata]) -> Option<(usize, &'a BlobMetadata)> {
    let number = next.fetch_add(1, Ordering::Relaxed);
    blobs.get(number).map(|blob| (number, blob))
}

/// Bytes in flight.
#[derive(Default)]
struct Budget {
    used: Mutex<u64>,
    freed: Condvar,
}

impl Budget {
    fn acquire(&self, length: u64) {
        let mut used = self.used.lock();
        while *used > 0 && used.saturating_add(length) > IN_FLIGHT_BYTES {
            self.freed.wait(&mut used);
        }
        *used = used.saturating_add(length);
    }

    fn release(&self, length: u64) {
        let mut used = self.used.lock();
        *used = used.saturating_sub(length);
        self.freed.notify_all();
    }
}
