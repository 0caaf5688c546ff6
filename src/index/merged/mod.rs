//! The union of all index files, as one sorted table in memory.
//!
//! 1. Every content is there at most once, with the entry that wins over all others; tombstones at or below the deletion
//!    watermark are not there at all.
//! 2. An entry costs its hash and 24 bytes. Packs and formats are kept once and referred to by number; the letter before
//!    a hash is kept once for all rows that share it.
//! 3. Hashes are uniform, so their position is computed rather than searched ([`table`]); ids that are not uniform cost
//!    a binary search at worst.

mod builder;
mod table;
#[cfg(test)]
mod tests;

pub use builder::MergedBuilder;

use super::entry::{Format, RawEntry, UNKNOWN_PACK};
use super::{Error, IndexEntry, PackIndex, Result};
use crate::blob::BlobId;
use crate::compression::HeaderId;
use crate::format::{ContentId, IdPrefix};
use builder::Staging;
use hashbrown::HashMap;
use std::fmt;
use table::{Row, Table};

/// All contents of a repository and where they lie.
#[derive(Clone)]
pub struct MergedIndex {
    /// One for each length of hash; a repository has one.
    tables: Vec<Table>,
    names: Names,
    deletion_watermark: i64,
}

/// Packs and formats by number.
#[derive(Clone, Default)]
struct Names {
    packs: Vec<BlobId>,
    pack_numbers: HashMap<BlobId, u32>,
    formats: Vec<Format>,
    format_numbers: HashMap<Format, u16>,
}

impl Names {
    fn pack_number(&mut self, pack: &BlobId) -> Result<u32> {
        if let Some(&number) = self.pack_numbers.get(pack) {
            return Ok(number);
        }
        let number = u32::try_from(self.packs.len());
        let number = number.map_err(|_| Error::TooLarge { what: "more than 2^32 packs" })?;
        self.packs.push(pack.clone());
        self.pack_numbers.insert(pack.clone(), number);
        Ok(number)
    }

    fn format_number(&mut self, format: Format) -> Result<u16> {
        if let Some(&number) = self.format_numbers.get(&format) {
            return Ok(number);
        }
        let number = u16::try_from(self.formats.len());
        let number = number.map_err(|_| Error::TooLarge { what: "more than 65,536 formats" })?;
        self.formats.push(format);
        self.format_numbers.insert(format, number);
        Ok(number)
    }

    fn pack(&self, row: &Row) -> &BlobId {
        &self.packs[row.pack as usize]
    }

    /// Whether `row` wins over `other` for the same content.
    fn supersedes(&self, row: &Row, other: &Row) -> bool {
        (row.rank(), self.pack(row)) > (other.rank(), self.pack(other))
    }
}

