//! Many contents, read pack by pack.
//!
//! ```text
//! contents, in the order in which they are asked for
//!     │ sorted by pack and place; packs in the order in which they were first asked for
//!     ▼
//! pack p1 ▕██ ██▏ ▕████▏     ▕██▏     each read: neighbours, and small gaps between them
//! ```
//!
//! A content asked for several times is read once. What is read and not wanted is at most a twenty-fifth of what is.

use super::{ContentReader, Result};
use crate::blob::{BlobId, ByteRange};
use crate::format::ContentId;
use crate::index::IndexEntry;
use hashbrown::HashMap;
use std::borrow::Cow;
use std::ops::ControlFlow;

/// Longest stretch between two wanted contents that is read with them: about what a store delivers in the time in which
/// it answers a request.
const GAP_BYTES_MAX: u64 = 256 << 10;
/// Neighbours are read together up to this length; a longer content is read alone.
const READ_BYTES_MAX: u64 = 4 << 20;
/// One part in so many of what is wanted may be read without being wanted.
const WASTE_DIVISOR: u64 = 25;

/// A content that is wanted, and what for.
#[derive(Debug)]
pub struct Piece<T> {
    /// Where it lies.
    entry: IndexEntry,
    /// Number of the pack, in the order in which packs were first wanted.
    pack: u32,
    /// What it is wanted for.
    pub purpose: T,
}

impl<T> Piece<T> {
    /// The content.
    pub fn id(&self) -> ContentId {
        self.entry.id
    }

    fn end(&self) -> u64 {
        u64::from(self.entry.pack_offset) + u64::from(self.entry.packed_length)
    }
}

/// Contents to be read.
#[derive(Debug)]
pub struct ReadPlan<T> {
    packs: HashMap<BlobId, u32>,
    pieces: Vec<Piece<T>>,
}

impl<T> Default for ReadPlan<T> {
    fn default() -> Self {
        Self { packs: HashMap::new(), pieces: Vec::new() }
    }
}

/// A stretch of a pack, with the contents wanted from it.
#[derive(Debug)]
pub struct PackRead<T> {
    pack: BlobId,
    range: ByteRange,
    /// In the order of their places; those for one content side by side.
    pieces: Vec<Piece<T>>,
}

impl<T> PackRead<T> {
    /// Bytes in memory while it is read and decoded.
    pub fn memory_bytes(&self) -> u64 {
        let unpacked = self.pieces.iter().map(|piece| match piece.entry.compression.0 {
            0 => 0,
            _ => u64::from(piece.entry.original_length),
        });
        self.range.length + unpacked.max().unwrap_or(0)
    }

    /// Bytes asked of the store.
    pub fn stored_bytes(&self) -> u64 {
        self.range.length
    }

    fn new(first: Piece<T>) -> Self {
        let (offset, length) = (u64::from(first.entry.pack_offset), u64::from(first.entry.packed_length));
        let pack = first.entry.pack.clone();
        Self { pack, range: ByteRange { offset, length }, pieces: vec![first] }
    }

    fn end(&self) -> u64 {
        self.range.offset + self.range.length
    }

    /// Whether a piece is for the content of the last one.
    fn repeats(&self, piece: &Piece<T>) -> bool {
        self.pieces.last().is_some_and(|last| last.entry.id == piece.entry.id)
    }

    /// The stretch between the end and a later piece of the same pack, if that may be read along.
    fn gap_before(&self, piece: &Piece<T>) -> Option<u64> {
        let same_pack = self.pieces.last().is_some_and(|last| last.pack == piece.pack);
        // Contents that overlap come from a forged index: decoding one in place would spoil the other.
        let gap = u64::from(piece.entry.pack_offset).checked_sub(self.end()).filter(|_| same_pack)?;
        (gap <= GAP_BYTES_MAX && piece.end() - self.range.offset <= READ_BYTES_MAX).then_some(gap)
    }
}

impl<T> ReadPlan<T> {
    /// Adds a content by its place.
    pub fn add(&mut self, entry: IndexEntry, purpose: T) {
        let next = self.packs.len() as u32;
        let pack = match self.packs.get(&entry.pack) {
            Some(&known) => known,
            None => *self.packs.entry(entry.pack.clone()).or_insert(next),
        };
        self.pieces.push(Piece { entry, pack, purpose });
    }

    /// How many contents were added, each as often as it was.
    pub fn len(&self) -> usize {
        self.pieces.len()
    }

    /// Whether none was.
    pub fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// What to read, pack by pack, each from front to back.
    pub fn into_reads(mut self) -> Vec<PackRead<T>> {
        self.pieces.sort_by_key(|piece| (piece.pack, piece.entry.pack_offset, piece.entry.id));
        let mut waste_left = wanted_bytes(&self.pieces) / WASTE_DIVISOR;
        let mut reads: Vec<PackRead<T>> = Vec::new();
        for piece in self.pieces {
            match reads.last_mut() {
                Some(last) if last.repeats(&piece) => last.pieces.push(piece),
                Some(last) => match last.gap_before(&piece).filter(|gap| *gap <= waste_left) {
                    Some(gap) => {
                        waste_left -= gap;
                        last.range.length = piece.end() - last.range.offset;
                        last.pieces.push(piece);
                    }
                    None => reads.push(PackRead::new(piece)),
                },
                None => reads.push(PackRead::new(piece)),
            }
        }
        reads
    }
}

/// Of sorted pieces, those for one content counted once.
fn wanted_bytes<T>(pieces: &[Piece<T>]) -> u64 {
    let contents = pieces.chunk_by(|a, b| a.entry.id == b.entry.id);
    contents.filter_map(<[_]>::first).map(|piece| u64::from(piece.entry.packed_length)).sum()
}

impl ContentReader {
    /// Reads a stretch of a pack and hands out each content in it, with all that it is wanted for.
    ///
    /// Where the stretch cannot be read as a whole, its contents are tried one by one, so that what is missing or damaged
    /// harms nothing else; a pack that maintenance has rewritten meanwhile is found again this way, too. Ends early when
    /// `each` says so.
    pub fn read_planned<T>(
        &self,
        read: PackRead<T>,
        mut each: impl FnMut(Vec<Piece<T>>, Result<&[u8]>) -> ControlFlow<()>,
    ) {
        let PackRead { pack, range, pieces } = read;
        let mut stored = self.storage().get(&pack, Some(range)).ok();
        let mut pieces = pieces.into_iter().peekable();
        while let Some(first) = pieces.next() {
            let entry = first.entry.clone();
            let mut same = vec![first];
            while let Some(next) = pieces.next_if(|next| next.entry.id == entry.id) {
                same.push(next);
            }
            let from = (u64::from(entry.pack_offset) - range.offset) as usize;
            let to = from + entry.packed_length as usize;
            let stored = stored.as_mut().and_then(|stored| stored.get_mut(from..to));
            let decoded = match stored {
                Some(bytes) => self.decode_in_place(&entry, bytes),
                None => self.get(&entry.id).map(Cow::Owned),
            };
            let flow = match decoded {
                Ok(data) => each(same, Ok(&data)),
                Err(error) => each(same, Err(error)),
            };
            if flow.is_break() {
                return;
            }
        }
    }
}
