//! What another client has just written and this machine does not see yet.
//!
//! A network volume answers from what its client remembers: a name that was missing a moment ago stays missing, a file
//! that was empty stays empty, until the folder or the file is opened anew and its attributes have changed. So a blob
//! that must be there is asked for again, after its folder has been opened and read, for about two seconds.
//!
//! A blob must be there when its name is a long one: nobody guesses names of random digits, they come from an index or
//! a listing. Short names, such as that of the format, are asked for to find out whether they exist, and are answered
//! at once; and so is everything on a disk of this machine. A repository that really lacks blobs does not cost two
//! seconds for each: after some that were waited for in vain, folders are still opened anew, but nothing is waited for
//! until that has helped.

use super::layout::MAX_NON_SHARDED_LENGTH;
use super::{Filesystem, Place};
use crate::blob::backoff::Backoff;
use crate::blob::{BlobId, ByteRange, Error, Result};
use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// Looks at what should be there; their pauses add up to 2.1 s.
const LOOKS: Backoff = Backoff::of_attempts(7);
/// So many waits in vain end the waiting: what follows one missing blob is most often another.
const VAIN_MAX: u32 = 2;
/// File systems of this machine's disks and memory, by the numbers of linux/magic.h (and ZFS's): what they say is so.
const LOCAL: [u32; 8] = [
    0xEF53,      // ext2 to ext4
    0x5846_5342, // XFS
    0x9123_683E, // Btrfs
    0x2FC1_2FC1, // ZFS
    0xF2F5_2010, // F2FS
    0x0102_1994, // tmpfs
    0x8584_58F6, // ramfs
    0x794C_7630, // overlay
];
/// Entries of a folder that are read so that the client asks the server: the first ones do.
const ENTRIES_MAX: usize = 4096;

/// Whether waiting has been worth it lately.
#[derive(Debug, Default)]
pub(super) struct Patience {
    vain: AtomicU32,
    /// Whether the volume is a disk of this machine; asked for when it first matters.
    is_local: OnceLock<bool>,
}

impl Patience {
    fn is_left(&self) -> bool {
        self.vain.load(Ordering::Relaxed) < VAIN_MAX
    }

    fn learn(&self, has_helped: bool) {
        if has_helped {
            self.vain.store(0, Ordering::Relaxed);
        } else {
            self.vain.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Filesystem {
    /// Reads a blob; what says that it, or a part of it, is missing is believed only after a while.
    pub(super) fn get_patiently(
        &self,
        id: &BlobId,
        place: &Place,
        range: Option<ByteRange>,
    ) -> Result<Vec<u8>> {
        let read = || self.retry(&place.file, || self.read_blob(id, &place.file, range));
        let mut outcome = read();
        if !is_doubtful(id, &outcome) || *self.patience.is_local.get_or_init(|| is_local(&self.root)) {
            return outcome;
        }
        let was_patient = self.patience.is_left();
        let mut pause = LOOKS.first;
        for look in 1..LOOKS.attempts {
            open_anew(&place.folder);
            outcome = read();
            if !is_doubtful(id, &outcome) {
                tracing::debug!(%id, look, "a blob has appeared late");
                self.patience.learn(true);
                return outcome;
            }
            if !was_patient {
                return outcome;
            }
            self.clock.sleep(pause);
            pause = (pause * 3 / 2).min(LOOKS.cap);
        }
        self.patience.learn(false);
        outcome
    }
}

/// Whether the volume is one that no other machine writes to.
fn is_local(root: &Path) -> bool {
    rustix::fs::statfs(root).is_ok_and(|volume| LOCAL.contains(&(volume.f_type as u32)))
}

/// Whether the answer may be due to what this machine remembers.
fn is_doubtful(id: &BlobId, outcome: &Result<Vec<u8>>) -> bool {
    let is_known = i64::try_from(id.as_str().len()).is_ok_and(|length| length > MAX_NON_SHARDED_LENGTH);
    is_known
        && match outcome {
            Ok(data) => data.is_empty(),
            Err(Error::NotFound { .. }) => true,
            // No file can ever be so long: this is damage, and not the file's.
            Err(Error::InvalidRange { range, .. }) => {
                range.offset.checked_add(range.length).is_some_and(|end| i64::try_from(end).is_ok())
            }
            Err(_) => false,
        }
}

/// Makes a network client look at the folder as the server has it: opening compares its attributes, reading replaces
/// what is remembered of its entries.
fn open_anew(folder: &Path) {
    if let Ok(entries) = std::fs::read_dir(folder) {
        entries.take(ENTRIES_MAX).for_each(drop);
    }
}
