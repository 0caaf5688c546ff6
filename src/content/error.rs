//! What can go wrong with contents.

use crate::base::ErrorClass;
use crate::blob::{self, BlobId};
use crate::format::ContentId;
use crate::{compression, crypto, index};

/// The result of a content call.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A failed content call.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No index knows the content.
    #[error("content {id} is in no index")]
    NotFound {
        /// The content asked for.
        id: ContentId,
    },
    /// The pack that should hold a content could not be read.
    #[error("cannot read content {id} from pack {pack} at {offset}+{length}")]
    Read {
        /// The content asked for.
        id: ContentId,
        /// The pack it lives in.
        pack: BlobId,
        /// First byte in the pack.
        offset: u32,
        /// Stored bytes.
        length: u32,
        /// What the store said.
        #[source]
        source: blob::Error,
    },
    /// The stored bytes are not what was written.
    #[error("content {id} in pack {pack} at {offset}+{length} failed authentication")]
    Damaged {
        /// The content asked for.
        id: ContentId,
        /// The pack it lives in.
        pack: BlobId,
        /// First byte in the pack.
        offset: u32,
        /// Stored bytes.
        length: u32,
        /// What the cipher said.
        #[source]
        source: crypto::Error,
    },
    /// The content decrypts but cannot be decompressed, or to another length than recorded.
    #[error("content {id} in pack {pack} at {offset} does not decompress to {expected} bytes")]
    Decompress {
        /// The content asked for.
        id: ContentId,
        /// The pack it lives in.
        pack: BlobId,
        /// First byte in the pack.
        offset: u32,
        /// Plaintext bytes that the index records.
        expected: u32,
        /// What the decompressor said, unless only the length differs.
        #[source]
        source: Option<compression::Error>,
    },
    /// The pack of a content is not in the store.
    #[error("content {id} needs pack {pack}, which is not in the store")]
    NoPack {
        /// The content asked for.
        id: ContentId,
        /// The pack it should live in.
        pack: BlobId,
    },
    /// The pack of a content ends before the content does.
    #[error("content {id} ends at byte {end} of pack {pack}, which has only {length}")]
    ShortPack {
        /// The content asked for.
        id: ContentId,
        /// The pack it lives in.
        pack: BlobId,
        /// Bytes in the pack.
        length: u64,
        /// Where the content should end.
        end: u64,
    },
    /// The bytes decrypt but hash to something else: their writer broke its promise.
    #[error("content {id} in pack {pack} holds other bytes than its name says")]
    Misnamed {
        /// The content asked for.
        id: ContentId,
        /// The pack it lives in.
        pack: BlobId,
    },
    /// An index entry no client of this format can have written.
    #[error("content {id} cannot be read: {reason}")]
    Unreadable {
        /// The content asked for.
        id: ContentId,
        /// Why.
        reason: &'static str,
    },
    /// A content too long for an index.
    #[error("a content of {length} bytes is longer than an index can record")]
    TooLong {
        /// Its length in bytes.
        length: usize,
    },
    /// A finished pack could not be stored.
    #[error("cannot write pack {pack}")]
    Write {
        /// The pack.
        pack: BlobId,
        /// What the store said.
        #[source]
        source: blob::Error,
    },
    /// The run failed before; nothing more is accepted.
    #[error("the write session has failed")]
    SessionFailed {
        /// What failed first.
        class: ErrorClass,
    },
    /// The store refused something else.
    #[error("cannot {action}")]
    Storage {
        /// What was tried, as a verb phrase.
        action: &'static str,
        /// What the store said.
        #[source]
        source: blob::Error,
    },
    /// Index blobs could not be read or written.
    #[error("cannot {action}")]
    Index {
        /// What was tried, as a verb phrase.
        action: &'static str,
        /// What the index layer said.
        #[source]
        source: index::Error,
    },
    /// Encryption or decryption of something that is no content failed.
    #[error("cannot {action}")]
    Crypto {
        /// What was tried, as a verb phrase.
        action: &'static str,
        /// What the cipher said.
        #[source]
        source: crypto::Error,
    },
    /// Compression failed.
    #[error("cannot compress a content")]
    Compress(#[source] compression::Error),
    /// A pack's trailer is not one.
    #[error("pack {pack} carries no readable index of its own: {reason}")]
    Trailer {
        /// The pack.
        pack: BlobId,
        /// What is wrong.
        reason: &'static str,
    },
}

impl Error {
    /// The content that cannot be read, and the pack that should hold it, as far as the error is about one.
    pub fn content_and_pack(&self) -> (Option<ContentId>, Option<BlobId>) {
        match self {
            Self::NotFound { id } | Self::Unreadable { id, .. } => (Some(*id), None),
            Self::Read { id, pack, .. }
            | Self::Damaged { id, pack, .. }
            | Self::Decompress { id, pack, .. }
            | Self::NoPack { id, pack }
            | Self::ShortPack { id, pack, .. }
            | Self::Misnamed { id, pack } => (Some(*id), Some(pack.clone())),
            _ => (None, None),
        }
    }

    /// What the failure means for the caller.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::NotFound { .. } => ErrorClass::NotFound,
            // A pack that an index names must be there: its absence is damage, not a wrong question.
            Self::Read { source, .. } if source.is_not_found() => ErrorClass::Corrupt,
            Self::Read { source, .. } | Self::Write { source, .. } | Self::Storage { source, .. } => {
                source.class()
            }
            Self::Damaged { .. }
            | Self::Decompress { .. }
            | Self::Misnamed { .. }
            | Self::NoPack { .. }
            | Self::ShortPack { .. }
            | Self::Unreadable { .. }
            | Self::Trailer { .. } => ErrorClass::Corrupt,
            Self::TooLong { .. } => ErrorClass::Invalid,
            Self::SessionFailed { class } => *class,
            Self::Index { source, .. } => source.class(),
            Self::Crypto { source, .. } => source.class(),
            Self::Compress(source) => source.class(),
        }
    }
}
