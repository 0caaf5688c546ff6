//! Directories: list, compare, hand out the work, and put the results together.

use super::Uploaded;
use super::big_file::{self, BigFile};
use super::checkpoint::Checkpointer;
use super::context::{Context, metadata_compressor};
use super::counts;
use super::node::{Arrivals, Arrived, Node, stored_entry};
use super::previous::{Previous, is_forced};
use super::queue::{Task, TaskQueue};
use super::small_files::{self, FileBatch, is_small};
use crate::base::{Counter, error_chain, gojson};
use crate::content::Scratch;
use crate::format::IdPrefix;
use crate::object::ObjectOptions;
use crate::policy::{Policy, PolicyTree};
use crate::snapshot::{DirEntry, DirSummary, DirectoryManifest, EntryType, Error, SnapshotManifest};
use crate::source::{self, Directory, Entry, EntryKind, IgnoreContext, Listed, is_cache_directory};
use std::collections::HashSet;
use std::sync::Arc;

/// Why an upload made nothing.
pub(super) enum Failure {
    /// The root cannot be read.
    Source(source::Error),
    /// The repository cannot be written to.
    Repository(Error),
}

/// What one worker keeps between tasks.
#[derive(Default)]
pub(super) struct Worker {
    pub(super) arena: Vec<u8>,
    pub(super) scratch: Scratch,
}

/// A directory that was seen in its parent's listing.
pub(super) struct PendingDirectory {
    parent: Arc<Node>,
    entry: Entry,
    name: String,
}

/// Uploads the tree below an open directory.
pub(super) fn upload_directory(
    context: &Context<'_>,
    directory: Directory,
    entry: Entry,
    previous: &[SnapshotManifest],
    checkpointer: Option<Checkpointer<'_, '_>>,
) -> Result<Uploaded, Failure> {
    let roots = previous.iter().filter_map(|snapshot| snapshot.root_entry.as_ref().map(|root| root.obj));
    let previous = Previous::load(context, roots);
    let name = gojson::lossy(&entry.name).into_owned();
    let place = Place { parent: None, name, path: String::new(), policies: context.policies.clone() };
    let ignore = IgnoreContext::root();
    let mut worker = Worker::default();
    // The root is listed here, so that its failure is the upload's.
    let listing =
        Listing::read(context, place, directory, entry, &ignore, previous).map_err(Failure::Source)?;
    let root = Arc::clone(&listing.node);
    listing.dispatch(context, &mut worker);
    run_workers(context, worker, checkpointer);
    match context.take_fatal() {
        Some(error) => Err(Failure::Repository(error)),
        None => Ok(uploaded(context, root_entry(&root))),
    }
}

/// Uploads a single file as the root of a snapshot.
pub(super) fn upload_single(
    context: &Context<'_>,
    parent: Directory,
    entry: Entry,
    checkpointer: Option<Checkpointer<'_, '_>>,
) -> Result<Uploaded, Failure> {
    let name = gojson::lossy(&entry.name).into_owned();
    let plan = context.plan(context.policies.policy(), &name, entry.size);
    let node = Arc::new(Node {
        number: context.directories.number(),
        parent: None,
        directory: parent,
        own: entry.clone(),
        name: String::new(),
        path: String::new(),
        policies: context.policies.clone(),
        ignore: IgnoreContext::root(),
        previous: Previous::default(),
        arrivals: Arrivals::new(),
    });
    // Opened once before, so that an unreadable file is the upload's failure.
    node.directory.open_file(&entry.name).map_err(Failure::Source)?;
    let (mtime, size) = (entry.mtime, entry.size);
    counts::add(&context.counts.non_cached_files, 1);
    // One more is expected, so that the made-up directory never completes.
    node.arrivals.expect(1);
    context.directories.open(&node);
    context.queue.push_big_file(BigFile::new(&node, entry, plan));
    context.queue.finish();
    run_workers(context, Worker::default(), checkpointer);
    if let Some(error) = context.take_fatal() {
        return Err(Failure::Repository(error));
    }
    let (mut entries, mut failures) = node.arrivals.take_members();
    let Some(mut root) = entries.pop() else {
        let message =
            failures.pop().map_or_else(|| "it was not read".to_owned(), |(failure, _)| failure.error);
        return Err(Failure::Source(read_error(name.as_bytes(), std::io::Error::other(message))));
    };
    let summary = DirSummary { size: root.size, files: 1, max_time: mtime, ..DirSummary::default() };
    root.summ = Some(Box::new(summary));
    root.size = size;
    Ok(uploaded(context, root))
}

