//! Turns many index files into one table.
//!
//! Rows are appended unsorted; one number per row, made of the head of its key and its place, is sorted; then the rows
//! are moved to their places and of equal keys one is kept. So the table is never there twice, and a file can be dropped
//! as soon as it has been added.

use super::table::{Row, Table, check_len};
use super::{MergedIndex, Names, PackIndex, Result, is_dropped};
use crate::format::IdPrefix;

/// Collects index files for a [`MergedIndex`].
#[derive(Default)]
pub struct MergedBuilder {
    staging: Staging,
    names: Names,
}

impl MergedBuilder {
    /// Plans for about this many entries with 16-byte hashes, so that columns need not be copied while they grow.
    pub fn with_capacity(entries: usize) -> Self {
        let mut this = Self::default();
        let columns = this.staging.columns(16);
        columns.hashes.reserve_exact(entries * 16);
        columns.rows.reserve_exact(entries);
        columns.slots.reserve_exact(entries);
        this
    }

    /// Adds the entries of a file; the file is not needed any more.
    ///
    /// # Errors
    /// [`Error::TooLarge`](super::Error::TooLarge) above 2^32 entries.
    pub fn add(&mut self, index: &PackIndex) -> Result<()> {
        self.staging.add(index, &mut self.names)
    }

    /// Merges what was added; `deletion_watermark` is in seconds since the Unix epoch, `i64::MIN` for none.
    pub fn finish(self, deletion_watermark: i64) -> MergedIndex {
        let tables = self.staging.finish(&self.names, deletion_watermark);
        MergedIndex { tables, names: self.names, deletion_watermark }
    }
}

impl std::fmt::Debug for MergedBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MergedBuilder").finish_non_exhaustive()
    }
}

/// Rows that are not sorted yet, for each length of hash.
#[derive(Default)]
pub(super) struct Staging(Vec<Columns>);

struct Columns {
    hash_len: usize,
    hashes: Vec<u8>,
    rows: Vec<Row>,
    /// For each row: head of its key in the upper half, its place in the lower.
    slots: Vec<u64>,
}

impl Staging {
    pub(super) fn add(&mut self, index: &PackIndex, names: &mut Names) -> Result<()> {
        if index.is_empty() {
            return Ok(());
        }
        let packs = index.packs().iter().map(|pack| names.pack_number(pack)).collect::<Result<Vec<_>>>()?;
        let columns = self.columns(index.key_len() - 1);
        check_len(columns.rows.len() + index.len())?;
        let mut last_format = None;
        for position in 0..index.len() {
            let raw = index.raw(position);
            let format = match last_format {
                Some((format, number)) if format == raw.format => number,
                _ => {
                    let number = names.format_number(raw.format)?;
                    last_format = Some((raw.format, number));
                    number
                }
            };
            let pack = match packs.get(raw.pack as usize) {
                Some(&pack) => pack,
                None => names.pack_number(&super::UNKNOWN_PACK.into())?,
            };
            columns.push(index.key(position), Row::new(&raw, pack, format));
        }
        Ok(())
    }

    /// Sorts and merges; one table for each length of hash.
    pub(super) fn finish(self, names: &Names, watermark: i64) -> Vec<Table> {
        self.0.into_iter().map(|columns| columns.finish(names, watermark)).collect()
    }

    fn columns(&mut self, hash_len: usize) -> &mut Columns {
        let known = self.0.iter().position(|columns| columns.hash_len == hash_len);
        let at = known.unwrap_or_else(|| {
            self.0.push(Columns { hash_len, hashes: Vec::new(), rows: Vec::new(), slots: Vec::new() });
            self.0.len() - 1
        });
        &mut self.0[at]
    }
}

impl Columns {
    fn push(&mut self, key: &[u8], row: Row) {
        self.slots.push(slot(key, self.rows.len()));
        self.hashes.extend_from_slice(&key[1..]);
        self.rows.push(row);
    }

    fn hash(&self, row: usize) -> &[u8] {
        &self.hashes[row * self.hash_len..(row + 1) * self.hash_len]
    }

    fn finish(mut self, names: &Names, watermark: i64) -> Table {
        self.sort_slots();
        self.move_rows();
        self.keep_winners(names, watermark)
    }

