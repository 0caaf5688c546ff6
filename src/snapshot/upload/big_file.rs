//! Files of many contents: one worker reads and splits, all hash.

use super::context::{Context, FilePlan};
use super::counts;
use super::look::Look;
use super::node::{Node, stored_entry};
use super::walk::{self, Worker};
use crate::base::{Counter, gojson};
use crate::content::Scratch;
use crate::object::{NewChunk, ObjectId, PartList};
use crate::snapshot::{DirEntry, EntryType};
use crate::source::{self, Entry};
use parking_lot::Mutex;
use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What is read and searched for a cut at once, in bytes: fits the second-level cache.
const READ_BYTES: usize = 256 * 1024;

/// Where the bytes of a big file come from.
pub(super) enum Input {
    /// From the file of the entry's name, opened when its turn comes.
    ByName,
    /// From something that is open.
    Reader(Box<dyn Read + Send>),
}

/// A big file to be read.
pub(super) struct BigFile {
    node: Arc<Node>,
    entry: Entry,
    plan: FilePlan,
    input: Mutex<Input>,
    look: Mutex<Look>,
}

impl BigFile {
    pub(super) fn new(node: &Arc<Node>, entry: Entry, plan: FilePlan, input: Input) -> Self {
        let look = Mutex::default();
        Self { node: Arc::clone(node), entry, plan, input: Mutex::new(input), look }
    }

    fn open(&self, context: &Context<'_>) -> source::Result<Box<dyn Read + Send>> {
        match std::mem::replace(&mut *self.input.lock(), Input::ByName) {
            Input::ByName => {
                let file = self.node.directory.open_file(&self.entry.name)?;
                *self.look.lock() = Look::at_file(context, &self.node, &file, &self.entry);
                Ok(Box::new(file))
            }
            Input::Reader(reader) => Ok(reader),
        }
    }
}

/// A piece of a big file, read and cut.
pub(super) struct Chunk {
    data: Vec<u8>,
    reserved_bytes: usize,
    number: usize,
    file: Arc<FileInProgress>,
}

#[derive(Debug, Default)]
struct Progress {
    chunks: Vec<(u64, ObjectId)>,
    canceled: bool,
    error: Option<source::Error>,
}

/// A big file whose chunks are on their way.
pub(super) struct FileInProgress {
    big: BigFile,
    progress: Mutex<Progress>,
    /// Chunks that are not stored, plus one while the file is being read.
    pending: AtomicUsize,
}

impl FileInProgress {
    /// What is stored of the file from its beginning without a gap, as an entry of its own. Its name is one that no file
    /// has: whoever compares with it must not take a part for the whole.
    ///
    /// Source: kopia `snapshot/upload/checkpoint_registry.go` (`runCheckpoints`).
    pub(super) fn stored_so_far(
        &self,
        context: &Context<'_>,
        scratch: &mut Scratch,
    ) -> crate::object::Result<Option<DirEntry>> {
        let mut list = PartList::default();
        for (length, id) in self.progress.lock().chunks.iter().take_while(|(_, id)| !id.is_none()) {
            list.push(*length, *id);
        }
        let size = list.length();
        if size == 0 {
            return Ok(None);
        }
        let obj = context.objects().finish(list, &self.big.plan.options, scratch)?;
        let unique = hex::encode(context.repository().environment().entropy.bytes::<16>());
        let name = format!(".checkpointed.{}.{unique}", gojson::lossy(&self.big.entry.name));
        let entry = stored_entry(&self.big.entry, name, EntryType::File);
        Ok(Some(DirEntry { raw_name: None, size, obj, ..entry }))
    }
}

/// Reads a file, cuts it, and hands the chunks to the queue.
pub(super) fn process(context: &Context<'_>, big: BigFile, worker: &mut Worker) {
    let file = Arc::new(FileInProgress {
        big,
        progress: Mutex::new(Progress::default()),
        pending: AtomicUsize::new(1),
    });
    file.big.node.arrivals.add_file(&file);
    let result =
        file.big.open(context).and_then(|mut open| Cutter::new(context, &file).run(&mut open, worker));
    if let Err(error) = result {
        let mut progress = file.progress.lock();
        // A reader that was told to stop has failed only because of that.
        progress.canceled = context.is_canceled();
        progress.error = (!progress.canceled).then_some(error);
    }
    arrived(context, &file, worker);
}

/// Stores chunks, of one file or of several.
pub(super) fn store_chunks(context: &Context<'_>, mut chunks: Vec<Chunk>, worker: &mut Worker) {
    let mut ids = vec![ObjectId::NONE; chunks.len()];
    let result = {
        let mut batch: Vec<_> = chunks
            .iter_mut()
            .map(|chunk| NewChunk {
                compressor: chunk.file.big.plan.options.compressor,
                data: &mut chunk.data,
            })
            .collect();
        context.objects().write_chunks(&mut batch, &mut worker.scratch, |position, id| ids[position] = id)
    };
    if let Err(error) = result {
        context.fail(error);
    }
    for (chunk, id) in chunks.into_iter().zip(ids) {
        let (length, number) = (chunk.data.len() as u64, chunk.number);
        context.queue.return_buffer(chunk.data, chunk.reserved_bytes);
        context.monitor.add(Counter::HashedBytes, length);
        {
            let mut progress = chunk.file.progress.lock();
            if progress.chunks.len() <= number {
                progress.chunks.resize(number + 1, (0, ObjectId::NONE));
            }
            progress.chunks[number] = (length, id);
        }
        arrived(context, &chunk.file, worker);
    }
}

