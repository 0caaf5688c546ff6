//! One entry of an index.

use crate::blob::BlobId;
use crate::compression::HeaderId;
use crate::format::ContentId;

/// Where a content lies, or that it was deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexEntry {
    /// The content.
    pub id: ContentId,
    /// The pack that holds its bytes; kept for deleted contents too.
    pub pack: BlobId,
    /// First byte in the pack.
    pub pack_offset: u32,
    /// Stored length in bytes.
    pub packed_length: u32,
    /// Length of the plaintext in bytes.
    pub original_length: u32,
    /// When it was last written or deleted, in seconds since the Unix epoch.
    pub timestamp_seconds: i64,
    /// Whether it is a tombstone.
    pub deleted: bool,
    /// Format version of the repository when it was written; informational.
    pub format_version: u8,
    /// How it is compressed; 0 for not at all.
    pub compression: HeaderId,
    /// Always 0 in what can be read.
    pub encryption_key_id: u8,
}

impl IndexEntry {
    /// Whether this entry wins over `other` for the same content: the later one; at the same time the one that is not
    /// deleted; else the one in the greater pack. Equal entries do not supersede each other.
    ///
    /// Source: kopia `repo/content/index/merged.go`, `contentInfoGreaterThan`.
    pub fn supersedes(&self, other: &Self) -> bool {
        let rank = |entry: &Self| (entry.timestamp_seconds, !entry.deleted);
        (rank(self), &self.pack) > (rank(other), &other.pack)
    }
}

/// How the contents of a file were written; most files have one or two of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Format {
    pub(super) compression: HeaderId,
    pub(super) version: u8,
    pub(super) key_id: u8,
}

impl Format {
    /// What stands for a format the file does not define; contents that have it cannot be read.
    pub(super) const UNKNOWN: Self = Self { compression: HeaderId(0xffff), version: 0xff, key_id: 0xff };
}

/// An entry as files hold it: pack and format still by reference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RawEntry {
    pub(super) timestamp_seconds: i64,
    pub(super) deleted: bool,
    /// Number in the file's table of packs; at or above its length for a pack the file does not name.
    pub(super) pack: u32,
    pub(super) pack_offset: u32,
    pub(super) packed_length: u32,
    pub(super) original_length: u32,
    pub(super) format: Format,
}

/// The pack of entries that refer to none their file names; no such blob exists, so reading fails.
pub(super) const UNKNOWN_PACK: &str = "---invalid---";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::testing::entry;

    #[test]
    fn the_conflict_rule() {
        let base = entry("aa", "p1", 10);
        let later = IndexEntry { timestamp_seconds: 11, deleted: true, pack: "p0".into(), ..base.clone() };
        let deleted = IndexEntry { deleted: true, pack: "p9".into(), ..base.clone() };
        let greater = IndexEntry { pack: "p2".into(), ..base.clone() };
        for (winner, loser) in [(&later, &base), (&base, &deleted), (&greater, &base), (&later, &greater)] {
            assert!(winner.supersedes(loser), "{winner:?} {loser:?}");
            assert!(!loser.supersedes(winner), "{winner:?} {loser:?}");
        }
        assert!(!base.supersedes(&base));
    }
}
