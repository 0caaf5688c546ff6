//! `snapshot`

mod create;
mod delete;
mod document;
mod estimate;
mod expire;
mod find;
mod fix;
mod history;
mod list;
mod migrate;
mod pin;
mod rows;
mod stdin;
pub(crate) mod take;
mod verify;

use super::Result;
use super::context::Context;
use super::exit::Failure;
use super::restore;
use packhorse::manifest::{ManifestId, ManifestStore};
use packhorse::object::ObjectId;
use packhorse::policy::{self, SourceInfo};
use packhorse::repo::Repository;
use packhorse::snapshot::{self, Catalog, SnapshotManifest, SourceFilter, SourceGroup};
use std::collections::HashSet;

/// Verbs of the group.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Copy the snapshots of a source to the name of another.
    CopyHistory(history::Args),
    /// Save files and directories.
    Create(create::Args),
    /// Delete snapshots by their ids.
    Delete(delete::Args),
    /// Say what a snapshot would hold.
    Estimate(estimate::Args),
    /// Delete what the policies do not keep.
    Expire(expire::Args),
    /// Show in which snapshots a file is, and when it changed.
    Find(find::Args),
    /// Rewrite snapshots without what they should not have.
    #[command(subcommand)]
    Fix(fix::Command),
    /// Show which snapshots there are.
    #[command(visible_alias = "ls")]
    List(list::Args),
    /// Copy snapshots and policies from another repository.
    Migrate(migrate::Args),
    /// Move the snapshots of a source to the name of another.
    MoveHistory(history::Args),
    /// Keep snapshots from expiry, or no longer.
    Pin(pin::Args),
    /// Restore a snapshot, a directory or a file.
    Restore(restore::Args),
    /// Prove that snapshots can be restored.
    Verify(verify::Args),
}

/// Runs a verb.
pub(crate) fn run(ctx: &Context, command: &Command) -> Result<()> {
    match command {
        Command::CopyHistory(args) => history::run(ctx, args, history::Way::Copy),
        Command::Create(args) => create::run(ctx, args),
        Command::Delete(args) => delete::run(ctx, args),
        Command::Estimate(args) => estimate::run(ctx, args),
        Command::Expire(args) => expire::run(ctx, args),
        Command::Find(args) => find::run(ctx, args),
        Command::Fix(command) => fix::run(ctx, command),
        Command::List(args) => list::run(ctx, args),
        Command::Migrate(args) => migrate::run(ctx, args),
        Command::MoveHistory(args) => history::run(ctx, args, history::Way::Move),
        Command::Pin(args) => pin::run(ctx, args),
        Command::Restore(args) => restore::run(ctx, args),
        Command::Verify(args) => verify::run(ctx, args),
    }
}

/// The snapshots with these manifest ids, or with these root object ids; each once, by source and time.
pub(crate) fn by_id_or_root(manifests: &ManifestStore, ids: &[String]) -> Result<Vec<SnapshotManifest>> {
    let catalog = Catalog::new(manifests);
    let (mut selected, mut roots) = (Vec::new(), HashSet::new());
    for text in ids {
        match catalog.get(&ManifestId::new(text)) {
            Ok(snapshot) => selected.push(snapshot),
            Err(snapshot::Error::NotFound { .. }) => {
                let root = text.parse().unwrap_or(ObjectId::NONE);
                if root.is_none() {
                    return Err(Failure::new(format!("{text:?} is neither a snapshot's id nor its root's")));
                }
                roots.insert(root);
            }
            Err(error) => return Err(error.into()),
        }
    }
    if !roots.is_empty() {
        let root_of = |snapshot: &SnapshotManifest| snapshot.root_entry.as_ref().map(|root| root.obj);
        let mut found = catalog.list(&SourceFilter::default())?;
        found.retain(|snapshot| root_of(snapshot).is_some_and(|root| roots.contains(&root)));
        found.iter().filter_map(root_of).for_each(|root| {
            roots.remove(&root);
        });
        selected.append(&mut found);
    }
    match roots.iter().next() {
        Some(root) => Err(Failure::new(format!("there is no snapshot {root}"))),
        None => Ok(distinct(selected)),
    }
}

/// Each snapshot once, by source and time.
pub(crate) fn distinct(mut snapshots: Vec<SnapshotManifest>) -> Vec<SnapshotManifest> {
    let mut seen = HashSet::new();
    snapshots.retain(|snapshot| seen.insert(snapshot.id.clone()));
    snapshots.sort_by_cached_key(|snapshot| (snapshot.source.to_string(), snapshot.start_time));
    snapshots
}

/// The source that a text names, local paths being those of this connection's user and host.
pub(crate) fn parse_source(ctx: &Context, repository: &Repository, text: &str) -> Result<SourceInfo> {
    let identity = repository.identity();
    let current_dir = &ctx.environment().current_dir;
    Ok(SourceInfo::parse(text, &identity.hostname, &identity.username, current_dir)?)
}

/// Tags `key:value` as labels.
pub(crate) fn parse_tags(tags: &[String]) -> Result<Vec<(String, String)>> {
    let mut labels: Vec<(String, String)> = Vec::new();
    for tag in tags {
        let (key, value) = tag
            .split_once(':')
            .ok_or_else(|| Failure::usage(format!("--tags: {tag:?} is not of the form key:value")))?;
        let key = format!("tag:{key}");
        if labels.iter().any(|(known, _)| *known == key) {
            return Err(Failure::usage(format!("--tags: {tag:?} sets a key for the second time")));
        }
        labels.push((key, value.to_owned()));
    }
    Ok(labels)
}

/// The snapshots of a path and of every directory above it, each with the way down to the path.
pub(crate) fn covering<'a>(
    catalog: Catalog<'a>,
    source: &SourceInfo,
    tags: &[(String, String)],
) -> Vec<(SourceGroup<'a>, String)> {
    let mut found = Vec::new();
    let mut level = source.path.clone();
    loop {
        let mut filter = SourceFilter::from(&source.with_path(&level));
        filter.labels = tags.to_vec();
        let below = policy::nested_relative_path(&level, &source.path).unwrap_or_default();
        found.extend(catalog.groups(&filter).into_iter().map(|group| (group, below.clone())));
        let parent = policy::parent_path(&level);
        if parent == level {
            return found;
        }
        level = parent;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_pairs_with_distinct_keys() {
        let tags = |tags: &[&str]| parse_tags(&tags.iter().map(|&tag| tag.to_owned()).collect::<Vec<_>>());
        let parsed = tags(&["a:b:c", "env:"]).unwrap();
        assert_eq!(parsed[0], ("tag:a".to_owned(), "b:c".to_owned()));
        assert_eq!(parsed[1], ("tag:env".to_owned(), String::new()));
        assert!(tags(&["novalue"]).is_err());
        assert!(tags(&["a:1", "a:2"]).is_err());
    }
}
