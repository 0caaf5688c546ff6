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
mod dispatch;
mod identity;
mod look;
mod node;
mod placeholder;
mod previous;
mod queue;
mod single;
mod small_files;
mod walk;

use super::{DirEntry, Error, Result, SnapshotManifest, SnapshotStats};
use crate::actions::{Actions, Around, Scope};
use crate::base::{Counter, Monitor};
use crate::policy::PolicyTree;
use crate::repo::RepositoryWriter;
use crate::source::{Directory, open_block_device, open_single};
use big_file::Input;
use checkpoint::Checkpointer;
pub use checkpoint::{CHECKPOINT, Checkpoints, SaveCheckpoint};
use context::Context;
pub use identity::EntryForm;
pub use single::Stream;
use std::fs::Metadata;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use walk::Failure;

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
    /// What entries of files say. [`EntryForm::Plain`] by default: then directories are Kopia's, byte for byte.
    pub entries: EntryForm,
    /// Set by whoever wants the upload to stop; what is done so far becomes an incomplete snapshot.
    pub cancel: Arc<AtomicBool>,
}

impl Default for UploadOptions {
    fn default() -> Self {
        let cancel = Arc::new(AtomicBool::new(false));
        let entries = EntryForm::default();
        Self { parallel: 0, force_hash_percent: 0.0, fail_fast: false, limit_bytes: 0, entries, cancel }
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
    /// Who runs the commands of the policies, if anybody.
    pub actions: Option<&'a Arc<Actions>>,
    /// Who saves what is done so far, if anybody.
    pub checkpoints: Option<Checkpoints<'a>>,
    /// Who is told.
    pub monitor: &'a dyn Monitor,
}

/// What is uploaded.
pub enum UploadSource<'a> {
    /// A directory, a file, or a block device.
    Path(&'a Path),
    /// Something that can only be read once.
    Stream(Stream),
}

/// Uploads what lies at `path`, without checkpoints and actions; see [`Upload::run`].
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
    Upload { policies, previous, options, actions: None, checkpoints: None, monitor }
        .run(writer, UploadSource::Path(path))
}

impl Upload<'_> {
    /// Uploads a source.
    ///
    /// Nothing is visible before the session is flushed, but what a checkpoint makes so.
    ///
    /// # Errors
    /// [`Error::Source`] when the root cannot be read, [`Error::Action`] when a command before it has failed that must
    /// not; whatever the repository says when it cannot be written to. Failures of single entries are no errors: they
    /// are counted, named to the monitor, and recorded in the snapshot.
    pub fn run(self, writer: &mut RepositoryWriter<'_>, source: UploadSource<'_>) -> Result<Uploaded> {
        for warning in algorithms::unknown(self.policies) {
            (writer.repository().environment().warn)(&warning);
        }
        match source {
            UploadSource::Path(path) => {
                let metadata = std::fs::metadata(path).map_err(|source| {
                    let source = crate::source::Error::Root { path: path.to_owned(), source };
                    Error::Source { path: path.to_owned(), source }
                })?;
                if metadata.is_dir() {
                    self.directory(writer, path)
                } else {
                    self.file(writer, path, &metadata)
                }
            }
            UploadSource::Stream(stream) => {
                let path = PathBuf::from(&stream.directory);
                let (context, checkpointer) = self.begin(writer, &path);
                single::upload_stream(&context, stream, checkpointer).map_err(|failure| failure.of(&path))
            }
        }
    }

    fn begin<'c, 'w>(
        mut self,
        writer: &'c mut RepositoryWriter<'w>,
        path: &Path,
    ) -> (Context<'c>, Option<Checkpointer<'c, 'w>>)
    where
        Self: 'c,
    {
        let checkpoints = self.checkpoints.take();
        let context = Context::new(writer, &self, path.to_owned());
        (context, checkpoints.map(|checkpoints| Checkpointer { checkpoints, writer }))
    }

    /// The newest complete snapshot tells about how much there will be, without a walk of its own.
    fn announce(&self) {
        let newest = self.previous.iter().find(|snapshot| snapshot.is_complete());
        let root = newest.and_then(|snapshot| snapshot.root_entry.as_ref());
        if let Some(summary) = root.and_then(|root| root.summ.as_deref()) {
            self.monitor.add(Counter::ExpectedFiles, summary.files);
            self.monitor.add(Counter::ExpectedBytes, summary.size);
        }
    }

    fn directory(self, writer: &mut RepositoryWriter<'_>, path: &Path) -> Result<Uploaded> {
        self.announce();
        let own = &self.policies.policy().actions;
        let commands = (own.before_snapshot_root.as_ref(), own.after_snapshot_root.as_ref());
        let previous = self.previous;
        // Ends with this function: then the command after is run.
        let scope = self.actions.map(|actions| actions.begin(Around::SnapshotRoot, commands, path));
        let scope = scope.transpose().map_err(|error| Failure::Action(error).of(path))?.flatten();
        let read = scope.as_ref().and_then(Scope::replacement).unwrap_or(path);
        let (directory, mut entry) =
            Directory::open_root(read).map_err(|error| Failure::Source(error).of(read))?;
        if let Some(name) = path.file_name() {
            entry.name = name.as_bytes().into();
        }
        let (context, checkpointer) = self.begin(writer, path);
        walk::upload_directory(&context, directory, entry, previous, checkpointer)
            .map_err(|failure| failure.of(path))
    }

    fn file(self, writer: &mut RepositoryWriter<'_>, path: &Path, metadata: &Metadata) -> Result<Uploaded> {
        let failed = |failure: Failure| failure.of(path);
        let (parent, entry, input) = if metadata.is_file() {
            let (parent, entry) = open_single(path).map_err(Failure::Source).map_err(failed)?;
            (parent, entry, Input::ByName)
        } else if metadata.file_type().is_block_device() {
            let (parent, entry, device) = open_block_device(path).map_err(Failure::Source).map_err(failed)?;
            (parent, entry, Input::Reader(Box::new(device)))
        } else {
            return Err(Error::UnsupportedSource { path: path.to_owned() });
        };
        let (context, checkpointer) = self.begin(writer, path);
        single::upload_file(&context, parent, entry, input, checkpointer).map_err(failed)
    }
}
