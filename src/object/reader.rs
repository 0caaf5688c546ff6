//! Object ids to bytes.

use super::{Error, ObjectId, Result, Segment, SegmentList};
use crate::compression::{self, HeaderId};
use crate::content::ContentReader;
use crate::format::ContentId;
use std::borrow::Cow;
use std::io::{self, Cursor, Read};
use std::sync::Arc;

/// Lists of lists deeper than this cannot come from a writer: two levels hold petabytes.
const MAX_DEPTH: usize = 8;
/// Most parts of an object that lists of lists may give: writers put all parts into one list, however long, so that a few
/// small lists that name each other again and again mean harm.
const MAX_NESTED_PARTS: usize = 1 << 20;
/// An object read whole into memory is metadata; more than this is an attack, not a directory.
const MAX_WHOLE_BYTES: u64 = 2 << 30;
/// Longest plaintext of one content that compresses itself.
const MAX_CONTENT_BYTES: usize = 1 << 28;

/// Reads objects.
#[derive(Debug, Clone)]
pub struct ObjectReader {
    contents: Arc<ContentReader>,
}

impl ObjectReader {
    /// Reads objects whose contents `contents` knows.
    pub fn new(contents: Arc<ContentReader>) -> Self {
        Self { contents }
    }

    /// The content layer underneath.
    pub fn contents(&self) -> &Arc<ContentReader> {
        &self.contents
    }

    /// The parts of an object that is a list, flattened to single contents; `None` for an object that is one content,
    /// whose length only reading tells.
    ///
    /// # Errors
    /// [`Error::BrokenList`], or what reading the list's contents says.
    pub fn segments(&self, id: ObjectId) -> Result<Option<Vec<Segment>>> {
        let Some(list) = id.list() else { return Ok(None) };
        let mut flat = Vec::new();
        self.flatten(id, list, 0, None, 0, &mut flat)?;
        Ok(Some(flat))
    }

    /// Every content behind an object: those of its lists and those of its parts.
    ///
    /// # Errors
    /// Those of [`ObjectReader::segments`].
    pub fn content_ids(&self, id: ObjectId) -> Result<Vec<ContentId>> {
        let mut ids: Vec<ContentId> = id.content().into_iter().collect();
        let mut list = id.list();
        if let Some(segments) = self.segments(id)? {
            ids.extend(segments.iter().filter_map(|segment| segment.object.content()));
            // The contents of the lists themselves, level by level.
            while let Some(level) = list {
                ids.extend(
                    self.segments(level)?.into_iter().flatten().filter_map(|part| part.object.content()),
                );
                list = level.list();
            }
        }
        Ok(ids)
    }

    /// Reads the bytes of an object that is one content.
    ///
    /// # Errors
    /// What reading or decompressing the content says.
    pub fn read_content(&self, id: ObjectId) -> Result<Vec<u8>> {
        let content = id.content().ok_or(Error::NoObject)?;
        let data = self.contents.get(&content).map_err(|source| Error::Content { id, source })?;
        if id.is_compressed() { unpack(id, &data) } else { Ok(data) }
    }

