//! A snapshot as JSON for scripts, with Kopia's keys in Kopia's order.

use packhorse::base::Timestamp;
use packhorse::manifest::ManifestId;
use packhorse::snapshot::{DirEntry, SnapshotManifest, SnapshotStats, SourceInfo, StorageStats};
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// What is printed of a snapshot.
///
/// Source: kopia `snapshot/manifest.go`, `cli/command_snapshot_list.go`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SnapshotDocument<'a> {
    id: &'a ManifestId,
    source: &'a SourceInfo,
    description: &'a str,
    start_time: Timestamp,
    end_time: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    stats: Option<&'a SnapshotStats>,
    #[serde(rename = "incomplete", skip_serializing_if = "str::is_empty")]
    incomplete_reason: &'a str,
    root_entry: Option<&'a DirEntry>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    tags: &'a BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    storage_stats: Option<Usage<'a>>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pins: &'a [String],
    #[serde(rename = "retentionReason", skip_serializing_if = "<[_]>::is_empty")]
    retention_reasons: &'a [String],
}

/// What a snapshot takes: as stored in its manifest, or as counted now.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Usage<'a> {
    Stored(&'a Value),
    Counted(&'a StorageStats),
}

impl<'a> SnapshotDocument<'a> {
    /// The document of a snapshot and of the reasons why it is kept.
    pub(crate) fn new(snapshot: &'a SnapshotManifest, retention_reasons: &'a [String]) -> Self {
        Self {
            id: &snapshot.id,
            source: &snapshot.source,
            description: &snapshot.description,
            start_time: snapshot.start_time,
            end_time: snapshot.end_time,
            stats: Some(&snapshot.stats),
            incomplete_reason: &snapshot.incomplete_reason,
            root_entry: snapshot.root_entry.as_ref(),
            tags: &snapshot.tags,
            storage_stats: snapshot.storage_stats.as_ref().map(Usage::Stored),
            pins: &snapshot.pins,
            retention_reasons,
        }
    }

    /// The same with what was counted, if anything was.
    pub(crate) fn with_usage(mut self, counted: Option<&'a StorageStats>) -> Self {
        self.storage_stats = counted.map(Usage::Counted).or(self.storage_stats);
        self
    }

    /// The same without what the upload counted.
    pub(crate) fn without_stats(mut self) -> Self {
        self.stats = None;
        self
    }
}
