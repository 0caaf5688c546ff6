//! Blobs from one store into another, several at once.
//!
//! Invariants:
//! - what is put is as long as the source says: a short read is an error, never a short blob;
//! - when [`Copier::run`] has returned its report, all that it copied survives a power cut;
//! - a blob that has gone from the source is told of, and is no failure;
//! - with one thread blobs are put in the order in which they were given, with several nothing orders them.

use super::{BlobId, BlobMetadata, Durability, Error, PutOptions, Result, Storage, StorageExt};
use crate::base::{ByteGate, Counter, MIB, Monitor, Quiet};
use bytes::Bytes;
use parking_lot::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

/// Bytes in memory at once unless told otherwise: three packs of usual size.
const IN_FLIGHT_BYTES: u64 = 64 * MIB;

/// Copies blobs; made for one or several [runs](Self::run).
pub struct Copier<'a> {
    from: &'a dyn Storage,
    to: &'a dyn Storage,
    threads: usize,
    in_flight_bytes: u64,
    /// Whether times are still kept; put out when the destination cannot.
    keeps_times: AtomicBool,
    cancel: Option<&'a AtomicBool>,
    monitor: &'a dyn Monitor,
}

/// What a run did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CopyReport {
    /// Blobs copied.
    pub copied: u64,
    /// Their bytes.
    pub copied_bytes: u64,
    /// Blobs that were not in the source any more, sorted.
    pub vanished: Vec<BlobId>,
}

impl CopyReport {
    /// Adds what another run did.
    pub fn add(&mut self, other: Self) {
        self.copied += other.copied;
        self.copied_bytes += other.copied_bytes;
        self.vanished.extend(other.vanished);
    }
}

/// Where the workers of a run meet.
struct Run<I> {
    blobs: Mutex<I>,
    gate: ByteGate,
    has_failed: AtomicBool,
    outcome: Mutex<Result<CopyReport>>,
}

impl<'a> Copier<'a> {
    /// Copies from one store to another with so many threads, at least one.
    pub fn new(from: &'a dyn Storage, to: &'a dyn Storage, threads: usize) -> Self {
        Self {
            from,
            to,
            threads: threads.max(1),
            in_flight_bytes: IN_FLIGHT_BYTES,
            keeps_times: AtomicBool::new(false),
            cancel: None,
            monitor: &Quiet,
        }
    }

    /// Limits the bytes in memory at once; a blob that is larger goes alone.
    #[must_use]
    pub fn in_flight_bytes(self, in_flight_bytes: u64) -> Self {
        Self { in_flight_bytes, ..self }
    }

    /// Gives copies the modification times of the source. A destination that cannot is warned about once.
    #[must_use]
    pub fn keep_times(self, keeps_times: bool) -> Self {
        Self { keeps_times: AtomicBool::new(keeps_times), ..self }
    }

    /// Stops before the next blob once the flag is set.
    #[must_use]
    pub fn cancel(self, cancel: &'a AtomicBool) -> Self {
        Self { cancel: Some(cancel), ..self }
    }

    /// Reports [`Counter::CopiedBlobs`] and [`Counter::CopiedBytes`], names and warnings.
    #[must_use]
    pub fn monitor(self, monitor: &'a dyn Monitor) -> Self {
        Self { monitor, ..self }
    }

    /// Copies these blobs, whose lengths are those of a listing of the source; what was there is replaced.
    ///
    /// # Errors
    /// The first failure, [`Error::Copy`] around what the store said or [`Error::Length`]; [`Error::Canceled`]. Blobs
    /// that were copied before stay.
    pub fn run<I>(&self, blobs: I) -> Result<CopyReport>
    where
        I: IntoIterator<Item = BlobMetadata>,
        I::IntoIter: Send,
    {
        let run = Run {
            blobs: Mutex::new(blobs.into_iter()),
            gate: ByteGate::new(self.in_flight_bytes),
            has_failed: AtomicBool::new(false),
            outcome: Mutex::new(Ok(CopyReport::default())),
        };
        std::thread::scope(|scope| {
            for _ in 1..self.threads {
                scope.spawn(|| self.work(&run));
            }
            self.work(&run);
        });
        let mut report = run.outcome.into_inner()?;
        self.to.barrier()?;
        report.vanished.sort();
        Ok(report)
    }

    fn work<I: Iterator<Item = BlobMetadata>>(&self, run: &Run<I>) {
        while !run.has_failed.load(Ordering::Relaxed) {
            let Some(blob) = run.blobs.lock().next() else { return };
            let copied = self.check_cancel().and_then(|()| {
                let _pass = run.gate.enter(blob.length);
                self.copy(&blob)
            });
            run.record(blob.id, copied);
        }
    }

