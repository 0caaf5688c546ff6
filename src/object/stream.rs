//! Metadata that is written as it is made, without ever being in memory as a whole.

use super::{ObjectId, ObjectOptions, ObjectWriter, PartList, Result};
use crate::content::Scratch;

/// How much is collected before the next cut is looked for, in bytes.
const STEP_BYTES: usize = 64 << 10;

/// A prefixed object being written; the same object as [`ObjectWriter::write`] makes of the same bytes.
#[derive(Debug)]
pub struct ObjectStream<'a> {
    objects: &'a ObjectWriter,
    options: ObjectOptions,
    scratch: &'a mut Scratch,
    /// Bytes since the last cut.
    buffer: Vec<u8>,
    scanned: usize,
    parts: PartList,
}

impl<'a> ObjectStream<'a> {
    pub(super) fn new(objects: &'a ObjectWriter, options: ObjectOptions, scratch: &'a mut Scratch) -> Self {
        Self { objects, options, scratch, buffer: Vec::new(), scanned: 0, parts: PartList::default() }
    }

    /// Has `append` add bytes at the end of a buffer; it must leave what is there.
    ///
    /// # Errors
    /// What the content layer says.
    pub fn write_with(&mut self, append: impl FnOnce(&mut Vec<u8>)) -> Result<()> {
        append(&mut self.buffer);
        if self.buffer.len() < self.scanned + STEP_BYTES { Ok(()) } else { self.store_chunks() }
    }

    /// Writes what is left.
    ///
    /// # Errors
    /// What the content layer says.
    pub fn finish(mut self) -> Result<ObjectId> {
        self.store_chunks()?;
        if !self.buffer.is_empty() || self.parts.length() == 0 {
            self.store(self.buffer.len())?;
        }
        self.objects.finish(self.parts, &self.options, self.scratch)
    }

    fn store_chunks(&mut self) -> Result<()> {
        while let Some(cut) = self.objects.splitter().boundary(&self.buffer, self.scanned) {
            self.store(cut)?;
        }
        self.scanned = self.buffer.len();
        Ok(())
    }

    fn store(&mut self, length: usize) -> Result<()> {
        let Self { objects, options, scratch, buffer, scanned, parts } = self;
        let chunk = buffer.get_mut(..length).expect("a cut lies inside what was searched for it");
        let id = objects.contents().write(chunk, options.prefix, options.compressor, scratch)?;
        parts.push(length as u64, ObjectId::direct(id));
        buffer.drain(..length);
        *scanned = 0;
        Ok(())
    }
}
