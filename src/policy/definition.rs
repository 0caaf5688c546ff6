//! A whole policy, and who gave each of its values.

use super::json;
use super::{
    ActionsDefinition, ActionsPolicy, CompressionDefinition, CompressionPolicy, DirectoryLoggingPolicy,
    EntryLoggingPolicy, Error, ErrorHandlingDefinition, ErrorHandlingPolicy, FilesDefinition, FilesPolicy,
    LoggingDefinition, LoggingPolicy, MetadataCompressionDefinition, MetadataCompressionPolicy,
    OsSnapshotDefinition, OsSnapshotPolicy, Result, RetentionDefinition, RetentionPolicy,
    SchedulingDefinition, SchedulingPolicy, SplitterDefinition, SplitterPolicy, UploadDefinition,
    UploadPolicy, VolumeShadowCopyPolicy,
};
use crate::source::IgnorePolicy;
use serde::{Deserialize, Serialize};

/// A policy as stored for one target, or merged for a source.
///
/// Serialises as Kopia does: every section present, every unset value left out. Reads as Go's decoder does: keys in any
/// case, unknown keys passed over, `null` for unset.
///
/// Source: kopia `snapshot/policy/policy.go` (`Policy`).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, remote = "Self")]
pub struct Policy {
    /// How many snapshots are kept.
    pub retention: RetentionPolicy,
    /// Which files are left out.
    pub files: FilesPolicy,
    /// Which failures do not count.
    pub error_handling: ErrorHandlingPolicy,
    /// When a server makes snapshots.
    pub scheduling: SchedulingPolicy,
    /// How files are compressed.
    pub compression: CompressionPolicy,
    /// How metadata is compressed.
    pub metadata_compression: MetadataCompressionPolicy,
    /// Where files are cut.
    pub splitter: SplitterPolicy,
    /// Commands run around snapshots.
    pub actions: ActionsPolicy,
    /// Snapshots by the operating system.
    pub os_snapshots: OsSnapshotPolicy,
    /// What is told meanwhile.
    pub logging: LoggingPolicy,
    /// How much runs at once.
    pub upload: UploadPolicy,
    /// Whether nothing is inherited, not even built-in values.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub no_parent: bool,
}

impl Serialize for Policy {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Self::serialize(self, serializer)
    }
}

impl<'de> Deserialize<'de> for Policy {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let folded = json::fold(serde_json::Value::deserialize(deserializer)?)
            .ok_or_else(|| serde::de::Error::custom(MISPLACED_LIST))?;
        Self::deserialize(folded.value).map_err(serde::de::Error::custom)
    }
}

const MISPLACED_LIST: &str = "a list where a policy has none";

impl Policy {
    /// Reads what a person wrote: a key that no policy has is an error, for it is likely a slip of the pen.
    ///
    /// # Errors
    /// [`Error::UnknownKey`], [`Error::Json`].
    pub fn from_strict_json(value: serde_json::Value) -> Result<Self> {
        use serde::de::Error as _;
        let misplaced = || Error::Json { source: serde_json::Error::custom(MISPLACED_LIST) };
        let folded = json::fold(value).ok_or_else(misplaced)?;
        match folded.unknown {
            Some(key) => Err(Error::UnknownKey { key }),
            None => Self::deserialize(folded.value).map_err(|source| Error::Json { source }),
        }
    }

    /// The values that hold where no policy says otherwise; also stored as the global policy of a new repository.
    ///
    /// Source: kopia `snapshot/policy/policy_tree.go`.
    pub fn built_in() -> Self {
        Self {
            retention: RetentionPolicy {
                keep_latest: Some(10),
                keep_hourly: Some(48),
                keep_daily: Some(7),
                keep_weekly: Some(4),
                keep_monthly: Some(24),
                keep_annual: Some(3),
                ignore_identical_snapshots: Some(false),
            },
            files: FilesPolicy { ignore_dot_files: vec![".kopiaignore".to_owned()], ..Default::default() },
            error_handling: ErrorHandlingPolicy {
                ignore_file_errors: Some(false),
                ignore_directory_errors: Some(false),
                ignore_unknown_types: Some(true),
            },
            scheduling: SchedulingPolicy { run_missed: Some(true), ..Default::default() },
            compression: CompressionPolicy { compressor_name: "none".to_owned(), ..Default::default() },
            metadata_compression: MetadataCompressionPolicy { compressor_name: "zstd-fastest".to_owned() },
            os_snapshots: OsSnapshotPolicy { volume_shadow_copy: VolumeShadowCopyPolicy { enable: Some(0) } },
            logging: LoggingPolicy {
                directories: DirectoryLoggingPolicy { snapshotted: Some(5), ignored: Some(5) },
                entries: EntryLoggingPolicy {
                    snapshotted: Some(0),
                    ignored: Some(5),
                    cache_hit: Some(0),
                    cache_miss: Some(0),
                },
            },
            upload: UploadPolicy {
                max_parallel_snapshots: Some(1),
                parallel_upload_above_size: Some(2 << 30),
                ..Default::default()
            },
            ..Default::default()
        }
    }

