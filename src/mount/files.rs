//! The bytes of open files.

use super::contents::Contents;
use super::tree::Node;
use super::{Error, Result};
use crate::object::{self, ObjectId, ObjectReader, Segment};
use crate::source::{Hole, Holes};
use hashbrown::HashMap;
use parking_lot::Mutex;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

/// How far from the end of the last read another may begin and be its continuation: the kernel reads ahead in pieces,
/// and several threads answer them.
const NEARBY_BYTES: u64 = 2 << 20;

/// An open file.
#[derive(Debug)]
pub(super) struct OpenFile {
    /// Its number in the tree.
    pub(super) number: u64,
    object: ObjectId,
    size: u64,
    holes: Option<Box<Holes>>,
    segments: OnceLock<Vec<Segment>>,
    /// Where the last read ended.
    last_end: AtomicU64,
    /// Up to where contents were asked for ahead.
    ahead: AtomicU64,
}

impl OpenFile {
    /// The first byte from `offset` on that is data, or that is in a hole; `None` if `offset` is behind the end, or no
    /// data follows. The end of a file is a hole.
    pub(super) fn seek(&self, offset: u64, to_data: bool) -> Option<u64> {
        if offset >= self.size {
            return None;
        }
        let holes = match self.holes.as_deref() {
            Some(Holes::At(holes)) => &**holes,
            Some(Holes::Scattered) | None => &[],
        };
        let end = |hole: &Hole| hole.offset.saturating_add(hole.length);
        let hole = holes.iter().find(|hole| end(hole) > offset);
        match (hole, to_data) {
            (Some(hole), true) if hole.offset <= offset => Some(end(hole)).filter(|data| *data < self.size),
            (_, true) => Some(offset),
            (Some(hole), false) => Some(hole.offset.max(offset)),
            (None, false) => Some(self.size),
        }
    }
}

/// Bytes of a file.
pub(super) enum Bytes {
    /// A part of one content.
    Part(Arc<Vec<u8>>, Range<usize>),
    /// Parts of several.
    Joined(Vec<u8>),
}

impl Bytes {
    pub(super) fn as_slice(&self) -> &[u8] {
        match self {
            Self::Part(content, range) => content.get(range.clone()).unwrap_or_default(),
            Self::Joined(bytes) => bytes,
        }
    }
}

#[derive(Debug)]
pub(super) struct Files {
    objects: ObjectReader,
    contents: Contents,
    max_bytes: u64,
    open: Mutex<HashMap<u64, Arc<OpenFile>>>,
    next: AtomicU64,
}

impl Files {
    /// Keeps at most so many bytes of contents.
    pub(super) fn new(objects: ObjectReader, max_bytes: usize) -> Self {
        let contents = Contents::new(max_bytes);
        let (open, next) = (Mutex::default(), AtomicU64::new(1));
        Self { objects, contents, max_bytes: max_bytes as u64, open, next }
    }

    /// Opens a file; nothing is read yet.
    pub(super) fn open(&self, node: &Node) -> u64 {
        let handle = self.next.fetch_add(1, Ordering::Relaxed);
        let file = OpenFile {
            number: node.number,
            object: node.entry.obj,
            size: node.entry.size,
            holes: node.entry.supplement.as_ref().and_then(|supplement| supplement.holes.clone()),
            segments: OnceLock::new(),
            last_end: AtomicU64::new(0),
            ahead: AtomicU64::new(0),
        };
        self.open.lock().insert(handle, Arc::new(file));
        handle
    }

    pub(super) fn get(&self, handle: u64) -> Option<Arc<OpenFile>> {
        self.open.lock().get(&handle).cloned()
    }

    pub(super) fn close(&self, handle: u64) {
        self.open.lock().remove(&handle);
    }

