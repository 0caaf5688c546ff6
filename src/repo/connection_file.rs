//! `repository.config`: how a client finds its repository again, shared with Kopia.
//!
//! Source: kopia `repo/local_config.go`. Unknown keys are kept when the file is rewritten.

use super::{Error, Result};
use crate::base::file;
use crate::base::gojson::{self, is_zero};
use crate::blob::{ConnectionInfo, Limits};
use crate::cache::{CacheLimits, CacheOptions};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Number, Value};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Mode of a new connection file.
const FILE_MODE: u32 = 0o600;

/// Local caches.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct CachingOptions {
    /// Folder, relative to the connection file's folder where that is possible.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub cache_directory: String,
    /// Soft limit of the content cache in bytes.
    #[serde(skip_serializing_if = "is_zero")]
    pub max_cache_size: i64,
    /// Hard limit of the content cache in bytes.
    #[serde(skip_serializing_if = "is_zero")]
    pub content_cache_size_limit_bytes: i64,
    /// Soft limit of the metadata cache in bytes.
    #[serde(skip_serializing_if = "is_zero")]
    pub max_metadata_cache_size: i64,
    /// Hard limit of the metadata cache in bytes.
    #[serde(skip_serializing_if = "is_zero")]
    pub metadata_cache_size_limit_bytes: i64,
    /// Seconds, also in fractions, for which listings may be reused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_list_cache_duration: Option<Number>,
    /// Anything else found in the file.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// What this client calls itself and how it behaves.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ClientOptions {
    /// Host name of the identity.
    pub hostname: String,
    /// User name of the identity.
    pub username: String,
    /// Whether changes are refused.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub readonly: bool,
    /// Kopia's way to open a repository with bad index blobs.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub permissive_cache_loading: bool,
    /// Free text.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// Whether snapshot actions may run.
    pub enable_actions: bool,
    /// Nanoseconds for which a copy of the format blob may be used; -1 for never.
    #[serde(skip_serializing_if = "is_zero")]
    pub format_blob_cache_duration: i64,
    /// Speed limits; they count instead of those among the options of the store, all of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub throttling_limits: Option<Value>,
}

/// The file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ConnectionFile {
    /// The store; absent when the connection leads to a server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub storage: Option<ConnectionInfo>,
    /// A second copy that is written along; of our own, and lost when Kopia rewrites the file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mirror: Option<ConnectionInfo>,
    /// Present when the connection leads to a server.
    #[serde(rename = "apiServer", skip_serializing_if = "Option::is_none")]
    pub api_server: Option<Value>,
    /// Caches.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub caching: Option<CachingOptions>,
    /// The client.
    #[serde(flatten)]
    pub client: ClientOptions,
    /// Anything else found in the file.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

impl ConnectionFile {
    /// Reads the file.
    ///
    /// # Errors
    /// [`Error::NotConnected`] when there is none, [`Error::BrokenConnectionFile`] when it is something else.
    pub fn load(path: &Path) -> Result<Self> {
        let json = std::fs::read(path).map_err(|source| match source.kind() {
            std::io::ErrorKind::NotFound => Error::NotConnected { path: path.to_owned() },
            _ => Error::ConnectionFile { action: "read", path: path.to_owned(), source },
        })?;
        serde_json::from_slice(&json)
            .map_err(|source| Error::BrokenConnectionFile { path: path.to_owned(), source })
    }

    /// The store that the file leads to.
    ///
    /// # Errors
    /// [`Error::ServerConnection`].
    pub fn store(&self, path: &Path) -> Result<&ConnectionInfo> {
        self.storage.as_ref().ok_or_else(|| Error::ServerConnection { path: path.to_owned() })
    }

    /// The speed limits: those of the client, else those among the options of the store.
    ///
    /// # Errors
    /// [`Error::Storage`] when they make no sense.
    ///
    /// Source: kopia `repo/open.go`, `openWithConfig`.
    pub fn limits(&self) -> Result<Limits> {
        let of_store = self.storage.as_ref().map(|info| &info.config);
        let limits =
            self.client.throttling_limits.as_ref().or(of_store).map_or(Ok(Limits::NONE), Limits::of_json);
        limits.map_err(|source| Error::Storage { action: "limit the use of the store", source })
    }

