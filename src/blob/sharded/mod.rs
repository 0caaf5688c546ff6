//! Blobs as files of another machine, laid out as in a folder: the same repository may be reached as a folder, by SFTP
//! and by WebDAV.
//!
//! Invariants:
//! - **H1** a final name appears in one step, bound to a complete file ([`Files::write`]);
//! - **H2** the root is made when a repository is created and by nothing else;
//! - **H3** that a blob is missing is believed only as long as the root is there;
//! - **H4** names of the server's files are untrusted: what is no name of a blob or a folder of blobs is passed over.
//!
//! Source: kopia `repo/blob/sharded/sharded.go`.

mod files;
mod list;
mod options;

pub(super) use files::{Entry, Files};
pub(super) use options::{ShardOptions, nullable};

use super::layout::{self, LAYOUT_FILE, Layout, MAX_LAYOUT_BYTES};
use super::remote::{Cause, Fault};
use super::storage::check_name;
use super::{
    BlobId, BlobMetadata, ByteRange, Capacity, Error, OpenMode, PutOptions, REMOTE_PARALLELISM, Result,
    Storage,
};
use crate::base::Clock;
use bytes::Bytes;
use std::fmt;
use std::io::{Error as IoError, ErrorKind};
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

/// A store over files of another machine.
pub(super) struct Sharded<F> {
    files: F,
    options: ShardOptions,
    is_new: bool,
    layout: OnceLock<Layout>,
    clock: Arc<dyn Clock>,
}

impl<F: Files> Sharded<F> {
    /// Opens a store; makes its root if a repository is about to be created.
    ///
    /// # Errors
    /// [`Error::Remote`], of class `NoRepository` when the root is missing.
    pub(super) fn open(
        files: F,
        options: ShardOptions,
        mode: OpenMode,
        clock: Arc<dyn Clock>,
    ) -> Result<Self> {
        let is_new = mode == OpenMode::Create;
        let store = Self { files, options, is_new, layout: OnceLock::new(), clock };
        match store.files.stat("") {
            Err(Fault::Missing) if is_new => {
                store
                    .files
                    .make_root()
                    .map_err(|fault| store.failed("make", &store.files.root_name(), fault))?;
            }
            Err(fault) => return Err(store.root_failed(fault)),
            Ok(root) if !root.is_folder => return Err(store.root_failed(Fault::Missing)),
            Ok(_) => {}
        }
        Ok(store)
    }

    fn root_failed(&self, fault: Fault) -> Error {
        let fault = match fault {
            Fault::Missing => Cause::NoRoot { path: self.files.root_name() }.into(),
            fault => fault,
        };
        self.failed("open", &self.files.root_name(), fault)
    }

    fn check_root(&self) -> Result<()> {
        self.files.stat("").map(|_| ()).map_err(|fault| self.root_failed(fault))
    }

    fn failed(&self, operation: &'static str, subject: &str, fault: Fault) -> Error {
        let cause = match fault {
            Fault::Cause(cause) => cause,
            Fault::Missing | Fault::Range => Cause::NoRoot { path: self.files.root_name() },
        };
        tracing::debug!(operation, subject, %cause, "request failed");
        Error::Remote { operation, subject: subject.to_owned(), cause }
    }

    fn blob_error(
        &self,
        operation: &'static str,
        id: &BlobId,
        range: Option<ByteRange>,
        fault: Fault,
    ) -> Error {
        match (fault, range) {
            (Fault::Missing, _) => {
                self.check_root().err().unwrap_or_else(|| Error::NotFound { id: id.clone() })
            }
            (Fault::Range, Some(range)) => Error::InvalidRange { id: id.clone(), range },
            (fault, _) => self.failed(operation, &format!("blob {id}"), fault),
        }
    }

    fn path(&self, id: &BlobId, may_store_layout: bool) -> Result<String> {
        check_name(id)?;
        let path = self.layout(may_store_layout)?.path(id)?;
        path.into_os_string().into_string().map_err(|_| Error::InvalidName { name: id.as_str().to_owned() })
    }

    /// The layout: read once, written first if there is none and that is allowed.
    fn layout(&self, may_store: bool) -> Result<Layout> {
        if let Some(layout) = self.layout.get() {
            return Ok(layout.clone());
        }
        let layout = match self.load_layout()? {
            Some(layout) => layout,
            None if may_store => self.store_layout()?,
            // Not remembered: another client may give the store its layout in the meantime.
            None => return Ok(self.default_layout()),
        };
        Ok(self.layout.get_or_init(|| layout).clone())
    }

    fn default_layout(&self) -> Layout {
        Layout::of_widths(&layout::default_widths(self.options.dir_shards.as_deref(), self.is_new))
    }