fn uploaded(context: &Context<'_>, root_entry: DirEntry) -> Uploaded {
    let incomplete_reason = context.incomplete_reason().to_owned();
    Uploaded { root_entry, stats: context.counts.to_stats(), incomplete_reason }
}

/// The root's entry arrives among its own members: it has no parent to arrive at.
fn root_entry(root: &Node) -> DirEntry {
    root.arrivals.take_members().0.pop().expect("workers stop when the root is done, or with an error")
}

/// Runs the queue dry on all workers, this thread being one of them, with checkpoints meanwhile.
fn run_workers(context: &Context<'_>, mut own: Worker, checkpointer: Option<Checkpointer<'_, '_>>) {
    std::thread::scope(|scope| {
        let spawn = |name: String| std::thread::Builder::new().name(name);
        // Dropped when the work is done, which the checkpointer notices.
        let (working, done) = crossbeam_channel::bounded(0);
        if let Some(checkpointer) = checkpointer {
            spawn("checkpoints".to_owned())
                .spawn_scoped(scope, move || checkpointer.run(context, &done))
                .expect("the system can start a thread");
        }
        for number in 1..context.workers() {
            spawn(format!("upload-{number}"))
                .spawn_scoped(scope, || work(context, &mut Worker::default()))
                .expect("the system can start a thread");
        }
        work(context, &mut own);
        drop(working);
    });
}

/// Sends everybody home when a worker panics; they would wait for its work forever.
struct StopOnPanic<'a>(&'a TaskQueue);

impl Drop for StopOnPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.stop();
        }
    }
}

fn work(context: &Context<'_>, worker: &mut Worker) {
    let _guard = StopOnPanic(&context.queue);
    while let Some(task) = context.queue.next() {
        match task {
            Task::Chunks(chunks) => big_file::store_chunks(context, chunks, worker),
            Task::Files(batch) => small_files::process(context, batch, worker),
            Task::BigFile(file) => big_file::process(context, file, worker),
            Task::Directory(pending) => list_directory(context, pending, worker),
        }
    }
}

fn list_directory(context: &Context<'_>, pending: PendingDirectory, worker: &mut Worker) {
    let PendingDirectory { parent, entry, name } = pending;
    if context.is_canceled() {
        return arrived(context, &parent, 1, worker);
    }
    let path = parent.path_of(&name);
    let policies = parent.policies.child(&name).clone();
    context.monitor.current(&path);
    let opened = parent.directory.open_directory(&entry.name).and_then(|directory| {
        let previous = Previous::load(context, parent.previous.child_directories(&name));
        let place =
            Place { parent: Some(Arc::clone(&parent)), name, path: path.clone(), policies: policies.clone() };
        Listing::read(context, place, directory, entry, &parent.ignore, previous)
    });
    match opened {
        Ok(listing) => listing.dispatch(context, worker),
        Err(error) => {
            let ignored = policies.policy().error_handling.ignore_directory_errors.unwrap_or(false);
            context.entry_failed(&parent, &path, error_chain(&error), ignored);
            arrived(context, &parent, 1, worker);
        }
    }
}

/// Where a directory stands.
struct Place {
    parent: Option<Arc<Node>>,
    name: String,
    path: String,
    policies: PolicyTree,
}

/// A directory with all its members named, none of them looked into.
struct Listing {
    node: Arc<Node>,
    listed: Vec<Listed>,
    is_cache: bool,
}

impl Listing {
    fn read(
        context: &Context<'_>,
        place: Place,
        directory: Directory,
        own: Entry,
        outer: &Arc<IgnoreContext>,
        previous: Previous,
    ) -> source::Result<Self> {
        let Place { parent, name, path, policies } = place;
        let listed = directory.list()?;
        let rooted = if path.is_empty() { String::new() } else { format!("/{path}") };
        let ignore =
            IgnoreContext::enter(outer, &directory, &listed, &rooted, policies.ignore_policy().as_ref())?;
        let is_cache = policies.policy().files.ignore_cache_dirs.unwrap_or(true)
            && is_cache_directory(&directory, &listed);
        let arrivals = Arrivals::new();
        let number = context.directories.number();
        let node = Arc::new(Node {
            number,
            parent,
            directory,
            own,
            name,
            path,
            policies,
            ignore,
            previous,
            arrivals,
        });
        Ok(Self { node, listed, is_cache })
    }

