//! Changes of the format of a repository that exists.
//!
//! Rewriting the format is a read and a write of one blob without a lock between them. What was read is compared with
//! what is there right before the write, so two administrators at once lose a change only within a moment.

use super::documents::{Documents, read_format_blob};
use super::{Environment, Error, Result};
use crate::base::{ErrorClass, Secret};
use crate::blob::{Storage, StorageExt};
use crate::format::{BlobConfig, CONFIG_BLOB, FormatBlob, REPOSITORY_BLOB, RepositoryFormat};
use std::sync::Arc;

/// The format of a repository, open to be changed. The index is not read.
pub struct FormatEditor {
    storage: Arc<dyn Storage>,
    environment: Environment,
    documents: Documents,
}

impl std::fmt::Debug for FormatEditor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FormatEditor").field("storage", &self.storage).finish_non_exhaustive()
    }
}

impl FormatEditor {
    /// Opens the format of the repository in `storage`.
    ///
    /// # Errors
    /// Those of [`Repository::open`](super::Repository::open) that concern the format.
    pub fn open(storage: Arc<dyn Storage>, password: &Secret, environment: Environment) -> Result<Self> {
        let documents = Documents::read(storage.as_ref(), password)?;
        documents.admit(&environment, "")?;
        Ok(Self { storage, environment, documents })
    }

    /// The format as it is.
    pub fn format(&self) -> &RepositoryFormat {
        &self.documents.format
    }

    /// Encrypts both blobs with the key of another password. Contents and indexes stay as they are: their keys do not
    /// come from the password.
    ///
    /// After a crash the repository opens with the old password or with the new one, to Kopia as well, if nothing is set
    /// in `kopia.blobcfg`: that blob goes first and comes back last, and without it nothing is set. Otherwise it is
    /// written first, as Kopia does; a crash then leaves blobs of two passwords, and the same change asked for again,
    /// from the same old password, completes it.
    ///
    /// # Errors
    /// [`Error::FixedPassword`] in repositories of format version 1; [`Error::ChangedMeanwhile`]: nothing was written;
    /// [`Error::Storage`].
    ///
    /// Source: kopia `repo/format/format_change_password.go`.
    pub fn change_password(&mut self, password: &Secret) -> Result<()> {
        let Documents { blob, format, .. } = &self.documents;
        if !format.enable_password_change {
            return Err(Error::FixedPassword);
        }
        let key = blob.derive_key(password).map_err(Error::Format)?;
        let config = match self.documents.config() {
            // What a change that was interrupted has left.
            Err(first) => self.documents.config_under(&key).map_err(|_| first)?,
            config => config?,
        };
        let blob = self.sealed(format, &key)?;
        self.check_unchanged()?;
        if config == BlobConfig::default() && self.remove_config()? {
            self.put_format(&blob)?;
            self.put_config(&config, &key)?;
        } else {
            self.put_config(&config, &key)?;
            self.put_format(&blob)?;
        }
        self.documents.bytes = blob.to_bytes();
        self.documents.blob = blob;
        self.documents.key = key;
        Ok(())
    }

    /// The outer document around `format`.
    fn sealed(&self, format: &RepositoryFormat, key: &Secret) -> Result<FormatBlob> {
        let mut blob = self.documents.blob.clone();
        blob.encrypt(self.environment.entropy.as_ref(), format, key).map_err(Error::Format)?;
        Ok(blob)
    }

    fn check_unchanged(&self) -> Result<()> {
        if read_format_blob(self.storage.as_ref())? == self.documents.bytes {
            return Ok(());
        }
        Err(Error::ChangedMeanwhile)
    }

    /// Removes `kopia.blobcfg`, for good before anything else is written; false where that is not allowed.
    fn remove_config(&self) -> Result<bool> {
        match self.storage.delete(&CONFIG_BLOB.into()).and_then(|()| self.storage.barrier()) {
            Err(error) if error.class() == ErrorClass::Denied => Ok(false),
            Err(source) => Err(Error::Storage { action: "remove kopia.blobcfg", source }),
            Ok(()) => Ok(true),
        }
    }

    fn put_config(&self, config: &BlobConfig, key: &Secret) -> Result<()> {
        let unique_id = &self.documents.blob.unique_id;
        let sealed = config.seal(self.environment.entropy.as_ref(), key, unique_id).map_err(Error::Format)?;
        self.storage
            .put_now(&CONFIG_BLOB.into(), &sealed)
            .map_err(|source| Error::Storage { action: "write kopia.blobcfg", source })
    }

    fn put_format(&self, blob: &FormatBlob) -> Result<()> {
        self.storage
            .put_now(&REPOSITORY_BLOB.into(), &blob.to_bytes())
            .map_err(|source| Error::Storage { action: "write kopia.repository", source })
    }
}
