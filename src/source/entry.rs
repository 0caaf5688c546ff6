//! What a stat says of one member of a directory.

use crate::base::Timestamp;
use rustix::fs::{FileType, Stat};
use std::io;

/// The kind of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EntryKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A device, FIFO, socket, or something newer.
    Other,
}

impl EntryKind {
    /// The kind of a file type from stat or a directory listing.
    pub(super) fn of(kind: FileType) -> Self {
        match kind {
            FileType::RegularFile => Self::File,
            FileType::Directory => Self::Directory,
            FileType::Symlink => Self::Symlink,
            _ => Self::Other,
        }
    }
}

/// One entry of the live tree, as stat saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The name inside its directory: raw bytes, rarely not UTF-8.
    pub name: Box<[u8]>,
    /// What it is.
    pub kind: EntryKind,
    /// Permission, setuid, setgid and sticky bits in POSIX numbering (`0o7777`).
    pub permissions: u32,
    /// Bytes; for a symbolic link the length of its target, for a directory 0.
    pub size: u64,
    /// Modification time; outside 1677–2262 it wraps as Kopia's does.
    pub mtime: Timestamp,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// The device it lives on.
    pub device: u64,
    /// Its inode on that device.
    pub inode: u64,
    /// Time of the last change of data or metadata; cannot be set, so it betrays edits that keep `mtime`.
    pub ctime: Timestamp,
    /// Number of hard links.
    pub links: u64,
    /// Whether it is a file with fewer blocks than its size needs: it has holes, or the file system compresses.
    pub may_have_holes: bool,
}

impl Entry {
    /// Joins a name and what stat said of it.
    pub(super) fn from_stat(name: &[u8], stat: &Stat) -> Self {
        let kind = EntryKind::of(FileType::from_raw_mode(stat.st_mode));
        let size = if kind == EntryKind::Directory { 0 } else { u64::try_from(stat.st_size).unwrap_or(0) };
        Self {
            name: name.into(),
            kind,
            permissions: stat.st_mode & 0o7777,
            size,
            mtime: Timestamp::from_seconds(stat.st_mtime, stat.st_mtime_nsec as i64),
            uid: stat.st_uid,
            gid: stat.st_gid,
            device: stat.st_dev,
            inode: stat.st_ino,
            ctime: Timestamp::from_seconds(stat.st_ctime, stat.st_ctime_nsec as i64),
            links: widen(stat.st_nlink),
            may_have_holes: kind == EntryKind::File && blocks_bytes(stat) < size,
        }
    }

    /// Whether it is a directory.
    pub fn is_directory(&self) -> bool {
        self.kind == EntryKind::Directory
    }
}

/// What its blocks hold.
fn blocks_bytes(stat: &Stat) -> u64 {
    u64::try_from(stat.st_blocks).unwrap_or(0).saturating_mul(512)
}

/// The width of link counts differs between processors.
fn widen(count: impl Into<u64>) -> u64 {
    count.into()
}

/// A member of a directory, read or refused.
#[derive(Debug)]
pub enum Listed {
    /// It could be stat'ed.
    Entry(Entry),
    /// Its stat was refused (EACCES, EPERM), as happens with other users' FUSE mounts.
    Failed {
        /// The name inside the directory.
        name: Box<[u8]>,
        /// Whether the listing itself called it a directory.
        is_dir_hint: bool,
        /// What the system said.
        error: io::Error,
    },
}

impl Listed {
    /// The raw name.
    pub fn name(&self) -> &[u8] {
        match self {
            Self::Entry(entry) => &entry.name,
            Self::Failed { name, .. } => name,
        }
    }

    /// Whether it is a directory, as far as one can tell.
    pub fn is_directory(&self) -> bool {
        match self {
            Self::Entry(entry) => entry.is_directory(),
            Self::Failed { is_dir_hint, .. } => *is_dir_hint,
        }
    }

    /// The entry, unless its stat was refused.
    pub fn entry(&self) -> Option<&Entry> {
        match self {
            Self::Entry(entry) => Some(entry),
            Self::Failed { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listing_costs_less_than_a_hundred_bytes_an_entry() {
        assert!(size_of::<Listed>() <= 88, "{}", size_of::<Listed>());
    }
}
