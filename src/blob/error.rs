//! What can go wrong in a store.

use super::{BlobId, ByteRange};
use crate::base::ErrorClass;
use std::path::PathBuf;

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
    /// A folder of the store could not be listed.
    #[error("cannot list {}", path.display())]
    List {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
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
            Self::InvalidRange { .. } => ErrorClass::Corrupt,
            Self::InvalidName { .. } => ErrorClass::Invalid,
            Self::ReadOnly { .. } => ErrorClass::ReadOnly,
            Self::Unsupported { .. } => ErrorClass::Unsupported,
            Self::Root { source, .. } | Self::Io { source, .. } | Self::List { source, .. } => {
                ErrorClass::of_io(source)
            }
            Self::Other { class, .. } => *class,
        }
    }

    /// Whether the blob asked for is simply absent.
    pub fn is_not_found(&self) -> bool {
        self.class() == ErrorClass::NotFound && !matches!(self, Self::Root { .. } | Self::List { .. })
    }
}
