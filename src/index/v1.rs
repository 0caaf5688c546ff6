//! Version 1 of the index file: no compression, one fixed layout. All numbers are big-endian.
//!
//! ```text
//! header   8 bytes   1 · key length u8 · 20 u16 · entries u32
//! entries  each      key · seconds u48 · format version u8 · name length u8 · name offset u32 ·
//!                    deleted bit 31, pack offset bits 0–30 u32 · packed length u32
//! names              pack names, each once, in order of first use; offsets count from the start of the file
//! ```
//!
//! Source: kopia `repo/content/index/index_v1.go`.

use super::builder::Numbered;
use super::entry::{Format, RawEntry};
use super::pack_index::{Layout, Names, PackIndex, be_u32, malformed};
use super::{Error, IndexEntry, Result};
use crate::blob::BlobId;
use crate::compression::HeaderId;
use crate::crypto;
use hashbrown::HashMap;

pub(super) const VERSION: u8 = 1;
const HEADER_LEN: usize = 8;
const VALUE_LEN: usize = 20;
/// Key length in a file without entries, whose key length nobody knows.
pub(super) const KEY_LEN_UNKNOWN: u8 = 255;
const DELETED: u32 = 1 << 31;

/// Checks a file and reads its tables.
pub(super) fn open(data: Vec<u8>) -> Result<PackIndex> {
    if data.len() < HEADER_LEN {
        return Err(malformed("it ends inside its header"));
    }
    if u16::from_be_bytes([data[2], data[3]]) != VALUE_LEN as u16 {
        return Err(malformed("version 1 has entries of 20 bytes"));
    }
    let layout = Layout::new(&data, VERSION, HEADER_LEN, VALUE_LEN, 0)?;
    let mut names = Names::new(&data);
    let mut numbers = HashMap::new();
    let mut pack_of_entry = Vec::with_capacity(layout.count);
    for entry in 0..layout.count {
        let value = layout.value(&data, entry);
        let place = (value[7], be_u32(value, 8));
        if let Some(&number) = numbers.get(&place) {
            pack_of_entry.push(number);
            continue;
        }
        let number = names.read(place.0, place.1)?;
        numbers.insert(place, number);
        pack_of_entry.push(number);
    }
    let packs = names.finish();
    PackIndex::checked(data, layout, packs, Vec::new(), pack_of_entry)
}

/// Reads the value of an entry; `pack` comes from the table made by [`open`].
pub(super) fn decode(value: &[u8], pack: u32) -> RawEntry {
    let seconds = [0, 0, value[0], value[1], value[2], value[3], value[4], value[5]];
    let offset = be_u32(value, 12);
    let packed_length = be_u32(value, 16);
    RawEntry {
        timestamp_seconds: i64::from_be_bytes(seconds),
        deleted: offset & DELETED != 0,
        pack,
        pack_offset: offset & !DELETED,
        packed_length,
        original_length: packed_length.saturating_sub(crypto::OVERHEAD as u32),
        format: Format { compression: HeaderId(0), version: value[6], key_id: 0 },
    }
}

/// Writes sorted entries; there may be none.
pub(super) fn encode(
    entries: &[IndexEntry],
    packs: &Numbered<&BlobId>,
    key_len: Option<usize>,
) -> Result<Vec<u8>> {
    let too_large = || Error::TooLarge { what: "more than 4 GiB" };
    let stride = key_len.unwrap_or_default() + VALUE_LEN;
    let names_offset = entries.len().checked_mul(stride).and_then(|len| len.checked_add(HEADER_LEN));
    let names_offset = names_offset.filter(|&len| u32::try_from(len).is_ok()).ok_or_else(too_large)?;
    let mut name_offsets = Vec::with_capacity(packs.order.len());
    let mut next_name = names_offset;
    for pack in &packs.order {
        name_offsets.push(u32::try_from(next_name).map_err(|_| too_large())?);
        next_name += pack.as_str().len();
    }
    let mut out = Vec::with_capacity(names_offset);
    let key_byte = key_len.map_or(KEY_LEN_UNKNOWN, |len| len as u8);
    out.extend_from_slice(&[VERSION, key_byte]);
    out.extend_from_slice(&(VALUE_LEN as u16).to_be_bytes());
    out.extend_from_slice(&(entries.len() as u32).to_be_bytes());
    for (entry, &pack) in entries.iter().zip(&packs.numbers) {
        check(entry)?;
        entry.id.append_key(&mut out);
        append_value(entry, name_offsets[pack as usize], &mut out);
    }
    for pack in &packs.order {
        out.extend_from_slice(pack.as_str().as_bytes());
    }
    Ok(out)
}

