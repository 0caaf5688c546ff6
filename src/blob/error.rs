//! What can go wrong in a store.

use super::remote::Cause;
use super::{BlobId, ByteRange};
use crate::base::ErrorClass;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::time::Duration;

/// The result of a storage call.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A failed storage call. Stores classify here; nobody above parses messages.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No such blob.
    #[error("blob {id} is not in the store")]
    NotFound {
        /// The blob asked for.
        id: BlobId,
    },
    /// The blob is shorter than the range asked for.
    #[error("blob {id} has no bytes {range}")]
    InvalidRange {
        /// The blob asked for.
        id: BlobId,
        /// The bytes asked for.
        range: ByteRange,
    },
    /// A name no store can hold.
    #[error("{name:?} cannot be the name of a blob")]
    InvalidName {
        /// The offending name.
        name: String,
    },
    /// The store was opened for reading only.
    #[error("the store is read-only; blob {id} was not changed")]
    ReadOnly {
        /// The blob that would have changed.
        id: BlobId,
    },
    /// An option this store does not know.
    #[error("this store does not support {option}")]
    Unsupported {
        /// The option or operation.
        option: &'static str,
    },
    /// The root folder of the store is missing or unusable.
    #[error("the repository folder {} cannot be used", path.display())]
    Root {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// A file-system call on a blob failed.
    #[error("cannot {operation} blob {id} at {}", path.display())]
    Io {
        /// What was tried, as a verb.
        operation: &'static str,
        /// The blob concerned.
        id: BlobId,
        /// Its file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// What changed in a folder could not be made durable.
    #[error("cannot sync {}", path.display())]
    Sync {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The file that tells where blobs lie cannot be used.
    #[error("the layout file {} cannot be used", path.display())]
    Layout {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: std::io::Error,
    },
    /// A kind of store this program does not have.
    #[error("stores of type {kind:?} are not supported")]
    UnknownStore {
        /// The type asked for.
        kind: String,
    },
    /// The options of a store do not make sense.
    #[error("the options of the {kind} store cannot be used")]
    Options {
        /// The type of the store.
        kind: String,
        /// What is wrong with them.
        #[source]
        source: serde_json::Error,
    },
    /// Limits of a store's use that do not make sense.
    #[error("the speed limits cannot be used: {reason}")]
    Limits {
        /// What is wrong with them.
        reason: String,
    },
    /// A folder of the store could not be listed.
    #[error("cannot list {}", path.display())]
    List {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// What was read is not as long as the store says.
    #[error("blob {id} was read with {found} bytes, but should have {expected}")]
    Length {
        /// The blob.
        id: BlobId,
        /// What a listing said.
        expected: u64,
        /// What came.
        found: u64,
    },
    /// A blob could not be copied from one store to another.
    #[error("cannot {step} blob {id} ({store})")]
    Copy {
        /// What failed, as a verb.
        step: &'static str,
        /// The blob.
        id: BlobId,
        /// The store that failed.
        store: String,
        /// What it said.
        #[source]
        source: Box<Error>,
    },
    /// A store does not keep a promise.
    #[error("the storage failed the check of {check}")]
    Validation {
        /// What was checked.
        check: &'static str,
        /// What it did.
        #[source]
        source: Box<Error>,
    },
    /// The work was stopped from outside.
    #[error("stopped")]
    Canceled,
    /// A store behind a network did not do what it was asked.
    #[error("cannot {operation} {subject}")]
    Remote {
        /// What was tried, as a verb.
        operation: &'static str,
        /// What it was tried on.
        subject: String,
        /// Why, and what to do about it.
        #[source]
        cause: Cause,
    },
    /// A store around the store refused the call.
    #[error("blob {id} was refused")]
    Refused {
        /// The blob that would have changed.
        id: BlobId,
        /// How to treat it.
        class: ErrorClass,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A fault planted by a test, or an error with no better name.
    #[error("{message}")]
    Other {
        /// What happened.
        message: String,
        /// How to treat it.
        class: ErrorClass,
    },
}

impl Error {
    /// What the failure means for the caller.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::NotFound { .. } => ErrorClass::NotFound,
            Self::InvalidRange { .. } | Self::Length { .. } => ErrorClass::Corrupt,
            Self::Copy { source, .. } | Self::Validation { source, .. } => source.class(),
            Self::Canceled => ErrorClass::Canceled,
            Self::InvalidName { .. } | Self::Options { .. } | Self::Limits { .. } => ErrorClass::Invalid,
            Self::ReadOnly { .. } => ErrorClass::ReadOnly,
            Self::Unsupported { .. } | Self::UnknownStore { .. } => ErrorClass::Unsupported,
            Self::Root { source, .. } => match source.kind() {
                // Nobody must take a volume that is not mounted for a blob that is not there.
                ErrorKind::NotFound | ErrorKind::NotADirectory => ErrorClass::NoRepository,
                ErrorKind::InvalidInput => ErrorClass::Invalid,
                _ => ErrorClass::of_io(source),
            },
            Self::Layout { source, .. } => match source.kind() {
                ErrorKind::InvalidData | ErrorKind::UnexpectedEof => ErrorClass::Corrupt,
                _ => ErrorClass::of_io(source),
            },
            Self::Io { source, .. } | Self::Sync { source, .. } | Self::List { source, .. } => {
                ErrorClass::of_io(source)
            }
            Self::Remote { cause, .. } => cause.class(),
            Self::Refused { class, .. } | Self::Other { class, .. } => *class,
        }
    }

    /// How long the store wants to be left alone, if it said so.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Remote { cause, .. } => cause.retry_after(),
            _ => None,
        }
    }

    /// Whether the blob asked for is simply absent.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::NotFound { .. })
            || matches!(self, Self::Other { class: ErrorClass::NotFound, .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;

    fn io_error(kind: io::ErrorKind) -> Error {
        Error::Io { operation: "read", id: "p".into(), path: "/r/p.f".into(), source: kind.into() }
    }

    #[test]
    fn refused_permission_is_final_and_a_stale_handle_is_not() {
        for (kind, class, is_retriable) in [
            (ErrorKind::PermissionDenied, ErrorClass::Denied, false),
            (ErrorKind::StorageFull, ErrorClass::Full, false),
            (ErrorKind::ReadOnlyFilesystem, ErrorClass::ReadOnly, false),
            (ErrorKind::StaleNetworkFileHandle, ErrorClass::Unavailable, true),
            (ErrorKind::TimedOut, ErrorClass::Unavailable, true),
        ] {
            assert_eq!(io_error(kind).class(), class);
            assert_eq!(class.is_retriable(), is_retriable);
        }
        for errno in [rustix::io::Errno::ACCESS, rustix::io::Errno::PERM] {
            let error = Error::List { path: "/r".into(), source: errno.into() };
            assert_eq!(error.class(), ErrorClass::Denied);
        }
    }

    #[test]
    fn a_missing_root_is_no_missing_blob() {
        let root = Error::Root { path: "/r".into(), source: ErrorKind::NotFound.into() };
        assert_eq!(root.class(), ErrorClass::NoRepository);
        assert!(!root.is_not_found() && !root.class().is_retriable());
        assert!(Error::NotFound { id: "p".into() }.is_not_found());
    }
}
