//! Looks at the format again while a repository is open for long.
//!
//! Whoever upgrades a repository waits until every client must have noticed the lock. That is what this is for: before
//! a change of the store, and at most once in [`FORMAT_LIFETIME`], `kopia.repository` is read anew. Reading needs no
//! look, since an upgrade removes nothing.
//!
//! A repository without epochs can also be upgraded without a lock, and an index written into the old place meanwhile
//! would never be found. There the format is read once more after each index blob, so that the run fails instead.

use super::documents::{Documents, OpenOptions, read_format_blob};
use super::{Environment, Error, Result};
use crate::base::Timestamp;
use crate::blob::pass_on::pass_on;
use crate::blob::{self, BlobId, PutOptions, Retention, Storage};
use crate::format;
use crate::index::EpochSettings;
use bytes::Bytes;
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;

/// How long a client may go on without a look at the format; those who upgrade count on it.
///
/// Source: kopia `repo/format/format_blob_cache.go`, `DefaultRepositoryBlobCacheDuration`.
pub const FORMAT_LIFETIME: Duration = Duration::from_mins(15);

/// What index blobs without epochs begin with.
const OLD_INDEX: &str = "n";

/// A store that takes changes only while the format allows them.
pub(super) struct Guarded {
    inner: Arc<dyn Storage>,
    environment: Environment,
    options: OpenOptions,
    epochs: EpochSettings,
    seen: Mutex<Seen>,
}

/// The format as it was when it was last looked at.
struct Seen {
    documents: Documents,
    at: Timestamp,
}

impl Guarded {
    /// Guards `inner`, whose format was read as `documents`.
    pub(super) fn new(
        inner: Arc<dyn Storage>,
        environment: Environment,
        options: OpenOptions,
        documents: Documents,
    ) -> Self {
        let epochs = EpochSettings::new(documents.format.epoch_parameters.clone());
        let seen = Mutex::new(Seen { at: documents.read_at, documents });
        Self { inner, environment, options, epochs, seen }
    }

    /// How index blobs are kept, as last seen.
    pub(super) fn epochs(&self) -> &EpochSettings {
        &self.epochs
    }

    fn check(&self, id: &BlobId) -> blob::Result<()> {
        self.look_if_due().map_err(|error| refused(id, error))
    }

    /// Looks if it is time to. Others wait meanwhile: none of them may change anything before.
    fn look_if_due(&self) -> Result<()> {
        let mut seen = self.seen.lock();
        let now = self.environment.clock.now();
        // A clock that was set back says nothing about how much time has passed.
        if now >= seen.at && now.nanos_since(seen.at) < self.options.format_lifetime() {
            return Ok(());
        }
        self.look(&mut seen)?;
        seen.documents.check_upgrade(&self.environment, &self.options).map_err(Error::Format)?;
        seen.at = now;
        Ok(())
    }

    /// Reads the format anew; whether what is open can go on being used as it is.
    fn look(&self, seen: &mut Seen) -> Result<()> {
        if read_format_blob(self.inner.as_ref())? != seen.documents.bytes {
            let documents = seen
                .documents
                .reread(self.inner.as_ref(), self.environment.clock.as_ref())
                .map_err(of_reread)?;
            for warning in documents.check_features(&self.options)? {
                (self.environment.warn)(&warning);
            }
            seen.documents = documents;
        }
        if self.epochs.adopt(&seen.documents.format.epoch_parameters) {
            Ok(())
        } else {
            Err(Error::FormatChanged)
        }
    }
}

fn refused(id: &BlobId, error: Error) -> blob::Error {
    blob::Error::Refused { id: id.clone(), class: error.class(), source: Box::new(error) }
}

/// The key in memory opened the format before.
fn of_reread(error: Error) -> Error {
    match error {
        // Two keys: between the two blobs of a change of the password.
        Error::Format(format::Error::WrongPassword | format::Error::TwoKeys { .. }) => Error::PasswordChanged,
        other => other,
    }
}

impl Storage for Guarded {
    pass_on!(
        inner: get, get_within, metadata, barrier, adopt, list, capacity, is_read_only, display_name, parallelism
    );

    fn put(&self, id: &BlobId, data: Bytes, options: PutOptions) -> blob::Result<()> {
        self.check(id)?;
        self.inner.put(id, data, options)?;
        if id.as_str().starts_with(OLD_INDEX) {
            // A lock alone is no harm: its owner copies the index later.
            self.look(&mut self.seen.lock()).map_err(|error| refused(id, error))?;
        }
        Ok(())
    }

    fn delete(&self, id: &BlobId) -> blob::Result<()> {
        self.check(id)?;
        self.inner.delete(id)
    }

    fn delete_many(&self, ids: &[BlobId]) -> blob::Result<()> {
        ids.first().map_or(Ok(()), |id| self.check(id))?;
        self.inner.delete_many(ids)
    }

    fn extend_retention(&self, id: &BlobId, retention: Retention) -> blob::Result<()> {
        self.check(id)?;
        self.inner.extend_retention(id, retention)
    }
}

impl std::fmt::Debug for Guarded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Guarded").field("inner", &self.inner).finish_non_exhaustive()
    }
}

impl OpenOptions {
    /// Nanoseconds for which what is known of the format may be used.
    fn format_lifetime(&self) -> i64 {
        let lifetime = self.format_lifetime.map_or(FORMAT_LIFETIME, |given| given.min(FORMAT_LIFETIME));
        i64::try_from(lifetime.as_nanos()).unwrap_or(i64::MAX)
    }
}
