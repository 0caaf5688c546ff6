//! A store that remembers what was asked of it, so that tests can prove order and cost.

use super::call::{Call, Operation};
use super::pass_on::pass_on;
use super::{BlobId, BlobMetadata, ByteRange, Capacity, PutOptions, Result, Retention, Storage};
use bytes::Bytes;
use parking_lot::Mutex;
use std::sync::Arc;

/// Passes every call on to another store and records it.
#[derive(Debug)]
pub struct Recording {
    inner: Arc<dyn Storage>,
    record: Mutex<Record>,
}

#[derive(Debug, Default)]
struct Record {
    events: u64,
    calls: Vec<Call>,
}

impl Recording {
    /// Records the calls of `inner`.
    pub fn new(inner: Arc<dyn Storage>) -> Self {
        Self { inner, record: Mutex::default() }
    }

    /// The calls so far, in the order in which they began.
    pub fn calls(&self) -> Vec<Call> {
        self.record.lock().calls.clone()
    }

    /// Records one call around `operation`; `amount` counts what it brought.
    fn around<T>(
        &self,
        call: Call,
        amount: impl FnOnce(&T) -> Option<u64>,
        operation: impl FnOnce() -> Result<T>,
    ) -> Result<T> {
        let at = self.record.lock().begin(call);
        let outcome = operation();
        let mut record = self.record.lock();
        let completed = record.next_event();
        let call = &mut record.calls[at];
        call.completed = Some(completed);
        match &outcome {
            Ok(value) => call.amount = amount(value).unwrap_or(call.amount),
            Err(error) => call.error = Some(error.class()),
        }
        outcome
    }
}

impl Record {
    fn begin(&mut self, call: Call) -> usize {
        let started = self.next_event();
        self.calls.push(Call { started, ..call });
        self.calls.len() - 1
    }

    fn next_event(&mut self) -> u64 {
        self.events += 1;
        self.events
    }
}

impl Storage for Recording {
    pass_on!(inner: adopt, parallelism, is_read_only, display_name);

    fn get(&self, id: &BlobId, range: Option<ByteRange>) -> Result<Vec<u8>> {
        let amount = |data: &Vec<u8>| Some(data.len() as u64);
        self.around(Call::get(id, range), amount, || self.inner.get(id, range))
    }

    fn get_within(&self, id: &BlobId, range: ByteRange) -> Result<Vec<u8>> {
        let amount = |data: &Vec<u8>| Some(data.len() as u64);
        self.around(Call::get(id, Some(range)), amount, || self.inner.get_within(id, range))
    }

    fn metadata(&self, id: &BlobId) -> Result<BlobMetadata> {
        self.around(Call::new(Operation::Metadata, id.as_str()), |_| None, || self.inner.metadata(id))
    }

    fn put(&self, id: &BlobId, data: Bytes, options: PutOptions) -> Result<()> {
        self.around(Call::put(id, &data, options), |()| None, || self.inner.put(id, data, options))
    }

    fn barrier(&self) -> Result<()> {
        self.around(Call::new(Operation::Barrier, ""), |()| None, || self.inner.barrier())
    }

    fn delete(&self, id: &BlobId) -> Result<()> {
        self.around(Call::new(Operation::Delete, id.as_str()), |()| None, || self.inner.delete(id))
    }

    fn delete_many(&self, ids: &[BlobId]) -> Result<()> {
        self.around(Call::delete_many(ids), |()| None, || self.inner.delete_many(ids))
    }

    fn extend_retention(&self, id: &BlobId, retention: Retention) -> Result<()> {
        let call = Call::new(Operation::ExtendRetention, id.as_str());
        self.around(call, |()| None, || self.inner.extend_retention(id, retention))
    }

    fn list(&self, prefix: &str, visit: &mut dyn FnMut(BlobMetadata) -> Result<()>) -> Result<()> {
        let mut count = 0;
        let listed = || {
            self.inner.list(prefix, &mut |blob| {
                count += 1;
                visit(blob)
            })?;
            Ok(count)
        };
        self.around(Call::new(Operation::List, prefix), |count| Some(*count), listed).map(|_| ())
    }

    fn capacity(&self) -> Result<Option<Capacity>> {
        self.around(Call::new(Operation::Capacity, ""), |_| None, || self.inner.capacity())
    }
}
