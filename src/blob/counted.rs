//! A store that counts what is asked of it, as a bill does.

use super::pass_on::pass_on;
use super::{BlobId, BlobMetadata, ByteRange, DELETES_AT_ONCE, PutOptions, Result, Retention, Storage};
use bytes::Bytes;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Blobs that a listing brings with one request.
const LISTED_AT_ONCE: u64 = 1000;

/// What was asked of a store. Requests that failed count, too: they are billed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RequestCounts {
    /// Puts, and extensions of locks.
    pub puts: u64,
    /// Listings; a long one is several requests.
    pub lists: u64,
    /// Reads of blobs or parts of them.
    pub gets: u64,
    /// Looks at length and time.
    pub heads: u64,
    /// Deletes, many at once where the store can.
    pub deletes: u64,
    /// Bytes put.
    pub uploaded_bytes: u64,
    /// Bytes read.
    pub downloaded_bytes: u64,
}

impl RequestCounts {
    /// What changes or lists, which object stores charge most for (Cloudflare R2's class A).
    pub fn class_a(&self) -> u64 {
        self.puts + self.lists
    }

    /// What reads (Cloudflare R2's class B). Deletes are free there.
    pub fn class_b(&self) -> u64 {
        self.gets + self.heads
    }
}

/// Counts the calls of another store.
#[derive(Debug)]
pub struct Counted {
    inner: Arc<dyn Storage>,
    counters: Arc<RequestCounters>,
}

/// Counts that grow while work goes on, without a lock.
#[derive(Debug, Default)]
pub struct RequestCounters {
    puts: AtomicU64,
    lists: AtomicU64,
    gets: AtomicU64,
    heads: AtomicU64,
    deletes: AtomicU64,
    uploaded_bytes: AtomicU64,
    downloaded_bytes: AtomicU64,
}

impl RequestCounters {
    /// The counts so far.
    pub fn counts(&self) -> RequestCounts {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        RequestCounts {
            puts: of(&self.puts),
            lists: of(&self.lists),
            gets: of(&self.gets),
            heads: of(&self.heads),
            deletes: of(&self.deletes),
            uploaded_bytes: of(&self.uploaded_bytes),
            downloaded_bytes: of(&self.downloaded_bytes),
        }
    }
}

fn add(counter: &AtomicU64, amount: u64) {
    counter.fetch_add(amount, Ordering::Relaxed);
}

impl Counted {
    /// Counts the calls of `inner`.
    pub fn new(inner: Arc<dyn Storage>, counters: Arc<RequestCounters>) -> Self {
        Self { inner, counters }
    }

    fn downloaded(&self, outcome: Result<Vec<u8>>) -> Result<Vec<u8>> {
        add(&self.counters.gets, 1);
        if let Ok(data) = &outcome {
            add(&self.counters.downloaded_bytes, data.len() as u64);
        }
        outcome
    }
}

impl Storage for Counted {
    pass_on!(inner: barrier, adopt, capacity, is_read_only, display_name, parallelism);

    fn get(&self, id: &BlobId, range: Option<ByteRange>) -> Result<Vec<u8>> {
        self.downloaded(self.inner.get(id, range))
    }

    fn get_within(&self, id: &BlobId, range: ByteRange) -> Result<Vec<u8>> {
        self.downloaded(self.inner.get_within(id, range))
    }

    fn metadata(&self, id: &BlobId) -> Result<BlobMetadata> {
        add(&self.counters.heads, 1);
        self.inner.metadata(id)
    }

    fn put(&self, id: &BlobId, data: Bytes, options: PutOptions) -> Result<()> {
        add(&self.counters.puts, 1);
        add(&self.counters.uploaded_bytes, data.len() as u64);
        self.inner.put(id, data, options)
    }

    fn delete(&self, id: &BlobId) -> Result<()> {
        add(&self.counters.deletes, 1);
        self.inner.delete(id)
    }

    fn delete_many(&self, ids: &[BlobId]) -> Result<()> {
        add(&self.counters.deletes, ids.len().div_ceil(DELETES_AT_ONCE) as u64);
        self.inner.delete_many(ids)
    }

    fn extend_retention(&self, id: &BlobId, retention: Retention) -> Result<()> {
        add(&self.counters.puts, 1);
        self.inner.extend_retention(id, retention)
    }

    fn list(&self, prefix: &str, visit: &mut dyn FnMut(BlobMetadata) -> Result<()>) -> Result<()> {
        let mut listed = 0_u64;
        let outcome = self.inner.list(prefix, &mut |blob| {
            listed += 1;
            visit(blob)
        });
        add(&self.counters.lists, listed.div_ceil(LISTED_AT_ONCE).max(1));
        outcome
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{FixedClock, Timestamp};
    use crate::blob::{Memory, StorageExt};

    #[test]
    fn requests_are_counted_by_what_they_cost() {
        let counters = Arc::new(RequestCounters::default());
        let memory = Memory::new(Arc::new(FixedClock::new(Timestamp::EPOCH)));
        let store = Counted::new(Arc::new(memory), counters.clone());
        let ids: Vec<BlobId> = (0..1001).map(|n| format!("p{n}").into()).collect();
        for id in &ids {
            store.put_now(id, b"12345").unwrap();
        }
        store.get(&ids[0], None).unwrap();
        store.get(&ids[0], Some(ByteRange { offset: 1, length: 2 })).unwrap();
        store.metadata(&"missing".into()).unwrap_err();
        store.list_all("p").unwrap();
        store.list_all("x").unwrap();
        store.delete_many(&ids).unwrap();
        store.delete(&ids[0]).unwrap();
        let counts = counters.counts();
        let wanted = RequestCounts {
            puts: 1001,
            lists: 3,
            gets: 2,
            heads: 1,
            deletes: 3,
            uploaded_bytes: 5005,
            downloaded_bytes: 7,
        };
        assert_eq!(counts, wanted);
        assert_eq!((counts.class_a(), counts.class_b()), (1004, 3));
    }
}
