//! Retention at work: which snapshots of a source go, and their going.
//!
//! Only manifests are deleted; what nothing else needs is collected by maintenance.

use super::{Catalog, Result, SnapshotManifest, SourceFilter, SourceInfo};
use crate::policy::{self, RetentionCandidate, RetentionPolicy};
use crate::repo::RepositoryWriter;
use jiff::tz::TimeZone;

impl SnapshotManifest {
    /// What retention needs to know of the snapshot.
    pub fn retention_candidate(&self) -> RetentionCandidate {
        RetentionCandidate {
            start: self.start_time,
            end: self.end_time,
            incomplete: !self.is_complete(),
            pinned: !self.pins.is_empty(),
        }
    }
}

/// The snapshots among those of one source that have neither a reason to be kept nor a pin.
pub fn expired_snapshots<'a>(
    snapshots: &'a [SnapshotManifest],
    retention: &RetentionPolicy,
    zone: &TimeZone,
) -> Vec<&'a SnapshotManifest> {
    let candidates: Vec<_> = snapshots.iter().map(SnapshotManifest::retention_candidate).collect();
    policy::expired(&candidates, retention, zone).into_iter().map(|position| &snapshots[position]).collect()
}

/// Deletes the snapshots of `source` that are not to be kept; how many.
///
/// # Errors
/// [`Error::Manifest`](super::Error::Manifest) for a snapshot that cannot be decoded; then none is deleted.
pub fn apply_retention(
    writer: &mut RepositoryWriter<'_>,
    source: &SourceInfo,
    retention: &RetentionPolicy,
    zone: &TimeZone,
) -> Result<usize> {
    let all = Catalog::new(writer.manifests()).list(&SourceFilter::from(source))?;
    let expired = expired_snapshots(&all, retention, zone);
    for snapshot in &expired {
        writer.delete_manifest(&snapshot.id);
    }
    Ok(expired.len())
}
