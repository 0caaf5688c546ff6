//! Blobs of a folder moved into other folders, while nobody uses the store.
//!
//! Half-way neither layout is right, so neither may be found: `.shards` says so in words, which this program and Kopia
//! refuse to read, and the layout to come waits in `.shards.resharding`. Whoever comes next completes the move. Nothing
//! but renames happens to blobs.
//!
//! Source: kopia `cli/command_blob_shards_modify.go`.

use super::layout::{LAYOUT_FILE, Layout, SUFFIX};
use super::{BlobId, Error, Result};
use crate::base::file;
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

/// The layout to come.
const PENDING_FILE: &str = ".shards.resharding";
/// In place of a layout, and no JSON.
const CLOSED: &[u8] =
    b"Blobs are being moved. Run the same `packhorse blob shards modify` again to complete it.\n";
const MAX_LAYOUT_BYTES: u64 = 1 << 20;
const LAYOUT_MODE: u32 = 0o600;

/// What is to be different.
#[derive(Debug, Clone, Default)]
pub struct LayoutChange {
    /// Folder widths of blobs without an override.
    pub default: Option<Vec<u32>>,
    /// Prefixes that lose their override; before others get one.
    pub removed: Vec<String>,
    /// Prefixes with folder widths of their own.
    pub overrides: Vec<(String, Vec<u32>)>,
    /// Names up to so many bytes stay in the root.
    pub max_non_sharded_length: Option<i64>,
}

/// A move of all blobs into the folders of another layout.
#[derive(Debug)]
pub struct Reshard {
    root: PathBuf,
    layout: Layout,
    /// From and to.
    moves: Vec<(PathBuf, PathBuf)>,
    unchanged: u64,
}

impl Reshard {
    /// Finds out what is to be moved in a folder, beginning from its layout, or from the one that an interrupted move was
    /// to end in. Nothing is changed.
    ///
    /// # Errors
    /// [`Error::Layout`] without a layout, [`Error::List`], and [`Error::Io`] where a file is in the way.
    pub fn plan(root: &Path, change: &LayoutChange) -> Result<Self> {
        let mut layout = match read_layout(&root.join(PENDING_FILE)) {
            Err(Error::Layout { source, .. }) if source.kind() == ErrorKind::NotFound => {
                read_layout(&root.join(LAYOUT_FILE))?
            }
            other => other?,
        };
        if let Some(widths) = &change.default {
            layout.set_default(widths.clone());
        }
        for prefix in &change.removed {
            layout.remove_override(prefix);
        }
        for (prefix, widths) in &change.overrides {
            layout.set_override(prefix, widths.clone());
        }
        if let Some(length) = change.max_non_sharded_length {
            layout.set_max_non_sharded_length(length);
        }
        let mut this = Self { root: root.to_owned(), layout, moves: Vec::new(), unchanged: 0 };
        this.look(root, "")?;
        Ok(this)
    }

    /// What is to be moved, from where to where.
    pub fn moves(&self) -> &[(PathBuf, PathBuf)] {
        &self.moves
    }

    /// Blobs that are where they should be.
    pub fn unchanged(&self) -> u64 {
        self.unchanged
    }

    fn look(&mut self, folder: &Path, prefix: &str) -> Result<()> {
        let failed = |source| Error::List { path: folder.to_owned(), source };
        let entries =
            fs::read_dir(folder).map_err(failed)?.collect::<io::Result<Vec<_>>>().map_err(failed)?;
        for entry in entries {
            let (path, name) = (entry.path(), entry.file_name());
            let Some(name) = name.to_str() else { continue };
            if entry.file_type().map_err(failed)?.is_dir() {
                self.look(&path, &format!("{prefix}{name}"))?;
            } else if let Some(rest) = name.strip_suffix(SUFFIX) {
                self.add(path, format!("{prefix}{rest}").into())?;
            }
        }
        Ok(())
    }

