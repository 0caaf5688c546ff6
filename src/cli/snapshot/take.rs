//! One snapshot of one source, from the look at earlier ones to the retention of all.
//!
//! The snapshot is visible when the session is flushed, which the caller does; checkpoints are so at once.

use crate::cli::Result;
use crate::cli::exit::Failure;
use jiff::tz::TimeZone;
use packhorse::actions::Actions;
use packhorse::base::{ExtraFields, Monitor, Timestamp};
use packhorse::manifest::ManifestId;
use packhorse::policy::{PolicyStore, PolicyTree, RetentionPolicy};
use packhorse::repo::{MaintenanceParameters, RepositoryWriter};
use packhorse::snapshot::upload::CHECKPOINT;
use packhorse::snapshot::{
    self, Catalog, Checkpoints, DirEntry, SnapshotManifest, SnapshotStats, SourceInfo, Upload, UploadOptions,
    UploadSource, Uploaded, apply_retention,
};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// What is to be saved, and under which name.
pub(crate) struct Plan {
    /// Where it lies.
    pub(crate) path: PathBuf,
    /// Whose it is in the repository.
    pub(crate) source: SourceInfo,
    /// What goes into the manifest.
    pub(crate) labels: Labels,
    /// How it is read.
    pub(crate) upload: UploadOptions,
    /// Time between two checkpoints.
    pub(crate) checkpoint_interval: Duration,
    /// Who runs the policies' commands, if anybody.
    pub(crate) actions: Option<Arc<Actions>>,
}

/// What a user may say of a snapshot.
#[derive(Debug, Clone, Default)]
pub(crate) struct Labels {
    /// Free text.
    pub(crate) description: String,
    /// Tags, keys with their prefix `tag:`.
    pub(crate) tags: BTreeMap<String, String>,
    /// Names under which it is kept from expiry.
    pub(crate) pins: Vec<String>,
    /// When it is to have begun.
    pub(crate) start_time: Option<Timestamp>,
    /// When it is to have ended.
    pub(crate) end_time: Option<Timestamp>,
}

/// What became of a source.
#[derive(Debug, Clone)]
pub(crate) struct Taken {
    /// The snapshot; without an id if it was not saved.
    pub(crate) snapshot: SnapshotManifest,
    /// Whether it was saved; a policy may refuse snapshots that equal the one before.
    pub(crate) is_saved: bool,
    /// Snapshots that retention removed.
    pub(crate) expired: usize,
}

/// Why there is no snapshot of a source.
pub(crate) enum TakeError {
    /// The source itself; other sources can still be saved.
    Source(Failure),
    /// The repository; nothing can.
    Repository(Failure),
}

impl TakeError {
    /// Where there is only one source, the difference does not matter.
    pub(crate) fn into_failure(self) -> Failure {
        let (Self::Source(failure) | Self::Repository(failure)) = self;
        failure
    }
}

impl<E: Into<Failure>> From<E> for TakeError {
    fn from(error: E) -> Self {
        Self::Repository(error.into())
    }
}

/// Uploads, saves the manifest, and removes the snapshots that are no longer to be kept.
pub(crate) fn take(
    writer: &mut RepositoryWriter<'_>,
    plan: &Plan,
    input: UploadSource<'_>,
    monitor: &dyn Monitor,
) -> Result<Taken, TakeError> {
    let clock = std::sync::Arc::clone(&writer.repository().environment().clock);
    let began = clock.now();
    let policies = PolicyStore::new(writer.manifests()).tree(&plan.source)?;
    let previous = Catalog::new(writer.manifests()).previous(&plan.source, None)?;
    let retention = &policies.policy().retention;
    let mut checkpoint = LastCheckpoint { plan, began, retention, id: None };
    let upload = checkpoint.upload(&policies, &previous, monitor);
    let uploaded = upload.run(writer, input);
    if let (Some(id), Ok(_)) = (checkpoint.id, &uploaded) {
        writer.delete_manifest(&id);
    }
    let uploaded = uploaded.map_err(of_upload)?;
    let mut snapshot = manifest(plan, uploaded, (began, clock.now()));
    let same_root = |other: &SnapshotManifest| root(other).is_some() && root(other) == root(&snapshot);
    if retention.ignore_identical_snapshots == Some(true) && previous.first().is_some_and(same_root) {
        return Ok(Taken { snapshot, is_saved: false, expired: 0 });
    }
    snapshot.save(writer)?;
    let expired = apply_retention(writer, &plan.source, retention, &TimeZone::system())?;
    let repository = writer.repository();
    MaintenanceParameters::ensure(repository, writer);
    Ok(Taken { snapshot, is_saved: true, expired })
}

