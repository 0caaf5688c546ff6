//! Changes of the format of a repository that exists.
//!
//! Rewriting the format is a read and a write of one blob without a lock between them. What was read is compared with
//! what is there right before the write, so two administrators at once lose a change only within a moment.

use super::documents::{Documents, OpenOptions, read_format_blob};
use super::retention::{put_options, retention};
use super::{Environment, Error, Parameters, Result};
use crate::base::{ErrorClass, Secret};
use crate::blob::{BlobId, Locking, Storage};
use crate::format::{
    BlobConfig, CONFIG_BLOB, EpochParameters, FormatBlob, REPOSITORY_BLOB, RepositoryFormat,
};
use crate::index::{self, EpochSettings, IndexBlobs, IndexDifferences};
use std::sync::Arc;

/// The format of a repository, open to be changed. The index is not read.
pub struct FormatEditor {
    pub(super) storage: Arc<dyn Storage>,
    pub(super) environment: Environment,
    pub(super) documents: Documents,
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
    pub fn open(
        storage: Arc<dyn Storage>,
        password: &Secret,
        environment: Environment,
        options: &OpenOptions,
    ) -> Result<Self> {
        let documents = Documents::open(storage.as_ref(), password, &environment, options)?;
        Ok(Self { storage, environment, documents })
    }

    /// What may be changed of it, as it is.
    ///
    /// # Errors
    /// [`Error::Format`] when `kopia.blobcfg` cannot be read.
    pub fn parameters(&self) -> Result<Parameters> {
        Ok(Parameters::of(self.format(), self.documents.config()?))
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
    /// [`Error::FixedPassword`] in repositories of format version 1; [`Error::UpgradeInProgress`], because the way back
    /// from an upgrade leads to the old password; [`Error::ChangedMeanwhile`]: nothing was written;
    /// [`Error::Storage`].
    ///
    /// Source: kopia `repo/format/format_change_password.go`.
    pub fn change_password(&mut self, password: &Secret) -> Result<()> {
        let Documents { blob, format, .. } = &self.documents;
        if !format.enable_password_change {
            return Err(Error::FixedPassword);
        }
        if format.upgrade_lock.is_some() {
            return Err(Error::UpgradeInProgress);
        }
        let key = blob.derive_key(password).map_err(Error::Format)?;
        let config = match self.documents.config() {
            // What a change that was interrupted has left.
            Err(first) => self.documents.config_under(&key).map_err(|_| first)?,
            config => config?,
        };
        let blob = self.documents.sealed(format, &key, self.environment.entropy.as_ref())?;
        self.check_unchanged()?;
        if config == BlobConfig::default() && self.remove_config()? {
            self.put_format(&blob, &config)?;
            self.put_config(&config, &key)?;
        } else {
            self.put_config(&config, &key)?;
            self.put_format(&blob, &config)?;
        }
        self.documents = Documents::read(self.storage.as_ref(), password, self.environment.clock.as_ref())?;
        Ok(())
    }

    /// Puts `parameters` in the place of those there are. Other clients notice within 15 minutes.
    ///
    /// If they bring epochs to a repository without, its index is copied into the first epoch before, and clients that
    /// still look for the old one find a blob that stops them. What others write into the old index during the copy is
    /// copied, too; what they write later is lost, so they must be disconnected.
    ///
    /// # Errors
    /// [`Error::Format`] for parameters that make no sense: nothing was written; [`Error::ChangedMeanwhile`]: the same;
    /// [`Error::IndexesDiffer`]: nothing was written that counts; [`Error::Index`], [`Error::Storage`].
    ///
    /// Source: kopia `repo/format/format_set_parameters.go`, `cli/command_repository_set_parameters.go`.
    pub fn set_parameters(&mut self, parameters: &Parameters) -> Result<()> {
        let format = parameters.applied_to(self.format());
        format.validate_for_write().map_err(Error::Format)?;
        parameters.config.validate().map_err(Error::Format)?;
        if !format.epoch_parameters.enabled || self.format().epoch_parameters.enabled {
            return self.write_parameters(format, &parameters.config);
        }
        let copied = self.copy_index(&format)?;
        self.write_parameters(format, &parameters.config)?;
        let blobs = self.index_blobs(&EpochParameters::default())?;
        if blobs.active().map_err(copying)?.blobs.iter().any(|blob| !copied.contains(&blob.id)) {
            blobs.copy_to_epochs(&*self.environment.warn).map_err(copying)?;
        }
        blobs.poison_old().map_err(copying)
    }

    /// Copies the index into epochs, and makes sure that nothing is missing; the blobs that were read.
    pub(super) fn copy_index(&self, format: &RepositoryFormat) -> Result<Vec<BlobId>> {
        let warn = &*self.environment.warn;
        let copied = self.index_blobs(&EpochParameters::default())?.copy_to_epochs(warn).map_err(copying)?;
        self.compare_indexes(format)?;
        Ok(copied)
    }

    /// Makes sure that the index in epochs says what the old one does.
    pub(super) fn compare_indexes(&self, format: &RepositoryFormat) -> Result<()> {
        let warn = &*self.environment.warn;
        let blobs = self.index_blobs(&format.epoch_parameters)?;
        let IndexDifferences { total, examples } = blobs.compare_with_old(warn).map_err(copying)?;
        if total == 0 {
            return Ok(());
        }
        for example in &examples {
            warn(example);
        }
        Err(Error::IndexesDiffer { total })
    }

    pub(super) fn index_blobs(&self, epochs: &EpochParameters) -> Result<IndexBlobs> {
        let (clock, entropy) = (Arc::clone(&self.environment.clock), Arc::clone(&self.environment.entropy));
        let storage = Locking::around(Arc::clone(&self.storage), retention(&self.documents.config()?)?);
        Ok(IndexBlobs::new(
            storage,
            self.documents.crypto()?,
            EpochSettings::new(epochs.clone()),
            clock,
            entropy,
        ))
    }

    pub(super) fn write_parameters(&mut self, format: RepositoryFormat, config: &BlobConfig) -> Result<()> {
        self.check_unchanged()?;
        self.put_config(config, &self.documents.key)?;
        self.write_format(format, config)?;
        self.reread()
    }

    /// Writes `kopia.repository` alone.
    pub(super) fn write_format(&mut self, format: RepositoryFormat, config: &BlobConfig) -> Result<()> {
        let entropy = self.environment.entropy.as_ref();
        let blob = self.documents.sealed(&format, &self.documents.key, entropy)?;
        self.put_format(&blob, config)?;
        self.documents.bytes = blob.to_bytes();
        self.documents.blob = blob;
        self.documents.format = format;
        Ok(())
    }

    /// Looks at what is stored now.
    pub(super) fn reread(&mut self) -> Result<()> {
        self.documents = self.documents.reread(self.storage.as_ref(), self.environment.clock.as_ref())?;
        Ok(())
    }

    pub(super) fn check_unchanged(&self) -> Result<()> {
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
            .put(&CONFIG_BLOB.into(), sealed.into(), put_options(config)?)
            .map_err(|source| Error::Storage { action: "write kopia.blobcfg", source })
    }

    fn put_format(&self, blob: &FormatBlob, config: &BlobConfig) -> Result<()> {
        self.storage
            .put(&REPOSITORY_BLOB.into(), blob.to_bytes().into(), put_options(config)?)
            .map_err(|source| Error::Storage { action: "write kopia.repository", source })
    }
}

fn copying(source: index::Error) -> Error {
    Error::Index { action: "copy the index into epochs", source }
}
