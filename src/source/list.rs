//! Reading a directory: all names first, then one stat each.
//!
//! Names come in large batches (`getdents64`) into one arena, so that the number of entries is known before the list
//! is allocated and a million names do not cost twice their size while a vector grows.

use super::directory::entry_error;
use super::{Entry, Error, Listed, Result};
use rustix::fs::{AtFlags, FileType, RawDir, SeekFrom};
use rustix::io::Errno;
use std::ffi::CStr;
use std::os::fd::OwnedFd;

/// Bytes asked of the kernel at once: about 2000 names of usual length.
const BATCH_BYTES: usize = 64 << 10;

/// Names of a directory: each a byte telling the kind, the bytes, a zero.
#[derive(Default)]
struct Names {
    arena: Vec<u8>,
    count: usize,
}

/// Lists and stats a directory.
pub(super) fn list(directory: &OwnedFd) -> Result<Vec<Listed>> {
    let names = read_names(directory).map_err(|errno| Error::List { source: errno.into() })?;
    let mut listed = Vec::with_capacity(names.count);
    let mut rest = names.arena.as_slice();
    while let Some((&is_dir, tail)) = rest.split_first() {
        let name = CStr::from_bytes_until_nul(tail).expect("every name was stored with its zero");
        rest = tail.get(name.count_bytes() + 1..).unwrap_or_default();
        listed.extend(stat(directory, name, is_dir != 0)?);
    }
    listed.sort_unstable_by(|a, b| a.name().cmp(b.name()));
    Ok(listed)
}

fn read_names(directory: &OwnedFd) -> Result<Names, Errno> {
    // The descriptor is shared: whoever listed before left its position at the end.
    rustix::fs::seek(directory, SeekFrom::Start(0))?;
    let mut names = Names::default();
    let mut buffer: Vec<u8> = Vec::with_capacity(BATCH_BYTES);
    let mut entries = RawDir::new(directory, buffer.spare_capacity_mut());
    while let Some(entry) = entries.next() {
        let entry = entry?;
        let name = entry.file_name();
        if !matches!(name.to_bytes(), b"." | b"..") {
            names.arena.push(u8::from(entry.file_type() == FileType::Directory));
            names.arena.extend_from_slice(name.to_bytes_with_nul());
            names.count += 1;
        }
    }
    Ok(names)
}

/// `None` for an entry that is gone by now.
fn stat(directory: &OwnedFd, name: &CStr, is_dir_hint: bool) -> Result<Option<Listed>> {
    match rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(Listed::Entry(Entry::from_stat(name.to_bytes(), &stat)))),
        Err(Errno::NOENT) => Ok(None),
        Err(errno @ (Errno::ACCESS | Errno::PERM)) => {
            Ok(Some(Listed::Failed { name: name.to_bytes().into(), is_dir_hint, error: errno.into() }))
        }
        Err(errno) => Err(entry_error("stat", name.to_bytes(), errno)),
    }
}
