//! Writing and removing files.

use super::{Filesystem, Place, read, refusal};
use crate::base::file::WRITE_BYTES;
use crate::base::{Entropy, OsEntropy, Timestamp};
use crate::blob::{BlobId, Error, Result};
use rustix::fs::{Timespec, Timestamps};
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

impl Filesystem {
    /// Puts a complete file in place and marks its folder; the folder is not synced yet.
    pub(super) fn write_blob(
        &self,
        id: &BlobId,
        place: &Place,
        data: &[u8],
        set_timestamp: Option<Timestamp>,
    ) -> Result<()> {
        let written = match self.write_file(&place.file, data, set_timestamp) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => self
                .make_folder(&place.folder)
                .and_then(|()| self.write_file(&place.file, data, set_timestamp)),
            outcome => outcome,
        };
        if let Err(error) = written {
            self.check_root()?;
            return Err(match self.failed("write", id, &place.file, error) {
                // The root is there and the folder was made: somebody removed it in between.
                Error::NotFound { .. } => Error::Io {
                    operation: "write",
                    id: id.clone(),
                    path: place.file.clone(),
                    source: rustix::io::Errno::STALE.into(),
                },
                error => error,
            });
        }
        self.unsynced.mark(&place.folder);
        Ok(())
    }

    /// Replaces `path` by `data`: temporary file, write, sync, close, check, rename.
    pub(super) fn write_file(
        &self,
        path: &Path,
        data: &[u8],
        set_timestamp: Option<Timestamp>,
    ) -> io::Result<()> {
        let temporary = Temporary::beside(path);
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(self.options.file_mode_bits())
            .open(&temporary.path)?;
        write(&mut file, data)?;
        self.adorn_file(&file, &temporary.path);
        if let Some(timestamp) = set_timestamp {
            set_times(&file, timestamp)?;
        }
        file.sync_all()?;
        close_checked(file, &temporary.path, data.len() as u64)?;
        temporary.rename(path)
    }

    /// Makes a folder below the root and those above it, never the root itself; marks what changes.
    fn make_folder(&self, folder: &Path) -> io::Result<()> {
        if folder == self.root {
            return Err(io::ErrorKind::NotFound.into());
        }
        let parent = folder.parent().expect("below the root there is always a parent");
        // Before the folder can be seen: another put must know that it is not durable yet.
        self.unsynced.mark(parent);
        match self.make_one_folder(folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.make_folder(parent)?;
                self.make_one_folder(folder)
            }
            outcome => outcome,
        }
    }

    fn make_one_folder(&self, folder: &Path) -> io::Result<()> {
        match DirBuilder::new().mode(self.options.dir_mode_bits()).create(folder) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            outcome => outcome.inspect(|()| self.adorn_folder(folder)),
        }
    }

    /// Removes a file if it is there. The next barrier makes that durable too.
    pub(super) fn remove_blob(&self, id: &BlobId, place: &Place) -> Result<()> {
        match std::fs::remove_file(&place.file) {
            Ok(()) => {
                self.unsynced.mark(&place.folder);
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.check_root(),
            Err(error) => Err(self.failed("delete", id, &place.file, error)),
        }
    }

    pub(super) fn sync_outcome(&self, outcome: Result<(), (PathBuf, io::Error)>) -> Result<()> {
        outcome.map_err(|(path, source)| {
            let source = refusal::explain(&path, source);
            self.check_root().err().unwrap_or(Error::Sync { path, source })
        })
    }

    /// The time by the store's clock, of a file that is written for that beside `path` and removed.
    pub(super) fn time_beside(&self, path: &Path) -> io::Result<Timestamp> {
        let temporary = Temporary::beside(path);
        let mode = self.options.file_mode_bits();
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&temporary.path)?;
        file.write_all(b"\n")?;
        file.sync_all()?;
        Ok(read::time_of(&std::fs::metadata(&temporary.path)?))
    }
}

/// A file that is removed unless it gets its final name.
struct Temporary {
    path: PathBuf,
    is_final: bool,
}

impl Temporary {
    /// A name beside `path` that Kopia takes for a foreign file.
    fn beside(path: &Path) -> Self {
        let mut random = [0; 8];
        OsEntropy.fill(&mut random);
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".tmp.{}", hex::encode(random)));
        Self { path: name.into(), is_final: false }
    }

    fn rename(mut self, path: &Path) -> io::Result<()> {
        std::fs::rename(&self.path, path)?;
        self.is_final = true;
        Ok(())
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.is_final {
            match std::fs::remove_file(&self.path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    tracing::warn!(%error, path = %self.path.display(), "cannot remove a temporary file");
                }
                _ => {}
            }
        }
    }
}

/// Writes `data` in portions of a size that network file systems take at once.
fn write(file: &mut impl Write, data: &[u8]) -> io::Result<()> {
    data.chunks(WRITE_BYTES).try_for_each(|part| file.write_all(part))
}

fn set_times(file: &File, timestamp: Timestamp) -> io::Result<()> {
    let at = Timespec { tv_sec: timestamp.as_seconds(), tv_nsec: timestamp.subsecond_nanos().into() };
    Ok(rustix::fs::futimens(file, &Timestamps { last_access: at, last_modification: at })?)
}

/// Closes a synced file and makes sure that it kept its bytes.
///
/// Safe Rust has no close that reports errors. The sync before leaves nothing for the close to fail on, and the length
/// under the path, asked for after the close, is what a network file system answers for the file as the server has it.
fn close_checked(file: File, path: &Path, length: u64) -> io::Result<()> {
    drop(file);
    let kept = std::fs::metadata(path)?.len();
    if kept == length {
        return Ok(());
    }
    // Of the class that is worth another try.
    let message = format!("the file system kept {kept} of {length} bytes");
    Err(io::Error::new(io::ErrorKind::TimedOut, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes a few bytes at a time and is interrupted in between.
    struct Slow(Vec<u8>, usize);

    impl Write for Slow {
        fn write(&mut self, data: &[u8]) -> io::Result<usize> {
            self.1 += 1;
            if self.1.is_multiple_of(2) {
                return Err(io::ErrorKind::Interrupted.into());
            }
            let taken = data.len().min(3);
            self.0.extend_from_slice(&data[..taken]);
            Ok(taken)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn short_writes_lose_nothing() {
        let mut slow = Slow(Vec::new(), 0);
        write(&mut slow, b"abcdefghijklmnopq").unwrap();
        write(&mut slow, b"").unwrap();
        assert_eq!(slow.0, b"abcdefghijklmnopq");
        let mut full: &mut [u8] = &mut [0; 2];
        assert_eq!(write(&mut full, b"abc").unwrap_err().kind(), io::ErrorKind::WriteZero);
    }

    #[test]
    fn a_file_that_lost_bytes_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        for (length, is_whole) in [(0, true), (1, false)] {
            let file = OpenOptions::new().write(true).create(true).truncate(true).open(&path).unwrap();
            assert_eq!(close_checked(file, &path, length).is_ok(), is_whole);
        }
    }

    #[test]
    fn temporary_names_are_kopias() {
        let temporary = Temporary::beside(Path::new("/r/p/012/3.f"));
        let name = temporary.path.to_str().unwrap();
        let random = name.strip_prefix("/r/p/012/3.f.tmp.").unwrap();
        assert!(
            random.len() == 16 && random.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')),
            "{name}"
        );
    }
}
