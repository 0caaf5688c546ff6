//! The encrypted inner document of `kopia.repository`: algorithms, keys and parameters of a repository.

use super::base64_json;
use super::{EpochParameters, Error, RequiredFeature, Result, UpgradeLock, features};
use crate::base::{Entropy, ExtraFields, MIB, Secret, Timestamp, keeps_extra_fields};
use crate::crypto;
use serde::{Deserialize, Deserializer, Serialize};

/// Oldest format version that can be read and written.
pub const VERSION_OLDEST: u8 = 1;
/// Newest format version that can be read and written; what new repositories get.
pub const VERSION_NEWEST: u8 = 3;
/// Default of `maxPackSize`, in bytes.
pub const MAX_PACK_SIZE_DEFAULT: u64 = 20 * MIB;
/// Smallest `maxPackSize` that may be set, in bytes.
pub const MAX_PACK_SIZE_SMALLEST: u64 = 10 * MIB;
/// Largest `maxPackSize` that may be set, in bytes.
pub const MAX_PACK_SIZE_LARGEST: u64 = 120 * MIB;

const KEY_LEN: usize = 32;

/// What a repository is made of. Algorithms are kept by their stored names; `crypto`, `compression` and `splitter` know
/// which of them exist.
///
/// Source: kopia `repo/format/content_format.go`, `object_format.go`, `repository_config.go`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, remote = "Self")]
pub struct RepositoryFormat {
    /// Content hash.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub hash: String,
    /// Content encryption.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub encryption: String,
    /// Error correction, empty for none.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub ecc: String,
    /// Error-correction overhead in percent; 0 for none.
    #[serde(skip_serializing_if = "is_zero", deserialize_with = "saturating")]
    pub ecc_overhead_percent: u8,
    /// Key of the content hash.
    #[serde(skip_serializing_if = "Secret::is_empty", with = "base64_json::secret")]
    pub secret: Secret,
    /// Key the contents' keys are drawn from.
    #[serde(skip_serializing_if = "Secret::is_empty", with = "base64_json::secret")]
    pub master_key: Secret,
    /// Format version, 1 to 3. Act on the single parameters instead: upgraded repositories mix them.
    #[serde(skip_serializing_if = "is_zero", deserialize_with = "saturating")]
    pub version: u8,
    /// Size at which a pack is closed, in bytes.
    #[serde(skip_serializing_if = "is_zero_u64")]
    pub max_pack_size: u64,
    /// Version of index files to write; 0 in old documents means 1.
    #[serde(skip_serializing_if = "is_zero", deserialize_with = "saturating")]
    pub index_version: u8,
    /// How index blobs are kept.
    #[serde(deserialize_with = "base64_json::null_default")]
    pub epoch_parameters: EpochParameters,
    /// Whether the password may change. If not, keys for purposes come from the password, and packs carry copies of the
    /// format blob.
    pub enable_password_change: bool,
    /// Object splitter.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub splitter: String,
    /// Set while a client upgrades the repository.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upgrade_lock: Option<UpgradeLock>,
    /// Features every client must understand.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "base64_json::null_default")]
    pub required_features: Vec<RequiredFeature>,
    /// What others have written here, kept.
    #[serde(flatten, skip_deserializing)]
    pub extra: ExtraFields,
    /// The same beside the object that holds these.
    #[serde(skip)]
    pub around: ExtraFields,
}

