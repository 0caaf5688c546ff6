//! Temporary files that crashed writers left.
//!
//! A listing remembers those it passes by, at no cost. The next put removes the old ones among them: a file it has
//! just written says what time it is by the store's clock. A crashed writer leaves its session's marker as well, so
//! the next writer lists the packs and meets what lies beside them. Who only reads removes nothing.

use super::layout::SUFFIX;
use super::list::is_worth_a_look;
use super::{Filesystem, read};
use crate::base::Timestamp;
use crate::blob::{Error, Result};
use parking_lot::Mutex;
use rustix::io::Errno;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Younger files may belong to a writer that is alive.
const SURELY_LEFT: Duration = Duration::from_hours(24);
/// What a temporary name has behind the name of the file.
const INFIX: &str = ".tmp.";
/// Hexadecimal digits behind it.
const DIGITS: usize = 16;
/// More are not remembered; they are met again by the next listing.
const REMEMBERED_MAX: usize = 1024;

/// A temporary file that nobody will finish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leftover {
    /// Where it is.
    pub path: PathBuf,
    /// Its size in bytes.
    pub length: u64,
    /// When it was last written to, by the store's clock.
    pub timestamp: Timestamp,
}

/// Temporary files that were met.
#[derive(Debug, Default)]
pub(super) struct Met(Mutex<Vec<PathBuf>>);

impl Met {
    pub(super) fn remember(&self, path: PathBuf) {
        let mut met = self.0.lock();
        if met.len() < REMEMBERED_MAX && !met.contains(&path) {
            met.push(path);
        }
    }

    fn take(&self) -> Vec<PathBuf> {
        std::mem::take(&mut *self.0.lock())
    }
}

/// Whether a file is one of those that become a blob's file by being renamed.
pub(super) fn is_temporary(name: &str) -> bool {
    let Some((stem, digits)) = name.rsplit_once(INFIX) else { return false };
    let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    (stem.ends_with(SUFFIX) || stem == super::LAYOUT_FILE)
        && digits.len() == DIGITS
        && digits.bytes().all(is_digit)
}

impl Filesystem {
    /// Finds temporary files last written to longer ago than `older_than`, by the store's clock, and removes them unless
    /// it is a `dry_run`. Walks through all folders, and writes and removes a file to learn the time.
    ///
    /// # Errors
    /// [`Error::List`], [`Error::Root`] or [`Error::Sync`]; some of the files may be gone by then.
    pub fn sweep_leftovers(&self, older_than: Duration, dry_run: bool) -> Result<Vec<Leftover>> {
        let now = self.store_time()?;
        let mut found = Vec::new();
        let mut folders = vec![self.root.clone()];
        while let Some(folder) = folders.pop() {
            let outcome = self.retry(&folder, || temporary_files(&folder, folder == self.root));
            let (temporary, below) = outcome?;
            folders.extend(below);
            found.extend(temporary.iter().filter_map(|path| old(path, now, older_than)));
        }
        if dry_run {
            return Ok(found);
        }
        found.retain(|leftover| remove(&leftover.path));
        Ok(found)
    }

    /// Removes what listings have met, if it is old by the time of a file just written.
    pub(super) fn sweep_met(&self, written: &Path) {
        let met = self.met.take();
        if met.is_empty() {
            return;
        }
        let Ok(now) = modified(written) else { return };
        for leftover in met.iter().filter_map(|path| old(path, now, SURELY_LEFT)) {
            if remove(&leftover.path) {
                tracing::info!(path = %leftover.path.display(), "removed a file that a crashed writer left");
            }
        }
    }

    /// The time by the store's clock.
    fn store_time(&self) -> Result<Timestamp> {
        let path = self.root.join(super::LAYOUT_FILE);
        self.time_beside(&path).map_err(|source| Error::Root { path: self.root.clone(), source })
    }
}

/// Temporary files in a folder, and the folders in it that are searched for blobs.
fn temporary_files(folder: &Path, is_root: bool) -> Result<(Vec<PathBuf>, Vec<PathBuf>)> {
    let failed = |source| Error::List { path: folder.to_owned(), source };
    let (mut files, mut folders) = (Vec::new(), Vec::new());
    let entries = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound && !is_root => return Ok((files, folders)),
        entries => entries.map_err(failed)?,
    };
    for entry in entries {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        let kind = entry.file_type().map_err(failed)?;
        if kind.is_file() && is_temporary(name) {
            files.push(entry.path());
        } else if kind.is_dir() && is_worth_a_look(name, is_root) {
            folders.push(entry.path());
        }
    }
    Ok((files, folders))
}

/// A file that has not been written to for longer than `age`; none if it has, or is gone.
fn old(path: &Path, now: Timestamp, age: Duration) -> Option<Leftover> {
    let found = std::fs::symlink_metadata(path).ok().filter(std::fs::Metadata::is_file)?;
    let timestamp = read::time_of(&found);
    let is_old = now > timestamp && u128::from(now.nanos_since(timestamp).unsigned_abs()) > age.as_nanos();
    is_old.then(|| Leftover { path: path.to_owned(), length: found.size(), timestamp })
}

fn modified(path: &Path) -> io::Result<Timestamp> {
    std::fs::metadata(path).map(|found| read::time_of(&found))
}

/// Whether this call has removed the file. One that stays is met again.
fn remove(path: &Path) -> bool {
    match std::fs::remove_file(path) {
        Ok(()) => true,
        Err(error) => {
            let errno = error.raw_os_error().map(Errno::from_raw_os_error);
            if errno != Some(Errno::NOENT) {
                tracing::warn!(%error, path = %path.display(), "cannot remove a file that a crashed writer left");
            }
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_temporary_names_count() {
        for name in ["xe1.f.tmp.0123456789abcdef", ".shards.tmp.0123456789abcdef"] {
            assert!(is_temporary(name), "{name}");
        }
        for name in [
            "xe1.f",
            "xe1.tmp.0123456789abcdef",
            "xe1.f.tmp.0123456789abcde",
            "xe1.f.tmp.0123456789abcdeF",
            "xe1.f.tmp.0123456789abcdef.f",
            ".nfs000000000012345600000001",
            "notes.tmp.0123456789abcdef",
        ] {
            assert!(!is_temporary(name), "{name}");
        }
    }
}
