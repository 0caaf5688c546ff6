//! From index blobs without epochs to the first epoch.
//!
//! The old blobs stay: until the format says that there are epochs, nobody looks at the new ones, and afterwards nobody
//! at the old.

use super::blobs::{ActiveSet, IndexBlobs, delete, list, put};
use super::epoch::names::uncompacted_prefix;
use super::{EntryRef, Error, MergedBuilder, MergedIndex, Result, build, v0};
use crate::blob::BlobId;
use bytes::Bytes;

/// What all index blobs of epochs begin with, markers and watermarks as well.
const EPOCHS: &str = "x";
const FIRST_EPOCH: i64 = 0;
/// Indexes of epochs are of this version in whatever Kopia migrates.
const VERSION: u8 = 2;
/// Put after an upgrade so that clients that still see the old format stop.
const POISON_TEXT: &[u8] =
    b"The format of this repository was upgraded; a newer version of the program is needed to read it.";
/// How many differences are described.
const EXAMPLES: usize = 20;

/// What an index in epochs and the index it was made from do not have in common.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IndexDifferences {
    /// Contents that only one has, or that they describe in different ways.
    pub total: u64,
    /// The first of them, described.
    pub examples: Vec<String>,
}

impl IndexBlobs {
    /// Writes all that the index blobs without epochs say into the first epoch, deleted contents as well; returns the
    /// blobs that were read.
    ///
    /// # Errors
    /// [`Error::Upgraded`], those of damaged blobs, [`Error::Limit`], [`Error::Seal`], [`Error::Storage`].
    ///
    /// Source: kopia `repo/content/indexblob/index_blob_manager_v1.go`, `PrepareUpgradeToIndexBlobManagerV1`.
    pub fn copy_to_epochs(&self, warn: &dyn Fn(&str)) -> Result<Vec<BlobId>> {
        let set = v0::active(self.storage(), self.crypto())?;
        let entries = self.merge(&set, warn)?.iter(true).map(|entry| entry.to_entry()).collect();
        let shards = build(VERSION, entries)?;
        let suffix = format!("s{}-c{}", hex::encode(self.entropy().bytes::<8>()), shards.len());
        for shard in shards {
            let (name, bytes) = self
                .crypto()
                .seal(self.entropy(), &uncompacted_prefix(FIRST_EPOCH), &suffix, &shard)
                .map_err(|source| Error::Seal { source })?;
            put(self.storage(), &name.as_str().into(), bytes.into())?;
        }
        Ok(set.blobs.into_iter().map(|blob| blob.id).collect())
    }

    /// Removes index blobs of epochs, the left-overs of an upgrade that was rolled back. Only for a repository without
    /// epochs that nobody else has open: what they say may be long out of date.
    ///
    /// # Errors
    /// [`Error::Storage`].
    pub fn remove_epochs(&self) -> Result<()> {
        let left: Vec<_> = list(self.storage(), EPOCHS)?.into_iter().map(|blob| blob.id).collect();
        delete(self.storage(), &left)
    }

    /// Compares what is said in epochs with what is said without them. `self` must be the view of the one in epochs.
    ///
    /// # Errors
    /// Those of damaged blobs, [`Error::Storage`], [`Error::TooSlow`].
    pub fn compare_with_old(&self, warn: &dyn Fn(&str)) -> Result<IndexDifferences> {
        let old = self.merge(&v0::active_but_for_poison(self.storage(), self.crypto())?, warn)?;
        let new = self.open_all(warn)?;
        Ok(compare(&old, &new))
    }

    /// Whether there is any index without epochs to compare with.
    ///
    /// # Errors
    /// Those of [`IndexBlobs::compare_with_old`].
    pub fn has_old(&self) -> Result<bool> {
        Ok(!v0::active_but_for_poison(self.storage(), self.crypto())?.blobs.is_empty())
    }

    /// Puts a blob that makes clients fail which still look for an index without epochs.
    ///
    /// # Errors
    /// [`Error::Storage`].
    pub fn poison_old(&self) -> Result<()> {
        put(self.storage(), &v0::POISON.into(), Bytes::from_static(POISON_TEXT))
    }

    /// Removes that blob, so that the index without epochs can be read again.
    ///
    /// # Errors
    /// [`Error::Storage`].
    pub fn remove_poison(&self) -> Result<()> {
        delete(self.storage(), &[v0::POISON.into()])
    }

    fn merge(&self, set: &ActiveSet, warn: &dyn Fn(&str)) -> Result<MergedIndex> {
        let mut builder = MergedBuilder::with_capacity(0);
        self.visit(set, warn, &mut |_, index| builder.add(&index))?;
        Ok(builder.finish(i64::MIN))
    }
}

