//! What is neither a file, a directory nor a link.

use rustix::fs::{FileType, Stat};

/// The kind of a special file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SpecialKind {
    /// A named pipe.
    Fifo,
    /// The place of a socket.
    Socket,
    /// A character device.
    CharDevice {
        /// Number of its driver.
        major: u32,
        /// Number for its driver.
        minor: u32,
    },
    /// A block device.
    BlockDevice {
        /// Number of its driver.
        major: u32,
        /// Number for its driver.
        minor: u32,
    },
}

impl SpecialKind {
    /// What a stat is of; `None` for files, directories, links, and things newer than this.
    pub(super) fn of(stat: &Stat) -> Option<Self> {
        let (major, minor) = (rustix::fs::major(stat.st_rdev), rustix::fs::minor(stat.st_rdev));
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Fifo => Some(Self::Fifo),
            FileType::Socket => Some(Self::Socket),
            FileType::CharacterDevice => Some(Self::CharDevice { major, minor }),
            FileType::BlockDevice => Some(Self::BlockDevice { major, minor }),
            _ => None,
        }
    }
}
