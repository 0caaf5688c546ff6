//! What can go wrong with keys, names of algorithms and protected bytes.

use crate::base::ErrorClass;

/// The result of a cryptographic call.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A failed cryptographic call. No variant carries key material or plaintext.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The repository names an algorithm that this program does not have.
    #[error("unknown {kind} algorithm {name:?}")]
    UnknownAlgorithm {
        /// Which registry was asked: `hash`, `encryption`, …
        kind: &'static str,
        /// The name asked for.
        name: String,
    },
    /// The key does not suit the algorithm.
    #[error("{algorithm} cannot use a key of {len} bytes")]
    InvalidKey {
        /// Name of the algorithm.
        algorithm: &'static str,
        /// Length of the key in bytes.
        len: usize,
    },
    /// The salt is too short to derive a key from a password.
    #[error("a salt of {len} bytes is too short, {min} are needed")]
    ShortSalt {
        /// Length of the salt in bytes.
        len: usize,
        /// What is needed at least.
        min: usize,
    },
    /// An encrypted item has no room for nonce and tag.
    #[error("{len} bytes are too few for an encrypted item")]
    ShortCiphertext {
        /// Length of the item in bytes.
        len: usize,
    },
    /// The bytes were changed, or belong to another key or name.
    #[error("the bytes fail authentication")]
    Authentication,
    /// More bytes than the algorithm may protect at once.
    #[error("{len} bytes are too many to encrypt at once")]
    TooLong {
        /// Length of the plaintext in bytes.
        len: usize,
    },
    /// The name of a blob does not end in a hash.
    #[error("blob name {name:?} holds no hash")]
    InvalidBlobName {
        /// The offending name.
        name: String,
    },
    /// More shards are damaged than the parity can restore.
    #[error("block {block} has {damaged} damaged shards, only {parity} can be restored")]
    Uncorrectable {
        /// Number of the block, from 0.
        block: usize,
        /// How many of its shards are damaged.
        damaged: usize,
        /// How many may be.
        parity: usize,
    },
    /// The error-correction layer holds a length that does not fit the stored bytes.
    #[error("{len} stored bytes cannot hold the {claimed} bytes they claim")]
    InvalidLength {
        /// Stored length in bytes.
        len: usize,
        /// Claimed length of the content in bytes.
        claimed: u64,
    },
}

impl Error {
    /// What the failure means for the caller.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::UnknownAlgorithm { .. } => ErrorClass::Unsupported,
            Self::InvalidKey { .. } | Self::ShortSalt { .. } | Self::TooLong { .. } => ErrorClass::Invalid,
            Self::ShortCiphertext { .. }
            | Self::Authentication
            | Self::InvalidBlobName { .. }
            | Self::Uncorrectable { .. }
            | Self::InvalidLength { .. } => ErrorClass::Corrupt,
        }
    }
}
