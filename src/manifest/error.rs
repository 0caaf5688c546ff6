//! What can go wrong with manifests.

use super::ManifestId;
use crate::base::ErrorClass;
use crate::content;
use crate::format::ContentId;

/// The result of a manifest call.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A failed manifest call.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No manifest has this id.
    #[error("there is no manifest {id}")]
    NotFound {
        /// The id asked for.
        id: ManifestId,
    },
    /// A batch of manifests could not be read.
    #[error("cannot read the manifests in content {content}")]
    Read {
        /// The batch.
        content: ContentId,
        /// What the content layer said.
        #[source]
        source: content::Error,
    },
    /// A batch of manifests is not one.
    #[error("content {content} does not hold manifests: {reason}")]
    BrokenBatch {
        /// The batch.
        content: ContentId,
        /// What is wrong.
        reason: String,
    },
    /// A manifest's document is not what its type says.
    #[error("manifest {id} is not a valid {kind}")]
    BrokenPayload {
        /// The manifest.
        id: ManifestId,
        /// The type in its labels.
        kind: String,
        /// What the decoder said.
        #[source]
        source: serde_json::Error,
    },
    /// A batch of manifests could not be written.
    #[error("cannot write manifests")]
    Write(#[source] content::Error),
}

impl Error {
    /// What the failure means for the caller.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::NotFound { .. } => ErrorClass::NotFound,
            Self::Read { source, .. } | Self::Write(source) => source.class(),
            Self::BrokenBatch { .. } | Self::BrokenPayload { .. } => ErrorClass::Corrupt,
        }
    }
}
