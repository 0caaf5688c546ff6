//! `kopia.blobcfg`: for how long the store must keep blobs from being deleted.

use super::{CONFIG_BLOB, Error, REPOSITORY_BLOB, Result, envelope};
use crate::base::{Entropy, ExtraFields, Secret, gojson, keeps_extra_fields};
use serde::{Deserialize, Serialize};

/// Shortest retention period, in nanoseconds: one day.
pub const RETENTION_PERIOD_NANOS_MIN: i64 = 24 * 3600 * 1_000_000_000;

/// The retention settings; both empty in a repository without retention.
///
/// Source: kopia `repo/format/blobcfg_blob.go`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, remote = "Self")]
pub struct BlobConfig {
    /// `GOVERNANCE` or `COMPLIANCE`, or empty.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub retention_mode: String,
    /// How long blobs are locked, in nanoseconds; 0 for not at all.
    #[serde(skip_serializing_if = "is_zero")]
    pub retention_period: i64,
    /// What others have written here, kept.
    #[serde(flatten, skip_deserializing)]
    pub extra: ExtraFields,
}

keeps_extra_fields!(BlobConfig);

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature serde's skip_serializing_if asks for")]
fn is_zero(value: &i64) -> bool {
    *value == 0
}

impl BlobConfig {
    /// Whether blobs are to be locked when they are put.
    pub fn is_retention_enabled(&self) -> bool {
        !self.retention_mode.is_empty() && self.retention_period != 0
    }

    /// Checks what Kopia checks before it writes the settings.
    ///
    /// # Errors
    /// [`Error::Retention`].
    pub fn validate(&self) -> Result<()> {
        if self.retention_mode.is_empty() != (self.retention_period == 0) {
            return Err(Error::Retention { rule: "retention needs both a mode and a period" });
        }
        if self.retention_period != 0 && self.retention_period < RETENTION_PERIOD_NANOS_MIN {
            return Err(Error::Retention { rule: "the retention period must be at least one day" });
        }
        Ok(())
    }

    /// Encrypts the settings under the format key.
    ///
    /// # Errors
    /// [`Error::Seal`] when the cipher refuses.
    pub fn seal(&self, entropy: &dyn Entropy, key: &Secret, unique_id: &[u8]) -> Result<Vec<u8>> {
        let plain = gojson::to_vec(self).map_err(|source| Error::Json { document: CONFIG_BLOB, source })?;
        envelope::seal(entropy, key, unique_id, CONFIG_BLOB, &plain)
    }

    /// Decrypts the settings.
    ///
    /// # Errors
    /// [`Error::TwoKeys`] when authentication fails: the caller's key has opened the format blob before.
    /// [`Error::Truncated`], [`Error::Json`].
    pub fn open(key: &Secret, unique_id: &[u8], stored: &[u8]) -> Result<Self> {
        let plain = envelope::open(key, unique_id, CONFIG_BLOB, stored).map_err(|error| match error {
            Error::WrongPassword => Error::TwoKeys { opened: REPOSITORY_BLOB, closed: CONFIG_BLOB },
            other => other,
        })?;
        serde_json::from_slice(plain.expose()).map_err(|source| Error::Json { document: CONFIG_BLOB, source })
    }
}
