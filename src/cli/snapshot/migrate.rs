//! `snapshot migrate`: snapshots and policies of another repository.

use super::parse_source;
use crate::cli::context::Context;
use crate::cli::exit::{Explain, Failure};
use crate::cli::progress::{Progress, Work};
use crate::cli::{Result, units};
use packhorse::base::Timestamp;
use packhorse::manifest::ManifestStore;
use packhorse::policy::{PolicyStore, SourceInfo};
use packhorse::repo::{Repository, RepositoryWriter};
use packhorse::snapshot::{Catalog, Migrator, SnapshotManifest, SourceFilter};
use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;

/// Flags of the command.
#[derive(Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of Kopia's command line")]
pub(crate) struct Args {
    /// Connection file of the repository to copy from
    #[arg(long, value_name = "FILE")]
    source_config: PathBuf,
    /// Source whose snapshots are copied; may be repeated
    #[arg(long, value_name = "SOURCE")]
    sources: Vec<String>,
    /// Copy the snapshots of all sources
    #[arg(long)]
    all: bool,
    /// Copy policies too, where there are none; on unless --no-policies
    #[arg(long, num_args = 0, default_missing_value = "true")]
    policies: Option<bool>,
    /// Copy policies also where there are others
    #[arg(long)]
    overwrite_policies: bool,
    /// Copy only the last snapshot of each source
    #[arg(long)]
    latest_only: bool,
    /// Without effect: the files of one snapshot are copied by all threads
    #[arg(long, hide = true, value_parser = units::parse_number, allow_negative_numbers = true)]
    parallel: Option<i64>,
    /// Leave out what the policies of this repository leave out
    #[arg(long)]
    apply_ignore_rules: bool,
}

/// Runs the command. A source that cannot be copied does not stop the others.
pub(crate) fn run(ctx: &Context, args: &Args) -> Result<()> {
    if args.all != args.sources.is_empty() {
        return Err(Failure::usage("give either --sources or --all"));
    }
    if !args.source_config.is_file() {
        let path = args.source_config.display();
        return Err(Failure::usage(format!("--source-config: there is no file {path}")));
    }
    let other = ctx.open_other(&args.source_config).explain("cannot open the repository to copy from")?;
    let theirs = other.load_manifests()?;
    let sources = sources(ctx, args, &other, &theirs)?;
    let repository = ctx.open_repository(true)?;
    let mut writer = repository.begin(&ctx.write_options())?;
    if args.policies.unwrap_or(true) {
        copy_policies(ctx, args, &theirs, &sources, &mut writer)?;
    }
    let pool = ctx.thread_pool(0)?;
    pool.install(|| copy_all(ctx, args, &other, &theirs, &sources, &mut writer))
}

fn sources(
    ctx: &Context,
    args: &Args,
    other: &Repository,
    manifests: &ManifestStore,
) -> Result<Vec<SourceInfo>> {
    if args.all {
        return Ok(Catalog::new(manifests).sources().into_iter().collect());
    }
    let one = |text: &String| {
        let source = parse_source(ctx, other, text)?;
        if source.path.is_empty() {
            return Err(Failure::usage(format!("{text:?} names no user, host and path")));
        }
        Ok(source)
    };
    args.sources.iter().map(one).collect()
}

/// Those of the sources, or all there are.
fn copy_policies(
    ctx: &Context,
    args: &Args,
    manifests: &ManifestStore,
    sources: &[SourceInfo],
    writer: &mut RepositoryWriter<'_>,
) -> Result<()> {
    let mut stored = PolicyStore::new(manifests).list()?;
    stored.retain(|policy| args.all || sources.contains(&policy.target));
    for policy in stored {
        let target = &policy.target;
        let is_there = PolicyStore::new(writer.manifests()).defined(target)?.is_some();
        if is_there && !args.overwrite_policies {
            ctx.talk().line(format_args!("{target} has a policy already"));
        } else if policy.policy.save(target, writer).explain(format_args!("policy of {target}"))? {
            ctx.talk().line(format_args!("copying the policy of {target}"));
        }
    }
    Ok(())
}

fn copy_all(
    ctx: &Context,
    args: &Args,
    other: &Repository,
    theirs: &ManifestStore,
    sources: &[SourceInfo],
    writer: &mut RepositoryWriter<'_>,
) -> Result<()> {
    let progress = Progress::start(ctx, Work::Upload, Some(Arc::clone(writer.objects().contents())))?;
    let known = Catalog::new(writer.manifests()).list(&SourceFilter::default())?;
    let mut run = Run {
        ctx,
        known: known.into_iter().map(|snapshot| (snapshot.source, snapshot.start_time)).collect(),
        migrator: Migrator::new(
            other.objects(),
            writer.objects().clone(),
            &progress,
            args.apply_ignore_rules,
        ),
    };
    let mut failures = Vec::new();
    for source in sources {
        let mut snapshots = Catalog::new(theirs).list(&SourceFilter::from(source))?;
        snapshots.sort_by_key(|snapshot| snapshot.start_time);
        let first = if args.latest_only { snapshots.len().saturating_sub(1) } else { 0 };
        for snapshot in snapshots.drain(first..).filter(SnapshotManifest::is_complete) {
            if let Err(failure) = run.copy(snapshot, writer) {
                failures.push(failure.within(format!("cannot copy {source}")));
                break;
            }
        }
        writer.flush()?;
    }
    // Policies without snapshots.
    writer.flush()?;
    drop(run);
    drop(progress);
    match failures.len() {
        0 => Ok(()),
        1 => Err(failures.remove(0)),
        n => {
            for failure in &failures {
                ctx.talk().always(format_args!("error: {failure}"));
            }
            Err(Failure::new(format!("{n} sources could not be copied")))
        }
    }
}

struct Run<'a> {
    ctx: &'a Context,
    /// What is there already: of which source, begun when.
    known: HashSet<(SourceInfo, Timestamp)>,
    migrator: Migrator<'a>,
}

impl Run<'_> {
    fn copy(&mut self, snapshot: SnapshotManifest, writer: &mut RepositoryWriter<'_>) -> Result<()> {
        let SnapshotManifest { source, start_time, .. } = &snapshot;
        let (talk, time) = (self.ctx.talk(), self.ctx.zone().format(*start_time));
        if !self.known.insert((source.clone(), *start_time)) {
            talk.line(format_args!("{source} at {time} is there already"));
            return Ok(());
        }
        let Some(root) = &snapshot.root_entry else {
            talk.warning(format_args!("{source} at {time} has no root, so there is nothing to copy"));
            return Ok(());
        };
        talk.line(format_args!("copying {source} at {time}"));
        let policies = PolicyStore::new(writer.manifests()).tree(source)?;
        let root = self.migrator.copy(root, &policies)?;
        let mut copy = SnapshotManifest { root_entry: Some(root), storage_stats: None, ..snapshot };
        copy.save(writer)?;
        Ok(())
    }
}
