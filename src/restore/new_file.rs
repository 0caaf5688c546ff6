//! A file being written, gone again unless it is kept.

use super::target::TargetDirectory;
use crate::base::file::WRITE_BYTES;
use rustix::io::{Errno, retry_on_intr};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// What temporary names begin with.
const TEMPORARY_PREFIX: &str = ".packhorse-restore-";
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

/// A file that did not exist before, removed on drop unless it is kept.
#[derive(Debug)]
pub(super) struct NewFile {
    directory: TargetDirectory,
    fd: OwnedFd,
    /// The name it has now.
    name: String,
    is_temporary: bool,
    kept: AtomicBool,
}

impl NewFile {
    /// Makes it under its own name.
    pub(super) fn create(directory: &TargetDirectory, name: &str) -> Result<Self, Errno> {
        let fd = directory.create_file(name)?;
        Ok(Self::build(directory, fd, name.to_owned(), false))
    }

    /// Makes it under a temporary name.
    pub(super) fn create_temporary(
        directory: &TargetDirectory,
        names: &TemporaryNames,
    ) -> Result<Self, Errno> {
        let (fd, name) = names.create(|name| directory.create_file(name))?;
        Ok(Self::build(directory, fd, name, true))
    }

    fn build(directory: &TargetDirectory, fd: OwnedFd, name: String, is_temporary: bool) -> Self {
        Self { directory: directory.clone(), fd, name, is_temporary, kept: AtomicBool::new(false) }
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

    /// Gives it its length: a hole at the end has to be made so.
    pub(super) fn set_length(&self, length: u64) -> Result<(), Errno> {
        rustix::fs::ftruncate(&self.fd, length)
    }

    /// Gives it the name it is for, in place of what has that name if `replace` says so.
    pub(super) fn keep(&self, name: &str, replace: bool) -> Result<(), Errno> {
        match (self.is_temporary, replace) {
            (false, _) => {}
            (true, true) => self.directory.rename(&self.name, name)?,
            (true, false) => self.directory.rename_new(&self.name, name)?,
        }
        self.kept.store(true, Ordering::Release);
        Ok(())
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if !self.kept.load(Ordering::Acquire) {
            // The failure that led here is the one that matters.
            self.directory.unlink(self.name.as_str()).ok();
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
        drop(NewFile::create(&root, "a").unwrap());
        drop(NewFile::create_temporary(&root, &names).unwrap());
        assert!(root.is_empty().unwrap());
        NewFile::create(&root, "a").unwrap().keep("a", false).unwrap();
        let second = NewFile::create_temporary(&root, &names).unwrap();
        assert_eq!(second.keep("a", false).unwrap_err(), Errno::EXIST);
        second.keep("a", true).unwrap();
        drop(second);
        assert_eq!(root.members().unwrap().len(), 1);
    }

    #[test]
    fn zeros_become_holes_wherever_the_pieces_are_cut() {
        let temp = tempfile::tempdir().unwrap();
        let root = TargetDirectory::open_root(temp.path()).unwrap();
        let mut data = vec![0; 300_000];
        for at in [0, 5000, 70_000, 200_001] {
            data[at] = 1;
        }
        let file = NewFile::create(&root, "f").unwrap();
        for (number, piece) in data.chunks(60_001).enumerate() {
            file.write(piece, number as u64 * 60_001, true).unwrap();
        }
        file.set_length(data.len() as u64).unwrap();
        file.keep("f", false).unwrap();
        assert_eq!(std::fs::read(temp.path().join("f")).unwrap(), data);
        assert!(std::fs::metadata(temp.path().join("f")).unwrap().blocks() * 512 <= 5 * 4096);
    }
}
