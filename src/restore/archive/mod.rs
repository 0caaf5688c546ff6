//! From a snapshot to an archive: one file that other programs read.
//!
//! One thread walks the snapshot and reads ahead, the other writes. What is read ahead is a batch: the next entries in
//! the order in which they will stand in the archive, with contents of an eighth of the memory budget, read pack by pack
//! by all workers. One batch is being written while the next is being read, so a quarter of the budget is in use,
//! however large the files are.
//!
//! ```text
//! walk ──steps──► batch ──read by pack──► writer ──► tar or zip ──► temporary file ──► its name
//! ```
//!
//! Invariants:
//! - **A1** the archive has its name only when it is complete and on the medium; one that failed or was canceled is not
//!   there;
//! - **A2** every name in it is made of plain names, in the order directory, its special files, its files, its
//!   directories;
//! - **A3** nothing is begun that cannot be ended: with [`RestoreOptions::ignore_errors`] a file of several contents is
//!   read once to see that it is whole before its header is written, because nothing can be taken back.
//!
//! Where this differs from Kopia, on purpose:
//! - Kopia's zips have files only; here they have directories and symbolic links, too, as Info-ZIP stores them.
//! - Kopia writes Go's numbers for modes into tars; here they are POSIX's. Times are exact.
//! - Tars have hard links, special files and extended attributes (`SCHILY.xattr.*`), as GNU tar stores them.
//! - Directories have their own time, as in all restores.
//!
//! Owners, permissions and times are in every archive; as in Kopia's, what skips them has no meaning here.
//!
//! Source: kopia `snapshot/restore/{tar,zip}_output.go`.

mod batch;
mod member;
mod pax;
mod sink;
mod tar;
mod walk;
mod writer;
mod zip;

use super::directory::open_target;
use super::new_file::NewFile;
use super::node::{Node, Place};
use super::run::Run;
use super::{Error, RestoreOptions, RestoreStats, Result};
use crate::base::Monitor;
use crate::repo::Repository;
use crate::snapshot::DirEntry;
use rustix::fs::FileType;
use rustix::io::Errno;
use sink::Sink;
use std::fs::File;
use std::path::Path;

/// What an archive is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ArchiveFormat {
    /// A zip, deflated.
    Zip,
    /// A zip that is not compressed.
    StoredZip,
    /// A tar.
    Tar,
    /// A tar in gzip.
    GzippedTar,
}

impl ArchiveFormat {
    /// What a name asks for by how it ends.
    pub fn of_name(name: &str) -> Option<Self> {
        let suffixes = [
            (".zip", Self::Zip),
            (".tar", Self::Tar),
            (".tar.gz", Self::GzippedTar),
            (".tgz", Self::GzippedTar),
        ];
        suffixes.into_iter().find(|(suffix, _)| name.ends_with(suffix)).map(|(_, format)| format)
    }

    fn create(self, file: File) -> Box<dyn Sink> {
        match self {
            Self::Zip => Box::new(zip::ZipSink::new(file, true)),
            Self::StoredZip => Box::new(zip::ZipSink::new(file, false)),
            Self::Tar => Box::new(tar::TarSink::new(file, false)),
            Self::GzippedTar => Box::new(tar::TarSink::new(file, true)),
        }
    }
}

/// Restores `entry`, the root of a snapshot or anything below it, into the new archive `target`, which only its owner
/// may read.
///
/// The members of a directory are the archive's uppermost entries. What is at `target` is replaced if the options
/// allow it; missing directories above are made.
///
/// # Errors
/// The first failure that is not ignored, with the path that the entry would have below the archive's. There is no
/// archive then.
pub fn restore_archive(
    repository: &Repository,
    entry: &DirEntry,
    target: &Path,
    format: ArchiveFormat,
    options: &RestoreOptions,
    monitor: &dyn Monitor,
) -> Result<RestoreStats> {
    let run = Run::new(repository, options, monitor);
    run.check_canceled()?;
    let failed =
        |errno: Errno| Error::File { operation: "create", path: target.to_owned(), source: errno.into() };
    let name = target.file_name().and_then(|name| name.to_str()).ok_or_else(|| failed(Errno::INVAL))?;
    let parent = target.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let (directory, fresh) = open_target(parent)?;
    let node = Node::root(directory.clone(), parent, None, fresh, &run.open_count);
    let place = Place { node: &node, name };
    let found = directory.stat(name).map_err(place.failed("look at"))?;
    if let Some(stat) = &found {
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile | FileType::Symlink | FileType::Directory => {
                run.check_replace(&place, stat)?;
            }
            _ => return Err(Error::InTheWay { path: place.path(), found: "a special file" }),
        }
    }
    let file = NewFile::create(&directory, &run.temporary_names).map_err(failed)?;
    let copy = file.fd().try_clone().map_err(|source| {
        let path = target.to_owned();
        Error::File { operation: "open", path, source }
    })?;
    writer::write(&run, entry, target, format.create(File::from(copy)))?;
    rustix::fs::fsync(file.fd()).map_err(place.failed("flush"))?;
    run.check_canceled()?;
    file.keep(name, found.is_some() || options.overwrite_files).map_err(place.failed("name"))?;
    rustix::fs::fsync(directory.fd()).map_err(place.failed("flush the directory of"))?;
    Ok(run.into_stats())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_name_tells_the_format() {
        for (name, format) in [
            ("a.zip", Some(ArchiveFormat::Zip)),
            ("a.tar", Some(ArchiveFormat::Tar)),
            ("a.tar.gz", Some(ArchiveFormat::GzippedTar)),
            ("/x/a.tgz", Some(ArchiveFormat::GzippedTar)),
            ("a.ZIP", None),
            ("a.gz", None),
            ("zip", None),
        ] {
            assert_eq!(ArchiveFormat::of_name(name), format, "{name}");
        }
    }
}
