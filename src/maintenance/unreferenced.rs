//! Packs that no index names, and markers of sessions that are over.
//!
//! Source: kopia `repo/maintenance/pack_gc.go`, `repo/content/sessions.go`.

use super::{Error, Result, SafetyParameters};
use crate::base::Timestamp;
use crate::blob::{self, BlobId, BlobMetadata, Storage, StorageExt};
use crate::content::{self, SessionInfo, session_of};
use crate::index::{ActiveSet, MergedIndex};
use crate::repo::Repository;
use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// What is looked through unless a prefix is given: packs and session markers.
const PREFIXES: [&str; 3] = ["p", "q", "s"];
/// Added to the present moment, as Kopia does for clocks that stand still.
const SLACK_NANOS: i64 = 1_000_000_000;
/// Blobs deleted between two looks at the cancel flag.
const BATCH: usize = 200;

/// What is to be removed.
#[derive(Debug, Clone, Copy)]
pub struct BlobGc<'a> {
    /// Only blobs that begin so, if given.
    pub prefix: Option<&'a str>,
    /// Margins.
    pub safety: SafetyParameters,
    /// Count only.
    pub dry_run: bool,
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
    fn add(&mut self, blob: &BlobMetadata) {
        self.blobs += 1;
        self.bytes += blob.length;
    }
}

/// What was found and done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BlobGcReport {
    /// Nothing refers to them, and they are old enough.
    pub unreferenced: Tally,
    /// Nothing refers to them, and they are kept for a while.
    pub retained: Tally,
    /// They were deleted.
    pub deleted: Tally,
}

/// Deletes packs that no index names, and old session markers.
///
/// # Errors
/// [`Error::EmptyIndex`], [`Error::Content`], [`Error::Marker`] and [`Error::BrokenMarker`] when it is not certain what is
/// in use: nothing was deleted. [`Error::Storage`], [`Error::Canceled`].
pub fn collect_blobs(repository: &Repository, gc: BlobGc<'_>, cancel: &AtomicBool) -> Result<BlobGcReport> {
    if let Some(prefix) = gc.prefix.filter(|prefix| !prefix.starts_with(['p', 'q', 's'])) {
        return Err(Error::NoPacks { prefix: prefix.to_owned() });
    }
    let storage = repository.storage().as_ref();
    let cutoff = repository.environment().clock.now().saturating_add_nanos(SLACK_NANOS);
    let sessions = active_sessions(repository)?;
    let (mut report, mut candidates) = (BlobGcReport::default(), Vec::new());
    let used = used_packs(&repository.contents().index());
    let one = gc.prefix.map(|prefix| [prefix]);
    for prefix in one.as_ref().map_or(&PREFIXES[..], |one| &one[..]) {
        let listed = storage.list(prefix, &mut |blob| {
            if !used.contains(&blob.id) {
                if is_kept(&blob, cutoff, gc.safety, &sessions) {
                    report.retained.add(&blob);
                } else {
                    candidates.push(blob);
                }
            }
            Ok(())
        });
        listed.map_err(failed("list the packs"))?;
    }
    drop(used);
    // Others may have named some of them since the index was read.
    repository.contents().refresh()?;
    check_index(repository)?;
    let used = used_packs(&repository.contents().index());
    candidates.retain(|blob| !used.contains(&blob.id));
    for blob in &candidates {
        report.unreferenced.add(blob);
    }
    if !gc.dry_run {
        delete(storage, &candidates, &mut report.deleted, cancel)?;
    }
    Ok(report)
}

fn used_packs(index: &MergedIndex) -> HashSet<BlobId> {
    index.packs().into_iter().collect()
}

/// Reads every index blob that counts once more, one after the other: the index in memory may lack what could not be read.
fn check_index(repository: &Repository) -> Result<()> {
    let index_blobs = repository.contents().index_blobs();
    let failed = |source| content::Error::Index { action: "check the index", source };
    let active = index_blobs.active().map_err(failed)?;
    if let Some(blob) = active.set_aside.first() {
        return Err(Error::EmptyIndex { blob: blob.id.clone() });
    }
    for blob in active.blobs {
        let id = blob.id.clone();
        let alone = ActiveSet { blobs: vec![blob], set_aside: Vec::new(), deletion_watermark: i64::MIN };
        if index_blobs.load(&alone, &|_| {}).map_err(failed)?.is_empty() {
            return Err(Error::EmptyIndex { blob: id });
        }
    }
    Ok(())
}

/// When the newest marker of each session was written.
fn active_sessions(repository: &Repository) -> Result<HashMap<String, Timestamp>> {
    let storage = repository.storage();
    let mut sessions: HashMap<String, Timestamp> = HashMap::new();
    for marker in storage.list_all("s").map_err(failed("list session markers"))? {
        let stored = storage.get_optional(&marker.id).map_err(failed("read a session marker"))?;
        let Some(stored) = stored else { continue };
        let body = repository.contents().format().crypto.open(marker.id.as_str(), stored);
        let body = body.map_err(|source| Error::Marker { marker: marker.id.clone(), source })?;
        let info = serde_json::from_slice::<SessionInfo>(&body).ok();
        let id = session_of(&marker.id);
        let (Some(info), Some(id)) = (info, id) else {
            return Err(Error::BrokenMarker { marker: marker.id });
        };
        let newest = sessions.entry(id.to_owned()).or_insert(info.checkpoint_time);
        *newest = (*newest).max(info.checkpoint_time);
    }
    Ok(sessions)
}

fn is_kept(
    blob: &BlobMetadata,
    cutoff: Timestamp,
    safety: SafetyParameters,
    sessions: &HashMap<String, Timestamp>,
) -> bool {
    let is_younger = |time: Timestamp, age: Duration| {
        i128::from(cutoff.nanos_since(time)) < i128::try_from(age.as_nanos()).unwrap_or(i128::MAX)
    };
    // What is later than now is younger than anything.
    let is_alive = |written: &Timestamp| is_younger(*written, safety.session_age_max);
    blob.timestamp > cutoff
        || is_younger(blob.timestamp, safety.pack_age_min)
        || session_of(&blob.id).and_then(|id| sessions.get(id)).is_some_and(is_alive)
}

fn delete(
    storage: &dyn Storage,
    blobs: &[BlobMetadata],
    deleted: &mut Tally,
    cancel: &AtomicBool,
) -> Result<()> {
    for batch in blobs.chunks(BATCH) {
        if cancel.load(Ordering::Relaxed) {
            return Err(Error::Canceled);
        }
        let ids: Vec<_> = batch.iter().map(|blob| blob.id.clone()).collect();
        storage.delete_many(&ids).map_err(failed("delete packs"))?;
        for blob in batch {
            deleted.add(blob);
        }
    }
    storage.barrier().map_err(failed("delete packs"))
}

fn failed(action: &'static str) -> impl Fn(blob::Error) -> Error {
    move |source| Error::Storage { action, source }
}
