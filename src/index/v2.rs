//! Version 2 of the index file: packs and formats by number, values only as long as needed. All numbers are big-endian.
//!
//! ```text
//! header   17 bytes  2 · key length u8 · value length u16 · entries u32 · packs u32 · formats u8 · base seconds u32
//! entries  each      key · value of 16 to 19 bytes:
//!            0  u32  seconds above base
//!            4  u32  bit 31 deleted, bits 0–30 pack offset
//!            8  u24  original length, low bits
//!           11  u24  packed length, low bits
//!           14  u16  pack number, low bits
//!           16  u8   format number, else 0
//!           17  u8   pack number, bits 16–23, else 0
//!           18  u8   bits 24–27 of the lengths: original in the high nibble, packed in the low one, else 0
//! packs    5 bytes   name length u8 · name offset u32, from the start of the file
//! formats  6 bytes   compression u32 · format version u8 · encryption key u8
//! names              pack names
//! ```
//!
//! Source: kopia `repo/content/index/index_v2.go`.

use super::builder::Numbered;
use super::entry::{Format, RawEntry};
use super::pack_index::{Layout, Names, PackIndex, be_u32, malformed};
use super::{Error, IndexEntry, Result};
use crate::blob::BlobId;
use crate::compression::HeaderId;

pub(super) const VERSION: u8 = 2;
const HEADER_LEN: usize = 17;
const VALUE_LEN_SHORTEST: usize = 16;
const VALUE_LEN_WITH_FORMAT: usize = 17;
const VALUE_LEN_WITH_WIDE_PACK: usize = 18;
const VALUE_LEN_LONGEST: usize = 19;
const STRIDE_MAX: usize = 256;
const PACK_LEN: usize = 5;
const FORMAT_LEN: usize = 6;
const FORMATS_MAX: usize = 255;
const PACKS_MAX: usize = 1 << 24;
const SHORT_PACKS_MAX: usize = 1 << 16;
const LENGTH_END: u32 = 1 << 28;
const SHORT_LENGTH_END: u32 = 1 << 24;
const PACK_OFFSET_END: u32 = 1 << 30;
const DELETED: u32 = 1 << 31;

/// Checks a file and reads its tables.
pub(super) fn open(data: Vec<u8>) -> Result<PackIndex> {
    if data.len() < HEADER_LEN {
        return Err(malformed("it ends inside its header"));
    }
    let value_len = usize::from(u16::from_be_bytes([data[2], data[3]]));
    if !(VALUE_LEN_SHORTEST..=VALUE_LEN_LONGEST).contains(&value_len) {
        return Err(malformed("version 2 has values of 16 to 19 bytes"));
    }
    let layout = Layout::new(&data, VERSION, HEADER_LEN, value_len, be_u32(&data, 13))?;
    if layout.stride > STRIDE_MAX {
        return Err(malformed("its entries are longer than 256 bytes"));
    }
    let tables = &data[layout.end()..];
    let packs_len = usize::try_from(be_u32(&data, 8)).ok().and_then(|count| count.checked_mul(PACK_LEN));
    let packs = packs_len.and_then(|len| tables.get(..len)).ok_or(malformed("it ends inside its packs"))?;
    let formats_len = usize::from(data[12]) * FORMAT_LEN;
    let formats =
        tables.get(packs.len()..packs.len() + formats_len).ok_or(malformed("it ends inside its formats"))?;
    let mut names = Names::new(&data);
    for pack in packs.chunks_exact(PACK_LEN) {
        names.read(pack[0], be_u32(pack, 1))?;
    }
    let formats = formats.chunks_exact(FORMAT_LEN).map(|format| Format {
        compression: HeaderId(be_u32(format, 0)),
        version: format[4],
        key_id: format[5],
    });
    let formats = formats.collect();
    let packs = names.finish();
    PackIndex::checked(data, layout, packs, formats, Vec::new())
}

/// Reads a value of any of the four lengths.
pub(super) fn decode(value: &[u8], base_seconds: u32, formats: &[Format]) -> RawEntry {
    let optional = |at: usize| u32::from(value.get(at).copied().unwrap_or_default());
    let be_u24 = |at: usize| u32::from_be_bytes([0, value[at], value[at + 1], value[at + 2]]);
    let offset = be_u32(value, 4);
    let high = optional(18);
    RawEntry {
        timestamp_seconds: i64::from(be_u32(value, 0)) + i64::from(base_seconds),
        deleted: offset & DELETED != 0,
        pack: u32::from(u16::from_be_bytes([value[14], value[15]])) | optional(17) << 16,
        pack_offset: offset & !DELETED,
        packed_length: be_u24(11) | (high & 0xf) << 24,
        original_length: be_u24(8) | (high >> 4) << 24,
        format: formats.get(optional(16) as usize).copied().unwrap_or(Format::UNKNOWN),
    }
}

