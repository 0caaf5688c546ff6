//! A second copy of the repository, kept while the first is written.
//!
//! [`Mirrored`] sends packs to both stores. The rest is done here, after each flush: what the primary has and the mirror
//! lacks is copied in an order that leaves the mirror a repository at every moment. What is owed is not kept in a list of
//! its own, which a crash could lose and another client could not know of: it is the difference of the two listings of
//! index blobs, and so an index blob of any client, Kopia's too, brings along the packs it names.
//!
//! Invariants:
//! - **N1** an index blob is put into the mirror only after all packs it names, and after all index blobs that the primary
//!   got before it;
//! - **N2** nothing is deleted in the mirror while an index blob is owed, and no index blob that the primary has;
//! - **N3** `kopia.repository` comes last into a new mirror;
//! - **N4** nothing is written into the mirror of another repository;
//! - **N5** no failure of the mirror fails the run.

mod compare;
mod debt;

pub use compare::{Comparison, compare};

use super::{Error, Repository, Result};
use crate::base::{MIB, error_chain};
use crate::blob::{self, BlobId, BlobMetadata, Copier, CopyReport, Mirrored, StorageExt};
use crate::format::{CONFIG_BLOB, FormatBlob, REPOSITORY_BLOB};
use debt::Debt;
use std::time::Duration;

/// Packs copied at once; each is in memory as a whole.
const PACKS_AT_ONCE: usize = 2;
/// Bytes in memory at once; a longer blob goes alone.
const IN_FLIGHT_BYTES: u64 = 24 * MIB;
/// Index blobs of a new mirror copied at once; nobody can open it yet.
const INDEXES_AT_ONCE: usize = 16;
/// An index blob of which the primary knows nothing must be so old before it is deleted in the mirror: no listing lags so
/// far behind.
const STRAY_AGE: Duration = Duration::from_hours(24);

/// What was done to bring a mirror up to date.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CaughtUp {
    /// Packs that had to be copied after the run that wrote them.
    pub packs: u64,
    /// Index blobs and markers of epochs.
    pub indexes: u64,
    /// Bytes of both.
    pub bytes: u64,
    /// Blobs deleted because the primary has them no more.
    pub deleted: usize,
}

/// Whose repository a mirror holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holds {
    /// This one.
    Same,
    /// None yet.
    Nothing,
}

/// Looks whether the mirror is one of `repository`, and if it is, lets packs go there from now on.
///
/// # Errors
/// [`Error::ForeignMirror`], [`Error::Mirror`].
pub fn join(repository: &Repository, mirrored: &Mirrored) -> Result<Holds> {
    let holds = holds(repository.unique_id(), mirrored)?;
    mirrored.take_packs();
    Ok(holds)
}

fn holds(unique_id: &[u8], mirrored: &Mirrored) -> Result<Holds> {
    let mirror = mirrored.mirror();
    let stored =
        mirror.get_optional(&REPOSITORY_BLOB.into()).map_err(failed("read the format of the mirror"))?;
    let Some(stored) = stored else { return Ok(Holds::Nothing) };
    let blob = FormatBlob::parse(&stored).map_err(Error::Format)?;
    if blob.unique_id == unique_id {
        return Ok(Holds::Same);
    }
    Err(Error::ForeignMirror { store: mirror.display_name() })
}

/// Copies to the mirror what it lacks.
///
/// # Errors
/// [`Error::ForeignMirror`], [`Error::Mirror`]; the mirror is then a repository as before, and the next call goes on.
pub fn catch_up(repository: &Repository, mirrored: &Mirrored) -> Result<CaughtUp> {
    let holds = holds(repository.unique_id(), mirrored)?;
    let debt = Debt::find(repository, mirrored)?;
    let mut done = CaughtUp::default();
    send_packs(mirrored, &debt, &mut done)?;
    send_indexes(mirrored, &debt, holds, &mut done)?;
    send_documents(mirrored, &debt)?;
    let deleted = mirrored.take_deleted();
    let outcome = delete(repository, mirrored, &deleted, &debt);
    if outcome.is_err() {
        mirrored.owe_deleted(deleted);
    }
    done.deleted = outcome?;
    Ok(done)
}

