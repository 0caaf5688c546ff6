//! Index blobs without epochs, as old repositories keep them: all `n…` count but those that a compaction replaced.

use super::blobs::{ActiveSet, SealedIndex, list_many, put, storage_error};
use super::{Error, Result};
use crate::blob::{BlobId, BlobMetadata, Storage, StorageExt};
use crate::crypto::BlobCrypto;
use serde::Deserialize;
use std::collections::BTreeSet;

/// `n…`: an index file.
const INDEX: &str = "n";
/// `m…`: which indexes a compaction replaced by which.
const COMPACTION: &str = "m";
/// Put by an upgrade so that clients that still see the old format stop.
pub(super) const POISON: &str = concat!(
    "n00000000000000000000000000000000-",
    "repository_unreadable_by_this_kopia_version_upgrade_required"
);

/// The document in `m…`.
///
/// Source: kopia `repo/content/indexblob/index_blob_manager_v0.go`, `compactionLogEntry`.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Compaction {
    input_metadata: Option<Vec<Listed>>,
    output_metadata: Option<Vec<Listed>>,
}

/// Blob metadata in a document; the name is all that is used.
#[derive(Deserialize)]
struct Listed {
    id: String,
}

/// The blobs a reader must load.
pub(super) fn active(storage: &dyn Storage, crypto: &BlobCrypto) -> Result<ActiveSet> {
    let [compactions, candidates] = list_many(storage, [COMPACTION.into(), INDEX.into()])?;
    if candidates.iter().any(|blob| blob.id.as_str() == POISON) {
        return Err(Error::Upgraded);
    }
    among(storage, crypto, compactions, candidates)
}

/// The blobs that were active when the repository was upgraded.
pub(super) fn active_but_for_poison(storage: &dyn Storage, crypto: &BlobCrypto) -> Result<ActiveSet> {
    let [compactions, mut candidates] = list_many(storage, [COMPACTION.into(), INDEX.into()])?;
    candidates.retain(|blob| blob.id.as_str() != POISON);
    among(storage, crypto, compactions, candidates)
}

/// Of `candidates` those that no finished compaction replaced.
fn among(
    storage: &dyn Storage,
    crypto: &BlobCrypto,
    compactions: Vec<BlobMetadata>,
    candidates: Vec<BlobMetadata>,
) -> Result<ActiveSet> {
    let present: BTreeSet<BlobId> = candidates.iter().map(|blob| blob.id.clone()).collect();
    let mut replaced = BTreeSet::new();
    let mut set_aside = Vec::new();
    for blob in compactions {
        match read(storage, crypto, &blob.id)? {
            Read::Missing => {}
            Read::Empty => set_aside.push(blob),
            Read::Compaction(compaction) => {
                let outputs = compaction.output_metadata.unwrap_or_default();
                if outputs.iter().all(|output| present.contains(output.id.as_str())) {
                    let inputs = compaction.input_metadata.unwrap_or_default();
                    replaced.extend(inputs.into_iter().map(|input| input.id));
                }
            }
        }
    }
    let blobs: Vec<BlobMetadata> =
        candidates.into_iter().filter(|blob| !replaced.contains(blob.id.as_str())).collect();
    Ok(ActiveSet::new(blobs, set_aside, i64::MIN))
}

enum Read {
    /// Cleaned up since it was listed.
    Missing,
    /// Left by a writer that crashed.
    Empty,
    Compaction(Compaction),
}

fn read(storage: &dyn Storage, crypto: &BlobCrypto, id: &BlobId) -> Result<Read> {
    let Some(stored) = storage.get_optional(id).map_err(storage_error("read", id.as_str()))? else {
        return Ok(Read::Missing);
    };
    if stored.iter().all(|byte| *byte == 0) {
        return Ok(Read::Empty);
    }
    let plain = crypto
        .open(id.as_str(), stored)
        .map_err(|source| Error::Undecryptable { blob: id.clone(), source })?;
    serde_json::from_slice(&plain)
        .map(Read::Compaction)
        .map_err(|source| Error::Document { blob: id.clone(), source })
}

