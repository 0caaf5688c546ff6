//! What can go wrong with a mounted file system.

use crate::base::ErrorClass;
use crate::{object, snapshot};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

/// The result of a call.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A failed mount, or a request that cannot be answered. Paths begin at the root of what is mounted.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The system does not mount it.
    #[error("cannot mount on {}", point.display())]
    Mount {
        /// The mount point.
        point: PathBuf,
        /// What the system said.
        #[source]
        source: Arc<io::Error>,
    },
    /// The system does not take it away.
    #[error("cannot unmount {}", point.display())]
    Unmount {
        /// The mount point.
        point: PathBuf,
        /// What the system said.
        #[source]
        source: Arc<io::Error>,
    },
    /// A stored directory cannot be read.
    #[error("cannot read the directory {path}")]
    Directory {
        /// Which one.
        path: String,
        /// What reading said.
        #[source]
        source: Arc<snapshot::Error>,
    },
    /// The data of a file or link cannot be read.
    #[error("cannot read {path}")]
    Data {
        /// Which one.
        path: String,
        /// What reading said.
        #[source]
        source: Arc<object::Error>,
    },
    /// A file's object is longer or shorter than its entry says.
    #[error("{path} has {found} bytes where its directory says {expected}")]
    Length {
        /// Which one.
        path: String,
        /// Bytes that the directory says.
        expected: u64,
        /// Bytes of the object.
        found: u64,
    },
    /// A link's target is longer than any system allows.
    #[error("the link {path} has a target of {length} bytes")]
    LongLink {
        /// Which one.
        path: String,
        /// Bytes in its target.
        length: u64,
    },
    /// A number that was never given out, or no directory.
    #[error("there is no directory with the number {number:#x}")]
    Unknown {
        /// The number.
        number: u64,
    },
    /// More directories than can be numbered.
    #[error("there are too many directories to number them")]
    TooMany,
}

impl Error {
    /// What the failure means for the caller.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Mount { .. } | Self::Unmount { .. } | Self::TooMany => ErrorClass::Other,
            Self::Directory { source, .. } => source.class(),
            Self::Data { source, .. } => source.class(),
            Self::Length { .. } | Self::LongLink { .. } => ErrorClass::Corrupt,
            Self::Unknown { .. } => ErrorClass::NotFound,
        }
    }
}
