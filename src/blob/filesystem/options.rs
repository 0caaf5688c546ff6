//! How a file-system store is configured: Kopia's JSON keys.

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};
use std::path::PathBuf;

/// Mode of new files when none is given.
const DEFAULT_FILE_MODE: u32 = 0o600;
/// Mode of new folders when none is given.
const DEFAULT_DIR_MODE: u32 = 0o700;
/// Go keeps its own flags above the permission bits; only the bits mean anything here.
const PERMISSION_BITS: u32 = 0o777;

/// The throttling keys Kopia keeps among the options of every store.
const THROTTLING_KEYS: [&str; 7] = [
    "readsPerSecond",
    "writesPerSecond",
    "listsPerSecond",
    "maxUploadSpeedBytesPerSecond",
    "maxDownloadSpeedBytesPerSecond",
    "concurrentReads",
    "concurrentWrites",
];

/// Options of a [`Filesystem`](super::Filesystem) store, as they stand in a connection file.
///
/// Unknown keys are dropped, `null` is the same as absent.
///
/// Source: kopia `repo/blob/filesystem/filesystem_options.go`, `repo/blob/sharded/sharded_options.go`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FilesystemOptions {
    /// Root folder, absolute.
    pub path: PathBuf,
    /// Permission bits of new files, whatever the umask; none or 0 means 0600 before the umask.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub file_mode: Option<u32>,
    /// Permission bits of new folders, whatever the umask; none or 0 means 0700 before the umask.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub dir_mode: Option<u32>,
    /// Owner of new files and folders; takes effect for root only, and only together with `gid`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<u32>,
    /// Group of new files and folders; for root and, other than with Kopia, for members of the group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gid: Option<u32>,
    /// Widths of the folder names for a store without a `.shards` file; empty means flat.
    #[serde(default)]
    pub dir_shards: Option<Vec<u32>>,
    /// Folders listed at once; none or 0 lets the store choose.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub list_parallelism: Option<u32>,
    /// Throttling limits, which this store does not apply but keeps for the next writer of the file.
    #[serde(flatten, deserialize_with = "throttling_only")]
    pub throttling: Map<String, Value>,
}

impl FilesystemOptions {
    /// Options for a store at `path`, all else by default.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), ..Self::default() }
    }

    pub(super) fn file_mode_bits(&self) -> u32 {
        self.wanted_file_mode().unwrap_or(DEFAULT_FILE_MODE)
    }

    pub(super) fn dir_mode_bits(&self) -> u32 {
        self.wanted_dir_mode().unwrap_or(DEFAULT_DIR_MODE)
    }

    /// The bits that were asked for.
    pub(super) fn wanted_file_mode(&self) -> Option<u32> {
        self.file_mode.filter(|mode| *mode != 0).map(|mode| mode & PERMISSION_BITS)
    }

    /// The bits that were asked for.
    pub(super) fn wanted_dir_mode(&self) -> Option<u32> {
        self.dir_mode.filter(|mode| *mode != 0).map(|mode| mode & PERMISSION_BITS)
    }
}

#[expect(
    clippy::ref_option,
    clippy::trivially_copy_pass_by_ref,
    reason = "the signature serde's skip_serializing_if asks for"
)]
fn is_zero(value: &Option<u32>) -> bool {
    value.is_none_or(|value| value == 0)
}

fn throttling_only<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Map<String, Value>, D::Error> {
    let mut keys = Map::<String, Value>::deserialize(deserializer)?;
    keys.retain(|key, _| THROTTLING_KEYS.contains(&key.as_str()));
    Ok(keys)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::gojson;

    #[test]
    fn keeps_what_kopia_writes_and_drops_the_rest() {
        let text = r#"{"path":"/r","fileMode":384,"dirMode":448,"dirShards":null,"concurrentReads":4,"readsPerSecond":1.5}"#;
        let options: FilesystemOptions = serde_json::from_str(text).unwrap();
        assert_eq!(options.file_mode, Some(384));
        assert_eq!(options.dir_shards, None);
        assert_eq!(String::from_utf8(gojson::to_vec(&options).unwrap()).unwrap(), text);

        let odd = r#"{"path":"/r","fileMode":0,"uid":7,"gid":null,"dirShards":[],"listParallelism":3,"what":{"is":"this"}}"#;
        let options: FilesystemOptions = serde_json::from_str(odd).unwrap();
        assert_eq!(options.file_mode_bits(), 0o600);
        assert_eq!(
            String::from_utf8(gojson::to_vec(&options).unwrap()).unwrap(),
            r#"{"path":"/r","uid":7,"dirShards":[],"listParallelism":3}"#
        );
        assert!(serde_json::from_str::<FilesystemOptions>("{}").is_err(), "a path is required");
    }

    #[test]
    fn modes_have_defaults_and_no_flags() {
        let mut options = FilesystemOptions::new("/r");
        assert_eq!((options.file_mode_bits(), options.dir_mode_bits()), (0o600, 0o700));
        (options.file_mode, options.dir_mode) = (Some(0o100_640), Some(0x8000_0000 | 0o750));
        assert_eq!((options.file_mode_bits(), options.dir_mode_bits()), (0o640, 0o750));
    }
}
