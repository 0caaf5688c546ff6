//! The outer document of `kopia.repository`: what is needed before the password can be tried.

use super::base64_json;
use super::{BlobConfig, CONFIG_BLOB, Error, REPOSITORY_BLOB, RepositoryFormat, Result, envelope};
use crate::base::{Entropy, ExtraFields, Secret, gojson, keeps_extra_fields};
use crate::crypto;
use serde::{Deserialize, Serialize};

const TOOL: &str = "https://github.com/kopia/kopia";
const INNER: &str = "encryptedBlockFormat of kopia.repository";

/// `kopia.repository`, undecrypted.
///
/// Source: kopia `repo/format/format_blob.go`, `KopiaRepositoryJSON`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, remote = "Self")]
pub struct FormatBlob {
    /// Where the format comes from; informational.
    pub tool: String,
    /// Version of the client that created the repository; informational.
    pub build_version: String,
    /// Build of that client; informational.
    pub build_info: String,
    /// Random bytes, fixed for the life of the repository; the salt of every key derivation.
    #[serde(rename = "uniqueID", with = "base64_json")]
    pub unique_id: Vec<u8>,
    /// Stored name of the password's key derivation.
    #[serde(rename = "keyAlgo")]
    pub key_algorithm: String,
    /// How the inner document is encrypted; only `AES256_GCM` is known.
    pub encryption: String,
    /// The encrypted inner document.
    #[serde(rename = "encryptedBlockFormat", skip_serializing_if = "Vec::is_empty", with = "base64_json")]
    pub encrypted_format: Vec<u8>,
    /// What others have written here, kept.
    #[serde(flatten, skip_deserializing)]
    pub extra: ExtraFields,
}

keeps_extra_fields!(FormatBlob);

/// The inner document wraps the format once more.
#[derive(Serialize)]
struct InnerRef<'a> {
    format: &'a RepositoryFormat,
    #[serde(flatten)]
    around: &'a ExtraFields,
}

#[derive(Default, Deserialize)]
#[serde(default, remote = "Self")]
struct Inner {
    format: RepositoryFormat,
    #[serde(skip)]
    extra: ExtraFields,
}

keeps_extra_fields!(Inner, by hand);

impl FormatBlob {
    /// Reads the outer document. Nothing in it is authenticated yet.
    ///
    /// # Errors
    /// [`Error::Json`].
    pub fn parse(data: &[u8]) -> Result<Self> {
        serde_json::from_slice(data).map_err(|source| Error::Json { document: REPOSITORY_BLOB, source })
    }

    /// The document as Kopia writes it: indented, with a final newline.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = gojson::to_pretty(self).expect("a document of texts can always be written");
        out.push(b'\n');
        out
    }

    /// Makes the document of a new repository; returns it with the key that opens it.
    ///
    /// # Errors
    /// [`Error::KeyDerivation`], [`Error::Seal`].
    pub fn create(
        entropy: &dyn Entropy,
        format: &RepositoryFormat,
        key_algorithm: &str,
        password: &Secret,
        unique_id: [u8; 32],
    ) -> Result<(Self, Secret)> {
        let mut blob = Self {
            tool: TOOL.to_owned(),
            build_version: env!("CARGO_PKG_VERSION").to_owned(),
            build_info: env!("CARGO_PKG_NAME").to_owned(),
            unique_id: unique_id.to_vec(),
            key_algorithm: key_algorithm.to_owned(),
            encryption: envelope::ENCRYPTION.to_owned(),
            encrypted_format: Vec::new(),
            extra: ExtraFields::NONE,
        };
        let key = blob.derive_key(password)?;
        blob.encrypt(entropy, format, &key)?;
        Ok((blob, key))
    }

    /// Derives the format key from a password. Slow on purpose.
    ///
    /// # Errors
    /// [`Error::KeyDerivation`] for an unknown algorithm or a salt that is too short.
    pub fn derive_key(&self, password: &Secret) -> Result<Secret> {
        crypto::derive_key_from_password(&self.key_algorithm, password.expose(), &self.unique_id)
            .map_err(|source| Error::KeyDerivation { algorithm: self.key_algorithm.clone(), source })
    }

    /// Decrypts the inner document. The caller checks it with [`RepositoryFormat::validate_for_open`].
    ///
    /// # Errors
    /// [`Error::UnknownEncryption`]; [`Error::Truncated`] and [`Error::Json`] for damage; [`Error::WrongPassword`] when
    /// authentication fails, which [`diagnose`] may turn into [`Error::TwoKeys`].
    pub fn decrypt(&self, key: &Secret) -> Result<RepositoryFormat> {
        self.check_encryption()?;
        let plain = envelope::open(key, &self.unique_id, INNER, &self.encrypted_format)?;
        let inner: Inner = serde_json::from_slice(plain.expose())
            .map_err(|source| Error::Json { document: INNER, source })?;
        Ok(RepositoryFormat { around: inner.extra, ..inner.format })
    }

    /// Replaces the inner document.
    ///
    /// # Errors
    /// [`Error::UnknownEncryption`], [`Error::Seal`].
    pub fn encrypt(&mut self, entropy: &dyn Entropy, format: &RepositoryFormat, key: &Secret) -> Result<()> {
        self.check_encryption()?;
        let plain = gojson::to_vec(&InnerRef { format, around: &format.around })
            .map(Secret::new)
            .map_err(|source| Error::Json { document: INNER, source })?;
        self.encrypted_format = envelope::seal(entropy, key, &self.unique_id, INNER, plain.expose())?;
        Ok(())
    }

    fn check_encryption(&self) -> Result<()> {
        if self.encryption == envelope::ENCRYPTION {
            return Ok(());
        }
        Err(Error::UnknownEncryption { name: self.encryption.clone() })
    }
}

