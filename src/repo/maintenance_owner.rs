//! The manifest that says who maintains a repository and how often.

use super::{ClientIdentity, Repository, RepositoryWriter, Result};
use crate::format::BlobConfig;
use crate::manifest::{Labels, ManifestEntry, ManifestStore};
use serde::{Deserialize, Serialize};

/// How much longer than the time between two full runs a lock must be that maintenance extends.
const RETENTION_MARGIN_NANOS: i64 = 24 * HOUR_NANOS;
const HOUR_NANOS: i64 = 3600 * 1_000_000_000;

/// One of the two maintenance cycles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct CycleParameters {
    /// Whether it runs at all.
    pub enabled: bool,
    /// Nanoseconds between two runs.
    pub interval: i64,
}

/// How long diagnostic logs are kept.
#[expect(clippy::struct_field_names, reason = "Kopia's names")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct LogRetention {
    /// Bytes in all.
    pub max_total_size: i64,
    /// Number of log blobs.
    pub max_count: i64,
    /// Nanoseconds.
    pub max_age: i64,
}

/// Payload of the manifest of type `maintenance`. Source: kopia `repo/maintenance/maintenance_params.go`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct MaintenanceParameters {
    /// `user@host` of the one client that may delete.
    pub owner: String,
    /// The quick cycle.
    #[serde(rename = "quick")]
    pub quick_cycle: CycleParameters,
    /// The full cycle.
    #[serde(rename = "full")]
    pub full_cycle: CycleParameters,
    /// Log retention.
    pub log_retention: LogRetention,
    /// Whether object locks are extended.
    pub extend_object_locks: bool,
    /// Parallel listings.
    pub list_parallelism: i64,
}

impl MaintenanceParameters {
    /// What a new repository gets, owned by its creator.
    pub fn default_for(owner: &ClientIdentity) -> Self {
        Self {
            owner: format!("{}@{}", owner.username, owner.hostname),
            quick_cycle: CycleParameters { enabled: true, interval: HOUR_NANOS },
            full_cycle: CycleParameters { enabled: true, interval: 24 * HOUR_NANOS },
            log_retention: LogRetention {
                max_total_size: 1 << 30,
                max_count: 10_000,
                max_age: 30 * 24 * HOUR_NANOS,
            },
            extend_object_locks: false,
            list_parallelism: 0,
        }
    }

    /// The parameters of the repository, the newest if there are several.
    ///
    /// # Errors
    /// [`Error::Manifest`](super::Error::Manifest) when they are none.
    pub fn load(manifests: &ManifestStore) -> Result<Option<Self>> {
        let newest =
            manifests.find(&[("type", "maintenance")]).into_iter().max_by_key(|entry| entry.modified);
        Ok(newest.map(ManifestEntry::decode).transpose()?)
    }

    /// Whether locks with these settings can be extended in time.
    ///
    /// # Errors
    /// [`Error::ShortRetention`](super::Error::ShortRetention).
    ///
    /// Source: kopia `repo/maintenance/blob_retain.go`, `CheckExtendRetention`.
    pub fn check_retention(&self, config: &BlobConfig) -> Result<()> {
        let margin = config.retention_period.saturating_sub(self.full_cycle.interval);
        if self.extend_object_locks && margin < RETENTION_MARGIN_NANOS {
            return Err(super::Error::ShortRetention);
        }
        Ok(())
    }

    /// Whether the repository has such parameters.
    pub fn exist_in(manifests: &ManifestStore) -> bool {
        !manifests.find(&[("type", "maintenance")]).is_empty()
    }

    /// Writes these parameters in place of any others.
    pub fn save(&self, writer: &mut RepositoryWriter<'_>) {
        let labels = Labels::from([("type".to_owned(), "maintenance".to_owned())]);
        writer.replace_manifest(labels, self);
    }

    /// Writes the defaults with this client as owner, if the repository has no parameters yet.
    pub fn ensure(repository: &Repository, writer: &mut RepositoryWriter<'_>) {
        if !Self::exist_in(writer.manifests()) {
            Self::default_for(repository.identity()).save(writer);
        }
    }
}
