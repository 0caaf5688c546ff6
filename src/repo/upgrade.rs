//! Upgrades of the format in steps, with a lock that keeps all others out.
//!
//! The owner places the lock, waits until everyone must have noticed it, copies the index, and removes the lock. Each
//! step looks at what is stored, so an upgrade that was interrupted goes on where it stopped; until the lock is removed
//! it can be rolled back.
//!
//! Source: kopia `repo/format/upgrade_lock.go`, `cli/command_repository_upgrade.go`.

use super::documents::OpenOptions;
use super::retention::put_options;
use super::{Error, FormatEditor, Result};
use crate::base::error_chain;
use crate::blob::{BlobId, StorageExt};
use crate::format::{
    EpochParameters, FormatBlob, REPOSITORY_BACKUP_PREFIX, REPOSITORY_BLOB, RepositoryFormat, UpgradeLock,
    VERSION_NEWEST,
};
use crate::index;
use std::time::Duration;

/// Shortest pause between two looks at the lock.
const POLL_MIN_NANOS: i64 = 100_000_000;

/// What became of a wish to upgrade.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LockOutcome {
    /// The lock is there.
    Placed,
    /// The format is the newest already.
    UpToDate,
}

impl FormatEditor {
    /// Places the lock and names the newest format version, so that clients which know neither stay away, too; or
    /// extends the notice of the lock that this owner has placed before. A copy of the format blob as it was is kept.
    ///
    /// # Errors
    /// [`Error::Format`] for a lock that makes no sense or is another's; [`Error::ChangedMeanwhile`];
    /// [`Error::Storage`].
    pub fn place_upgrade_lock(&mut self, lock: &UpgradeLock) -> Result<LockOutcome> {
        lock.validate().map_err(Error::Format)?;
        let upgrade_lock = match &self.format().upgrade_lock {
            Some(standing) => standing.updated(lock).map_err(Error::Format)?,
            None if self.format().version >= VERSION_NEWEST => return Ok(LockOutcome::UpToDate),
            None => {
                self.check_unchanged()?;
                self.put_backup(&lock.owner_id)?;
                lock.clone()
            }
        };
        let version = VERSION_NEWEST;
        let upgrade_lock = Some(upgrade_lock);
        self.replace_format(RepositoryFormat { version, upgrade_lock, ..self.format().clone() })?;
        Ok(LockOutcome::Placed)
    }

    /// Waits until all other clients must have noticed the lock; `tell` hears how many nanoseconds that takes yet.
    ///
    /// # Errors
    /// [`Error::NoUpgrade`] when the lock goes away meanwhile; [`Error::Canceled`].
    pub fn wait_for_drain(&mut self, options: &OpenOptions, tell: &dyn Fn(i64)) -> Result<()> {
        loop {
            self.reread()?;
            let lock = self.owned_lock(options)?;
            let now = self.environment.clock.now();
            if lock.status(now).drained {
                return Ok(());
            }
            let left = lock.upgrade_time().nanos_since(now);
            tell(left);
            let pause = lock.status_poll_interval.max(POLL_MIN_NANOS).min(left.max(POLL_MIN_NANOS));
            options.pause(&self.environment, Duration::from_nanos(u64::try_from(pause).unwrap_or(0)))?;
        }
    }

    /// Whether the index is in epochs, so that there is nothing to copy and nobody to wait for.
    pub fn has_epochs(&self) -> bool {
        self.format().epoch_parameters.enabled
    }

    /// Copies the index into epochs and makes them count. Only under a lock that all others have noticed: what a
    /// rolled-back upgrade has left is removed before.
    ///
    /// # Errors
    /// [`Error::NoUpgrade`], [`Error::Index`], [`Error::IndexesDiffer`], [`Error::ChangedMeanwhile`],
    /// [`Error::Storage`].
    pub fn upgrade_index(&mut self, options: &OpenOptions) -> Result<()> {
        self.owned_lock(options)?;
        if self.has_epochs() {
            return Ok(());
        }
        self.index_blobs(&EpochParameters::default())?.remove_epochs().map_err(of_index)?;
        let mut parameters = self.parameters()?;
        parameters.upgrade();
        let format = parameters.applied_to(self.format());
        self.copy_index(&format)?;
        self.write_parameters(format, &parameters.config)
    }

