//! What is done so far, saved while the upload goes on.
//!
//! A thread of its own copies what has arrived in every open directory, writes manifests of it from the innermost
//! directory outwards, and has the root saved as an incomplete snapshot. Workers wait only while one directory's list is
//! being copied. What they finish meanwhile is in the next checkpoint.
//!
//! Source: kopia `snapshot/upload/checkpoint_registry.go`, `upload.go` (`checkpointRoot`).

use super::context::Context;
use super::node::Node;
use super::walk::write_directory;
use crate::base::Stopwatch;
use crate::content::Scratch;
use crate::object;
use crate::repo::RepositoryWriter;
use crate::snapshot::{DirEntry, Error, Result};
use crossbeam_channel::{Receiver, RecvTimeoutError};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// Why a snapshot is not complete that was saved while the upload went on.
pub const CHECKPOINT: &str = "checkpoint";

/// How often it is looked whether a checkpoint is due.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Pause while a directory that is complete is being stored by a worker.
const STORING_PAUSE: Duration = Duration::from_millis(2);

/// Saves the root of an unfinished tree as an incomplete snapshot, and makes it visible.
pub type SaveCheckpoint<'a> = dyn FnMut(&mut RepositoryWriter<'_>, DirEntry) -> Result<()> + Send + 'a;

/// When an upload saves what it has done so far, and how.
pub struct Checkpoints<'a> {
    /// Time between two.
    pub interval: Duration,
    /// Bytes of packs after which there is one before its time.
    pub uploaded_bytes: u64,
    /// Called for each, one at a time. When it fails, so does the upload.
    pub save: Box<SaveCheckpoint<'a>>,
}

impl Checkpoints<'_> {
    /// The default time between two, and the longest: maintenance counts on it.
    pub const INTERVAL_MAX: Duration = Duration::from_mins(45);
    /// The default number of bytes.
    pub const UPLOADED_BYTES: u64 = 4 << 30;
}

/// Saves checkpoints until the upload is done.
pub(super) struct Checkpointer<'c, 'w> {
    pub(super) checkpoints: Checkpoints<'c>,
    pub(super) writer: &'c mut RepositoryWriter<'w>,
}

impl Checkpointer<'_, '_> {
    pub(super) fn run(mut self, context: &Context<'_>, done: &Receiver<()>) {
        let uploaded = || context.objects().contents().uploaded_bytes();
        let (mut watch, mut uploaded_before) = (Stopwatch::start(), uploaded());
        let pause = LOOK_EVERY.min(self.checkpoints.interval);
        while done.recv_timeout(pause) == Err(RecvTimeoutError::Timeout) {
            let is_due = watch.elapsed() >= self.checkpoints.interval
                || uploaded() - uploaded_before >= self.checkpoints.uploaded_bytes;
            // Who is about to end saves everything anyway.
            if !is_due || context.is_canceled() || context.is_stopped() {
                continue;
            }
            if let Err(error) = self.save(context) {
                return context.fail(error);
            }
            (watch, uploaded_before) = (Stopwatch::start(), uploaded());
        }
    }

    fn save(&mut self, context: &Context<'_>) -> Result<()> {
        match unfinished_root(context).map_err(Error::from)? {
            Some(root) => (self.checkpoints.save)(self.writer, root),
            None => Ok(()),
        }
    }
}

/// A member directory at the time of a checkpoint.
enum Child {
    Unfinished(DirEntry),
    /// All its members were there already: its entry is on the way, under this name.
    Finished(Box<[u8]>),
}

/// The tree as far as it is there; `None` when there is nothing yet, or nothing more to wait for.
fn unfinished_root(context: &Context<'_>) -> object::Result<Option<DirEntry>> {
    let mut scratch = Scratch::default();
    let mut children: HashMap<u64, Vec<Child>> = HashMap::new();
    // From the end: a directory comes after all that are inside it.
    for node in context.directories.list().into_iter().rev() {
        let below = children.remove(&node.number).unwrap_or_default();
        let entry = unfinished_directory(context, &node, below, &mut scratch)?;
        let Some(parent) = &node.parent else { return Ok(entry) };
        let child = entry.map_or_else(|| Child::Finished(node.own.name.clone()), Child::Unfinished);
        children.entry(parent.number).or_default().push(child);
    }
    Ok(None)
}

fn unfinished_directory(
    context: &Context<'_>,
    node: &Arc<Node>,
    below: Vec<Child>,
    scratch: &mut Scratch,
) -> object::Result<Option<DirEntry>> {
    let mut unfinished = Vec::new();
    for child in below {
        match child {
            Child::Unfinished(entry) => unfinished.push(entry),
            Child::Finished(name) => {
                while node.arrivals.lacks_directory(&name) && !context.is_stopped() {
                    std::thread::sleep(STORING_PAUSE);
                }
            }
        }
    }
    let Some(mut arrived) = node.arrivals.copy() else { return Ok(None) };
    let entries = &mut arrived.entries;
    // One that was finished meanwhile counts as finished.
    let is_there =
        |child: &DirEntry| entries.others().iter().any(|entry| entry.name_bytes() == child.name_bytes());
    unfinished.retain(|child| !is_there(child));
    for child in unfinished {
        entries.push(child);
    }
    for file in node.arrivals.files() {
        if let Some(part) = file.stored_so_far(context, scratch)? {
            entries.push(part);
        }
    }
    if !node.own.is_directory() {
        // Made up around a single file, whose entry is the root.
        return Ok(entries.stored_order().next());
    }
    write_directory(context, node, arrived, CHECKPOINT, scratch).map(Some)
}
