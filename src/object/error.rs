//! What can go wrong with objects.

use super::ObjectId;
use crate::base::ErrorClass;
use crate::{compression, content};

/// The result of an object call.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A failed object call.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A content of the object failed.
    #[error("object {id}")]
    Content {
        /// The object.
        id: ObjectId,
        /// What the content layer said.
        #[source]
        source: content::Error,
    },
    /// A content could not be written.
    #[error(transparent)]
    Write(#[from] content::Error),
    /// The list of parts of an object is not one.
    #[error("object {id} has a broken list of parts: {reason}")]
    BrokenList {
        /// The object.
        id: ObjectId,
        /// What is wrong.
        reason: String,
    },
    /// A part is not as long as the list says.
    #[error("part {part} of object {id} has {found} bytes, not {expected}")]
    PartLength {
        /// The object.
        id: ObjectId,
        /// The part.
        part: ObjectId,
        /// Bytes the list says.
        expected: u64,
        /// Bytes found.
        found: u64,
    },
    /// A content that compresses itself cannot be decompressed.
    #[error("object {id} cannot be decompressed")]
    Decompress {
        /// The object.
        id: ObjectId,
        /// What the decompressor said.
        #[source]
        source: compression::Error,
    },
    /// The empty object id names nothing.
    #[error("an empty object id names nothing")]
    NoObject,
}

impl Error {
    /// What the failure means for the caller.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Content { source, .. } | Self::Write(source) => source.class(),
            Self::BrokenList { .. } | Self::PartLength { .. } | Self::Decompress { .. } => {
                ErrorClass::Corrupt
            }
            Self::NoObject => ErrorClass::Invalid,
        }
    }
}