    fn load_layout(&self) -> Result<Option<Layout>> {
        let found = match self.files.stat(LAYOUT_FILE) {
            Err(Fault::Missing) => return self.check_root().map(|()| None),
            Err(fault) => return Err(self.failed("read", LAYOUT_FILE, fault)),
            Ok(found) => found,
        };
        let unusable = |source: IoError| Error::Layout { path: PathBuf::from(LAYOUT_FILE), source };
        if found.length > MAX_LAYOUT_BYTES {
            return Err(unusable(IoError::new(ErrorKind::InvalidData, "it is far too large")));
        }
        match self.files.read(LAYOUT_FILE, None) {
            Ok(text) => Layout::parse(&text).map(Some).map_err(|error| unusable(error.into())),
            Err(Fault::Missing) => Ok(None),
            Err(fault) => Err(self.failed("read", LAYOUT_FILE, fault)),
        }
    }

    /// Writes the default layout. Failing to is survivable: whoever comes next falls back on the same.
    fn store_layout(&self) -> Result<Layout> {
        let layout = self.default_layout();
        if let Err(fault) = self.files.write(LAYOUT_FILE, layout.to_file().into(), None) {
            self.check_root()?;
            let error = self.failed("write", LAYOUT_FILE, fault);
            tracing::warn!(%error, "cannot store the layout of the repository");
            return Ok(layout);
        }
        // Another client may have stored one at the same moment; what lies there now is what counts.
        Ok(self.load_layout()?.unwrap_or(layout))
    }

    /// Makes the folders above a file, from the root down.
    fn make_folders(&self, path: &str) -> Result<(), Fault> {
        path.match_indices('/').try_for_each(|(at, _)| self.files.make_folder(&path[..at]))
    }

    fn write(&self, path: &str, data: &Bytes, options: PutOptions) -> Result<(), Fault> {
        match self.files.write(path, data.clone(), options.set_timestamp) {
            Err(Fault::Missing) => {
                self.make_folders(path)?;
                self.files.write(path, data.clone(), options.set_timestamp)
            }
            outcome => outcome,
        }
    }

    fn read(&self, path: &str, range: Option<ByteRange>) -> Result<Vec<u8>, Fault> {
        let Some(asked) = range else { return self.files.read(path, None).map(Vec::from) };
        if asked.length == 0 {
            return self.files.stat(path).map(|_| Vec::new());
        }
        // Ranges come out of index files: what no file has is not asked for.
        if asked.offset.checked_add(asked.length).is_none_or(|end| i64::try_from(end).is_err()) {
            self.files.stat(path)?;
            return Err(Fault::Range);
        }
        let data = self.files.read(path, range)?;
        if data.len() as u64 == asked.length { Ok(data.into()) } else { Err(Fault::Range) }
    }
}

impl<F: Files> Storage for Sharded<F> {
    fn get(&self, id: &BlobId, range: Option<ByteRange>) -> Result<Vec<u8>> {
        let path = self.path(id, self.is_new)?;
        self.read(&path, range).map_err(|fault| self.blob_error("read", id, range, fault))
    }

    fn parallelism(&self) -> usize {
        REMOTE_PARALLELISM
    }

    fn metadata(&self, id: &BlobId) -> Result<BlobMetadata> {
        let path = self.path(id, self.is_new)?;
        let found = self.files.stat(&path).map_err(|fault| self.blob_error("look at", id, None, fault))?;
        Ok(BlobMetadata { id: id.clone(), length: found.length, timestamp: found.timestamp })
    }

    fn put(&self, id: &BlobId, data: Bytes, options: PutOptions) -> Result<()> {
        if options.retention.is_some() {
            return Err(Error::Unsupported { option: "object lock" });
        }
        if options.set_timestamp.is_some_and(|time| !self.files.keeps_time(time)) {
            return Err(Error::Unsupported { option: "setting times of blobs" });
        }
        let path = self.path(id, true)?;
        self.write(&path, &data, options).map_err(|fault| {
            // The folder was made, so only the root can be missing, or somebody removes folders.
            let fault = match fault {
                Fault::Missing => Cause::Reset.into(),
                fault => fault,
            };
            self.check_root().err().unwrap_or_else(|| self.failed("write", &format!("blob {id}"), fault))
        })
    }

    fn delete(&self, id: &BlobId) -> Result<()> {
        let path = self.path(id, self.is_new)?;
        match self.files.remove(&path) {
            Ok(()) => Ok(()),
            Err(Fault::Missing) => self.check_root(),
            Err(fault) => Err(self.failed("delete", &format!("blob {id}"), fault)),
        }
    }

    fn list(&self, prefix: &str, visit: &mut dyn FnMut(BlobMetadata) -> Result<()>) -> Result<()> {
        self.list_blobs(prefix, visit)
    }

    fn capacity(&self) -> Result<Option<Capacity>> {
        self.files.capacity().map_err(|fault| self.failed("ask for room in", &self.files.root_name(), fault))
    }

    fn display_name(&self) -> String {
        self.files.display_name()
    }
}

impl<F: Files> fmt::Debug for Sharded<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sharded").field("files", &self.files).finish_non_exhaustive()
    }
}
