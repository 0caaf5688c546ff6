//! Directories: list, have the work handed out, and put the results together.

use super::Uploaded;
use super::big_file;
use super::checkpoint::Checkpointer;
use super::context::{Context, metadata_compressor};
use super::counts;
use super::dispatch::Dispatcher;
use super::identity::Identities;
use super::look::Look;
use super::node::{Arrivals, Arrived, Node, stored_entry};
use super::previous::{Previous, PreviousFiles};
use super::queue::{Task, TaskQueue};
use super::small_files;
use crate::actions::{self, Scope};
use crate::base::{Counter, error_chain, gojson};
use crate::content::Scratch;
use crate::format::IdPrefix;
use crate::object::{ObjectId, ObjectOptions};
use crate::policy::{Policy, PolicyTree};
use crate::snapshot::directory_stream::{self, write_members};
use crate::snapshot::{DirEntry, DirectorySupplement, EntryType, Error, SnapshotManifest};
use crate::source::{self, Directory, Entry, IgnoreContext, Names, is_cache_directory};
use parking_lot::Mutex;
use std::path::Path;
use std::sync::Arc;

/// Why an upload made nothing.
pub(super) enum Failure {
    /// The root cannot be read.
    Source(source::Error),
    /// A command before it failed.
    Action(actions::Error),
    /// The repository cannot be written to.
    Repository(Error),
}

impl Failure {
    /// The failure of the source at `path`.
    pub(super) fn of(self, path: &Path) -> Error {
        match self {
            Self::Source(source) => Error::Source { path: path.to_owned(), source },
            Self::Action(source) => Error::Action { path: path.to_owned(), source },
            Self::Repository(error) => error,
        }
    }
}

/// What one worker keeps between tasks.
#[derive(Default)]
pub(super) struct Worker {
    pub(super) arena: Vec<u8>,
    pub(super) scratch: Scratch,
}

/// A directory that was seen in its parent's listing.
pub(super) struct PendingDirectory {
    pub(super) parent: Arc<Node>,
    pub(super) entry: Entry,
    pub(super) name: String,
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
    let roots: Vec<_> = roots.collect();
    let name = gojson::lossy(&entry.name).into_owned();
    let scope = context.begin_folder(context.policies, "").map_err(Failure::Action)?;
    let (directory, entry) = entered(scope.as_ref(), || Ok(directory), entry).map_err(Failure::Source)?;
    let policies = context.policies.clone();
    let place = Place { parent: None, name, path: String::new(), policies, scope };
    let ignore = IgnoreContext::root();
    let mut worker = Worker::default();
    // The root is listed here, so that its failure is the upload's.
    let listing =
        Listing::read(context, place, directory, entry, &ignore, &roots).map_err(Failure::Source)?;
    let root = Arc::clone(&listing.node);
    listing.dispatch(context, &mut worker);
    run_workers(context, worker, checkpointer);
    match context.take_fatal() {
        Some(error) => Err(Failure::Repository(error)),
        None => Ok(uploaded(context, root_entry(&root))),
    }
}

pub(super) fn uploaded(context: &Context<'_>, root_entry: DirEntry) -> Uploaded {
    let incomplete_reason = context.incomplete_reason().to_owned();
    Uploaded { root_entry, stats: context.counts.to_stats(), incomplete_reason }
}

/// The root's entry arrives among its own members: it has no parent to arrive at.
pub(super) fn root_entry(root: &Node) -> DirEntry {
    root.arrivals
        .take_members()
        .entries
        .stored_order()
        .next()
        .expect("workers stop when the root is done, or with an error")
}

/// Runs the queue dry on all workers, this thread being one of them, with checkpoints meanwhile.
pub(super) fn run_workers(
    context: &Context<'_>,
    mut own: Worker,
    checkpointer: Option<Checkpointer<'_, '_>>,
) {
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
        perform(context, task, worker);
    }
}

