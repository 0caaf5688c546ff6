//! Reading files: whole, in part, or only their length and time.

use super::Filesystem;
use crate::base::Timestamp;
use crate::blob::{BlobId, BlobMetadata, ByteRange, Error, Result};
use rustix::buffer::spare_capacity;
use rustix::io::Errno;
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

impl Filesystem {
    pub(super) fn read_blob(&self, id: &BlobId, path: &Path, range: Option<ByteRange>) -> Result<Vec<u8>> {
        let failed = |error| self.failed("read", id, path, error);
        let (file, size) = open(path).map_err(failed)?;
        let Some(range) = range else {
            return read_exactly(&file, 0, size).map_err(failed);
        };
        if range.length == 0 {
            return Ok(Vec::new());
        }
        let outside = || Error::InvalidRange { id: id.clone(), range };
        // Checked before anything is allocated: ranges come out of index files.
        if range.offset.checked_add(range.length).is_none_or(|end| end > size) {
            return Err(outside());
        }
        match read_exactly(&file, range.offset, range.length) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(outside()),
            outcome => outcome.map_err(failed),
        }
    }

    pub(super) fn stat_blob(&self, id: &BlobId, path: &Path) -> Result<BlobMetadata> {
        let found = std::fs::metadata(path)
            .and_then(check_is_file)
            .map_err(|error| self.failed("look at", id, path, error))?;
        Ok(BlobMetadata { id: id.clone(), length: found.len(), timestamp: time_of(&found) })
    }
}

/// When a file was last written to, by the store's clock.
pub(super) fn time_of(found: &Metadata) -> Timestamp {
    Timestamp::from_seconds(found.mtime(), found.mtime_nsec())
}

/// A whole file of at most `limit` bytes.
pub(super) fn whole_file(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let (file, size) = open(path)?;
    if size > limit {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "it is far too large"));
    }
    read_exactly(&file, 0, size)
}

fn open(path: &Path) -> io::Result<(File, u64)> {
    let file = File::open(path)?;
    let size = check_is_file(file.metadata()?)?.len();
    Ok((file, size))
}

fn check_is_file(found: Metadata) -> io::Result<Metadata> {
    if found.is_file() { Ok(found) } else { Err(Errno::ISDIR.into()) }
}

/// `length` bytes from `offset`, read into memory that is not cleared first.
fn read_exactly(file: &File, offset: u64, length: u64) -> io::Result<Vec<u8>> {
    let length = usize::try_from(length).map_err(|_| io::ErrorKind::OutOfMemory)?;
    let mut data = Vec::new();
    data.try_reserve_exact(length).map_err(|_| io::ErrorKind::OutOfMemory)?;
    while data.len() < length {
        let at = offset + data.len() as u64;
        match rustix::io::pread(file, spare_capacity(&mut data), at) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    // The allocator may have given more room than was asked for.
    data.truncate(length);
    Ok(data)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn reads_exactly_what_is_asked_for() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"0123456789").unwrap();
        assert_eq!(read_exactly(&file, 0, 10).unwrap(), b"0123456789");
        assert_eq!(read_exactly(&file, 3, 2).unwrap(), b"34");
        assert_eq!(read_exactly(&file, 3, 0).unwrap(), b"");
        assert_eq!(read_exactly(&file, 3, 8).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        assert_eq!(read_exactly(&file, 0, u64::MAX).unwrap_err().kind(), io::ErrorKind::OutOfMemory);
    }

    #[test]
    fn a_large_or_odd_file_is_not_read_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        let file = File::options().write(true).create_new(true).open(&path).unwrap();
        file.set_len(1 << 40).unwrap();
        assert_eq!(whole_file(&path, 10).unwrap_err().kind(), io::ErrorKind::InvalidData);
        assert_eq!(whole_file(dir.path(), 10).unwrap_err().kind(), io::ErrorKind::IsADirectory);
    }
}
