//! Copies of whole repositories, blob by blob, from one store into another.
//!
//! Invariants:
//! - **Y1** the destination is a sound repository, or none yet, at every moment: no index blob is there before its packs,
//!   none that others build on is there later, `kopia.repository` comes last; deletions go the other way round;
//! - **Y2** nothing is copied over another repository, nor over data that is no repository;
//! - **Y3** a dry run writes nothing;
//! - **Y4** memory follows the number of blobs (a name and 32 bytes for each of the destination, and for each to copy or
//!   delete), and blobs in flight have a budget.
//!
//! A first copy that was stopped is known by a marker blob, which Kopia passes over: `copying.packhorse.<unique id>`.
//!
//! Source: kopia `cli/command_repository_sync.go`.

mod listing;
mod plan;

use super::{Error, Result};
use crate::base::{Counter, Monitor};
use crate::blob::{self, BlobId, BlobMetadata, Copier, CopyReport, Storage, StorageExt};
use crate::format::{FormatBlob, REPOSITORY_BLOB};
use listing::Listing;
use plan::{KINDS, Kind, Plan};
use std::sync::atomic::{AtomicBool, Ordering};

/// How often the stores are compared anew because blobs vanished from the source.
const PASSES_MAX: u32 = 3;
/// Blobs deleted between two looks at the cancel flag.
const DELETE_BATCH: usize = 200;
const MARKER_PREFIX: &str = "copying.packhorse.";
const MARKER_TEXT: &[u8] = b"A copy of a repository was begun here and has not ended.\n";

/// What is copied, and how.
#[derive(Debug, Clone, Copy)]
#[expect(clippy::struct_excessive_bools, reason = "they are the switches of the command")]
pub struct SyncOptions {
    /// Copy blobs again that are newer in the source.
    pub update: bool,
    /// Delete blobs that only the destination has.
    pub delete: bool,
    /// Compare only.
    pub dry_run: bool,
    /// Refuse a destination without a repository.
    pub must_exist: bool,
    /// Give copies the times of the source, where the destination can.
    pub keep_times: bool,
    /// Blobs copied at once.
    pub threads: usize,
    /// Bytes of blobs in memory at once.
    pub in_flight_bytes: u64,
}

/// Blobs and their bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// How many.
    pub blobs: u64,
    /// How long together.
    pub bytes: u64,
}

impl Tally {
    fn add(&mut self, bytes: u64) {
        self.blobs += 1;
        self.bytes += bytes;
    }

    fn of(listings: &[Listing]) -> Self {
        listings.iter().fold(Self::default(), |sum, listing| Self {
            blobs: sum.blobs + listing.len() as u64,
            bytes: sum.bytes + listing.bytes(),
        })
    }
}

/// What was found when two stores were compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SyncPlan {
    /// Blobs of the source.
    pub source: Tally,
    /// Blobs of the destination.
    pub destination: Tally,
    /// Blobs of the source that are in the destination, too.
    pub in_sync: Tally,
    /// Blobs to copy.
    pub to_copy: Tally,
    /// Blobs to delete.
    pub to_delete: Tally,
}

/// What was done.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SyncReport {
    /// What was found at first.
    pub plan: SyncPlan,
    /// What was copied, and what had gone meanwhile.
    pub copied: CopyReport,
    /// What was deleted.
    pub deleted: Tally,
}

/// Makes the repository in `to` equal to the one in `from`. `planned` hears of every comparison.
///
/// # Errors
/// [`Error::NoRepository`] for the source; [`Error::OtherRepository`], [`Error::NotEmpty`] and [`Error::NoCopy`] for a
/// destination that will not do; [`Error::SourceChanges`] when blobs vanish again and again; [`Error::Canceled`];
/// [`Error::Storage`].
pub fn sync_to(
    from: &dyn Storage,
    to: &dyn Storage,
    options: &SyncOptions,
    cancel: &AtomicBool,
    monitor: &dyn Monitor,
    planned: &dyn Fn(&SyncPlan),
) -> Result<SyncReport> {
    let copier = Copier::new(from, to, options.threads)
        .in_flight_bytes(options.in_flight_bytes)
        .keep_times(options.keep_times)
        .cancel(cancel)
        .monitor(monitor);
    let marker = marker(&source_id(from)?);
    let is_first = is_first_copy(from, to, options, &marker)?;
    let mut run = Run { from, to, options, cancel, copier, is_first, report: SyncReport::default() };
    if is_first && !options.dry_run {
        to.put_now(&marker, MARKER_TEXT).map_err(|source| failed("begin the copy", source))?;
    }
    for pass in 0..PASSES_MAX {
        let plan = run.plan(pass, planned)?;
        if options.dry_run {
            return Ok(run.report);
        }
        let to_copy = plan.to_copy();
        monitor.add(Counter::ExpectedFiles, to_copy.blobs);
        monitor.add(Counter::ExpectedBytes, to_copy.bytes);
        if run.copy(plan.copies)? {
            run.delete(&plan.deletions)?;
            to.delete(&marker).map_err(|source| failed("end the copy", source))?;
            return Ok(run.report);
        }
    }
    Err(Error::SourceChanges)
}

