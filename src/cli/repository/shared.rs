//! Flags that several providers have.

use super::filesystem::{WIDTHS_V1, keep_speed};
use packhorse::blob::ConnectionInfo;
use serde_json::Value;

/// How blobs are spread over folders.
#[derive(Debug, clap::Args)]
pub(super) struct Shards {
    /// Keep all files in one folder.
    #[arg(long)]
    flat: bool,
    /// Folders listed at once.
    #[arg(long, hide = true, value_name = "N", default_value_t = 0)]
    pub(super) list_parallelism: u32,
}

impl Shards {
    /// Widths of the folder names; `version` is the format version of a repository about to be made.
    pub(super) fn widths(&self, version: Option<u8>) -> Option<Vec<u32>> {
        match (self.flat, version) {
            (true, _) => Some(Vec::new()),
            (false, Some(1)) => Some(WIDTHS_V1.to_vec()),
            _ => None,
        }
    }
}

/// Limits that are kept in the connection for Kopia.
#[derive(Debug, clap::Args)]
pub(super) struct Speeds {
    /// Kept in the connection for Kopia; not applied here.
    #[arg(long, hide = true, value_name = "BYTES_PER_SEC")]
    max_download_speed: Option<f64>,
    /// Kept in the connection for Kopia; not applied here.
    #[arg(long, hide = true, value_name = "BYTES_PER_SEC")]
    max_upload_speed: Option<f64>,
}

impl Speeds {
    /// Notes the limits among the options of a store.
    pub(super) fn note(&self, mut info: ConnectionInfo) -> ConnectionInfo {
        if let Value::Object(config) = &mut info.config {
            keep_speed(config, "maxDownloadSpeedBytesPerSecond", self.max_download_speed);
            keep_speed(config, "maxUploadSpeedBytesPerSecond", self.max_upload_speed);
        }
        info
    }
}