    fn check_cancel(&self) -> Result<()> {
        match self.cancel {
            Some(flag) if flag.load(Ordering::Relaxed) => Err(Error::Canceled),
            _ => Ok(()),
        }
    }

    /// Copies a blob; its length, or `None` when the source does not have it any more.
    fn copy(&self, blob: &BlobMetadata) -> Result<Option<u64>> {
        self.monitor.current(blob.id.as_str());
        let read =
            self.from.get_optional(&blob.id).map_err(|error| failed("read", &blob.id, self.from, error));
        let Some(data) = read? else { return Ok(None) };
        let length = data.len() as u64;
        if length != blob.length && !self.was_replaced(&blob.id, length)? {
            return Err(Error::Length { id: blob.id.clone(), expected: blob.length, found: length });
        }
        self.put(blob, Bytes::from(data)).map_err(|error| failed("write", &blob.id, self.to, error))?;
        self.monitor.add(Counter::CopiedBlobs, 1);
        self.monitor.add(Counter::CopiedBytes, length);
        Ok(Some(length))
    }

    /// Whether the blob is this long by now: `kopia.*` are rewritten in place.
    fn was_replaced(&self, id: &BlobId, length: u64) -> Result<bool> {
        match self.from.metadata(id) {
            Ok(now) => Ok(now.length == length),
            Err(error) if error.is_not_found() => Ok(false),
            Err(error) => Err(failed("read", id, self.from, error)),
        }
    }

    fn put(&self, blob: &BlobMetadata, data: Bytes) -> Result<()> {
        let plain = PutOptions { durability: Durability::AtBarrier, ..PutOptions::default() };
        if self.keeps_times.load(Ordering::Relaxed) {
            let timed = PutOptions { set_timestamp: Some(blob.timestamp), ..plain };
            match self.to.put(&blob.id, data.clone(), timed) {
                Err(Error::Unsupported { .. }) => self.give_times_up(),
                outcome => return outcome,
            }
        }
        self.to.put(&blob.id, data, plain)
    }

    fn give_times_up(&self) {
        if self.keeps_times.swap(false, Ordering::Relaxed) {
            let store = self.to.display_name();
            self.monitor
                .warn(&format!("{store} cannot keep modification times; copies get the present time"));
        }
    }
}

impl<I> Run<I> {
    fn record(&self, id: BlobId, copied: Result<Option<u64>>) {
        let mut outcome = self.outcome.lock();
        match (&mut *outcome, copied) {
            (Ok(report), Ok(Some(length))) => {
                report.copied += 1;
                report.copied_bytes += length;
            }
            (Ok(report), Ok(None)) => report.vanished.push(id),
            (Ok(_), Err(error)) => {
                self.has_failed.store(true, Ordering::Relaxed);
                *outcome = Err(error);
            }
            // Only the first failure is told.
            (Err(_), _) => {}
        }
    }
}

