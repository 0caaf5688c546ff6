//! Blobs as files, laid out as Kopia lays them out.
//!
//! A blob is one file whose name ends in `.f`, in folders cut from its name as the file `.shards` says. Anything else
//! under the root is foreign and passed over, except that the folders are searched.
//!
//! Invariants:
//! - **F1** a final name only ever appears by renaming a file that is complete, synced and of the right length;
//! - **F2** the root is made by [`Filesystem::create`] and by nothing else, so an unmounted volume is never filled;
//! - **F3** every folder whose entries changed is marked before the change is relied on, and unmarked by a sync that
//!   began later;
//! - **F4** no lock is held while the file system is asked for anything;
//! - **F5** no name, however hostile, leads outside the root.
//!
//! Differences from Kopia: folders are synced after renames; times and owners are set before the rename; a store opened
//! for connecting that has no `.shards` gets one from its first put instead of its first read.
//!
//! Source: kopia `repo/blob/filesystem/filesystem_storage.go`, `repo/blob/sharded/sharded.go`.

mod leftovers;
mod list;
mod mounted;
mod options;
mod ownership;
mod patience;
mod read;
mod refusal;
mod unsynced;
mod waiting;
mod write;

pub use leftovers::Leftover;
pub use mounted::require_mount;
pub use options::FilesystemOptions;

use super::backoff::Backoff;
use super::layout::{self, LAYOUT_FILE, Layout, MAX_LAYOUT_BYTES};
use super::storage::check_name;
use super::{BlobId, BlobMetadata, ByteRange, Capacity, Durability, Error, PutOptions, Result, Storage};
use crate::base::Clock;
use bytes::Bytes;
use rustix::io::Errno;
use std::fmt;
use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};
use unsynced::Unsynced;
use waiting::Waiting;

/// Attempts of a call; their pauses add up to 0.8 s. Each begins with the path, so that a stale handle is left behind.
const ATTEMPTS: Backoff = Backoff::of_attempts(5);
/// What the file that was set aside is called behind its name. Neither this program nor Kopia takes it for a blob.
const DAMAGED_SUFFIX: &str = ".damaged";

/// A store in a folder.
pub struct Filesystem {
    root: PathBuf,
    options: FilesystemOptions,
    /// For a store without a `.shards` file.
    default_widths: Vec<u32>,
    /// Whether looking for a blob may already write the `.shards` file.
    is_new: bool,
    layout: OnceLock<Layout>,
    unsynced: Unsynced,
    met: leftovers::Met,
    patience: patience::Patience,
    waiting: Waiting,
    /// Whether it has been said that files cannot be given the owner or mode asked for.
    has_warned: AtomicBool,
    clock: Arc<dyn Clock>,
}

/// Where a blob lives.
struct Place {
    folder: PathBuf,
    file: PathBuf,
}

impl Filesystem {
    /// Opens a store for a repository about to be created; makes the root folder if need be.
    ///
    /// # Errors
    /// [`Error::Root`] when the root cannot be made or is no folder, or when it should be a mounted volume and is not.
    pub fn create(options: FilesystemOptions, clock: Arc<dyn Clock>) -> Result<Self> {
        let root = options.path.clone();
        let failed = |source| Error::Root { path: root.clone(), source: refusal::explain(&root, source) };
        check_absolute(&root)?;
        mounted::check_marker(&root)?;
        mounted::check_tables(&root)?;
        let missing: Vec<_> = root.ancestors().take_while(|folder| !folder.exists()).collect();
        DirBuilder::new().recursive(true).mode(options.dir_mode_bits()).create(&root).map_err(failed)?;
        for parent in missing.iter().filter_map(|folder| folder.parent()) {
            // Best effort: a parent may be closed to reading, and the root may lie on a volume of its own.
            if let Err(error) = unsynced::sync_folder(parent) {
                tracing::debug!(%error, folder = %parent.display(), "cannot sync the folder of a new store");
            }
        }
        let store = Self::new(options, clock, true)?;
        for folder in &missing {
            store.adorn_folder(folder);
        }
        Ok(store)
    }

