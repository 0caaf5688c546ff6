//! What can go wrong in maintenance.

use crate::base::ErrorClass;
use crate::blob::BlobId;
use crate::{blob, content, crypto};

/// The result of a maintenance call.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A failed maintenance call.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The store failed.
    #[error("cannot {action}")]
    Storage {
        /// What was tried, as a verb phrase.
        action: &'static str,
        /// What the store said.
        #[source]
        source: blob::Error,
    },
    /// The index could not be read.
    #[error(transparent)]
    Content(#[from] content::Error),
    /// An index blob without content: what it named would be lost.
    #[error("index blob {blob} is empty, so what is in use is not known; nothing was deleted")]
    EmptyIndex {
        /// The blob.
        blob: BlobId,
    },
    /// A session marker cannot be decrypted.
    #[error("session marker {marker} cannot be read, so what it protects is not known; nothing was deleted")]
    Marker {
        /// The blob.
        marker: BlobId,
        /// What is wrong with it.
        #[source]
        source: crypto::Error,
    },
    /// A session marker is not one.
    #[error("session marker {marker} makes no sense, so what it protects is not known; nothing was deleted")]
    BrokenMarker {
        /// The blob.
        marker: BlobId,
    },
    /// Not the beginning of names of packs or session markers.
    #[error(
        "only packs (p, q) and session markers (s) are collected, and no blobs that begin with {prefix:?}"
    )]
    NoPacks {
        /// The beginning asked for.
        prefix: String,
    },
    /// The user or a signal asked to stop.
    #[error("interrupted")]
    Canceled,
}

impl Error {
    /// What the failure means for the caller.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Storage { source, .. } => source.class(),
            Self::Content(source) => source.class(),
            Self::EmptyIndex { .. } | Self::BrokenMarker { .. } | Self::Marker { .. } => ErrorClass::Corrupt,
            Self::NoPacks { .. } => ErrorClass::Invalid,
            Self::Canceled => ErrorClass::Canceled,
        }
    }
}
