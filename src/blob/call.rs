//! A storage call as data, for wrappers that record or decide.

use super::{BlobId, ByteRange, PutOptions};
use crate::base::ErrorClass;

/// Which method of [`Storage`](super::Storage) was called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    /// `get`
    Get,
    /// `metadata`
    Metadata,
    /// `put`
    Put,
    /// `barrier`
    Barrier,
    /// `delete`
    Delete,
    /// `delete_many`
    DeleteMany,
    /// `extend_retention`
    ExtendRetention,
    /// `list`
    List,
    /// `capacity`
    Capacity,
}

/// One call of a [`Storage`](super::Storage) method.
///
/// `started` and `completed` count the same events, so call A came entirely before call B when A's `completed` is less
/// than B's `started`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// The method.
    pub operation: Operation,
    /// The blob, the first of several, or the prefix of a listing; empty where there is neither.
    pub id_or_prefix: String,
    /// The range of a `get`.
    pub range: Option<ByteRange>,
    /// The options of a `put`.
    pub options: Option<PutOptions>,
    /// Bytes put or got, blobs listed or deleted at once.
    pub amount: u64,
    /// Number of the event at which it began.
    pub started: u64,
    /// Number of the event at which it returned, or `None` while it runs.
    pub completed: Option<u64>,
    /// What it failed with.
    pub error: Option<ErrorClass>,
}

impl Call {
    pub(super) fn new(operation: Operation, id_or_prefix: &str) -> Self {
        Self {
            operation,
            id_or_prefix: id_or_prefix.to_owned(),
            range: None,
            options: None,
            amount: 0,
            started: 0,
            completed: None,
            error: None,
        }
    }

    pub(super) fn get(id: &BlobId, range: Option<ByteRange>) -> Self {
        Self { range, ..Self::new(Operation::Get, id.as_str()) }
    }

    pub(super) fn put(id: &BlobId, data: &[u8], options: PutOptions) -> Self {
        Self { options: Some(options), amount: data.len() as u64, ..Self::new(Operation::Put, id.as_str()) }
    }

    pub(super) fn delete_many(ids: &[BlobId]) -> Self {
        let first = ids.first().map_or("", BlobId::as_str);
        Self { amount: ids.len() as u64, ..Self::new(Operation::DeleteMany, first) }
    }

    /// Whether it returned before `other` began.
    pub fn is_before(&self, other: &Self) -> bool {
        self.completed.is_some_and(|completed| completed < other.started)
    }
}
