//! Which snapshots there are.

use super::manifest::{TYPE, source_labels};
use super::{Error, Result, SnapshotManifest};
use crate::base::Timestamp;
use crate::manifest::{Labels, ManifestEntry, ManifestId, ManifestStore};
use crate::object::ObjectId;
use crate::policy::SourceInfo;
use crate::repo::RepositoryWriter;
use rayon::prelude::*;
use std::collections::{BTreeSet, HashMap};

/// Which sources are wanted; an empty field means any.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SourceFilter {
    /// Host name.
    pub host: String,
    /// User name.
    pub user_name: String,
    /// Path.
    pub path: String,
    /// Further labels, such as tags.
    pub labels: Vec<(String, String)>,
}

impl From<&SourceInfo> for SourceFilter {
    fn from(source: &SourceInfo) -> Self {
        let SourceInfo { host, user_name, path } = source.clone();
        Self { host, user_name, path, labels: Vec::new() }
    }
}

/// The snapshots of one source.
#[derive(Debug)]
pub struct SourceGroup<'a> {
    /// Whose they are.
    pub source: SourceInfo,
    entries: Vec<&'a ManifestEntry>,
}

impl SourceGroup<'_> {
    /// Decodes them, in the order in which they were saved. One that cannot be decoded is an error: it must not pass for
    /// one that is not there.
    ///
    /// # Errors
    /// [`Error::Manifest`].
    pub fn load(&self) -> Result<Vec<SnapshotManifest>> {
        self.entries.par_iter().map(|entry| decode(entry)).collect()
    }
}

/// The snapshots among the manifests of a repository.
#[derive(Debug, Clone, Copy)]
pub struct Catalog<'a> {
    manifests: &'a ManifestStore,
}

impl<'a> Catalog<'a> {
    /// Looks at `manifests`.
    pub fn new(manifests: &'a ManifestStore) -> Self {
        Self { manifests }
    }

    /// All sources that have snapshots.
    pub fn sources(&self) -> BTreeSet<SourceInfo> {
        self.manifests.find(&[("type", TYPE)]).into_iter().map(source_of).collect()
    }

    /// The snapshots of all sources that `filter` lets through, in the order in which they were saved. A manifest that
    /// cannot be decoded is an error: it must not pass for one that is not there.
    ///
    /// # Errors
    /// [`Error::Manifest`].
    pub fn list(&self, filter: &SourceFilter) -> Result<Vec<SnapshotManifest>> {
        self.entries(filter).into_par_iter().map(decode).collect()
    }

    fn entries(self, filter: &SourceFilter) -> Vec<&'a ManifestEntry> {
        let mut labels = vec![("type", TYPE)];
        let fields = [("hostname", &filter.host), ("username", &filter.user_name), ("path", &filter.path)];
        labels.extend(
            fields.iter().filter(|(_, value)| !value.is_empty()).map(|(key, value)| (*key, value.as_str())),
        );
        labels.extend(filter.labels.iter().map(|(key, value)| (key.as_str(), value.as_str())));
        self.manifests.find(&labels)
    }

    /// The same snapshots by source, sources in the order of their texts, as Kopia groups them. None is decoded yet: of
    /// very many only one source's need be in memory.
    pub fn groups(&self, filter: &SourceFilter) -> Vec<SourceGroup<'a>> {
        let mut groups: HashMap<SourceInfo, Vec<&ManifestEntry>> = HashMap::new();
        for entry in self.entries(filter) {
            groups.entry(source_of(entry)).or_default().push(entry);
        }
        let mut groups: Vec<_> =
            groups.into_iter().map(|(source, entries)| SourceGroup { source, entries }).collect();
        groups.sort_by_cached_key(|group| group.source.to_string());
        groups
    }

    /// The snapshot with a manifest id.
    ///
    /// # Errors
    /// [`Error::NotFound`] when there is none or it is another kind of manifest.
    pub fn get(&self, id: &ManifestId) -> Result<SnapshotManifest> {
        match self.manifests.get(id) {
            Ok(entry) if entry.kind() == TYPE => decode(entry),
            _ => Err(Error::NotFound { text: id.to_string() }),
        }
    }

    /// All snapshots whose root is `root`.
    ///
    /// # Errors
    /// [`Error::Manifest`].
    pub fn with_root(&self, root: ObjectId) -> Result<Vec<SnapshotManifest>> {
        let mut found = self.list(&SourceFilter::default())?;
        found.retain(|snapshot| snapshot.root_entry.as_ref().is_some_and(|entry| entry.obj == root));
        Ok(found)
    }

    /// What an upload of `source` compares with: the latest complete snapshot, not later than `bound`, and every
    /// incomplete one that began after it.
    ///
    /// # Errors
    /// [`Error::Manifest`].
    pub fn previous(&self, source: &SourceInfo, bound: Option<Timestamp>) -> Result<Vec<SnapshotManifest>> {
        let all = self.list(&SourceFilter::from(source))?;
        let allowed = |snapshot: &SnapshotManifest| bound.is_none_or(|bound| snapshot.start_time <= bound);
        let complete = all
            .iter()
            .filter(|snapshot| snapshot.is_complete() && allowed(snapshot))
            .max_by_key(|snapshot| snapshot.start_time)
            .cloned();
        let after = complete.as_ref().map_or(Timestamp::EPOCH, |snapshot| snapshot.start_time);
        let newer = |snapshot: &SnapshotManifest| !snapshot.is_complete() && snapshot.start_time > after;
        Ok(complete.into_iter().chain(all.into_iter().filter(|s| newer(s) && allowed(s))).collect())
    }
}

impl SnapshotManifest {
    /// Saves the snapshot under a new id, which it takes on.
    ///
    /// # Errors
    /// [`Error::IncompleteSource`], [`Error::BadTag`].
    pub fn save(&mut self, writer: &mut RepositoryWriter<'_>) -> Result<ManifestId> {
        let SourceInfo { host, user_name, path } = &self.source;
        if host.is_empty() || user_name.is_empty() || path.is_empty() {
            return Err(Error::IncompleteSource { source_text: self.source.to_string() });
        }
        if let Some(key) = self.tags.keys().find(|key| source_labels(&self.source).contains_key(*key)) {
            return Err(Error::BadTag { key: key.clone() });
        }
        self.id = ManifestId::default();
        let labels: Labels = self.labels();
        self.id = writer.put_manifest(labels, self);
        Ok(self.id.clone())
    }

    /// Saves a changed snapshot: under a new id, and the old one is deleted.
    ///
    /// # Errors
    /// Those of [`SnapshotManifest::save`].
    pub fn update(&mut self, writer: &mut RepositoryWriter<'_>) -> Result<ManifestId> {
        let old = self.id.clone();
        let new = self.save(writer)?;
        writer.delete_manifest(&old);
        Ok(new)
    }
}

fn decode(entry: &ManifestEntry) -> Result<SnapshotManifest> {
    let mut snapshot: SnapshotManifest = entry.decode()?;
    snapshot.id = entry.id.clone();
    Ok(snapshot)
}

fn source_of(entry: &ManifestEntry) -> SourceInfo {
    let label = |key| entry.label(key).unwrap_or_default();
    SourceInfo::new(label("username"), label("hostname"), label("path"))
}
