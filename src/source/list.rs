//! Reading a directory: all names first, then one stat each.
//!
//! Names come in large batches (`getdents64`) into one arena and are sorted there; what stat says of them is asked for
//! piece by piece, so that a million entries are never in memory at once.

use super::directory::entry_error;
use super::{Entry, Error, Listed, Result};
use rustix::fs::{AtFlags, FileType, RawDir, SeekFrom};
use rustix::io::Errno;
use std::ffi::CStr;
use std::ops::Range;
use std::os::fd::OwnedFd;

/// Bytes asked of the kernel at once: about 2000 names of usual length.
const BATCH_BYTES: usize = 64 << 10;

/// Where a name begins, before its byte; more bytes of names than this counts are refused.
type Place = u32;

/// The names in a directory, sorted by their bytes: about 25 bytes for each.
#[derive(Debug, Default)]
pub struct Names {
    /// Each a byte telling whether the listing called it a directory, the bytes, a zero.
    arena: Vec<u8>,
    places: Vec<Place>,
}

impl Names {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Whether `name` is one of them.
    pub fn contains(&self, name: &[u8]) -> bool {
        self.places.binary_search_by(|place| self.name(*place).to_bytes().cmp(name)).is_ok()
    }

    fn name(&self, place: Place) -> &CStr {
        let bytes = self.arena.get(place as usize + 1..).unwrap_or_default();
        CStr::from_bytes_until_nul(bytes).expect("every name was stored with its zero")
    }

    /// Stats the names at `range`; those that are gone by now are left out.
    pub(super) fn stat(&self, directory: &OwnedFd, range: Range<usize>) -> Result<Vec<Listed>> {
        let places = self.places.get(range).unwrap_or_default();
        let mut listed = Vec::with_capacity(places.len());
        for &place in places {
            let is_dir_hint = self.arena.get(place as usize) == Some(&1);
            listed.extend(stat(directory, self.name(place), is_dir_hint)?);
        }
        Ok(listed)
    }

    /// Reads all names of a directory.
    pub(super) fn read(directory: &OwnedFd) -> Result<Self> {
        let mut names = read_names(directory).map_err(|errno| Error::List { source: errno.into() })?;
        let mut places = std::mem::take(&mut names.places);
        places.sort_unstable_by(|a, b| names.name(*a).to_bytes().cmp(names.name(*b).to_bytes()));
        Ok(Self { places, ..names })
    }
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
            names.places.push(Place::try_from(names.arena.len()).map_err(|_| Errno::OVERFLOW)?);
            names.arena.push(u8::from(entry.file_type() == FileType::Directory));
            names.arena.extend_from_slice(name.to_bytes_with_nul());
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
