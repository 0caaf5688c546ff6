//! Whether an object can be read: every content in the index, its pack in the store and long enough, and, where that is
//! wanted, every byte read and hashed again.

use super::{Error, Result};
use crate::base::{Counter, Entropy, Monitor};
use crate::blob::{BlobId, StorageExt};
use crate::content::PackKind;
use crate::format::ContentId;
use crate::index::IndexEntry;
use crate::object::ObjectId;
use crate::repo::Repository;
use rayon::prelude::*;
use std::collections::{HashMap, HashSet};

/// Checks objects against the packs that were there when it was made.
#[derive(Debug)]
pub struct ObjectCheck<'a> {
    repository: &'a Repository,
    packs: HashMap<BlobId, u64>,
    /// Contents that are not to be trusted.
    damaged: HashSet<ContentId>,
}

impl<'a> ObjectCheck<'a> {
    /// Lists the packs.
    ///
    /// # Errors
    /// [`Error::Repository`](super::Error::Repository) when the store cannot be listed.
    pub fn new(repository: &'a Repository) -> Result<Self> {
        let mut packs = HashMap::new();
        for kind in [PackKind::Data, PackKind::Metadata] {
            let listed = repository
                .storage()
                .list_all(kind.prefix())
                .map_err(|source| crate::repo::Error::Storage { action: "list the packs", source })?;
            packs.extend(listed.into_iter().map(|pack| (pack.id, pack.length)));
        }
        Ok(Self { repository, packs, damaged: HashSet::new() })
    }

    /// Packs that no index names: what a run in progress or a killed one has stored, or what a lost index blob named.
    pub fn unnamed_packs(&self) -> Vec<&BlobId> {
        let named: HashSet<BlobId> = self.repository.contents().index().packs().into_iter().collect();
        let mut unnamed: Vec<_> = self.packs.keys().filter(|pack| !named.contains(*pack)).collect();
        unnamed.sort();
        unnamed
    }

    /// The same check, which fails for these contents.
    #[must_use]
    pub fn knowing(self, damaged: HashSet<ContentId>) -> Self {
        Self { damaged, ..self }
    }

    /// Draws whether one of many files belongs to a share of them, 0 to 100 percent.
    pub fn is_drawn(&self, percent: f64) -> bool {
        if percent >= 100.0 {
            return true;
        }
        let drawn = <dyn Entropy>::bytes::<4>(self.repository.environment().entropy.as_ref());
        percent > 0.0 && f64::from(u32::from_le_bytes(drawn)) / f64::from(u32::MAX) * 100.0 < percent
    }

    /// Proves an object; returns the bytes it has if they were read.
    ///
    /// # Errors
    /// What is missing or damaged.
    pub fn object(&self, id: ObjectId, read: bool, monitor: &dyn Monitor) -> Result<u64> {
        let objects = self.repository.objects();
        for content in objects.content_ids(id)? {
            self.content(&content)?;
        }
        if !read {
            return Ok(0);
        }
        let contents = objects.contents();
        let Some(segments) = objects.segments(id)? else {
            let content = id.content().ok_or(crate::object::Error::NoObject)?;
            let data = contents.verify(&content)?;
            let length = if id.is_compressed() { objects.read_content(id)?.len() } else { data.len() };
            monitor.add(Counter::VerifiedBytes, length as u64);
            return Ok(length as u64);
        };
        // The parts of a big file are read by all threads.
        let part = |segment: &crate::object::Segment| -> Result<u64> {
            if segment.object.is_compressed() {
                objects.read_segment(id, segment)?;
            } else {
                let content = segment.object.content().ok_or(crate::object::Error::NoObject)?;
                let found = contents.verify(&content)?.len() as u64;
                if found != segment.length {
                    let (expected, part) = (segment.length, segment.object);
                    return Err(crate::object::Error::PartLength { id, part, expected, found }.into());
                }
            }
            monitor.add(Counter::VerifiedBytes, segment.length);
            Ok(segment.length)
        };
        segments.par_iter().map(part).try_reduce(|| 0, |a, b| Ok(a + b))
    }

    /// Where the content of an object lies, if it can be there.
    ///
    /// # Errors
    /// What is missing.
    pub fn content_of(&self, object: ObjectId) -> Result<IndexEntry> {
        self.content(&object.content().ok_or(crate::object::Error::NoObject)?)
    }

    fn content(&self, id: &ContentId) -> Result<IndexEntry> {
        let entry = self.repository.contents().info(id)?;
        if self.damaged.contains(id) {
            return Err(Error::KnownDamage { id: *id, pack: entry.pack });
        }
        let end = u64::from(entry.pack_offset) + u64::from(entry.packed_length);
        match self.packs.get(&entry.pack) {
            Some(&length) if end <= length => Ok(entry),
            Some(&length) => {
                Err(crate::content::Error::ShortPack { id: *id, pack: entry.pack, length, end }.into())
            }
            None => Err(crate::content::Error::NoPack { id: *id, pack: entry.pack }.into()),
        }
    }
}
