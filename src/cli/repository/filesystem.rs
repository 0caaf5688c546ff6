//! Flags of a repository in a folder.

#![expect(clippy::doc_markdown, reason = "doc comments of flags are their help, which shows no backticks")]

use crate::cli::Result;
use crate::cli::environment::Environment;
use crate::cli::exit::Failure;
use packhorse::blob::{ConnectionInfo, FilesystemOptions, require_mount};
use serde_json::{Map, Number, Value};
use std::path::PathBuf;

const FILE_MODE: u32 = 0o600;
const DIR_MODE: u32 = 0o700;
/// Folder widths of repositories of format version 1.
pub(super) const WIDTHS_V1: [u32; 2] = [3, 3];

/// Flags of the provider.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Folder of the repository, absolute.
    #[arg(long)]
    path: PathBuf,
    /// Owner of new files (as root, and together with --owner-gid).
    #[arg(long, value_name = "USER")]
    owner_uid: Option<String>,
    /// Group of new files.
    #[arg(long, value_name = "GROUP")]
    owner_gid: Option<String>,
    /// Permissions of new files, in octal (0600).
    #[arg(long, value_name = "MODE")]
    file_mode: Option<String>,
    /// Permissions of new folders, in octal (0700).
    #[arg(long, value_name = "MODE")]
    dir_mode: Option<String>,
    /// Refuse a folder that is on no mounted volume [env: PACKHORSE_REQUIRE_MOUNT]
    #[arg(long)]
    require_mount: bool,
    /// Keep all files in one folder.
    #[arg(long)]
    flat: bool,
    /// Folders listed at once.
    #[arg(long, hide = true, value_name = "N")]
    list_parallelism: Option<u32>,
    /// Bytes to read from the repository per second, at most.
    #[arg(long, value_name = "BYTES_PER_SEC")]
    max_download_speed: Option<f64>,
    /// Bytes to write to the repository per second, at most.
    #[arg(long, value_name = "BYTES_PER_SEC")]
    max_upload_speed: Option<f64>,
}

impl Args {
    /// The store as a connection file describes it. `version` is the format version of a repository about to be made.
    pub(super) fn connection(
        &self,
        environment: &Environment,
        version: Option<u8>,
    ) -> Result<ConnectionInfo> {
        let path = environment.with_home(&self.path);
        if !path.is_absolute() {
            return Err(Failure::usage(format!("--path: {} is not an absolute path", path.display())));
        }
        if self.require_mount || environment.require_mount == Some(true) {
            require_mount(&path)?;
        }
        let mut options = FilesystemOptions::new(path);
        options.file_mode = Some(octal(self.file_mode.as_deref()).unwrap_or(FILE_MODE));
        options.dir_mode = Some(octal(self.dir_mode.as_deref()).unwrap_or(DIR_MODE));
        options.uid = self.owner_uid.as_deref().and_then(|uid| uid.parse().ok());
        options.gid = self.owner_gid.as_deref().and_then(|gid| gid.parse().ok());
        options.dir_shards = match (self.flat, version) {
            (true, _) => Some(Vec::new()),
            (false, Some(1)) => Some(WIDTHS_V1.to_vec()),
            _ => None,
        };
        options.list_parallelism = self.list_parallelism;
        keep_speed(&mut options.throttling, "maxDownloadSpeedBytesPerSecond", self.max_download_speed);
        keep_speed(&mut options.throttling, "maxUploadSpeedBytesPerSecond", self.max_upload_speed);
        Ok(ConnectionInfo::filesystem(&options)?)
    }
}

/// A mode in octal; what is none counts as not given, as in Kopia.
fn octal(text: Option<&str>) -> Option<u32> {
    u32::from_str_radix(text?, 8).ok()
}

/// Notes a limit for Kopia.
pub(super) fn keep_speed(limits: &mut Map<String, Value>, key: &str, speed: Option<f64>) {
    if let Some(number) = speed.filter(|speed| *speed > 0.0).and_then(number) {
        limits.insert(key.to_owned(), Value::Number(number));
    }
}

/// A number as Go writes it: whole numbers without a fraction.
pub(super) fn number(value: f64) -> Option<Number> {
    if value.fract() == 0.0 && value.abs() < 9e15 {
        Some(Number::from(value as i64))
    } else {
        Number::from_f64(value)
    }
}