/// Walks both indexes, which are sorted by content.
fn compare(old: &MergedIndex, new: &MergedIndex) -> IndexDifferences {
    let mut differences = IndexDifferences::default();
    let mut note = |entry: EntryRef<'_>, what: &str| {
        differences.total += 1;
        if differences.examples.len() < EXAMPLES {
            differences.examples.push(format!("content {} in pack {} {what}", entry.id(), entry.pack()));
        }
    };
    let (mut olds, mut news) = (old.iter(true).peekable(), new.iter(true).peekable());
    loop {
        match (olds.peek(), news.peek()) {
            (Some(a), Some(b)) if a.id() == b.id() => {
                if a.to_entry() != b.to_entry() {
                    note(*b, "is described otherwise than in the old index");
                }
                (olds.next(), news.next())
            }
            (Some(a), b) if b.is_none_or(|b| a.id() < b.id()) => {
                note(*a, "is only in the old index");
                (olds.next(), None)
            }
            (_, Some(b)) => {
                note(*b, "is only in the new index");
                (None, news.next())
            }
            (_, None) => return differences,
        };
    }
}

#[cfg(test)]
mod tests {
    use crate::blob::StorageExt;
    use crate::index::testing::{World, entry, index};
    use crate::index::{IndexEntry, encode};

    fn entries() -> Vec<IndexEntry> {
        let deleted = IndexEntry { deleted: true, ..entry("bb", "p2", 7) };
        vec![entry("aa", "p1", 5), deleted, entry("kcc", "q1", 6)]
    }

    /// A repository without epochs with two index blobs, and a view of the same store with epochs.
    fn worlds() -> (World, World) {
        let (old, new) = (World::new(false), World::new(true));
        let new = World { store: old.store.clone(), ..new };
        let blobs = old.index_blobs();
        blobs.write(&[index(&[entry("aa", "p0", 1), entry("bb", "p2", 6)])], "s1").unwrap();
        let original = |entry: IndexEntry| IndexEntry { original_length: entry.packed_length - 28, ..entry };
        let entries: Vec<_> = entries().into_iter().map(original).collect();
        blobs.write(&[encode(1, &entries).unwrap()], "s2").unwrap();
        (old, new)
    }

    #[test]
    fn everything_is_in_the_first_epoch_afterwards() {
        let (old, new) = worlds();
        let read = old.index_blobs().copy_to_epochs(&|_| {}).unwrap();
        assert_eq!(read.len(), 2);
        let written: Vec<_> =
            old.store.list_all("x").unwrap().into_iter().map(|b| b.id.to_string()).collect();
        assert_eq!(written.len(), 1);
        assert!(written[0].starts_with("xn0_") && written[0].ends_with("-c1"), "{written:?}");
        let merged = new.index_blobs().open_all(&|_| {}).unwrap();
        let before = old.index_blobs().open_all(&|_| {}).unwrap();
        assert!(merged.iter(true).map(|e| e.to_entry()).eq(before.iter(true).map(|e| e.to_entry())));
        assert_eq!(merged.len(), 3);
        assert_eq!(new.index_blobs().compare_with_old(&|_| {}).unwrap().total, 0);
        old.index_blobs().poison_old().unwrap();
        assert!(old.index_blobs().active().is_err());
        assert_eq!(new.index_blobs().compare_with_old(&|_| {}).unwrap().total, 0);
    }

    #[test]
    fn differences_are_found_on_both_sides() {
        let (old, new) = worlds();
        let blobs = new.index_blobs();
        assert_eq!(blobs.compare_with_old(&|_| {}).unwrap().total, 3, "nothing was copied yet");
        old.index_blobs().copy_to_epochs(&|_| {}).unwrap();
        new.put_index("xn0_", "s9-c1", "dd");
        blobs.invalidate();
        let found = blobs.compare_with_old(&|_| {}).unwrap();
        assert_eq!((found.total, found.examples.len()), (1, 1));
        assert!(found.examples[0].contains("only in the new"), "{found:?}");
        blobs.write(&[index(&[entry("aa", "p9", 99)])], "s8").unwrap();
        blobs.invalidate();
        assert_eq!(blobs.compare_with_old(&|_| {}).unwrap().total, 2);
        old.index_blobs().remove_epochs().unwrap();
        assert!(old.store.list_all("x").unwrap().is_empty());
        assert_eq!(old.store.list_all("n").unwrap().len(), 2);
    }

    #[test]
    fn an_empty_index_has_nothing_to_copy() {
        let world = World::new(false);
        assert!(!world.index_blobs().has_old().unwrap());
        assert!(world.index_blobs().copy_to_epochs(&|_| {}).unwrap().is_empty());
        assert!(world.store.list_all("").unwrap().is_empty());
    }
}
