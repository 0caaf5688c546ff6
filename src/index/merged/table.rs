//! A sorted table of contents whose hashes have one length.

use super::{Error, RawEntry, Result};
use crate::crypto::Hash;
use crate::format::{ContentId, IdPrefix};
use std::cmp::Ordering;
use std::ops::Range;

/// How often a position is computed before the rest is searched by halving. Uniform hashes need about three.
const PROBES_MAX: usize = 8;
/// Ranges this short are searched by halving at once.
const PROBE_ROWS_MIN: usize = 16;

const DELETED: u32 = 1 << 31;

/// All of an entry but its id, in 24 bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row {
    seconds_low: u32,
    pub(super) pack: u32,
    offset_and_deleted: u32,
    pub(super) packed_length: u32,
    pub(super) original_length: u32,
    seconds_high: u16,
    pub(super) format: u16,
}

impl Row {
    /// `raw.timestamp_seconds` is what files can hold: 0 to 2^48 − 1.
    pub(super) fn new(raw: &RawEntry, pack: u32, format: u16) -> Self {
        Self {
            seconds_low: raw.timestamp_seconds as u32,
            pack,
            offset_and_deleted: raw.pack_offset | if raw.deleted { DELETED } else { 0 },
            packed_length: raw.packed_length,
            original_length: raw.original_length,
            seconds_high: (raw.timestamp_seconds >> 32) as u16,
            format,
        }
    }

    pub(super) fn timestamp_seconds(&self) -> i64 {
        i64::from(self.seconds_high) << 32 | i64::from(self.seconds_low)
    }

    pub(super) fn deleted(&self) -> bool {
        self.offset_and_deleted & DELETED != 0
    }

    pub(super) fn pack_offset(&self) -> u32 {
        self.offset_and_deleted & !DELETED
    }

    /// What decides between two entries before their packs do.
    pub(super) fn rank(&self) -> (i64, bool) {
        (self.timestamp_seconds(), !self.deleted())
    }
}

/// The first row of those with a prefix.
#[derive(Debug, Clone, Copy)]
struct Group {
    prefix: IdPrefix,
    start: usize,
}

/// Rows sorted by prefix and hash; hashes and the rest lie in columns of their own.
#[derive(Clone)]
pub(super) struct Table {
    hash_len: usize,
    hashes: Vec<u8>,
    rows: Vec<Row>,
    groups: Vec<Group>,
}

impl Table {
    /// Takes unfilled columns to be filled with [`Table::push`].
    pub(super) fn new(hash_len: usize) -> Self {
        Self { hash_len, hashes: Vec::new(), rows: Vec::new(), groups: Vec::new() }
    }

    /// Takes columns that are sorted by prefix and hash. `prefixes` are the prefixes in order with their first rows.
    pub(super) fn from_sorted(
        hash_len: usize,
        mut hashes: Vec<u8>,
        mut rows: Vec<Row>,
        prefixes: impl IntoIterator<Item = (IdPrefix, usize)>,
    ) -> Self {
        hashes.shrink_to_fit();
        rows.shrink_to_fit();
        let groups = prefixes.into_iter().map(|(prefix, start)| Group { prefix, start }).collect();
        Self { hash_len, hashes, rows, groups }
    }

    pub(super) fn hash_len(&self) -> usize {
        self.hash_len
    }

    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    pub(super) fn rows(&self) -> &[Row] {
        &self.rows
    }

    pub(super) fn row(&self, row: usize) -> &Row {
        &self.rows[row]
    }

    pub(super) fn id(&self, row: usize) -> ContentId {
        let group = self.groups.partition_point(|group| group.start <= row);
        let hash = Hash::from_slice(self.hash(row)).expect("a table's hashes have a valid length");
        ContentId::new(self.groups[group - 1].prefix, hash)
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.hashes.capacity() + self.rows.capacity() * size_of::<Row>()
    }

    /// The rows of a prefix.
    pub(super) fn rows_of(&self, prefix: IdPrefix) -> Range<usize> {
        match self.groups.iter().position(|group| group.prefix == prefix) {
            None => 0..0,
            Some(group) => {
                let end = self.groups.get(group + 1).map_or(self.len(), |next| next.start);
                self.groups[group].start..end
            }
        }
    }

    /// The row of a content; `hash` has this table's length.
    pub(super) fn find(&self, prefix: IdPrefix, hash: &[u8]) -> Option<usize> {
        self.search(self.rows_of(prefix), hash).ok()
    }

    fn hash(&self, row: usize) -> &[u8] {
        &self.hashes[row * self.hash_len..(row + 1) * self.hash_len]
    }

    /// Finds `hash` in a sorted range of rows, or the row before which it belongs.
    fn search(&self, rows: Range<usize>, hash: &[u8]) -> std::result::Result<usize, usize> {
        let Range { start: mut low, end: mut high } = rows;
        let target = u64::from(head(hash));
        // All heads in low..high lie in here.
        let (mut least, mut greatest) = (0, u64::from(u32::MAX));
        for _ in 0..PROBES_MAX {
            if high - low <= PROBE_ROWS_MIN || target < least || target > greatest {
                break;
            }
            // Neither factor exceeds 2^32, and the quotient stays below the number of rows.
            let guess = low + ((target - least) * (high - low) as u64 / (greatest - least + 1)) as usize;
            let found = self.hash(guess);
            match found.cmp(hash) {
                Ordering::Equal => return Ok(guess),
                Ordering::Less => (low, least) = (guess + 1, u64::from(head(found))),
                Ordering::Greater => (high, greatest) = (guess, u64::from(head(found))),
            }
        }
        while low < high {
            let middle = low + (high - low) / 2;
            match self.hash(middle).cmp(hash) {
                Ordering::Equal => return Ok(middle),
                Ordering::Less => low = middle + 1,
                Ordering::Greater => high = middle,
            }
        }
        Err(low)
    }

