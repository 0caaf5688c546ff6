//! Two stores of one repository, side by side.

use super::failed;
use crate::blob::{BlobId, Storage, StorageExt};
use crate::repo::Result;
use std::collections::BTreeMap;

/// Names are compared in portions, so that memory does not follow the number of packs.
const HEX: &str = "0123456789abcdef";
const INDEX_PREFIXES: [&str; 4] = ["n", "m", "l", "x"];
const DOCUMENTS: &str = "kopia.";

/// What one store has and the other has not, or has otherwise.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Comparison {
    /// Blobs that both have with the same length.
    pub equal: u64,
    /// Their bytes.
    pub equal_bytes: u64,
    /// Blobs that the mirror lacks.
    pub missing: Vec<BlobId>,
    /// Blobs that only the mirror has.
    pub extra: Vec<BlobId>,
    /// Blobs of different lengths.
    pub different: Vec<BlobId>,
}

impl Comparison {
    /// Whether a restore from the mirror would give what one from the primary gives.
    pub fn is_complete(&self) -> bool {
        self.missing.is_empty() && self.different.is_empty()
    }
}

/// Compares names and lengths of packs, index blobs and documents. What other programs and runs keep for themselves, such
/// as session markers and logs, belongs to one store and is passed over.
///
/// # Errors
/// [`Error::Mirror`](crate::repo::Error::Mirror).
pub fn compare(primary: &dyn Storage, mirror: &dyn Storage) -> Result<Comparison> {
    let mut comparison = Comparison::default();
    let packs = ["p", "q"].iter().flat_map(|kind| HEX.chars().map(move |digit| format!("{kind}{digit}")));
    let others = INDEX_PREFIXES.iter().copied().chain([DOCUMENTS]).map(str::to_owned);
    for prefix in packs.chain(others) {
        comparison.add(primary, mirror, &prefix)?;
    }
    Ok(comparison)
}

impl Comparison {
    fn add(&mut self, primary: &dyn Storage, mirror: &dyn Storage, prefix: &str) -> Result<()> {
        let there = mirror.list_all(prefix).map_err(failed("list the mirror"))?;
        let mut there: BTreeMap<_, _> = there.into_iter().map(|blob| (blob.id, blob.length)).collect();
        for blob in primary.list_all(prefix).map_err(failed("list the primary"))? {
            match there.remove(&blob.id) {
                Some(length) if length == blob.length => {
                    self.equal += 1;
                    self.equal_bytes += length;
                }
                Some(_) => self.different.push(blob.id),
                // An empty blob is the trace of a crash, which is not copied.
                None if blob.length == 0 => {}
                None => self.missing.push(blob.id),
            }
        }
        self.extra.extend(there.into_keys());
        Ok(())
    }
}
