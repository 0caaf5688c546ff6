//! A store that is far away.

use super::pass_on::pass_on;
use super::throttle::Bucket;
use super::{BlobId, BlobMetadata, ByteRange, Capacity, PutOptions, Result, Retention, Storage};
use crate::base::Clock;
use bytes::Bytes;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// How far away a store is.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Distance {
    /// What every request takes, whatever it asks for.
    pub request: Duration,
    /// What each byte of a request takes besides, in nanoseconds.
    pub nanos_per_byte: u64,
    /// Bytes that all puts together may bring per second; 0 for any number.
    pub upload_bytes_per_second: f64,
    /// Bytes that all reads together may bring per second; 0 for any number.
    pub download_bytes_per_second: f64,
}

/// Lets every call of another store take as long as it would over a network. Any number of calls wait side by side. For
/// tests and measurements.
pub struct Latency {
    inner: Arc<dyn Storage>,
    clock: Arc<dyn Clock>,
    distance: Distance,
    upload: Bucket,
    download: Bucket,
}

impl Latency {
    /// Moves `inner` away.
    pub fn new(inner: Arc<dyn Storage>, distance: Distance, clock: Arc<dyn Clock>) -> Self {
        let now = clock.now();
        let upload = Bucket::new(distance.upload_bytes_per_second, now);
        let download = Bucket::new(distance.download_bytes_per_second, now);
        Self { inner, clock, distance, upload, download }
    }

    fn request(&self) {
        self.clock.sleep(self.distance.request);
    }

    fn transfer(&self, bucket: &Bucket, bytes: usize) {
        if self.distance.nanos_per_byte > 0 {
            let nanos = self.distance.nanos_per_byte.saturating_mul(bytes as u64);
            self.clock.sleep(Duration::from_nanos(nanos));
        }
        while let Some(wait) = bucket.take(bytes as f64, self.clock.now()) {
            self.clock.sleep(wait);
        }
    }

    fn download(&self, outcome: Result<Vec<u8>>) -> Result<Vec<u8>> {
        if let Ok(data) = &outcome {
            self.transfer(&self.download, data.len());
        }
        outcome
    }
}

impl Storage for Latency {
    pass_on!(inner: barrier, adopt, is_read_only, display_name);

    fn get(&self, id: &BlobId, range: Option<ByteRange>) -> Result<Vec<u8>> {
        self.request();
        self.download(self.inner.get(id, range))
    }

    fn get_within(&self, id: &BlobId, range: ByteRange) -> Result<Vec<u8>> {
        self.request();
        self.download(self.inner.get_within(id, range))
    }

    fn metadata(&self, id: &BlobId) -> Result<BlobMetadata> {
        self.request();
        self.inner.metadata(id)
    }

    fn put(&self, id: &BlobId, data: Bytes, options: PutOptions) -> Result<()> {
        self.request();
        self.transfer(&self.upload, data.len());
        self.inner.put(id, data, options)
    }

    fn delete(&self, id: &BlobId) -> Result<()> {
        self.request();
        self.inner.delete(id)
    }

    fn delete_many(&self, ids: &[BlobId]) -> Result<()> {
        self.request();
        self.inner.delete_many(ids)
    }

    fn extend_retention(&self, id: &BlobId, retention: Retention) -> Result<()> {
        self.request();
        self.inner.extend_retention(id, retention)
    }

    fn list(&self, prefix: &str, visit: &mut dyn FnMut(BlobMetadata) -> Result<()>) -> Result<()> {
        self.request();
        self.inner.list(prefix, visit)
    }

    fn capacity(&self) -> Result<Option<Capacity>> {
        self.request();
        self.inner.capacity()
    }

    fn parallelism(&self) -> usize {
        super::REMOTE_PARALLELISM
    }
}

impl fmt::Debug for Latency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (inner, distance) = (&self.inner, &self.distance);
        f.debug_struct("Latency").field("inner", inner).field("distance", distance).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{FixedClock, Timestamp};
    use crate::blob::{Memory, StorageExt};

    #[test]
    fn requests_and_bytes_take_their_time() {
        let clock = Arc::new(FixedClock::new(Timestamp::EPOCH));
        let distance = Distance {
            request: Duration::from_millis(40),
            nanos_per_byte: 1000,
            upload_bytes_per_second: 1000.0,
            download_bytes_per_second: 0.0,
        };
        let store = Latency::new(Arc::new(Memory::new(clock.clone())), distance, clock.clone());
        for _ in 0..3 {
            store.put_now(&"p1".into(), &[0; 3000]).unwrap();
        }
        let millis = || clock.now().as_nanos() / 1_000_000;
        // The burst of the bucket pays for a part, and the last put is owed.
        assert_eq!(millis(), 5043, "the second put waits for the first, the third for the second");
        let before = millis();
        store.get(&"p1".into(), None).unwrap();
        assert_eq!(millis() - before, 43);
    }
}