    /// Appends a row that sorts after all others.
    pub(super) fn push(&mut self, prefix: IdPrefix, hash: &[u8], row: Row) {
        if self.groups.last().is_none_or(|group| group.prefix != prefix) {
            self.groups.push(Group { prefix, start: self.rows.len() });
        }
        self.hashes.extend_from_slice(hash);
        self.rows.push(row);
    }

    /// Takes in the rows of `added`, in place: rows behind an insertion move once, by as many places as rows are
    /// inserted before them.
    pub(super) fn merge(&mut self, added: &Self, supersedes: impl Fn(&Row, &Row) -> bool) -> Result<()> {
        let mut inserts = Vec::new();
        for at in 0..added.len() {
            let id = added.id(at);
            match self.place_of(&id) {
                Ok(row) if supersedes(&added.rows[at], &self.rows[row]) => self.rows[row] = added.rows[at],
                Ok(_) => {}
                Err(before) => inserts.push((before, at, id.prefix())),
            }
        }
        check_len(self.len() + inserts.len())?;
        self.grow(inserts.len(), added);
        let mut end = self.len() - inserts.len();
        for (count, &(before, at, _)) in inserts.iter().enumerate().rev() {
            self.shift(before..end, count + 1);
            let place = before + count;
            self.rows[place] = added.rows[at];
            self.hashes[place * self.hash_len..(place + 1) * self.hash_len].copy_from_slice(added.hash(at));
            end = before;
        }
        self.regroup(&inserts);
        Ok(())
    }

    /// The row of a content, or the row before which it belongs.
    fn place_of(&self, id: &ContentId) -> std::result::Result<usize, usize> {
        let before = self.groups.partition_point(|group| group.prefix < id.prefix());
        let start = self.groups.get(before).map_or(self.len(), |group| group.start);
        let rows = self.rows_of(id.prefix());
        if rows.is_empty() { Err(start) } else { self.search(rows, id.hash().as_bytes()) }
    }

    /// Makes room at the end for rows of `sample`'s kind; a little more than needed, so that not every flush copies.
    fn grow(&mut self, count: usize, sample: &Self) {
        let Some(&row) = sample.rows.first() else { return };
        let len = self.len() + count;
        if self.rows.capacity() < len {
            let room = len + len / 32 - self.rows.len();
            self.rows.reserve_exact(room);
            self.hashes.reserve_exact(room * self.hash_len);
        }
        self.rows.resize(len, row);
        self.hashes.resize(len * self.hash_len, 0);
    }

    fn shift(&mut self, rows: Range<usize>, by: usize) {
        let bytes = rows.start * self.hash_len..rows.end * self.hash_len;
        let target = (rows.start + by) * self.hash_len;
        self.hashes.copy_within(bytes, target);
        let target = rows.start + by;
        self.rows.copy_within(rows, target);
    }

    /// Corrects the groups after rows were inserted; `inserts` has the old row before which each one went.
    fn regroup(&mut self, inserts: &[(usize, usize, IdPrefix)]) {
        let mut prefixes: Vec<_> = self.groups.iter().map(|group| group.prefix).collect();
        prefixes.extend(inserts.iter().map(|insert| insert.2));
        prefixes.sort_unstable();
        prefixes.dedup();
        let old_len = self.len() - inserts.len();
        let mut start = 0;
        let mut groups = Vec::with_capacity(prefixes.len());
        for prefix in prefixes {
            groups.push(Group { prefix, start });
            let old = self.groups.iter().position(|group| group.prefix == prefix).map_or(0, |group| {
                let end = self.groups.get(group + 1).map_or(old_len, |next| next.start);
                end - self.groups[group].start
            });
            start += old + inserts.iter().filter(|insert| insert.2 == prefix).count();
        }
        self.groups = groups;
    }

    /// Keeps the rows that `keep` wants.
    pub(super) fn retain(&mut self, keep: impl Fn(&Row) -> bool) {
        if self.rows.iter().all(&keep) {
            return;
        }
        let mut kept = Self::new(self.hash_len);
        for row in (0..self.len()).filter(|&row| keep(&self.rows[row])) {
            kept.push(self.id(row).prefix(), self.hash(row), self.rows[row]);
        }
        *self = kept;
    }
}

/// Rows are numbered in 32 bits while tables are built.
pub(super) fn check_len(len: usize) -> Result<()> {
    if u32::try_from(len).is_ok() { Ok(()) } else { Err(Error::TooLarge { what: "more than 2^32 entries" }) }
}

/// The first four bytes of a hash as a number.
fn head(hash: &[u8]) -> u32 {
    match hash.first_chunk::<4>() {
        Some(&bytes) => u32::from_be_bytes(bytes),
        None => hash.iter().zip([24, 16, 8]).fold(0, |head, (&byte, shift)| head | u32::from(byte) << shift),
    }
}
