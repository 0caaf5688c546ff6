//! The documents of a repository's format, read and decrypted, and whether this client may use them.

use super::{Environment, Error, Result};
use crate::base::{Clock, Entropy, Secret, Timestamp};
use crate::blob::{Mirrored, Storage, StorageExt};
use crate::cache::CacheOptions;
use crate::crypto::{self, BlobCrypto, Ecc};
use crate::format::{self, BlobConfig, CONFIG_BLOB, FormatBlob, REPOSITORY_BLOB, RepositoryFormat};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// First pause while another client upgrades the repository; each is half as long again as the one before.
const WAIT_FIRST: Duration = Duration::from_millis(100);
const WAIT_LONGEST: Duration = Duration::from_secs(32);
/// How long a cancellation may go unheard.
const WAIT_STEP: Duration = Duration::from_millis(500);

/// How a client deals with what may keep it out of a repository.
#[derive(Debug, Clone, Default)]
pub struct OpenOptions {
    /// This client's name in upgrades of the format: the lock of that owner does not keep it out.
    pub upgrade_owner: String,
    /// Wait until another client's upgrade has ended, instead of failing.
    pub waits_for_upgrade: bool,
    /// Go on although another client upgrades the repository.
    pub ignores_upgrade: bool,
    /// Only warn of required features that are not known.
    pub ignores_features: bool,
    /// How long what is known of the format may be used before a change of the store, 15 minutes at most.
    pub format_lifetime: Option<Duration>,
    /// The store again, if it is one with a mirror: then the mirror is kept up to date.
    pub mirrored: Option<Arc<Mirrored>>,
    /// Keeps what never changes on disk.
    pub cache: Option<CacheOptions>,
    /// Ends the wait when it is set.
    pub cancel: Option<Arc<AtomicBool>>,
}

impl OpenOptions {
    fn is_canceled(&self) -> bool {
        self.cancel.as_ref().is_some_and(|cancel| cancel.load(Ordering::Relaxed))
    }

    /// Waits before the next look, with an ear for the end of the wait.
    pub(super) fn pause(&self, environment: &Environment, mut left: Duration) -> Result<()> {
        while !left.is_zero() {
            if self.is_canceled() {
                return Err(Error::Canceled);
            }
            let step = left.min(WAIT_STEP);
            environment.clock.sleep(step);
            left -= step;
        }
        Ok(())
    }
}

/// `kopia.repository`, open, and `kopia.blobcfg` beside it.
pub(super) struct Documents {
    /// When they began to be read.
    pub(super) read_at: Timestamp,
    /// `kopia.repository` as stored.
    pub(super) bytes: Vec<u8>,
    /// Its outer document.
    pub(super) blob: FormatBlob,
    /// The key of both blobs, derived from the password.
    pub(super) key: Secret,
    /// The inner document.
    pub(super) format: RepositoryFormat,
    /// `kopia.blobcfg` as stored; old repositories have none.
    pub(super) stored_config: Option<Vec<u8>>,
}

impl Documents {
    /// Reads both blobs and opens the first.
    ///
    /// # Errors
    /// [`Error::NoRepository`]; [`Error::Format`], whose class tells a wrong password from damage and from a format that
    /// is too new.
    pub(super) fn read(storage: &dyn Storage, password: &Secret, clock: &dyn Clock) -> Result<Self> {
        Self::read_with(storage, clock, |blob| blob.derive_key(password))
    }

    /// Reads both blobs anew, with the key that opened them before.
    pub(super) fn reread(&self, storage: &dyn Storage, clock: &dyn Clock) -> Result<Self> {
        Self::read_with(storage, clock, |_| Ok(self.key.clone()))
    }

    fn read_with(
        storage: &dyn Storage,
        clock: &dyn Clock,
        key: impl FnOnce(&FormatBlob) -> format::Result<Secret>,
    ) -> Result<Self> {
        let read_at = clock.now();
        let bytes = read_format_blob(storage)?;
        let blob = FormatBlob::parse(&bytes).map_err(Error::Format)?;
        let stored_config = storage
            .get_optional(&CONFIG_BLOB.into())
            .map_err(|source| Error::Storage { action: "read kopia.blobcfg", source })?;
        if stored_config.as_deref().is_some_and(is_void) {
            return Err(Error::Void { name: CONFIG_BLOB });
        }
        let key = key(&blob).map_err(Error::Format)?;
        let format = decrypt(&blob, stored_config.as_deref(), &key)?;
        Ok(Self { read_at, bytes, blob, key, format, stored_config })
    }