    /// Sorts the numbers, then those with equal heads by the whole key. Heads tell almost all keys apart, so what is
    /// left to compare are entries for the same content.
    fn sort_slots(&mut self) {
        let mut slots = std::mem::take(&mut self.slots);
        slots.sort_unstable();
        for group in slots.chunk_by_mut(|a, b| head_of(*a) == head_of(*b)) {
            if group.len() > 1 {
                group.sort_by(|a, b| self.hash(place_of(*a)).cmp(self.hash(place_of(*b))));
            }
        }
        self.slots = slots;
    }

    /// Moves every row to where the slots say, cycle by cycle. A slot whose row has arrived gets its own place.
    fn move_rows(&mut self) {
        let mut first_hash = vec![0; self.hash_len];
        for start in 0..self.slots.len() {
            if place_of(self.slots[start]) == start {
                continue;
            }
            let first_row = self.rows[start];
            first_hash.copy_from_slice(self.hash(start));
            let mut target = start;
            loop {
                let source = place_of(self.slots[target]);
                self.slots[target] = with_place(self.slots[target], target);
                let bytes = target * self.hash_len..(target + 1) * self.hash_len;
                if source == start {
                    self.rows[target] = first_row;
                    self.hashes[bytes].copy_from_slice(&first_hash);
                    break;
                }
                self.rows[target] = self.rows[source];
                self.hashes.copy_within(source * self.hash_len..(source + 1) * self.hash_len, bytes.start);
                target = source;
            }
        }
    }

    /// Of the rows of one content keeps the winner, unless it is a tombstone that nobody needs.
    fn keep_winners(mut self, names: &Names, watermark: i64) -> Table {
        let mut kept = 0;
        let mut prefixes: Vec<(IdPrefix, usize)> = Vec::new();
        let mut from = 0;
        while from < self.rows.len() {
            let mut winner = self.rows[from];
            let mut next = from + 1;
            while next < self.rows.len() && self.is_same(from, next) {
                if names.supersedes(&self.rows[next], &winner) {
                    winner = self.rows[next];
                }
                next += 1;
            }
            if !is_dropped(&winner, watermark) {
                let prefix = prefix_of(self.slots[from]);
                if prefixes.last().is_none_or(|last| last.0 != prefix) {
                    prefixes.push((prefix, kept));
                }
                self.rows[kept] = winner;
                self.hashes
                    .copy_within(from * self.hash_len..(from + 1) * self.hash_len, kept * self.hash_len);
                kept += 1;
            }
            from = next;
        }
        drop(self.slots);
        self.rows.truncate(kept);
        self.hashes.truncate(kept * self.hash_len);
        Table::from_sorted(self.hash_len, self.hashes, self.rows, prefixes)
    }

    /// Whether two rows in their places are of one content.
    fn is_same(&self, a: usize, b: usize) -> bool {
        head_of(self.slots[a]) == head_of(self.slots[b]) && self.hash(a) == self.hash(b)
    }
}

const PREFIX_SHIFT: u32 = 59;

/// Head of a key and a place below 2^32: five bits for the prefix, 27 bits of the hash, 32 bits for the place.
fn slot(key: &[u8], place: usize) -> u64 {
    // 0 for none, else 1 to 20: the order of prefixes.
    let prefix = u64::from(key[0].saturating_sub(b'f'));
    let mut start = [0; 4];
    for (to, from) in start.iter_mut().zip(&key[1..]) {
        *to = *from;
    }
    prefix << PREFIX_SHIFT | u64::from(u32::from_be_bytes(start) >> 5) << 32 | place as u64
}

fn head_of(slot: u64) -> u64 {
    slot >> 32
}

fn place_of(slot: u64) -> usize {
    (slot & u64::from(u32::MAX)) as usize
}

fn with_place(slot: u64, place: usize) -> u64 {
    slot & !u64::from(u32::MAX) | place as u64
}

fn prefix_of(slot: u64) -> IdPrefix {
    match (slot >> PREFIX_SHIFT) as u8 {
        0 => IdPrefix::NONE,
        number => IdPrefix::new(b'f' + number).expect("made from a checked prefix"),
    }
}