/// The unique id of the source.
fn source_id(from: &dyn Storage) -> Result<Vec<u8>> {
    let found = unique_id(from)?;
    found.ok_or_else(|| Error::NoRepository { store: from.display_name() })
}

fn unique_id(store: &dyn Storage) -> Result<Option<Vec<u8>>> {
    let bytes = store.get_optional(&REPOSITORY_BLOB.into());
    let bytes = bytes.map_err(|source| failed("read kopia.repository", source))?;
    bytes.map(|bytes| Ok(FormatBlob::parse(&bytes).map_err(Error::Format)?.unique_id)).transpose()
}

fn marker(unique_id: &[u8]) -> BlobId {
    format!("{MARKER_PREFIX}{}", hex::encode(unique_id)).into()
}

/// Whether the destination has no repository yet, and may become one.
fn is_first_copy(
    from: &dyn Storage,
    to: &dyn Storage,
    options: &SyncOptions,
    marker: &BlobId,
) -> Result<bool> {
    let store = || to.display_name();
    match unique_id(to)? {
        Some(id) if id == source_id(from)? => Ok(false),
        Some(_) => Err(Error::OtherRepository { store: store() }),
        None if options.must_exist => Err(Error::NoCopy { store: store() }),
        None => {
            let begun = to.get_optional(marker).map_err(|source| failed("look for a copy", source))?;
            if begun.is_none() && !is_empty(to)? {
                return Err(Error::NotEmpty { store: store() });
            }
            Ok(true)
        }
    }
}

fn is_empty(store: &dyn Storage) -> Result<bool> {
    let mut is_empty = true;
    let stop = || blob::Error::Canceled;
    let listed = store.list("", &mut |_| {
        is_empty = false;
        Err(stop())
    });
    match listed {
        Err(error) if is_empty => Err(failed("list the destination", error)),
        _ => Ok(is_empty),
    }
}

struct Run<'a> {
    from: &'a dyn Storage,
    to: &'a dyn Storage,
    options: &'a SyncOptions,
    cancel: &'a AtomicBool,
    copier: Copier<'a>,
    /// Whether nobody can read the destination yet.
    is_first: bool,
    report: SyncReport,
}

impl Run<'_> {
    fn plan(&mut self, pass: u32, planned: &dyn Fn(&SyncPlan)) -> Result<Plan> {
        let plan = Plan::make(self.from, self.to, self.options)
            .map_err(|source| failed("compare the stores", source))?;
        let found = SyncPlan {
            source: plan.source,
            destination: plan.destination,
            in_sync: plan.in_sync,
            to_copy: plan.to_copy(),
            to_delete: plan.to_delete(),
        };
        planned(&found);
        if pass == 0 {
            self.report.plan = found;
        }
        Ok(plan)
    }

    /// Copies kind after kind; `false` when packs or index blobs had gone, and what was listed is no sound whole any more.
    fn copy(&mut self, copies: [Listing; KINDS.len()]) -> Result<bool> {
        for (kind, mut blobs) in KINDS.into_iter().zip(copies) {
            let is_whole = if kind == Kind::Index && !self.is_first {
                blobs.sort_by_time();
                self.copy_in_order(&blobs)?
            } else {
                self.copy_some(blobs.iter())?
            };
            if !is_whole && matches!(kind, Kind::Pack | Kind::Index) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Copies blobs; whether none had gone.
    fn copy_some(&mut self, blobs: impl Iterator<Item = BlobMetadata> + Send) -> Result<bool> {
        let copied = self.copier.run(blobs).map_err(|source| failed("copy blobs", source))?;
        let is_whole = copied.vanished.is_empty();
        self.report.copied.add(copied);
        Ok(is_whole)
    }

    /// Index blobs one after the other, as they were written: later ones may refer to contents of earlier ones.
    fn copy_in_order(&mut self, blobs: &Listing) -> Result<bool> {
        for blob in blobs.iter() {
            if !self.copy_some(std::iter::once(blob))? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn delete(&mut self, deletions: &[Listing; KINDS.len()]) -> Result<()> {
        for blobs in deletions.iter().rev().filter(|blobs| !blobs.is_empty()) {
            let mut blobs = blobs.iter();
            loop {
                let batch: Vec<BlobMetadata> = blobs.by_ref().take(DELETE_BATCH).collect();
                if batch.is_empty() {
                    break;
                }
                self.delete_batch(&batch)?;
            }
            self.to.barrier().map_err(|source| failed("delete blobs", source))?;
        }
        Ok(())
    }

    fn delete_batch(&mut self, batch: &[BlobMetadata]) -> Result<()> {
        if self.cancel.load(Ordering::Relaxed) {
            return Err(Error::Canceled);
        }
        let ids: Vec<BlobId> = batch.iter().map(|blob| blob.id.clone()).collect();
        self.to.delete_many(&ids).map_err(|source| failed("delete blobs", source))?;
        for blob in batch {
            self.report.deleted.add(blob.length);
        }
        Ok(())
    }
}

fn failed(action: &'static str, source: blob::Error) -> Error {
    match source {
        blob::Error::Canceled => Error::Canceled,
        source => Error::Storage { action, source },
    }
}
