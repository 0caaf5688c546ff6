//! What the workers do next.

use super::big_file::BigFile;
use super::node::Node;
use super::target::TargetDirectory;
use crate::snapshot::DirEntry;
use parking_lot::{Condvar, Mutex};
use std::collections::VecDeque;
use std::sync::Arc;

/// Files and links done by one worker in a row: few enough to share a directory, enough not to meet at the lock.
const BATCH_ENTRIES: usize = 16;

/// Files and links of one open directory.
pub(super) struct FileBatch {
    pub(super) node: Arc<Node>,
    pub(super) directory: TargetDirectory,
    pub(super) entries: Vec<DirEntry>,
}

/// A directory that was seen in its parent's manifest.
pub(super) struct Pending {
    pub(super) parent: Arc<Node>,
    pub(super) entry: DirEntry,
}

/// Something to do.
pub(super) enum Task {
    /// A part of a big file to read and write.
    Part(Arc<BigFile>, usize),
    /// Files and links to make.
    Files(FileBatch),
    /// A directory to make and to look into.
    Directory(Pending),
}

/// Files and links not handed out yet.
struct Members {
    node: Arc<Node>,
    directory: TargetDirectory,
    entries: std::iter::Peekable<std::vec::IntoIter<DirEntry>>,
}

struct Parts {
    big: Arc<BigFile>,
    next: usize,
}

#[derive(Default)]
struct State {
    big_files: VecDeque<Parts>,
    members: VecDeque<Members>,
    directories: Vec<Pending>,
    finished: bool,
    waiting: usize,
}

/// The queue of a restore. Directories are expanded only when nothing else is to be done, so that it does not grow with
/// the tree but with the width of the directories on one path.
#[derive(Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

impl Queue {
    pub(super) fn push_big_file(&self, big: BigFile) {
        self.change(|state| state.big_files.push_back(Parts { big: Arc::new(big), next: 0 }));
    }

    /// Adds the members of a directory; sub-directories are taken in the order given.
    pub(super) fn push_members(
        &self,
        files: FileBatch,
        directories: impl DoubleEndedIterator<Item = DirEntry>,
    ) {
        let FileBatch { node, directory, entries } = files;
        self.change(|state| {
            let pending = |entry| Pending { parent: Arc::clone(&node), entry };
            state.directories.extend(directories.rev().map(pending));
            if !entries.is_empty() {
                let entries = entries.into_iter().peekable();
                state.members.push_back(Members { node, directory, entries });
            }
        });
    }

    /// Everybody may go home. Tasks still there are dropped.
    pub(super) fn finish(&self) {
        // Tasks hold files and directories whose destructors must not run under the lock.
        let dropped = {
            let mut state = self.state.lock();
            state.finished = true;
            (
                std::mem::take(&mut state.big_files),
                std::mem::take(&mut state.members),
                std::mem::take(&mut state.directories),
            )
        };
        drop(dropped);
        self.changed.notify_all();
    }

    /// Whether [`Queue::finish`] was called.
    pub(super) fn is_finished(&self) -> bool {
        self.state.lock().finished
    }

    /// The next task, or `None` when all is done.
    pub(super) fn next(&self) -> Option<Task> {
        let mut state = self.state.lock();
        loop {
            if state.finished {
                return None;
            }
            let task = take_part(&mut state)
                .or_else(|| take_batch(&mut state))
                .or_else(|| state.directories.pop().map(Task::Directory));
            if task.is_some() {
                return task;
            }
            state.waiting += 1;
            self.changed.wait(&mut state);
            state.waiting -= 1;
        }
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.state.lock();
        // What comes too late is dropped after the lock: see `finish`.
        let mut late = State::default();
        change(if state.finished { &mut late } else { &mut state });
        let anybody = state.waiting > 0;
        drop(state);
        if anybody {
            self.changed.notify_all();
        }
    }
}

fn take_part(state: &mut State) -> Option<Task> {
    let parts = state.big_files.front_mut()?;
    let part = parts.next;
    parts.next += 1;
    let big = Arc::clone(&parts.big);
    if part + 1 == big.parts() {
        state.big_files.pop_front();
    }
    Some(Task::Part(big, part))
}

/// A big file is a batch of its own, so that no worker opens a second one before the parts of the first are shared out.
fn take_batch(state: &mut State) -> Option<Task> {
    let members = state.members.front_mut()?;
    let is_big = |entry: &DirEntry| entry.obj.list().is_some();
    let mut entries = Vec::with_capacity(BATCH_ENTRIES);
    while entries.len() < BATCH_ENTRIES {
        let alone = entries.is_empty();
        match members.entries.next_if(|entry| alone || !is_big(entry)) {
            Some(entry) if is_big(&entry) => {
                entries.push(entry);
                break;
            }
            Some(entry) => entries.push(entry),
            None => break,
        }
    }
    let (node, directory) = (Arc::clone(&members.node), members.directory.clone());
    if members.entries.peek().is_none() {
        state.members.pop_front();
    }
    Some(Task::Files(FileBatch { node, directory, entries }))
}