    /// Opens a store that exists.
    ///
    /// # Errors
    /// [`Error::Root`] when the root is missing or no folder.
    pub fn open(options: FilesystemOptions, clock: Arc<dyn Clock>) -> Result<Self> {
        check_absolute(&options.path)?;
        mounted::check_marker(&options.path)?;
        Self::new(options, clock, false)
    }

    fn new(options: FilesystemOptions, clock: Arc<dyn Clock>, is_new: bool) -> Result<Self> {
        let store = Self {
            root: options.path.clone(),
            default_widths: layout::default_widths(options.dir_shards.as_deref(), is_new),
            options,
            is_new,
            layout: OnceLock::new(),
            unsynced: Unsynced::default(),
            met: leftovers::Met::default(),
            patience: patience::Patience::default(),
            waiting: Waiting::new(),
            has_warned: AtomicBool::new(false),
            clock,
        };
        store.retry(&store.root, || store.check_root())?;
        Ok(store)
    }

    /// The options it was opened with.
    pub fn options(&self) -> &FilesystemOptions {
        &self.options
    }

    fn check_root(&self) -> Result<()> {
        let failed =
            |source| Error::Root { path: self.root.clone(), source: refusal::explain(&self.root, source) };
        if std::fs::metadata(&self.root).map_err(failed)?.is_dir() {
            Ok(())
        } else {
            Err(failed(Errno::NOTDIR.into()))
        }
    }

    /// Calls `operation`, which may wait for `path`, until it succeeds or has failed often enough.
    fn retry<T>(&self, path: &Path, operation: impl FnMut() -> Result<T>) -> Result<T> {
        self.waiting.watch(path, || ATTEMPTS.run(&*self.clock, operation))
    }

    /// The error of a failed call on the blob `id`.
    fn failed(&self, operation: &'static str, id: &BlobId, path: &Path, source: io::Error) -> Error {
        if source.raw_os_error() == Some(Errno::NAMETOOLONG.raw_os_error()) {
            return Error::InvalidName { name: id.as_str().to_owned() };
        }
        if source.kind() == io::ErrorKind::NotFound {
            return self.check_root().err().unwrap_or_else(|| Error::NotFound { id: id.clone() });
        }
        // What is written or deleted is an entry of the folder, and the folder refuses.
        let asked = if matches!(operation, "write" | "delete" | "set aside") { path.parent() } else { None };
        let source = refusal::explain(asked.unwrap_or(path), source);
        Error::Io { operation, id: id.clone(), path: path.to_owned(), source }
    }

    /// Takes a damaged blob out of sight: its file is renamed, and no longer listed by this program or by Kopia.
    /// Returns where it is.
    ///
    /// # Errors
    /// [`Error::NotFound`], or what the medium says.
    pub fn set_aside(&self, id: &BlobId) -> Result<PathBuf> {
        let place = self.place(id, false)?;
        let mut aside = place.file.clone().into_os_string();
        aside.push(DAMAGED_SUFFIX);
        let aside = PathBuf::from(aside);
        self.retry(&place.file, || {
            let renamed = std::fs::rename(&place.file, &aside);
            renamed.map_err(|error| self.failed("set aside", id, &place.file, error))
        })?;
        self.unsynced.mark(&place.folder);
        self.sync_outcome(self.unsynced.sync_up(&place.folder, &self.root))?;
        Ok(aside)
    }

