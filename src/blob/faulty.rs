//! A store that fails on demand, so that tests can see what upper layers do about it.

use super::call::{Call, Operation};
use super::pass_on::pass_on;
use super::{BlobId, BlobMetadata, ByteRange, Capacity, Error, PutOptions, Result, Retention, Storage};
use crate::base::ErrorClass;
use bytes::Bytes;
use std::fmt;
use std::sync::Arc;

/// What is to happen to a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Fault {
    /// Nothing.
    #[default]
    None,
    /// It fails without having done anything.
    Before(ErrorClass),
    /// It is done and then fails, as when the answer of a server is lost.
    After(ErrorClass),
    /// A `get` returns at most so many bytes.
    Truncate(usize),
    /// A `get` returns the byte at this place inverted.
    Flip(usize),
}

type Plan = dyn Fn(&Call) -> Fault + Send + Sync;

/// Passes calls on to another store except for the faults its plan asks for.
pub struct Faulty {
    inner: Arc<dyn Storage>,
    plan: Box<Plan>,
}

impl Faulty {
    /// Plants the faults that `plan` answers for each call. The plan sees calls of many threads; one that counts needs
    /// an atomic counter.
    pub fn new(inner: Arc<dyn Storage>, plan: impl Fn(&Call) -> Fault + Send + Sync + 'static) -> Self {
        Self { inner, plan: Box::new(plan) }
    }

    fn around<T>(&self, call: &Call, operation: impl FnOnce() -> Result<T>) -> Result<T> {
        self.damaged(call, |_, value| value, operation)
    }

    fn damaged<T>(
        &self,
        call: &Call,
        damage: impl FnOnce(Fault, T) -> T,
        operation: impl FnOnce() -> Result<T>,
    ) -> Result<T> {
        match (self.plan)(call) {
            Fault::Before(class) => Err(planted(call, class)),
            Fault::After(class) => {
                operation()?;
                Err(planted(call, class))
            }
            fault => Ok(damage(fault, operation()?)),
        }
    }
}

fn planted(call: &Call, class: ErrorClass) -> Error {
    let message = format!("planted fault in {:?} of {:?}", call.operation, call.id_or_prefix);
    Error::Other { message, class }
}

fn damage_data(fault: Fault, mut data: Vec<u8>) -> Vec<u8> {
    match fault {
        Fault::Truncate(length) => data.truncate(length),
        Fault::Flip(at) => {
            if let Some(byte) = data.get_mut(at) {
                *byte = !*byte;
            }
        }
        Fault::None | Fault::Before(_) | Fault::After(_) => {}
    }
    data
}

impl Storage for Faulty {
    pass_on!(inner: adopt, parallelism, is_read_only, display_name);

    fn get(&self, id: &BlobId, range: Option<ByteRange>) -> Result<Vec<u8>> {
        self.damaged(&Call::get(id, range), damage_data, || self.inner.get(id, range))
    }

    fn get_within(&self, id: &BlobId, range: ByteRange) -> Result<Vec<u8>> {
        self.damaged(&Call::get(id, Some(range)), damage_data, || self.inner.get_within(id, range))
    }

    fn metadata(&self, id: &BlobId) -> Result<BlobMetadata> {
        self.around(&Call::new(Operation::Metadata, id.as_str()), || self.inner.metadata(id))
    }

    fn put(&self, id: &BlobId, data: Bytes, options: PutOptions) -> Result<()> {
        self.around(&Call::put(id, &data, options), || self.inner.put(id, data, options))
    }

    fn barrier(&self) -> Result<()> {
        self.around(&Call::new(Operation::Barrier, ""), || self.inner.barrier())
    }

    fn delete(&self, id: &BlobId) -> Result<()> {
        self.around(&Call::new(Operation::Delete, id.as_str()), || self.inner.delete(id))
    }

    fn delete_many(&self, ids: &[BlobId]) -> Result<()> {
        self.around(&Call::delete_many(ids), || self.inner.delete_many(ids))
    }

    fn extend_retention(&self, id: &BlobId, retention: Retention) -> Result<()> {
        let call = Call::new(Operation::ExtendRetention, id.as_str());
        self.around(&call, || self.inner.extend_retention(id, retention))
    }

    fn list(&self, prefix: &str, visit: &mut dyn FnMut(BlobMetadata) -> Result<()>) -> Result<()> {
        self.around(&Call::new(Operation::List, prefix), || self.inner.list(prefix, visit))
    }

    fn capacity(&self) -> Result<Option<Capacity>> {
        self.around(&Call::new(Operation::Capacity, ""), || self.inner.capacity())
    }
}

impl fmt::Debug for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Faulty").field("inner", &self.inner).finish_non_exhaustive()
    }
}