    /// The bytes of an object that is one content, out of the bytes of that content.
    ///
    /// # Errors
    /// [`Error::Decompress`].
    pub fn of_content<'a>(&self, id: ObjectId, data: &'a [u8]) -> Result<Cow<'a, [u8]>> {
        if id.is_compressed() { unpack(id, data).map(Cow::Owned) } else { Ok(Cow::Borrowed(data)) }
    }

    /// Reads one part and proves its length.
    ///
    /// # Errors
    /// [`Error::PartLength`], or what reading says.
    pub fn read_segment(&self, id: ObjectId, segment: &Segment) -> Result<Vec<u8>> {
        let data = self.read_content(segment.object)?;
        if data.len() as u64 != segment.length {
            let (expected, found) = (segment.length, data.len() as u64);
            return Err(Error::PartLength { id, part: segment.object, expected, found });
        }
        Ok(data)
    }

    /// Reads a whole object into memory: for metadata.
    ///
    /// # Errors
    /// Those of [`ObjectReader::segments`] and [`ObjectReader::read_segment`].
    pub fn read_all(&self, id: ObjectId) -> Result<Vec<u8>> {
        let Some(segments) = self.segments(id)? else { return self.read_content(id) };
        let length = segments.last().map_or(0, |last| last.start + last.length);
        if length > MAX_WHOLE_BYTES {
            return Err(Error::BrokenList {
                id,
                reason: format!("{length} bytes are too many for metadata"),
            });
        }
        let mut out = Vec::new();
        for segment in &segments {
            out.extend_from_slice(&self.read_segment(id, segment)?);
        }
        Ok(out)
    }

    /// Reads an object piece by piece, one content in memory at a time.
    ///
    /// # Errors
    /// Those of [`ObjectReader::segments`]; reading gives those of [`ObjectReader::read_segment`] inside
    /// [`std::io::Error`].
    pub fn read(&self, id: ObjectId) -> Result<ObjectBytes<'_>> {
        let (segments, piece) = match self.segments(id)? {
            Some(segments) => (segments, Vec::new()),
            None => (Vec::new(), self.read_content(id)?),
        };
        Ok(ObjectBytes { reader: self, id, segments: segments.into_iter(), piece: Cursor::new(piece) })
    }

    /// `expected` is the length that the level above gives to this list's object.
    fn flatten(
        &self,
        id: ObjectId,
        list: ObjectId,
        base: u64,
        expected: Option<u64>,
        depth: usize,
        out: &mut Vec<Segment>,
    ) -> Result<()> {
        if depth >= MAX_DEPTH {
            return Err(Error::BrokenList { id, reason: "lists of lists too deep".to_owned() });
        }
        let json = self.read_list(list, depth)?;
        let parsed = SegmentList::parse(&json).map_err(|reason| Error::BrokenList { id, reason })?;
        if let Some(expected) = expected.filter(|&expected| expected != parsed.length()) {
            return Err(Error::PartLength { id, part: list, expected, found: parsed.length() });
        }
        for segment in parsed.into_segments() {
            let start = base
                .checked_add(segment.start)
                .ok_or_else(|| Error::BrokenList { id, reason: "it is longer than any object".to_owned() })?;
            if depth > 0 && out.len() >= MAX_NESTED_PARTS {
                return Err(Error::BrokenList { id, reason: "too many parts in lists of lists".to_owned() });
            }
            match segment.object.list() {
                None => out.push(Segment { start, ..segment }),
                Some(inner) => self.flatten(id, inner, start, Some(segment.length), depth + 1, out)?,
            }
        }
        Ok(())
    }

    fn read_list(&self, list: ObjectId, depth: usize) -> Result<Vec<u8>> {
        let Some(inner) = list.list() else { return self.read_content(list) };
        let mut parts = Vec::new();
        self.flatten(list, inner, 0, None, depth + 1, &mut parts)?;
        let mut json = Vec::new();
        for part in &parts {
            json.extend_from_slice(&self.read_segment(list, part)?);
            if json.len() as u64 > MAX_WHOLE_BYTES {
                return Err(Error::BrokenList { id: list, reason: "it is too long".to_owned() });
            }
        }
        Ok(json)
    }
}

/// Unpacks a content that compresses itself.
fn unpack(id: ObjectId, data: &[u8]) -> Result<Vec<u8>> {
    let header = data.first_chunk::<4>().map_or(0, |bytes| u32::from_be_bytes(*bytes));
    compression::decompress_framed(HeaderId(header), data, MAX_CONTENT_BYTES)
        .map_err(|source| Error::Decompress { id, source })
}

/// The bytes of an object.
#[derive(Debug)]
pub struct ObjectBytes<'a> {
    reader: &'a ObjectReader,
    id: ObjectId,
    segments: std::vec::IntoIter<Segment>,
    piece: Cursor<Vec<u8>>,
}

impl Read for ObjectBytes<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = self.piece.read(buffer)?;
            if read > 0 || buffer.is_empty() {
                return Ok(read);
            }
            let Some(segment) = self.segments.next() else { return Ok(0) };
            let piece = self.reader.read_segment(self.id, &segment).map_err(io::Error::other)?;
            self.piece = Cursor::new(piece);
        }
    }
}