    /// What this policy, defined for a directory, says of the files to leave out.
    pub fn ignore_policy(&self) -> IgnorePolicy {
        IgnorePolicy {
            ignore: self.files.ignore.clone(),
            ignore_files: self.files.ignore_dot_files.clone(),
            max_file_size: self.files.max_file_size,
            one_file_system: self.files.one_file_system.unwrap_or(false),
        }
    }
}

/// Which target gave each value of a merged policy; all empty for built-in values.
///
/// Source: kopia `snapshot/policy/policy.go` (`Definition`).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Definition {
    /// How many snapshots are kept.
    pub retention: RetentionDefinition,
    /// Which files are left out.
    pub files: FilesDefinition,
    /// Which failures do not count.
    pub error_handling: ErrorHandlingDefinition,
    /// When a server makes snapshots.
    pub scheduling: SchedulingDefinition,
    /// How files are compressed.
    pub compression: CompressionDefinition,
    /// How metadata is compressed.
    pub metadata_compression: MetadataCompressionDefinition,
    /// Where files are cut.
    pub splitter: SplitterDefinition,
    /// Commands run around snapshots.
    pub actions: ActionsDefinition,
    /// Snapshots by the operating system.
    pub os_snapshots: OsSnapshotDefinition,
    /// What is told meanwhile.
    pub logging: LoggingDefinition,
    /// How much runs at once.
    pub upload: UploadDefinition,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::gojson;

    const EMPTY: &str = concat!(
        r#"{"retention":{},"files":{},"errorHandling":{},"scheduling":{},"compression":{},"metadataCompression":{},"#,
        r#""splitter":{},"actions":{},"osSnapshots":{"volumeShadowCopy":{}},"#,
        r#""logging":{"directories":{},"entries":{}},"upload":{}}"#
    );

    const BUILT_IN: &str = concat!(
        r#"{"retention":{"keepLatest":10,"keepHourly":48,"keepDaily":7,"keepWeekly":4,"keepMonthly":24,"keepAnnual":3,"#,
        r#""ignoreIdenticalSnapshots":false},"files":{"ignoreDotFiles":[".kopiaignore"]},"#,
        r#""errorHandling":{"ignoreFileErrors":false,"ignoreDirectoryErrors":false,"ignoreUnknownTypes":true},"#,
        r#""scheduling":{"runMissed":true},"compression":{"compressorName":"none"},"#,
        r#""metadataCompression":{"compressorName":"zstd-fastest"},"splitter":{},"actions":{},"#,
        r#""osSnapshots":{"volumeShadowCopy":{"enable":0}},"logging":{"directories":{"snapshotted":5,"ignored":5},"#,
        r#""entries":{"snapshotted":0,"ignored":5,"cacheHit":0,"cacheMiss":0}},"#,
        r#""upload":{"maxParallelSnapshots":1,"parallelUploadAboveSize":2147483648}}"#
    );

    fn text(policy: &Policy) -> String {
        String::from_utf8(gojson::to_vec(policy).unwrap()).unwrap()
    }

    #[test]
    fn serialises_as_kopia_does() {
        assert_eq!(text(&Policy::default()), EMPTY);
        assert_eq!(text(&Policy::built_in()), BUILT_IN);
        for sample in [EMPTY, BUILT_IN] {
            assert_eq!(text(&serde_json::from_str(sample).unwrap()), sample);
        }
    }

    #[test]
    fn what_people_write_is_read_strictly() {
        let read = |text: &str| Policy::from_strict_json(serde_json::from_str(text).unwrap());
        assert_eq!(read(BUILT_IN).unwrap(), Policy::built_in());
        for text in [
            r#"{"retention":{"keepLates":3}}"#,
            r#"{"retention":{"ignore":["x"]}}"#,
            r#"{"actions":{"beforeFolder":{"command":"x"}}}"#,
            r#"{"scheduling":{"timeOfDay":[{"hour":1,"minute":2}]}}"#,
            r#"{"keepLatest":3}"#,
        ] {
            assert!(matches!(read(text), Err(Error::UnknownKey { .. })), "{text}");
        }
        assert!(matches!(read(r#"{"retention":{"keepLatest":"x"}}"#), Err(Error::Json { .. })));
        assert!(matches!(read("[]"), Err(Error::Json { .. })));
    }

    #[test]
    fn reads_as_go_does() {
        let sample = r#"{"Retention":{"KEEPLATEST":3,"keepDaily":null},"unknown":{"x":[1]},"files":null,
            "actions":{"beforeFolder":{"Path":"/x"},"afterFolder":null},"NoParent":true}"#;
        let policy: Policy = serde_json::from_str(sample).unwrap();
        assert_eq!(policy.retention.keep_latest, Some(3));
        assert_eq!(policy.retention.keep_daily, None);
        assert_eq!(policy.actions.before_folder.unwrap().path, "/x");
        assert!(policy.actions.after_folder.is_none() && policy.no_parent);
        for bad in [
            "[]",
            r#"{"retention":{"keepLatest":1.5}}"#,
            r#"{"files":{"ignore":"x"}}"#,
            r#"{"files":3}"#,
            r#"{"retention":[1]}"#,
            r#"{"scheduling":{"timeOfDay":[[1,2]]}}"#,
        ] {
            assert!(serde_json::from_str::<Policy>(bad).is_err(), "{bad}");
        }
    }
}
