//! `snapshot verify`: prove that snapshots can be restored.

use super::parse_source;
use crate::cli::Result;
use crate::cli::context::Context;
use crate::cli::exit::{Failure, Status};
use crate::cli::output::JsonFlags;
use crate::cli::progress::{Progress, Work};
use crate::cli::units;
use packhorse::manifest::{ManifestId, ManifestStore};
use packhorse::repo::Repository;
use packhorse::snapshot::{
    self, Catalog, DirEntry, SnapshotManifest, SourceFilter, VerifyOptions, VerifyReport,
};
use serde::Serialize;

/// Flags of the command.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Ids of the snapshots; without any choice all are checked
    #[arg(value_name = "SNAPSHOT-ID")]
    ids: Vec<String>,
    /// Stop after this many failures; 0 for the first, negative for never
    #[arg(long, default_value = "0", value_parser = units::parse_number, allow_negative_numbers = true)]
    max_errors: i64,
    /// Directory to check, as ID or ID/path; may be repeated
    #[arg(long, value_name = "ID")]
    directory_id: Vec<String>,
    /// File to check, as ID or ID/path; may be repeated
    #[arg(long, value_name = "ID")]
    file_id: Vec<String>,
    /// Source whose snapshots are checked; may be repeated
    #[arg(long, value_name = "SOURCE")]
    sources: Vec<String>,
    /// Without effect: all sources are checked unless some are chosen
    #[arg(long, hide = true)]
    all_sources: bool,
    /// Without effect, as in Kopia
    #[arg(long, hide = true, value_parser = units::parse_number)]
    parallel: Option<i64>,
    /// Without effect: the queue follows the memory
    #[arg(long, hide = true, value_parser = units::parse_number)]
    file_queue_length: Option<i64>,
    /// Objects checked at once; 0 for the number of processors
    #[arg(long, default_value = "0", value_parser = units::parse_number, value_name = "N")]
    file_parallelism: i64,
    /// Percentage of the files of which every byte is read
    #[arg(long, default_value_t = 0.0, value_name = "PERCENT")]
    verify_files_percent: f64,
    #[command(flatten)]
    json: JsonFlags,
}

/// What `--json` prints. Source: kopia `snapshot/snapshotfs/snapshot_verifier.go`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Document<'a, S: Serialize> {
    stats: &'a S,
    error_count: usize,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    error_strings: Vec<String>,
}

/// Runs the command.
pub(crate) fn run(ctx: &Context, args: &Args) -> Result<()> {
    let repository = ctx.open_repository(false)?;
    let roots = roots(ctx, args, &repository)?;
    let options = VerifyOptions { read_percent: args.verify_files_percent, max_errors: args.max_errors };
    let pool = ctx.thread_pool(args.file_parallelism)?;
    let progress = Progress::start(ctx, Work::Verify, None)?;
    let report =
        pool.install(|| snapshot::verify(&repository, &roots, &options, &progress).map_err(Failure::from))?;
    drop(progress);
    show(ctx, args, &report)
}

fn show(ctx: &Context, args: &Args, report: &VerifyReport) -> Result<()> {
    let (stats, sizes) = (&report.stats, ctx.sizes());
    for error in &report.errors {
        ctx.talk().line(format_args!("damaged: {}: {}", error.path, error.message));
    }
    if args.json.json {
        let error_strings = report.errors.iter().map(|error| format!("{}: {}", error.path, error.message));
        let document =
            Document { stats, error_count: report.errors.len(), error_strings: error_strings.collect() };
        ctx.stdout().json(&document, args.json.json_indent)?;
        ctx.stdout().flush()?;
    } else {
        ctx.talk().line(format_args!(
            "Finished processing {} objects ({}). Read {} files ({}).",
            stats.processed_object_count,
            sizes.format(stats.processed_bytes),
            stats.read_file_count,
            sizes.format(stats.read_bytes),
        ));
    }
    match report.errors.len() {
        0 => Ok(()),
        n => Err(Failure::new(format!("{n} objects are damaged or missing")).with_status(Status::Corrupt)),
    }
}

/// The chosen trees, each with the name it has in messages.
fn roots(ctx: &Context, args: &Args, repository: &Repository) -> Result<Vec<(String, DirEntry)>> {
    let manifests = repository.load_manifests()?;
    let snapshots = snapshots(ctx, args, repository, &manifests)?;
    let name = |snapshot: &SnapshotManifest| {
        format!("{}@{}", snapshot.source, ctx.zone().format(snapshot.start_time))
    };
    let mut roots: Vec<_> = snapshots
        .iter()
        .filter_map(|snapshot| Some((name(snapshot), snapshot.root_entry.clone()?)))
        .collect();
    for text in args.directory_id.iter().chain(&args.file_id) {
        let entry = snapshot::resolve(repository.objects(), &manifests, text, false)?;
        roots.push((text.clone(), entry));
    }
    Ok(roots)
}

fn snapshots(
    ctx: &Context,
    args: &Args,
    repository: &Repository,
    manifests: &ManifestStore,
) -> Result<Vec<SnapshotManifest>> {
    let catalog = Catalog::new(manifests);
    if [&args.ids, &args.sources, &args.directory_id, &args.file_id].iter().all(|chosen| chosen.is_empty()) {
        return Ok(catalog.list(&SourceFilter::default())?);
    }
    let mut chosen = Vec::new();
    for text in &args.sources {
        let source = parse_source(ctx, repository, text)?;
        chosen.extend(catalog.list(&SourceFilter::from(&source))?);
    }
    for id in &args.ids {
        chosen.push(catalog.get(&ManifestId::new(id))?);
    }
    Ok(chosen)
}
