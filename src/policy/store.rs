//! Policies as they lie in a repository.

use super::{
    Effective, Error, Policy, PolicyTree, Result, SourceInfo, effective, hierarchy, labels_of,
    nested_relative_path, target_of,
};
use crate::manifest::{ManifestEntry, ManifestId, ManifestStore};
use crate::repo::RepositoryWriter;

const TYPE: (&str, &str) = ("type", "policy");

/// Reads the policies among the manifests of a repository.
#[derive(Debug, Clone, Copy)]
pub struct PolicyStore<'a> {
    manifests: &'a ManifestStore,
}

/// A policy as stored.
#[derive(Debug, Clone)]
pub struct StoredPolicy {
    /// Its manifest.
    pub id: ManifestId,
    /// What it applies to.
    pub target: SourceInfo,
    /// The policy.
    pub policy: Policy,
}

impl<'a> PolicyStore<'a> {
    /// Looks at `manifests`.
    pub fn new(manifests: &'a ManifestStore) -> Self {
        Self { manifests }
    }

    /// All policies, by target.
    ///
    /// # Errors
    /// [`Error::Manifest`] for one that cannot be decoded.
    pub fn list(&self) -> Result<Vec<StoredPolicy>> {
        let mut all = self.manifests.find(&[TYPE]).into_iter().map(decode).collect::<Result<Vec<_>>>()?;
        all.sort_by_cached_key(|stored| stored.target.to_string());
        Ok(all)
    }

    /// The policy of a target itself; of several, the newest.
    ///
    /// # Errors
    /// [`Error::Manifest`] for one that cannot be decoded.
    pub fn defined(&self, target: &SourceInfo) -> Result<Option<Policy>> {
        self.find(target).pop().map(|entry| decode(entry).map(|stored| stored.policy)).transpose()
    }

    /// The policy with a manifest id.
    ///
    /// # Errors
    /// [`Error::Manifest`] when there is none.
    pub fn by_id(&self, id: &ManifestId) -> Result<StoredPolicy> {
        decode(self.manifests.get(id).map_err(Error::Manifest)?)
    }

    /// What applies to a target once everything above it is merged in.
    ///
    /// # Errors
    /// [`Error::Manifest`] for one that cannot be decoded.
    pub fn effective(&self, target: &SourceInfo) -> Result<Effective> {
        let mut chain = Vec::new();
        for level in hierarchy(target) {
            for entry in self.find(&level) {
                chain.push((level.clone(), decode(entry)?.policy));
            }
        }
        Ok(effective(target, &chain))
    }

    /// The policies of a source and of the paths below it.
    ///
    /// # Errors
    /// [`Error::Manifest`] for one that cannot be decoded.
    pub fn tree(&self, source: &SourceInfo) -> Result<PolicyTree> {
        let root = self.effective(source)?.policy;
        let labels =
            [TYPE, ("policyType", "path"), ("username", &source.user_name), ("hostname", &source.host)];
        let mut nested = Vec::new();
        for entry in self.manifests.find(&labels) {
            let path = entry.label("path").unwrap_or_default();
            if let Some(relative) = nested_relative_path(&source.path, path) {
                nested.push((relative, decode(entry)?.policy));
            }
        }
        Ok(PolicyTree::new(root, nested))
    }

    /// The manifests of a target, oldest first.
    fn find(self, target: &SourceInfo) -> Vec<&'a ManifestEntry> {
        let labels = labels_of(target);
        let wanted: Vec<_> = labels.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        self.manifests.find(&wanted)
    }
}

fn decode(entry: &ManifestEntry) -> Result<StoredPolicy> {
    let target = entry.labels.as_ref().map(target_of).unwrap_or_default();
    Ok(StoredPolicy { id: entry.id.clone(), target, policy: entry.decode().map_err(Error::Manifest)? })
}

impl Policy {
    /// Sets the policy of a target, unless it is so already. Says whether anything was written.
    ///
    /// # Errors
    /// [`Error`] when the policy contradicts itself or the stored one cannot be decoded.
    pub fn save(&self, target: &SourceInfo, writer: &mut RepositoryWriter<'_>) -> Result<bool> {
        self.validate(target)?;
        if PolicyStore::new(writer.manifests()).defined(target)?.as_ref() == Some(self) {
            return Ok(false);
        }
        writer.replace_manifest(labels_of(target), self);
        Ok(true)
    }
}

/// Removes the policy of a target. Says whether there was one.
pub fn remove_policy(target: &SourceInfo, writer: &mut RepositoryWriter<'_>) -> bool {
    let ids: Vec<_> =
        PolicyStore::new(writer.manifests()).find(target).into_iter().map(|entry| entry.id.clone()).collect();
    for id in &ids {
        writer.delete_manifest(id);
    }
    !ids.is_empty()
}
