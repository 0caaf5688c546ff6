//! Files and links whose data is on its way.
//!
//! A file in one content is made when its data is there. A file in several is made under a temporary name when it is
//! planned, and written in whatever order its parts arrive; the last of them completes it.

use super::new_file::NewFile;
use super::node::{Node, Place};
use super::run::Run;
use super::sparse::Sparse;
use super::target::TargetDirectory;
use super::window::Part;
use super::{Error, Result};
use crate::base::Counter;
use crate::content::{self, PackRead, Piece};
use crate::index::IndexEntry;
use crate::object::{self, ObjectId, Segment};
use crate::snapshot::{DirEntry, EntryType};
use rustix::fs::Stat;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// A file or link from its planning until it is complete.
#[derive(Debug)]
pub(super) struct Assembly {
    node: Arc<Node>,
    entry: DirEntry,
    /// What it takes the place of.
    replaced: Option<Box<Stat>>,
    /// `None` for what is one content.
    list: Option<List>,
    /// Parts not there yet.
    pending: AtomicUsize,
    failed: AtomicBool,
}

/// A file in several contents.
#[derive(Debug)]
struct List {
    file: NewFile,
    length: u64,
    /// The parts to fetch.
    wanted: Vec<Segment>,
}

impl Assembly {
    /// Of a file or link that is one content.
    pub(super) fn single(node: &Arc<Node>, entry: DirEntry, replaced: Option<Stat>) -> Self {
        Self::build(node, entry, replaced, None, 1)
    }

    /// Of a file of `length` bytes of which `wanted` are missing.
    pub(super) fn list(
        node: &Arc<Node>,
        entry: DirEntry,
        replaced: Option<Stat>,
        file: NewFile,
        length: u64,
        wanted: Vec<Segment>,
    ) -> Self {
        let pending = wanted.len();
        Self::build(node, entry, replaced, Some(List { file, length, wanted }), pending)
    }

    fn build(
        node: &Arc<Node>,
        entry: DirEntry,
        replaced: Option<Stat>,
        list: Option<List>,
        pending: usize,
    ) -> Self {
        let (pending, failed) = (AtomicUsize::new(pending), AtomicBool::new(false));
        Self { node: Arc::clone(node), entry, replaced: replaced.map(Box::new), list, pending, failed }
    }

    pub(super) fn place(&self) -> Place<'_> {
        Place { node: &self.node, name: &self.entry.name }
    }

    fn wanted(&self) -> &[Segment] {
        self.list.as_ref().map_or(&[], |list| &list.wanted)
    }
}

