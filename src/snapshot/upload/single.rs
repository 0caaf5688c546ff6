//! Sources that are no directories: a file, a block device, a stream.

use super::Uploaded;
use super::big_file::{BigFile, Input};
use super::checkpoint::Checkpointer;
use super::context::Context;
use super::counts;
use super::identity::Identities;
use super::node::{Arrivals, Arrived, Node};
use super::previous::PreviousDirectories;
use super::walk::{Failure, Worker, read_error, root_entry, run_workers, uploaded};
use crate::base::{Timestamp, gojson};
use crate::snapshot::DirSummary;
use crate::source::{Directory, Entry, EntryKind, IgnoreContext};
use parking_lot::Mutex;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

/// A stream that is saved as the only file of a directory which is nowhere.
pub struct Stream {
    /// Name of the directory: the source's path.
    pub directory: String,
    /// Name of the file.
    pub name: String,
    /// Its bytes.
    pub reader: Box<dyn Read + Send>,
    /// Whether nothing is to be saved when the bytes cannot be read to their end. Otherwise that is a failed entry.
    pub is_essential: bool,
}

/// Time of a directory that is nowhere: Go's zero time, as Kopia stores it.
const NO_TIME: Timestamp = Timestamp::from_nanos(-6_795_364_578_871_345_152);
/// Mode of what is nowhere.
const NO_PERMISSIONS: u32 = 0o777;

/// Uploads a single file, or what `input` reads, as the root of a snapshot.
pub(super) fn upload_file(
    context: &Context<'_>,
    parent: Directory,
    entry: Entry,
    input: Input,
    checkpointer: Option<Checkpointer<'_, '_>>,
) -> Result<Uploaded, Failure> {
    let name = gojson::lossy(&entry.name).into_owned();
    let plan = context.plan(context.policies.policy(), &name, entry.size);
    let mut node = lone_node(context, parent, entry.clone(), String::new());
    if matches!(input, Input::ByName) {
        let now = context.repository().environment().clock.now();
        node.identities = Identities::new(context.options.entries, now, entry.device);
    }
    let node = Arc::new(node);
    if matches!(input, Input::ByName) {
        // Opened once before, so that an unreadable file is the upload's failure.
        node.directory.open_file(&entry.name).map_err(Failure::Source)?;
    }
    let (mtime, size) = (entry.mtime, entry.size);
    // One more is expected, so that the made-up directory never completes.
    node.arrivals.expect(1);
    context.directories.open(&node);
    context.queue.push_big_file(BigFile::new(&node, entry, plan, input));
    context.queue.finish();
    run_workers(context, Worker::default(), checkpointer);
    if let Some(error) = context.take_fatal() {
        return Err(Failure::Repository(error));
    }
    let Arrived { entries, mut failures, .. } = node.arrivals.take_members();
    let Some(mut root) = entries.stored_order().next() else {
        let message =
            failures.pop().map_or_else(|| "it was not read".to_owned(), |(failure, _)| failure.error);
        return Err(Failure::Source(read_error(name.as_bytes(), std::io::Error::other(message))));
    };
    let summary = DirSummary { size: root.size, files: 1, max_time: mtime, ..DirSummary::default() };
    root.summ = Some(Box::new(summary));
    root.size = size;
    Ok(uploaded(context, root))
}

/// Uploads a stream in a directory of its own.
///
/// Source: kopia `fs/virtualfs/virtualfs.go`, `cli/command_snapshot_create.go` (`getContentToSnapshot`).
pub(super) fn upload_stream(
    context: &Context<'_>,
    stream: Stream,
    checkpointer: Option<Checkpointer<'_, '_>>,
) -> Result<Uploaded, Failure> {
    let Stream { directory, name, reader, is_essential } = stream;
    let now = context.repository().environment().clock.now();
    let entry = nowhere(&name, EntryKind::File, now);
    // Nothing is read of it, but every node has an open directory.
    let (open, _) = Directory::open_root(Path::new("/")).map_err(Failure::Source)?;
    let own = nowhere(&directory, EntryKind::Directory, NO_TIME);
    let root = Arc::new(lone_node(context, open, own, directory));
    context.directories.open(&root);
    counts::add(&context.counts.dir_count, 1);
    counts::add(&context.counts.non_cached_files, 1);
    // The file stands for the listing that a directory waits for: with it the root is complete.
    let plan = context.plan(context.policies.child(&name).policy(), &name, 0);
    context.queue.push_big_file(BigFile::new(&root, entry, plan, Input::Reader(reader)));
    run_workers(context, Worker::default(), checkpointer);
    if let Some(error) = context.take_fatal() {
        return Err(Failure::Repository(error));
    }
    let root = root_entry(&root);
    let failure = root.summ.as_ref().and_then(|summary| summary.errors.first());
    match failure {
        Some(failure) if is_essential => {
            let cause = std::io::Error::other(failure.error.clone());
            Err(Failure::Source(read_error(name.as_bytes(), cause)))
        }
        _ => Ok(uploaded(context, root)),
    }
}

/// A directory without anything above it or before it.
fn lone_node(context: &Context<'_>, directory: Directory, own: Entry, name: String) -> Node {
    Node {
        number: context.directories.number(),
        parent: None,
        directory,
        own,
        name,
        path: String::new(),
        policies: context.policies.clone(),
        ignore: IgnoreContext::root(),
        previous: PreviousDirectories::default(),
        identities: Identities::PLAIN,
        supplement: None,
        arrivals: Arrivals::new(),
        broken: Mutex::default(),
        scope: Mutex::default(),
    }
}

fn nowhere(name: &str, kind: EntryKind, mtime: Timestamp) -> Entry {
    Entry {
        name: name.as_bytes().into(),
        kind,
        permissions: NO_PERMISSIONS,
        size: 0,
        mtime,
        uid: 0,
        gid: 0,
        device: 0,
        inode: 0,
        ctime: mtime,
        links: 1,
        may_have_holes: false,
    }
}
