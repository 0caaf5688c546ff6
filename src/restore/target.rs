//! Directories of the target, and the only calls that change them.
//!
//! Every name given to these methods is one component, so with `O_NOFOLLOW` nothing can lead elsewhere; `openat2` has
//! the kernel prove the same once more where it knows the call.

use crate::source::SpecialKind;
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, RawDir, RenameFlags, ResolveFlags, Stat};
use rustix::io::Errno;
use std::ffi::{CStr, CString};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Mode of what is being made, until it gets its own: nobody else looks into it meanwhile.
const DIRECTORY_MODE: Mode = Mode::RWXU;
const FILE_MODE: Mode = Mode::RUSR.union(Mode::WUSR);
const DIRECTORY_FLAGS: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
/// Bytes of names asked of the kernel at once.
const LISTING_BYTES: usize = 32 << 10;

/// Set once the kernel has shown that it has no `openat2`, or that a sandbox forbids it.
static WITHOUT_OPENAT2: AtomicBool = AtomicBool::new(false);

/// A member of a directory, as its listing shows it.
pub(super) struct Member {
    pub(super) name: CString,
    pub(super) kind: FileType,
}

/// An open directory. Clones share the descriptor.
#[derive(Debug, Clone)]
pub(super) struct TargetDirectory {
    fd: Arc<OwnedFd>,
}

impl TargetDirectory {
    /// Opens the root of a restore, following links: where it lies is the caller's choice.
    pub(super) fn open_root(path: &Path) -> Result<Self, Errno> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self { fd: Arc::new(rustix::fs::openat(CWD, path, flags, Mode::empty())?) })
    }

    pub(super) fn fd(&self) -> &OwnedFd {
        &self.fd
    }

    /// Opens a sub-directory; never through a link.
    pub(super) fn open_directory<N: rustix::path::Arg + Copy>(&self, name: N) -> Result<Self, Errno> {
        Ok(Self { fd: Arc::new(self.open(name, DIRECTORY_FLAGS, Mode::empty())?) })
    }

    /// Makes a directory.
    pub(super) fn create_directory(&self, name: &str) -> Result<(), Errno> {
        rustix::fs::mkdirat(&self.fd, name, DIRECTORY_MODE)
    }

    /// Makes a file that was not there, open for writing.
    pub(super) fn create_file(&self, name: &str) -> Result<OwnedFd, Errno> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        self.open(name, flags, FILE_MODE)
    }

    /// Opens a file that is there, to read it; nothing else than a file can make this wait.
    pub(super) fn open_file(&self, name: &str) -> Result<OwnedFd, Errno> {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        self.open(name, flags, Mode::empty())
    }

    /// Opens a file that is there, to go on with it.
    pub(super) fn open_file_to_write(&self, name: &str) -> Result<OwnedFd, Errno> {
        let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        self.open(name, flags, Mode::empty())
    }

    /// Where a link leads.
    pub(super) fn read_link(&self, name: &str) -> Result<CString, Errno> {
        rustix::fs::readlinkat(&self.fd, name, Vec::new())
    }

    /// Opens whatever has a name, a link itself, for calls on its attributes.
    pub(super) fn open_handle(&self, name: impl rustix::path::Arg) -> Result<OwnedFd, Errno> {
        // `openat2` with `RESOLVE_NO_SYMLINKS` would refuse exactly what is wanted here.
        rustix::fs::openat(&self.fd, name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())
    }

    fn open<N: rustix::path::Arg + Copy>(
        &self,
        name: N,
        flags: OFlags,
        mode: Mode,
    ) -> Result<OwnedFd, Errno> {
        let plain = || rustix::fs::openat(&self.fd, name, flags, mode);
        if WITHOUT_OPENAT2.load(Ordering::Relaxed) {
            return plain();
        }
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        match rustix::fs::openat2(&self.fd, name, flags, mode, resolve) {
            Err(Errno::NOSYS) => {
                WITHOUT_OPENAT2.store(true, Ordering::Relaxed);
                plain()
            }
            // Old sandboxes answer so to calls they do not know.
            Err(Errno::PERM) => {
                let opened = plain()?;
                WITHOUT_OPENAT2.store(true, Ordering::Relaxed);
                Ok(opened)
            }
            result => result,
        }
    }

    /// What a name stands for, the link itself if it is one; `None` for nothing.
    pub(super) fn stat(&self, name: impl rustix::path::Arg) -> Result<Option<Stat>, Errno> {
        match rustix::fs::statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(stat)),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(errno),
        }
    }

    /// Whether what was opened by a name has it now, and no other: what it had when it was looked at may have been taken
    /// away just before.
    pub(super) fn is_only_name(&self, name: impl rustix::path::Arg, opened: &Stat) -> bool {
        let is_it = |named: Stat| {
            (named.st_dev, named.st_ino) == (opened.st_dev, opened.st_ino) && named.st_nlink <= 1
        };
        opened.st_nlink <= 1 && self.stat(name).is_ok_and(|named| named.is_some_and(is_it))
    }

    /// Makes a link.
    pub(super) fn create_link(&self, name: &str, target: &[u8]) -> Result<(), Errno> {
        rustix::fs::symlinkat(target, &self.fd, name)
    }

    /// Makes a FIFO, socket or device.
    pub(super) fn create_special(&self, name: &CStr, kind: SpecialKind, mode: Mode) -> Result<(), Errno> {
        let (kind, device) = match kind {
            SpecialKind::Fifo => (FileType::Fifo, 0),
            SpecialKind::Socket => (FileType::Socket, 0),
            SpecialKind::CharDevice { major, minor } => {
                (FileType::CharacterDevice, rustix::fs::makedev(major, minor))
            }
            SpecialKind::BlockDevice { major, minor } => {
                (FileType::BlockDevice, rustix::fs::makedev(major, minor))
            }
        };
        rustix::fs::mknodat(&self.fd, name, kind, mode, device)
    }

    /// Makes another name of a member, of a link itself if it is one, in a directory that may be another.
    pub(super) fn link_to(&self, member: &CStr, directory: &Self, name: &CStr) -> Result<(), Errno> {
        rustix::fs::linkat(&self.fd, member, &directory.fd, name, AtFlags::empty())
    }

    /// Gives a member another name, in place of whatever file or link has it.
    pub(super) fn rename(
        &self,
        from: impl rustix::path::Arg,
        to: impl rustix::path::Arg,
    ) -> Result<(), Errno> {
        rustix::fs::renameat(&self.fd, from, &self.fd, to)
    }

    /// Gives a file another name that nothing has yet.
    pub(super) fn rename_new(&self, from: &str, to: &str) -> Result<(), Errno> {
        match rustix::fs::renameat_with(&self.fd, from, &self.fd, to, RenameFlags::NOREPLACE) {
            // File systems that do not know the flag know hard links.
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
                rustix::fs::linkat(&self.fd, from, &self.fd, to, AtFlags::empty())?;
                self.unlink(from)
            }
            result => result,
        }
    }

    /// Removes anything but a directory.
    pub(super) fn unlink<N: rustix::path::Arg>(&self, name: N) -> Result<(), Errno> {
        rustix::fs::unlinkat(&self.fd, name, AtFlags::empty())
    }

    /// Removes an empty directory.
    pub(super) fn remove_directory(&self, name: &CStr) -> Result<(), Errno> {
        rustix::fs::unlinkat(&self.fd, name, AtFlags::REMOVEDIR)
    }

    /// Whether there is nothing in it.
    pub(super) fn is_empty(&self) -> Result<bool, Errno> {
        Ok(self.members()?.is_empty())
    }

    /// All members.
    pub(super) fn members(&self) -> Result<Vec<Member>, Errno> {
        self.members_where(|_| true)
    }

    /// All members with such names.
    pub(super) fn members_where(&self, is_such: impl Fn(&[u8]) -> bool) -> Result<Vec<Member>, Errno> {
        // A descriptor of its own: reading positions are shared by clones.
        let fd = rustix::fs::openat(&self.fd, c".", DIRECTORY_FLAGS, Mode::empty())?;
        let mut buffer: Vec<u8> = Vec::with_capacity(LISTING_BYTES);
        let mut entries = RawDir::new(fd, buffer.spare_capacity_mut());
        let mut members = Vec::new();
        while let Some(entry) = entries.next() {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if !matches!(name, b"." | b"..") && is_such(name) {
                members.push(Member { name: entry.file_name().to_owned(), kind: entry.file_type() });
            }
        }
        for member in members.iter_mut().filter(|member| member.kind == FileType::Unknown) {
            let stat = rustix::fs::statat(&self.fd, &member.name, AtFlags::SYMLINK_NOFOLLOW)?;
            member.kind = FileType::from_raw_mode(stat.st_mode);
        }
        Ok(members)
    }
}