impl Run<'_> {
    /// Makes the file of a list under a temporary name and queues its parts; `false` if it is complete at once.
    pub(super) fn start_list(
        &self,
        node: &Arc<Node>,
        directory: &TargetDirectory,
        entry: DirEntry,
        replaced: Option<Stat>,
        segments: Vec<Segment>,
    ) -> Result<bool> {
        let file = self.create_resumable(&Place { node, name: &entry.name }, directory, &entry)?;
        let length = segments.last().map_or(0, |last| last.start.saturating_add(last.length));
        self.queue_list(Assembly::list(node, entry, replaced, file, length, segments))
    }

    pub(super) fn create_resumable(
        &self,
        place: &Place<'_>,
        directory: &TargetDirectory,
        entry: &DirEntry,
    ) -> Result<NewFile> {
        let (name, stop) = (self.resumable_name(entry), &self.options.cancel);
        NewFile::create_resumable(directory, &self.temporary_names, &name, stop)
            .map_err(place.failed("create a temporary file for"))
    }

    /// Queues the parts of a file; `false` if none is missing, and the file is complete.
    pub(super) fn queue_list(&self, assembly: Assembly) -> Result<bool> {
        let parts = assembly.wanted().len();
        if parts == 0 {
            self.finish_assembly(&assembly)?;
            return Ok(false);
        }
        self.monitor.current(&assembly.place().path().to_string_lossy());
        self.queue.push_parts(&Arc::new(assembly), parts);
        Ok(true)
    }

    /// Looks up where some of a file's parts lie.
    pub(super) fn plan_parts(&self, assembly: &Arc<Assembly>, from: usize, to: usize) {
        let segments = assembly.wanted().get(from..to).unwrap_or_default();
        let mut planned = Vec::with_capacity(segments.len());
        for segment in segments {
            let (object, start, length) = (segment.object, segment.start, Some(segment.length));
            let part = Part { assembly: Arc::clone(assembly), object, start, length };
            match self.place_of(object) {
                Ok(entry) => planned.push((entry, part)),
                Err(error) => self.part_done(&part, Err(data_error(&part, error))),
            }
        }
        self.queue.plan(planned);
    }

    /// Where the content of an object lies.
    pub(super) fn place_of(&self, object: ObjectId) -> object::Result<IndexEntry> {
        let content = object.content().ok_or(object::Error::NoObject)?;
        let contents = self.repository.contents();
        contents.info(&content).map_err(|source| object::Error::Content { id: object, source })
    }

    /// Reads a stretch of a pack and gives everybody what was asked for.
    pub(super) fn read(&self, read: PackRead<Part>) {
        let _pass = self.gate.enter(read.memory_bytes());
        if let Err(error) = self.check_canceled() {
            return self.fail(error);
        }
        self.count(|stats| stats.stored_bytes += read.stored_bytes());
        self.repository.contents().read_planned(read, |pieces, data| {
            self.hand_out(pieces, data);
            if self.queue.is_finished() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
    }

    fn hand_out(&self, pieces: Vec<Piece<Part>>, data: content::Result<&[u8]>) {
        let mut parts = pieces.into_iter().map(|piece| piece.purpose);
        match data {
            Ok(data) => parts.for_each(|part| {
                let written = self.write_part(&part, data);
                self.part_done(&part, written);
            }),
            Err(source) => {
                if let Some(first) = parts.next() {
                    let error = object::Error::Content { id: first.object, source };
                    self.part_done(&first, Err(data_error(&first, error)));
                }
                // Errors belong to one file each, so the others meet their own.
                parts.for_each(|part| {
                    let read = self.repository.objects().read_content(part.object);
                    let written = read
                        .map_err(|error| data_error(&part, error))
                        .and_then(|data| self.write_data(&part, &data));
                    self.part_done(&part, written);
                });
            }
        }
    }

    fn write_part(&self, part: &Part, stored: &[u8]) -> Result<()> {
        if part.assembly.failed.load(Ordering::Relaxed) {
            return Ok(());
        }
        let objects = self.repository.objects();
        let data = objects.of_content(part.object, stored).map_err(|error| data_error(part, error))?;
        self.write_data(part, &data)
    }

    fn write_data(&self, part: &Part, data: &[u8]) -> Result<()> {
        let assembly = &*part.assembly;
        let (place, entry) = (assembly.place(), &assembly.entry);
        let found = data.len() as u64;
        if let Some(expected) = part.length.filter(|&expected| expected != found) {
            let error = object::Error::PartLength { id: entry.obj, part: part.object, expected, found };
            return Err(data_error(part, error));
        }
        match &assembly.list {
            Some(list) => {
                let sparse = Sparse::of(entry, self.options);
                sparse.write(&list.file, data, part.start).map_err(place.failed("write"))?;
            }
            None if entry.kind == EntryType::Symlink => {
                self.restore_symlink(&place, entry, assembly.replaced.as_deref(), data)?;
            }
            None => self.restore_file(&place, entry, assembly.replaced.as_deref(), data)?,
        }
        self.monitor.add(Counter::RestoredBytes, found);
        Ok(())
    }

    /// One part is there, or is not going to be; whoever has the last one finishes the file.
    fn part_done(&self, part: &Part, result: Result<()>) {
        let assembly = &part.assembly;
        if let Err(error) = result {
            self.fail_once(assembly, error);
        }
        if assembly.pending.fetch_sub(1, Ordering::AcqRel) > 1 {
            return;
        }
        if assembly.list.is_some()
            && !assembly.failed.load(Ordering::Relaxed)
            && let Err(error) = self.finish_assembly(assembly)
        {
            self.fail_once(assembly, error);
        }
        if assembly.failed.load(Ordering::Relaxed)
            && let Some(list) = &assembly.list
        {
            // Before its directory is finished: its going changes the directory's time.
            list.file.discard();
        }
        self.settle(&assembly.node, &assembly.entry, !assembly.failed.load(Ordering::Relaxed));
        self.complete(Arc::clone(&assembly.node), 1);
    }

    fn finish_assembly(&self, assembly: &Assembly) -> Result<()> {
        let Some(list) = &assembly.list else { return Ok(()) };
        let (place, replaced) = (assembly.place(), assembly.replaced.as_deref());
        self.finish_file(&place, &list.file, &assembly.entry, list.length, replaced)
    }

    fn fail_once(&self, assembly: &Assembly, error: Error) {
        if !assembly.failed.swap(true, Ordering::AcqRel) {
            self.fail(error);
        }
    }
}

fn data_error(part: &Part, source: object::Error) -> Error {
    Error::Data { path: part.assembly.place().path(), source: Box::new(source) }
}
