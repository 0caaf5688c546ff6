//! A store whose use is limited.

use super::handle::Throttle;
use crate::blob::pass_on::pass_on;
use crate::blob::{BlobId, BlobMetadata, ByteRange, DELETES_AT_ONCE, PutOptions, Result, Retention, Storage};
use bytes::Bytes;
use std::sync::Arc;

/// Holds calls of another store back as long as its limits want.
#[derive(Debug)]
pub struct Throttled {
    inner: Arc<dyn Storage>,
    throttle: Arc<Throttle>,
}

impl Throttled {
    /// Limits the use of `inner`.
    pub fn new(inner: Arc<dyn Storage>, throttle: Arc<Throttle>) -> Self {
        Self { inner, throttle }
    }

    /// `wanted` is how many bytes the call asks for, if it says so.
    fn download(&self, wanted: Option<u64>, read: impl FnOnce() -> Result<Vec<u8>>) -> Result<Vec<u8>> {
        let _admitted = self.throttle.read();
        // What is not known beforehand is owed: the next one waits for it.
        let taken = wanted.unwrap_or(0);
        self.throttle.download(taken);
        let outcome = read();
        let brought = outcome.as_ref().map_or(0, |data| data.len() as u64);
        self.throttle.settle_download(taken, brought);
        outcome
    }
}

impl Storage for Throttled {
    pass_on!(inner: barrier, adopt, capacity, is_read_only, display_name, parallelism);

    fn get(&self, id: &BlobId, range: Option<ByteRange>) -> Result<Vec<u8>> {
        self.download(range.map(|range| range.length), || self.inner.get(id, range))
    }

    fn get_within(&self, id: &BlobId, range: ByteRange) -> Result<Vec<u8>> {
        self.download(None, || self.inner.get_within(id, range))
    }

    fn metadata(&self, id: &BlobId) -> Result<BlobMetadata> {
        let _admitted = self.throttle.read();
        self.inner.metadata(id)
    }

    fn put(&self, id: &BlobId, data: Bytes, options: PutOptions) -> Result<()> {
        let _admitted = self.throttle.write(1.0);
        self.throttle.upload(data.len() as u64);
        self.inner.put(id, data, options)
    }

    fn delete(&self, id: &BlobId) -> Result<()> {
        let _admitted = self.throttle.write(1.0);
        self.inner.delete(id)
    }

    fn delete_many(&self, ids: &[BlobId]) -> Result<()> {
        let _admitted = self.throttle.write(ids.len().div_ceil(DELETES_AT_ONCE) as f64);
        self.inner.delete_many(ids)
    }

    fn extend_retention(&self, id: &BlobId, retention: Retention) -> Result<()> {
        let _admitted = self.throttle.write(1.0);
        self.inner.extend_retention(id, retention)
    }

