//! What all stores of files are told, and how Go reads absent values.

use serde::{Deserialize, Deserializer};

/// How blobs are spread over folders.
///
/// Source: kopia `repo/blob/sharded/sharded_options.go`.
#[derive(Debug, Clone)]
pub(in crate::blob) struct ShardOptions {
    /// Widths of the folder names for a store without a `.shards` file.
    pub(super) dir_shards: Option<Vec<u32>>,
    /// Folders listed at once; 0 lets the store choose.
    pub(super) list_parallelism: u32,
}

impl ShardOptions {
    /// As the keys `dirShards` and `listParallelism` say.
    pub(in crate::blob) fn new(dir_shards: Option<Vec<u32>>, list_parallelism: u32) -> Self {
        Self { dir_shards, list_parallelism }
    }
}

/// `null` is the same as absent, as Go reads it.
pub(in crate::blob) fn nullable<'de, T: Default + Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}