/// Whoever brings the last piece finishes the file.
fn arrived(context: &Context<'_>, file: &Arc<FileInProgress>, worker: &mut Worker) {
    if file.pending.fetch_sub(1, Ordering::AcqRel) != 1 || context.is_stopped() {
        return;
    }
    let big = &file.big;
    let Progress { chunks, canceled, error } = std::mem::take(&mut *file.progress.lock());
    if let Some(error) = error {
        walk::file_failed(context, &big.node, &big.entry, &error);
    } else if !canceled && let Err(error) = finish(context, big, chunks, worker) {
        return context.fail(error);
    }
    walk::arrived(context, &big.node, 1, worker);
}

fn finish(
    context: &Context<'_>,
    big: &BigFile,
    chunks: Vec<(u64, ObjectId)>,
    worker: &mut Worker,
) -> crate::object::Result<()> {
    let in_parts = is_in_parts(big);
    let mut list = if in_parts { PartList::concatenated() } else { PartList::default() };
    for (length, id) in chunks {
        list.push(length, id);
    }
    let length = list.length();
    let object = context.objects().finish(list, &big.plan.options, &mut worker.scratch)?;
    let parts = if in_parts { big.entry.size / big.plan.part_bytes + 1 } else { 1 };
    counts::add(&context.counts.file_count, parts);
    counts::add(&context.counts.total_size, length);
    context.monitor.add(Counter::HashedFiles, 1);
    let name = gojson::lossy(&big.entry.name).into_owned();
    let look = std::mem::take(&mut *big.look.lock());
    look.report(context, &big.node, &big.node.path_of(&name));
    let entry = big.node.member_entry(&big.entry, name, look);
    big.node.arrivals.add_entries([DirEntry { size: length, obj: object, ..entry }]);
    Ok(())
}

fn is_in_parts(big: &BigFile) -> bool {
    big.plan.part_bytes > 0 && big.entry.size > big.plan.part_bytes
}

/// Cuts one file into chunks.
struct Cutter<'a, 'b> {
    context: &'a Context<'b>,
    file: &'a Arc<FileInProgress>,
    /// Bytes read behind the last cut.
    carry: Vec<u8>,
    next_number: usize,
}

impl<'a, 'b> Cutter<'a, 'b> {
    fn new(context: &'a Context<'b>, file: &'a Arc<FileInProgress>) -> Self {
        Self { context, file, carry: Vec::with_capacity(READ_BYTES), next_number: 0 }
    }

    /// Kopia cuts a file above the threshold in parts of that length, each an object of its own, and joins them: cutting
    /// begins anew in each part, and only the last reads to the end of a file that has grown.
    fn run(&mut self, open: &mut dyn Read, worker: &mut Worker) -> source::Result<()> {
        let big = &self.file.big;
        if !is_in_parts(big) {
            return self.part(open, u64::MAX, worker);
        }
        for _ in 0..big.entry.size / big.plan.part_bytes {
            self.part(open, big.plan.part_bytes, worker)?;
        }
        self.part(open, u64::MAX, worker)
    }

    /// Cuts up to `limit` bytes; an empty part is one empty chunk.
    fn part(&mut self, open: &mut dyn Read, limit: u64, worker: &mut Worker) -> source::Result<()> {
        let splitter = Arc::clone(&self.file.big.plan.splitter);
        let capacity = splitter.max_len() + READ_BYTES;
        let mut left = limit;
        let mut chunks_of_part = 0;
        let mut at_end = false;
        while !at_end {
            let Some(mut data) = self.buffer(capacity, worker) else { return Ok(()) };
            data.extend_from_slice(&self.carry);
            self.carry.clear();
            let mut scanned = 0;
            let cut = loop {
                if let Some(cut) = splitter.boundary(&data, scanned) {
                    break cut;
                }
                scanned = data.len();
                let want = (READ_BYTES as u64).min(left);
                match (&mut *open).take(want).read_to_end(&mut data) {
                    Ok(0) => {
                        at_end = true;
                        break data.len();
                    }
                    Ok(read) => {
                        left -= read as u64;
                        self.context.count_read(read);
                    }
                    Err(error) => {
                        self.context.queue.return_buffer(data, capacity);
                        return Err(walk::read_error(&self.file.big.entry.name, error));
                    }
                }
                if self.context.is_canceled() {
                    self.context.queue.return_buffer(data, capacity);
                    self.file.progress.lock().canceled = true;
                    return Ok(());
                }
            };
            self.carry.extend_from_slice(&data[cut..]);
            data.truncate(cut);
            // A cut exactly at the end leaves nothing behind it, and nothing is no chunk.
            if data.is_empty() && chunks_of_part > 0 {
                self.context.queue.return_buffer(data, capacity);
                break;
            }
            self.submit(data, capacity);
            chunks_of_part += 1;
        }
        Ok(())
    }

    /// A buffer to read into; stores chunks of others, and its own, until there is one. `None` when all has failed.
    fn buffer(&self, capacity: usize, worker: &mut Worker) -> Option<Vec<u8>> {
        loop {
            if self.context.is_stopped() {
                return None;
            }
            match self.context.queue.buffer_or_chunks(capacity) {
                Ok(buffer) => return Some(buffer),
                Err(chunks) => store_chunks(self.context, chunks, worker),
            }
        }
    }

    fn submit(&mut self, data: Vec<u8>, reserved_bytes: usize) {
        self.file.pending.fetch_add(1, Ordering::Relaxed);
        let chunk = Chunk { data, reserved_bytes, number: self.next_number, file: Arc::clone(self.file) };
        self.next_number += 1;
        self.context.queue.push_chunk(chunk);
    }
}
