//! What can go wrong with snapshots.

use crate::base::ErrorClass;
use crate::blob::BlobId;
use crate::format::ContentId;
use crate::manifest::ManifestId;
use crate::object::ObjectId;
use crate::{actions, content, manifest, object, repo, source};
use std::path::PathBuf;

/// The result of a snapshot call.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A failed snapshot call.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No snapshot has this id or root.
    #[error("there is no snapshot or object {text:?}")]
    NotFound {
        /// What was asked for.
        text: String,
    },
    /// The snapshot has no root: its upload never got that far.
    #[error("snapshot {id} has no root entry")]
    NoRoot {
        /// The snapshot.
        id: ManifestId,
    },
    /// A path does not exist in a snapshot.
    #[error("{path:?} is not in the snapshot")]
    NoSuchPath {
        /// The path inside the snapshot.
        path: String,
    },
    /// Several snapshots share a root but not its attributes.
    #[error("several snapshots have the root {id} with different attributes; name one by its manifest id")]
    Ambiguous {
        /// The root asked for.
        id: ObjectId,
    },
    /// An object is not the directory it should be.
    #[error("object {id} is not a directory: {reason}")]
    BrokenDirectory {
        /// The object.
        id: ObjectId,
        /// What is wrong.
        reason: String,
    },
    /// A snapshot needs a host, a user and a path.
    #[error("a snapshot needs a user, a host and a path; {source_text:?} lacks one")]
    IncompleteSource {
        /// The source as text.
        source_text: String,
    },
    /// A history would lose who or what its snapshots were of.
    #[error(
        "the destination names a {part} and the source does not: snapshots of several would become those of one"
    )]
    MergesSources {
        /// The part of the source.
        part: &'static str,
    },
    /// Wildcards that make no sense.
    #[error("{pattern:?} is not a pattern of names")]
    BadPattern {
        /// The pattern.
        pattern: String,
    },
    /// An entry cannot be read, and nothing was to be put in its place.
    #[error("{path} cannot be kept in the snapshot")]
    Invalid {
        /// The path inside the snapshot.
        path: String,
        /// What is wrong with it.
        #[source]
        source: Box<Error>,
    },
    /// The root of a snapshot was to be left out.
    #[error("the root of a snapshot cannot be left out")]
    RootRemoved,
    /// A tag would hide one of the labels that snapshots are found by.
    #[error("tag {key:?} has the name of a label")]
    BadTag {
        /// The offending key.
        key: String,
    },
    /// The root of the source cannot be read.
    #[error("cannot read the source {}", path.display())]
    Source {
        /// The source.
        path: PathBuf,
        /// What the walk said.
        #[source]
        source: source::Error,
    },
    /// The source is neither a directory nor a file.
    #[error("the source {} is neither a directory nor a file", path.display())]
    UnsupportedSource {
        /// The source.
        path: PathBuf,
    },
    /// A command that must succeed before the source may be read.
    #[error("cannot save the source {}", path.display())]
    Action {
        /// The source.
        path: PathBuf,
        /// What went wrong.
        #[source]
        source: actions::Error,
    },
    /// A file has not the bytes that its entry or its list of parts promises.
    #[error("it has {found} bytes where {expected} are promised")]
    FileLength {
        /// Bytes promised.
        expected: u64,
        /// Bytes found.
        found: u64,
    },
    /// A content that was found to be damaged before.
    #[error("content {id} in pack {pack} is damaged")]
    KnownDamage {
        /// The content.
        id: ContentId,
        /// Its pack.
        pack: BlobId,
    },
    /// Objects could not be read or written.
    #[error(transparent)]
    Object(#[from] object::Error),
    /// Contents could not be read or written.
    #[error(transparent)]
    Content(#[from] content::Error),
    /// Manifests could not be read or written.
    #[error(transparent)]
    Manifest(#[from] manifest::Error),
    /// The repository failed.
    #[error(transparent)]
    Repository(#[from] repo::Error),
}

impl Error {
    /// What the failure means for the caller.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::NotFound { .. } | Self::NoSuchPath { .. } => ErrorClass::NotFound,
            Self::NoRoot { .. }
            | Self::BrokenDirectory { .. }
            | Self::FileLength { .. }
            | Self::KnownDamage { .. } => ErrorClass::Corrupt,
            Self::Ambiguous { .. }
            | Self::IncompleteSource { .. }
            | Self::MergesSources { .. }
            | Self::BadPattern { .. }
            | Self::RootRemoved
            | Self::BadTag { .. }
            | Self::UnsupportedSource { .. } => ErrorClass::Invalid,
            Self::Source { source, .. } => source.class(),
            Self::Invalid { source, .. } => source.class(),
            Self::Action { source, .. } => source.class(),
            Self::Object(source) => source.class(),
            Self::Content(source) => source.class(),
            Self::Manifest(source) => source.class(),
            Self::Repository(source) => source.class(),
        }
    }
}