    /// Reads both blobs, and makes sure that this client may go on: it knows all required features, and nobody else
    /// upgrades the repository.
    ///
    /// # Errors
    /// Those of [`Documents::read`]; [`Error::Format`] for whatever keeps the client out.
    ///
    /// Source: kopia `repo/open.go`, `openWithConfig`.
    pub(super) fn open(
        storage: &dyn Storage,
        password: &Secret,
        environment: &Environment,
        options: &OpenOptions,
    ) -> Result<Self> {
        let clock = environment.clock.as_ref();
        let mut documents = Self::read(storage, password, clock)?;
        let mut pause = WAIT_FIRST;
        loop {
            let warnings = documents.check_features(options)?;
            match documents.check_upgrade(environment, options) {
                Err(error) if options.waits_for_upgrade => {
                    if pause == WAIT_FIRST {
                        (environment.warn)(&format!("{error}; waiting for the end of it"));
                    }
                }
                Err(error) => return Err(Error::Format(error)),
                Ok(()) => {
                    for warning in &warnings {
                        (environment.warn)(warning);
                    }
                    return Ok(documents);
                }
            }
            options.pause(environment, pause)?;
            pause = pause.mul_f32(1.5).min(WAIT_LONGEST);
            documents = documents.reread(storage, clock)?;
        }
    }

    /// Warnings about required features that are not known here.
    pub(super) fn check_features(&self, options: &OpenOptions) -> Result<Vec<String>> {
        match self.format.check_features() {
            Err(error) if options.ignores_features => Ok(vec![error.to_string()]),
            checked => checked.map_err(Error::Format),
        }
    }

    /// Refuses to go on while somebody else upgrades the repository.
    pub(super) fn check_upgrade(
        &self,
        environment: &Environment,
        options: &OpenOptions,
    ) -> format::Result<()> {
        if options.ignores_upgrade {
            return Ok(());
        }
        self.format.check_upgrade_lock(environment.clock.now(), &options.upgrade_owner)
    }

    /// The settings in `kopia.blobcfg`.
    ///
    /// # Errors
    /// [`Error::Format`].
    pub(super) fn config(&self) -> Result<BlobConfig> {
        self.config_under(&self.key)
    }

    /// The same, should the blob be encrypted with another key.
    pub(super) fn config_under(&self, key: &Secret) -> Result<BlobConfig> {
        match &self.stored_config {
            Some(stored) => BlobConfig::open(key, &self.blob.unique_id, stored).map_err(Error::Format),
            None => Ok(BlobConfig::default()),
        }
    }

    /// Hash, cipher and error correction with the keys of the format.
    ///
    /// # Errors
    /// [`Error::Crypto`] for algorithms that are not known here.
    pub(super) fn crypto(&self) -> Result<BlobCrypto> {
        let format = &self.format;
        let hasher = crypto::hasher(&format.hash, format.secret.expose()).map_err(Error::Crypto)?;
        let encryptor =
            crypto::encryptor(&format.encryption, format.master_key.expose()).map_err(Error::Crypto)?;
        let ecc = if format.has_ecc() {
            Ecc::new(&format.ecc, u32::from(format.ecc_overhead_percent)).map_err(Error::Crypto)?
        } else {
            None
        };
        Ok(BlobCrypto::new(hasher, encryptor, ecc))
    }

    /// Replaces the inner document by `format` under `key`.
    ///
    /// # Errors
    /// [`Error::Format`].
    pub(super) fn sealed(
        &self,
        format: &RepositoryFormat,
        key: &Secret,
        entropy: &dyn Entropy,
    ) -> Result<FormatBlob> {
        let mut blob = self.blob.clone();
        blob.encrypt(entropy, format, key).map_err(Error::Format)?;
        Ok(blob)
    }
}

/// `kopia.repository` as stored.
pub(super) fn read_format_blob(storage: &dyn Storage) -> Result<Vec<u8>> {
    let stored = storage
        .get_optional(&REPOSITORY_BLOB.into())
        .map_err(|source| Error::Storage { action: "read kopia.repository", source })?
        .ok_or_else(|| Error::NoRepository { store: storage.display_name() })?;
    if is_void(&stored) { Err(Error::Void { name: REPOSITORY_BLOB }) } else { Ok(stored) }
}

/// Whether there is nothing but zeroes, as a crash leaves what was not on the disk yet.
fn is_void(stored: &[u8]) -> bool {
    stored.iter().all(|byte| *byte == 0)
}

fn decrypt(blob: &FormatBlob, config: Option<&[u8]>, key: &Secret) -> Result<RepositoryFormat> {
    let mut format = blob.decrypt(key).map_err(|error| match error {
        format::Error::WrongPassword => Error::Format(format::diagnose(blob, config, key)),
        other => Error::Format(other),
    })?;
    format.validate_for_open().map_err(Error::Format)?;
    Ok(format)
}