    fn place(&self, id: &BlobId, may_store_layout: bool) -> Result<Place> {
        check_name(id)?;
        let file = self.root.join(self.layout(may_store_layout)?.path(id)?);
        let folder = file.parent().expect("it has at least the root above it").to_owned();
        Ok(Place { folder, file })
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
            None => return Ok(Layout::of_widths(&self.default_widths)),
        };
        Ok(self.layout.get_or_init(|| layout).clone())
    }

    fn load_layout(&self) -> Result<Option<Layout>> {
        let path = self.root.join(LAYOUT_FILE);
        let failed = |source| Error::Layout { path: path.clone(), source: refusal::explain(&path, source) };
        self.retry(&path, || match read::whole_file(&path, MAX_LAYOUT_BYTES) {
            Ok(text) => Layout::parse(&text).map(Some).map_err(|error| failed(error.into())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.check_root().map(|()| None),
            Err(error) => Err(failed(error)),
        })
    }

    /// Writes the default layout. Failing to is survivable: whoever comes next falls back on the same.
    fn store_layout(&self) -> Result<Layout> {
        let layout = Layout::of_widths(&self.default_widths);
        let path = self.root.join(LAYOUT_FILE);
        let text = layout.to_file();
        let stored = self.write_file(&path, &text, None).and_then(|()| {
            self.unsynced.mark(&self.root);
            self.unsynced.sync_up(&self.root, &self.root).map_err(|(_, error)| error)
        });
        if let Err(error) = stored {
            self.check_root()?;
            tracing::warn!(%error, path = %path.display(), "cannot store the layout of the repository folder");
            return Ok(layout);
        }
        // Another client may have stored one at the same moment; what lies there now is what counts.
        Ok(self.load_layout()?.unwrap_or(layout))
    }
}

impl Storage for Filesystem {
    fn get(&self, id: &BlobId, range: Option<ByteRange>) -> Result<Vec<u8>> {
        let place = self.place(id, self.is_new)?;
        self.get_patiently(id, &place, range)
    }

    fn metadata(&self, id: &BlobId) -> Result<BlobMetadata> {
        let place = self.place(id, self.is_new)?;
        self.retry(&place.file, || self.stat_blob(id, &place.file))
    }

    fn put(&self, id: &BlobId, data: Bytes, options: PutOptions) -> Result<()> {
        if options.retention.is_some() {
            return Err(Error::Unsupported { option: "object lock" });
        }
        let place = self.place(id, true)?;
        self.retry(&place.file, || {
            self.write_blob(id, &place, &data, options.set_timestamp)?;
            match options.durability {
                Durability::Now => self.sync_outcome(self.unsynced.sync_up(&place.folder, &self.root)),
                Durability::AtBarrier => Ok(()),
            }
        })?;
        if options.set_timestamp.is_none() {
            self.sweep_met(&place.file);
        }
        Ok(())
    }

    fn barrier(&self) -> Result<()> {
        self.waiting.watch(&self.root, || self.sync_outcome(self.unsynced.sync_all()))
    }

    fn adopt(&self, id: &BlobId) -> Result<()> {
        let folder = self.place(id, false)?.folder;
        // Whoever made the folder may not have synced the ones above it either.
        for folder in folder.ancestors().take_while(|folder| folder.starts_with(&self.root)) {
            self.unsynced.mark(folder);
        }
        Ok(())
    }

    fn delete(&self, id: &BlobId) -> Result<()> {
        let place = self.place(id, self.is_new)?;
        self.retry(&place.file, || self.remove_blob(id, &place))
    }

    fn list(&self, prefix: &str, visit: &mut dyn FnMut(BlobMetadata) -> Result<()>) -> Result<()> {
        self.list_blobs(prefix, visit)
    }

    fn capacity(&self) -> Result<Option<Capacity>> {
        let failed = |errno: Errno| Error::Root { path: self.root.clone(), source: errno.into() };
        let volume = self.retry(&self.root, || rustix::fs::statvfs(&self.root).map_err(failed))?;
        Ok(Some(Capacity {
            total_bytes: volume.f_blocks.saturating_mul(volume.f_frsize),
            available_bytes: volume.f_bavail.saturating_mul(volume.f_frsize),
        }))
    }

    fn display_name(&self) -> String {
        format!("Filesystem: {}", self.root.display())
    }
}

impl fmt::Debug for Filesystem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Filesystem").field("root", &self.root).finish_non_exhaustive()
    }
}

/// A relative root would move with the working directory.
fn check_absolute(root: &Path) -> Result<()> {
    if root.is_absolute() {
        return Ok(());
    }
    let source = io::Error::new(io::ErrorKind::InvalidInput, "its path is not absolute");
    Err(Error::Root { path: root.to_owned(), source })
}
