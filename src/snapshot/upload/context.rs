//! What all workers of an upload share.

use super::Upload;
use super::UploadOptions;
use super::counts::{self, Counts};
use super::node::{Node, OpenDirectories};
use super::queue::TaskQueue;
use crate::actions::{self, Actions, Around, Scope};
use crate::base::{Counter, Monitor};
use crate::compression::{self, Compressor};
use crate::format::IdPrefix;
use crate::object::{ObjectOptions, ObjectWriter};
use crate::policy::{Policy, PolicyTree, compressor_for};
use crate::repo::{Repository, RepositoryWriter, WriteOptions};
use crate::snapshot::{EntryError, Error};
use crate::source::XattrReader;
use crate::splitter::{self, Splitter};
use parking_lot::Mutex;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Why a snapshot is not complete when somebody asked the upload to stop.
const CANCELED: &str = "canceled";
/// Why a snapshot is not complete when as much was read as the upload may read.
const LIMIT_REACHED: &str = "limit reached";

/// How a file is to be cut and compressed.
#[derive(Debug, Clone)]
pub(super) struct FilePlan {
    pub(super) splitter: Arc<dyn Splitter>,
    pub(super) options: ObjectOptions,
    /// Files above this are cut in parts of this length, as Kopia does; 0 for never.
    pub(super) part_bytes: u64,
}

pub(super) struct Context<'a> {
    repository: &'a Repository,
    objects: ObjectWriter,
    write_options: WriteOptions,
    pub(super) policies: &'a PolicyTree,
    pub(super) monitor: &'a dyn Monitor,
    pub(super) options: &'a UploadOptions,
    actions: Option<&'a Arc<Actions>>,
    /// Where the root lies, as commands are told.
    pub(super) root_path: PathBuf,
    pub(super) counts: Counts,
    pub(super) queue: TaskQueue,
    pub(super) directories: OpenDirectories,
    fatal: Mutex<Option<Error>>,
    stopped: AtomicBool,
    fail_fast_hit: AtomicBool,
    read_bytes: AtomicU64,
    pub(super) xattrs: XattrReader,
}

impl<'a> Context<'a> {
    /// Takes from `writer` what all may share, so that whoever saves checkpoints has the writer for itself.
    pub(super) fn new(writer: &RepositoryWriter<'a>, upload: &Upload<'a>, root_path: PathBuf) -> Self {
        let write_options = *writer.options();
        Self {
            repository: writer.repository(),
            objects: writer.objects().clone(),
            write_options,
            policies: upload.policies,
            monitor: upload.monitor,
            options: upload.options,
            actions: upload.actions,
            root_path,
            counts: Counts::default(),
            queue: TaskQueue::new(write_options.memory.chunk_bytes() as usize),
            directories: OpenDirectories::default(),
            fatal: Mutex::new(None),
            stopped: AtomicBool::new(false),
            fail_fast_hit: AtomicBool::new(false),
            read_bytes: AtomicU64::new(0),
            xattrs: XattrReader::default(),
        }
    }

    pub(super) fn repository(&self) -> &'a Repository {
        self.repository
    }

    pub(super) fn objects(&self) -> &ObjectWriter {
        &self.objects
    }

    /// Workers to start.
    pub(super) fn workers(&self) -> usize {
        let policy =
            self.policies.policy().upload.max_parallel_file_reads.and_then(|n| usize::try_from(n).ok());
        match (self.options.parallel, policy) {
            (0, Some(n)) if n > 0 => n,
            (0, _) => self.write_options.threads.max(1),
            (n, _) => n,
        }
    }

    /// Runs what the policy wants to be run before a folder. Only a folder's very own policy counts.
    pub(super) fn begin_folder(&self, policies: &PolicyTree, path: &str) -> actions::Result<Option<Scope>> {
        let Some(actions) = self.actions.filter(|_| policies.is_defined()) else { return Ok(None) };
        let own = &policies.policy().actions;
        let commands = (own.before_folder.as_ref(), own.after_folder.as_ref());
        // Joining an empty path would add a slash.
        let path = if path.is_empty() { self.root_path.clone() } else { self.root_path.join(path) };
        actions.begin(Around::Folder, commands, &path)
    }

    /// Gives up: the repository cannot be written to. The cause counts, whichever worker comes first: the others only
    /// learn that the session has failed.
    pub(super) fn fail(&self, error: impl Into<Error>) {
        let mut fatal = self.fatal.lock();
        if fatal.as_ref().is_none_or(is_consequence) {
            *fatal = Some(error.into());
        }
        drop(fatal);
        self.stopped.store(true, Ordering::Release);
        self.queue.stop();
    }

    pub(super) fn take_fatal(&self) -> Option<Error> {
        self.fatal.lock().take()
    }

    /// Whether the workers must drop everything.
    pub(super) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Acquire)
    }

    /// Whether no new entries are to be taken up.
    pub(super) fn is_canceled(&self) -> bool {
        !self.incomplete_reason().is_empty()
    }

    /// Why the snapshot cannot become complete; empty as long as it can.
    pub(super) fn incomplete_reason(&self) -> &'static str {
        let limit = self.options.limit_bytes;
        if self.options.cancel.load(Ordering::Relaxed) || self.fail_fast_hit.load(Ordering::Relaxed) {
            CANCELED
        } else if limit > 0 && self.read_bytes.load(Ordering::Relaxed) > limit {
            LIMIT_REACHED
        } else {
            ""
        }
    }

    /// Counts bytes of files and links that were read.
    pub(super) fn count_read(&self, bytes: usize) {
        self.read_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Records that the entry at `path` is not in the snapshot, or not all of it.
    pub(super) fn entry_failed(&self, node: &Node, path: &str, message: String, ignored: bool) {
        self.monitor.source_error(path, &message, ignored);
        let (counter, total) = if ignored {
            (Counter::IgnoredErrors, &self.counts.ignored_error_count)
        } else {
            (Counter::FatalErrors, &self.counts.error_count)
        };
        self.monitor.add(counter, 1);
        counts::add(total, 1);
        if !ignored && self.options.fail_fast {
            self.fail_fast_hit.store(true, Ordering::Relaxed);
        }
        node.arrivals.add_failure(EntryError { path: path.to_owned(), error: message }, ignored);
    }

    /// How the file `name` below `policies` is to be written.
    pub(super) fn plan(&self, policy: &Policy, name: &str, size: u64) -> FilePlan {
        let own = self.objects().splitter();
        let splitter = match policy.splitter.algorithm.as_str() {
            "" => Arc::clone(own),
            name => splitter::by_name(name).unwrap_or_else(|| Arc::clone(own)),
        };
        let threshold = policy.upload.parallel_upload_above_size.unwrap_or(0);
        let options = ObjectOptions {
            prefix: IdPrefix::NONE,
            compressor: compressor(compressor_for(&policy.compression, name, size)),
            metadata_compressor: metadata_compressor(policy),
        };
        FilePlan { splitter, options, part_bytes: u64::try_from(threshold).unwrap_or(0) }
    }
}

/// An unknown or empty name means no compression, as in Kopia.
fn compressor(name: &str) -> Option<&'static dyn Compressor> {
    compression::by_name(name)
}

pub(super) fn metadata_compressor(policy: &Policy) -> Option<&'static dyn Compressor> {
    compressor(policy.metadata_compression.compressor())
}

/// Whether an error only says that another one came before.
fn is_consequence(error: &Error) -> bool {
    use crate::{content, object};
    let (Error::Content(inner) | Error::Object(object::Error::Write(inner))) = error else { return false };
    matches!(inner, content::Error::SessionFailed { .. })
}