    /// Reads from `offset`: as many bytes as are wanted or there are.
    pub(super) fn read(
        &self,
        file: &OpenFile,
        offset: u64,
        wanted: u64,
        path: &dyn Fn() -> String,
    ) -> Result<Bytes> {
        let end = offset.saturating_add(wanted).min(file.size);
        if offset >= end {
            return Ok(Bytes::Joined(Vec::new()));
        }
        let failed = |source: object::Error| Error::Data { path: path(), source: Arc::new(source) };
        let segments = self.segments(file).map_err(failed)?;
        let length = segments.last().map_or(0, |last| last.start.saturating_add(last.length));
        let wrong_length = |found| Error::Length { path: path(), expected: file.size, found };
        if length != file.size {
            return Err(wrong_length(length));
        }
        let first =
            segments.partition_point(|segment| segment.start.saturating_add(segment.length) <= offset);
        let mut joined = Vec::new();
        for segment in segments.get(first..).unwrap_or_default() {
            let content = self.content(file, segment).map_err(failed)?;
            if content.len() as u64 != segment.length {
                return Err(wrong_length(segment.start + content.len() as u64));
            }
            let from = offset.saturating_sub(segment.start) as usize;
            let to = (end - segment.start).min(segment.length) as usize;
            if joined.is_empty() && segment.start + segment.length >= end {
                return Ok(Bytes::Part(content, from..to));
            }
            joined.extend_from_slice(content.get(from..to).unwrap_or_default());
            if segment.start + segment.length >= end {
                break;
            }
        }
        Ok(Bytes::Joined(joined))
    }

    fn segments<'f>(&self, file: &'f OpenFile) -> object::Result<&'f [Segment]> {
        if let Some(known) = file.segments.get() {
            return Ok(known);
        }
        let whole = Segment { start: 0, length: file.size, object: file.object };
        let segments = self.objects.segments(file.object)?.unwrap_or_else(|| vec![whole]);
        Ok(file.segments.get_or_init(|| segments))
    }

    fn content(&self, file: &OpenFile, segment: &Segment) -> object::Result<Arc<Vec<u8>>> {
        self.contents.get_or_load(segment.object, || {
            if segment.object == file.object {
                self.objects.read_content(segment.object)
            } else {
                self.objects.read_segment(file.object, segment)
            }
        })
    }

    /// What is likely to be read next, after a read that ended at `end` and continued another; each content once.
    pub(super) fn next_after(&self, file: &OpenFile, offset: u64, end: u64) -> Option<Segment> {
        let last_end = file.last_end.swap(end, Ordering::Relaxed);
        let segments = file.segments.get()?;
        let current = segments.partition_point(|segment| segment.start <= offset).checked_sub(1)?;
        let (current, next) = (segments.get(current)?, segments.get(current + 1)?);
        let continues = offset > 0 && offset.abs_diff(last_end) <= NEARBY_BYTES;
        let has_room = current.length.saturating_add(next.length) <= self.max_bytes;
        let is_new = file.ahead.fetch_max(next.start, Ordering::Relaxed) < next.start;
        (continues && has_room && is_new && !self.contents.has(next.object)).then_some(*next)
    }

    /// Brings a content into memory. Whoever needs it hears of a failure then.
    pub(super) fn fetch(&self, file: &OpenFile, segment: &Segment) {
        self.content(file, segment).ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holes_are_found() {
        let hole = |offset, length| Hole { offset, length };
        let file = OpenFile {
            number: 1,
            object: ObjectId::NONE,
            size: 100,
            holes: Holes::listed(vec![hole(10, 20), hole(90, 10)]).map(Box::new),
            segments: OnceLock::new(),
            last_end: AtomicU64::new(0),
            ahead: AtomicU64::new(0),
        };
        for (offset, data, gap) in [
            (0, Some(0), Some(10)),
            (10, Some(30), Some(10)),
            (15, Some(30), Some(15)),
            (30, Some(30), Some(90)),
            (95, None, Some(95)),
            (100, None, None),
        ] {
            assert_eq!((file.seek(offset, true), file.seek(offset, false)), (data, gap), "{offset}");
        }
        let whole = OpenFile { holes: None, ..file };
        assert_eq!((whole.seek(5, true), whole.seek(5, false)), (Some(5), Some(100)));
    }
}
