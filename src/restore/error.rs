//! What can go wrong with a restore.

use crate::base::ErrorClass;
use crate::{object, snapshot};
use std::io;
use std::path::PathBuf;

/// The result of a restore.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A failed restore, or one of its entries. Paths are those of the target.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A call of the file system failed.
    #[error("cannot {operation} {}", path.display())]
    File {
        /// What was tried, as a verb phrase.
        operation: &'static str,
        /// Where.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A directory manifest cannot be read.
    #[error("cannot read the stored directory of {}", path.display())]
    Directory {
        /// Where the directory belongs.
        path: PathBuf,
        /// What reading said.
        #[source]
        source: Box<snapshot::Error>,
    },
    /// The data of a file or link cannot be read.
    #[error("cannot read the stored data of {}", path.display())]
    Data {
        /// Where the data belongs.
        path: PathBuf,
        /// What reading said.
        #[source]
        source: Box<object::Error>,
    },
    /// An extended attribute could not be set or removed.
    #[error("cannot {operation} the extended attribute {xattr:?} of {}", path.display())]
    Xattr {
        /// What was tried, as a verb.
        operation: &'static str,
        /// Its name.
        xattr: String,
        /// Of what.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A stored name could lead out of its directory.
    #[error("a stored directory has a member named {name:?}, which is refused ({})", path.display())]
    BadName {
        /// Where the directory belongs.
        path: PathBuf,
        /// The name.
        name: String,
    },
    /// A stored entry is neither file nor directory nor link.
    #[error("{} is stored as something of unknown type", path.display())]
    UnknownType {
        /// Where it belongs.
        path: PathBuf,
    },
    /// A link's target is longer than any system allows.
    #[error("the stored link {} has a target of {length} bytes", path.display())]
    LongLink {
        /// Where the link belongs.
        path: PathBuf,
        /// Bytes in its target.
        length: u64,
    },
    /// Directories are nested deeper than any tree a file system can be asked for by path.
    #[error("the directory {} is nested too deep", path.display())]
    TooDeep {
        /// Where it belongs.
        path: PathBuf,
    },
    /// A placeholder cannot be used.
    #[error("{} is no placeholder of a shallow restore: {reason}", path.display())]
    Placeholder {
        /// Where it is.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Something exists and must not be replaced, or cannot be by something of another kind.
    #[error("{} exists and is {found}", path.display())]
    InTheWay {
        /// Where.
        path: PathBuf,
        /// What it is.
        found: &'static str,
    },
    /// A directory exists and is not empty.
    #[error("the directory {} exists and is not empty", path.display())]
    NotEmpty {
        /// Where.
        path: PathBuf,
    },
    /// Some of what is stored cannot be read; everything else was restored.
    #[error("{count} entries are damaged in the repository and could not be restored; all others were")]
    Damaged {
        /// How many.
        count: u64,
        /// The first of them.
        #[source]
        first: Option<Box<Error>>,
    },
    /// Somebody asked to stop.
    #[error("the restore was canceled")]
    Canceled,
}

impl Error {
    /// What the failure means for the caller.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::File { source, .. } | Self::Xattr { source, .. } => ErrorClass::of_io(source),
            // What a snapshot names and the repository does not have is lost, not asked for in vain.
            Self::Directory { source, .. } => or_corrupt(source.class()),
            Self::Data { source, .. } => or_corrupt(source.class()),
            Self::Damaged { .. }
            | Self::BadName { .. }
            | Self::UnknownType { .. }
            | Self::LongLink { .. }
            | Self::TooDeep { .. } => ErrorClass::Corrupt,
            Self::Placeholder { .. } => ErrorClass::Invalid,
            Self::InTheWay { .. } | Self::NotEmpty { .. } => ErrorClass::Exists,
            Self::Canceled => ErrorClass::Canceled,
        }
    }

    /// Whether something in the repository is not there or not what it should be, which harms nothing beside it.
    pub(super) fn is_damage(&self) -> bool {
        matches!(self, Self::Directory { .. } | Self::Data { .. }) && self.class() == ErrorClass::Corrupt
    }

    /// The message and those of all causes, in one line.
    pub(super) fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(inner) = cause {
            text.push_str(": ");
            text.push_str(&inner.to_string());
            cause = inner.source();
        }
        text
    }
}

fn or_corrupt(class: ErrorClass) -> ErrorClass {
    if class == ErrorClass::NotFound { ErrorClass::Corrupt } else { class }
}
