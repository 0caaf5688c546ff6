//! An open directory of the live tree: everything below is reached relative to it.
//!
//! Calls relative to a descriptor cost the kernel one name instead of a whole path, work below paths longer than
//! `PATH_MAX`, and cannot be led elsewhere by a directory that is swapped for a link meanwhile.

use super::{Entry, EntryKind, Error, Listed, Names, Result, SpecialKind};
use crate::base::gojson;
use parking_lot::Mutex;
use rustix::fs::{AtFlags, CWD, Mode, OFlags, Stat};
use rustix::io::Errno;
use std::fs::File;
use std::io::Seek;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Names that are looked at before the first of them is handed out.
const STAT_AT_ONCE: usize = 1024;

/// An open directory. Clones share the descriptor, which closes with the last of them.
#[derive(Debug, Clone)]
pub struct Directory {
    open: Arc<Open>,
}

#[derive(Debug)]
struct Open {
    fd: OwnedFd,
    /// A descriptor has one reading position: two listings at once would each see a part.
    listing: Mutex<()>,
}

impl Directory {
    /// Opens the root of a walk. If `path` itself is a symbolic link, its target is the root and gives the name, as
    /// in Kopia's command line.
    ///
    /// # Errors
    /// [`Error::Root`], with `ENOTDIR` if the path is no directory (see [`open_single`]).
    ///
    /// Source: kopia `cli/config.go` (`getLocalFSEntry`), `fs/localfs/local_fs_os.go` (`NewEntry`).
    pub fn open_root(path: &Path) -> Result<(Self, Entry)> {
        let open = || {
            let path = resolve(path)?;
            let directory = Self::open_at(&path)?;
            let stat = rustix::fs::fstat(&directory.open.fd)?;
            let name = path.file_name().map_or(path.as_os_str(), |name| name);
            Ok((directory, Entry::from_stat(name.as_bytes(), &stat)))
        };
        open().map_err(|source| Error::Root { path: path.to_owned(), source })
    }

    fn new(fd: OwnedFd) -> Self {
        Self { open: Arc::new(Open { fd, listing: Mutex::new(()) }) }
    }

    fn open_at(path: &Path) -> std::io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(CWD, path, flags, Mode::empty())?;
        Ok(Self::new(fd))
    }

    /// The names of all members except `.` and `..`.
    ///
    /// # Errors
    /// [`Error::List`] if reading fails midway.
    pub fn names(&self) -> Result<Names> {
        let _alone = self.open.listing.lock();
        Names::read(&self.open.fd)
    }

    /// The members that `names` has, in its order, stat'ed piece by piece: 80 bytes and a name for each of the 1024 of a
    /// piece. Those that have vanished are left out; a refused stat is a [`Listed::Failed`].
    ///
    /// A piece is [`Error::Entry`] if a stat fails otherwise.
    pub fn members<'a>(&'a self, names: &'a Names) -> impl Iterator<Item = Result<Vec<Listed>>> + 'a {
        (0..names.len())
            .step_by(STAT_AT_ONCE)
            .map(|start| names.stat(&self.open.fd, start..names.len().min(start + STAT_AT_ONCE)))
    }

    /// Opens a sub-directory; never through a link.
    ///
    /// # Errors
    /// [`Error::Entry`].
    pub fn open_directory(&self, name: &[u8]) -> Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(&self.open.fd, name, flags, Mode::empty())
            .map_err(|errno| entry_error("open", name, errno))?;
        Ok(Self::new(fd))
    }

    /// Opens a regular file for reading; never through a link, and never waiting for the other end of a FIFO.
    ///
    /// # Errors
    /// [`Error::Entry`]; [`Error::NotAFile`] if it is something else by now: such a thing must not be stored as an
    /// empty file.
    pub fn open_file(&self, name: &[u8]) -> Result<File> {
        self.open_regular(name, OFlags::NOFOLLOW)
    }

    /// Opens the regular file a link leads to, wherever that is. Only ignore files are read so.
    ///
    /// # Errors
    /// Those of [`Directory::open_file`].
    pub(super) fn open_linked_file(&self, name: &[u8]) -> Result<File> {
        // Looked at before it is opened: opening a device can do things.
        let stat = rustix::fs::statat(&self.open.fd, name, AtFlags::empty())
            .map_err(|errno| entry_error("resolve", name, errno))?;
        check_regular(name, &stat)?;
        self.open_regular(name, OFlags::empty())
    }

    fn open_regular(&self, name: &[u8], more: OFlags) -> Result<File> {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC | more;
        let fd = rustix::fs::openat(&self.open.fd, name, flags, Mode::empty())
            .map_err(|errno| entry_error("open", name, errno))?;
        let stat = rustix::fs::fstat(&fd).map_err(|errno| entry_error("stat", name, errno))?;
        check_regular(name, &stat)?;
        Ok(File::from(fd))
    }

    /// The target of a symbolic link, as raw bytes.
    ///
    /// # Errors
    /// [`Error::Entry`].
    pub fn read_link(&self, name: &[u8]) -> Result<Vec<u8>> {
        let target = rustix::fs::readlinkat(&self.open.fd, name, Vec::new())
            .map_err(|errno| entry_error("read the link", name, errno))?;
        Ok(target.into_bytes())
    }

    /// The metadata of one member; of the link itself if it is one. `name` may be a path below the directory.
    ///
    /// # Errors
    /// [`Error::Entry`]; [`Error::is_not_found`] tells absence.
    pub fn stat(&self, name: &[u8]) -> Result<Entry> {
        let stat = rustix::fs::statat(&self.open.fd, name, AtFlags::SYMLINK_NOFOLLOW)
            .map_err(|errno| entry_error("stat", name, errno))?;
        Ok(Entry::from_stat(name, &stat))
    }

    /// The metadata of a member that is no file, directory or link, and what it is; `None` if it is one by now, or
    /// something newer than this.
    ///
    /// # Errors
    /// [`Error::Entry`].
    pub fn special(&self, name: &[u8]) -> Result<Option<(Entry, SpecialKind)>> {
        let stat = rustix::fs::statat(&self.open.fd, name, AtFlags::SYMLINK_NOFOLLOW)
            .map_err(|errno| entry_error("stat", name, errno))?;
        Ok(SpecialKind::of(&stat).map(|kind| (Entry::from_stat(name, &stat), kind)))
    }
}

