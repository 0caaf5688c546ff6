//! `snapshot expire`: delete what the policies do not keep.

use super::parse_source;
use crate::cli::Result;
use crate::cli::context::Context;
use crate::cli::exit::Failure;
use jiff::tz::TimeZone;
use packhorse::manifest::{ManifestId, ManifestStore};
use packhorse::policy::PolicyStore;
use packhorse::repo::Repository;
use packhorse::snapshot::{Catalog, SourceFilter, expired_snapshots};
use std::collections::HashSet;

/// Flags of the command.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Sources: a local path, user@host:path, or all of user@host or @host
    #[arg(value_name = "SOURCE")]
    sources: Vec<String>,
    /// Look at every source of the repository
    #[arg(long)]
    all: bool,
    /// Delete; without this it is only said how many would be deleted
    #[arg(long)]
    delete: bool,
}

/// What was asked for by one argument, and what of it is to go.
struct Expiry {
    name: String,
    expired: Vec<ManifestId>,
}

/// Runs the command.
pub(crate) fn run(ctx: &Context, args: &Args) -> Result<()> {
    if args.all && !args.sources.is_empty() {
        return Err(Failure::usage("--all and sources exclude each other"));
    }
    let repository = ctx.open_repository(args.delete)?;
    if !args.all && args.sources.is_empty() {
        ctx.talk().line("Nothing to look at: name sources, or give --all.");
        return Ok(());
    }
    if !args.delete {
        let manifests = repository.load_manifests()?;
        for expiry in &plan(ctx, args, &repository, &manifests)? {
            say(ctx, args, expiry);
        }
        return Ok(());
    }
    let mut writer = repository.begin(&ctx.write_options())?;
    for expiry in plan(ctx, args, &repository, writer.manifests())? {
        say(ctx, args, &expiry);
        for id in &expiry.expired {
            writer.delete_manifest(id);
        }
    }
    Ok(writer.flush()?)
}

fn say(ctx: &Context, args: &Args, Expiry { name, expired }: &Expiry) {
    let (talk, n) = (ctx.talk(), expired.len());
    match (n, args.delete) {
        (0, _) => talk.line(format_args!("Nothing to delete of {name}")),
        (n, true) => talk.line(format_args!("Deleting {n} snapshots of {name}")),
        (n, false) => {
            talk.line(format_args!("Would delete {n} snapshots of {name} (pass --delete to do it)"));
        }
    }
}

/// What goes, by source; each source has its own policy, whichever argument brought it.
fn plan(
    ctx: &Context,
    args: &Args,
    repository: &Repository,
    manifests: &ManifestStore,
) -> Result<Vec<Expiry>> {
    let (catalog, policies) = (Catalog::new(manifests), PolicyStore::new(manifests));
    let zone = TimeZone::system();
    let mut chosen = Vec::new();
    for text in &args.sources {
        let source = parse_source(ctx, repository, text)?;
        if source.is_global() {
            return Err(Failure::usage(format!("{text:?} is no source; --all expires everything")));
        }
        chosen.push((source.to_string(), catalog.groups(&SourceFilter::from(&source))));
    }
    if args.all {
        let groups = catalog.groups(&SourceFilter::default());
        chosen.extend(groups.into_iter().map(|group| (group.source.to_string(), vec![group])));
    }
    chosen.sort_by(|a, b| a.0.cmp(&b.0));
    let mut seen = HashSet::new();
    let mut plan = Vec::new();
    for (name, groups) in chosen {
        let mut expired = Vec::new();
        for group in groups {
            let retention = policies.effective(&group.source)?.policy.retention;
            let snapshots = group.load()?;
            let ids = expired_snapshots(&snapshots, &retention, &zone).into_iter().map(|s| s.id.clone());
            expired.extend(ids.filter(|id| seen.insert(id.clone())));
        }
        plan.push(Expiry { name, expired });
    }
    Ok(plan)
}
