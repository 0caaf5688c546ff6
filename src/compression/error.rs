//! What can go wrong with compressed streams.

use super::HeaderId;
use crate::base::ErrorClass;

/// The result of compressing or decompressing.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A failed compression or decompression.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No compressor has this id.
    #[error("unknown compression {id}")]
    UnknownId {
        /// The id asked for.
        id: HeaderId,
    },
    /// The header in front of the stream differs from what the index says.
    #[error("the content is compressed with {found}, the index says {expected}")]
    WrongHeader {
        /// Id in the index.
        expected: HeaderId,
        /// Id in the header.
        found: HeaderId,
    },
    /// The stream ends too early.
    #[error("the {name} stream is truncated")]
    Truncated {
        /// Name of the compressor.
        name: &'static str,
    },
    /// The stream breaks its format or fails its checksum.
    #[error("the {name} stream is damaged: {detail}")]
    Corrupt {
        /// Name of the compressor.
        name: &'static str,
        /// What is wrong with it.
        detail: &'static str,
    },
    /// The stream holds more than it may.
    #[error("the {name} stream holds more than {max_len} bytes")]
    TooLong {
        /// Name of the compressor.
        name: &'static str,
        /// What was expected at most, in bytes.
        max_len: usize,
    },
    /// The format is read for old repositories and must not be written.
    #[error("{name} can be read but not written")]
    NotWritable {
        /// Name of the compressor.
        name: &'static str,
    },
    /// The encoder gave up, for want of memory as a rule.
    #[error("cannot compress with {name}: {detail}")]
    Encoder {
        /// Name of the compressor.
        name: &'static str,
        /// What the encoder said.
        detail: &'static str,
    },
}

impl Error {
    /// What the failure means for the caller.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::UnknownId { .. } | Self::NotWritable { .. } => ErrorClass::Unsupported,
            Self::WrongHeader { .. }
            | Self::Truncated { .. }
            | Self::Corrupt { .. }
            | Self::TooLong { .. } => ErrorClass::Corrupt,
            Self::Encoder { .. } => ErrorClass::Other,
        }
    }
}
