//! Many index blobs at once, with a bound on what is in memory meanwhile.

use super::blobs::storage_error;
use super::{Error, PackIndex, Result};
use crate::base::Stopwatch;
use crate::blob::{self, BlobMetadata, REMOTE_PARALLELISM, Storage};
use crate::crypto::BlobCrypto;
use crossbeam_channel::Sender;
use parking_lot::{Condvar, Mutex};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

/// A store that takes longer than this for the first blob is a remote one, whatever it says: a folder mounted over a
/// network looks like any other.
const SLOW_REQUEST: Duration = Duration::from_millis(5);
/// Bytes of blobs being fetched or waiting to be merged; one blob may exceed it alone.
const IN_FLIGHT_BYTES: u64 = 12 << 20;

/// Reads and checks one index blob; `None` for one without content, empty or all zeroes, which a crashed writer left.
pub(super) fn fetch(
    storage: &dyn Storage,
    crypto: &BlobCrypto,
    blob: &BlobMetadata,
) -> Result<Option<PackIndex>> {
    open(crypto, blob, storage.get(&blob.id, None).map_err(storage_error("read", blob.id.as_str()))?)
}

fn open(crypto: &BlobCrypto, blob: &BlobMetadata, stored: Vec<u8>) -> Result<Option<PackIndex>> {
    let id = &blob.id;
    if stored.iter().all(|byte| *byte == 0) {
        return Ok(None);
    }
    if (stored.len() as u64) < blob.length {
        // A network volume that does not show all of it yet: as if it were not there yet.
        return Err(storage_error("read", id.as_str())(blob::Error::NotFound { id: id.clone() }));
    }
    let plain = crypto
        .open(id.as_str(), stored)
        .map_err(|source| Error::Undecryptable { blob: id.clone(), source })?;
    let index = PackIndex::open(plain)
        .map_err(|source| Error::Corrupt { blob: id.clone(), source: Box::new(source) })?;
    Ok(Some(index))
}

/// Fetches all blobs and hands over one by one, in any order, with their numbers, what came of it. Ends at the first
/// error that `visit` returns.
pub(super) fn fetch_all(
    storage: &dyn Storage,
    crypto: &BlobCrypto,
    blobs: &[BlobMetadata],
    visit: &mut dyn FnMut(usize, Result<Option<PackIndex>>) -> Result<()>,
) -> Result<()> {
    match blobs {
        [] => return Ok(()),
        [blob] => return visit(0, fetch(storage, crypto, blob)),
        _ => {}
    }
    let fetching = Fetching {
        storage,
        crypto,
        blobs,
        next: AtomicUsize::new(0),
        stopped: AtomicBool::new(false),
        budget: Budget::default(),
    };
    let (sender, receiver) = crossbeam_channel::bounded(1);
    std::thread::scope(|scope| {
        let spawn = |threads: usize, sender: &Sender<Fetched>| {
            for _ in 0..threads {
                let (fetching, sender) = (&fetching, sender.clone());
                scope.spawn(move || fetching.work(&sender));
            }
        };
        let threads = storage.parallelism().clamp(1, blobs.len());
        spawn(threads, &sender);
        let mut spare = Some(sender);
        let mut result = Ok(());
        // Goes on after an error until every thread has ended, so that none waits for ever.
        for Fetched { number, took, index } in receiver {
            if let Some(sender) = spare.take().filter(|_| took > SLOW_REQUEST) {
                spawn(REMOTE_PARALLELISM.min(blobs.len()).saturating_sub(threads), &sender);
            }
            if result.is_ok() {
                result = visit(number, index);
                fetching.stopped.store(result.is_err(), Ordering::Relaxed);
            }
            fetching.budget.release(blobs[number].length);
        }
        result
    })
}

/// A blob that came in.
struct Fetched {
    number: usize,
    /// How long the store took for it.
    took: Duration,
    index: Result<Option<PackIndex>>,
}

/// What the threads share.
struct Fetching<'a> {
    storage: &'a dyn Storage,
    crypto: &'a BlobCrypto,
    blobs: &'a [BlobMetadata],
    next: AtomicUsize,
    stopped: AtomicBool,
    budget: Budget,
}

impl Fetching<'_> {
    fn work(&self, sender: &Sender<Fetched>) {
        while let Some((number, blob)) = self.take() {
            self.budget.acquire(blob.length);
            if self.stopped.load(Ordering::Relaxed) {
                self.budget.release(blob.length);
                break;
            }
            let request = Stopwatch::start();
            let stored = self.storage.get(&blob.id, None).map_err(storage_error("read", blob.id.as_str()));
            let took = request.elapsed();
            let index = stored.and_then(|stored| open(self.crypto, blob, stored));
            if sender.send(Fetched { number, took, index }).is_err() {
                break;
            }
        }
    }

    fn take(&self) -> Option<(usize, &BlobMetadata)> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        self.blobs.get(number).map(|blob| (number, blob))
    }
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
