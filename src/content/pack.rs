//! One pack: contents back to back, then an encrypted index of itself.
//!
//! ```text
//! [recovery block]  32 random bytes  content content …  padding to a multiple of 4096
//!                   encrypted local index  postamble  length of the postamble (1 byte)
//! ```
//!
//! The trailer is for recovery only: readers find contents through index blobs. Layout in `docs/format/pack.md`.
//! Source: kopia `repo/content/content_manager.go`, `content_index_recovery.go`.

use super::format::ContentFormat;
use super::{Error, Result};
use crate::base::Entropy;
use crate::blob::{BlobId, ByteRange, Storage};
use crate::compression::HeaderId;
use crate::crypto::Hash;
use crate::format::ContentId;
use crate::index::{self, IndexEntry, PackIndex};

const PREAMBLE_BYTES: usize = 32;
const ALIGNMENT_BYTES: usize = 4096;
/// Random bytes after a local index, so that equal indexes never share an IV.
const INDEX_TAIL_BYTES: usize = 32;
/// Directories and lists of parts are seldom longer; a buffer made for them grows when they are.
const LARGEST_METADATA_BYTES: usize = 1 << 20;
/// Buffers up to this length grow by doubling.
const SMALL_BUFFER_BYTES: usize = 256 << 10;
/// What recovery reads first from a pack's end.
const TRAILER_PROBE_BYTES: u64 = 8192;
const POSTAMBLE_VERSION: u64 = 1;

/// The two kinds of pack; told apart so that directories and manifests can be read and cached without file data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PackKind {
    /// File data (`p`).
    Data,
    /// Everything with a prefix (`q`).
    Metadata,
}

impl PackKind {
    /// The kind that holds `id`.
    pub fn of(id: &ContentId) -> Self {
        if id.prefix().is_none() { Self::Data } else { Self::Metadata }
    }

    /// What the names of such packs start with.
    pub fn prefix(self) -> &'static str {
        match self {
            Self::Data => "p",
            Self::Metadata => "q",
        }
    }
}

/// A content inside a pack that is not yet in an index blob. 56 bytes: a first backup holds one for each new content.
#[derive(Debug, Clone, Copy)]
pub(super) struct PackedContent {
    pub(super) id: ContentId,
    pub(super) offset: u32,
    pub(super) packed_length: u32,
    pub(super) original_length: u32,
    pub(super) timestamp_seconds: u32,
    pub(super) compression: HeaderId,
}

/// A pack being filled, in one buffer.
#[derive(Debug)]
pub(super) struct PackBuilder {
    id: BlobId,
    bytes: Vec<u8>,
    /// What the buffer grows to when it must grow much.
    full_bytes: usize,
    contents: Vec<PackedContent>,
}

impl PackBuilder {
    /// Begins a pack of `session` in `buffer`, which is cleared and need not have room.
    pub(super) fn new(
        kind: PackKind,
        session: &str,
        format: &ContentFormat,
        entropy: &dyn Entropy,
        mut buffer: Vec<u8>,
    ) -> Self {
        let name = format!("{}{}-{session}", kind.prefix(), hex::encode(entropy.bytes::<16>()));
        buffer.clear();
        if let Some(block) = &format.recovery_block {
            buffer.extend_from_slice(block);
        }
        buffer.extend_from_slice(&entropy.bytes::<PREAMBLE_BYTES>());
        let full_bytes = format.pack_buffer_bytes(LARGEST_METADATA_BYTES);
        Self { id: name.into(), bytes: buffer, full_bytes, contents: Vec::new() }
    }

    /// Appends stored pieces of one content.
    pub(super) fn append(&mut self, content: PackedContent, pieces: &[&[u8]]) {
        let offset = self.bytes.len() as u32;
        self.make_room(pieces.iter().map(|piece| piece.len()).sum());
        for piece in pieces {
            self.bytes.extend_from_slice(piece);
        }
        self.contents.push(PackedContent { offset, ..content });
    }

    /// A buffer that outgrows a small one gets its full size at once: doubled, it would be there twice over. What is not
    /// written to costs nothing.
    fn make_room(&mut self, more: usize) {
        let needed = self.bytes.len() + more;
        if needed > self.bytes.capacity() && (SMALL_BUFFER_BYTES..self.full_bytes).contains(&needed) {
            self.bytes.reserve_exact(self.full_bytes - self.bytes.len());
        }
    }

    /// Bytes so far.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Pads, appends the local index and the postamble.
    pub(super) fn finish(mut self, format: &ContentFormat, entropy: &dyn Entropy) -> Result<FinishedPack> {
        // An aligned pack gets a whole unit more, as Kopia's does.
        let padding = ALIGNMENT_BYTES - self.bytes.len() % ALIGNMENT_BYTES;
        let start = self.bytes.len();
        self.bytes.resize(start + padding, 0);
        entropy.fill(&mut self.bytes[start..]);

        let entries = index_entries(&self.id, &self.contents, format);
        let mut local = index::encode(format.index_version, &sorted(entries))
            .map_err(|source| Error::Index { action: "build the index of a pack", source })?;
        local.extend_from_slice(&entropy.bytes::<INDEX_TAIL_BYTES>());
        let iv = format.crypto.hasher().hash(&local);
        let sealed = format.seal(entropy, iv.as_bytes(), &local)?;

        let trailer = Trailer { iv, offset: self.bytes.len() as u64, length: sealed.len() as u64 };
        self.bytes.extend_from_slice(&sealed);
        trailer.append(&mut self.bytes);
        Ok(FinishedPack { id: self.id, bytes: self.bytes, contents: self.contents })
    }
}