    /// Makes sure that the index in epochs says what the old one does; false if there is no old one to compare with.
    ///
    /// # Errors
    /// [`Error::IndexesDiffer`], [`Error::Index`].
    pub fn validate_upgrade(&self) -> Result<bool> {
        let epochs = &self.format().epoch_parameters;
        if !self.index_blobs(epochs)?.has_old().map_err(of_index)? {
            return Ok(false);
        }
        self.compare_indexes(self.format()).map(|()| true)
    }

    /// Removes the lock: everyone may come in, and nothing leads back. The copies of the old format go, too, since a
    /// later upgrade that is rolled back must not find them.
    ///
    /// # Errors
    /// [`Error::NoUpgrade`], [`Error::Index`], [`Error::ChangedMeanwhile`], [`Error::Storage`].
    pub fn commit_upgrade(&mut self, options: &OpenOptions) -> Result<()> {
        self.owned_lock(options)?;
        let blobs = self.index_blobs(&self.format().epoch_parameters)?;
        blobs.poison_old().map_err(of_index)?;
        self.replace_format(RepositoryFormat { upgrade_lock: None, ..self.format().clone() })?;
        if let Err(error) = self.remove_backups() {
            (self.environment.warn)(&error_chain(&error));
        }
        Ok(())
    }

    /// Puts back the format from before the upgrade, which removes the lock. What the owner has written into epochs
    /// meanwhile is lost.
    ///
    /// # Errors
    /// [`Error::NoUpgrade`], [`Error::NoBackup`], [`Error::Format`] when the copy does not open with this password,
    /// [`Error::Storage`].
    pub fn roll_back_upgrade(&mut self) -> Result<()> {
        let Some(lock) = &self.format().upgrade_lock else { return Err(Error::NoUpgrade) };
        let stored = self.find_backup(&lock.owner_id)?;
        let backup = FormatBlob::parse(&stored).map_err(Error::Format)?;
        let format = backup.decrypt(&self.documents.key).map_err(Error::Format)?;
        self.check_unchanged()?;
        if !format.epoch_parameters.enabled {
            let blobs = self.index_blobs(&format.epoch_parameters)?;
            blobs.remove_poison().map_err(of_index)?;
        }
        let options = put_options(&self.documents.config()?)?;
        self.storage
            .put(&REPOSITORY_BLOB.into(), stored.into(), options)
            .map_err(|source| Error::Storage { action: "write kopia.repository", source })?;
        self.remove_backups()?;
        self.reread()
    }

    /// The lock, which must be this client's.
    fn owned_lock(&self, options: &OpenOptions) -> Result<&UpgradeLock> {
        let lock = self.format().upgrade_lock.as_ref();
        lock.filter(|lock| lock.owner_id == options.upgrade_owner).ok_or(Error::NoUpgrade)
    }

    fn replace_format(&mut self, format: RepositoryFormat) -> Result<()> {
        self.check_unchanged()?;
        let config = self.documents.config()?;
        self.write_format(format, &config)
    }

    /// Keeps the format blob, byte for byte, under the owner's name.
    fn put_backup(&self, owner: &str) -> Result<()> {
        let id = BlobId::from(format!("{REPOSITORY_BACKUP_PREFIX}{owner}"));
        let options = put_options(&self.documents.config()?)?;
        self.storage
            .put(&id, self.documents.bytes.clone().into(), options)
            .map_err(|source| Error::Storage { action: "keep a copy of kopia.repository", source })
    }

    /// The copy made for the standing lock; if it is missing the oldest, as Kopia takes it.
    fn find_backup(&self, owner: &str) -> Result<Vec<u8>> {
        let reading = |source| Error::Storage { action: "read the copy of kopia.repository", source };
        let copies = self.storage.list_all(REPOSITORY_BACKUP_PREFIX).map_err(reading)?;
        let own = format!("{REPOSITORY_BACKUP_PREFIX}{owner}");
        let found = copies
            .iter()
            .find(|copy| copy.id.as_str() == own)
            .or_else(|| copies.iter().min_by_key(|copy| copy.timestamp))
            .ok_or(Error::NoBackup)?;
        self.storage.get(&found.id, None).map_err(reading)
    }

    fn remove_backups(&self) -> Result<()> {
        let removing = |source| Error::Storage { action: "remove copies of kopia.repository", source };
        let copies = self.storage.list_all(REPOSITORY_BACKUP_PREFIX).map_err(removing)?;
        copies.iter().try_for_each(|copy| self.storage.delete(&copy.id).map_err(removing))
    }
}

fn of_index(source: index::Error) -> Error {
    Error::Index { action: "upgrade the index", source }
}