impl AsFd for Directory {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.open.fd.as_fd()
    }
}

/// Opens the directory that holds a single file given as the root of a walk, with the file's entry; its name opens it
/// through [`Directory::open_file`]. A link is resolved as in [`Directory::open_root`].
///
/// # Errors
/// [`Error::Root`].
pub fn open_single(path: &Path) -> Result<(Directory, Entry)> {
    let open = || {
        let path = resolve(path)?;
        let name = path.file_name().ok_or(Errno::ISDIR)?;
        let parent = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let directory = Directory::open_at(parent)?;
        let stat = rustix::fs::statat(&directory.open.fd, name, AtFlags::SYMLINK_NOFOLLOW)?;
        Ok((directory, Entry::from_stat(name.as_bytes(), &stat)))
    };
    open().map_err(|source| Error::Root { path: path.to_owned(), source })
}

/// Opens a block device given as the root of a walk, with the directory it is named in: a file as long as the device.
///
/// # Errors
/// [`Error::Root`].
pub fn open_block_device(path: &Path) -> Result<(Directory, Entry, File)> {
    let (directory, entry) = open_single(path)?;
    let open = || {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut device =
            File::from(rustix::fs::openat(&directory.open.fd, &*entry.name, flags, Mode::empty())?);
        if !device.metadata()?.file_type().is_block_device() {
            return Err(Errno::NOTBLK.into());
        }
        let size = device.seek(std::io::SeekFrom::End(0))?;
        device.rewind()?;
        Ok((device, size))
    };
    let (device, size) = open().map_err(|source| Error::Root { path: path.to_owned(), source })?;
    Ok((directory, Entry { kind: EntryKind::File, size, ..entry }, device))
}

/// The path itself, or where it leads if its last component is a link.
fn resolve(path: &Path) -> std::io::Result<PathBuf> {
    if std::fs::symlink_metadata(path)?.is_symlink() { path.canonicalize() } else { Ok(path.to_owned()) }
}

fn check_regular(name: &[u8], stat: &Stat) -> Result<()> {
    if Entry::from_stat(&[], stat).kind == EntryKind::File {
        Ok(())
    } else {
        Err(Error::NotAFile { name: gojson::lossy(name).into_owned() })
    }
}

