//! When each pack was read last and found good, and which were found damaged.
//!
//! One blob of our own, sealed like all metadata. Its name begins with no letter that means something to Kopia, whose
//! maintenance deletes what looks like a pack and is in no index:
//!
//! ```text
//! verified.packhorse.<hash>: {"version":1,"packs":{"p…-s…":1700000000, …},"damaged":["q…-s…"]}      seconds since 1970
//! ```
//!
//! Two runs at once leave two such blobs; the next one joins them. Without any, everything is due, which costs time and
//! nothing else.

use super::{Error, Repository, Result};
use crate::base::Timestamp;
use crate::blob::{BlobId, StorageExt};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, HashSet};

pub(super) const PREFIX: &str = "verified.packhorse.";

/// What is known of all packs.
#[derive(Debug, Default)]
pub struct VerifiedPacks {
    packs: BTreeMap<String, i64>,
    damaged: BTreeSet<String>,
    /// The blobs this was read from.
    blobs: Vec<BlobId>,
}

#[derive(Default, Serialize, Deserialize)]
struct Document {
    version: u32,
    packs: BTreeMap<String, i64>,
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    damaged: BTreeSet<String>,
}

impl VerifiedPacks {
    /// Reads what earlier runs have noted. What cannot be read is as if it was not there.
    ///
    /// # Errors
    /// [`Error::Storage`] when the store cannot be listed.
    pub fn load(repository: &Repository) -> Result<Self> {
        let storage = repository.storage();
        let listed = storage
            .list_all(PREFIX)
            .map_err(|source| Error::Storage { action: "list what was verified", source })?;
        let mut this = Self::default();
        for blob in listed {
            let document = read(repository, &blob.id);
            this.damaged.extend(document.damaged);
            for (pack, seconds) in document.packs {
                let known = this.packs.entry(pack).or_insert(seconds);
                *known = (*known).max(seconds);
            }
            this.blobs.push(blob.id);
        }
        Ok(this)
    }

    /// When a pack was read last.
    pub fn time_of(&self, pack: &BlobId) -> Option<Timestamp> {
        self.packs.get(pack.as_str()).map(|&seconds| Timestamp::from_seconds(seconds, 0))
    }

    /// Whether the last who read a pack found damage in it.
    pub fn is_damaged(&self, pack: &BlobId) -> bool {
        self.damaged.contains(pack.as_str())
    }

    /// Notes that a pack is good.
    pub fn note(&mut self, pack: &BlobId, at: Timestamp) {
        self.damaged.remove(pack.as_str());
        self.packs.insert(pack.as_str().to_owned(), at.as_seconds());
    }

    /// Notes that a pack is damaged. When it was good is not known any more.
    pub fn note_damaged(&mut self, pack: &BlobId) {
        self.packs.remove(pack.as_str());
        self.damaged.insert(pack.as_str().to_owned());
    }

    /// Stores what is known of the packs that are still there. A repository that may not be written to stays as it is.
    ///
    /// # Errors
    /// [`Error::Storage`].
    pub fn save<'p>(
        &mut self,
        repository: &Repository,
        packs: impl Iterator<Item = &'p BlobId>,
    ) -> Result<()> {
        let storage = repository.storage();
        if storage.is_read_only() {
            return Ok(());
        }
        let there: HashSet<&str> = packs.map(BlobId::as_str).collect();
        self.packs.retain(|pack, _| there.contains(pack.as_str()));
        self.damaged.retain(|pack| there.contains(pack.as_str()));
        let document = Document { version: 1, packs: self.packs.clone(), damaged: self.damaged.clone() };
        let json = serde_json::to_vec(&document).expect("names and numbers are JSON");
        let crypto = &repository.contents().format().crypto;
        let entropy = repository.environment().entropy.as_ref();
        let (name, bytes) = crypto.seal(entropy, PREFIX, "", &json).map_err(Error::Crypto)?;
        let failed = |source| Error::Storage { action: "note what was verified", source };
        let id = BlobId::from(name);
        storage.put_now(&id, &bytes).map_err(failed)?;
        for old in std::mem::replace(&mut self.blobs, vec![id.clone()]) {
            if old != id {
                storage.delete(&old).map_err(failed)?;
            }
        }
        Ok(())
    }
}

fn read(repository: &Repository, id: &BlobId) -> Document {
    let crypto = &repository.contents().format().crypto;
    let sealed = repository.storage().get(id, None).ok();
    let json = sealed.and_then(|sealed| crypto.open(id.as_str(), sealed).ok());
    json.and_then(|json| serde_json::from_slice(&json).ok()).unwrap_or_default()
}
