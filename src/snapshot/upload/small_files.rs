//! Files that fit in one content, and links: many at a time, in one buffer.

use super::big_file::{BigFile, Input};
use super::context::{Context, FilePlan};
use super::counts;
use super::look::Look;
use super::node::Node;
use super::walk::{self, Worker};
use crate::base::{Counter, MIB, gojson};
use crate::object::{NewChunk, ObjectId, ObjectOptions};
use crate::snapshot::DirEntry;
use crate::source::{self, Entry, EntryKind};
use std::fs::File;
use std::io::Read;
use std::ops::Range;
use std::sync::Arc;

/// A batch is closed at this many bytes or files.
const BATCH_BYTES: u64 = MIB;
const BATCH_FILES: usize = 64;
/// No file above this is read whole, wherever its splitter would first cut.
const SMALL_FILE_BYTES: u64 = MIB;

/// Whether a file of `size` bytes is one content under `plan` and small enough to be read whole.
pub(super) fn is_small(plan: &FilePlan, size: u64) -> bool {
    size < SMALL_FILE_BYTES.min(plan.splitter.min_len() as u64)
}

/// Small files and links of one directory.
pub(super) struct FileBatch {
    node: Arc<Node>,
    files: Vec<(Entry, FilePlan)>,
    bytes: u64,
}

impl FileBatch {
    pub(super) fn new(node: &Arc<Node>) -> Self {
        Self { node: Arc::clone(node), files: Vec::new(), bytes: 0 }
    }

    pub(super) fn push(&mut self, entry: Entry, plan: FilePlan) {
        self.bytes += entry.size;
        self.files.push((entry, plan));
    }

    pub(super) fn is_full(&self) -> bool {
        self.files.len() >= BATCH_FILES || self.bytes >= BATCH_BYTES
    }

    pub(super) fn len(&self) -> usize {
        self.files.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.files.is_empty()
    }
}

/// A file that was read into the worker's buffer.
struct ReadFile {
    entry: Entry,
    options: ObjectOptions,
    range: Range<usize>,
    object: ObjectId,
    look: Look,
}

/// What reading a file told.
enum Outcome {
    Read(Range<usize>, Look),
    /// It has grown beyond what is read whole.
    Grown,
}

/// Reads and stores a batch.
pub(super) fn process(context: &Context<'_>, batch: FileBatch, worker: &mut Worker) {
    let node = batch.node;
    let mut arrived = 0;
    let mut read = Vec::with_capacity(batch.files.len());
    worker.arena.clear();
    for (entry, plan) in batch.files {
        if context.is_canceled() {
            arrived += 1;
            continue;
        }
        match read_one(context, &node, &entry, &plan, &mut worker.arena) {
            Ok(Outcome::Read(range, look)) => {
                context.count_read(range.len());
                read.push(ReadFile { entry, options: plan.options, range, object: ObjectId::NONE, look });
                arrived += 1;
            }
            // It stays pending until the big file has arrived.
            Ok(Outcome::Grown) => {
                context.queue.push_big_file(BigFile::new(&node, entry, plan, Input::ByName));
            }
            Err(error) => {
                walk::file_failed(context, &node, &entry, &error);
                arrived += 1;
            }
        }
    }
    if let Err(error) = store(context, &mut read, worker) {
        return context.fail(error);
    }
    let entries = read.into_iter().map(|file| finished_entry(context, &node, file));
    node.arrivals.add_entries(entries);
    walk::arrived(context, &node, arrived, worker);
}

fn store(context: &Context<'_>, files: &mut [ReadFile], worker: &mut Worker) -> crate::object::Result<()> {
    let mut chunks = Vec::with_capacity(files.len());
    let mut rest: &mut [u8] = &mut worker.arena;
    let mut at = 0;
    for file in &*files {
        // Bytes of a file that failed half-way lie between the ranges.
        let (_, after) = rest.split_at_mut(file.range.start - at);
        let (data, after) = after.split_at_mut(file.range.len());
        at = file.range.end;
        rest = after;
        chunks.push(NewChunk { data, compressor: file.options.compressor });
    }
    context
        .objects()
        .write_chunks(&mut chunks, &mut worker.scratch, |position, id| files[position].object = id)
}

fn finished_entry(context: &Context<'_>, node: &Node, file: ReadFile) -> DirEntry {
    let length = file.range.len() as u64;
    let name = gojson::lossy(&file.entry.name).into_owned();
    if file.entry.kind != EntryKind::Symlink {
        counts::add(&context.counts.file_count, 1);
        counts::add(&context.counts.total_size, length);
        context.monitor.add(Counter::HashedFiles, 1);
        context.monitor.add(Counter::HashedBytes, length);
    }
    file.look.report(context, node, &node.path_of(&name));
    DirEntry { size: length, obj: file.object, ..node.member_entry(&file.entry, name, file.look) }
}

fn read_one(
    context: &Context<'_>,
    node: &Node,
    entry: &Entry,
    plan: &FilePlan,
    arena: &mut Vec<u8>,
) -> source::Result<Outcome> {
    let start = arena.len();
    if entry.kind == EntryKind::Symlink {
        arena.extend_from_slice(&node.directory.read_link(&entry.name)?);
        let look = Look::at_member(context, node, entry);
        return Ok(Outcome::Read(start..arena.len(), look));
    }
    let file = node.directory.open_file(&entry.name)?;
    let look = Look::at_file(context, node, &file, entry);
    match read_whole(&file, entry.size, plan, arena) {
        Ok(Some(range)) => Ok(Outcome::Read(range, look)),
        Ok(None) => Ok(Outcome::Grown),
        Err(error) => {
            arena.truncate(start);
            Err(walk::read_error(&entry.name, error))
        }
    }
}

/// Reads until the end, unless the file has grown beyond what is read whole. The end is what one call tells when the size is as listed: a short read of a regular file is its end.
fn read_whole(
    mut file: &File,
    size: u64,
    plan: &FilePlan,
    arena: &mut Vec<u8>,
) -> std::io::Result<Option<Range<usize>>> {
    let start = arena.len();
    arena.reserve(size as usize + 1);
    let mut limit = size + 1;
    loop {
        let before = arena.len();
        file.by_ref().take(limit).read_to_end(arena)?;
        if ((arena.len() - before) as u64) < limit {
            return Ok(Some(start..arena.len()));
        }
        if !is_small(plan, (arena.len() - start) as u64) {
            arena.truncate(start);
            return Ok(None);
        }
        limit = BATCH_BYTES;
    }
}
