//! Packs that a broken run left behind without an index.
//!
//! A run that was killed leaves its session marker and complete packs, each with an encrypted index of its own in the
//! trailer. The next run of the same identity takes their contents over into its own index instead of uploading them
//! again. That is safe beside a run that is still alive: both then write equal entries.
//!
//! Manifests are left behind: they would show snapshots whose other packs were perhaps never stored. And a pack is read
//! before it is trusted: a server that acknowledges before it has stored may leave holes after a power cut.

use super::pack::{PackedContent, read_local_index};
use super::session::{ClientIdentity, list_sessions, session_of};
use super::upload::StoredPack;
use super::{ContentReader, Error, Result};
use crate::base::Timestamp;
use crate::blob::{BlobId, BlobMetadata, StorageExt};
use crate::format::IdPrefix;
use crate::index::IndexEntry;
use std::collections::HashSet;

/// Unindexed packs younger than this are certain to outlive the next blob collection.
const ADOPTABLE_AGE_NANOS: i64 = 20 * 3600 * 1_000_000_000;

/// A session flushes every ten minutes; one that has not for three times as long is dead.
const DEAD_SESSION_NANOS: i64 = 30 * 60 * 1_000_000_000;

/// Longer packs are not read back to see whether they are whole.
const READ_BACK_BYTES_MAX: u64 = 64 << 20;

/// What broken runs of one identity left behind.
#[derive(Debug, Default)]
pub(super) struct Abandoned {
    pub(super) packs: Vec<StoredPack>,
    /// Markers of sessions that are certainly over; to be removed once the packs are indexed.
    pub(super) dead_markers: Vec<BlobId>,
}

/// Finds packs of `identity`'s unfinished sessions and reads their indexes. A pack whose trailer cannot be read is left
/// where it is: it is only a lost saving.
pub(super) fn find_abandoned(reader: &ContentReader, identity: &ClientIdentity) -> Result<Abandoned> {
    let storage = reader.storage().as_ref();
    let now = reader.clock().now();
    let mut found = Abandoned::default();
    let mut sessions = HashSet::new();
    for (marker, session) in list_sessions(storage, reader.format())? {
        if session.username == identity.username && session.hostname == identity.hostname {
            if now.nanos_since(session.checkpoint_time) > DEAD_SESSION_NANOS {
                found.dead_markers.push(marker);
            }
            sessions.insert(session.id);
        }
    }
    if sessions.is_empty() {
        return Ok(found);
    }
    for prefix in ["p", "q"] {
        let packs =
            storage.list_all(prefix).map_err(|source| Error::Storage { action: "list the packs", source })?;
        let ours =
            |pack: &BlobMetadata| session_of(&pack.id).is_some_and(|session| sessions.contains(session));
        for pack in packs.iter().filter(|pack| ours(pack) && is_young(pack.timestamp, now)) {
            match read_contents(reader, pack) {
                Ok(contents) => found.packs.push((pack.id.clone(), contents)),
                Err(error) => reader.warn(&format!("a pack of an earlier, broken run is not used: {error}")),
            }
        }
    }
    Ok(found)
}

fn is_young(stored: Timestamp, now: Timestamp) -> bool {
    now.nanos_since(stored) < ADOPTABLE_AGE_NANOS
}

/// The contents that lie in the pack as they should. Entries that point elsewhere (deletions) belong to the broken run's
/// intent, not to its data.
fn read_contents(reader: &ContentReader, pack: &BlobMetadata) -> Result<Vec<PackedContent>> {
    let local = read_local_index(reader.storage().as_ref(), reader.format(), &pack.id, pack.length)?;
    let own = |entry: &IndexEntry| {
        let end = u64::from(entry.pack_offset) + u64::from(entry.packed_length);
        !entry.deleted && entry.pack == pack.id && entry.encryption_key_id == 0 && end <= pack.length
    };
    let wanted: Vec<_> =
        local.iter().filter(|entry| own(entry) && entry.id.prefix() != IdPrefix::MANIFEST).collect();
    if wanted.is_empty() || pack.length > READ_BACK_BYTES_MAX {
        return Ok(Vec::new());
    }
    let bytes = reader
        .storage()
        .get(&pack.id, None)
        .map_err(|source| Error::Storage { action: "read a pack of a broken run", source })?;
    let whole = wanted.iter().filter(|entry| is_whole(reader, entry, &bytes));
    Ok(whole.map(packed).collect())
}

/// Whether the stored bytes of a content are what was encrypted under its id.
fn is_whole(reader: &ContentReader, entry: &IndexEntry, pack: &[u8]) -> bool {
    let start = entry.pack_offset as usize;
    let stored = pack.get(start..).and_then(|rest| rest.get(..entry.packed_length as usize));
    let iv = entry.id.hash().iv();
    stored.is_some_and(|stored| reader.format().crypto.open_item(iv, stored.to_vec()).is_ok())
}

fn packed(entry: &IndexEntry) -> PackedContent {
    PackedContent {
        id: entry.id,
        offset: entry.pack_offset,
        packed_length: entry.packed_length,
        original_length: entry.original_length,
        timestamp_seconds: u32::try_from(entry.timestamp_seconds).unwrap_or(u32::MAX),
        compression: entry.compression,
    }
}