    /// Takes over what is unchanged, and hands out everything else.
    fn dispatch(self, context: &Context<'_>, worker: &mut Worker) {
        let Self { node, listed, is_cache } = self;
        context.directories.open(&node);
        counts::add(&context.counts.dir_count, 1);
        if is_cache {
            counts::add(&context.counts.excluded_dir_count, 1);
            context.monitor.add(Counter::ExcludedDirs, 1);
        } else {
            Dispatcher::new(context, &node).members(listed);
        }
        arrived(context, &node, 1, worker);
    }
}

/// Hands out the members of one directory.
struct Dispatcher<'a, 'b> {
    context: &'a Context<'b>,
    node: &'a Arc<Node>,
    batch: FileBatch,
    directories: Vec<PendingDirectory>,
    unchanged: Vec<DirEntry>,
    mangled: HashSet<String>,
    /// The path of the member at hand, from the root, with a leading slash.
    path: String,
}

impl<'a, 'b> Dispatcher<'a, 'b> {
    fn new(context: &'a Context<'b>, node: &'a Arc<Node>) -> Self {
        let path = if node.path.is_empty() { "/".to_owned() } else { format!("/{}/", node.path) };
        Self {
            context,
            node,
            batch: FileBatch::new(node),
            directories: Vec::new(),
            unchanged: Vec::new(),
            mangled: HashSet::new(),
            path,
        }
    }

    fn members(mut self, listed: Vec<Listed>) {
        let prefix = self.path.len();
        for member in listed {
            if self.context.is_canceled() {
                break;
            }
            let name = gojson::lossy(member.name()).into_owned();
            self.path.truncate(prefix);
            self.path.push_str(&name);
            if self.is_included(&member) && self.is_distinct(&member, &name) {
                match member {
                    Listed::Entry(entry) => self.member(entry, name),
                    Listed::Failed { is_dir_hint, error, .. } => self.unlisted(&name, is_dir_hint, &error),
                }
            }
        }
        self.flush_batch();
        self.node.arrivals.add_entries(std::mem::take(&mut self.unchanged));
        // Taken from the end, so that directories are walked in order.
        self.directories.reverse();
        self.node.arrivals.expect(self.directories.len());
        self.context.queue.push_directories(std::mem::take(&mut self.directories));
    }

    fn is_included(&self, member: &Listed) -> bool {
        let (counts, monitor) = (&self.context.counts, self.context.monitor);
        self.node.ignore.includes(&self.path, member, self.node.own.device, &mut |excluded| {
            if excluded.is_directory() {
                counts::add(&counts.excluded_dir_count, 1);
                monitor.add(Counter::ExcludedDirs, 1);
            } else {
                counts::add(&counts.excluded_file_count, 1);
                counts::add(&counts.excluded_total_size, excluded.entry().map_or(0, |entry| entry.size));
                monitor.add(Counter::ExcludedFiles, 1);
            }
        })
    }

    /// Two names whose bytes are no UTF-8 may become one. Only one entry of a name can be restored, and Kopia would even
    /// collect the other's data, so the second is a failure and not a silent loss.
    fn is_distinct(&mut self, member: &Listed, name: &str) -> bool {
        if std::str::from_utf8(member.name()).is_ok() || self.mangled.insert(name.to_owned()) {
            return true;
        }
        let ignored = self.node.policies.policy().error_handling.ignore_file_errors.unwrap_or(false);
        let message = format!(
            "its name (bytes {}) is not UTF-8 and becomes equal to another's when stored",
            hex::encode(member.name())
        );
        self.context.entry_failed(self.node, &self.node.path_of(name), message, ignored);
        false
    }

    fn member(&mut self, entry: Entry, name: String) {
        match entry.kind {
            EntryKind::Directory => {
                let parent = Arc::clone(self.node);
                self.directories.push(PendingDirectory { parent, entry, name });
            }
            EntryKind::File | EntryKind::Symlink => self.file(entry, &name),
            EntryKind::Other => self.unknown(&name),
        }
    }

    fn file(&mut self, entry: Entry, name: &str) {
        let context = self.context;
        if let Some(known) = self.find_unchanged(&entry, name) {
            counts::add(&context.counts.cached_files, 1);
            counts::add(&context.counts.total_size, known.size);
            context.monitor.add(Counter::CachedFiles, 1);
            context.monitor.add(Counter::CachedBytes, known.size);
            self.unchanged.push(known);
            return;
        }
        let tree = self.node.policies.child(name);
        let mut plan = context.plan(tree.policy(), name, entry.size);
        if entry.kind == EntryKind::Symlink {
            plan.options.compressor = None;
        } else {
            counts::add(&context.counts.non_cached_files, 1);
            if !is_small(&plan, entry.size) {
                self.node.arrivals.expect(1);
                context.queue.push_big_file(BigFile::new(self.node, entry, plan));
                return;
            }
        }
        self.batch.push(entry, plan);
        if self.batch.is_full() {
            self.flush_batch();
        }
    }

