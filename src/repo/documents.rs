//! The documents of a repository's format, read and decrypted.

use super::{Environment, Error, Result};
use crate::base::Secret;
use crate::blob::{Storage, StorageExt};
use crate::format::{self, BlobConfig, CONFIG_BLOB, FormatBlob, REPOSITORY_BLOB, RepositoryFormat};

/// `kopia.repository`, open, and `kopia.blobcfg` beside it.
pub(super) struct Documents {
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
    pub(super) fn read(storage: &dyn Storage, password: &Secret) -> Result<Self> {
        let bytes = read_format_blob(storage)?;
        let blob = FormatBlob::parse(&bytes).map_err(Error::Format)?;
        let stored_config = storage
            .get_optional(&CONFIG_BLOB.into())
            .map_err(|source| Error::Storage { action: "read kopia.blobcfg", source })?;
        let key = blob.derive_key(password).map_err(Error::Format)?;
        let format = decrypt(&blob, stored_config.as_deref(), &key)?;
        Ok(Self { bytes, blob, key, format, stored_config })
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

    /// Whether this client may go on: it knows all required features, and nobody else upgrades the repository.
    ///
    /// # Errors
    /// [`Error::Format`].
    pub(super) fn admit(&self, environment: &Environment, client: &str) -> Result<()> {
        for warning in self.format.check_features().map_err(Error::Format)? {
            (environment.warn)(&warning);
        }
        self.format.check_upgrade_lock(environment.clock.now(), client).map_err(Error::Format)
    }
}

/// `kopia.repository` as stored.
pub(super) fn read_format_blob(storage: &dyn Storage) -> Result<Vec<u8>> {
    storage
        .get_optional(&REPOSITORY_BLOB.into())
        .map_err(|source| Error::Storage { action: "read kopia.repository", source })?
        .ok_or_else(|| Error::NoRepository { store: storage.display_name() })
}

fn decrypt(blob: &FormatBlob, config: Option<&[u8]>, key: &Secret) -> Result<RepositoryFormat> {
    let mut format = blob.decrypt(key).map_err(|error| match error {
        format::Error::WrongPassword => Error::Format(format::diagnose(blob, config, key)),
        other => Error::Format(other),
    })?;
    format.validate_for_open().map_err(Error::Format)?;
    Ok(format)
}
