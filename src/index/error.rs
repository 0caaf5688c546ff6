//! What can go wrong with index files and index blobs.

use crate::base::ErrorClass;
use crate::blob::{self, BlobId};
use crate::crypto;
use crate::format::ContentId;

/// The result of an index operation.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A failed index operation.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The bytes are not an index file.
    #[error("not an index file: {what}")]
    Malformed {
        /// What is wrong.
        what: &'static str,
    },
    /// An index file of a version nobody here knows.
    #[error("index version {version} is not supported; versions 1 and 2 are")]
    UnsupportedVersion {
        /// The version.
        version: u8,
    },
    /// An entry that the index version cannot hold.
    #[error("content {id} does not fit into an index: {what}")]
    Limit {
        /// The content.
        id: ContentId,
        /// What does not fit.
        what: &'static str,
    },
    /// More of something than an index can hold.
    #[error("the index would have {what}")]
    TooLarge {
        /// What there is too much of.
        what: &'static str,
    },
    /// The entries to encode are not sorted, or one comes twice.
    #[error("content {id} is out of order")]
    Unordered {
        /// The content that follows a greater or equal one.
        id: ContentId,
    },
    /// An index blob opened but does not hold an index.
    #[error("index blob {blob} is damaged")]
    Corrupt {
        /// The blob.
        blob: BlobId,
        /// What is wrong with its content.
        #[source]
        source: Box<Error>,
    },
    /// An index blob does not open: bytes are missing or changed, or it was written with another key.
    #[error("index blob {blob} is damaged: it does not decrypt")]
    Undecryptable {
        /// The blob.
        blob: BlobId,
        /// What the cipher said.
        #[source]
        source: crypto::Error,
    },
    /// A document about index blobs cannot be read.
    #[error("blob {blob} is damaged: it is no list of index blobs")]
    Document {
        /// The blob.
        blob: BlobId,
        /// What the parser said.
        #[source]
        source: serde_json::Error,
    },
    /// The repository keeps its indexes in another way by now.
    #[error("the repository was upgraded by another client; read its format again")]
    Upgraded,
    /// An index could not be encrypted.
    #[error("cannot encrypt an index")]
    Seal {
        /// What the cipher said.
        #[source]
        source: crypto::Error,
    },
    /// The store failed.
    #[error("cannot {operation} index blobs {name}")]
    Storage {
        /// What was tried, as a verb.
        operation: &'static str,
        /// The blob, or the prefix of a listing.
        name: String,
        /// What the store said.
        #[source]
        source: blob::Error,
    },
    /// The store takes longer than a view of the epochs lives.
    #[error(
        "the store is too slow to {operation}: the view of the index is out of date before it is complete"
    )]
    TooSlow {
        /// What was tried, as a verb.
        operation: &'static str,
    },
    /// An index was written into an epoch that may already be compacted; it has been taken back.
    #[error("the index was written to epoch {written}, but the repository is at epoch {current}")]
    EpochPassed {
        /// The epoch written to.
        written: i64,
        /// The epoch found afterwards.
        current: i64,
    },
}

impl Error {
    /// What the failure means for the caller.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Malformed { .. }
            | Self::Corrupt { .. }
            | Self::Undecryptable { .. }
            | Self::Document { .. } => ErrorClass::Corrupt,
            Self::UnsupportedVersion { .. } | Self::Upgraded => ErrorClass::Unsupported,
            Self::Limit { .. } | Self::TooLarge { .. } | Self::Unordered { .. } => ErrorClass::Invalid,
            Self::Seal { source } => source.class(),
            Self::Storage { source, .. } => source.class(),
            Self::TooSlow { .. } | Self::EpochPassed { .. } => ErrorClass::Unavailable,
        }
    }

    /// Whether an index blob is there and is none.
    pub(super) fn is_damage(&self) -> bool {
        matches!(self, Self::Corrupt { .. } | Self::Undecryptable { .. })
    }

    /// Whether a blob that should be there is not.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Storage { source, .. } if source.is_not_found())
    }
}