    /// Writes the file atomically; its folder is made if it is missing, an existing file keeps its mode.
    ///
    /// # Errors
    /// [`Error::ConnectionFile`].
    pub fn save(&self, path: &Path) -> Result<()> {
        use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
        let failed = |source| Error::ConnectionFile { action: "write", path: path.to_owned(), source };
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed)?;
        }
        let mode = std::fs::metadata(path).map_or(FILE_MODE, |known| known.permissions().mode() & 0o777);
        let mut json = gojson::to_pretty(self).expect("a connection file is plain data");
        json.push(b'\n');
        file::replace(path, &json, mode).map_err(failed)
    }

    /// The cache folder as an absolute path, if there is one.
    pub fn cache_directory(&self, path: &Path) -> Option<PathBuf> {
        let text =
            self.caching.as_ref().map(|caching| &caching.cache_directory).filter(|text| !text.is_empty())?;
        let folder = path.parent().unwrap_or_else(|| Path::new("."));
        Some(folder.join(text))
    }
}

impl CachingOptions {
    /// The key of how long metadata stays, in seconds.
    pub const METADATA_AGE: &str = "minMetadataSweepAge";
    /// The key of how long contents stay, in seconds.
    pub const CONTENT_AGE: &str = "minContentSweepAge";
    /// The key of how long Kopia keeps opened indexes, in seconds.
    pub const INDEX_AGE: &str = "minIndexSweepAge";

    /// The cache in `folder`; none if there is to be none.
    pub fn cache(&self, folder: PathBuf) -> Option<CacheOptions> {
        let limits = |soft: i64, hard: i64, age: &str, default: Duration| CacheLimits {
            soft_bytes: u64::try_from(soft).unwrap_or(0),
            hard_bytes: u64::try_from(hard).ok().filter(|bytes| *bytes > 0),
            sweep_age: self.sweep_age(age).unwrap_or(default),
        };
        let metadata = limits(
            self.max_metadata_cache_size,
            self.metadata_cache_size_limit_bytes,
            Self::METADATA_AGE,
            CacheOptions::METADATA_SWEEP_AGE,
        );
        let contents = limits(
            self.max_cache_size,
            self.content_cache_size_limit_bytes,
            Self::CONTENT_AGE,
            CacheOptions::CONTENT_SWEEP_AGE,
        );
        (contents.soft_bytes > 0).then_some(CacheOptions { folder, metadata, contents })
    }

    /// How long what is kept stays, by one of the keys above.
    pub fn sweep_age(&self, key: &str) -> Option<Duration> {
        let seconds = self.other.get(key)?.as_f64().filter(|seconds| *seconds > 0.0)?;
        Duration::try_from_secs_f64(seconds).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KOPIAS: &str = r#"{
  "storage": {
    "type": "filesystem",
    "config": {
      "path": "/repo",
      "fileMode": 384,
      "dirMode": 448,
      "dirShards": null
    }
  },
  "caching": {
    "cacheDirectory": "../cache",
    "maxCacheSize": 5242880000,
    "maxMetadataCacheSize": 5242880000,
    "maxListCacheDuration": 30
  },
  "hostname": "host1",
  "username": "alice",
  "description": "Repository in Filesystem: /repo",
  "enableActions": false,
  "formatBlobCacheDuration": 900000000000
}
"#;

    #[test]
    fn kopias_file_survives_a_rewrite() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("made/repository.config");
        let parsed: ConnectionFile = serde_json::from_str(KOPIAS).unwrap();
        let halves: ConnectionFile = serde_json::from_str(&KOPIAS.replace(": 30", ": 0.5")).unwrap();
        assert_eq!(halves.caching.unwrap().max_list_cache_duration, Number::from_f64(0.5));
        parsed.save(&path).unwrap();
        assert_eq!(ConnectionFile::load(&path).unwrap(), parsed);
        let written: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        assert_eq!(written, serde_json::from_str::<Value>(KOPIAS).unwrap());
        assert_eq!(parsed.cache_directory(&path).unwrap(), dir.path().join("made/../cache"));
    }

    #[test]
    fn absence_and_nonsense_are_told_apart() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("repository.config");
        assert!(matches!(ConnectionFile::load(&path), Err(Error::NotConnected { .. })));
        file::replace(&path, b"{", 0o600).unwrap();
        assert!(matches!(ConnectionFile::load(&path), Err(Error::BrokenConnectionFile { .. })));
        file::replace(&path, br#"{"apiServer":{"url":"https://x"}}"#, 0o600).unwrap();
        let server = ConnectionFile::load(&path).unwrap();
        assert!(matches!(server.store(&path), Err(Error::ServerConnection { .. })));
    }
}
