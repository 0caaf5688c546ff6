//! The history of a source under another name: after a host, a user or a folder was renamed.
//!
//! Only manifests are written and deleted. Source: kopia `cli/command_snapshot_copy_move_history.go`.

use super::{Catalog, Error, Result, SnapshotManifest, SourceFilter, SourceInfo};
use crate::manifest::ManifestStore;
use crate::object::ObjectId;
use crate::repo::RepositoryWriter;
use std::collections::HashSet;

/// One snapshot on its way to another source.
#[derive(Debug, Clone)]
pub struct HistoryStep {
    /// The snapshot as it is.
    pub snapshot: SnapshotManifest,
    /// The source it is to have.
    pub destination: SourceInfo,
    /// Whether that source has it already: one with the same start and the same root.
    pub is_there: bool,
}

impl HistoryStep {
    /// Saves the snapshot under its new source, unless it is there, with everything else it has.
    ///
    /// # Errors
    /// Those of [`SnapshotManifest::save`].
    pub fn copy(&self, writer: &mut RepositoryWriter<'_>) -> Result<()> {
        if !self.is_there {
            let mut copy = SnapshotManifest { source: self.destination.clone(), ..self.snapshot.clone() };
            copy.save(writer)?;
        }
        Ok(())
    }

    /// The same, and then deletes the snapshot under its old source.
    ///
    /// # Errors
    /// Those of [`SnapshotManifest::save`].
    pub fn move_over(&self, writer: &mut RepositoryWriter<'_>) -> Result<()> {
        self.copy(writer)?;
        writer.delete_manifest(&self.snapshot.id);
        Ok(())
    }
}

/// What becomes of the snapshots of `source` (a path, a user or a host) under `destination`, whose parts that are not
/// empty take the place of theirs. Snapshots that are where they belong are left out.
///
/// # Errors
/// [`Error::MergesSources`] when snapshots of several users or paths would end up in one source;
/// [`Error::IncompleteSource`] when `source` does not even name a host; [`Error::Manifest`].
pub fn plan_history(
    manifests: &ManifestStore,
    source: &SourceInfo,
    destination: &SourceInfo,
) -> Result<Vec<HistoryStep>> {
    if source.host.is_empty() {
        return Err(Error::IncompleteSource { source_text: source.to_string() });
    }
    for (part, from, to) in
        [("path", &source.path, &destination.path), ("user", &source.user_name, &destination.user_name)]
    {
        if from.is_empty() && !to.is_empty() {
            return Err(Error::MergesSources { part });
        }
    }
    let catalog = Catalog::new(manifests);
    let snapshots = catalog.list(&SourceFilter::from(source))?;
    let there: HashSet<_> = catalog
        .list(&SourceFilter::from(destination))?
        .into_iter()
        .map(|snapshot| (snapshot.source.clone(), snapshot.start_time, root_of(&snapshot)))
        .collect();
    let mut steps = Vec::new();
    for snapshot in snapshots {
        let destination = overridden(&snapshot.source, destination);
        if destination != snapshot.source {
            let is_there = there.contains(&(destination.clone(), snapshot.start_time, root_of(&snapshot)));
            steps.push(HistoryStep { snapshot, destination, is_there });
        }
    }
    Ok(steps)
}

fn root_of(snapshot: &SnapshotManifest) -> ObjectId {
    snapshot.root_entry.as_ref().map(|root| root.obj).unwrap_or_default()
}

fn overridden(source: &SourceInfo, by: &SourceInfo) -> SourceInfo {
    let or = |new: &str, old: &str| if new.is_empty() { old.to_owned() } else { new.to_owned() };
    SourceInfo::new(
        or(&by.user_name, &source.user_name),
        or(&by.host, &source.host),
        or(&by.path, &source.path),
    )
}
