//! What a store of files behind a network must be able to do.

use crate::base::Timestamp;
use crate::blob::remote::Fault;
use crate::blob::{ByteRange, Capacity};
use bytes::Bytes;
use std::fmt::Debug;

/// An entry of a folder, or what a path leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::blob) struct Entry {
    /// Its name in the folder; no path.
    pub(in crate::blob) name: String,
    /// Whether it is a folder.
    pub(in crate::blob) is_folder: bool,
    /// Size in bytes.
    pub(in crate::blob) length: u64,
    /// Modification time by the server.
    pub(in crate::blob) timestamp: Timestamp,
}

/// Files and folders below the root of a repository.
///
/// Paths are relative, with `/` between names; the empty path is the root. Each call is one attempt.
pub(in crate::blob) trait Files: Send + Sync + Debug {
    /// Reads a file, or exactly `range` of it (never of length 0).
    ///
    /// # Errors
    /// [`Fault::Missing`]; [`Fault::Range`] when the file is shorter.
    fn read(&self, path: &str, range: Option<ByteRange>) -> Result<Bytes, Fault>;

    /// Binds `path` to `data` in one step, as a complete file of the right length. The folder must be there.
    ///
    /// # Errors
    /// [`Fault::Missing`] when the folder is not there.
    fn write(&self, path: &str, data: Bytes, set_timestamp: Option<Timestamp>) -> Result<(), Fault>;

    /// What `path` leads to.
    ///
    /// # Errors
    /// [`Fault::Missing`].
    fn stat(&self, path: &str) -> Result<Entry, Fault>;

    /// The entries of a folder.
    ///
    /// # Errors
    /// [`Fault::Missing`].
    fn list(&self, path: &str) -> Result<Vec<Entry>, Fault>;

    /// Removes a file.
    ///
    /// # Errors
    /// [`Fault::Missing`].
    fn remove(&self, path: &str) -> Result<(), Fault>;

    /// Makes a folder in one that is there; one that exists is no error.
    ///
    /// # Errors
    /// [`Fault::Missing`] when the folder above is not there.
    fn make_folder(&self, path: &str) -> Result<(), Fault>;

    /// Makes the root and what is missing above it.
    ///
    /// # Errors
    /// What the server says.
    fn make_root(&self) -> Result<(), Fault>;

    /// Whether a file can be given exactly this time.
    fn keeps_time(&self, time: Timestamp) -> bool;

    /// Room on the volume, if the server tells.
    ///
    /// # Errors
    /// What the server says.
    fn capacity(&self) -> Result<Option<Capacity>, Fault> {
        Ok(None)
    }

    /// Root of the repository, for messages.
    fn root_name(&self) -> String;

    /// A short human name of the store.
    fn display_name(&self) -> String;
}
