//! What is to be copied and deleted to make two stores equal.

use super::listing::Listing;
use super::{SyncOptions, Tally};
use crate::blob::{BlobId, BlobMetadata, Error, Result, Storage, StorageExt};
use crate::format::REPOSITORY_BLOB;
use crate::repo::verified_packs;

/// Prefixes of index blobs, without and with epochs.
const INDEX_PREFIXES: [&str; 2] = ["n", "x"];
/// Prefixes of packs.
const PACK_PREFIXES: [&str; 2] = ["p", "q"];

/// Kinds of blobs in the order in which they may appear in a repository that is read meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// Packs: nobody looks for them before an index names them.
    Pack,
    /// Index blobs.
    Index,
    /// Markers, logs, settings: nothing refers to them.
    Other,
    /// `kopia.repository`, which makes a repository of all that.
    Format,
}

/// Every [`Kind`], in order.
pub(super) const KINDS: [Kind; 4] = [Kind::Pack, Kind::Index, Kind::Other, Kind::Format];

impl Kind {
    pub(super) fn of(id: &BlobId) -> Self {
        let starts_with = |prefixes: [&str; 2]| prefixes.iter().any(|prefix| id.as_str().starts_with(prefix));
        if id.as_str() == REPOSITORY_BLOB {
            Self::Format
        } else if starts_with(PACK_PREFIXES) {
            Self::Pack
        } else if starts_with(INDEX_PREFIXES) {
            Self::Index
        } else {
            Self::Other
        }
    }
}

/// What is to be done.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// Blobs to copy, by [`Kind`].
    pub(super) copies: [Listing; KINDS.len()],
    /// Blobs to delete, by [`Kind`].
    pub(super) deletions: [Listing; KINDS.len()],
    /// Blobs of the source.
    pub(super) source: Tally,
    /// Blobs of the destination.
    pub(super) destination: Tally,
    /// Blobs that are in both.
    pub(super) in_sync: Tally,
}

impl Plan {
    /// Compares two stores. The destination's list is held in memory while the source's goes by.
    ///
    /// The index blobs of the source are listed before its packs: each that is found then has all its packs in the list,
    /// though others write meanwhile.
    pub(super) fn make(from: &dyn Storage, to: &dyn Storage, options: &SyncOptions) -> Result<Self> {
        let there = list(to)?;
        let mut comparison = Comparison {
            from,
            to,
            options,
            seen: vec![false; there.len()],
            there,
            has_format: false,
            plan: Self::default(),
        };
        for prefix in INDEX_PREFIXES {
            from.list(prefix, &mut |blob| comparison.add(&blob))?;
        }
        from.list("", &mut |blob| match Kind::of(&blob.id) {
            Kind::Index => Ok(()),
            _ => comparison.add(&blob),
        })?;
        comparison.finish()
    }

    /// The blobs to copy, and their bytes.
    pub(super) fn to_copy(&self) -> Tally {
        Tally::of(&self.copies)
    }

    /// The blobs to delete, and their bytes.
    pub(super) fn to_delete(&self) -> Tally {
        Tally::of(&self.deletions)
    }
}

fn list(store: &dyn Storage) -> Result<Listing> {
    let mut listing = Listing::default();
    store.list("", &mut |blob| {
        if is_copied(&blob.id) {
            listing.push(&blob);
        }
        Ok(())
    })?;
    listing.sort_by_name();
    Ok(listing)
}

/// Notes on which packs of a store were verified say nothing of another store.
fn is_copied(id: &BlobId) -> bool {
    !id.as_str().starts_with(verified_packs::PREFIX)
}

struct Comparison<'a> {
    from: &'a dyn Storage,
    to: &'a dyn Storage,
    options: &'a SyncOptions,
    there: Listing,
    /// Whether the source's list has what makes it a repository.
    has_format: bool,
    /// Which of those there are in the source.
    seen: Vec<bool>,
    plan: Plan,
}

impl Comparison<'_> {
    fn add(&mut self, blob: &BlobMetadata) -> Result<()> {
        if !is_copied(&blob.id) {
            return Ok(());
        }
        self.has_format |= Kind::of(&blob.id) == Kind::Format;
        self.plan.source.add(blob.length);
        if self.is_in_sync(blob)? {
            self.plan.in_sync.add(blob.length);
        } else {
            self.plan.copies[Kind::of(&blob.id) as usize].push(blob);
        }
        Ok(())
    }

    fn is_in_sync(&mut self, blob: &BlobMetadata) -> Result<bool> {
        let Some(at) = self.there.find(&blob.id) else { return Ok(false) };
        let Some(there) = self.there.get(at) else { return Ok(false) };
        self.seen[at] = true;
        // Only these are ever rewritten, so of all others a different length means a broken copy.
        let is_rewritten = blob.id.as_str().starts_with("kopia.");
        if there.length != blob.length && !is_rewritten {
            return Ok(false);
        }
        if !self.options.update {
            return Ok(true);
        }
        if blob.timestamp > there.timestamp {
            return Ok(false);
        }
        // Rewritten while it was copied, or by clocks that differ: times do not tell.
        Ok(!is_rewritten || self.from.get_optional(&blob.id)? == self.to.get_optional(&blob.id)?)
    }

    fn finish(mut self) -> Result<Plan> {
        if !self.has_format {
            // Whatever was listed, it was not all of the repository: nothing may be deleted for it.
            return Err(Error::NotFound { id: REPOSITORY_BLOB.into() });
        }
        self.plan.destination = Tally { blobs: self.there.len() as u64, bytes: self.there.bytes() };
        if self.options.delete {
            for (blob, is_seen) in self.there.iter().zip(&self.seen) {
                if !is_seen {
                    self.plan.deletions[Kind::of(&blob.id) as usize].push(&blob);
                }
            }
        }
        Ok(self.plan)
    }
}
