//! What can go wrong with a repository as a whole.

use crate::base::ErrorClass;
use crate::{blob, content, crypto, format, index, manifest, object};
use std::path::PathBuf;

/// The result of a repository call.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A failed repository call.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The store holds no repository.
    #[error("repository not initialized in the provided storage: {store} has no kopia.repository")]
    NoRepository {
        /// The store's display name.
        store: String,
    },
    /// Something is in the store already.
    #[error("found existing data in storage location {store}")]
    NotEmpty {
        /// The store's display name.
        store: String,
    },
    /// The configuration blob is there and the format blob is not.
    #[error(
        "{store} has a kopia.blobcfg but no kopia.repository: a repository there may have lost its format blob"
    )]
    HalfThere {
        /// The store's display name.
        store: String,
    },
    /// The store failed.
    #[error("cannot {action}")]
    Storage {
        /// What was tried, as a verb phrase.
        action: &'static str,
        /// What the store said.
        #[source]
        source: blob::Error,
    },
    /// The second copy of the repository failed.
    #[error("cannot {action}")]
    Mirror {
        /// What was tried, as a verb phrase.
        action: &'static str,
        /// What the store said.
        #[source]
        source: blob::Error,
    },
    /// The mirror is no copy of this repository.
    #[error("{store} holds another repository; nothing was written there")]
    ForeignMirror {
        /// The store's display name.
        store: String,
    },
    /// The format blob cannot be used.
    #[error("cannot open the repository's format")]
    Format(#[source] format::Error),
    /// The repository uses an algorithm that is not known here.
    #[error("cannot set up the repository's hash and encryption")]
    Crypto(#[source] crypto::Error),
    /// The repository names a splitter that is not known here.
    #[error("the repository cuts objects with {name:?}, which is not a known splitter")]
    UnknownSplitter {
        /// The name found.
        name: String,
    },
    /// The index could not be copied.
    #[error("cannot {action}")]
    Index {
        /// What was tried, as a verb phrase.
        action: &'static str,
        /// What the index layer said.
        #[source]
        source: index::Error,
    },
    /// Nothing can be written while a part of the index is missing.
    #[error(
        "nothing is written to a repository whose index is incomplete; restore {blob} from a copy, or set it aside if \
         nothing else helps"
    )]
    DamagedIndex {
        /// The damaged index blob.
        blob: blob::BlobId,
        /// What is wrong with it.
        #[source]
        source: std::sync::Arc<index::Error>,
    },
    /// The format blob or the settings beside it have no content.
    #[error("{name} is empty or all zeroes: its writer or the volume has crashed; restore it from a copy")]
    Void {
        /// The blob.
        name: &'static str,
    },
    /// The index in epochs is not the one it was copied from.
    #[error(
        "the index in epochs and the old one differ in {total} contents: others write to the repository, or an \
         upgrade of it was rolled back (then only `repository upgrade begin` can begin anew)"
    )]
    IndexesDiffer {
        /// How many contents.
        total: u64,
    },
    /// Contents could not be read or written.
    #[error(transparent)]
    Content(#[from] content::Error),
    /// Objects could not be read or written.
    #[error(transparent)]
    Object(#[from] object::Error),
    /// Manifests could not be read or written.
    #[error(transparent)]
    Manifest(#[from] manifest::Error),
    /// The connection file is missing.
    #[error("repository is not connected: there is no {}", path.display())]
    NotConnected {
        /// The connection file.
        path: PathBuf,
    },
    /// The connection file cannot be read or written.
    #[error("cannot {action} {}", path.display())]
    ConnectionFile {
        /// What was tried, as a verb.
        action: &'static str,
        /// The connection file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The connection file is not one.
    #[error("{} is not a connection file", path.display())]
    BrokenConnectionFile {
        /// The connection file.
        path: PathBuf,
        /// What the parser said.
        #[source]
        source: serde_json::Error,
    },
    /// The connection leads to a Kopia API server.
    #[error("{} leads to a Kopia server, and only direct connections to storage are supported", path.display())]
    ServerConnection {
        /// The connection file.
        path: PathBuf,
    },
    /// The keys of an old repository come from its password.
    #[error(
        "password changes are not supported for repositories created in format version 1 (Kopia 0.8 or older)"
    )]
    FixedPassword,
    /// The upgrade must be finished or rolled back before.
    #[error("an upgrade of the repository is in progress; finish it or roll it back before")]
    UpgradeInProgress,
    /// There is no lock of this owner.
    #[error("no upgrade of this client is in progress")]
    NoUpgrade,
    /// The format from before an upgrade is gone.
    #[error("there is no copy of the format from before the upgrade")]
    NoBackup,
    /// The key that opened the format does not open it any more.
    #[error("the password of the repository was changed meanwhile")]
    PasswordChanged,
    /// The index is kept in another way than when the repository was opened.
    #[error(
        "the repository was brought to another format meanwhile; what is left of this run must be run again"
    )]
    FormatChanged,
    /// Somebody else has rewritten the format after it was read here.
    #[error(
        "another client has changed the format of the repository meanwhile; nothing was written, try again"
    )]
    ChangedMeanwhile,
    /// A kind of object lock that is not known here.
    #[error("the repository asks for object locks of mode {mode:?}, which is not supported")]
    RetentionMode {
        /// The mode found.
        mode: String,
    },
    /// Locks would end before maintenance extends them.
    #[error("the retention period must be at least 24 hours longer than the interval of full maintenance")]
    ShortRetention,
    /// Another repository is where a copy should go.
    #[error("destination repository contains incompatible data: {store} holds another repository")]
    OtherRepository {
        /// The destination's display name.
        store: String,
    },
    /// There is no copy to bring up to date.
    #[error("destination repository does not have a format blob: {store} has no kopia.repository")]
    NoCopy {
        /// The destination's display name.
        store: String,
    },
    /// Blobs vanish while they are copied.
    #[error(
        "packs or index blobs vanished from the source again and again; copy it when maintenance has ended"
    )]
    SourceChanges,
    /// The user or a signal asked to stop.
    #[error("interrupted")]
    Canceled,
    /// The connection forbids changes.
    #[error("the connection is read-only")]
    ReadOnly,
}

