//! What all workers of one restore share.

use super::attributes::{Subject, Wanted};
use super::extended::WantedXattrs;
use super::hard_links::HardLinks;
use super::new_file::TemporaryNames;
use super::node::{Node, OpenCount};
use super::queue::{FileBatch, Queue, Task};
use super::{Error, RestoreOptions, RestoreStats, Result};
use crate::base::{ByteGate, Counter, Entropy, ErrorClass, Monitor};
use crate::repo::Repository;
use parking_lot::Mutex;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// One restore.
pub(super) struct Run<'a> {
    pub(super) repository: &'a Repository,
    pub(super) options: &'a RestoreOptions,
    pub(super) monitor: &'a dyn Monitor,
    pub(super) queue: Queue,
    pub(super) temporary_names: TemporaryNames,
    pub(super) open_count: Arc<OpenCount>,
    /// Whether files are flushed before they are closed.
    pub(super) flush: bool,
    /// Whether the monitor has been told how much there is.
    pub(super) totals_known: bool,
    /// Bytes being read and decoded.
    pub(super) gate: ByteGate,
    pub(super) hard_links: HardLinks,
    stats: Mutex<RestoreStats>,
    error: Mutex<Option<Error>>,
    damage: Mutex<Damage>,
}

/// What could not be read from the repository.
#[derive(Default)]
struct Damage {
    count: u64,
    first: Option<Error>,
}

impl Damage {
    fn push(&mut self, error: Error) {
        self.count += 1;
        self.first.get_or_insert(error);
    }

    fn into_error(self) -> Error {
        match self.first {
            Some(first) if self.count == 1 => first,
            first => Error::Damaged { count: self.count, first: first.map(Box::new) },
        }
    }
}

/// Sends everybody home when a worker panics, who would wait for its work forever.
struct StopOnPanic<'a>(&'a Queue);

impl Drop for StopOnPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.finish();
        }
    }
}

impl<'a> Run<'a> {
    pub(super) fn new(
        repository: &'a Repository,
        options: &'a RestoreOptions,
        monitor: &'a dyn Monitor,
    ) -> Self {
        let random = <dyn Entropy>::bytes::<8>(repository.environment().entropy.as_ref());
        Self {
            repository,
            options,
            monitor,
            queue: Queue::default(),
            temporary_names: TemporaryNames::new(random),
            open_count: Arc::default(),
            flush: options.flush_files,
            totals_known: false,
            gate: ByteGate::new(options.memory.buffer_bytes / 2),
            hard_links: HardLinks::default(),
            stats: Mutex::default(),
            error: Mutex::default(),
            damage: Mutex::default(),
        }
    }

    /// Runs the queue dry on all workers, this thread being one of them.
    pub(super) fn work(self) -> Result<RestoreStats> {
        std::thread::scope(|scope| {
            for number in 1..self.options.workers() {
                let name = format!("restore-{number}");
                let spawned =
                    std::thread::Builder::new().name(name).spawn_scoped(scope, || self.work_alone());
                if spawned.is_err() {
                    // Fewer workers are slower, and this one is enough.
                    break;
                }
            }
            self.work_alone();
        });
        let damage = self.damage.into_inner();
        match self.error.into_inner() {
            Some(error) => Err(error),
            None if damage.count > 0 => Err(damage.into_error()),
            None => Ok(self.stats.into_inner()),
        }
    }

    /// What was done, for whoever does not leave the work to the queue.
    pub(super) fn into_stats(self) -> RestoreStats {
        self.stats.into_inner()
    }

    fn work_alone(&self) {
        let _guard = StopOnPanic(&self.queue);
        let mut is_planning = false;
        while let Some(task) = self.queue.next(&mut is_planning) {
            match task {
                Task::Read(read) => self.read(read),
                Task::Examine(examination, group) => self.examine_group(&examination, group),
                Task::Parts(assembly, from, to) => self.plan_parts(&assembly, from, to),
                Task::Files(batch) => self.plan_batch(batch),
                Task::Directory(pending) => self.restore_directory(&pending),
            }
        }
    }