fn format_of(entry: &IndexEntry) -> Format {
    Format { compression: entry.compression, version: entry.format_version, key_id: entry.encryption_key_id }
}

/// Writes sorted entries, of which there must be some.
pub(super) fn encode(
    entries: &[IndexEntry],
    packs: &Numbered<&BlobId>,
    key_len: Option<usize>,
) -> Result<Vec<u8>> {
    let key_len = key_len.ok_or(Error::TooLarge { what: "no entries, which version 2 cannot express" })?;
    let formats = Numbered::new(entries.iter().map(format_of));
    let mut longest = 0;
    for entry in entries {
        check(entry)?;
        longest = longest.max(entry.packed_length).max(entry.original_length);
    }
    let value_len = value_len(formats.order.len(), packs.order.len(), longest)?;
    let tables = packs.order.len() * PACK_LEN + formats.order.len() * FORMAT_LEN;
    let names_offset =
        entries.len().checked_mul(key_len + value_len).and_then(|len| len.checked_add(HEADER_LEN + tables));
    let names_offset = names_offset.ok_or(Error::TooLarge { what: "more than 4 GiB" })?;

    let mut out = Vec::with_capacity(names_offset);
    out.extend_from_slice(&[VERSION, key_len as u8]);
    out.extend_from_slice(&(value_len as u16).to_be_bytes());
    out.extend_from_slice(&(entries.len() as u32).to_be_bytes());
    out.extend_from_slice(&(packs.order.len() as u32).to_be_bytes());
    out.push(formats.order.len() as u8);
    out.extend_from_slice(&0_u32.to_be_bytes());
    for ((entry, &pack), &format) in entries.iter().zip(&packs.numbers).zip(&formats.numbers) {
        entry.id.append_key(&mut out);
        let value = encode_value(entry, pack, format as u8);
        out.extend_from_slice(&value[..value_len]);
    }
    append_tables(&packs.order, &formats.order, names_offset, &mut out)?;
    Ok(out)
}

fn append_tables(
    packs: &[&BlobId],
    formats: &[Format],
    names_offset: usize,
    out: &mut Vec<u8>,
) -> Result<()> {
    let mut at = names_offset;
    for pack in packs {
        let name = pack.as_str().as_bytes();
        let offset = u32::try_from(at).map_err(|_| Error::TooLarge { what: "more than 4 GiB" })?;
        out.push(name.len() as u8);
        out.extend_from_slice(&offset.to_be_bytes());
        at += name.len();
    }
    for format in formats {
        out.extend_from_slice(&format.compression.0.to_be_bytes());
        out.extend_from_slice(&[format.version, format.key_id]);
    }
    for pack in packs {
        out.extend_from_slice(pack.as_str().as_bytes());
    }
    Ok(())
}

/// The optional bytes are cumulative: each implies those before it.
fn value_len(formats: usize, packs: usize, longest: u32) -> Result<usize> {
    if formats > FORMATS_MAX {
        return Err(Error::TooLarge { what: "more than 255 formats" });
    }
    if packs > PACKS_MAX {
        return Err(Error::TooLarge { what: "more than 2^24 packs" });
    }
    Ok(if longest >= SHORT_LENGTH_END {
        VALUE_LEN_LONGEST
    } else if packs > SHORT_PACKS_MAX {
        VALUE_LEN_WITH_WIDE_PACK
    } else if formats > 1 {
        VALUE_LEN_WITH_FORMAT
    } else {
        VALUE_LEN_SHORTEST
    })
}

fn encode_value(entry: &IndexEntry, pack: u32, format: u8) -> [u8; VALUE_LEN_LONGEST] {
    let mut value = [0; VALUE_LEN_LONGEST];
    let [original_high, original @ ..] = entry.original_length.to_be_bytes();
    let [packed_high, packed @ ..] = entry.packed_length.to_be_bytes();
    let [_, pack_high, pack @ ..] = pack.to_be_bytes();
    let deleted = if entry.deleted { DELETED } else { 0 };
    value[0..4].copy_from_slice(&(entry.timestamp_seconds as u32).to_be_bytes());
    value[4..8].copy_from_slice(&(entry.pack_offset | deleted).to_be_bytes());
    value[8..11].copy_from_slice(&original);
    value[11..14].copy_from_slice(&packed);
    value[14..16].copy_from_slice(&pack);
    value[16] = format;
    value[17] = pack_high;
    value[18] = original_high << 4 | packed_high;
    value
}