/// A pack ready to be stored.
#[derive(Debug)]
pub(super) struct FinishedPack {
    pub(super) id: BlobId,
    pub(super) bytes: Vec<u8>,
    pub(super) contents: Vec<PackedContent>,
}

/// The entries that an index blob will carry for `contents` of `pack`.
pub(super) fn index_entries(
    pack: &BlobId,
    contents: &[PackedContent],
    format: &ContentFormat,
) -> Vec<IndexEntry> {
    let entry = |content: &PackedContent| IndexEntry {
        id: content.id,
        pack: pack.clone(),
        pack_offset: content.offset,
        packed_length: content.packed_length,
        original_length: content.original_length,
        timestamp_seconds: i64::from(content.timestamp_seconds),
        deleted: false,
        format_version: format.format_version,
        compression: content.compression,
        encryption_key_id: 0,
    };
    contents.iter().map(entry).collect()
}

fn sorted(mut entries: Vec<IndexEntry>) -> Vec<IndexEntry> {
    entries.sort_unstable_by_key(|entry| entry.id);
    entries
}

/// Where the local index of a pack lies. Not authenticated: only a hint where to look for something that is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Trailer {
    iv: Hash,
    offset: u64,
    length: u64,
}

impl Trailer {
    fn append(&self, out: &mut Vec<u8>) {
        let start = out.len();
        append_uvarint(out, POSTAMBLE_VERSION);
        append_uvarint(out, self.iv.as_bytes().len() as u64);
        out.extend_from_slice(self.iv.as_bytes());
        append_uvarint(out, self.offset);
        append_uvarint(out, self.length);
        let checksum = crc32fast::hash(&out[start..]);
        out.extend_from_slice(&checksum.to_be_bytes());
        out.push((out.len() - start) as u8);
    }

    fn parse(end: &[u8]) -> Option<Self> {
        let (&length, rest) = end.split_last()?;
        let postamble = rest.get(rest.len().checked_sub(usize::from(length))?..)?;
        let (payload, checksum) = postamble.split_at_checked(postamble.len().checked_sub(4)?)?;
        if crc32fast::hash(payload).to_be_bytes() != checksum {
            return None;
        }
        let mut at = payload;
        if take_uvarint(&mut at)? != POSTAMBLE_VERSION {
            return None;
        }
        let iv_length = usize::try_from(take_uvarint(&mut at)?).ok()?;
        let (iv, mut at) = at.split_at_checked(iv_length)?;
        Some(Self {
            iv: Hash::from_slice(iv)?,
            offset: take_uvarint(&mut at)?,
            length: take_uvarint(&mut at)?,
        })
    }
}

fn append_uvarint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn take_uvarint(input: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = input.split_first()?;
        *input = rest;
        let group = u64::from(byte & 0x7f);
        if shift == 63 && group > 1 {
            return None;
        }
        value |= group << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

/// Reads the index that a pack of `pack_bytes` bytes carries in its trailer: what is left of where its contents lie when
/// the index blobs are lost. Of its entries only those count that name this pack.
///
/// # Errors
/// [`Error::Trailer`] when there is none or it does not decrypt; [`Error::Storage`] when the pack cannot be read.
pub fn read_local_index(
    storage: &dyn Storage,
    format: &ContentFormat,
    pack: &BlobId,
    pack_bytes: u64,
) -> Result<PackIndex> {
    let damaged = |reason| Error::Trailer { pack: pack.clone(), reason };
    let read = |offset: u64, length: u64| {
        storage
            .get(pack, Some(ByteRange { offset, length }))
            .map_err(|source| Error::Storage { action: "read the trailer of a pack", source })
    };
    let probe = TRAILER_PROBE_BYTES.min(pack_bytes);
    let end = read(pack_bytes - probe, probe)?;
    let trailer = Trailer::parse(&end).ok_or_else(|| damaged("its postamble is not valid"))?;
    let stop = trailer.offset.checked_add(trailer.length).filter(|&stop| stop <= pack_bytes);
    if stop.is_none() {
        return Err(damaged("its postamble points outside the pack"));
    }
    let sealed = read(trailer.offset, trailer.length)?;
    let local = format
        .crypto
        .open_item(trailer.iv.as_bytes(), sealed)
        .map_err(|_| damaged("its local index fails authentication"))?;
    PackIndex::open(local).map_err(|source| Error::Index { action: "read the index of a pack", source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_postamble_is_byte_equal_to_kopias() {
        let iv: Vec<u8> = (0..16).collect();
        let trailer = Trailer { iv: Hash::from_slice(&iv).unwrap(), offset: 4096, length: 187 };
        let mut out = Vec::new();
        trailer.append(&mut out);
        assert_eq!(hex::encode(&out), "0110000102030405060708090a0b0c0d0e0f8020bb01d478bb0e1a");
        assert_eq!(Trailer::parse(&out), Some(trailer));
    }

    proptest::proptest! {
        #[test]
        fn any_tail_is_parsed_or_refused(bytes: Vec<u8>) {
            Trailer::parse(&bytes);
        }

        #[test]
        fn uvarints_round_trip(value: u64) {
            let mut out = Vec::new();
            append_uvarint(&mut out, value);
            proptest::prop_assert_eq!(take_uvarint(&mut out.as_slice()), Some(value));
        }
    }
}
