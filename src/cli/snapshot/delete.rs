//! `snapshot delete`: forget snapshots. What only they hold goes with the next maintenance.

use super::{by_id_or_root, distinct, parse_source};
use crate::cli::Result;
use crate::cli::context::Context;
use crate::cli::exit::Failure;
use packhorse::manifest::ManifestStore;
use packhorse::repo::Repository;
use packhorse::snapshot::{Catalog, SnapshotManifest, SourceFilter};

/// Flags of the command.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Manifest ids, root object ids (of all snapshots that share the root), or sources
    #[arg(required = true, value_name = "ID")]
    ids: Vec<String>,
    /// The arguments are sources, all of whose snapshots are meant
    #[arg(long)]
    all_snapshots_for_source: bool,
    /// Delete; without this it is only said what would be deleted
    #[arg(long, alias = "unsafe-ignore-source")]
    delete: bool,
}

/// Runs the command.
pub(crate) fn run(ctx: &Context, args: &Args) -> Result<()> {
    let repository = ctx.open_repository(args.delete)?;
    if !args.delete {
        let manifests = repository.load_manifests()?;
        for snapshot in select(ctx, args, &repository, &manifests)? {
            say(ctx, "Would delete", &snapshot, " (pass --delete to confirm)");
        }
        return Ok(());
    }
    let mut writer = repository.begin(&ctx.write_options())?;
    for snapshot in select(ctx, args, &repository, writer.manifests())? {
        say(ctx, "Deleting", &snapshot, "");
        writer.delete_manifest(&snapshot.id);
    }
    Ok(writer.flush()?)
}

fn say(ctx: &Context, what: &str, snapshot: &SnapshotManifest, more: &str) {
    let SnapshotManifest { id, source, start_time, .. } = snapshot;
    let time = ctx.zone().format(*start_time);
    ctx.talk().line(format_args!("{what} snapshot {id} of {source} at {time}{more}"));
}

fn select(
    ctx: &Context,
    args: &Args,
    repository: &Repository,
    manifests: &ManifestStore,
) -> Result<Vec<SnapshotManifest>> {
    if !args.all_snapshots_for_source {
        return by_id_or_root(manifests, &args.ids);
    }
    let catalog = Catalog::new(manifests);
    let mut selected: Vec<SnapshotManifest> = Vec::new();
    for text in &args.ids {
        let source = parse_source(ctx, repository, text)?;
        if source.path.is_empty() {
            return Err(Failure::usage(format!("{text:?} names no user, host and path")));
        }
        let found = catalog.list(&SourceFilter::from(&source))?;
        if found.is_empty() {
            return Err(Failure::new(format!("there is no snapshot {text}")));
        }
        selected.extend(found);
    }
    Ok(distinct(selected))
}