/// Writes indexes.
pub(super) fn write(storage: &dyn Storage, indexes: &[SealedIndex]) -> Result<Vec<BlobId>> {
    let mut written = Vec::with_capacity(indexes.len());
    for index in indexes {
        let id = BlobId::from(format!("{INDEX}{}", index.name));
        put(storage, &id, index.bytes.clone())?;
        written.push(id);
    }
    Ok(written)
}

#[cfg(test)]
mod tests {
    use crate::base::ErrorClass;
    use crate::blob::{Storage, StorageExt};
    use crate::index::testing::{World, active, entry, expect_warnings, index};

    fn world() -> World {
        World::new(false)
    }

    /// Puts a compaction log.
    fn compact(world: &World, inputs: &[&str], outputs: Option<&[&str]>) -> String {
        let list = |names: &[&str]| {
            let items: Vec<_> =
                names.iter().map(|id| format!(r#"{{"id":"{id}","length":1,"timestamp":null}}"#)).collect();
            format!("[{}]", items.join(","))
        };
        let outputs = outputs.map_or("null".to_owned(), list);
        let json = format!(r#"{{"inputMetadata":{},"outputMetadata":{outputs}}}"#, list(inputs));
        world.put_sealed("m", "", json.as_bytes())
    }

    #[test]
    fn compacted_blobs_count_no_more_once_all_outputs_are_there() {
        let world = world();
        let blobs = world.index_blobs();
        let write = |id: &str| blobs.write(&[index(&[entry(id, "p", 1)])], "s1").unwrap().remove(0);
        let (a, b, c) = (write("aa"), write("bb"), write("cc"));
        assert!(a.as_str().starts_with('n') && a.as_str().ends_with("-s1"), "{a}");
        compact(&world, &[a.as_str(), b.as_str()], Some(&[c.as_str(), "n00"]));
        assert_eq!(active(&blobs).len(), 3, "an output is missing");
        compact(&world, &[a.as_str(), b.as_str()], Some(&[c.as_str()]));
        assert_eq!(active(&blobs), [c.to_string()]);
        compact(&world, &[c.as_str()], None);
        assert!(active(&blobs).is_empty(), "a compaction without outputs is done");
        assert_eq!(blobs.active().unwrap().deletion_watermark, i64::MIN);
    }

    #[test]
    fn what_was_compacted_twice_is_told_by_the_outputs_that_are_left() {
        let world = world();
        let blobs = world.index_blobs();
        let write = |id: &str| blobs.write(&[index(&[entry(id, "p", 1)])], "s1").unwrap().remove(0);
        let ids = ["aa", "bb", "cc", "dd", "ee"].map(|id| write(id).to_string());
        let names = ids.each_ref().map(String::as_str);
        compact(&world, &names[..2], Some(&[names[2]]));
        compact(&world, &names[2..4], Some(&[names[4]]));
        let last = [names[4]];
        assert_eq!(active(&blobs), last, "an output that was replaced in turn still vouches for its inputs");
        // Maintenance deletes replaced indexes, oldest first, and their logs long after.
        for gone in &names[..4] {
            world.store.delete(&(*gone).into()).unwrap();
            assert_eq!(active(&blobs), last);
        }
    }

    #[test]
    fn damage_is_named_and_crashes_are_set_aside() {
        let world = world();
        let blobs = world.index_blobs();
        world.store.put_now(&"m0011".into(), b"").unwrap();
        assert!(blobs.active().is_ok());
        expect_warnings(&blobs, &["m0011"]);
        let log = compact(&world, &[], None);
        world.store.put_now(&log.as_str().into(), b"x").unwrap();
        let error = blobs.active().unwrap_err();
        assert_eq!(error.class(), ErrorClass::Corrupt);
        assert!(error.to_string().contains(&log), "{error}");
    }

    #[test]
    fn an_upgraded_repository_is_not_read_in_the_old_way() {
        let world = world();
        world.store.put_now(&super::POISON.into(), b"sorry").unwrap();
        assert_eq!(world.index_blobs().active().unwrap_err().class(), ErrorClass::Unsupported);
    }
}