keeps_extra_fields!(RepositoryFormat);

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature serde's skip_serializing_if asks for")]
fn is_zero(value: &u8) -> bool {
    *value == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature serde's skip_serializing_if asks for")]
fn is_zero_u64(value: &u64) -> bool {
    *value == 0
}

/// A number too large for its field stays too large to be accepted, so that a version from the far future is refused
/// as unsupported and not as damage.
fn saturating<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<u8, D::Error> {
    let value = Option::<i64>::deserialize(deserializer)?.unwrap_or_default();
    Ok(u8::try_from(value).unwrap_or(u8::MAX))
}

/// What can be chosen for a new repository; [`NewFormat::default`] is Kopia's choice.
#[derive(Debug, Clone)]
pub struct NewFormat {
    /// Format version.
    pub version: u8,
    /// Content hash.
    pub hash: String,
    /// Content encryption.
    pub encryption: String,
    /// Error correction, empty for none.
    pub ecc: String,
    /// Error-correction overhead in percent.
    pub ecc_overhead_percent: u8,
    /// Object splitter.
    pub splitter: String,
    /// Size at which a pack is closed, in bytes.
    pub max_pack_size: u64,
}

impl Default for NewFormat {
    fn default() -> Self {
        Self {
            version: VERSION_NEWEST,
            hash: crypto::DEFAULT_HASH.to_owned(),
            encryption: crypto::DEFAULT_ENCRYPTION.to_owned(),
            ecc: String::new(),
            ecc_overhead_percent: 0,
            splitter: "DYNAMIC-4M-BUZHASH".to_owned(),
            max_pack_size: MAX_PACK_SIZE_DEFAULT,
        }
    }
}

impl RepositoryFormat {
    /// The format of a new repository, with fresh keys.
    ///
    /// Version 1 has neither epochs nor error correction, writes version-1 indexes and binds its keys to the password.
    ///
    /// # Errors
    /// Those of [`RepositoryFormat::validate_for_write`].
    pub fn new(options: NewFormat, entropy: &dyn Entropy) -> Result<Self> {
        let modern = options.version != 1;
        let with_ecc = modern && !options.ecc.is_empty() && options.ecc_overhead_percent > 0;
        let random = || {
            let mut key = vec![0; KEY_LEN];
            entropy.fill(&mut key);
            Secret::new(key)
        };
        let format = Self {
            hash: options.hash,
            encryption: options.encryption,
            ecc: if with_ecc { options.ecc } else { String::new() },
            ecc_overhead_percent: if with_ecc { options.ecc_overhead_percent.min(100) } else { 0 },
            secret: random(),
            master_key: random(),
            version: options.version,
            max_pack_size: options.max_pack_size,
            index_version: if modern { 2 } else { 1 },
            epoch_parameters: if modern { EpochParameters::DEFAULT } else { EpochParameters::default() },
            enable_password_change: modern,
            splitter: options.splitter,
            upgrade_lock: None,
            required_features: Vec::new(),
            extra: ExtraFields::NONE,
            around: ExtraFields::NONE,
        };
        format.validate_for_write()?;
        Ok(format)
    }

    /// Checks a format that was read, and fills in what old documents leave out.
    ///
    /// # Errors
    /// [`Error::UnsupportedVersion`], [`Error::UnsupportedIndexVersion`].
    pub fn validate_for_open(&mut self) -> Result<()> {
        self.check_version()?;
        if self.index_version == 0 {
            self.index_version = 1;
        }
        if self.max_pack_size == 0 {
            self.max_pack_size = MAX_PACK_SIZE_DEFAULT;
        }
        self.check_index_version()
    }

    /// Checks what Kopia checks before it writes a format.
    ///
    /// # Errors
    /// [`Error::UnsupportedVersion`], [`Error::UnsupportedIndexVersion`], [`Error::Parameter`].
    pub fn validate_for_write(&self) -> Result<()> {
        self.check_version()?;
        if self.index_version != 0 {
            self.check_index_version()?;
        }
        if !(MAX_PACK_SIZE_SMALLEST..=MAX_PACK_SIZE_LARGEST).contains(&self.max_pack_size) {
            return Err(Error::Parameter {
                parameter: "maxPackSize",
                value: self.max_pack_size.into(),
                rule: "it must be between 10 MiB and 120 MiB",
            });
        }
        self.epoch_parameters.validate()
    }

    /// Whether error correction is in use.
    pub fn has_ecc(&self) -> bool {
        !self.ecc.is_empty() && self.ecc_overhead_percent > 0
    }

    /// Checks the required features; returns warnings about those that may be missing.
    ///
    /// # Errors
    /// [`Error::RequiredFeature`].
    pub fn check_features(&self) -> Result<Vec<String>> {
        features::check(&self.required_features)
    }

    /// Refuses to go on while another client upgrades the repository. `client` is this client's id in upgrades, empty
    /// for none.
    ///
    /// # Errors
    /// [`Error::Locked`].
    pub fn check_upgrade_lock(&self, now: Timestamp, client: &str) -> Result<()> {
        self.upgrade_lock.as_ref().map_or(Ok(()), |lock| lock.check(now, client))
    }

    fn check_version(&self) -> Result<()> {
        if (VERSION_OLDEST..=VERSION_NEWEST).contains(&self.version) {
            return Ok(());
        }
        Err(Error::UnsupportedVersion { version: self.version })
    }

    fn check_index_version(&self) -> Result<()> {
        if (1..=2).contains(&self.index_version) {
            return Ok(());
        }
        Err(Error::UnsupportedIndexVersion { version: self.index_version })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{ErrorClass, SeededEntropy, gojson};

    fn json(format: &RepositoryFormat) -> String {
        String::from_utf8(gojson::to_vec(format).unwrap()).unwrap()
    }

    #[test]
    fn the_version_decides_what_a_new_repository_has() {
        let entropy = SeededEntropy::new(1);
        let ecc =
            NewFormat { ecc: "REED-SOLOMON-CRC32".into(), ecc_overhead_percent: 200, ..NewFormat::default() };
        let new = RepositoryFormat::new(ecc.clone(), &entropy).unwrap();
        assert_eq!((new.index_version, new.enable_password_change), (2, true));
        assert_eq!((new.has_ecc(), new.ecc_overhead_percent), (true, 100));
        assert!(new.secret != new.master_key);
        let old = RepositoryFormat::new(NewFormat { version: 1, ..ecc }, &entropy).unwrap();
        assert_eq!((old.index_version, old.enable_password_change, old.has_ecc()), (1, false, false));
        assert_eq!(old.epoch_parameters, EpochParameters::default());
        let bad = |options| RepositoryFormat::new(options, &entropy).unwrap_err().class();
        assert_eq!(bad(NewFormat { version: 4, ..NewFormat::default() }), ErrorClass::Unsupported);
        assert_eq!(bad(NewFormat { max_pack_size: MIB, ..NewFormat::default() }), ErrorClass::Invalid);
    }

    #[test]
    fn absent_fields_are_left_out_and_null_is_absent() {
        let empty = RepositoryFormat::default();
        let text = json(&empty);
        assert!(
            text.starts_with(r#"{"epochParameters":{"Enabled":false,"EpochRefreshFrequency":0,"#),
            "{text}"
        );
        assert!(text.ends_with(r#""enablePasswordChange":false}"#), "{text}");
        let nulls =
            r#"{"requiredFeatures":null,"upgradeLock":null,"secret":null,"epochParameters":null,"new":1}"#;
        let mut read: RepositoryFormat = serde_json::from_str(nulls).unwrap();
        assert!(!std::mem::take(&mut read.extra).is_empty());
        assert_eq!(read, empty);
    }

    #[test]
    fn a_future_version_is_unsupported_and_not_damage() {
        for (text, wanted) in
            [(r#"{"version":4}"#, 4), (r#"{"version":1000}"#, 255), (r#"{"version":-1}"#, 255), ("{}", 0)]
        {
            let mut format: RepositoryFormat = serde_json::from_str(text).unwrap();
            let error = format.validate_for_open().unwrap_err();
            assert!(matches!(error, Error::UnsupportedVersion { version } if version == wanted), "{text}");
        }
        let mut format: RepositoryFormat = serde_json::from_str(r#"{"version":2,"indexVersion":3}"#).unwrap();
        assert!(matches!(format.validate_for_open(), Err(Error::UnsupportedIndexVersion { version: 3 })));
    }

    #[test]
    fn old_documents_are_filled_in() {
        let mut format: RepositoryFormat = serde_json::from_str(r#"{"version":1}"#).unwrap();
        format.validate_for_open().unwrap();
        assert_eq!((format.index_version, format.max_pack_size), (1, MAX_PACK_SIZE_DEFAULT));
    }

    #[test]
    fn unknown_features_warn_or_refuse() {
        let features = r#"{"requiredFeatures":[{"feature":"index-v2","ifNotUnderstood":{"warn":false}},
            {"feature":"a","ifNotUnderstood":{"warn":true,"message":"m","url":"u"}}]}"#;
        let mut format: RepositoryFormat = serde_json::from_str(features).unwrap();
        let warnings = format.check_features().unwrap();
        assert_eq!(warnings, [r#"the repository uses feature "a", which is not supported; m; see u"#]);
        format.required_features[1].if_not_understood.warn = false;
        assert!(matches!(format.check_features(), Err(Error::RequiredFeature { .. })));
    }

    #[test]
    fn an_upgrade_lock_survives_the_round_trip() {
        let text = concat!(
            r#"{"ownerID":"o","creationTime":"2024-05-01T10:00:00Z","ioDrainTimeout":900000000000,"#,
            r#""statusPollInterval":60000000000,"message":"m","maxPermittedClockDrift":300000000000}"#
        );
        let lock: UpgradeLock = serde_json::from_str(text).unwrap();
        assert_eq!(gojson::to_vec(&lock).unwrap(), text.as_bytes());
        let format = RepositoryFormat { upgrade_lock: Some(lock.clone()), ..RepositoryFormat::default() };
        assert!(format.check_upgrade_lock(lock.creation_time, "").is_err());
        assert!(RepositoryFormat::default().check_upgrade_lock(lock.creation_time, "").is_ok());
    }
}