    /// The entry to store without reading the file: metadata of today, data of the earlier snapshot. A name that is not
    /// UTF-8 never matches: it may stand for another's.
    fn find_unchanged(&self, entry: &Entry, name: &str) -> Option<DirEntry> {
        let options = self.context.options;
        let entropy = self.context.repository().environment().entropy.as_ref();
        std::str::from_utf8(&entry.name).ok()?;
        let known = self.node.previous.find_unchanged(entry, name)?;
        if is_forced(options.force_hash_percent, entropy) {
            return None;
        }
        Some(DirEntry { obj: known.obj, ..stored_entry(entry, name.to_owned(), known.kind) })
    }

    fn unknown(&self, name: &str) {
        let policy = self.node.policies.child(name).policy();
        if !policy.error_handling.ignore_unknown_types.unwrap_or(true) {
            let message = "it is neither a file, a directory nor a link".to_owned();
            self.context.entry_failed(self.node, &self.node.path_of(name), message, false);
        }
    }

    fn unlisted(&self, name: &str, is_directory: bool, error: &std::io::Error) {
        let handling = &self.node.policies.child(name).policy().error_handling;
        let forgiven =
            if is_directory { handling.ignore_directory_errors } else { handling.ignore_file_errors };
        let path = self.node.path_of(name);
        self.context.entry_failed(self.node, &path, error.to_string(), forgiven.unwrap_or(false));
    }

    fn flush_batch(&mut self) {
        if self.batch.is_empty() {
            return;
        }
        let batch = std::mem::replace(&mut self.batch, FileBatch::new(self.node));
        self.node.arrivals.expect(batch.len());
        self.context.queue.push_files(batch);
    }
}

/// Records that a file or link could not be read.
pub(super) fn file_failed(context: &Context<'_>, node: &Node, entry: &Entry, error: &source::Error) {
    // It vanished between listing and opening: as if it had never been there.
    if error.is_not_found() {
        return;
    }
    let ignored = node.policies.policy().error_handling.ignore_file_errors.unwrap_or(false);
    context.entry_failed(node, &node.path_of(&gojson::lossy(&entry.name)), error_chain(error), ignored);
}

/// A failed read of a file that was open.
pub(super) fn read_error(name: &[u8], source: std::io::Error) -> source::Error {
    source::Error::Entry { operation: "read", name: gojson::lossy(name).into_owned(), source }
}

/// Notes that `n` members of a directory are there. Whoever brings the last stores the directory, and so on upwards.
pub(super) fn arrived(context: &Context<'_>, node: &Arc<Node>, n: usize, worker: &mut Worker) {
    let mut node = Arc::clone(node);
    let mut n = n;
    while n > 0 && node.arrivals.arrived(n) && !context.is_stopped() {
        let entry = match store_directory(context, &node, worker) {
            Ok(entry) => entry,
            Err(error) => return context.fail(error),
        };
        context.monitor.add(Counter::Directories, 1);
        let Some(parent) = node.parent.clone() else {
            node.arrivals.add_entries([entry]);
            context.directories.close(&node);
            return context.queue.finish();
        };
        parent.arrivals.add_entries([entry]);
        context.directories.close(&node);
        node = parent;
        n = 1;
    }
}

fn store_directory(
    context: &Context<'_>,
    node: &Node,
    worker: &mut Worker,
) -> crate::object::Result<DirEntry> {
    let members = node.arrivals.take_members();
    write_directory(context, node, members, context.incomplete_reason(), &mut worker.scratch)
}

/// Writes the manifest of a directory with these members; its entry.
pub(super) fn write_directory(
    context: &Context<'_>,
    node: &Node,
    (entries, failures): Arrived,
    incomplete: &str,
    scratch: &mut Scratch,
) -> crate::object::Result<DirEntry> {
    let manifest = DirectoryManifest::build(entries, failures, node.own.mtime, incomplete);
    let mut json = manifest.to_bytes();
    let options = directory_options(node.policies.policy());
    let object = context.objects().write(&mut json, &options, scratch)?;
    let mut entry = stored_entry(&node.own, node.name.clone(), EntryType::Directory);
    entry.obj = object;
    entry.summ = manifest.summary.map(Box::new);
    Ok(entry)
}

fn directory_options(policy: &Policy) -> ObjectOptions {
    let compressor = metadata_compressor(policy);
    ObjectOptions { prefix: IdPrefix::DIRECTORY, compressor, metadata_compressor: compressor }
}
