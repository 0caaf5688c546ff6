//! From a description in a connection file to an open store.

use super::backoff::Backoff;
use super::remote::Timeouts;
use super::{
    Error, Filesystem, FilesystemOptions, Result, Retrying, S3, S3Options, Storage, object_store, sftp,
    webdav,
};
use crate::base::{Clock, OsEntropy};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The type string of [`Filesystem`].
const FILESYSTEM: &str = "filesystem";
/// The type string of [`S3`].
const S3_KIND: &str = "s3";
/// The type string of containers in Azure.
const AZURE: &str = "azureBlob";
/// The type string of buckets in Google's cloud.
const GCS: &str = "gcs";
/// Kopia's stores that this program does not open, and what to do instead.
const REFUSED: [(&str, &str); 3] = [
    ("b2", "B2's own protocol: connect to the same bucket as s3, with --endpoint s3.REGION.backblazeb2.com"),
    ("gdrive", "Google Drive: move the repository to another store"),
    ("rclone", "starting rclone: start rclone serve webdav yourself, and connect to it as webdav"),
];
/// The type string of SFTP servers.
const SFTP: &str = "sftp";
/// The type string of WebDAV servers.
const WEBDAV: &str = "webdav";

/// Attempts to open a network store: few, for somebody may be waiting who has mistyped a host.
const OPENING: Backoff = Backoff::of_attempts(4);

/// Which store, and with which options: `{"type": …, "config": …}`.
///
/// The options stay as they were read, so that options this program does not know survive a rewrite.
///
/// Source: kopia `repo/blob/config.go`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ConnectionInfo {
    /// Kopia's name for the kind of store.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its options.
    pub config: serde_json::Value,
}

impl ConnectionInfo {
    /// Describes a file-system store.
    ///
    /// # Errors
    /// [`Error::Options`] when the path is not Unicode, which JSON cannot hold.
    pub fn filesystem(options: &FilesystemOptions) -> Result<Self> {
        Ok(Self {
            kind: FILESYSTEM.to_owned(),
            config: serde_json::to_value(options).map_err(|source| unusable(FILESYSTEM, source))?,
        })
    }

    /// Describes a store of any kind by Kopia's name for the kind, and its options.
    ///
    /// # Errors
    /// [`Error::Options`] when the options cannot be written as JSON.
    pub fn of(kind: &str, options: &impl Serialize) -> Result<Self> {
        let config = serde_json::to_value(options).map_err(|source| unusable(kind, source))?;
        Ok(Self { kind: kind.to_owned(), config })
    }

    /// Describes a store in a bucket.
    ///
    /// # Errors
    /// [`Error::Options`] when the options cannot be written as JSON.
    pub fn s3(options: &S3Options) -> Result<Self> {
        Ok(Self {
            kind: S3_KIND.to_owned(),
            config: serde_json::to_value(options).map_err(|source| unusable(S3_KIND, source))?,
        })
    }
}

/// Whether a repository is about to be created in the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenMode {
    /// The store may be made, with today's layout.
    Create,
    /// The store must be there.
    Connect,
}

/// Opens the store that `info` describes.
///
/// # Errors
/// [`Error::UnknownStore`] for types this program does not have, [`Error::Options`] for options that cannot be read, or
/// what the store says.
pub fn open(info: &ConnectionInfo, mode: OpenMode, clock: Arc<dyn Clock>) -> Result<Arc<dyn Storage>> {
    match info.kind.as_str() {
        FILESYSTEM => {
            let options = FilesystemOptions::deserialize(&info.config)
                .map_err(|source| unusable(FILESYSTEM, source))?;
            Ok(Arc::new(match mode {
                OpenMode::Create => Filesystem::create(options, clock)?,
                OpenMode::Connect => Filesystem::open(options, clock)?,
            }))
        }
        S3_KIND => {
            let options = S3Options::deserialize(&info.config).map_err(|source| unusable(S3_KIND, source))?;
            network(clock, |clock| S3::open(options.clone(), Timeouts::DEFAULT, clock))
        }
        AZURE => network(clock, |_| object_store::open_azure(&read(info)?, Timeouts::DEFAULT)),
        GCS => network(clock, |_| object_store::open_gcs(&read(info)?, Timeouts::DEFAULT)),
        SFTP => network(clock, |clock| sftp::open(read(info)?, mode, Timeouts::DEFAULT, clock)),
        WEBDAV => network(clock, |clock| webdav::open(read(info)?, mode, Timeouts::DEFAULT, clock)),
        kind => match REFUSED.iter().find(|(refused, _)| *refused == kind) {
            Some((_, option)) => Err(Error::Unsupported { option }),
            None => Err(Error::UnknownStore { kind: kind.to_owned() }),
        },
    }
}

fn read<T: serde::de::DeserializeOwned>(info: &ConnectionInfo) -> Result<T> {
    T::deserialize(&info.config).map_err(|source| unusable(&info.kind, source))
}

/// A store behind a network: opened in a few attempts, and calls are tried again.
fn network(
    clock: Arc<dyn Clock>,
    open: impl Fn(Arc<dyn Clock>) -> Result<Arc<dyn Storage>>,
) -> Result<Arc<dyn Storage>> {
    let store = OPENING.run(&*clock, || open(Arc::clone(&clock)))?;
    Ok(Arc::new(Retrying::with_jitter(store, clock, Arc::new(OsEntropy))))
}

fn unusable(kind: &str, source: serde_json::Error) -> Error {
    Error::Options { kind: kind.to_owned(), source }
}
