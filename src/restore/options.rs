//! What can be chosen for a restore, and what is counted.

use crate::base::MemoryBudget;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// How a restore is to be done. The default is Kopia's.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of Kopia's command line")]
pub struct RestoreOptions {
    /// Workers; 0 for one a core.
    pub parallel: usize,
    /// Restore into directories that exist and are not empty; otherwise they are errors.
    pub overwrite_directories: bool,
    /// Replace existing files; otherwise they are errors.
    pub overwrite_files: bool,
    /// Replace existing links, whatever is to stand in their place; otherwise they are errors.
    pub overwrite_symlinks: bool,
    /// Leave owner and group alone.
    pub skip_owners: bool,
    /// Leave permission bits alone: new files have 0600, new directories 0700.
    pub skip_permissions: bool,
    /// Leave times alone.
    pub skip_times: bool,
    /// Leave extended attributes and ACLs alone.
    pub skip_xattrs: bool,
    /// Do not make FIFOs, sockets and devices.
    pub skip_special_files: bool,
    /// Make a file of its own for each of the names of one.
    pub skip_hard_links: bool,
    /// Files get neither setuid nor setgid bits nor capabilities.
    pub drop_set_id: bool,
    /// Go on where owner, permissions or times may not be changed, or special files not be made.
    pub ignore_permission_errors: bool,
    /// Leave holes for blocks of zeros.
    pub write_sparse_files: bool,
    /// Wait until files and directories are on the medium.
    pub flush_files: bool,
    /// Leave a file alone that has the stored size and time (within 2 s), and any link where a link belongs.
    pub skip_existing: bool,
    /// Delete what the snapshot does not have, and what is a directory in one place and not in the other.
    pub delete_extra: bool,
    /// Write placeholders for files and directories that are deeper: the members of the root have depth 1.
    pub shallow_at_depth: Option<usize>,
    /// Files with fewer bytes are restored however deep they are.
    pub placeholder_bytes_min: u64,
    /// Count failures of single entries and go on.
    pub ignore_errors: bool,
    /// What is read and decoded at once may have half of this.
    pub memory: MemoryBudget,
    /// Set by whoever wants the restore to stop.
    pub cancel: Arc<AtomicBool>,
}

impl Default for RestoreOptions {
    fn default() -> Self {
        Self {
            parallel: 0,
            overwrite_directories: true,
            overwrite_files: true,
            overwrite_symlinks: true,
            skip_owners: false,
            skip_permissions: false,
            skip_times: false,
            skip_xattrs: false,
            skip_special_files: false,
            skip_hard_links: false,
            drop_set_id: false,
            ignore_permission_errors: true,
            write_sparse_files: false,
            flush_files: false,
            skip_existing: false,
            delete_extra: false,
            shallow_at_depth: None,
            placeholder_bytes_min: 0,
            ignore_errors: false,
            memory: MemoryBudget::UNLIMITED,
            cancel: Arc::default(),
        }
    }
}

impl RestoreOptions {
    pub(super) fn workers(&self) -> usize {
        match self.parallel {
            0 => std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            workers => workers,
        }
    }
}

/// What a restore did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RestoreStats {
    /// Files written.
    pub files: u64,
    /// Directories gone through, the target included.
    pub directories: u64,
    /// Links made.
    pub symlinks: u64,
    /// Names linked to others of the same inode.
    pub hard_links: u64,
    /// FIFOs, sockets and devices made.
    pub specials: u64,
    /// Placeholders written for files and directories.
    pub placeholders: u64,
    /// Extended attributes set.
    pub xattrs: u64,
    /// Bytes in the files written.
    pub bytes: u64,
    /// Files left as they were because their bytes were right.
    pub unchanged_files: u64,
    /// Bytes in them.
    pub unchanged_bytes: u64,
    /// Links left as they were because they lead where they should.
    pub unchanged_symlinks: u64,
    /// Bytes of packs read from the repository.
    pub stored_bytes: u64,
    /// Files and links left alone because they were there.
    pub skipped_files: u64,
    /// Bytes in the files among them.
    pub skipped_bytes: u64,
    /// Files and other things deleted because the snapshot has them not.
    pub deleted_files: u64,
    /// Directories deleted, each with all it held.
    pub deleted_directories: u64,
    /// Links deleted.
    pub deleted_symlinks: u64,
    /// Entries that failed.
    pub ignored_errors: u64,
    /// Extended attributes that could not be set or removed.
    pub ignored_xattr_errors: u64,
    /// FIFOs, sockets and devices that could not be made.
    pub ignored_specials: u64,
    /// Owners, permissions and times that could not be set.
    pub ignored_permission_errors: u64,
}
