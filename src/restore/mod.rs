//! From a snapshot to files.
//!
//! One pool of workers does everything; `queue::Queue` decides what is next: parts of big files first, then batches of
//! files and links of directories already open, then directories, depth first and in stored order. So packs are read
//! from front to back, at most as many directories are expanded at once as there are workers, and at most one content
//! a worker is in memory. Reading ahead by pack belongs between the queue and the workers: a batch is what it would
//! plan for.
//!
//! ```text
//! directory ──read manifest──► open or create ──► files, links ──batch──► read, create, write, attributes
//!                                                 big file ──► temporary file ◄──parts, in any order── workers
//!                              all members there ──► attributes of the directory ──► its parent
//! ```
//!
//! Invariants:
//! - **R1** nothing outside the target is touched: names are refused unless they are plain, every call is relative to
//!   the handle of a directory, and no link below the target is followed, even one planted while the restore runs;
//! - **R2** a file whose time is the stored one is complete: attributes come after the bytes and the time comes last, so
//!   a later restore that skips existing files never takes a half file for a whole one;
//! - **R3** a file in more than one content, and one that replaces another, appears under its name only when complete;
//!   with [`RestoreOptions::write_files_atomically`] every file does;
//! - **R4** a restore that fails or is canceled leaves no half file and no temporary file behind; one that is killed may;
//! - **R5** a directory gets its attributes after everything below it is done, failed members included.
//!
//! Where this differs from Kopia, on purpose:
//! - Kopia writes through links that lie in the target; here a link is replaced, or refused without
//!   [`RestoreOptions::overwrite_symlinks`].
//! - Kopia gives a directory the newest time inside it; here it gets its own.
//! - Kopia truncates an existing file and writes into it, so other hard links to it change too; here a new file takes
//!   its name. What [`RestoreOptions::skip_owners`] and [`RestoreOptions::skip_permissions`] leave alone is taken over.
//! - Kopia rounds the times of links to microseconds; here they are exact.
//! - Where the owner cannot be set, a file does not get the setuid bit, nor the setgid bit where the group cannot.
//! - With [`RestoreOptions::ignore_errors`] Kopia leaves the parents of what failed without attributes; here they get
//!   them. A full disk ends the restore all the same.
//!
//! Source: kopia `snapshot/restore/`.

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
mod queue;
mod run;
mod sparse;
mod special;
mod symlink;
mod target;
mod window;

pub use error::{Error, Result};
pub use options::{RestoreOptions, RestoreStats};

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
/// The first failure that is not ignored, with its path; then the rest of the tree is not restored.
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
