//! What the verbs of the group share: which snapshots, how, and what is said of them.

use crate::cli::Result;
use crate::cli::context::Context;
use crate::cli::exit::Failure;
use crate::cli::snapshot::{distinct, parse_source};
use crate::cli::units;
use packhorse::compression;
use packhorse::manifest::{ManifestId, ManifestStore};
use packhorse::policy::PolicyStore;
use packhorse::repo::{Repository, RepositoryWriter};
use packhorse::snapshot::{
    Catalog, DirEntry, Handling, Judge, RewriteOptions, Rewriter, SnapshotManifest, SourceFilter,
};

/// Flags of all verbs.
#[derive(Debug, clap::Args)]
pub(super) struct RewriteFlags {
    /// Id of a snapshot to look at; may be repeated. Without any choice all are looked at
    #[arg(long, value_name = "ID")]
    manifest_id: Vec<String>,
    /// Source whose snapshots are looked at; may be repeated
    #[arg(long, value_name = "SOURCE")]
    source: Vec<String>,
    /// Put the rewritten snapshots in place of the old; without this nothing is written
    #[arg(long)]
    commit: bool,
    /// Threads that read; 0 for the number of processors
    #[arg(long, default_value = "0", value_parser = units::parse_number, allow_negative_numbers = true)]
    parallel: i64,
    /// What becomes of directories that cannot be read
    #[arg(long, value_enum, default_value_t = DirectoryHandlingFlag::Stub, value_name = "HANDLING")]
    invalid_directory_handling: DirectoryHandlingFlag,
}

/// What becomes of files that cannot be read.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub(super) enum HandlingFlag {
    /// Rewrite nothing at all
    Fail,
    /// Put a small file in its place that says what was there
    Stub,
    /// Leave it
    Keep,
    /// Remove it
    Remove,
}

/// What becomes of directories that cannot be read.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum DirectoryHandlingFlag {
    /// Rewrite nothing at all
    Fail,
    /// Put a small file in its place that says what was there
    Stub,
    /// Leave it
    Keep,
}

/// Makes the judge of a repository.
type MakeJudge<'f> = dyn FnOnce(&Repository) -> Result<Box<dyn Judge + '_>> + Send + 'f;

/// Rewrites the chosen snapshots, or says what would be rewritten.
pub(super) fn rewrite(
    ctx: &Context,
    flags: &RewriteFlags,
    files: HandlingFlag,
    judge: impl FnOnce(&Repository) -> Result<Box<dyn Judge + '_>> + Send,
) -> Result<()> {
    let pool = ctx.thread_pool(flags.parallel)?;
    let options = RewriteOptions {
        invalid_files: match files {
            HandlingFlag::Fail => Handling::Fail,
            HandlingFlag::Stub => Handling::Stub,
            HandlingFlag::Keep => Handling::Keep,
            HandlingFlag::Remove => Handling::Remove,
        },
        invalid_directories: match flags.invalid_directory_handling {
            DirectoryHandlingFlag::Fail => Handling::Fail,
            DirectoryHandlingFlag::Stub => Handling::Stub,
            DirectoryHandlingFlag::Keep => Handling::Keep,
        },
    };
    pool.install(|| run(ctx, flags, options, Box::new(judge)))
}

fn run(
    ctx: &Context,
    flags: &RewriteFlags,
    options: RewriteOptions,
    judge: Box<MakeJudge<'_>>,
) -> Result<()> {
    let repository = ctx.open_repository(flags.commit)?;
    let judge = judge(&repository)?;
    if !flags.commit {
        let manifests = repository.load_manifests()?;
        let changed =
            Fixer { ctx, repository: &repository, options, judge: &*judge }.find(flags, &manifests, None)?;
        let n = changed.len();
        let more = if n > 0 { "; pass --commit to do it" } else { "" };
        ctx.talk().line(format_args!("{n} snapshots would be rewritten{more}"));
        return Ok(());
    }
    let mut writer = repository.begin(&ctx.write_options())?;
    let fixer = Fixer { ctx, repository: &repository, options, judge: &*judge };
    let changed = fixer.find(flags, writer.manifests(), Some(&writer))?;
    let mut said = Vec::new();
    for (mut snapshot, root) in changed {
        let old = snapshot.id.clone();
        snapshot.root_entry = Some(root);
        let new = snapshot.update(&mut writer)?;
        said.push(format!("Snapshot {old} of {} is now {new}", snapshot.source));
    }
    writer.flush()?;
    for line in &said {
        ctx.talk().line(line);
    }
    ctx.talk().line(format_args!("{} snapshots were rewritten", said.len()));
    Ok(())
}