/// The same for a run whose own result does not depend on it: a failure is only told.
pub(super) fn keep_up(repository: &Repository, mirrored: &Mirrored) {
    match catch_up(repository, mirrored) {
        Ok(done) => tracing::debug!(?done, "the mirror is up to date"),
        Err(error) => repository.warn(&format!(
            "the mirror {} is behind, the next run catches up: {}",
            mirrored.mirror().display_name(),
            error_chain(&error)
        )),
    }
}

/// N1, first half: the packs that the owed index blobs name.
fn send_packs(mirrored: &Mirrored, debt: &Debt, done: &mut CaughtUp) -> Result<()> {
    let copied = copy(mirrored, PACKS_AT_ONCE, &debt.packs)?;
    done.packs = copied.copied;
    done.bytes += copied.copied_bytes;
    // Those that went there while the run wrote them are not synced yet.
    mirrored.mirror().barrier().inspect_err(|_| mirrored.doubt_packs()).map_err(failed("sync the mirror"))
}

/// N1, second half: the owed index blobs, oldest first.
fn send_indexes(mirrored: &Mirrored, debt: &Debt, holds: Holds, done: &mut CaughtUp) -> Result<()> {
    let at_once = if holds == Holds::Nothing { INDEXES_AT_ONCE } else { 1 };
    let copied = copy(mirrored, at_once, &debt.indexes)?;
    done.indexes = copied.copied;
    done.bytes += copied.copied_bytes;
    Ok(())
}

/// N3: the documents of the repository, its format last.
fn send_documents(mirrored: &Mirrored, debt: &Debt) -> Result<()> {
    let (format, others): (Vec<_>, Vec<_>) =
        debt.documents.iter().cloned().partition(|blob| blob.id.as_str() == REPOSITORY_BLOB);
    let (config, others): (Vec<_>, Vec<_>) =
        others.into_iter().partition(|blob| blob.id.as_str() == CONFIG_BLOB);
    for blobs in [others, config, format] {
        copy(mirrored, 1, &blobs)?;
    }
    Ok(())
}

/// N2: what was deleted in the primary, and index blobs that it has not had for long.
fn delete(repository: &Repository, mirrored: &Mirrored, deleted: &[BlobId], debt: &Debt) -> Result<usize> {
    let now = repository.environment().clock.now();
    let is_old = |blob: &BlobMetadata| {
        let age = now.as_nanos().saturating_sub(blob.timestamp.as_nanos());
        age > i64::try_from(STRAY_AGE.as_nanos()).unwrap_or(i64::MAX)
    };
    let strays = debt.strays.iter().filter(|blob| is_old(blob)).map(|blob| blob.id.clone());
    let mut ids = Vec::new();
    for id in deleted.iter().cloned().chain(strays) {
        // Asked for by name: a listing may lag, and a name may have been used again.
        let is_there = match mirrored.primary().metadata(&id) {
            Ok(_) => true,
            Err(error) if error.is_not_found() => false,
            Err(source) => return Err(failed("look whether the primary still has a blob")(source)),
        };
        if !is_there {
            ids.push(id);
        }
    }
    mirrored.mirror().delete_many(&ids).map_err(failed("delete in the mirror"))?;
    Ok(ids.len())
}

fn copy(mirrored: &Mirrored, at_once: usize, blobs: &[BlobMetadata]) -> Result<CopyReport> {
    if blobs.is_empty() {
        return Ok(CopyReport::default());
    }
    let (from, to) = (&**mirrored.primary(), &**mirrored.mirror());
    let copier = Copier::new(from, to, at_once).in_flight_bytes(IN_FLIGHT_BYTES);
    copier.run(blobs.iter().cloned()).map_err(failed("copy to the mirror"))
}

fn failed(action: &'static str) -> impl Fn(blob::Error) -> Error {
    move |source| Error::Mirror { action, source }
}

/// Whether a document of the primary is another one than the mirror's: by length, and by time, as `sync-to` does it.
fn is_newer(primary: &BlobMetadata, mirror: &BlobMetadata) -> bool {
    // Whole seconds are all that some stores keep.
    primary.length != mirror.length || primary.timestamp.as_seconds() > mirror.timestamp.as_seconds()
}
