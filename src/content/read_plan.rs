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

use super::{ContentReader, Error, Result};
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
/// What was decompressed is hashed before there is more of it than this.
const UNPACKED_BYTES_MAX: usize = 8 << 20;
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

/// A content of a stretch: its place, what it is wanted for, and its stored bytes if the stretch could be read.
struct Found<'a, T> {
    entry: IndexEntry,
    pieces: Vec<Piece<T>>,
    stored: Option<&'a mut [u8]>,
}

/// A content that waits to be hashed.
type Decoded<'a, T> = (IndexEntry, Vec<Piece<T>>, Cow<'a, [u8]>);

/// Shares out what was read. Contents do not overlap: see [`PackRead::gap_before`].
fn share_out<T>(pieces: Vec<Piece<T>>, start: u64, mut stored: Option<&mut [u8]>) -> Vec<Found<'_, T>> {
    let (mut found, mut at): (Vec<Found<'_, T>>, u64) = (Vec::new(), start);
    for piece in pieces {
        if let Some(last) = found.last_mut().filter(|last| last.entry.id == piece.entry.id) {
            last.pieces.push(piece);
            continue;
        }
        let (skip, length) = (u64::from(piece.entry.pack_offset) - at, piece.entry.packed_length as usize);
        at = piece.end();
        let split = stored.take().and_then(|rest| {
            rest.get_mut(skip as usize..).and_then(|rest| rest.split_at_mut_checked(length))
        });
        let (bytes, rest) = split.unzip();
        stored = rest;
        found.push(Found { entry: piece.entry.clone(), pieces: vec![piece], stored: bytes });
    }
    found
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
        for Found { entry, pieces, stored } in share_out(pieces, range.offset, stored.as_deref_mut()) {
            let flow = match self.decode_or_get(&entry, stored) {
                Ok(data) => each(pieces, Ok(&data)),
                Err(error) => each(pieces, Err(error)),
            };
            if flow.is_break() {
                return;
            }
        }
    }

    /// Like [`ContentReader::read_planned`] for several stretches, and proves that each content hashes to its name: many
    /// at once, which some hashes do in half the time.
    pub fn verify_planned<T>(
        &self,
        reads: Vec<PackRead<T>>,
        mut each: impl FnMut(Vec<Piece<T>>, Result<&[u8]>),
    ) {
        let mut read: Vec<_> = reads
            .into_iter()
            .map(|read| (self.storage().get(&read.pack, Some(read.range)).ok(), read))
            .collect();
        let mut decoded: Vec<Decoded<'_, T>> = Vec::new();
        let mut unpacked = 0;
        for (stored, read) in &mut read {
            let pieces = std::mem::take(&mut read.pieces);
            for Found { entry, pieces, stored } in share_out(pieces, read.range.offset, stored.as_deref_mut())
            {
                match self.decode_or_get(&entry, stored) {
                    Ok(data) => {
                        unpacked += if matches!(data, Cow::Owned(_)) { data.len() } else { 0 };
                        decoded.push((entry, pieces, data));
                    }
                    Err(error) => each(pieces, Err(error)),
                }
                if unpacked >= UNPACKED_BYTES_MAX {
                    self.prove(&mut decoded, &mut each);
                    unpacked = 0;
                }
            }
        }
        self.prove(&mut decoded, &mut each);
    }

    fn prove<T>(
        &self,
        decoded: &mut Vec<Decoded<'_, T>>,
        each: &mut impl FnMut(Vec<Piece<T>>, Result<&[u8]>),
    ) {
        // Those of similar length go together best.
        decoded.sort_by_key(|(_, _, data)| data.len());
        let (inputs, mut hashes): (Vec<&[u8]>, _) =
            (decoded.iter().map(|(_, _, data)| &**data).collect(), Vec::with_capacity(decoded.len()));
        self.format().crypto.hasher().hash_many(&inputs, &mut hashes);
        for ((entry, pieces, data), hash) in decoded.drain(..).zip(hashes) {
            if hash == *entry.id.hash() {
                each(pieces, Ok(&data));
            } else {
                each(pieces, Err(Error::Misnamed { id: entry.id, pack: entry.pack }));
            }
        }
    }

    fn decode_or_get<'a>(&self, entry: &IndexEntry, stored: Option<&'a mut [u8]>) -> Result<Cow<'a, [u8]>> {
        match stored {
            Some(bytes) => self.decode_in_place(entry, bytes),
            None => self.get(&entry.id).map(Cow::Owned),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compression::HeaderId;

    fn entry(number: u8, pack: &str, pack_offset: u32, packed_length: u32) -> IndexEntry {
        IndexEntry {
            id: format!("{number:032x}").parse().unwrap(),
            pack: BlobId::from(pack),
            pack_offset,
            packed_length,
            original_length: packed_length,
            timestamp_seconds: 0,
            deleted: false,
            format_version: 1,
            compression: HeaderId(0),
            encryption_key_id: 0,
        }
    }

    /// Packs, offsets, lengths, and what the contents are wanted for.
    type Look = Vec<(String, u64, u64, Vec<usize>)>;

    fn reads(entries: &[IndexEntry]) -> Look {
        let mut plan = ReadPlan::default();
        for (number, entry) in entries.iter().enumerate() {
            plan.add(entry.clone(), number);
        }
        let look = |read: PackRead<usize>| {
            let purposes = read.pieces.iter().map(|piece| piece.purpose).collect();
            (read.pack.as_str().to_owned(), read.range.offset, read.range.length, purposes)
        };
        plan.into_reads().into_iter().map(look).collect()
    }

    #[test]
    fn neighbours_are_read_together_packs_in_the_order_of_the_first_wish() {
        let wanted = [
            entry(1, "pb", 300, 100),
            entry(2, "pa", 50, 50),
            entry(3, "pb", 0, 300),
            entry(1, "pb", 300, 100),
            entry(4, "pa", 100, 7),
        ];
        let expected: Look =
            vec![("pb".to_owned(), 0, 400, vec![2, 0, 3]), ("pa".to_owned(), 50, 57, vec![1, 4])];
        assert_eq!(reads(&wanted), expected);
    }

    #[test]
    fn gaps_are_read_only_where_they_are_few_and_short() {
        const MIB: u32 = 1 << 20;
        let small_gap = [entry(1, "p", 0, MIB), entry(2, "p", MIB + 1000, MIB)];
        assert_eq!(reads(&small_gap).len(), 1);
        let long_gap = [entry(1, "p", 0, 2 * MIB), entry(2, "p", 3 * MIB, MIB)];
        assert_eq!(reads(&long_gap).len(), 2);
        // A tenth of what is wanted is too much, however short.
        let scattered: Vec<_> =
            (0..10).map(|number| entry(number, "p", 1100 * u32::from(number), 1000)).collect();
        let read: u64 = reads(&scattered).iter().map(|(_, _, length, _)| length).sum();
        assert!((10_000..=10_400).contains(&read), "{read}");
        // What was asked for a million times is no reason to waste more.
        let again: Vec<_> =
            (0..1000).map(|_| entry(1, "p", 0, 1000)).chain([entry(2, "p", 1100, 1)]).collect();
        assert_eq!(reads(&again).len(), 2);
    }

    #[test]
    fn reads_are_no_longer_than_allowed_but_for_one_content() {
        let neighbours: Vec<_> = (0..6_u8).map(|n| entry(n, "p", u32::from(n) << 20, 1 << 20)).collect();
        let lengths: Vec<_> = reads(&neighbours).into_iter().map(|(_, _, length, _)| length >> 20).collect();
        assert_eq!(lengths, [4, 2]);
        assert_eq!(reads(&[entry(1, "p", 0, 20 << 20)])[0].2, 20 << 20);
    }

    #[test]
    fn contents_that_overlap_are_read_apart() {
        let forged =
            [entry(1, "p", 0, 100), entry(2, "p", 50, 100), entry(3, "p", 0, 100), entry(4, "p", 0, 0)];
        let reads = reads(&forged);
        assert_eq!(reads.iter().map(|(.., purposes)| purposes.len()).sum::<usize>(), 4);
        assert!(reads.iter().all(|(.., purposes)| purposes.len() <= 2));
        for end in [u32::MAX, u32::MAX - 1] {
            assert_eq!(super::tests::reads(&[entry(1, "p", end, u32::MAX), entry(2, "p", end, 1)]).len(), 2);
        }
    }
}