pub(super) fn perform(context: &Context<'_>, task: Task, worker: &mut Worker) {
    match task {
        Task::Chunks(chunks) => big_file::store_chunks(context, chunks, worker),
        Task::Files(batch) => small_files::process(context, batch, worker),
        Task::BigFile(file) => big_file::process(context, file, worker),
        Task::Directory(pending) => list_directory(context, pending, worker),
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
    let opened = context.begin_folder(&policies, &path).map_err(|error| error_chain(&error));
    let opened = opened.and_then(|scope| {
        let open = || {
            let raw_name = entry.name.clone();
            let open = || parent.directory.open_directory(&raw_name);
            let (directory, entry) = entered(scope.as_ref(), open, entry)?;
            let known: Vec<_> = parent.previous.objects_of(&name).collect();
            let parent_node = Some(Arc::clone(&parent));
            let place =
                Place { parent: parent_node, name, path: path.clone(), policies: policies.clone(), scope };
            Listing::read(context, place, directory, entry, &parent.ignore, &known)
        };
        open().map_err(|error: source::Error| error_chain(&error))
    });
    match opened {
        Ok(listing) => listing.dispatch(context, worker),
        Err(error) => {
            let ignored = policies.policy().error_handling.ignore_directory_errors.unwrap_or(false);
            context.entry_failed(&parent, &path, error, ignored);
            arrived(context, &parent, 1, worker);
        }
    }
}

/// What is read for a folder: where the command before it leads, or the folder itself; by the folder's name in either
/// case, because it is restored there.
fn entered(
    scope: Option<&Scope>,
    open: impl FnOnce() -> source::Result<Directory>,
    entry: Entry,
) -> source::Result<(Directory, Entry)> {
    match scope.and_then(Scope::replacement) {
        None => Ok((open()?, entry)),
        Some(path) => {
            let (directory, other) = Directory::open_root(path)?;
            Ok((directory, Entry { name: entry.name, ..other }))
        }
    }
}

/// Where a directory stands.
struct Place {
    parent: Option<Arc<Node>>,
    name: String,
    path: String,
    policies: PolicyTree,
    scope: Option<Scope>,
}

/// Names the members of a directory and loads what earlier snapshots hold of it: at once, where that is much.
fn name_and_load(
    context: &Context<'_>,
    directory: &Directory,
    known: &[ObjectId],
) -> (source::Result<Names>, Previous) {
    let load = || Previous::load(context, known.iter().copied());
    if known.iter().all(|id| id.list().is_none()) {
        return (directory.names(), load());
    }
    std::thread::scope(|scope| {
        let names = scope.spawn(|| directory.names());
        let previous = load();
        (names.join().expect("a panic while names are read is one here"), previous)
    })
}

/// A directory with all its members named, none of them looked into.
struct Listing {
    node: Arc<Node>,
    names: Names,
    known: PreviousFiles,
    is_cache: bool,
}

impl Listing {
    fn read(
        context: &Context<'_>,
        place: Place,
        directory: Directory,
        own: Entry,
        outer: &Arc<IgnoreContext>,
        known: &[ObjectId],
    ) -> source::Result<Self> {
        let Place { parent, name, path, policies, scope } = place;
        let now = context.repository().environment().clock.now();
        let above = parent.as_ref().map(|parent| parent.identities);
        let root_device = Identities::root_device(above, &own);
        let identities = Identities::new(context.options.entries, now, root_device);
        let look = (!identities.are_plain()).then(|| Look::at_directory(context, &directory, &own));
        let (supplement, failure) = look.map(Look::into_directory).unwrap_or_default();
        let (names, previous) = name_and_load(context, &directory, known);
        let names = names?;
        let rooted = if path.is_empty() { String::new() } else { format!("/{path}") };
        let ignore =
            IgnoreContext::enter(outer, &directory, &names, &rooted, policies.ignore_policy().as_ref())?;
        let is_cache = policies.policy().files.ignore_cache_dirs.unwrap_or(true)
            && is_cache_directory(&directory, &names);
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
            previous: previous.directories,
            identities,
            supplement,
            arrivals,
            broken: Mutex::default(),
            scope: Mutex::new(scope),
        });
        if let Some(failure) = failure {
            context.entry_failed(&node, &node.path, failure, true);
        }
        Ok(Self { node, names, known: previous.files, is_cache })
    }

    /// Takes over what is unchanged, and hands out everything else.
    fn dispatch(self, context: &Context<'_>, worker: &mut Worker) {
        let Self { node, names, known, is_cache } = self;
        context.directories.open(&node);
        counts::add(&context.counts.dir_count, 1);
        if is_cache {
            counts::add(&context.counts.excluded_dir_count, 1);
            context.monitor.add(Counter::ExcludedDirs, 1);
        } else {
            Dispatcher::new(context, &node, known).members(&names, worker);
        }
        arrived(context, &node, 1, worker);
    }
}

