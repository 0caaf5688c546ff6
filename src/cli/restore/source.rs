//! What is to be restored.

use super::Args;
use crate::cli::Result;
use crate::cli::context::Context;
use crate::cli::exit::Failure;
use crate::cli::moment::Wanted;
use crate::cli::snapshot::{covering, parse_source};
use jiff::tz::TimeZone;
use packhorse::manifest::{ManifestId, ManifestStore};
use packhorse::object::ObjectId;
use packhorse::repo::Repository;
use packhorse::snapshot::{self, Catalog, DirEntry, SnapshotManifest};

/// What is to be restored, and the snapshot it is from, if that is known.
pub(super) struct Found {
    pub(super) entry: DirEntry,
    pub(super) snapshot: Option<SnapshotManifest>,
}

/// The entry that a text names: by an id, or by the path it was saved from.
pub(super) fn find(ctx: &Context, args: &Args, repository: &Repository, text: &str) -> Result<Found> {
    let manifests = repository.load_manifests()?;
    if starts_with_id(text) {
        let consistent =
            args.consistent_attributes.or(ctx.environment().restore_consistent_attributes).unwrap_or(false);
        let entry = snapshot::resolve(repository.objects(), &manifests, text, consistent)?;
        return Ok(Found { entry, snapshot: snapshot_of(&manifests, text) });
    }
    by_path(ctx, args, repository, &manifests, text)
}

/// The snapshot that an id names, or the latest of those with such a root.
fn snapshot_of(manifests: &ManifestStore, text: &str) -> Option<SnapshotManifest> {
    let id = text.split('/').next().unwrap_or_default();
    let catalog = Catalog::new(manifests);
    catalog.get(&ManifestId::new(id)).ok().or_else(|| {
        let snapshots = catalog.with_root(id.parse().ok()?).ok()?;
        snapshots.into_iter().max_by_key(|snapshot| snapshot.start_time)
    })
}

/// A manifest's id reads as an object's, too.
fn starts_with_id(text: &str) -> bool {
    let first = text.split('/').next().unwrap_or_default();
    first.parse::<ObjectId>().is_ok_and(|id| !id.is_none())
}

fn by_path(
    ctx: &Context,
    args: &Args,
    repository: &Repository,
    manifests: &ManifestStore,
    text: &str,
) -> Result<Found> {
    let wanted = Wanted::parse(&args.snapshot_time, ctx.clock().now(), &TimeZone::system())?;
    let source = parse_source(ctx, repository, text)?;
    if source.path.is_empty() {
        return Err(Failure::usage(format!("{text:?} names no path")));
    }
    let mut candidates = Vec::new();
    for (group, below) in covering(Catalog::new(manifests), &source, &[]) {
        for snapshot in group.load()? {
            if let Some(entry) = entry_below(repository, &snapshot, &below)? {
                candidates.push((snapshot, below.clone(), entry));
            }
        }
    }
    candidates.sort_by_key(|(snapshot, ..)| std::cmp::Reverse((snapshot.start_time, snapshot.end_time)));
    let starts: Vec<_> = candidates.iter().map(|(snapshot, ..)| snapshot.start_time).collect();
    let chosen = wanted.choose(&starts).map(|at| candidates.swap_remove(at));
    let (snapshot, below, entry) =
        chosen.ok_or_else(|| Failure::new(format!("no snapshots contain data for {text}")))?;
    let time = ctx.zone().format(snapshot.start_time);
    let talk = ctx.talk();
    talk.line("Restoring from");
    talk.line(format_args!("   Snapshot source: {}", snapshot.source));
    talk.line(format_args!("   Snapshot time: {time}"));
    talk.line(format_args!("   Relative path: {below}"));
    talk.line(format_args!("   Object ID: {}", entry.obj));
    Ok(Found { entry, snapshot: Some(snapshot) })
}

/// What a complete snapshot holds at a path. A snapshot that cannot be read is an error: passing it over would restore
/// older data than what was asked for.
fn entry_below(
    repository: &Repository,
    snapshot: &SnapshotManifest,
    below: &str,
) -> Result<Option<DirEntry>> {
    let Some(root) = snapshot.root_entry.clone().filter(|_| snapshot.is_complete()) else {
        return Ok(None);
    };
    match snapshot::resolve_path(repository.objects(), root, below) {
        Ok(entry) => Ok(Some(entry)),
        Err(snapshot::Error::NoSuchPath { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_and_paths_are_told_apart() {
        for id in ["2441ab647a8eebc0c1de858fc593274b", "k5a321c45607671c6674a43edd76c77ab/sub", "Ix0123ab"] {
            assert!(starts_with_id(id), "{id}");
        }
        for path in ["/data", "data", "null", "", "./k5a321c4", "user@host:/data"] {
            assert!(!starts_with_id(path), "{path}");
        }
    }
}
