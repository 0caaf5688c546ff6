//! All manifests of a repository.

use super::batch;
use super::entry::TYPE_LABEL;
use super::{Error, Labels, ManifestEntry, ManifestId, Result};
use crate::base::{Clock, Entropy, Timestamp, gojson};
use crate::compression;
use crate::content::{ContentReader, ContentWriter, Scratch};
use crate::format::{ContentId, IdPrefix};
use parking_lot::Mutex;
use rayon::prelude::*;
use serde::Serialize;
use serde_json::value::RawValue;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

const COMPRESSOR: &str = "zstd-fastest";
/// How often the set of batches is read again when one vanishes meanwhile.
const LOAD_ATTEMPTS: usize = 5;

/// The manifests as of the last load, and what this session adds to them.
#[derive(Debug, Default)]
pub struct ManifestStore {
    committed: HashMap<ManifestId, ManifestEntry>,
    /// Which of them have a type, so that a few policies are found among many snapshots without a look at these. Some
    /// may be gone since.
    by_type: HashMap<String, Vec<ManifestId>>,
    pending: HashMap<ManifestId, ManifestEntry>,
}

impl ManifestStore {
    /// Reads every batch and merges them.
    ///
    /// # Errors
    /// [`Error::Read`] or [`Error::BrokenBatch`] for any batch: a repository with a hole in its manifests must not pass
    /// for one with fewer snapshots.
    pub fn load(contents: &ContentReader) -> Result<Self> {
        let mut attempt = 1;
        loop {
            match load_batches(contents) {
                // Another client compacted between the listing and the reading.
                Err(Error::Read { source, .. }) if attempt < LOAD_ATTEMPTS && is_gone(&source) => {
                    contents.refresh().map_err(Error::Write)?;
                    attempt += 1;
                }
                Err(error) => return Err(error),
                Ok(batches) => return Ok(Self::of(merge(batches))),
            }
        }
    }

    fn of(committed: HashMap<ManifestId, ManifestEntry>) -> Self {
        let mut store = Self::default();
        for entry in committed.values() {
            store.note_type(entry);
        }
        Self { committed, ..store }
    }

    fn note_type(&mut self, entry: &ManifestEntry) {
        match self.by_type.get_mut(entry.kind()) {
            Some(ids) => ids.push(entry.id.clone()),
            None => drop(self.by_type.insert(entry.kind().to_owned(), vec![entry.id.clone()])),
        }
    }

