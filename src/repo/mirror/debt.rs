//! What the mirror lacks.

use super::{failed, is_newer};
use crate::base::{ErrorClass, error_chain};
use crate::blob::{BlobId, BlobMetadata, Mirrored, Storage, StorageExt};
use crate::repo::{Error, Repository, Result};
use std::collections::{BTreeMap, HashSet};

/// So many packs are asked for one by one; beyond, the mirror's listing of all packs is cheaper.
const ASKED_MAX: usize = 200;
/// So many at once.
const ASKED_AT_ONCE: usize = 16;
const DOCUMENTS: &str = "kopia.";

/// Blobs to be copied, in their order, and blobs that the mirror has too many.
#[derive(Debug, Default)]
pub(super) struct Debt {
    /// Packs that owed index blobs name.
    pub(super) packs: Vec<BlobMetadata>,
    /// Index blobs and markers of epochs, oldest first.
    pub(super) indexes: Vec<BlobMetadata>,
    /// Documents of the repository that are missing or older.
    pub(super) documents: Vec<BlobMetadata>,
    /// Index blobs and markers that only the mirror has.
    pub(super) strays: Vec<BlobMetadata>,
}

impl Debt {
    pub(super) fn find(repository: &Repository, mirrored: &Mirrored) -> Result<Self> {
        let mut debt = Self::default();
        // Indexes of a repository without epochs, and with them.
        let prefixes: &[&str] =
            if repository.format().epoch_parameters.enabled { &["x"] } else { &["n", "m", "l"] };
        for prefix in prefixes {
            debt.compare_indexes(mirrored, prefix)?;
        }
        debt.indexes.sort_by(|a, b| (a.timestamp, &a.id).cmp(&(b.timestamp, &b.id)));
        debt.packs = owed_packs(repository, mirrored, &mut debt.indexes)?;
        debt.compare_documents(mirrored)?;
        Ok(debt)
    }

    /// The mirror is listed first: what it has then and the primary lacks afterwards was deleted there.
    fn compare_indexes(&mut self, mirrored: &Mirrored, prefix: &str) -> Result<()> {
        let mut there = listed(&**mirrored.mirror(), prefix)?;
        let here = mirrored.primary().list_all(prefix).map_err(failed("list the primary's indexes"))?;
        for blob in here {
            let is_there = there.remove(&blob.id).is_some_and(|copy| copy.length == blob.length);
            // An empty one is nothing but the trace of a crash.
            if !is_there && blob.length > 0 {
                self.indexes.push(blob);
            }
        }
        self.strays.extend(there.into_values());
        Ok(())
    }

    fn compare_documents(&mut self, mirrored: &Mirrored) -> Result<()> {
        let there = listed(&**mirrored.mirror(), DOCUMENTS)?;
        let here = mirrored.primary().list_all(DOCUMENTS).map_err(failed("list the primary's documents"))?;
        let is_owed = |blob: &BlobMetadata| there.get(&blob.id).is_none_or(|copy| is_newer(blob, copy));
        self.documents.extend(here.into_iter().filter(|blob| blob.length > 0 && is_owed(blob)));
        Ok(())
    }
}

fn listed(storage: &dyn Storage, prefix: &str) -> Result<BTreeMap<BlobId, BlobMetadata>> {
    let blobs = storage.list_all(prefix).map_err(failed("list the mirror"))?;
    Ok(blobs.into_iter().map(|blob| (blob.id.clone(), blob)).collect())
}

/// The packs that index blobs name and the mirror lacks. An index blob that cannot be understood is not owed any more.
fn owed_packs(
    repository: &Repository,
    mirrored: &Mirrored,
    indexes: &mut Vec<BlobMetadata>,
) -> Result<Vec<BlobMetadata>> {
    let mut named = HashSet::new();
    let mut readable = Vec::with_capacity(indexes.len());
    for blob in std::mem::take(indexes) {
        match repository.contents().index_blobs().packs_of(&blob) {
            Ok(packs) => {
                named.extend(packs.into_iter().filter(|pack| !mirrored.has_pack(pack)));
                readable.push(blob);
            }
            // Replaced since it was listed; what replaced it is for the next time.
            Err(error) if error.is_not_found() => {}
            Err(error) if error.class() == ErrorClass::Corrupt => {
                repository.warn(&format!("not copied to the mirror: {}", error_chain(&error)));
            }
            Err(source) => return Err(Error::Index { action: "read what an index blob names", source }),
        }
    }
    *indexes = readable;
    let mut lacking: Vec<_> = if named.len() > ASKED_MAX {
        lacking_by_listing(mirrored, named)?
    } else {
        lacking_by_name(mirrored, &Vec::from_iter(named))?
    };
    lacking.sort_unstable();
    let describe = |id: BlobId| match mirrored.primary().metadata(&id) {
        Ok(pack) => Some(Ok(pack)),
        Err(error) if error.is_not_found() => {
            // The mirror cannot be better than the primary; whether the pack is needed at all is another question.
            repository.warn(&format!(
                "pack {id} is named by an index blob and is in neither the repository nor its mirror"
            ));
            None
        }
        Err(source) => Some(Err(failed("look for a pack in the primary")(source))),
    };
    lacking.into_iter().filter_map(describe).collect()
}

fn lacking_by_listing(mirrored: &Mirrored, mut named: HashSet<BlobId>) -> Result<Vec<BlobId>> {
    for kind in ["p", "q"] {
        let listed = mirrored.mirror().list(kind, &mut |blob| {
            if blob.length > 0 && named.remove(&blob.id) {
                mirrored.note_packs([blob.id]);
            }
            Ok(())
        });
        listed.map_err(failed("list the mirror's packs"))?;
    }
    Ok(named.into_iter().collect())
}

fn lacking_by_name(mirrored: &Mirrored, named: &[BlobId]) -> Result<Vec<BlobId>> {
    let ask = |id: &BlobId| match mirrored.mirror().metadata(id) {
        Ok(blob) => Ok(blob.length == 0),
        Err(error) if error.is_not_found() => Ok(true),
        Err(source) => Err(failed("look for a pack in the mirror")(source)),
    };
    let mut lacking = Vec::new();
    for some in named.chunks(ASKED_AT_ONCE) {
        let answers: Vec<_> = std::thread::scope(|scope| {
            let asking: Vec<_> = some.iter().map(|id| scope.spawn(|| ask(id))).collect();
            let join = |asked: std::thread::ScopedJoinHandle<'_, _>| {
                asked.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            };
            asking.into_iter().map(join).collect()
        });
        for (id, is_lacking) in some.iter().zip(answers) {
            if is_lacking? {
                lacking.push(id.clone());
            } else {
                mirrored.note_packs([id.clone()]);
            }
        }
    }
    Ok(lacking)
}
