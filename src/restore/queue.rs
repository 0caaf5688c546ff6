//! What the workers do next.

use super::assembly::Assembly;
use super::examine::Examination;
use super::node::Node;
use super::target::TargetDirectory;
use super::window::{Part, Window};
use crate::content::PackRead;
use crate::index::IndexEntry;
use crate::snapshot::{DirEntry, PackedFiles};
use parking_lot::{Condvar, Mutex, MutexGuard};
use std::collections::VecDeque;
use std::sync::Arc;

/// Files and links planned by one worker in a row: few enough to share a directory, enough not to meet at the lock.
const BATCH_ENTRIES: usize = 64;
/// Parts of a big file planned in a row.
const BATCH_PARTS: usize = 4096;

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
    /// A stretch of a pack to read, and what is in it to write.
    Read(PackRead<Part>),
    /// A part of a file that is there to compare with what belongs there.
    Examine(Arc<Examination>, usize),
    /// Parts of a big file to plan: the first, and the one after the last.
    Parts(Arc<Assembly>, usize, usize),
    /// Files and links to plan.
    Files(FileBatch),
    /// A directory to make and to look into.
    Directory(Pending),
}

/// Files and links not handed out yet.
struct Members {
    node: Arc<Node>,
    directory: TargetDirectory,
    entries: PackedFiles,
}

/// A numbered row of things of which some have been handed out.
struct Row<T> {
    of: Arc<T>,
    next: usize,
    end: usize,
}

#[derive(Default)]
struct State {
    reads: VecDeque<PackRead<Part>>,
    examinations: VecDeque<Row<Examination>>,
    parts: VecDeque<Row<Assembly>>,
    members: VecDeque<Members>,
    directories: Vec<Pending>,
    window: Window,
    /// Workers that may still add to the window.
    planning: usize,
    finished: bool,
    waiting: usize,
}

/// The queue of a restore. What was planned is read before more is planned, and directories are expanded only when
/// nothing else is to be done, so that the queue does not grow with the tree.
#[derive(Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

impl Queue {
    /// Adds the members of a directory; sub-directories are taken in the order given.
    pub(super) fn push_members(
        &self,
        node: &Arc<Node>,
        directory: TargetDirectory,
        directories: Vec<DirEntry>,
        files: PackedFiles,
    ) {
        self.change(|state| {
            let pending = |entry| Pending { parent: Arc::clone(node), entry };
            state.directories.extend(directories.into_iter().rev().map(pending));
            if files.len() > 0 {
                state.members.push_back(Members { node: Arc::clone(node), directory, entries: files });
            }
        });
    }

    /// Adds a file or link that is one content to what is planned.
    pub(super) fn plan(&self, planned: Vec<(IndexEntry, Part)>) {
        self.change(|state| {
            for (entry, part) in planned {
                state.window.add(entry, part);
            }
        });
    }

    /// Adds a file whose first `end` parts are to be looked up.
    pub(super) fn push_parts(&self, of: &Arc<Assembly>, end: usize) {
        self.change(|state| {
            state.window.count_list();
            state.parts.push_back(Row { of: Arc::clone(of), next: 0, end });
        });
    }

    pub(super) fn push_examination(&self, of: Examination, end: usize) {
        self.change(|state| state.examinations.push_back(Row { of: Arc::new(of), next: 0, end }));
    }

    /// Everybody may go home. Tasks still there are dropped.
    pub(super) fn finish(&self) {
        // Tasks hold files and directories whose destructors must not run under the lock.
        let dropped = {
            let mut state = self.state.lock();
            let (planning, waiting) = (state.planning, state.waiting);
            std::mem::replace(&mut *state, State { finished: true, planning, waiting, ..State::default() })
        };
        drop(dropped);
        self.changed.notify_all();
    }

    /// Whether [`Queue::finish`] was called.
    pub(super) fn is_finished(&self) -> bool {
        self.state.lock().finished
    }

    /// The next task, or `None` when all is done. The last task must be over: whoever asks, plans nothing any more.
    pub(super) fn next(&self, is_planning: &mut bool) -> Option<Task> {
        let mut state = self.state.lock();
        if std::mem::take(is_planning) {
            state.planning -= 1;
            self.wake(&state);
        }
        loop {
            if state.finished {
                return None;
            }
            if let Some(read) = state.reads.pop_front() {
                return Some(Task::Read(read));
            }
            if !state.window.is_full()
                && let Some(task) = take_planning(&mut state)
            {
                state.planning += 1;
                *is_planning = true;
                return Some(task);
            }
            // Full, or nobody is left who could add to it.
            if state.window.is_full() || (state.planning == 0 && !state.window.is_empty()) {
                state = self.seal(state);
                continue;
            }
            state.waiting += 1;
            self.changed.wait(&mut state);
            state.waiting -= 1;
        }
    }

    /// Turns what is planned into reads; sorting takes a while, so that is done without the lock.
    fn seal<'a>(&'a self, mut state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        let window = std::mem::take(&mut state.window);
        state.planning += 1;
        let reads = MutexGuard::unlocked(&mut state, || window.into_reads());
        state.planning -= 1;
        if !state.finished {
            state.reads.extend(reads);
        }
        self.wake(&state);
        state
    }

    fn wake(&self, state: &State) {
        if state.waiting > 0 {
            self.changed.notify_all();
        }
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.state.lock();
        // What comes too late is dropped after the lock: see `finish`.
        let mut late = State::default();
        change(if state.finished { &mut late } else { &mut state });
        self.wake(&state);
        drop(state);
    }
}

/// Files that are there come before parts, parts before members, and these before directories: what is begun is ended.
fn take_planning(state: &mut State) -> Option<Task> {
    if let Some((examination, part, _)) = take_from(&mut state.examinations, 1) {
        return Some(Task::Examine(examination, part));
    }
    if let Some((assembly, from, to)) = take_from(&mut state.parts, BATCH_PARTS) {
        return Some(Task::Parts(assembly, from, to));
    }
    take_batch(state).or_else(|| state.directories.pop().map(Task::Directory))
}

fn take_from<T>(rows: &mut VecDeque<Row<T>>, count: usize) -> Option<(Arc<T>, usize, usize)> {
    let row = rows.front_mut()?;
    let (of, from, to) = (Arc::clone(&row.of), row.next, row.end.min(row.next + count));
    row.next = to;
    if to == row.end {
        rows.pop_front();
    }
    Some((of, from, to))
}

fn take_batch(state: &mut State) -> Option<Task> {
    let members = state.members.front_mut()?;
    let entries = members.entries.by_ref().take(BATCH_ENTRIES).collect();
    let (node, directory) = (Arc::clone(&members.node), members.directory.clone());
    if members.entries.len() == 0 {
        state.members.pop_front();
    }
    Some(Task::Files(FileBatch { node, directory, entries }))
}
