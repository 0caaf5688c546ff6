//! What can go wrong while reading the live tree.

use crate::base::{ErrorClass, gojson};
use std::io;
use std::path::PathBuf;

/// The result of reading the live tree.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A failed call on the live tree. Directories do not know their path, so messages carry names; whoever walks knows
/// the rest.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The root of the walk could not be opened.
    #[error("cannot open the source {}", path.display())]
    Root {
        /// The path asked for.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A directory could not be listed to its end.
    #[error("cannot list the directory")]
    List {
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A call on one entry failed.
    #[error("cannot {operation} {name:?}")]
    Entry {
        /// What was tried, as a verb.
        operation: &'static str,
        /// Name inside its directory, bad bytes replaced.
        name: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// What was listed as a regular file is something else by now.
    #[error("{name:?} is no longer a regular file")]
    NotAFile {
        /// Name inside its directory, bad bytes replaced.
        name: String,
    },
    /// An extended attribute could not be read.
    #[error("cannot read the extended attribute {xattr:?}")]
    Xattr {
        /// Its name, bad bytes replaced.
        xattr: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A rule of a policy or ignore file that cannot be.
    #[error("the ignore rule {pattern:?} {reason}")]
    Pattern {
        /// The rule, bad bytes replaced.
        pattern: String,
        /// What is wrong, as the rest of a sentence.
        reason: &'static str,
    },
}

impl Error {
    /// A failed call on an entry: what was tried, as a verb, and what the system said.
    pub fn of_entry(operation: &'static str, name: &[u8], source: io::Error) -> Self {
        Self::Entry { operation, name: gojson::lossy(name).into_owned(), source }
    }

    /// What the failure means for the caller.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Root { source, .. }
            | Self::List { source }
            | Self::Entry { source, .. }
            | Self::Xattr { source, .. } => ErrorClass::of_io(source),
            Self::NotAFile { .. } | Self::Pattern { .. } => ErrorClass::Invalid,
        }
    }

    /// What the operating system said, if it was asked.
    pub fn io(&self) -> Option<&io::Error> {
        match self {
            Self::Root { source, .. }
            | Self::List { source }
            | Self::Entry { source, .. }
            | Self::Xattr { source, .. } => Some(source),
            Self::NotAFile { .. } | Self::Pattern { .. } => None,
        }
    }

    /// Whether the entry is simply not there.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Entry { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }
}