    fn list(&self, prefix: &str, visit: &mut dyn FnMut(BlobMetadata) -> Result<()>) -> Result<()> {
        let _admitted = self.throttle.list();
        self.inner.list(prefix, visit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{Clock, FixedClock, SystemClock, Timestamp};
    use crate::blob::{Limits, Memory, StorageExt};
    use parking_lot::Mutex;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    fn store(limits: Limits) -> (Arc<FixedClock>, Arc<Throttle>, Throttled) {
        let clock = Arc::new(FixedClock::new(Timestamp::EPOCH));
        let throttle = Arc::new(Throttle::new(limits, clock.clone()));
        let memory = Arc::new(Memory::new(clock.clone()));
        (clock, throttle.clone(), Throttled::new(memory, throttle))
    }

    /// Seconds that `work` takes.
    fn seconds(clock: &FixedClock, work: impl FnOnce()) -> f64 {
        let start = clock.now();
        work();
        clock.now().nanos_since(start) as f64 / 1e9
    }

    fn times(count: u32, mut work: impl FnMut()) {
        (0..count).for_each(|_| work());
    }

    #[test]
    fn every_limit_is_kept_on_average() {
        let id = BlobId::from("p1");
        let near = |took: f64, wanted: f64| {
            assert!((wanted - 2.1..=wanted + 1.0).contains(&took), "{took}, not {wanted}");
        };
        let (clock, _, store) = self::store(Limits { upload_bytes_per_second: 1000.0, ..Limits::NONE });
        near(seconds(&clock, || times(100, || store.put_now(&id, &[7; 500]).unwrap())), 50.0);

        let (clock, throttle, store) = self::store(Limits::NONE);
        near(seconds(&clock, || times(100, || store.put_now(&id, &[7; 500]).unwrap())), 0.0);
        throttle.set_limits(Limits { download_bytes_per_second: 1000.0, ..Limits::NONE });
        let part = ByteRange { offset: 10, length: 100 };
        near(seconds(&clock, || times(100, || drop(store.get(&id, None).unwrap()))), 50.0);
        near(seconds(&clock, || times(100, || drop(store.get(&id, Some(part)).unwrap()))), 10.0);
        throttle.set_limits(Limits { reads_per_second: 10.0, ..Limits::NONE });
        near(seconds(&clock, || times(100, || drop(store.metadata(&id).unwrap()))), 10.0);
        throttle.set_limits(Limits { lists_per_second: 2.0, ..Limits::NONE });
        near(seconds(&clock, || times(100, || drop(store.list_all("p").unwrap()))), 50.0);
        throttle.set_limits(Limits { writes_per_second: 4.0, ..Limits::NONE });
        near(seconds(&clock, || times(100, || store.delete(&id).unwrap())), 25.0);
    }

    #[test]
    fn what_fails_costs_no_bytes() {
        let (clock, _, store) = store(Limits { download_bytes_per_second: 1.0, ..Limits::NONE });
        let missing = ByteRange { offset: 0, length: 1_000_000 };
        let took = seconds(&clock, || {
            times(100, || drop(store.get(&"p1".into(), Some(missing)).unwrap_err()));
        });
        assert!(took < 1.0, "{took}");
    }

    #[test]
    fn limits_found_by_the_watch_count_ten_seconds_later_at_most() {
        let clock = Arc::new(FixedClock::new(Timestamp::EPOCH));
        let found = Arc::new(Mutex::new(None));
        let (watched, looks) = (found.clone(), Arc::new(AtomicUsize::new(0)));
        let counted = looks.clone();
        let watch = move || {
            counted.fetch_add(1, Ordering::Relaxed);
            *watched.lock()
        };
        let slow = Limits { writes_per_second: 0.001, ..Limits::NONE };
        let throttle = Arc::new(Throttle::new(slow, clock.clone()).watching(Box::new(watch)));
        let store = Throttled::new(Arc::new(Memory::new(clock.clone())), throttle.clone());
        store.delete(&"p1".into()).unwrap();
        *found.lock() = Some(Limits { concurrent_reads: 3, ..Limits::NONE });
        // This one would wait for a quarter of an hour.
        let took = seconds(&clock, || times(2, || store.delete(&"p1".into()).unwrap()));
        assert!((9.0..12.0).contains(&took), "{took}");
        assert_eq!((throttle.limits().concurrent_reads, looks.load(Ordering::Relaxed)), (3, 1));
    }

    #[test]
    fn no_more_are_inside_than_allowed_and_a_new_limit_lets_more_in() {
        #[derive(Debug)]
        struct Slow(Memory, AtomicUsize, AtomicUsize);
        impl Storage for Slow {
            pass_on!(0: put, delete, list, display_name, metadata);
            fn get(&self, _id: &BlobId, _range: Option<ByteRange>) -> Result<Vec<u8>> {
                let now = self.1.fetch_add(1, Ordering::SeqCst) + 1;
                self.2.fetch_max(now, Ordering::SeqCst);
                std::thread::sleep(Duration::from_millis(5));
                self.1.fetch_sub(1, Ordering::SeqCst);
                Ok(Vec::new())
            }
        }
        let inner = Arc::new(Slow(
            Memory::new(Arc::new(SystemClock)),
            AtomicUsize::default(),
            AtomicUsize::default(),
        ));
        let limits = Limits { concurrent_reads: 2, ..Limits::NONE };
        let throttle = Arc::new(Throttle::new(limits, Arc::new(SystemClock)));
        let store = Throttled::new(inner.clone(), throttle.clone());
        let many = || {
            std::thread::scope(|scope| {
                for _ in 0..16 {
                    scope.spawn(|| times(5, || drop(store.get(&"p1".into(), None).unwrap())));
                }
            });
            inner.2.swap(0, Ordering::SeqCst)
        };
        assert_eq!(many(), 2);
        throttle.set_limits(Limits { concurrent_reads: 8, ..limits });
        assert!((3..=8).contains(&many()));
    }
}