/// Whether a stored name can only mean a member of its directory.
pub(super) fn is_plain_name(name: &str) -> bool {
    !matches!(name, "" | "." | "..") && !name.contains(['/', '\0'])
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn names_that_lead_elsewhere_are_refused() {
        for bad in ["", ".", "..", "/", "a/b", "../a", "/etc", "a\0b", "a/"] {
            assert!(!is_plain_name(bad), "{bad:?}");
        }
        for good in ["a", "...", "..a", ".a", "a b", "a\\b", "\u{fffd}", "-"] {
            assert!(is_plain_name(good), "{good:?}");
        }
    }

    #[test]
    fn links_are_not_followed_with_either_call() {
        let temp = tempfile::tempdir().unwrap();
        std::fs::create_dir(temp.path().join("real")).unwrap();
        symlink("real", temp.path().join("link")).unwrap();
        symlink("nowhere", temp.path().join("dangling")).unwrap();
        let root = TargetDirectory::open_root(temp.path()).unwrap();
        for without in [false, true] {
            WITHOUT_OPENAT2.store(without, Ordering::Relaxed);
            assert!(root.open_directory("real").unwrap().is_empty().unwrap());
            assert!(matches!(root.open_directory("link"), Err(Errno::LOOP | Errno::NOTDIR)));
            assert_eq!(root.create_file("dangling").unwrap_err(), Errno::EXIST);
        }
        WITHOUT_OPENAT2.store(false, Ordering::Relaxed);
        assert!(!temp.path().join("nowhere").exists());
    }

    #[test]
    fn a_new_name_replaces_nothing() {
        let temp = tempfile::tempdir().unwrap();
        let root = TargetDirectory::open_root(temp.path()).unwrap();
        drop(root.create_file("a").unwrap());
        drop(root.create_file("b").unwrap());
        assert_eq!(root.rename_new("a", "b").unwrap_err(), Errno::EXIST);
        root.rename_new("a", "c").unwrap();
        root.rename("c", "b").unwrap();
        let names: Vec<_> = root.members().unwrap().into_iter().map(|member| member.name).collect();
        assert_eq!(names, [c"b".to_owned()]);
    }
}
