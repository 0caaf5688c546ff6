//! Packs that a broken run left behind without an index.
//!
//! A run that was killed leaves its session marker and complete packs, each with an encrypted index of its own in the
//! trailer. The next run of the same identity takes their contents over into its own index instead of uploading them
//! again. That is safe beside a run that is still alive: both then write equal entries.

use super::pack::{PackedContent, read_local_index};
use super::session::{ClientIdentity, list_sessions, session_of};
use super::upload::StoredPack;
use super::{ContentReader, Error, Result};
use crate::base::Timestamp;
use crate::blob::{BlobId, BlobMetadata, StorageExt};
use std::collections::HashSet;

/// Unindexed packs younger than this are certain to outlive the next blob collection.
const ADOPTABLE_AGE_NANOS: i64 = 20 * 3600 * 1_000_000_000;

/// A session flushes every ten minutes; one that has not for three times as long is dead.
const DEAD_SESSION_NANOS: i64 = 30 * 60 * 1_000_000_000;

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

/// Entries that point elsewhere (deletions) belong to the broken run's intent, not to its data.
fn read_contents(reader: &ContentReader, pack: &BlobMetadata) -> Result<Vec<PackedContent>> {
    let local = read_local_index(reader.storage().as_ref(), reader.format(), &pack.id, pack.length)?;
    let own = |entry: &crate::index::IndexEntry| {
        let end = u64::from(entry.pack_offset) + u64::from(entry.packed_length);
        !entry.deleted && entry.pack == pack.id && entry.encryption_key_id == 0 && end <= pack.length
    };
    let contents = local.iter().filter(own).map(|entry| PackedContent {
        id: entry.id,
        offset: entry.pack_offset,
        packed_length: entry.packed_length,
        original_length: entry.original_length,
        timestamp_seconds: u32::try_from(entry.timestamp_seconds).unwrap_or(u32::MAX),
        compression: entry.compression,
    });
    Ok(contents.collect())
}