    fn plan_batch(&self, batch: FileBatch) {
        let FileBatch { node, directory, entries } = batch;
        let (mut done, mut planned) = (0, Vec::with_capacity(entries.len()));
        for entry in entries {
            let result =
                self.check_canceled().and_then(|()| self.plan_entry(&node, &directory, entry, &mut planned));
            match result {
                // What was queued will complete it.
                Ok(false) => {}
                Ok(true) => done += 1,
                Err(error) => {
                    done += 1;
                    self.fail(error);
                    if self.queue.is_finished() {
                        return;
                    }
                }
            }
        }
        self.queue.plan(planned);
        drop(directory);
        self.complete(node, done);
    }

    /// Members of a directory are done; if they are the last, so is the directory, and so on upwards.
    pub(super) fn complete(&self, mut node: Arc<Node>, mut members: usize) {
        while members > 0 && node.complete(members) {
            if self.queue.is_finished() {
                return;
            }
            if let Err(error) = self.finish_directory(&node) {
                self.fail(error);
            }
            let Some(parent) = node.parent().cloned() else { return self.queue.finish() };
            (node, members) = (parent, 1);
        }
    }

    fn finish_directory(&self, node: &Node) -> Result<()> {
        let failed = |operation| {
            move |errno: rustix::io::Errno| Error::File { operation, path: node.path(), source: errno.into() }
        };
        let directory = node.directory().map_err(failed("open"))?;
        for name in node.leftovers() {
            // Gone on with and named, if it is not there any more; if it cannot go, it is in nobody's way.
            directory.unlink(name.as_str()).ok();
        }
        let Some(attributes) = node.attributes() else { return Ok(()) };
        let stat = rustix::fs::fstat(directory.fd()).map_err(failed("look at"))?;
        let (owner, path) = ((stat.st_uid, stat.st_gid), || node.path());
        let subject = Subject {
            fd: directory.fd().as_fd(),
            is_directory: true,
            owner,
            xattrs: WantedXattrs::of(node.supplement()),
            may_have_xattrs: true,
            path: &path,
        };
        self.set_attributes(&subject, &Wanted::new(attributes, self.options))?;
        if self.options.flush_files {
            rustix::fs::fsync(directory.fd()).map_err(failed("flush"))?;
        }
        let is_whole = self.count(|stats| {
            stats.directories += 1;
            stats.ignored_errors == 0
        });
        if let (Some(above), Some(name)) = (node.parent(), node.name().to_str())
            && is_whole
            && self.damage.lock().count == 0
        {
            self.fill_in(above, name);
        }
        self.monitor.add(Counter::Directories, 1);
        Ok(())
    }

    /// A single entry failed: forgiven and counted, or the end of the restore. Damage in the repository is not forgiven,
    /// but what it does not concern is restored all the same.
    pub(super) fn fail(&self, error: Error) {
        // After a full disk everything else would fail, too.
        let is_last = matches!(error.class(), ErrorClass::Canceled | ErrorClass::Full);
        if !is_last && (self.options.ignore_errors || error.is_damage()) {
            self.monitor.warn(&error.chain());
            if self.options.ignore_errors {
                self.count(|stats| stats.ignored_errors += 1);
                self.monitor.add(Counter::IgnoredErrors, 1);
            } else {
                self.damage.lock().push(error);
            }
            return;
        }
        self.error.lock().get_or_insert(error);
        self.queue.finish();
    }

    /// # Errors
    /// [`Error::Canceled`] if somebody asked to stop.
    pub(super) fn check_canceled(&self) -> Result<()> {
        if self.options.cancel.load(Ordering::Relaxed) { Err(Error::Canceled) } else { Ok(()) }
    }

    pub(super) fn count<T>(&self, change: impl FnOnce(&mut RestoreStats) -> T) -> T {
        change(&mut self.stats.lock())
    }
}
