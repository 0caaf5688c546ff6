//! Kopia's JSON keys that all stores of files share, and how Go writes some values.

use serde::{Deserialize, Deserializer, Serialize};

/// How blobs are spread over folders.
///
/// Source: kopia `repo/blob/sharded/sharded_options.go`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ShardOptions {
    /// Widths of the folder names for a store without a `.shards` file; empty means flat.
    pub dir_shards: Option<Vec<u32>>,
    /// Folders listed at once; none or 0 lets the store choose.
    #[serde(skip_serializing_if = "is_unset")]
    pub list_parallelism: Option<u32>,
}

#[expect(clippy::ref_option, clippy::trivially_copy_pass_by_ref, reason = "serde asks for this signature")]
fn is_unset(value: &Option<u32>) -> bool {
    value.is_none_or(|value| value == 0)
}

/// `null` is the same as absent, as Go reads it.
pub(in crate::blob) fn nullable<'de, T: Default + Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}