    fn add(&mut self, from: PathBuf, id: BlobId) -> Result<()> {
        // Somebody else's file is left where it is.
        let to = if id.is_valid() { self.root.join(self.layout.path(&id)?) } else { from.clone() };
        if from == to {
            self.unchanged += 1;
        } else if to.symlink_metadata().is_ok() {
            return Err(in_the_way(id, to));
        } else {
            self.moves.push((from, to));
        }
        Ok(())
    }

    /// Moves the blobs; how many folders were left empty and are removed. `removed` hears of these.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Sync`], [`Error::Canceled`]: the same move, planned anew, goes on.
    pub fn run(self, cancel: &AtomicBool, removed: &mut dyn FnMut(&Path)) -> Result<u64> {
        let (layout_file, pending) = (self.root.join(LAYOUT_FILE), self.root.join(PENDING_FILE));
        let layout = self.layout.to_file();
        write(&pending, &layout)?;
        write(&layout_file, CLOSED)?;
        let mut changed = BTreeSet::new();
        for (from, to) in &self.moves {
            if cancel.load(Ordering::Relaxed) {
                return Err(Error::Canceled);
            }
            self.rename(from, to)?;
            // New folders are entries of those above them.
            let above = to.ancestors().skip(1).take_while(|folder| folder.starts_with(&self.root));
            changed.extend(above.chain(from.parent()).map(Path::to_owned));
        }
        for folder in &changed {
            sync(folder)?;
        }
        write(&layout_file, &layout)?;
        fs::remove_file(&pending).map_err(|source| Error::Layout { path: pending.clone(), source })?;
        let mut count = 0;
        remove_empty(&self.root, &mut |folder| {
            count += 1;
            removed(folder);
        })?;
        sync(&self.root)?;
        Ok(count)
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        let id = || BlobId::from(from.display().to_string());
        let failed = |source| Error::Io { operation: "move", id: id(), path: to.to_owned(), source };
        if to.symlink_metadata().is_ok() {
            return Err(in_the_way(id(), to.to_owned()));
        }
        if let Some(folder) = to.parent().filter(|folder| !folder.is_dir()) {
            let mode = fs::metadata(&self.root).map_err(failed)?.permissions().mode() & 0o777;
            fs::DirBuilder::new().recursive(true).mode(mode).create(folder).map_err(failed)?;
        }
        fs::rename(from, to).map_err(failed)
    }
}

fn in_the_way(id: BlobId, path: PathBuf) -> Error {
    Error::Io { operation: "move", id, path, source: ErrorKind::AlreadyExists.into() }
}

fn read_layout(path: &Path) -> Result<Layout> {
    let failed = |source| Error::Layout { path: path.to_owned(), source };
    let mut text = Vec::new();
    File::open(path).and_then(|file| file.take(MAX_LAYOUT_BYTES).read_to_end(&mut text)).map_err(failed)?;
    Layout::parse(&text).map_err(|error| failed(error.into()))
}

fn write(path: &Path, text: &[u8]) -> Result<()> {
    file::replace(path, text, LAYOUT_MODE).map_err(|source| Error::Layout { path: path.to_owned(), source })
}

fn sync(folder: &Path) -> Result<()> {
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(|source| Error::Sync { path: folder.to_owned(), source })
}

/// Removes folders without anything in them; whether this one is empty then.
fn remove_empty(folder: &Path, removed: &mut dyn FnMut(&Path)) -> Result<bool> {
    let failed = |source| Error::List { path: folder.to_owned(), source };
    let mut is_empty = true;
    for entry in fs::read_dir(folder).map_err(failed)?.collect::<io::Result<Vec<_>>>().map_err(failed)? {
        let path = entry.path();
        let is_gone = entry.file_type().map_err(failed)?.is_dir()
            && remove_empty(&path, removed)?
            && fs::remove_dir(&path).is_ok();
        if is_gone {
            removed(&path);
        }
        is_empty &= is_gone;
    }
    Ok(is_empty)
}
