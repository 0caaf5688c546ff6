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
    self, Catalog, DamagedPart, DirEntry, RoundOptions, RoundReport, SnapshotManifest, SourceFilter,
    VerifyError, VerifyOptions, VerifyReport, VerifyStats,
};
use serde::Serialize;
use std::time::Duration;

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
    /// Read packs instead of trees: those that no such run has read within this time, the newest first
    #[arg(long, value_parser = units::parse_duration, value_name = "TIME")]
    max_age: Option<Duration>,
    /// With --max-age, stop after so many bytes; the next run goes on from there
    #[arg(long, value_parser = units::parse_size, value_name = "SIZE", requires = "max_age")]
    max_bytes: Option<u64>,
    #[command(flatten)]
    json: JsonFlags,
}

/// What `--json` prints: Kopia's members, and then ours. Source: kopia `snapshot/snapshotfs/snapshot_verifier.go`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Document<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    stats: Option<&'a VerifyStats>,
    error_count: usize,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    error_strings: Vec<String>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    errors: Vec<DamagedObject<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    packs: Option<&'a RoundReport>,
}

/// One damaged object.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct DamagedObject<'a> {
    path: &'a str,
    object: String,
    error: &'a str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    parts: &'a [DamagedPart],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    also_in: &'a [String],
    #[serde(skip_serializing_if = "is_none")]
    also_in_count: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
fn is_none(count: &u64) -> bool {
    *count == 0
}

/// Threads unless a number is given: of what the store likes in flight so small a part, which is 4 for a folder.
const THREADS_DIVISOR: usize = 4;
/// Places of one damage that are named in text.
const PLACES_SHOWN: usize = 10;

/// Runs the command.
pub(crate) fn run(ctx: &Context, args: &Args) -> Result<()> {
    // Where nothing may be written, nothing is noted.
    let notes = args.max_age.is_some() && !ctx.connection()?.client.readonly;
    // What is to be proven is in the store, and not in a cache.
    let repository = ctx.open_without_cache(notes)?;
    let (roots, rootless) = roots(ctx, args, &repository)?;
    let threads = (repository.storage().parallelism() / THREADS_DIVISOR).max(1) as i64;
    let pool = ctx.thread_pool(if args.file_parallelism > 0 { args.file_parallelism } else { threads })?;
    let progress = Progress::start(ctx, Work::Verify, None)?;
    let memory = ctx.memory();
    let (packs, mut report) = pool.install(|| match args.max_age {
        None => {
            let (read_percent, max_errors) = (args.verify_files_percent, args.max_errors);
            let options = VerifyOptions { read_percent, max_errors, memory };
            Ok((None, snapshot::verify(&repository, &roots, &options, &progress)?))
        }
        Some(period) => {
            let options = RoundOptions { period, max_bytes: args.max_bytes, memory };
            let (packs, report) = snapshot::verify_round(&repository, &roots, &options, &progress)?;
            Ok::<_, Failure>((Some(packs), report))
        }
    })?;
    report.errors.extend(rootless);
    drop(progress);
    show(ctx, args, &report, packs.as_ref())
}

fn show(ctx: &Context, args: &Args, report: &VerifyReport, packs: Option<&RoundReport>) -> Result<()> {
    for error in &report.errors {
        tell_damage(ctx, error);
    }
    for damaged in packs.iter().flat_map(|packs| &packs.damaged) {
        ctx.talk().line(format_args!("damaged content {}: {}", damaged.content, damaged.message));
    }
    let damaged = report.errors.len().max(packs.map_or(0, |packs| packs.damaged.len()));
    if args.json.json {
        let document = document(report, packs, damaged);
        ctx.stdout().json(&document, args.json.json_indent)?;
        ctx.stdout().flush()?;
    } else {
        ctx.talk().line(match packs {
            Some(packs) => describe_round(ctx, packs),
            None => describe(ctx, &report.stats),
        });
    }
    match damaged {
        0 => Ok(()),
        n => Err(Failure::new(format!("{n} objects are damaged or missing")).with_status(Status::Corrupt)),
    }
}

fn document<'a>(
    report: &'a VerifyReport,
    packs: Option<&'a RoundReport>,
    error_count: usize,
) -> Document<'a> {
    let error_strings =
        report.errors.iter().map(|error| format!("{}: {}", error.path, error.message)).collect();
    let errors = report.errors.iter().map(|error| DamagedObject {
        path: &error.path,
        object: error.object.to_string(),
        error: &error.message,
        parts: &error.parts,
        also_in: &error.also,
        also_in_count: error.also_count,
    });
    let stats = packs.is_none().then_some(&report.stats);
    Document { stats, error_count, error_strings, errors: errors.collect(), packs }
}

fn tell_damage(ctx: &Context, error: &VerifyError) {
    let talk = ctx.talk();
    talk.line(format_args!("damaged: {}: {}", error.path, error.message));
    for part in error.parts.iter().take(PLACES_SHOWN) {
        let pack = part.pack.as_deref().unwrap_or("no pack");
        let end = part.offset.saturating_add(part.length);
        talk.line(format_args!("    bytes {} to {end}: content {} in {pack}", part.offset, part.content));
    }
    more(ctx, error.parts.len());
    for path in error.also.iter().take(PLACES_SHOWN) {
        talk.line(format_args!("    also {path}"));
    }
    more(ctx, error.also_count as usize);
}

fn more(ctx: &Context, count: usize) {
    if count > PLACES_SHOWN {
        ctx.talk().line(format_args!("    and {} more", count - PLACES_SHOWN));
    }
}

fn describe(ctx: &Context, stats: &VerifyStats) -> String {
    let sizes = ctx.sizes();
    format!(
        "Finished processing {} objects ({}). Read {} files ({}).",
        stats.processed_object_count,
        sizes.format(stats.processed_bytes),
        stats.read_file_count,
        sizes.format(stats.read_bytes),
    )
}

fn describe_round(ctx: &Context, packs: &RoundReport) -> String {
    let sizes = ctx.sizes();
    let oldest = packs.oldest.map_or_else(|| "-".to_owned(), |oldest| ctx.zone().format(oldest));
    format!(
        "Read {} packs ({}). Verified in time: {} of {} packs ({} of {}); the one that waits longest does so since {oldest}.",
        packs.read_packs,
        sizes.format(packs.read_bytes),
        packs.fresh_packs,
        packs.total_packs,
        sizes.format(packs.fresh_bytes),
        sizes.format(packs.total_bytes),
    )
}

/// A tree, with the name it has in messages.
type Root = (String, DirEntry);

/// The chosen trees, and the snapshots among the chosen that have none although they call themselves complete.
fn roots(ctx: &Context, args: &Args, repository: &Repository) -> Result<(Vec<Root>, Vec<VerifyError>)> {
    let manifests = repository.load_manifests()?;
    let (mut roots, mut rootless) = (Vec::new(), Vec::new());
    for snapshot in snapshots(ctx, args, repository, &manifests)? {
        let name = format!("{}@{}", snapshot.source, ctx.zone().format(snapshot.start_time));
        match &snapshot.root_entry {
            Some(entry) => roots.push((name, entry.clone())),
            None if snapshot.is_complete() => {
                rootless.push(VerifyError::of_path(name, &snapshot::Error::NoRoot { id: snapshot.id }));
            }
            None => {}
        }
    }
    for text in args.directory_id.iter().chain(&args.file_id) {
        let entry = snapshot::resolve(repository.objects(), &manifests, text, false)?;
        roots.push((text.clone(), entry));
    }
    Ok((roots, rootless))
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