fn check(entry: &IndexEntry) -> Result<()> {
    let rules = [
        (u32::try_from(entry.timestamp_seconds).is_ok(), "its time takes more than 32 bits"),
        (entry.pack_offset < PACK_OFFSET_END, "its offset takes more than 30 bits"),
        (entry.packed_length < LENGTH_END, "its stored length takes more than 28 bits"),
        (entry.original_length < LENGTH_END, "its length takes more than 28 bits"),
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

    #[test]
    fn the_example_is_encoded_byte_for_byte() {
        let encoded = encode(2, &example()).unwrap();
        let head = hex_dump(
            "02 11 00 11 00 00 00 03 00 00 00 02 02 00 00 00
             00 00 30 a5 72 15 7b a3 e8 a1 44 24 ac ac de 62
             ee 4a 66 00 00 00 00 00 00 20 00 00 0b 00 00 27
             00 00 00 00 f0 a5 72 15 7b a3 e8 a1 44 24 ac ac
             de 62 ee 4b 66 00 00 01 00 00 00 47 01 86 a0 00
             02 00 00 00 01 6b 00 11 22 33 44 55 66 77 88 99
             aa bb cc dd ee ff 66 00 00 02 80 00 00 20 00 01
             2c 00 00 b4 00 01 01 36 00 00 00 8d 36 00 00 00
             c3 00 00 00 00 03 00 00 00 11 01 03 00 70 61 61",
        );
        assert_eq!(encoded.len(), 249);
        assert_eq!(encoded[..head.len()], head);
        let index = PackIndex::open(encoded).unwrap();
        assert!(index.iter().eq(example()));
    }

    #[test]
    fn each_optional_byte_comes_when_it_is_needed() {
        let value_len = |entries: &[IndexEntry]| {
            let encoded = encode(2, entries).unwrap();
            assert!(PackIndex::open(encoded.clone()).unwrap().iter().eq(entries.iter().cloned()));
            encoded[3]
        };
        let mut entries = example();
        entries[1].compression = HeaderId(0);
        entries[2].compression = HeaderId(0);
        assert_eq!(value_len(&entries), 16);
        entries[2].format_version = 2;
        assert_eq!(value_len(&entries), 17);
        entries[2].original_length = 0x0abc_def0;
        entries[2].packed_length = 0x0123_4567;
        assert_eq!(value_len(&entries), 19);
        let many: Vec<_> = (0..70_000_u32)
            .map(|n| {
                let id = format!("{n:032x}").parse().unwrap();
                IndexEntry { id, pack: format!("p{n}").into(), ..example()[0].clone() }
            })
            .collect();
        assert_eq!(value_len(&many), 18);
    }

    #[test]
    fn a_base_timestamp_is_honoured_and_trailing_bytes_ignored() {
        let mut encoded = encode(2, &example()).unwrap();
        encoded[16] = 5;
        encoded.extend_from_slice(b"random tail");
        let index = PackIndex::open(encoded).unwrap();
        assert_eq!(index.entry(0).unwrap().timestamp_seconds, 0x6600_0005);
    }

    #[test]
    fn what_a_file_does_not_define_is_read_as_unknown() {
        let mut encoded = encode(2, &example()).unwrap();
        encoded[17 + 17 + 15] = 9;
        encoded[17 + 17 + 16] = 9;
        let entry = PackIndex::open(encoded).unwrap().entry(0).unwrap();
        assert_eq!(entry.pack.as_str(), "---invalid---");
        assert_eq!(
            (entry.format_version, entry.compression, entry.encryption_key_id),
            (255, HeaderId(0xffff), 255)
        );
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let broken: [fn(&mut IndexEntry); 6] = [
            |e| e.timestamp_seconds = 1 << 32,
            |e| e.timestamp_seconds = -1,
            |e| e.pack_offset = 1 << 30,
            |e| e.packed_length = 1 << 28,
            |e| e.original_length = 1 << 28,
            |e| e.pack = "a/b".into(),
        ];
        for (n, damage) in broken.into_iter().enumerate() {
            let mut entries = example();
            damage(&mut entries[1]);
            assert!(matches!(encode(2, &entries), Err(Error::Limit { .. })), "rule {n}");
        }
        assert!(matches!(encode(2, &[]), Err(Error::TooLarge { .. })));
        let many = (0..256_u32).map(|n| {
            let id = format!("{n:032x}").parse().unwrap();
            IndexEntry { id, compression: HeaderId(n), ..example()[0].clone() }
        });
        assert!(matches!(encode(2, &many.collect::<Vec<_>>()), Err(Error::TooLarge { .. })));
    }
}
