//! Blobs: immutable byte strings under flat names, and the stores that keep them.
//!
//! [`Storage`] is the contract; [`Filesystem`], [`S3`] and [`Memory`] keep blobs, everything else wraps another store:
//! [`Mirrored`] keeps two copies, [`ReadOnly`] refuses changes, [`Locking`] asks for object locks, [`Retrying`] repeats
//! what failed in passing, [`Recording`] and [`Faulty`] serve tests.
//! [`Storage`] is the contract; [`Filesystem`] and [`Memory`] keep blobs, everything else wraps another store:
//! [`ReadOnly`] refuses changes, [`Locking`] asks for object locks, [`Retrying`] repeats what failed in passing,
//! [`Throttled`] keeps limits, [`Counted`] counts requests; [`Recording`], [`Faulty`] and [`Latency`] serve tests.
//! [`open`] turns the description in a connection file into a store.
//!
//! Assumed of the medium: it keeps what it has synced, renames atomically, and its clock does not run backwards.
//!
//! Invariants that upper layers cite:
//! - **B1** a name is either absent or bound to complete bytes; nobody ever sees half a blob, neither while it is put
//!   nor after a crash, a full medium, or a failed call;
//! - **B2** when [`Storage::put`] with [`Durability::Now`], or [`Storage::barrier`] after a put, has returned, the blob
//!   survives a power cut; a barrier waits for every put that had returned when it began, whichever thread put it;
//! - **B3** deleting what is not there succeeds;
//! - **B4** a store whose root is missing says so: it is never taken for an empty store and never made by a put;
//! - **B5** a name or range out of an untrusted file costs an error, not memory and not a file outside the store.

mod backoff;
mod call;
mod connection;
mod copy;
mod counted;
mod error;
mod faulty;
mod filesystem;
mod id;
mod latency;
mod layout;
mod locking;
mod memory;
mod mirrored;
mod object_store;
pub(crate) mod pass_on;
mod read_only;
mod recording;
pub mod remote;
mod reshard;
mod retrying;
mod s3;
mod sftp;
mod sharded;
mod storage;
mod throttle;
mod validation;
mod webdav;

pub use call::{Call, Operation};
pub use connection::{ConnectionInfo, OpenMode, open};
pub use copy::{Copier, CopyReport};
pub use counted::{Counted, RequestCounters, RequestCounts};
pub use error::{Error, Result};
pub use faulty::{Fault, Faulty};
pub use filesystem::{Filesystem, FilesystemOptions, Leftover, require_mount};
pub use id::BlobId;
pub use latency::{Distance, Latency};
pub use locking::Locking;
pub use memory::Memory;
pub use mirrored::Mirrored;
pub use object_store::{AzureOptions, GcsOptions};
pub use read_only::ReadOnly;
pub use recording::Recording;
pub use reshard::{LayoutChange, Reshard};
pub use retrying::Retrying;
pub use s3::{S3, S3Options, r2_endpoint};
pub use sftp::SftpOptions;
pub use storage::{
    BlobMetadata, ByteRange, Capacity, DELETES_AT_ONCE, Durability, PutOptions, REMOTE_PARALLELISM,
    Retention, RetentionMode, Storage, StorageExt,
};
pub use throttle::{Limits, Throttle, Throttled, Watch};
pub use validation::{CheckOutcome, ValidationOptions, validate};
pub use webdav::WebDavOptions;
