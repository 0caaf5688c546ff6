//! The repository's vocabulary on disk: identifiers, `kopia.repository`, `kopia.blobcfg`, parameters. No I/O.
//!
//! `kopia.repository` is a plain JSON document ([`FormatBlob`]) around an encrypted one ([`RepositoryFormat`]). The key
//! that opens it is derived from the password; the keys of everything else lie inside.
//!
//! Invariants that upper layers cite:
//! - **F1** a format that was not understood is refused with an error that says what was not understood: a newer
//!   version, an unknown required feature and a damaged blob are three different errors;
//! - **F2** a wrong password is never reported as damage, nor damage as a wrong password where they can be told apart
//!   ([`diagnose`]);
//! - **F3** rewriting a document keeps everything that was in it, also fields that nobody here knows
//!   ([`ExtraFields`](crate::base::ExtraFields)).

mod base64_json;
mod blob_config;
mod content_id;
mod envelope;
mod epoch_parameters;
mod error;
mod features;
mod format_blob;
mod purpose_keys;
mod recovery;
mod repository_format;
mod upgrade_lock;

pub use blob_config::{BlobConfig, RETENTION_PERIOD_NANOS_MIN};
pub use content_id::{ContentId, IdPrefix, ParseContentIdError};
pub use envelope::{OVERHEAD as ENVELOPE_OVERHEAD, open, seal};
pub use epoch_parameters::EpochParameters;
pub use error::{Error, Result};
pub use features::{IfNotUnderstood, RequiredFeature};
pub use format_blob::{FormatBlob, diagnose};
pub use purpose_keys::MAINTENANCE_AAD;
pub use recovery::{RECOVERY_PROBE_BYTES, recovery_block, recovery_from_end, recovery_from_start};
pub use repository_format::{
    MAX_PACK_SIZE_DEFAULT, MAX_PACK_SIZE_LARGEST, MAX_PACK_SIZE_SMALLEST, NewFormat, RepositoryFormat,
    VERSION_NEWEST, VERSION_OLDEST,
};
pub use upgrade_lock::{UpgradeLock, UpgradeStatus};

/// The blob with the repository's format, encrypted under the password.
pub const REPOSITORY_BLOB: &str = "kopia.repository";
/// The blob with the retention settings, encrypted under the password.
pub const CONFIG_BLOB: &str = "kopia.blobcfg";
/// The blob with the maintenance schedule.
pub const MAINTENANCE_BLOB: &str = "kopia.maintenance";
/// What copies of the format blob made before an upgrade start with; the lock's owner follows.
pub const REPOSITORY_BACKUP_PREFIX: &str = "kopia.repository.backup.";

#[cfg(test)]
mod tests {
    use super::{BlobConfig, EpochParameters, FormatBlob, RepositoryFormat};
    use serde::{Deserialize, Serialize};
    use serde_json::Value;

    fn survives<T: Serialize + for<'de> Deserialize<'de>>(json: &str) {
        let value: T = serde_json::from_str(json).unwrap();
        let again: Value = serde_json::to_value(&value).unwrap();
        let wanted: Value = serde_json::from_str(json).unwrap();
        for (key, value) in wanted.as_object().unwrap() {
            assert_eq!(again.get(key), Some(value), "{key}");
        }
    }

    #[test]
    fn fields_of_a_later_client_survive_at_every_level() {
        survives::<FormatBlob>(r#"{"tool":"t","later":{"a":[1,"x",null]}}"#);
        survives::<BlobConfig>(r#"{"retentionMode":"GOVERNANCE","retentionPeriod":1,"legalHold":true}"#);
        survives::<EpochParameters>(r#"{"Enabled":true,"Later":18446744073709551615}"#);
        survives::<RepositoryFormat>(
            r#"{"version":3,"secondKey":"c2VjcmV0",
                "requiredFeatures":[{"feature":"f","ifNotUnderstood":{"warn":true,"x":1},"y":2}],
                "upgradeLock":{"ownerID":"o","creationTime":"2024-05-01T10:00:00Z","z":3}}"#,
        );
    }

    #[test]
    fn they_are_never_shown() {
        let format: RepositoryFormat = serde_json::from_str(r#"{"secondKey":"c2VjcmV0"}"#).unwrap();
        let shown = format!("{format:?}");
        assert!(!shown.contains("c2Vj") && !shown.contains("secondKey"), "{shown}");
    }
}