impl MergedIndex {
    /// Merges index files; `deletion_watermark` is in seconds since the Unix epoch, `i64::MIN` for none.
    ///
    /// # Errors
    /// [`Error::TooLarge`] above 2^32 entries.
    pub fn new<'a>(
        indexes: impl IntoIterator<Item = &'a PackIndex>,
        deletion_watermark: i64,
    ) -> Result<Self> {
        let mut builder = MergedBuilder::default();
        for index in indexes {
            builder.add(index)?;
        }
        Ok(builder.finish(deletion_watermark))
    }

    /// An index without entries.
    pub fn empty() -> Self {
        MergedBuilder::default().finish(i64::MIN)
    }

    /// Adds index files that were just written, without reading the others again.
    ///
    /// A tombstone dropped for the watermark is not remembered: an older entry for the same content added here would
    /// show. Writers give their entries times after the watermark, so their own indexes cannot hold one.
    ///
    /// # Errors
    /// [`Error::TooLarge`] above 2^32 entries; the index is unchanged.
    pub fn merge_with(&mut self, new: &[PackIndex]) -> Result<()> {
        let mut staging = Staging::default();
        for index in new {
            staging.add(index, &mut self.names)?;
        }
        for added in staging.finish(&self.names, i64::MIN) {
            let old = self.tables.iter_mut().find(|table| table.hash_len() == added.hash_len());
            match old {
                None => self.tables.push(added),
                Some(old) => old.merge(&added, |new, old| self.names.supersedes(new, old))?,
            }
        }
        for table in &mut self.tables {
            table.retain(|row| !is_dropped(row, self.deletion_watermark));
        }
        Ok(())
    }

    /// The entry of a content.
    pub fn lookup(&self, id: &ContentId) -> Option<IndexEntry> {
        self.find(id).map(|entry| entry.to_entry())
    }

    /// The entry of a content, without copying anything. A tombstone is an answer too: ask
    /// [`deleted`](EntryRef::deleted).
    pub fn find(&self, id: &ContentId) -> Option<EntryRef<'_>> {
        let table = self.tables.iter().find(|table| table.hash_len() == id.hash().as_bytes().len())?;
        let row = table.find(id.prefix(), id.hash().as_bytes())?;
        Some(EntryRef { names: &self.names, table, row })
    }

    /// All entries with a prefix, in the order of ids; tombstones only if asked for.
    pub fn iter_prefix(
        &self,
        prefix: IdPrefix,
        include_deleted: bool,
    ) -> impl Iterator<Item = EntryRef<'_>> + '_ {
        self.tables
            .iter()
            .flat_map(move |table| {
                table.rows_of(prefix).map(move |row| EntryRef { names: &self.names, table, row })
            })
            .filter(move |entry| include_deleted || !entry.deleted())
    }

    /// All entries in the order of ids; tombstones only if asked for.
    pub fn iter(&self, include_deleted: bool) -> impl Iterator<Item = EntryRef<'_>> + '_ {
        self.tables
            .iter()
            .flat_map(move |table| {
                (0..table.len()).map(move |row| EntryRef { names: &self.names, table, row })
            })
            .filter(move |entry| include_deleted || !entry.deleted())
    }

    /// Number of entries, tombstones included.
    pub fn len(&self) -> usize {
        self.tables.iter().map(Table::len).sum()
    }

    /// Whether there are no entries.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The packs that entries refer to, tombstones included, sorted by name.
    pub fn packs(&self) -> Vec<BlobId> {
        let mut used = vec![false; self.names.packs.len()];
        for row in self.tables.iter().flat_map(Table::rows) {
            used[row.pack as usize] = true;
        }
        let mut packs: Vec<_> = self
            .names
            .packs
            .iter()
            .zip(used)
            .filter(|(_, used)| *used)
            .map(|(pack, _)| pack.clone())
            .collect();
        packs.sort();
        packs
    }

    /// Tombstones up to this time, in seconds since the Unix epoch, count as absent; `i64::MIN` for none. New entries
    /// must be later.
    pub fn deletion_watermark(&self) -> i64 {
        self.deletion_watermark
    }

    /// Memory the table takes, in bytes.
    pub fn memory_bytes(&self) -> usize {
        let names: usize = self.names.packs.iter().map(|pack| pack.as_str().len() + 72).sum();
        self.tables.iter().map(Table::memory_bytes).sum::<usize>() + names
    }
}

impl fmt::Debug for MergedIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MergedIndex")
            .field("entries", &self.len())
            .field("deletion_watermark", &self.deletion_watermark)
            .finish_non_exhaustive()
    }
}

fn is_dropped(row: &Row, watermark: i64) -> bool {
    row.deleted() && row.timestamp_seconds() <= watermark
}

/// An entry inside a [`MergedIndex`].
#[derive(Clone, Copy)]
pub struct EntryRef<'a> {
    names: &'a Names,
    table: &'a Table,
    row: usize,
}

impl<'a> EntryRef<'a> {
    fn row(&self) -> &'a Row {
        self.table.row(self.row)
    }

    fn format(&self) -> Format {
        self.names.formats[usize::from(self.row().format)]
    }

    /// The content.
    pub fn id(&self) -> ContentId {
        self.table.id(self.row)
    }

    /// Whether it is a tombstone.
    pub fn deleted(&self) -> bool {
        self.row().deleted()
    }

    /// When it was last written or deleted, in seconds since the Unix epoch.
    pub fn timestamp_seconds(&self) -> i64 {
        self.row().timestamp_seconds()
    }

    /// The pack that holds its bytes.
    pub fn pack(&self) -> &'a BlobId {
        self.names.pack(self.row())
    }

    /// First byte in the pack.
    pub fn pack_offset(&self) -> u32 {
        self.row().pack_offset()
    }

    /// Stored length in bytes.
    pub fn packed_length(&self) -> u32 {
        self.row().packed_length
    }

    /// Length of the plaintext in bytes.
    pub fn original_length(&self) -> u32 {
        self.row().original_length
    }

    /// How it is compressed; 0 for not at all.
    pub fn compression(&self) -> HeaderId {
        self.format().compression
    }

    /// The entry on its own.
    pub fn to_entry(&self) -> IndexEntry {
        let format = self.format();
        IndexEntry {
            id: self.id(),
            pack: self.pack().clone(),
            pack_offset: self.pack_offset(),
            packed_length: self.packed_length(),
            original_length: self.original_length(),
            timestamp_seconds: self.timestamp_seconds(),
            deleted: self.deleted(),
            format_version: format.version,
            compression: format.compression,
            encryption_key_id: format.key_id,
        }
    }
}

impl fmt::Debug for EntryRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_entry().fmt(f)
    }
}