impl Error {
    /// What the failure means for the caller.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::NoRepository { .. } | Self::NotConnected { .. } => ErrorClass::NoRepository,
            Self::NotEmpty { .. } | Self::OtherRepository { .. } => ErrorClass::Exists,
            Self::SourceChanges => ErrorClass::Unavailable,
            Self::HalfThere { .. }
            | Self::BrokenConnectionFile { .. }
            | Self::DamagedIndex { .. }
            | Self::Void { .. } => ErrorClass::Corrupt,
            Self::Storage { source, .. } | Self::Mirror { source, .. } => source.class(),
            Self::Format(source) => source.class(),
            Self::Crypto(source) => source.class(),
            Self::UnknownSplitter { .. }
            | Self::RetentionMode { .. }
            | Self::ServerConnection { .. }
            | Self::FixedPassword => ErrorClass::Unsupported,
            Self::ChangedMeanwhile
            | Self::FormatChanged
            | Self::IndexesDiffer { .. }
            | Self::UpgradeInProgress => ErrorClass::Locked,
            Self::NoUpgrade | Self::NoBackup | Self::NoCopy { .. } => ErrorClass::NotFound,
            Self::PasswordChanged => ErrorClass::WrongPassword,
            Self::Index { source, .. } => source.class(),
            Self::ShortRetention | Self::ForeignMirror { .. } => ErrorClass::Invalid,
            Self::Canceled => ErrorClass::Canceled,
            Self::Content(source) => source.class(),
            Self::Object(source) => source.class(),
            Self::Manifest(source) => source.class(),
            Self::ConnectionFile { source, .. } => ErrorClass::of_io(source),
            Self::ReadOnly => ErrorClass::ReadOnly,
        }
    }
}