/// Records that a file or link could not be read. One that has vanished is no exception: it may have got a name that
/// was not listed, and then it is nowhere in the snapshot.
pub(super) fn file_failed(context: &Context<'_>, node: &Node, entry: &Entry, error: &source::Error) {
    let ignored = node.policies.policy().error_handling.ignore_file_errors.unwrap_or(false);
    context.entry_failed(node, &node.path_of(&gojson::lossy(&entry.name)), error_chain(error), ignored);
}

/// A failed read of a file that was open.
pub(super) fn read_error(name: &[u8], source: std::io::Error) -> source::Error {
    source::Error::of_entry("read", name, source)
}

/// Notes that `n` members of a directory are there. Whoever brings the last stores the directory, and so on upwards.
pub(super) fn arrived(context: &Context<'_>, node: &Arc<Node>, n: usize, worker: &mut Worker) {
    let mut node = Arc::clone(node);
    let mut n = n;
    while n > 0 && node.arrivals.arrived(n) && !context.is_stopped() {
        let broken = node.broken.lock().take();
        if let Some(error) = broken {
            let Some(parent) = give_up(context, &node, error) else { return };
            (node, n) = (parent, 1);
            continue;
        }
        let entry = match store_directory(context, &node, worker) {
            Ok(entry) => entry,
            Err(error) => return context.fail(error),
        };
        context.monitor.add(Counter::Directories, 1);
        let Some(parent) = node.parent.clone() else {
            node.arrivals.add_entries([entry]);
            context.directories.close(&node);
            node.leave();
            return context.queue.finish();
        };
        node.leave();
        parent.arrivals.add_entries([entry]);
        context.directories.close(&node);
        node = parent;
        n = 1;
    }
}

/// A listing that broke off makes the directory a failure of the one above it; the root's is the upload's.
fn give_up(context: &Context<'_>, node: &Arc<Node>, error: source::Error) -> Option<Arc<Node>> {
    node.leave();
    context.directories.close(node);
    let Some(parent) = node.parent.clone() else {
        context.fail(Failure::Source(error).of(&context.root_path));
        return None;
    };
    let ignored = node.policies.policy().error_handling.ignore_directory_errors.unwrap_or(false);
    context.entry_failed(&parent, &node.path, error_chain(&error), ignored);
    Some(parent)
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
    arrived: Arrived,
    incomplete: &str,
    scratch: &mut Scratch,
) -> crate::object::Result<DirEntry> {
    let Arrived { mut entries, specials, failures } = arrived;
    entries.sort();
    let supplement = DirectorySupplement::of(specials);
    let stream = context.objects().stream(directory_options(node.policies.policy()), scratch);
    let directory = directory_stream::Directory { failures, mtime: node.own.mtime, incomplete, supplement };
    let (object, summary) = write_members(stream, entries.stored_order(), directory)?;
    let mut entry = stored_entry(&node.own, node.name.clone(), EntryType::Directory);
    entry.obj = object;
    entry.summ = Some(Box::new(summary));
    entry.supplement.clone_from(&node.supplement);
    Ok(entry)
}

fn directory_options(policy: &Policy) -> ObjectOptions {
    let compressor = metadata_compressor(policy);
    ObjectOptions { prefix: IdPrefix::DIRECTORY, compressor, metadata_compressor: compressor }
}