fn append_value(entry: &IndexEntry, name_offset: u32, out: &mut Vec<u8>) {
    let [_, _, seconds @ ..] = entry.timestamp_seconds.to_be_bytes();
    out.extend_from_slice(&seconds);
    out.extend_from_slice(&[entry.format_version, entry.pack.as_str().len() as u8]);
    out.extend_from_slice(&name_offset.to_be_bytes());
    let deleted = if entry.deleted { DELETED } else { 0 };
    out.extend_from_slice(&(entry.pack_offset | deleted).to_be_bytes());
    out.extend_from_slice(&entry.packed_length.to_be_bytes());
}

fn check(entry: &IndexEntry) -> Result<()> {
    let rules = [
        (entry.compression == HeaderId(0), "version 1 knows no compression"),
        (entry.encryption_key_id == 0, "version 1 knows one encryption key only"),
        ((0..1 << 48).contains(&entry.timestamp_seconds), "its time takes more than 48 bits"),
        (entry.pack_offset < DELETED, "its offset takes more than 31 bits"),
    ];
    match rules.into_iter().find(|(holds, _)| !holds) {
        Some((_, what)) => Err(Error::Limit { id: entry.id, what }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::testing::{example, hex_dump};
    use crate::index::{PackIndex, encode};

    fn uncompressed() -> Vec<IndexEntry> {
        example().into_iter().map(|entry| IndexEntry { compression: HeaderId(0), ..entry }).collect()
    }

    #[test]
    fn the_example_is_encoded_byte_for_byte() {
        let encoded = encode(1, &uncompressed()).unwrap();
        let head = hex_dump(
            "01 11 00 14 00 00 00 03 00 30 a5 72 15 7b a3 e8
             a1 44 24 ac ac de 62 ee 4a 00 00 66 00 00 00 03
             36 00 00 00 77 00 00 00 20 00 00 00 27 00 f0 a5
             72 15 7b a3 e8 a1 44 24 ac ac de 62 ee 4b 00 00
             66 00 00 01 03 36 00 00 00 77 00 00 00 47 00 00
             02 00 6b 00 11 22 33 44 55 66 77 88 99 aa bb cc
             dd ee ff 00 00 66 00 00 02 03 36 00 00 00 ad 80
             00 00 20 00 00 00 b4 70 61 61",
        );
        assert_eq!(encoded.len(), 227);
        assert_eq!(encoded[..head.len()], head);
        let index = PackIndex::open(encoded).unwrap();
        let expected = uncompressed()
            .into_iter()
            .map(|entry| IndexEntry { original_length: entry.packed_length - 28, ..entry });
        assert!(index.iter().eq(expected));
    }

    #[test]
    fn an_empty_file_is_an_empty_index() {
        let encoded = encode(1, &[]).unwrap();
        assert_eq!(encoded, [1, 255, 0, 20, 0, 0, 0, 0]);
        let index = PackIndex::open(encoded).unwrap();
        assert_eq!((index.len(), index.find(&uncompressed()[0].id)), (0, None));
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let broken: [fn(&mut IndexEntry); 6] = [
            |e| e.compression = HeaderId(1),
            |e| e.encryption_key_id = 1,
            |e| e.timestamp_seconds = 1 << 48,
            |e| e.timestamp_seconds = -1,
            |e| e.pack_offset = 1 << 31,
            |e| e.pack = "".into(),
        ];
        for (n, damage) in broken.into_iter().enumerate() {
            let mut entries = uncompressed();
            damage(&mut entries[1]);
            assert!(matches!(encode(1, &entries), Err(Error::Limit { .. })), "rule {n}");
        }
    }
}
