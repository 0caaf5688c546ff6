//! Where the cache is and how large it may become.

use std::path::PathBuf;
use std::time::Duration;

/// The folder of this program inside the cache folder of a connection.
pub const SUBFOLDER: &str = "packhorse";

/// The folder in that one for files that have no name yet.
pub const TEMPORARY: &str = "tmp";

/// Limits of a part of the cache. In no case does it take more than a quarter of the room that is free without it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CacheLimits {
    /// Bytes it should have; what is young may exceed them. 0 for nothing.
    pub soft_bytes: u64,
    /// Bytes it must not exceed, if there is such a limit.
    pub hard_bytes: Option<u64>,
    /// What was used within this time stays, unless the hard limit or the room wants it gone.
    pub sweep_age: Duration,
}

/// A cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheOptions {
    /// The cache folder of the connection; only [`SUBFOLDER`] in it is used.
    pub folder: PathBuf,
    /// Index blobs and packs of directories.
    pub metadata: CacheLimits,
    /// Parts of packs of files, as far as small contents are read from them.
    pub contents: CacheLimits,
}

impl CacheOptions {
    /// How long metadata stays.
    ///
    /// Source: kopia `repo/content/committed_read_manager.go`, `DefaultMetadataCacheSweepAge`.
    pub const METADATA_SWEEP_AGE: Duration = Duration::from_hours(24);
    /// How long contents stay.
    ///
    /// Source: kopia `repo/content/committed_read_manager.go`, `DefaultDataCacheSweepAge`.
    pub const CONTENT_SWEEP_AGE: Duration = Duration::from_mins(10);
}
