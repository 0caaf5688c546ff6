//! A file being written, gone again unless it is kept.

use super::attributes::is_regular;
use super::target::TargetDirectory;
use crate::base::file::WRITE_BYTES;
use rustix::fs::FallocateFlags;
use rustix::io::{Errno, retry_on_intr};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// What temporary names begin with.
pub(super) const TEMPORARY_PREFIX: &str = ".packhorse-restore-";
/// Blocks that become holes when all their bytes are zero, in bytes; every usual file system has blocks of this size.
const HOLE_BYTES: usize = 4096;
static ZEROS: [u8; HOLE_BYTES] = [0; HOLE_BYTES];

/// Temporary names that nobody else uses.
#[derive(Debug)]
pub(super) struct TemporaryNames {
    random: String,
    next: AtomicU64,
}

impl TemporaryNames {
    pub(super) fn new(random: [u8; 8]) -> Self {
        Self { random: hex::encode(random), next: AtomicU64::new(0) }
    }

    /// Tries `create` with new names until one is free.
    pub(super) fn create<T>(
        &self,
        mut create: impl FnMut(&str) -> Result<T, Errno>,
    ) -> Result<(T, String), Errno> {
        loop {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            let name = format!("{TEMPORARY_PREFIX}{}-{number:x}", self.random);
            match create(&name) {
                Ok(created) => return Ok((created, name)),
                Err(Errno::EXIST) => {}
                Err(errno) => return Err(errno),
            }
        }
    }
}

/// A file under a temporary name, removed on drop unless it is kept.
#[derive(Debug)]
pub(super) struct NewFile {
    directory: TargetDirectory,
    fd: Arc<OwnedFd>,
    /// The name it has now.
    name: String,
    /// Set when the restore is to stop: then it stays for the next one.
    stop: Option<Arc<AtomicBool>>,
    kept: AtomicBool,
}

impl NewFile {
    /// Makes a file.
    pub(super) fn create(directory: &TargetDirectory, names: &TemporaryNames) -> Result<Self, Errno> {
        let (fd, name) = names.create(|name| directory.create_file(name))?;
        Ok(Self::build(directory, fd, name, None))
    }

    /// Makes a file under a name that a later restore finds again; another one if that is taken.
    pub(super) fn create_resumable(
        directory: &TargetDirectory,
        names: &TemporaryNames,
        name: &str,
        stop: &Arc<AtomicBool>,
    ) -> Result<Self, Errno> {
        match directory.create_file(name) {
            Ok(fd) => Ok(Self::build(directory, fd, name.to_owned(), Some(Arc::clone(stop)))),
            Err(Errno::EXIST) => Self::create(directory, names),
            Err(errno) => Err(errno),
        }
    }

    /// Takes over the file that an interrupted restore has left.
    ///
    /// # Errors
    /// [`Errno::PERM`] if it is not certain that nobody else has to do with it.
    pub(super) fn adopt(
        directory: &TargetDirectory,
        name: &str,
        stop: &Arc<AtomicBool>,
    ) -> Result<Self, Errno> {
        let fd = directory.open_file_to_write(name)?;
        let stat = rustix::fs::fstat(&fd)?;
        let is_ours = stat.st_uid == rustix::process::geteuid().as_raw() && stat.st_mode & 0o7077 == 0;
        if !is_regular(&stat) || !is_ours || !directory.is_only_name(name, &stat) {
            return Err(Errno::PERM);
        }
        Ok(Self::build(directory, fd, name.to_owned(), Some(Arc::clone(stop))))
    }

    fn build(directory: &TargetDirectory, fd: OwnedFd, name: String, stop: Option<Arc<AtomicBool>>) -> Self {
        Self { directory: directory.clone(), fd: Arc::new(fd), name, stop, kept: AtomicBool::new(false) }
    }

    /// The same file; it is not this one any more that removes it.
    pub(super) fn take(&self) -> Self {
        let (directory, fd) = (self.directory.clone(), Arc::clone(&self.fd));
        let (name, stop) = (self.name.clone(), self.stop.clone());
        let kept = AtomicBool::new(self.kept.swap(true, Ordering::AcqRel));
        Self { directory, fd, name, stop, kept }
    }

