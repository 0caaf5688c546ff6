//! Policies as they lie in a repository.

use super::{
    Effective, Error, Policy, PolicyTree, Result, SourceInfo, effective, hierarchy, labels_of,
    nested_relative_path, target_of,
};
use crate::manifest::{ManifestEntry, ManifestId, ManifestStore};
use crate::repo::RepositoryWriter;
use std::collections::HashMap;

const TYPE: (&str, &str) = ("type", "policy");

/// Reads the policies among the manifests of a repository.
///
/// Made in one pass over all manifests; questions then cost nothing more, however many sources are asked for.
#[derive(Debug, Clone)]
pub struct PolicyStore<'a> {
    /// All policies, oldest first.
    entries: Vec<&'a ManifestEntry>,
    /// The same by target.
    by_target: HashMap<SourceInfo, Vec<&'a ManifestEntry>>,
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
        let entries = manifests.find(&[TYPE]);
        let mut by_target: HashMap<_, Vec<_>> = HashMap::new();
        for entry in &entries {
            by_target.entry(place_of(entry)).or_default().push(*entry);
        }
        Self { entries, by_target }
    }

    /// All policies, by target.
    ///
    /// # Errors
    /// [`Error::Manifest`] for one that cannot be decoded.
    pub fn list(&self) -> Result<Vec<StoredPolicy>> {
        let mut all = self.entries.iter().map(|entry| decode(entry)).collect::<Result<Vec<_>>>()?;
        all.sort_by_cached_key(|stored| stored.target.to_string());
        Ok(all)
    }

    /// The policy of a target itself; of several, the newest.
    ///
    /// # Errors
    /// [`Error::Manifest`] for one that cannot be decoded.
    pub fn defined(&self, target: &SourceInfo) -> Result<Option<Policy>> {
        self.find(target).last().map(|entry| decode(entry).map(|stored| stored.policy)).transpose()
    }

    /// The policy with a manifest id.
    ///
    /// # Errors
    /// [`Error::Manifest`] when there is none.
    pub fn by_id(&self, id: &ManifestId) -> Result<StoredPolicy> {
        let missing = || Error::Manifest(crate::manifest::Error::NotFound { id: id.clone() });
        decode(self.entries.iter().find(|entry| entry.id == *id).ok_or_else(missing)?)
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
        for entry in self.entries.iter().filter(|entry| entry.matches(&labels)) {
            let path = entry.label("path").unwrap_or_default();
            if let Some(relative) = nested_relative_path(&source.path, path) {
                nested.push((relative, decode(entry)?.policy));
            }
        }
        Ok(PolicyTree::new(root, nested))
    }

    /// The manifests of a target, oldest first.
    fn find(&self, target: &SourceInfo) -> &[&'a ManifestEntry] {
        self.by_target.get(target).map_or(&[], Vec::as_slice)
    }
}

/// Where a policy applies, by the labels that count for its kind.
fn place_of(entry: &ManifestEntry) -> SourceInfo {
    let label = |key| entry.label(key).unwrap_or_default();
    match label("policyType") {
        "path" => SourceInfo::new(label("username"), label("hostname"), label("path")),
        "user" => SourceInfo::new(label("username"), label("hostname"), ""),
        "host" => SourceInfo::new("", label("hostname"), ""),
        _ => SourceInfo::default(),
    }
}

fn decode(entry: &ManifestEntry) -> Result<StoredPolicy> {
    let target = entry.labels.as_deref().map(target_of).unwrap_or_default();
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
        PolicyStore::new(writer.manifests()).find(target).iter().map(|entry| entry.id.clone()).collect();
    for id in &ids {
        writer.delete_manifest(id);
    }
    !ids.is_empty()
}