/// The incomplete snapshot that tells how far this run has come. A later one takes its place, at last the snapshot itself.
struct LastCheckpoint<'a> {
    plan: &'a Plan,
    began: Timestamp,
    retention: &'a RetentionPolicy,
    id: Option<ManifestId>,
}

impl LastCheckpoint<'_> {
    /// An upload that saves its checkpoints here.
    fn upload<'a>(
        &'a mut self,
        policies: &'a PolicyTree,
        previous: &'a [SnapshotManifest],
        monitor: &'a dyn Monitor,
    ) -> Upload<'a> {
        let Plan { upload: options, actions, checkpoint_interval: interval, .. } = self.plan;
        let save = Box::new(|writer: &mut RepositoryWriter<'_>, root| self.save(writer, root));
        let checkpoints =
            Checkpoints { interval: *interval, uploaded_bytes: Checkpoints::UPLOADED_BYTES, save };
        Upload {
            policies,
            previous,
            options,
            actions: actions.as_ref(),
            checkpoints: Some(checkpoints),
            monitor,
        }
    }

    /// Saves one and makes it visible. Retention sees to it that runs which never get to their end do not pile up theirs.
    fn save(&mut self, writer: &mut RepositoryWriter<'_>, root_entry: DirEntry) -> snapshot::Result<()> {
        let mut snapshot = SnapshotManifest {
            id: ManifestId::default(),
            source: self.plan.source.clone(),
            description: String::new(),
            start_time: self.began,
            end_time: writer.repository().environment().clock.now(),
            stats: SnapshotStats::default(),
            incomplete_reason: CHECKPOINT.to_owned(),
            root_entry: Some(root_entry),
            tags: BTreeMap::new(),
            storage_stats: None,
            pins: Vec::new(),
            extra: ExtraFields::default(),
        };
        let id = snapshot.save(writer)?;
        if let Some(earlier) = self.id.replace(id) {
            writer.delete_manifest(&earlier);
        }
        apply_retention(writer, &self.plan.source, self.retention, &TimeZone::system())?;
        Ok(writer.flush()?)
    }
}

fn of_upload(error: snapshot::Error) -> TakeError {
    match error {
        snapshot::Error::Source { .. }
        | snapshot::Error::Action { .. }
        | snapshot::Error::UnsupportedSource { .. } => TakeError::Source(error.into()),
        other => TakeError::Repository(other.into()),
    }
}

fn root(snapshot: &SnapshotManifest) -> Option<packhorse::object::ObjectId> {
    snapshot.root_entry.as_ref().map(|entry| entry.obj)
}

fn manifest(plan: &Plan, uploaded: Uploaded, measured: (Timestamp, Timestamp)) -> SnapshotManifest {
    let Labels { description, tags, pins, start_time, end_time } = plan.labels.clone();
    let (start_time, end_time) = shifted(measured, start_time, end_time);
    SnapshotManifest {
        id: ManifestId::default(),
        source: plan.source.clone(),
        description,
        start_time,
        end_time,
        stats: uploaded.stats,
        incomplete_reason: uploaded.incomplete_reason,
        root_entry: Some(uploaded.root_entry),
        tags,
        storage_stats: None,
        pins,
        extra: ExtraFields::default(),
    }
}

/// A time given alone takes the other along, so that the duration stays.
fn shifted(
    (began, ended): (Timestamp, Timestamp),
    start: Option<Timestamp>,
    end: Option<Timestamp>,
) -> (Timestamp, Timestamp) {
    let nanos = ended.nanos_since(began);
    match (start, end) {
        (None, None) => (began, ended),
        (Some(start), None) => (start, start.saturating_add_nanos(nanos)),
        (None, Some(end)) => (end.saturating_add_nanos(-nanos), end),
        (Some(start), Some(end)) => (start, end),
    }
}

/// The source's absolute path with its links resolved: a source that is a link is followed.
pub(crate) fn resolved(path: &Path) -> Result<PathBuf> {
    use crate::cli::exit::Explain;
    std::fs::canonicalize(path).explain(format_args!("cannot read the source {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_given_time_takes_the_other_along() {
        let at = Timestamp::from_nanos;
        let measured = (at(100), at(107));
        assert_eq!(shifted(measured, None, None), measured);
        assert_eq!(shifted(measured, Some(at(10)), None), (at(10), at(17)));
        assert_eq!(shifted(measured, None, Some(at(10))), (at(3), at(10)));
        assert_eq!(shifted(measured, Some(at(1)), Some(at(2))), (at(1), at(2)));
    }
}