/// An error of a call on one entry.
pub(super) fn entry_error(operation: &'static str, name: &[u8], errno: Errno) -> Error {
    Error::of_entry(operation, name, errno.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::os::unix::fs::{PermissionsExt, symlink};

    fn write(path: &Path, text: &str) {
        crate::base::file::replace(path, text.as_bytes(), 0o644).unwrap();
    }

    fn list(directory: &Directory) -> Vec<Listed> {
        let names = directory.names().unwrap();
        directory.members(&names).flat_map(Result::unwrap).collect()
    }

    #[test]
    fn lists_sorted_with_metadata() {
        let temp = tempfile::tempdir().unwrap();
        write(&temp.path().join("b"), "hello");
        std::fs::create_dir(temp.path().join("a")).unwrap();
        symlink("b", temp.path().join("c")).unwrap();
        std::fs::set_permissions(temp.path().join("b"), std::fs::Permissions::from_mode(0o4751)).unwrap();
        let (root, entry) = Directory::open_root(temp.path()).unwrap();
        assert_eq!(&*entry.name, temp.path().file_name().unwrap().as_bytes());
        let listed = list(&root);
        let entries: Vec<_> = listed.iter().map(|listed| listed.entry().unwrap()).collect();
        assert_eq!(entries.iter().map(|e| &*e.name).collect::<Vec<_>>(), [b"a", b"b", b"c"]);
        assert_eq!(
            entries.iter().map(|e| e.kind).collect::<Vec<_>>(),
            [EntryKind::Directory, EntryKind::File, EntryKind::Symlink]
        );
        assert_eq!((entries[0].size, entries[1].size, entries[2].size), (0, 5, 1));
        assert_eq!(entries[1].permissions, 0o4751);
        assert_eq!(entries[1].links, 1);
        assert_eq!(root.read_link(b"c").unwrap(), b"b");
        assert_eq!(&root.stat(b"b").unwrap(), entries[1]);
        assert!(root.stat(b"missing").unwrap_err().is_not_found());
        let mut text = String::new();
        root.open_file(b"b").unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "hello");
    }

    #[test]
    fn never_follows_links_below_the_root() {
        let temp = tempfile::tempdir().unwrap();
        std::fs::create_dir(temp.path().join("dir")).unwrap();
        write(&temp.path().join("file"), "x");
        symlink("dir", temp.path().join("to-dir")).unwrap();
        symlink("file", temp.path().join("to-file")).unwrap();
        let (root, _) = Directory::open_root(temp.path()).unwrap();
        assert!(list(&root.open_directory(b"dir").unwrap()).is_empty());
        assert!(root.open_directory(b"to-dir").is_err());
        assert!(root.open_file(b"to-file").is_err());
        assert!(matches!(root.open_file(b"dir"), Err(Error::NotAFile { .. })));
        let (_, entry) = Directory::open_root(&temp.path().join("to-dir")).unwrap();
        assert_eq!(&*entry.name, b"dir", "only the root is resolved");
        let (holder, entry) = open_single(&temp.path().join("to-file")).unwrap();
        assert_eq!((&*entry.name, entry.size), (&b"file"[..], 1));
        assert!(holder.open_file(&entry.name).is_ok());
    }

    #[test]
    fn a_fifo_does_not_block() {
        let temp = tempfile::tempdir().unwrap();
        rustix::fs::mknodat(CWD, temp.path().join("pipe"), rustix::fs::FileType::Fifo, Mode::RUSR, 0)
            .unwrap();
        let (root, _) = Directory::open_root(temp.path()).unwrap();
        assert_eq!(root.stat(b"pipe").unwrap().kind, EntryKind::Other);
        assert!(matches!(root.open_file(b"pipe"), Err(Error::NotAFile { .. })));
    }

    #[test]
    fn large_directories_come_back_whole() {
        let temp = tempfile::tempdir().unwrap();
        for number in 0..5000 {
            std::fs::create_dir(temp.path().join(format!("{number:05}-{}", "x".repeat(60)))).unwrap();
        }
        let (root, _) = Directory::open_root(temp.path()).unwrap();
        for _ in 0..2 {
            let listed = list(&root);
            assert_eq!(listed.len(), 5000, "a second listing starts from the top");
            assert!(listed.is_sorted_by(|a, b| a.name() < b.name()));
        }
    }
}