/// Says why the inner document of `format` did not open with `key`.
///
/// The two documents under the same key bear witness for each other: when `blobcfg` opens, the password is right and
/// the format blob is damaged (or a change of the password stopped between the two).
pub fn diagnose(format: &FormatBlob, blobcfg: Option<&[u8]>, key: &Secret) -> Error {
    let opens = blobcfg.is_some_and(|stored| BlobConfig::open(key, &format.unique_id, stored).is_ok());
    if opens { Error::TwoKeys { opened: CONFIG_BLOB, closed: REPOSITORY_BLOB } } else { Error::WrongPassword }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{ErrorClass, SeededEntropy};
    use crate::format::{BlobConfig, EpochParameters, NewFormat};

    const BLOB: &[u8] = include_bytes!("testdata/kopia.repository");
    const KEY: &str = "d88dd954315ef92b27d902c52d3c1b2c90b4f0f755030167664638ca506f2a5c";
    const PLAIN: &str = concat!(
        r#"{"format":{"hash":"BLAKE2B-256-128","encryption":"AES256-GCM-HMAC-SHA256","#,
        r#""secret":"QEFCQ0RFRkdISUpLTE1OT1BRUlNUVVZXWFlaW1xdXl8=","#,
        r#""masterKey":"ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8=","version":3,"maxPackSize":20971520,"#,
        r#""indexVersion":2,"epochParameters":{"Enabled":true,"EpochRefreshFrequency":1200000000000,"#,
        r#""FullCheckpointFrequency":7,"CleanupSafetyMargin":14400000000000,"MinEpochDuration":86400000000000,"#,
        r#""EpochAdvanceOnCountThreshold":20,"EpochAdvanceOnTotalSizeBytesThreshold":10485760,"#,
        r#""DeleteParallelism":4},"enablePasswordChange":true,"splitter":"DYNAMIC-4M-BUZHASH"}}"#
    );

    struct Zeros;
    impl Entropy for Zeros {
        fn fill(&self, buffer: &mut [u8]) {
            buffer.fill(0);
        }
    }

    fn key() -> Secret {
        Secret::new(hex::decode(KEY).unwrap())
    }

    #[test]
    fn a_format_blob_of_kopia_is_read_and_written_byte_for_byte() {
        let blob = FormatBlob::parse(BLOB).unwrap();
        assert_eq!(blob.to_bytes(), BLOB);
        let key = blob.derive_key(&Secret::from("correct horse")).unwrap();
        assert_eq!(hex::encode(key.expose()), KEY);
        let mut format = blob.decrypt(&key).unwrap();
        assert_eq!(
            gojson::to_vec(&InnerRef { format: &format, around: &format.around }).unwrap(),
            PLAIN.as_bytes()
        );
        assert_eq!(format.epoch_parameters, EpochParameters::DEFAULT);
        assert_eq!(format.master_key.expose(), (0x20..=0x3f).collect::<Vec<u8>>());
        format.validate_for_open().unwrap();
        format.validate_for_write().unwrap();
        let mut again = FormatBlob { encrypted_format: Vec::new(), ..blob.clone() };
        again.encrypt(&Zeros, &format, &key).unwrap();
        assert_eq!(again, blob);
    }

    #[test]
    fn keys_for_purposes_are_kopias() {
        let blob = FormatBlob::parse(BLOB).unwrap();
        let mut format = blob.decrypt(&key()).unwrap();
        let show = |secret: Secret| hex::encode(secret.expose());
        assert_eq!(
            show(format.maintenance_key(&key(), &blob.unique_id)),
            "327e5ba0d7687c8a777e26dddaccb1fc6bdcf0e21a7f753928633d8186db741f"
        );
        assert_eq!(show(format.cache_key(&key(), &blob.unique_id)), "f5d1b6913014e806fcd16c3638a664dd");
        format.enable_password_change = false;
        assert_eq!(format.derived_master(&key()), &key());
        assert_eq!(format.derived_secret(&key()), &key());
    }

    #[test]
    fn the_blob_configuration_is_kopias() {
        let id: Vec<u8> = (0..32).collect();
        let sealed = BlobConfig::default().seal(&Zeros, &key(), &id).unwrap();
        assert_eq!(hex::encode(&sealed), "00000000000000000000000023cd8f0a183be373acb4c50ee7d1c6f43f50");
        assert_eq!(BlobConfig::open(&key(), &id, &sealed).unwrap(), BlobConfig::default());
        let locked = BlobConfig {
            retention_mode: "GOVERNANCE".into(),
            retention_period: 86_400_000_000_000,
            ..BlobConfig::default()
        };
        assert!(locked.is_retention_enabled() && locked.validate().is_ok());
        let sealed = locked.seal(&Zeros, &key(), &id).unwrap();
        assert_eq!(BlobConfig::open(&key(), &id, &sealed).unwrap(), locked);
        assert!(BlobConfig { retention_period: 1, ..locked.clone() }.validate().is_err());
        assert!(BlobConfig { retention_period: 0, ..locked }.validate().is_err());
    }

    #[test]
    fn a_wrong_password_and_damage_are_told_apart() {
        let entropy = SeededEntropy::new(7);
        let blob = FormatBlob::parse(BLOB).unwrap();
        let config = BlobConfig::default().seal(&entropy, &key(), &blob.unique_id).unwrap();
        let wrong = Secret::new(vec![1; 32]);
        assert_eq!(blob.decrypt(&wrong).unwrap_err().class(), ErrorClass::WrongPassword);
        assert_eq!(diagnose(&blob, Some(&config), &wrong).class(), ErrorClass::WrongPassword);
        assert_eq!(diagnose(&blob, None, &key()).class(), ErrorClass::WrongPassword);

        let mut flipped = blob.clone();
        flipped.encrypted_format[40] ^= 1;
        assert_eq!(flipped.decrypt(&key()).unwrap_err().class(), ErrorClass::WrongPassword);
        assert_eq!(diagnose(&flipped, Some(&config), &key()).class(), ErrorClass::Corrupt);

        let short = FormatBlob { encrypted_format: vec![0; 27], ..blob.clone() };
        assert_eq!(short.decrypt(&key()).unwrap_err().class(), ErrorClass::Corrupt);
        let foreign = FormatBlob { encryption: "NONE".into(), ..blob.clone() };
        assert_eq!(foreign.decrypt(&key()).unwrap_err().class(), ErrorClass::Unsupported);
        let unknown = FormatBlob { key_algorithm: "argon".into(), ..blob };
        assert!(matches!(unknown.derive_key(&Secret::from("x")), Err(Error::KeyDerivation { .. })));
        for cut in 0..BLOB.len() - 2 {
            assert_eq!(FormatBlob::parse(&BLOB[..cut]).unwrap_err().class(), ErrorClass::Corrupt);
        }
        assert!(FormatBlob::parse(br#"{"uniqueID":"*"}"#).is_err());
    }

    #[test]
    fn what_is_created_opens_again() {
        let entropy = SeededEntropy::new(3);
        let format = RepositoryFormat::new(NewFormat::default(), &entropy).unwrap();
        let password = Secret::from("p");
        let (blob, key) =
            FormatBlob::create(&entropy, &format, crypto::DEFAULT_KEY_DERIVATION, &password, [9; 32])
                .unwrap();
        let read = FormatBlob::parse(&blob.to_bytes()).unwrap();
        assert_eq!(read.derive_key(&password).unwrap(), key);
        assert_eq!(read.decrypt(&key).unwrap(), format);
    }
}
