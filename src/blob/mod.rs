//! Blobs: immutable byte strings under flat names, and the stores that keep them.
//!
//! [`Storage`] is the contract; [`Filesystem`] and [`Memory`] keep blobs, everything else wraps another store.
//!
//! Invariants that upper layers cite:
//! - **B1** a name is either absent or bound to complete bytes; nobody ever sees half a blob;
//! - **B2** when [`Storage::put`] with [`Durability::Now`], or [`Storage::barrier`] after a put, has returned, the blob
//!   survives a power cut;
//! - **B3** deleting what is not there succeeds.

mod error;
mod id;
mod storage;

pub use error::{Error, Result};
pub use id::BlobId;
pub use storage::{BlobMetadata, ByteRange, Capacity, Durability, PutOptions, Storage, StorageExt};
