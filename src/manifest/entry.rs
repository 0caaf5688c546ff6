//! One manifest.

use super::{Error, Result};
use crate::base::{Entropy, Timestamp};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// The key of the label that every live manifest has.
pub(super) const TYPE_LABEL: &str = "type";

/// What a manifest is found by, keys in byte order.
pub type Labels = BTreeMap<String, String>;

/// The name of a manifest: 32 hex digits in what this and Kopia write, opaque in what is read.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ManifestId(Arc<str>);

impl ManifestId {
    /// Takes any text.
    pub fn new(id: impl AsRef<str>) -> Self {
        Self(id.as_ref().into())
    }

    /// A new random id.
    pub(super) fn random(entropy: &dyn Entropy) -> Self {
        Self(hex::encode(entropy.bytes::<16>()).into())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ManifestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A manifest or the tombstone of one.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ManifestEntry {
    /// Its name.
    pub id: ManifestId,
    /// What it is found by; `None` in a tombstone. Manifests of one thing share them.
    pub labels: Option<Arc<Labels>>,
    /// When it was written.
    pub modified: Timestamp,
    /// Whether this says that the manifest is gone.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub deleted: bool,
    /// The document as it stands in the batch, unknown fields included.
    #[serde(default)]
    pub data: Option<Arc<RawValue>>,
}

impl ManifestEntry {
    /// The label `type`, or nothing.
    pub fn kind(&self) -> &str {
        self.label(TYPE_LABEL).unwrap_or_default()
    }

    /// A label.
    pub fn label(&self, key: &str) -> Option<&str> {
        self.labels.as_ref()?.get(key).map(String::as_str)
    }

    /// Whether all of `wanted` stand among the labels.
    pub fn matches(&self, wanted: &[(&str, &str)]) -> bool {
        wanted.iter().all(|(key, value)| self.label(key) == Some(value))
    }

    /// Length of the document in bytes, as Kopia counts it.
    pub fn length(&self) -> usize {
        self.data.as_ref().map_or(0, |data| data.get().len())
    }

    /// Decodes the document.
    ///
    /// # Errors
    /// [`Error::BrokenPayload`].
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T> {
        let json = self.data.as_ref().map_or("null", |data| data.get());
        serde_json::from_str(json).map_err(|source| Error::BrokenPayload {
            id: self.id.clone(),
            kind: self.kind().to_owned(),
            source,
        })
    }
}