struct Fixer<'a> {
    ctx: &'a Context,
    repository: &'a Repository,
    options: RewriteOptions,
    judge: &'a dyn Judge,
}

impl Fixer<'_> {
    /// The snapshots that change, each with its new root, which `writer` has stored.
    fn find(
        &self,
        flags: &RewriteFlags,
        manifests: &ManifestStore,
        writer: Option<&RepositoryWriter<'_>>,
    ) -> Result<Vec<(SnapshotManifest, DirEntry)>> {
        let policies = PolicyStore::new(manifests);
        let said = |line: &str| self.ctx.talk().line(format_args!("  {line}"));
        let objects = writer.map(|writer| writer.objects().clone());
        let mut rewriter = Rewriter::new(self.repository.objects(), objects, self.judge, self.options, &said);
        let mut changed = Vec::new();
        for snapshot in self.chosen(flags, manifests)? {
            let SnapshotManifest { id, source, start_time, .. } = &snapshot;
            let time = self.ctx.zone().format(*start_time);
            let Some(root) = &snapshot.root_entry else {
                self.ctx.talk().warning(format_args!("snapshot {id} of {source} at {time} has no root"));
                continue;
            };
            let policy = policies.effective(source)?.policy;
            let compressor = compression::by_name(policy.metadata_compression.compressor());
            match rewriter.rewrite(root, compressor)? {
                None => self.ctx.talk().line(format_args!("{source} at {time} ({id}): unchanged")),
                Some(new) => {
                    let delta = self.delta(root, &new);
                    self.ctx.talk().line(format_args!("{source} at {time} ({id}): {delta}"));
                    changed.push((snapshot, new));
                }
            }
        }
        Ok(changed)
    }

    fn chosen(&self, flags: &RewriteFlags, manifests: &ManifestStore) -> Result<Vec<SnapshotManifest>> {
        let catalog = Catalog::new(manifests);
        let mut chosen = Vec::new();
        for id in &flags.manifest_id {
            chosen.push(catalog.get(&ManifestId::new(id))?);
        }
        for text in &flags.source {
            let source = parse_source(self.ctx, self.repository, text)?;
            if source.is_global() {
                return Err(Failure::usage(format!("{text:?} is no source")));
            }
            let found = catalog.list(&SourceFilter::from(&source))?;
            if found.is_empty() {
                return Err(Failure::new(format!("there is no snapshot of {source}")));
            }
            chosen.extend(found);
        }
        if flags.manifest_id.is_empty() && flags.source.is_empty() {
            chosen = catalog.list(&SourceFilter::default())?;
        }
        Ok(distinct(chosen))
    }

    /// What changes, in words.
    fn delta(&self, old: &DirEntry, new: &DirEntry) -> String {
        let bytes = |entry: &DirEntry| entry.summ.as_ref().map_or(entry.size, |summary| summary.size);
        let roots = if new.obj.is_none() {
            format!("root {} changes", old.obj)
        } else {
            format!("root {} becomes {}", old.obj, new.obj)
        };
        let sizes = self.ctx.sizes();
        match (bytes(old), bytes(new)) {
            (old, new) if new < old => format!("{roots}, -{}", sizes.format(old - new)),
            (old, new) if new > old => format!("{roots}, +{}", sizes.format(new - old)),
            _ => roots,
        }
    }
}
