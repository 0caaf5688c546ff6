//! How a WebDAV store is configured: Kopia's JSON keys.

use crate::base::{ExtraFields, gojson::is_zero, keeps_extra_fields};
use crate::blob::sharded::nullable;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::HeaderValue;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Options of a WebDAV store, as they stand in a connection file. Unknown keys are kept, throttling limits among them.
///
/// Source: kopia `repo/blob/webdav/webdav_options.go`.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(remote = "Self", default, rename_all = "camelCase")]
pub struct WebDavOptions {
    /// Root of the repository.
    pub url: String,
    /// Who asks; nobody in particular if empty.
    #[serde(skip_serializing_if = "is_zero", deserialize_with = "nullable")]
    pub username: String,
    /// Their password.
    #[serde(skip_serializing_if = "is_zero", deserialize_with = "nullable")]
    pub password: String,
    /// SHA-256 of the only certificate to trust, as hex; the system's authorities decide if empty.
    #[serde(skip_serializing_if = "is_zero", deserialize_with = "nullable")]
    pub trusted_server_certificate_fingerprint: String,
    /// Whether nobody sees half of a file that is being put, so that none needs another name first.
    #[serde(deserialize_with = "nullable")]
    pub atomic_writes: bool,
    /// Widths of the folder names for a store without a `.shards` file; empty means flat.
    pub dir_shards: Option<Vec<u32>>,
    /// Folders listed at once; none or 0 lets the store choose.
    #[serde(skip_serializing_if = "is_zero", deserialize_with = "nullable")]
    pub list_parallelism: u32,
    /// Throttling limits, and what newer programs have added.
    #[serde(flatten, skip_deserializing)]
    pub extra: ExtraFields,
}

keeps_extra_fields!(WebDavOptions);

impl WebDavOptions {
    /// The head line that says who asks.
    pub(super) fn authorization(&self) -> HeaderValue {
        let pair = STANDARD.encode(format!("{}:{}", self.username, self.password));
        let mut value = HeaderValue::from_str(&format!("Basic {pair}")).expect("base64 is ASCII");
        value.set_sensitive(true);
        value
    }
}

/// Without what must stay secret.
impl fmt::Debug for WebDavOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebDavOptions").field("url", &self.url).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::gojson;

    #[test]
    fn keeps_what_kopia_writes() {
        let text = r#"{"url":"https://h/p","username":"u","password":"HUSH","atomicWrites":true,"dirShards":[1,3],"listParallelism":3,"concurrentReads":4}"#;
        let options: WebDavOptions = serde_json::from_str(text).unwrap();
        assert!(options.atomic_writes && options.list_parallelism == 3);
        assert_eq!(String::from_utf8(gojson::to_vec(&options).unwrap()).unwrap(), text);
        assert!(!format!("{options:?}").contains("HUSH"));
    }
}