    /// The manifest with an id, unless it was deleted.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub fn get(&self, id: &ManifestId) -> Result<&ManifestEntry> {
        self.pending
            .get(id)
            .or_else(|| self.committed.get(id))
            .filter(|entry| !entry.deleted)
            .ok_or_else(|| Error::NotFound { id: id.clone() })
    }

    /// All manifests that carry `labels`, oldest first.
    pub fn find(&self, labels: &[(&str, &str)]) -> Vec<&ManifestEntry> {
        let kind = labels.iter().find(|(key, _)| *key == TYPE_LABEL).map(|(_, kind)| *kind);
        let ids = self.by_type.iter().filter(|(name, _)| kind.is_none_or(|kind| kind == *name));
        let committed = ids.flat_map(|(_, ids)| ids).filter_map(|id| self.committed.get(id));
        let committed = committed.filter(|entry| !self.pending.contains_key(&entry.id));
        let mut found: Vec<_> = committed
            .chain(self.pending.values())
            .filter(|entry| !entry.deleted && entry.matches(labels))
            .collect();
        found.sort_by(|a, b| (a.modified, &a.id).cmp(&(b.modified, &b.id)));
        found
    }

    /// Adds a document under a new id.
    ///
    /// # Panics
    /// When the labels have no `type` or the document cannot be JSON, which is a fault of the program.
    pub fn put<T: Serialize>(
        &mut self,
        labels: Labels,
        document: &T,
        clock: &dyn Clock,
        entropy: &dyn Entropy,
    ) -> ManifestId {
        assert!(labels.get(TYPE_LABEL).is_some_and(|kind| !kind.is_empty()), "a manifest has a type");
        let json = gojson::to_vec(document).expect("documents of manifests are plain data");
        let text = String::from_utf8(json).expect("JSON is UTF-8");
        let data = RawValue::from_string(text).expect("the encoder writes JSON");
        let id = ManifestId::random(entropy);
        let entry = ManifestEntry {
            id: id.clone(),
            labels: Some(labels.into()),
            modified: clock.now(),
            deleted: false,
            data: Some(data.into()),
        };
        self.pending.insert(id.clone(), entry);
        id
    }

    /// Deletes a manifest; an unknown one is no error. The tombstone is later than what it deletes even when this
    /// machine's clock is behind.
    pub fn delete(&mut self, id: &ManifestId, clock: &dyn Clock) {
        let Ok(entry) = self.get(id) else { return };
        let modified: Timestamp = clock.now().max(entry.modified.saturating_add_nanos(1));
        let tombstone = ManifestEntry { id: id.clone(), labels: None, modified, deleted: true, data: None };
        self.pending.insert(id.clone(), tombstone);
    }

    /// Deletes every manifest with exactly these labels' values, then adds the document.
    pub fn replace<T: Serialize>(
        &mut self,
        labels: Labels,
        document: &T,
        clock: &dyn Clock,
        entropy: &dyn Entropy,
    ) -> ManifestId {
        let wanted: Vec<_> = labels.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        let old: Vec<_> = self.find(&wanted).into_iter().map(|entry| entry.id.clone()).collect();
        for id in &old {
            self.delete(id, clock);
        }
        self.put(labels, document, clock, entropy)
    }

    /// Whether there is anything to flush.
    pub fn has_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Writes everything pending as one batch; the content layer's flush makes it visible.
    ///
    /// # Errors
    /// [`Error::Write`].
    pub fn flush(&mut self, contents: &ContentWriter) -> Result<Option<ContentId>> {
        if self.pending.is_empty() {
            return Ok(None);
        }
        let mut entries: Vec<_> = self.pending.values().cloned().collect();
        entries.sort_by(|a, b| a.id.cmp(&b.id));
        let mut data = batch::encode_batch(&entries);
        let compressor = compression::by_name(COMPRESSOR);
        let id = contents
            .write(&mut data, IdPrefix::MANIFEST, compressor, &mut Scratch::default())
            .map_err(Error::Write)?;
        for (id, entry) in std::mem::take(&mut self.pending) {
            if !entry.deleted {
                self.note_type(&entry);
            }
            self.committed.insert(id, entry);
        }
        Ok(Some(id))
    }
}

fn is_gone(error: &crate::content::Error) -> bool {
    use crate::content::Error as Content;
    match error {
        Content::NotFound { .. } => true,
        Content::Read { source, .. } => source.is_not_found(),
        _ => false,
    }
}

fn load_batches(contents: &ContentReader) -> Result<Vec<Vec<ManifestEntry>>> {
    let ids = contents.ids_with_prefix(IdPrefix::MANIFEST);
    let known = Mutex::new(HashSet::new());
    let load = |id: &ContentId| {
        let data = contents.get(id).map_err(|source| Error::Read { content: *id, source })?;
        let mut entries =
            batch::decode_batch(&data).map_err(|reason| Error::BrokenBatch { content: *id, reason })?;
        share_labels(&mut entries, &mut known.lock());
        Ok(entries)
    };
    ids.par_iter().map(load).collect()
}

/// Labels are half of what a manifest takes, and the same for all snapshots of a source.
fn share_labels(entries: &mut [ManifestEntry], known: &mut HashSet<Arc<Labels>>) {
    for labels in entries.iter_mut().filter_map(|entry| entry.labels.as_mut()) {
        match known.get(labels) {
            Some(same) => *labels = Arc::clone(same),
            None => drop(known.insert(Arc::clone(labels))),
        }
    }
}

