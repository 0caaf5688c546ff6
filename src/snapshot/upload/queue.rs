//! What the workers do next, and how much of it may be in memory.

use super::big_file::{BigFile, Chunk};
use super::small_files::FileBatch;
use super::walk::PendingDirectory;
use parking_lot::{Condvar, Mutex, MutexGuard};
use std::collections::VecDeque;

/// As many contents as the default hash works on at once.
const CHUNKS_AT_ONCE: usize = 4;

/// Batches of small files that may wait while more are being made; each is up to 64 names.
const BATCHES_WAITING: usize = 64;
/// Big files that may wait.
const BIG_FILES_WAITING: usize = 1024;

/// Something to do.
pub(super) enum Task {
    /// Chunks of big files to hash and store.
    Chunks(Vec<Chunk>),
    /// Small files to read and store.
    Files(FileBatch),
    /// A big file to read and split.
    BigFile(BigFile),
    /// A directory to list.
    Directory(PendingDirectory),
}

#[derive(Default)]
struct State {
    chunks: VecDeque<Chunk>,
    files: VecDeque<FileBatch>,
    big_files: VecDeque<BigFile>,
    directories: Vec<PendingDirectory>,
    /// Buffers to read big files into, used again and again.
    buffers: Vec<Vec<u8>>,
    /// Capacity of the buffers in use, in bytes.
    reserved_bytes: usize,
    waiting: usize,
    finished: bool,
}

/// The queue of an upload.
pub(super) struct TaskQueue {
    state: Mutex<State>,
    changed: Condvar,
    budget_bytes: usize,
}

impl TaskQueue {
    pub(super) fn new(budget_bytes: usize) -> Self {
        Self { state: Mutex::new(State::default()), changed: Condvar::new(), budget_bytes }
    }

    pub(super) fn push_directories(&self, directories: impl IntoIterator<Item = PendingDirectory>) {
        self.change(|state| state.directories.extend(directories));
    }

    pub(super) fn push_files(&self, batch: FileBatch) {
        self.change(|state| state.files.push_back(batch));
    }

    pub(super) fn push_big_file(&self, file: BigFile) {
        self.change(|state| state.big_files.push_back(file));
    }

    pub(super) fn push_chunk(&self, chunk: Chunk) {
        self.change(|state| state.chunks.push_back(chunk));
    }

    /// The root is done: everybody may go home.
    pub(super) fn finish(&self) {
        self.change(|state| state.finished = true);
    }

    /// Something cannot be mended: drops all tasks, wakes everybody.
    pub(super) fn stop(&self) {
        // Tasks hold directories whose destructors must not run under the lock.
        let dropped = {
            let mut state = self.state.lock();
            state.finished = true;
            (
                std::mem::take(&mut state.chunks),
                std::mem::take(&mut state.files),
                std::mem::take(&mut state.big_files),
                std::mem::take(&mut state.directories),
            )
        };
        drop(dropped);
        self.changed.notify_all();
    }

    /// The next task, or `None` when all is done.
    pub(super) fn next(&self) -> Option<Task> {
        let mut state = self.state.lock();
        loop {
            // Hashing four chunks at once is twice as fast as one by one, so reading goes on while there are fewer and
            // there is room for more.
            let room = state.reserved_bytes < self.budget_bytes;
            if room && state.chunks.len() < CHUNKS_AT_ONCE && !state.big_files.is_empty() {
                return state.big_files.pop_front().map(Task::BigFile);
            }
            if let Some(chunks) = take_chunks(&mut state) {
                return Some(Task::Chunks(chunks));
            }
            if let Some(batch) = state.files.pop_front() {
                return Some(Task::Files(batch));
            }
            if let Some(file) = state.big_files.pop_front() {
                return Some(Task::BigFile(file));
            }
            if let Some(directory) = state.directories.pop() {
                return Some(Task::Directory(directory));
            }
            if state.finished {
                return None;
            }
            self.wait(&mut state);
        }
    }

    /// A task of those that wait in too great a number: whoever makes more of them does some first.
    pub(super) fn excess(&self) -> Option<Task> {
        let mut state = self.state.lock();
        if state.files.len() > BATCHES_WAITING {
            return state.files.pop_front().map(Task::Files);
        }
        let too_many = state.big_files.len() > BIG_FILES_WAITING;
        too_many.then(|| state.big_files.pop_front()).flatten().map(Task::BigFile)
    }

    /// Reserves a buffer of `capacity` bytes, or hands out chunks to work on until there is room for it.
    pub(super) fn buffer_or_chunks(&self, capacity: usize) -> Result<Vec<u8>, Vec<Chunk>> {
        let mut state = self.state.lock();
        loop {
            // One buffer is always granted, else a chunk longer than the budget could never be read.
            if state.reserved_bytes + capacity <= self.budget_bytes
                || state.reserved_bytes == 0
                || state.finished
            {
                state.reserved_bytes += capacity;
                let at = state.buffers.iter().position(|buffer| buffer.capacity() == capacity);
                let buffer = at.map(|at| state.buffers.swap_remove(at));
                return Ok(buffer.unwrap_or_else(|| Vec::with_capacity(capacity)));
            }
            if let Some(chunks) = take_chunks(&mut state) {
                return Err(chunks);
            }
            self.wait(&mut state);
        }
    }

    /// Takes back a buffer of [`TaskQueue::buffer_or_chunks`].
    pub(super) fn return_buffer(&self, mut buffer: Vec<u8>, reserved: usize) {
        buffer.clear();
        self.change(|state| {
            state.reserved_bytes -= reserved;
            if buffer.capacity() == reserved {
                state.buffers.push(buffer);
            }
        });
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.state.lock();
        change(&mut state);
        let anybody = state.waiting > 0;
        drop(state);
        if anybody {
            self.changed.notify_all();
        }
    }

    fn wait(&self, state: &mut MutexGuard<'_, State>) {
        state.waiting += 1;
        self.changed.wait(state);
        state.waiting -= 1;
    }
}

/// A share of the waiting chunks: all workers that wait get some.
fn take_chunks(state: &mut State) -> Option<Vec<Chunk>> {
    let share = state.chunks.len().div_ceil(state.waiting + 1).min(CHUNKS_AT_ONCE);
    (share > 0).then(|| state.chunks.drain(..share).collect())
}