fn failed(step: &'static str, id: &BlobId, store: &dyn Storage, error: Error) -> Error {
    Error::Copy { step, id: id.clone(), store: store.display_name(), source: Box::new(error) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{Counters, ErrorClass, FixedClock, Timestamp};
    use crate::blob::{Fault, Faulty, Memory, Operation, Recording};
    use std::sync::Arc;

    fn memory(seconds: i64) -> Arc<Memory> {
        Arc::new(Memory::new(Arc::new(FixedClock::new(Timestamp::from_nanos(seconds * 1_000_000_000)))))
    }

    fn filled(count: usize) -> Arc<Memory> {
        let store = memory(1000);
        for number in 0..count {
            store.put_now(&format!("p{number:03}").into(), &vec![number as u8; number * 10]).unwrap();
        }
        store
    }

    fn faulty(inner: Arc<dyn Storage>, on: Operation, fault: Fault) -> Faulty {
        Faulty::new(inner, move |call| if call.operation == on { fault } else { Fault::None })
    }

    #[test]
    fn everything_arrives_once_and_is_durable_at_the_end() {
        let (from, to, counters) = (filled(50), Recording::new(memory(2000)), Counters::default());
        let blobs = from.list_all("").unwrap();
        let copier = Copier::new(&*from, &to, 4).monitor(&counters).in_flight_bytes(700);
        let report = copier.run(blobs.clone()).unwrap();
        assert_eq!((report.copied, report.copied_bytes), (50, 12_250));
        assert_eq!((counters.get(Counter::CopiedBlobs), counters.get(Counter::CopiedBytes)), (50, 12_250));
        for blob in &blobs {
            assert_eq!(to.get(&blob.id, None).unwrap(), from.get(&blob.id, None).unwrap());
            assert_ne!(to.metadata(&blob.id).unwrap().timestamp, blob.timestamp);
        }
        let calls = to.calls();
        let barrier = calls.iter().find(|call| call.operation == Operation::Barrier).unwrap();
        let puts: Vec<_> = calls.iter().filter(|call| call.operation == Operation::Put).collect();
        assert_eq!(puts.len(), 50);
        assert!(puts.iter().all(|put| put.is_before(barrier)));
    }

    #[test]
    fn one_thread_keeps_the_order() {
        let (from, to) = (filled(9), Recording::new(memory(2000)));
        let mut blobs = from.list_all("").unwrap();
        blobs.reverse();
        Copier::new(&*from, &to, 1).run(blobs.clone()).unwrap();
        let put = to.calls().into_iter().filter(|call| call.operation == Operation::Put);
        let put: Vec<_> = put.map(|call| BlobId::from(call.id_or_prefix)).collect();
        assert_eq!(put, blobs.into_iter().map(|blob| blob.id).collect::<Vec<_>>());
    }

    #[test]
    fn a_short_read_leaves_nothing_behind() {
        let (inner, to) = (filled(3), memory(2000));
        let blobs = inner.list_all("p002").unwrap();
        let from = faulty(inner, Operation::Get, Fault::Truncate(7));
        let error = Copier::new(&from, &*to, 2).run(blobs).unwrap_err();
        assert!(matches!(error, Error::Length { expected: 20, found: 7, .. }), "{error}");
        assert_eq!(error.class(), ErrorClass::Corrupt);
        assert_eq!(to.list_all("").unwrap(), []);
    }

    #[test]
    fn what_was_replaced_or_has_gone_since_the_listing_is_no_failure() {
        let (from, to) = (filled(3), memory(2000));
        let blobs = from.list_all("").unwrap();
        from.put_now(&"p001".into(), b"longer than before").unwrap();
        from.delete(&"p002".into()).unwrap();
        let report = Copier::new(&*from, &*to, 2).run(blobs).unwrap();
        assert_eq!((report.copied, report.copied_bytes), (2, 18));
        assert_eq!(report.vanished, ["p002".into()]);
    }

    #[test]
    fn the_first_failure_ends_the_run_and_names_the_store() {
        let from = filled(40);
        let to = faulty(memory(2000), Operation::Put, Fault::Before(ErrorClass::Full));
        let record = Recording::new(Arc::new(to));
        let error = Copier::new(&*from, &record, 2).run(from.list_all("").unwrap()).unwrap_err();
        assert_eq!(error.class(), ErrorClass::Full);
        assert!(error.to_string().contains("Memory"), "{error}");
        assert!(record.calls().len() <= 2, "nothing goes on after a failure");
    }

    #[test]
    fn a_flag_stops_it() {
        let (from, to, flag) = (filled(5), memory(2000), AtomicBool::new(true));
        let error = Copier::new(&*from, &*to, 3).cancel(&flag).run(from.list_all("").unwrap()).unwrap_err();
        assert_eq!(error.class(), ErrorClass::Canceled);
        assert_eq!(to.list_all("").unwrap(), []);
    }

    #[test]
    fn times_are_kept_where_the_destination_can() {
        let (from, to) = (filled(3), memory(2000));
        let blobs = from.list_all("").unwrap();
        Copier::new(&*from, &*to, 2).keep_times(true).run(blobs.clone()).unwrap();
        assert_eq!(to.list_all("").unwrap(), blobs);
    }

    #[test]
    fn a_destination_without_times_is_warned_about_once() {
        #[derive(Default)]
        struct Warnings(Mutex<Vec<String>>);
        impl Monitor for Warnings {
            fn add(&self, _: Counter, _: u64) {}
            fn warn(&self, message: &str) {
                self.0.lock().push(message.to_owned());
            }
        }
        #[derive(Debug)]
        struct Timeless {
            inner: Arc<Memory>,
        }
        impl Storage for Timeless {
            crate::blob::pass_on::pass_on!(inner: get, metadata, delete, list, display_name);
            fn put(&self, id: &BlobId, data: Bytes, options: PutOptions) -> Result<()> {
                match options.set_timestamp {
                    Some(_) => Err(Error::Unsupported { option: "modification times" }),
                    None => self.inner.put(id, data, options),
                }
            }
        }
        let (from, to, warnings) = (filled(20), Timeless { inner: memory(2000) }, Warnings::default());
        let report = Copier::new(&*from, &to, 4)
            .keep_times(true)
            .monitor(&warnings)
            .run(from.list_all("").unwrap())
            .unwrap();
        assert_eq!(report.copied, 20);
        assert_eq!(warnings.0.lock().len(), 1);
    }
}
