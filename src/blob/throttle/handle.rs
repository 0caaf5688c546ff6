//! Limits in force, shared by all who use a store.

use super::bucket::Bucket;
use super::gate::{Gate, Inside};
use super::limits::Limits;
use crate::base::{Clock, Timestamp};
use parking_lot::Mutex;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

/// How often it is looked whether the limits were changed elsewhere.
const LOOK_EVERY_NANOS: i64 = 10 * 1_000_000_000;
/// Longest sleep without a look.
const STEP: Duration = Duration::from_millis(500);

/// Answers with new limits, if there are any: see [`Throttle::watching`].
pub type Watch = dyn Fn() -> Option<Limits> + Send + Sync;

/// Limits that may be changed while work goes on.
pub struct Throttle {
    clock: Arc<dyn Clock>,
    limits: Mutex<Limits>,
    reads: Bucket,
    writes: Bucket,
    lists: Bucket,
    upload: Bucket,
    download: Bucket,
    concurrent_reads: Gate,
    concurrent_writes: Gate,
    watch: Option<Box<Watch>>,
    looked_at: AtomicI64,
}

/// A request that was let through, until it is dropped.
#[derive(Debug)]
pub(super) struct Admitted<'a>(#[expect(dead_code, reason = "it is what it holds")] Option<Inside<'a>>);

impl Throttle {
    /// Limits by `clock`.
    pub fn new(limits: Limits, clock: Arc<dyn Clock>) -> Self {
        let now = clock.now();
        let this = Self {
            limits: Mutex::new(limits),
            reads: Bucket::new(limits.reads_per_second, now),
            writes: Bucket::new(limits.writes_per_second, now),
            lists: Bucket::new(limits.lists_per_second, now),
            upload: Bucket::new(limits.upload_bytes_per_second, now),
            download: Bucket::new(limits.download_bytes_per_second, now),
            concurrent_reads: Gate::default(),
            concurrent_writes: Gate::default(),
            watch: None,
            looked_at: AtomicI64::new(now.as_nanos()),
            clock,
        };
        this.concurrent_reads.set_limit(limits.concurrent_reads);
        this.concurrent_writes.set_limit(limits.concurrent_writes);
        this
    }

    /// Asks `watch` every ten seconds for new limits, on the way of a request: there is no thread for it.
    #[must_use]
    pub fn watching(mut self, watch: Box<Watch>) -> Self {
        self.watch = Some(watch);
        self
    }

    /// The limits in force.
    pub fn limits(&self) -> Limits {
        *self.limits.lock()
    }

    /// Puts other limits in force, also for those who are waiting.
    pub fn set_limits(&self, limits: Limits) {
        let now = self.clock.now();
        let mut current = self.limits.lock();
        *current = limits;
        for (bucket, rate) in [
            (&self.reads, limits.reads_per_second),
            (&self.writes, limits.writes_per_second),
            (&self.lists, limits.lists_per_second),
            (&self.upload, limits.upload_bytes_per_second),
            (&self.download, limits.download_bytes_per_second),
        ] {
            bucket.set_rate(rate, now);
        }
        self.concurrent_reads.set_limit(limits.concurrent_reads);
        self.concurrent_writes.set_limit(limits.concurrent_writes);
    }

    /// Lets a read through.
    pub(super) fn read(&self) -> Admitted<'_> {
        self.take(&self.reads, 1.0);
        Admitted(Some(self.concurrent_reads.enter(STEP, || self.look_if_due())))
    }

    /// Lets a put or delete through.
    pub(super) fn write(&self, requests: f64) -> Admitted<'_> {
        self.take(&self.writes, requests);
        Admitted(Some(self.concurrent_writes.enter(STEP, || self.look_if_due())))
    }

    /// Lets a listing through.
    pub(super) fn list(&self) -> Admitted<'_> {
        self.take(&self.lists, 1.0);
        Admitted(None)
    }

    /// Waits until so many bytes may be put.
    pub(super) fn upload(&self, bytes: u64) {
        self.take(&self.upload, bytes as f64);
    }

    /// Waits until so many bytes may be read.
    pub(super) fn download(&self, bytes: u64) {
        self.take(&self.download, bytes as f64);
    }

    /// Makes good for a read that brought `brought` bytes instead of the `taken` ones.
    pub(super) fn settle_download(&self, taken: u64, brought: u64) {
        self.download.settle(brought as f64 - taken as f64);
    }

    fn take(&self, bucket: &Bucket, amount: f64) {
        self.look_if_due();
        while let Some(wait) = bucket.take(amount, self.clock.now()) {
            self.clock.sleep(wait.min(STEP));
            self.look_if_due();
        }
    }

    /// One of those who come by when it is time looks, and none waits for it.
    fn look_if_due(&self) {
        let Some(watch) = &self.watch else { return };
        let (now, last) = (self.clock.now(), self.looked_at.load(Ordering::Relaxed));
        let since = now.nanos_since(Timestamp::from_nanos(last));
        // A clock that was set back says nothing about how much time has passed.
        if (0..LOOK_EVERY_NANOS).contains(&since) {
            return;
        }
        let is_mine = self
            .looked_at
            .compare_exchange(last, now.as_nanos(), Ordering::Relaxed, Ordering::Relaxed)
            .is_ok();
        if let Some(limits) = is_mine.then(watch).flatten().filter(|limits| *limits != self.limits()) {
            tracing::info!("the speed limits have changed");
            self.set_limits(limits);
        }
    }
}

impl fmt::Debug for Throttle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Throttle").field("limits", &self.limits()).finish_non_exhaustive()
    }
}
