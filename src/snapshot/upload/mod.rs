//! From a live tree to a snapshot.
//!
//! One pool of workers does everything; what they do next is decided by `queue::TaskQueue`: chunks of big files first,
//! then batches of small files, then directories not yet listed, deepest first. So at most as many directories are
//! being listed as there are workers, and memory does not follow the size of the tree. A worker that reads a big file
//! and finds the budget for chunks used up hashes chunks itself until there is room.
//!
//! ```text
//! directory ──list──► reuse from the previous snapshot ──────────────────────────────► entry
//!                     small files ──batch──► read, hash ×4, compress, encrypt, pack ──► entries
//!                     big file ──read, split──► chunks ──hash ×4, …──► list of parts ─► entry
//! all entries of a directory there ──► directory manifest ──► entry of the parent
//! ```
//!
//! Beside the workers a thread saves [checkpoints](Checkpoints): what is there of every open directory, as an
//! incomplete snapshot.

mod algorithms;
mod big_file;
mod checkpoint;
mod context;
mod counts;
mod node;
mod previous;
mod queue;
mod small_files;
mod walk;

use super::{DirEntry, Error, Result, SnapshotManifest, SnapshotStats};
use crate::base::Monitor;
use crate::policy::PolicyTree;
use crate::repo::RepositoryWriter;
use crate::source::{Directory, open_single};
use checkpoint::Checkpointer;
pub use checkpoint::{CHECKPOINT, Checkpoints, SaveCheckpoint};
use context::Context;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// How an upload is to be done.
#[derive(Clone)]
pub struct UploadOptions {
    /// Workers; 0 leaves it to the policy, then to the write session.
    pub parallel: usize,
    /// Percentage of unchanged files that are read all the same.
    pub force_hash_percent: f64,
    /// Stop at the first failure that counts.
    pub fail_fast: bool,
    /// Stop when more bytes than these were read; 0 for no limit. What is there by then becomes an incomplete snapshot.
    pub limit_bytes: u64,
    /// Set by whoever wants the upload to stop; what is done so far becomes an incomplete snapshot.
    pub cancel: Arc<AtomicBool>,
}

impl Default for UploadOptions {
    fn default() -> Self {
        let cancel = Arc::new(AtomicBool::new(false));
        Self { parallel: 0, force_hash_percent: 0.0, fail_fast: false, limit_bytes: 0, cancel }
    }
}

/// What an upload made.
#[derive(Debug, Clone)]
pub struct Uploaded {
    /// The root of the tree.
    pub root_entry: DirEntry,
    /// What was counted.
    pub stats: SnapshotStats,
    /// Why it is not complete; empty when it is.
    pub incomplete_reason: String,
}

/// Everything that an upload takes beside its source.
pub struct Upload<'a> {
    /// The policies of the source and of what is below it.
    pub policies: &'a PolicyTree,
    /// Earlier snapshots to compare with, in this order.
    pub previous: &'a [SnapshotManifest],
    /// How it is to be done.
    pub options: &'a UploadOptions,
    /// Who saves what is done so far, if anybody.
    pub checkpoints: Option<Checkpoints<'a>>,
    /// Who is told.
    pub monitor: &'a dyn Monitor,
}

/// Uploads the file or directory at `path`, without checkpoints; see [`Upload::run`].
///
/// # Errors
/// Those of [`Upload::run`].
pub fn upload(
    writer: &mut RepositoryWriter<'_>,
    path: &Path,
    policies: &PolicyTree,
    previous: &[SnapshotManifest],
    monitor: &dyn Monitor,
    options: &UploadOptions,
) -> Result<Uploaded> {
    Upload { policies, previous, options, checkpoints: None, monitor }.run(writer, path)
}

impl Upload<'_> {
    /// Uploads the file or directory at `path`.
    ///
    /// Nothing is visible before the session is flushed, but what a checkpoint makes so.
    ///
    /// # Errors
    /// [`Error::Source`] when the root cannot be read; whatever the repository says when it cannot be written to.
    /// Failures of single entries are no errors: they are counted, named to the monitor, and recorded in the snapshot.
    pub fn run(mut self, writer: &mut RepositoryWriter<'_>, path: &Path) -> Result<Uploaded> {
        let unreadable = |source| Error::Source { path: path.to_owned(), source };
        let failed = |failure| match failure {
            walk::Failure::Source(source) => unreadable(source),
            walk::Failure::Repository(error) => error,
        };
        let metadata = std::fs::metadata(path)
            .map_err(|source| unreadable(crate::source::Error::Root { path: path.to_owned(), source }))?;
        for warning in algorithms::unknown(self.policies) {
            (writer.repository().environment().warn)(&warning);
        }
        let checkpoints = self.checkpoints.take();
        let context = Context::new(writer, &self);
        let checkpointer = checkpoints.map(|checkpoints| Checkpointer { checkpoints, writer });
        if metadata.is_dir() {
            let (directory, entry) = Directory::open_root(path).map_err(unreadable)?;
            walk::upload_directory(&context, directory, entry, self.previous, checkpointer).map_err(failed)
        } else if metadata.is_file() {
            let (parent, entry) = open_single(path).map_err(unreadable)?;
            walk::upload_single(&context, parent, entry, checkpointer).map_err(failed)
        } else {
            Err(Error::UnsupportedSource { path: path.to_owned() })
        }
    }
}
