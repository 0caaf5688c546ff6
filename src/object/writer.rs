//! Bytes to object ids.

use super::{ObjectId, ObjectStream, Result, Segment, SegmentList};
use crate::base::gojson;
use crate::compression::{self, Compressor};
use crate::content::{self, ContentWriter, NewContent, Scratch};
use crate::format::IdPrefix;
use crate::splitter::Splitter;
use std::sync::Arc;

/// How an object is to be written.
#[derive(Debug, Clone, Copy)]
pub struct ObjectOptions {
    /// Prefix of its contents.
    pub prefix: IdPrefix,
    /// Compressor of its data.
    pub compressor: Option<&'static dyn Compressor>,
    /// Compressor of its lists of parts.
    pub metadata_compressor: Option<&'static dyn Compressor>,
}

/// One chunk of file data about to be written; used up by it.
#[derive(Debug)]
pub struct NewChunk<'a> {
    /// The bytes.
    pub data: &'a mut [u8],
    /// How to compress them, if they shrink.
    pub compressor: Option<&'static dyn Compressor>,
}

/// Writes objects whose bytes are in memory, and the lists of those whose parts were written elsewhere.
#[derive(Debug, Clone)]
pub struct ObjectWriter {
    contents: Arc<ContentWriter>,
    /// The repository's own splitter: lists and directories are cut by it whatever a policy says.
    splitter: Arc<dyn Splitter>,
}

impl ObjectWriter {
    /// Writes through `contents`, cutting metadata with the repository's `splitter`.
    pub fn new(contents: Arc<ContentWriter>, splitter: Arc<dyn Splitter>) -> Self {
        Self { contents, splitter }
    }

    /// The content layer underneath.
    pub fn contents(&self) -> &Arc<ContentWriter> {
        &self.contents
    }

    /// The repository's own splitter.
    pub fn splitter(&self) -> &Arc<dyn Splitter> {
        &self.splitter
    }

    /// Writes a prefixed object, that is metadata, from memory, cut by the repository's splitter. The bytes are used up.
    ///
    /// # Errors
    /// What the content layer says.
    pub fn write(&self, data: &mut [u8], options: &ObjectOptions, scratch: &mut Scratch) -> Result<ObjectId> {
        let mut parts = PartList::default();
        let mut rest = data;
        loop {
            let cut = self.splitter.boundary(rest, 0).unwrap_or(rest.len());
            let (chunk, after) = rest.split_at_mut(cut);
            let length = chunk.len() as u64;
            let id = self.contents.write(chunk, options.prefix, options.compressor, scratch)?;
            parts.push(length, ObjectId::direct(id));
            rest = after;
            if rest.is_empty() {
                return self.finish(parts, options, scratch);
            }
        }
    }

    /// Begins a prefixed object whose bytes are made piece by piece.
    pub fn stream<'a>(&'a self, options: ObjectOptions, scratch: &'a mut Scratch) -> ObjectStream<'a> {
        ObjectStream::new(self, options, scratch)
    }

    /// Writes several chunks of file data at once and reports each id by its position. Where contents cannot say that
    /// they are compressed, a chunk says so itself.
    ///
    /// # Errors
    /// What the content layer says.
    pub fn write_chunks(
        &self,
        chunks: &mut [NewChunk<'_>],
        scratch: &mut Scratch,
        mut written: impl FnMut(usize, ObjectId),
    ) -> Result<()> {
        if !self.contents.reader().format().compresses_contents() {
            for (position, chunk) in chunks.iter_mut().enumerate() {
                written(position, self.write_self_compressed(chunk, scratch)?);
            }
            return Ok(());
        }
        let mut batch = Vec::with_capacity(chunks.len());
        for chunk in chunks {
            let (prefix, compressor) = (IdPrefix::NONE, chunk.compressor);
            batch.push(NewContent { data: &mut *chunk.data, prefix, compressor });
        }
        self.contents
            .write_batch(&mut batch, scratch, |position, id| written(position, ObjectId::direct(id)))?;
        Ok(())
    }

    /// Turns written parts into one object: the part itself when it is the only one, a list otherwise.
    ///
    /// # Errors
    /// What the content layer says.
    pub fn finish(
        &self,
        parts: PartList,
        options: &ObjectOptions,
        scratch: &mut Scratch,
    ) -> Result<ObjectId> {
        if !parts.always_list && parts.segments.len() == 1 {
            return Ok(parts.segments[0].object);
        }
        let list = SegmentList::new(parts.segments);
        let mut json = gojson::to_line(&list).expect("a list of parts has only numbers and ids");
        let prefix = if options.prefix.is_none() { IdPrefix::INDIRECT } else { options.prefix };
        let compressor = options.metadata_compressor;
        let inner = ObjectOptions { prefix, compressor, metadata_compressor: compressor };
        let id = self.write(&mut json, &inner, scratch)?;
        Ok(ObjectId::indirect(id)
            .expect("a list is prefixed, so never self-compressed, and a few levels deep"))
    }

    fn write_self_compressed(&self, chunk: &mut NewChunk<'_>, scratch: &mut Scratch) -> Result<ObjectId> {
        if let Some(compressor) = chunk.compressor {
            let mut compressed = Vec::new();
            let shrank = compression::compress_framed(compressor, chunk.data, &mut compressed)
                .map_err(content::Error::Compress)?;
            if shrank {
                let id = self.contents.write(&mut compressed, IdPrefix::NONE, None, scratch)?;
                return Ok(ObjectId::compressed(id));
            }
        }
        Ok(ObjectId::direct(self.contents.write(chunk.data, IdPrefix::NONE, None, scratch)?))
    }
}

/// Parts of an object in order, while they are being written.
#[derive(Debug, Clone, Default)]
pub struct PartList {
    segments: Vec<Segment>,
    length: u64,
    always_list: bool,
}

impl PartList {
    /// A list that stays a list even with one part, as Kopia's concatenation of big files' parts does.
    pub fn concatenated() -> Self {
        Self { always_list: true, ..Self::default() }
    }

    /// Appends a part.
    pub fn push(&mut self, length: u64, object: ObjectId) {
        self.segments.push(Segment { start: self.length, length, object });
        self.length += length;
    }

    /// Bytes so far.
    pub fn length(&self) -> u64 {
        self.length
    }
}
