//! What can be wrong with a repository's format.

use crate::base::{ErrorClass, Timestamp};
use crate::crypto;

/// The result of reading or writing a format document.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A format document that cannot be read, is not understood, or must not be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A document is not the JSON it should be.
    #[error("{document} is not a valid document")]
    Json {
        /// The blob or the part of it.
        document: &'static str,
        /// What the parser said.
        #[source]
        source: serde_json::Error,
    },
    /// An encrypted document is shorter than its nonce and tag.
    #[error("{document} has {length} bytes, fewer than any encrypted document")]
    Truncated {
        /// The blob or the part of it.
        document: &'static str,
        /// Its length in bytes.
        length: usize,
    },
    /// The password opens one of the two blobs under its key and not the other.
    #[error(
        "the password opens {opened} but not {closed}: that blob is damaged, or a change of the password was \
         interrupted (then the same change, asked for again with the old password, completes it)"
    )]
    TwoKeys {
        /// The blob that opens.
        opened: &'static str,
        /// The blob that does not.
        closed: &'static str,
    },
    /// The password does not open the repository.
    #[error("the password does not open this repository")]
    WrongPassword,
    /// The format blob itself is encrypted in a way nobody here knows.
    #[error("the format blob is encrypted with {name:?}, which is not supported")]
    UnknownEncryption {
        /// The name found.
        name: String,
    },
    /// The key derivation failed or is unknown.
    #[error("cannot derive a key from the password with {algorithm:?}")]
    KeyDerivation {
        /// The algorithm's stored name.
        algorithm: String,
        /// What the derivation said.
        #[source]
        source: crypto::Error,
    },
    /// Encryption failed.
    #[error("cannot encrypt {document}")]
    Seal {
        /// The blob or the part of it.
        document: &'static str,
        /// What the cipher said.
        #[source]
        source: crypto::Error,
    },
    /// The repository was written in a version of the format that is not known here.
    #[error("the repository has format version {version}; versions 1 to 3 are supported")]
    UnsupportedVersion {
        /// The version found.
        version: u8,
    },
    /// The repository asks for an index format that is not known here.
    #[error("the repository asks for index version {version}; versions 1 and 2 are supported")]
    UnsupportedIndexVersion {
        /// The version found.
        version: u8,
    },
    /// The repository needs a feature that is not known here.
    #[error("the repository needs feature {feature:?}, which is not supported{advice}")]
    RequiredFeature {
        /// The feature's name.
        feature: String,
        /// What its author wants the user to read, starting with a separator; may be empty.
        advice: String,
    },
    /// A parameter is outside what Kopia accepts.
    #[error("{parameter} is {value}; {rule}")]
    Parameter {
        /// The parameter's name in the document.
        parameter: &'static str,
        /// Its value.
        value: i128,
        /// What it must satisfy.
        rule: &'static str,
    },
    /// The retention settings contradict each other.
    #[error("{rule}")]
    Retention {
        /// What they must satisfy.
        rule: &'static str,
    },
    /// An upgrade lock lacks or contradicts something.
    #[error("the upgrade lock is not valid: {rule}")]
    UpgradeLock {
        /// What it must satisfy.
        rule: &'static str,
    },
    /// Another client is upgrading the repository.
    #[error("{owner} is upgrading the repository since {since}: {message}")]
    Locked {
        /// The lock's owner.
        owner: String,
        /// When the lock was placed.
        since: Timestamp,
        /// What the owner says.
        message: String,
    },
    /// The format blob is too long to be embedded in packs.
    #[error("a format blob of {length} bytes is too long to be copied into packs")]
    RecoveryTooLong {
        /// Its length in bytes.
        length: usize,
    },
}

impl Error {
    /// What the failure means for the caller.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Json { .. } | Self::Truncated { .. } | Self::TwoKeys { .. } => ErrorClass::Corrupt,
            Self::WrongPassword => ErrorClass::WrongPassword,
            Self::UnknownEncryption { .. }
            | Self::UnsupportedVersion { .. }
            | Self::UnsupportedIndexVersion { .. }
            | Self::RequiredFeature { .. } => ErrorClass::Unsupported,
            Self::KeyDerivation { source, .. } | Self::Seal { source, .. } => source.class(),
            Self::Parameter { .. }
            | Self::Retention { .. }
            | Self::UpgradeLock { .. }
            | Self::RecoveryTooLong { .. } => ErrorClass::Invalid,
            Self::Locked { .. } => ErrorClass::Locked,
        }
    }
}
