//! The sections of a policy in which the most specific set value wins.

use super::field::section;

section! {
    /// How many snapshots are kept; see [`reasons`](crate::policy::reasons).
    RetentionPolicy, RetentionDefinition {
        /// The newest.
        keep_latest: Option<i64>,
        /// The newest of each hour.
        keep_hourly: Option<i64>,
        /// The newest of each day.
        keep_daily: Option<i64>,
        /// The newest of each week.
        keep_weekly: Option<i64>,
        /// The newest of each month.
        keep_monthly: Option<i64>,
        /// The newest of each year.
        keep_annual: Option<i64>,
        /// Whether a snapshot equal to the one before is not saved.
        ignore_identical_snapshots: Option<bool>,
    }
}

section! {
    /// Which files are left out.
    FilesPolicy, FilesDefinition {
        /// Wildcard rules; their order matters.
        ignore: Vec<String>,
        /// Without effect in Kopia 0.23.
        no_parent_ignore: bool,
        /// Names of files that hold more rules.
        ignore_dot_files: Vec<String>,
        /// Without effect in Kopia 0.23.
        no_parent_dot_files: bool,
        /// Whether directories marked by `CACHEDIR.TAG` are stored empty; unset means they are.
        ignore_cache_dirs: Option<bool>,
        /// Larger files are left out; bytes, 0 for no limit.
        max_file_size: i64,
        /// Whether mount points are left out; unset means they are not.
        one_file_system: Option<bool>,
    }
}

section! {
    /// Which failures do not count.
    ErrorHandlingPolicy, ErrorHandlingDefinition {
        /// Files, links and streams that cannot be read.
        ignore_file_errors: Option<bool>,
        /// Directories that cannot be read.
        ignore_directory_errors: Option<bool>,
        /// Devices, sockets and FIFOs; unset means they are ignored.
        ignore_unknown_types: Option<bool>,
    }
}

section! {
    /// The compressor of directory manifests and other metadata.
    MetadataCompressionPolicy, MetadataCompressionDefinition {
        /// Kopia's name; `none` and empty for none.
        compressor_name: String,
    }
}

impl MetadataCompressionPolicy {
    /// The compressor's name, empty for none.
    pub fn compressor(&self) -> &str {
        if self.compressor_name == "none" { "" } else { &self.compressor_name }
    }
}

section! {
    /// Where files are cut.
    SplitterPolicy, SplitterDefinition {
        /// Kopia's name; empty for the repository's default.
        algorithm: String,
    }
}

section! {
    /// How much runs at once.
    UploadPolicy, UploadDefinition {
        /// Snapshots at once in a server; not for paths.
        max_parallel_snapshots: Option<i64>,
        /// Files at once; unset means one for each processor.
        max_parallel_file_reads: Option<i64>,
        /// Larger files are uploaded in parts of this size; bytes.
        parallel_upload_above_size: Option<i64>,
    }
}

section! {
    /// How much is told of directories, 0 to 10.
    DirectoryLoggingPolicy, DirectoryLoggingDefinition {
        /// Of those saved.
        snapshotted: Option<i64>,
        /// Of those left out.
        ignored: Option<i64>,
    }
}

section! {
    /// How much is told of other entries, 0 to 10.
    EntryLoggingPolicy, EntryLoggingDefinition {
        /// Of those saved.
        snapshotted: Option<i64>,
        /// Of those left out.
        ignored: Option<i64>,
        /// Of those taken from the previous snapshot.
        cache_hit: Option<i64>,
        /// Of those that had to be read.
        cache_miss: Option<i64>,
    }
}

section! {
    /// Windows' shadow copies; no other system has them.
    VolumeShadowCopyPolicy, VolumeShadowCopyDefinition {
        /// 0 never, 1 always, 2 when available.
        enable: Option<u8>,
    }
}

/// Snapshots by the operating system.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct OsSnapshotPolicy {
    /// Windows' shadow copies.
    pub volume_shadow_copy: VolumeShadowCopyPolicy,
}

/// Which target gave each value of [`OsSnapshotPolicy`].
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OsSnapshotDefinition {
    /// Windows' shadow copies.
    pub volume_shadow_copy: VolumeShadowCopyDefinition,
}

/// What is told while a snapshot is made.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct LoggingPolicy {
    /// Of directories.
    pub directories: DirectoryLoggingPolicy,
    /// Of everything else.
    pub entries: EntryLoggingPolicy,
}

/// Which target gave each value of [`LoggingPolicy`].
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize)]
pub struct LoggingDefinition {
    /// Of directories.
    pub directories: DirectoryLoggingDefinition,
    /// Of everything else.
    pub entries: EntryLoggingDefinition,
}
