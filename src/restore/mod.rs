//! From a snapshot to files.
//!
//! One pool of workers does everything; `queue::Queue` decides what is next: what has been planned is read before more is
//! planned, and directories are looked into, depth first and in stored order, only when nothing else is to be done.
//!
//! ```text
//! directory ──read manifest──► open or create ──► files, links ──► is it there already? ──► right: attributes at most
//!                                                      │                │ parts of it are
//!                                                      ▼                ▼
//!     window: up to 32,768 contents ◄── what is missing ◄── temporary file, with what is right copied
//!          │ sorted by pack and place, equal ones once, neighbours together
//!          ▼
//!     read, decrypt, decompress ──► temporary file, at its place ──last part──► attributes ──► name
//!                                           all members there ──► attributes of the directory ──► its parent
//! ```
//!
//! What is there already is compared by hashing it: contents are named by the hash of their bytes, so nothing has to be
//! read from the repository for that, and neither size nor time is believed.
//!
//! Invariants:
//! - **R1** nothing outside the target is touched: names are refused unless they are plain, every call is relative to
//!   the handle of a directory, and no link below the target is followed, even one planted while the restore runs;
//! - **R2** a file whose time is the stored one is complete: attributes come after the bytes and the time comes last, so
//!   a later restore that skips existing files never takes a half file for a whole one;
//! - **R3** a file appears under its name only when it is complete;
//! - **R4** a restore that fails leaves no temporary file behind. One that was told to stop leaves files of several
//!   contents under names that the next one finds, examines and goes on with; one that is killed leaves others, too,
//!   which the next one removes;
//! - **R5** a directory gets its attributes after everything below it is done, failed members included;
//! - **R6** what is damaged in the repository is named and fails the restore in the end, and all else is restored.
//!
//! Where this differs from Kopia, on purpose:
//! - Kopia writes through links that lie in the target; here a link is replaced, or refused without
//!   [`RestoreOptions::overwrite_symlinks`].
//! - Kopia gives a directory the newest time inside it; here it gets its own.
//! - Kopia writes every file anew; here those whose bytes are right stay.
//! - Kopia ends at the first damaged file; see R6.
//! - Kopia truncates an existing file and writes into it, so other hard links to it change too; here a new file takes
//!   its name. What [`RestoreOptions::skip_owners`] and [`RestoreOptions::skip_permissions`] leave alone is taken over.
//! - Kopia rounds the times of links to microseconds; here they are exact.
//! - Where the owner cannot be set, a file does not get the setuid bit, nor the setgid bit where the group cannot.
//! - With [`RestoreOptions::ignore_errors`] Kopia leaves the parents of what failed without attributes; here they get
//!   them. A full disk ends the restore all the same.
//!
//! Source: kopia `snapshot/restore/`.

mod archive;
mod assembly;
mod attributes;
mod directory;
mod error;
mod examine;
mod extended;
mod extra;
mod file;
mod hard_links;
mod listing;
mod new_file;
mod node;
mod options;
mod placeholder;
mod queue;
mod run;
mod sparse;
mod special;
mod symlink;
mod target;
mod window;

pub use archive::{ArchiveFormat, restore_archive};
pub use error::{Error, Result};
pub use options::{RestoreOptions, RestoreStats};
pub use placeholder::expand;

use crate::base::Monitor;
use crate::repo::Repository;
use crate::snapshot::{DirEntry, EntryType};
use run::Run;
use std::path::Path;

/// Restores `entry`, the root of a snapshot or anything below it, as `target`.
///
/// A directory is restored into the directory `target`, which gets its attributes; a file or link is restored under the
/// name `target`. Missing directories above are made. If `target` itself is a link to a directory, it is followed.
///
/// # Errors
/// The first failure that is not ignored, with its path; then the rest of the tree is not restored. Damage in the
/// repository comes last: everything else has been restored then.
pub fn restore(
    repository: &Repository,
    entry: &DirEntry,
    target: &Path,
    options: &RestoreOptions,
    monitor: &dyn Monitor,
) -> Result<RestoreStats> {
    let mut run = Run::new(repository, options, monitor);
    run.check_canceled()?;
    match entry.kind {
        EntryType::Directory => directory::start(&mut run, entry, target)?,
        EntryType::File | EntryType::Symlink => directory::start_single(&mut run, entry, target)?,
        EntryType::Unknown => return Err(Error::UnknownType { path: target.to_owned() }),
    }
    run.work()
}
