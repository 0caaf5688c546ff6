//! Snapshot manifests.
//!
//! Source: kopia `snapshot/manifest.go`.

use super::DirEntry;
use super::dir_entry::null_is_empty;
use crate::base::{ExtraFields, Timestamp, keeps_extra_fields};
use crate::manifest::{Labels, ManifestId};
use crate::policy::SourceInfo;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Label value of snapshot manifests.
pub(super) const TYPE: &str = "snapshot";

/// What an upload counted. Totals to show are in the root entry's summary, not here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct SnapshotStats {
    /// Bytes of files read this time and of entries taken over.
    pub total_size: i64,
    /// Bytes of files left out by rules.
    pub excluded_total_size: i64,
    /// Files read this time.
    pub file_count: i32,
    /// Files and links taken over from a previous snapshot.
    pub cached_files: i32,
    /// Files that had to be read.
    pub non_cached_files: i32,
    /// Directories, the root included.
    pub dir_count: i32,
    /// Files left out by rules.
    pub excluded_file_count: i32,
    /// Directories left out by rules.
    pub excluded_dir_count: i32,
    /// Failures that the policy forgives.
    pub ignored_error_count: i32,
    /// Failures that count.
    pub error_count: i32,
}

/// One snapshot.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", remote = "Self")]
pub struct SnapshotManifest {
    /// The manifest's id once loaded; stored empty.
    #[serde(default)]
    pub id: ManifestId,
    /// Whose it is.
    pub source: SourceInfo,
    /// Free text.
    #[serde(default)]
    pub description: String,
    /// When the upload began.
    #[serde(default)]
    pub start_time: Timestamp,
    /// When it ended.
    #[serde(default)]
    pub end_time: Timestamp,
    /// What the upload counted.
    #[serde(default)]
    pub stats: SnapshotStats,
    /// Why it is not complete; empty when it is.
    #[serde(rename = "incomplete", default, skip_serializing_if = "String::is_empty")]
    pub incomplete_reason: String,
    /// The root of the tree.
    #[serde(default)]
    pub root_entry: Option<DirEntry>,
    /// Tags, keys with their prefix `tag:`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "null_is_empty_map")]
    pub tags: BTreeMap<String, String>,
    /// Computed statistics, kept as they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage_stats: Option<Value>,
    /// Names under which it is kept from expiry.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_empty")]
    pub pins: Vec<String>,
    /// What others have written here, kept.
    #[serde(flatten, skip_deserializing)]
    pub extra: ExtraFields,
}

keeps_extra_fields!(SnapshotManifest);

fn null_is_empty_map<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> std::result::Result<BTreeMap<String, String>, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

impl SnapshotManifest {
    /// Whether the whole source is in it.
    pub fn is_complete(&self) -> bool {
        self.incomplete_reason.is_empty()
    }

    /// Sets and then removes pins, which end up sorted and distinct. Says whether any came or went.
    ///
    /// Source: kopia `snapshot/manifest.go` (`UpdatePins`).
    pub fn update_pins(&mut self, add: &[String], remove: &[String]) -> bool {
        let before: BTreeSet<String> = self.pins.drain(..).collect();
        let mut after = before.clone();
        after.extend(add.iter().cloned());
        for pin in remove {
            after.remove(pin);
        }
        let is_changed = after != before;
        self.pins = after.into_iter().collect();
        is_changed
    }

    /// The labels it is found by.
    pub fn labels(&self) -> Labels {
        let mut labels = source_labels(&self.source);
        labels.extend(self.tags.clone());
        labels
    }

    /// Failures that count, in the whole tree.
    pub fn fatal_errors(&self) -> u64 {
        self.root_entry.as_ref().and_then(|root| root.summ.as_ref()).map_or(0, |summary| summary.num_failed)
    }

    /// Failures that the policy forgave, in the whole tree.
    pub fn ignored_errors(&self) -> u64 {
        self.root_entry
            .as_ref()
            .and_then(|root| root.summ.as_ref())
            .map_or(0, |summary| summary.num_ignored_errors)
    }
}

/// The labels of all snapshots of a source.
pub(super) fn source_labels(source: &SourceInfo) -> Labels {
    Labels::from([
        ("type".to_owned(), TYPE.to_owned()),
        ("hostname".to_owned(), source.host.clone()),
        ("username".to_owned(), source.user_name.clone()),
        ("path".to_owned(), source.path.clone()),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::gojson;

    #[test]
    fn what_others_have_added_survives_a_rewrite() {
        let json = concat!(
            r#"{"id":"","source":{"host":"h","userName":"u","path":"/p"},"description":"","#,
            r#""startTime":"2024-01-02T03:04:05Z","endTime":"2024-01-02T03:04:06Z","stats":{"totalSize":0,"#,
            r#""excludedTotalSize":0,"fileCount":0,"cachedFiles":0,"nonCachedFiles":0,"dirCount":0,"#,
            r#""excludedFileCount":0,"excludedDirCount":0,"ignoredErrorCount":0,"errorCount":0},"#,
            r#""rootEntry":{"name":"p","type":"d","mode":"0755","obj":"kabcd","new":0},"pins":["x"],"next":{"a":1}}"#
        );
        let manifest: SnapshotManifest = serde_json::from_str(json).unwrap();
        assert_eq!(String::from_utf8(gojson::to_vec(&manifest).unwrap()).unwrap(), json);
    }

    #[test]
    fn pins_are_a_sorted_set() {
        let json = r#"{"source":{"host":"h","userName":"u","path":"/p"},"pins":["b"]}"#;
        let mut manifest: SnapshotManifest = serde_json::from_str(json).unwrap();
        let pins = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
        assert!(manifest.update_pins(&pins(&["c", "a", "a"]), &[]));
        assert_eq!(manifest.pins, ["a", "b", "c"]);
        assert!(!manifest.update_pins(&pins(&["a"]), &pins(&["none"])));
        assert!(manifest.update_pins(&[], &pins(&["b", "none"])));
        assert_eq!(manifest.pins, ["a", "c"]);
    }

    #[test]
    fn manifests_of_old_releases_lack_fields() {
        let json = r#"{"source":{"host":"h","userName":"u","path":"/p"},"startTime":"2019-01-02T03:04:05Z"}"#;
        let manifest: SnapshotManifest = serde_json::from_str(json).unwrap();
        assert!(manifest.is_complete() && manifest.root_entry.is_none() && manifest.pins.is_empty());
        assert_eq!(manifest.end_time, Timestamp::default());
    }
}