    /// Removes it.
    pub(super) fn discard(&self) {
        if !self.kept.swap(true, Ordering::AcqRel) {
            // The failure that led here is the one that matters.
            self.directory.unlink(self.name.as_str()).ok();
        }
    }

    pub(super) fn fd(&self) -> &OwnedFd {
        &self.fd
    }

    /// Writes `data` at `offset`; with `sparse`, leaves out blocks of zeros.
    pub(super) fn write(&self, data: &[u8], offset: u64, sparse: bool) -> Result<(), Errno> {
        if !sparse {
            return self.write_all(data, offset);
        }
        let mut at = 0;
        while at < data.len() {
            let hole = run_length(&data[at..], offset + at as u64, true);
            let end = at + hole + run_length(&data[at + hole..], offset + (at + hole) as u64, false);
            self.write_all(&data[at + hole..end], offset + (at + hole) as u64)?;
            at = end;
        }
        Ok(())
    }

    fn write_all(&self, mut data: &[u8], mut offset: u64) -> Result<(), Errno> {
        while !data.is_empty() {
            let part = &data[..data.len().min(WRITE_BYTES)];
            let written = retry_on_intr(|| rustix::io::pwrite(&self.fd, part, offset))?;
            if written == 0 {
                return Err(Errno::IO);
            }
            data = data.get(written..).unwrap_or_default();
            offset = offset.checked_add(written as u64).ok_or(Errno::FBIG)?;
        }
        Ok(())
    }

    /// Copies bytes of another file to the same place; a file system that can, shares them.
    pub(super) fn copy_from(&self, from: &OwnedFd, offset: u64, length: u64) -> Result<(), Errno> {
        let (mut at, end) = (offset, offset.saturating_add(length));
        while at < end {
            let (mut read_at, mut write_at) = (at, at);
            let wanted = (end - at) as usize;
            let copied =
                rustix::fs::copy_file_range(from, Some(&mut read_at), &self.fd, Some(&mut write_at), wanted);
            match copied {
                Ok(0) => return Err(Errno::IO),
                Ok(copied) => at += copied as u64,
                Err(Errno::INTR) => {}
                Err(Errno::XDEV | Errno::NOSYS | Errno::OPNOTSUPP | Errno::INVAL | Errno::PERM) => {
                    return self.copy_by_hand(from, at, end);
                }
                Err(errno) => return Err(errno),
            }
        }
        Ok(())
    }

    /// Makes all bytes of a range zero, whatever they were.
    pub(super) fn clear(&self, offset: u64, length: u64) -> Result<(), Errno> {
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        if rustix::fs::fallocate(&self.fd, flags, offset, length).is_ok() {
            return Ok(());
        }
        let end = offset.saturating_add(length);
        for at in (offset..end).step_by(HOLE_BYTES) {
            self.write_all(&ZEROS[..(end - at).min(HOLE_BYTES as u64) as usize], at)?;
        }
        Ok(())
    }

    fn copy_by_hand(&self, from: &OwnedFd, mut at: u64, end: u64) -> Result<(), Errno> {
        let mut buffer = vec![0; WRITE_BYTES];
        while at < end {
            let wanted = (end - at).min(WRITE_BYTES as u64) as usize;
            let read = retry_on_intr(|| rustix::io::pread(from, &mut buffer[..wanted], at))?;
            if read == 0 {
                return Err(Errno::IO);
            }
            self.write_all(&buffer[..read], at)?;
            at += read as u64;
        }
        Ok(())
    }

    /// Gives it its length: a hole at the end has to be made so.
    pub(super) fn set_length(&self, length: u64) -> Result<(), Errno> {
        rustix::fs::ftruncate(&self.fd, length)
    }

    /// Gives it the name it is for, in place of what has that name if `replace` says so.
    pub(super) fn keep(&self, name: &str, replace: bool) -> Result<(), Errno> {
        if replace {
            self.directory.rename(&self.name, name)?;
        } else {
            self.directory.rename_new(&self.name, name)?;
        }
        self.kept.store(true, Ordering::Release);
        Ok(())
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if !self.stop.as_ref().is_some_and(|stop| stop.load(Ordering::Relaxed)) {
            self.discard();
        }
    }
}