/// The later entry of an id wins; of equal times the first seen stays.
fn merge(batches: Vec<Vec<ManifestEntry>>) -> HashMap<ManifestId, ManifestEntry> {
    let mut merged: HashMap<ManifestId, ManifestEntry> = HashMap::new();
    for entry in batches.into_iter().flatten() {
        match merged.get(&entry.id) {
            Some(known) if known.modified >= entry.modified => {}
            _ => {
                merged.insert(entry.id.clone(), entry);
            }
        }
    }
    merged.retain(|_, entry| !entry.deleted);
    merged
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{FixedClock, SeededEntropy};

    fn entry(id: &str, modified: &str, text: Option<&str>) -> ManifestEntry {
        let data = text.map(|text| RawValue::from_string(format!("\"{text}\"")).unwrap().into());
        ManifestEntry {
            id: ManifestId::new(id),
            labels: Some(Labels::from([("type".to_owned(), "t".to_owned())]).into()),
            modified: modified.parse().unwrap(),
            deleted: text.is_none(),
            data,
        }
    }

    const EARLY: &str = "2024-01-01T00:00:00Z";
    const LATE: &str = "2024-01-01T00:00:00.000000001Z";

    fn texts(batches: Vec<Vec<ManifestEntry>>) -> Vec<(String, String)> {
        let text = |entry: &ManifestEntry| entry.data.as_ref().unwrap().get().to_owned();
        let mut found: Vec<_> =
            merge(batches).values().map(|entry| (entry.id.to_string(), text(entry))).collect();
        found.sort();
        found
    }

    #[test]
    fn batches_merge_alike_in_any_order() {
        let batches = vec![
            vec![
                entry("a", EARLY, Some("old")),
                entry("b", EARLY, Some("gone")),
                entry("c", LATE, Some("kept")),
            ],
            vec![entry("a", LATE, Some("new")), entry("b", LATE, None), entry("c", EARLY, None)],
        ];
        let wanted = [("a".to_owned(), "\"new\"".to_owned()), ("c".to_owned(), "\"kept\"".to_owned())];
        assert_eq!(texts(batches.clone()), wanted);
        assert_eq!(texts(batches.into_iter().rev().collect()), wanted);
    }

    /// A compaction leaves copies of one entry in two batches for a while.
    #[test]
    fn of_equal_times_the_first_batch_counts() {
        let (one, other) = (vec![entry("a", EARLY, Some("1"))], vec![entry("a", EARLY, Some("2"))]);
        assert_eq!(texts(vec![one.clone(), other.clone()])[0].1, "\"1\"");
        assert_eq!(texts(vec![other, one])[0].1, "\"2\"");
    }

    #[test]
    fn a_tombstone_is_later_than_what_it_deletes() {
        let behind = FixedClock::new("2023-01-01T00:00:00Z".parse().unwrap());
        let live = entry("a", EARLY, Some("x"));
        let mut store = ManifestStore::default();
        store.committed.insert(live.id.clone(), live.clone());
        store.delete(&live.id, &behind);
        let tombstone = store.pending[&live.id].clone();
        assert!(store.get(&live.id).is_err() && store.find(&[("type", "t")]).is_empty());
        assert!(texts(vec![vec![tombstone], vec![live]]).is_empty());
    }

    #[test]
    fn a_replacement_leaves_one() {
        let (clock, entropy) = (FixedClock::new(EARLY.parse().unwrap()), SeededEntropy::new(1));
        let labels = Labels::from([("type".to_owned(), "t".to_owned())]);
        let mut store = ManifestStore::default();
        store.put(labels.clone(), &1, &clock, &entropy);
        store.put(labels.clone(), &2, &clock, &entropy);
        let id = store.replace(labels, &3, &clock, &entropy);
        let found: Vec<_> = store.find(&[("type", "t")]).iter().map(|entry| entry.id.clone()).collect();
        assert_eq!(found, [id]);
    }
}