/// Bytes at the start of `data` in blocks that are all zeros, or that are not. Blocks are aligned in the file.
fn run_length(data: &[u8], offset: u64, zeros: bool) -> usize {
    let mut length = 0;
    while length < data.len() {
        let in_block = ((offset + length as u64) % HOLE_BYTES as u64) as usize;
        let end = (length + HOLE_BYTES - in_block).min(data.len());
        let block = &data[length..end];
        if (block == &ZEROS[..block.len()]) != zeros {
            break;
        }
        length = end;
    }
    length
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn what_is_not_kept_is_gone() {
        let temp = tempfile::tempdir().unwrap();
        let root = TargetDirectory::open_root(temp.path()).unwrap();
        let names = TemporaryNames::new([7; 8]);
        drop(NewFile::create(&root, &names).unwrap());
        assert!(root.is_empty().unwrap());
        NewFile::create(&root, &names).unwrap().keep("a", false).unwrap();
        let second = NewFile::create(&root, &names).unwrap();
        assert_eq!(second.keep("a", false).unwrap_err(), Errno::EXIST);
        second.keep("a", true).unwrap();
        drop(second);
        assert_eq!(root.members().unwrap().len(), 1);
    }

    #[test]
    fn what_can_be_gone_on_with_stays_when_the_restore_is_to_stop() {
        let temp = tempfile::tempdir().unwrap();
        let root = TargetDirectory::open_root(temp.path()).unwrap();
        let (names, stop) = (TemporaryNames::new([7; 8]), Arc::new(AtomicBool::new(false)));
        drop(NewFile::create_resumable(&root, &names, "part", &stop).unwrap());
        assert!(root.is_empty().unwrap(), "nobody has asked to stop");
        let file = NewFile::create_resumable(&root, &names, "part", &stop).unwrap();
        file.write(b"begun", 0, false).unwrap();
        stop.store(true, Ordering::Relaxed);
        drop(file);
        let adopted = NewFile::adopt(&root, "part", &stop).unwrap();
        let taken = adopted.take();
        drop(adopted);
        taken.write(b"?????????????", 5, false).unwrap();
        taken.clear(5, 13).unwrap();
        taken.write(b" and ended", 5, false).unwrap();
        taken.set_length(15).unwrap();
        taken.keep("whole", false).unwrap();
        assert_eq!(std::fs::read(temp.path().join("whole")).unwrap(), b"begun and ended");
        assert_eq!(root.members().unwrap().len(), 1);
    }

    #[test]
    fn a_file_with_another_name_is_not_adopted() {
        let temp = tempfile::tempdir().unwrap();
        let root = TargetDirectory::open_root(temp.path()).unwrap();
        let stop = Arc::new(AtomicBool::new(true));
        drop(NewFile::create_resumable(&root, &TemporaryNames::new([7; 8]), "part", &stop).unwrap());
        std::fs::hard_link(temp.path().join("part"), temp.path().join("elsewhere")).unwrap();
        assert_eq!(NewFile::adopt(&root, "part", &stop).unwrap_err(), Errno::PERM);
        std::os::unix::fs::symlink("elsewhere", temp.path().join("link")).unwrap();
        assert!(NewFile::adopt(&root, "link", &stop).is_err());
    }

    #[test]
    fn zeros_become_holes_wherever_the_pieces_are_cut() {
        let temp = tempfile::tempdir().unwrap();
        let root = TargetDirectory::open_root(temp.path()).unwrap();
        let mut data = vec![0; 300_000];
        for at in [0, 5000, 70_000, 200_001] {
            data[at] = 1;
        }
        let file = NewFile::create(&root, &TemporaryNames::new([7; 8])).unwrap();
        for (number, piece) in data.chunks(60_001).enumerate() {
            file.write(piece, number as u64 * 60_001, true).unwrap();
        }
        file.set_length(data.len() as u64).unwrap();
        file.keep("f", false).unwrap();
        assert_eq!(std::fs::read(temp.path().join("f")).unwrap(), data);
        assert!(std::fs::metadata(temp.path().join("f")).unwrap().blocks() * 512 <= 5 * 4096);
    }
}
