//! `snapshot create`: from sources to snapshots.
//!
//! 1. What is reported as created is durable: the report comes after the flush.
//! 2. A source that cannot be read does not stop the others; a repository that cannot be written to stops everything,
//!    and then nothing is saved.

use super::document::SnapshotDocument;
use super::stdin::StdinFlags;
use super::take::{self, Labels, Plan, TakeError, Taken, take};
use super::{parse_source, parse_tags};
use crate::cli::Result;
use crate::cli::context::Context;
use crate::cli::exit::{Failure, Status};
use crate::cli::moment;
use crate::cli::output::JsonFlags;
use crate::cli::progress::{Progress, Work, rate};
use crate::cli::units::{self, format_nanos};
use packhorse::actions::Actions;
use packhorse::base::{Counter, MIB, Stopwatch};
use packhorse::content::WriteStats;
use packhorse::policy::{self, PolicyStore, SourceInfo};
use packhorse::repo::{Repository, RepositoryWriter};
use packhorse::snapshot::{Catalog, Checkpoints, EntryForm, UploadOptions, UploadSource};
use std::fmt::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Longest description that Kopia accepts, in bytes.
const DESCRIPTION_BYTES_MAX: usize = 1024;

/// Flags of the command.
#[derive(Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "flags are independent of each other")]
pub(crate) struct Args {
    /// Files and directories to save
    #[arg(value_name = "SOURCE")]
    sources: Vec<PathBuf>,
    /// Save every source of this user and host that is not manual
    #[arg(long)]
    all: bool,
    /// Free text kept with the snapshot
    #[arg(long, default_value = "")]
    description: String,
    /// Tag of the form key:value; may be repeated
    #[arg(long, value_name = "KEY:VALUE")]
    tags: Vec<String>,
    /// Name under which the snapshot is kept from expiry; may be repeated
    #[arg(long, value_name = "NAME")]
    pin: Vec<String>,
    /// When the snapshot is to have begun, such as 2026-08-21 10:00:00 UTC
    #[arg(long, value_name = "TIME")]
    start_time: Option<String>,
    /// When the snapshot is to have ended
    #[arg(long, value_name = "TIME")]
    end_time: Option<String>,
    /// Files read at once; 0 leaves it to the policy, then to the number of processors
    #[arg(long, default_value = "0", value_parser = units::parse_number, allow_negative_numbers = true)]
    parallel: i64,
    /// Percentage of unchanged files that are read all the same
    #[arg(long, default_value_t = 0.0)]
    force_hash: f64,
    /// Stop at the first file that cannot be read [env: `KOPIA_SNAPSHOT_FAIL_FAST`]
    #[arg(long, num_args = 0, default_missing_value = "true")]
    fail_fast: Option<bool>,
    /// Save what Kopia saves, and compare as it does: without ctime, inode, extended attributes, hard links, holes and
    /// special files [env: `PACKHORSE_PLAIN_ENTRIES`]
    #[arg(long, num_args = 0, default_missing_value = "true")]
    plain_entries: Option<bool>,
    /// Store the snapshot under this user@host:path
    #[arg(long, value_name = "SOURCE")]
    override_source: Option<String>,
    #[command(flatten)]
    stdin: StdinFlags,
    #[command(flatten)]
    json: JsonFlags,
    /// Run the policies' actions even if this connection does not allow them
    #[arg(long, hide = true)]
    force_enable_actions: bool,
    /// Run no actions even if this connection allows them
    #[arg(long, hide = true)]
    force_disable_actions: bool,
    /// Stop when this much was read, in units of 2^20 bytes; what is there by then becomes an incomplete snapshot
    #[arg(long, value_name = "MB", default_value = "0", value_parser = units::parse_integer, allow_negative_numbers = true)]
    upload_limit_mb: i64,
    /// Time between two checkpoints, at most 45 minutes
    #[arg(long, hide = true, value_parser = units::parse_duration)]
    checkpoint_interval: Option<Duration>,
    /// Make each source's snapshot durable before the next is begun
    #[arg(long, hide = true)]
    flush_per_source: bool,
    /// Without effect: nothing is reported elsewhere
    #[arg(long, hide = true, num_args = 0, default_missing_value = "true")]
    send_snapshot_report: Option<bool>,
    /// Without effect: files are always read as streams
    #[arg(long, hide = true)]
    hint_streaming_reads: bool,
    /// Without effect: there are no log files
    #[arg(long, hide = true, value_parser = units::parse_number, allow_negative_numbers = true)]
    log_dir_detail: Option<i64>,
    /// Without effect: there are no log files
    #[arg(long, hide = true, value_parser = units::parse_number, allow_negative_numbers = true)]
    log_entry_detail: Option<i64>,
}

/// Runs the command.
pub(crate) fn run(ctx: &Context, args: &Args) -> Result<()> {
    let labels = check(args)?;
    let upload = UploadOptions {
        parallel: usize::try_from(args.parallel).unwrap_or(0),
        force_hash_percent: args.force_hash,
        fail_fast: args.fail_fast.or(ctx.environment().snapshot_fail_fast).unwrap_or(false),
        limit_bytes: u64::try_from(args.upload_limit_mb).unwrap_or(0).saturating_mul(MIB),
        entries: entry_form(ctx, args),
        cancel: ctx.cancel()?,
    };
    let actions = Arc::new(actions(ctx, args)?);
    let repository = ctx.open_repository(true)?;
    let mut writer = repository.begin(&ctx.write_options())?;
    let adopted = writer.objects().contents().adopt_abandoned_packs()?;
    if adopted > 0 {
        ctx.talk().line(format_args!("took over {adopted} contents of an interrupted run"));
    }
    let mut run =
        Run { ctx, args, failures: Vec::new(), made: Vec::new(), fatal_errors: 0, was_stopped: false };
    for (path, source) in sources(ctx, args, &repository, &writer)? {
        if upload.cancel.load(Ordering::Relaxed) || run.was_stopped {
            ctx.talk().line(format_args!("stopped before {source}"));
            break;
        }
        let checkpoint_interval = checkpoint_interval(args)?;
        let (labels, upload, actions) = (labels.clone(), upload.clone(), Some(Arc::clone(&actions)));
        let plan = Plan { path, source, labels, upload, checkpoint_interval, actions };
        run.source(&mut writer, &plan)?;
        if args.flush_per_source {
            run.flush(&mut writer)?;
        }
    }
    run.flush(&mut writer)?;
    run.outcome()
}

/// What the owner of this client allows counts, unless the command line says otherwise.
fn actions(ctx: &Context, args: &Args) -> Result<Actions> {
    let allowed = args.force_enable_actions || ctx.connection()?.client.enable_actions;
    let talk = Arc::clone(ctx.talk());
    Ok(Actions {
        enabled: allowed && !args.force_disable_actions,
        temporary: ctx.environment().temporary.clone(),
        entropy: Arc::clone(ctx.entropy()),
        stop: ctx.cancel()?,
        warn: Arc::new(move |message: &str| talk.warning(message)),
    })
}

fn entry_form(ctx: &Context, args: &Args) -> EntryForm {
    if args.plain_entries.or(ctx.environment().plain_entries).unwrap_or(false) {
        EntryForm::Plain
    } else {
        EntryForm::Identified
    }
}

/// Zero asks for the default, as with Kopia.
fn checkpoint_interval(args: &Args) -> Result<Duration> {
    match args.checkpoint_interval {
        Some(interval) if interval > Checkpoints::INTERVAL_MAX => {
            Err(Failure::usage("--checkpoint-interval is longer than 45 minutes"))
        }
        Some(interval) if !interval.is_zero() => Ok(interval),
        _ => Ok(Checkpoints::INTERVAL_MAX),
    }
}

fn check(args: &Args) -> Result<Labels> {
    checkpoint_interval(args)?;
    if args.all && !args.sources.is_empty() {
        return Err(Failure::usage("--all and sources exclude each other"));
    }
    if !args.all && args.sources.is_empty() {
        return Err(Failure::usage("no snapshot sources: name one, or give --all"));
    }
    if args.stdin.is_given() && args.sources.len() != 1 {
        return Err(Failure::usage("standard input or a command's output needs one source to be kept under"));
    }
    if args.stdin.file_name().is_empty() || args.stdin.file_name().contains('/') {
        return Err(Failure::usage("--stdin-file is not the name of a file"));
    }
    if args.description.len() > DESCRIPTION_BYTES_MAX {
        return Err(Failure::usage(format!("--description is longer than {DESCRIPTION_BYTES_MAX} bytes")));
    }
    let time = |flag, text: &Option<String>| text.as_ref().map(|text| moment::parse(flag, text)).transpose();
    let (start_time, end_time) =
        (time("--start-time", &args.start_time)?, time("--end-time", &args.end_time)?);
    if let (Some(start), Some(end)) = (start_time, end_time)
        && start > end
    {
        return Err(Failure::usage("--start-time lies after --end-time"));
    }
    let mut pins = args.pin.clone();
    pins.sort();
    pins.dedup();
    let tags = parse_tags(&args.tags)?.into_iter().collect();
    Ok(Labels { description: args.description.clone(), tags, pins, start_time, end_time })
}

/// What to save, and as whose.
fn sources(
    ctx: &Context,
    args: &Args,
    repository: &Repository,
    writer: &RepositoryWriter<'_>,
) -> Result<Vec<(PathBuf, SourceInfo)>> {
    if args.all {
        return all_sources(repository, writer);
    }
    let overriding =
        args.override_source.as_deref().map(|text| parse_source(ctx, repository, text)).transpose()?;
    if let Some(SourceInfo { host, user_name, path }) = &overriding
        && (host.is_empty() || user_name.is_empty() || path.is_empty())
    {
        return Err(Failure::usage("--override-source must name a user, a host and a path"));
    }
    let identity = repository.identity();
    let own = |path: &PathBuf| {
        let text = path.to_str().ok_or_else(|| {
            Failure::usage(format!("{} is not Unicode, which no snapshot can be named by", path.display()))
        })?;
        let path = policy::clean_path(&ctx.environment().absolute(text.as_ref()).to_string_lossy());
        let source = SourceInfo::new(&identity.username, &identity.hostname, &path);
        Ok((path.into(), overriding.clone().unwrap_or(source)))
    };
    args.sources.iter().map(own).collect()
}

fn all_sources(repository: &Repository, writer: &RepositoryWriter<'_>) -> Result<Vec<(PathBuf, SourceInfo)>> {
    let identity = repository.identity();
    let policies = PolicyStore::new(writer.manifests());
    let mut found = Vec::new();
    for source in Catalog::new(writer.manifests()).sources() {
        let is_own = source.host == identity.hostname && source.user_name == identity.username;
        if is_own && !policies.effective(&source)?.policy.scheduling.manual {
            found.push((source.path.clone().into(), source));
        }
    }
    Ok(found)
}

/// A snapshot with what it cost.
struct Made {
    taken: Taken,
    stats: WriteStats,
    read_bytes: u64,
    elapsed: Duration,
}

struct Run<'a> {
    ctx: &'a Context,
    args: &'a Args,
    failures: Vec<Failure>,
    made: Vec<Made>,
    fatal_errors: u64,
    /// A snapshot is incomplete, by a signal, a limit or a failure that is to stop everything.
    was_stopped: bool,
}

impl Run<'_> {
    fn source(&mut self, writer: &mut RepositoryWriter<'_>, plan: &Plan) -> Result<()> {
        self.ctx.talk().line(format_args!("Snapshotting {} ...", plan.source));
        // In a place of its own, for the plan is lent out below.
        let path;
        let input = if self.args.stdin.is_given() {
            let directory = plan.path.to_string_lossy().into_owned();
            UploadSource::Stream(self.args.stdin.open(directory, &plan.upload.cancel)?)
        } else {
            match take::resolved(&plan.path) {
                Ok(resolved) => path = resolved,
                Err(failure) => {
                    self.failures.push(failure);
                    return Ok(());
                }
            }
            UploadSource::Path(&path)
        };
        let before = writer.stats();
        let progress =
            Progress::start(self.ctx, Work::Upload, Some(Arc::clone(writer.objects().contents())))?;
        match take(writer, plan, input, &progress) {
            Ok(taken) => {
                self.was_stopped |= !taken.snapshot.is_complete();
                if (self.args.override_source.is_some() || self.args.stdin.is_given()) && taken.is_saved {
                    set_manual(self.ctx, writer, &plan.source)?;
                }
                let stats = difference(writer.stats(), before);
                let read_bytes = progress.get(Counter::HashedBytes);
                self.made.push(Made { taken, stats, read_bytes, elapsed: progress.elapsed() });
            }
            Err(TakeError::Source(failure)) => self.failures.push(failure),
            Err(TakeError::Repository(failure)) => {
                return Err(failure.within(format!("cannot save {}", plan.source)));
            }
        }
        Ok(())
    }

    /// Makes durable what was taken, and says so.
    fn flush(&mut self, writer: &mut RepositoryWriter<'_>) -> Result<()> {
        let (watch, before) = (Stopwatch::start(), writer.stats());
        writer.flush()?;
        let elapsed = watch.elapsed();
        let mut taken = std::mem::take(&mut self.made);
        if let [.., last] = taken.as_mut_slice() {
            // The manifests of all are written with the last.
            last.elapsed += elapsed;
            last.stats = sum(last.stats, difference(writer.stats(), before));
        }
        taken.iter().try_for_each(|made| self.report(made))?;
        self.ctx.stdout().flush()
    }

    fn report(&mut self, made: &Made) -> Result<()> {
        let (snapshot, talk) = (&made.taken.snapshot, self.ctx.talk());
        if !made.taken.is_saved {
            talk.line(format_args!(
                "{} is unchanged, and the policy saves no equal snapshots",
                snapshot.source
            ));
            return Ok(());
        }
        if self.args.json.json {
            let document = SnapshotDocument::new(snapshot, &[]);
            let document = if self.args.json.json_verbose { document } else { document.without_stats() };
            self.ctx.stdout().json(&document, self.args.json.json_indent)?;
        } else {
            let partial = if snapshot.is_complete() { "" } else { " partial" };
            let root = snapshot.root_entry.as_ref().map(|entry| entry.obj).unwrap_or_default();
            let seconds = snapshot.end_time.nanos_since(snapshot.start_time) / 1_000_000_000;
            talk.line(format_args!(
                "Created{partial} snapshot with root {root} and ID {} in {}",
                snapshot.id,
                format_nanos(seconds * 1_000_000_000)
            ));
        }
        talk.line(self.summary(made));
        let (fatal, ignored) = (snapshot.fatal_errors(), snapshot.ignored_errors());
        if ignored > 0 {
            talk.line(format_args!(
                "{ignored} errors in {} are ignored, as the policy says",
                snapshot.source
            ));
        }
        self.fatal_errors += fatal;
        Ok(())
    }

    fn summary(&self, made: &Made) -> String {
        let sizes = self.ctx.sizes();
        let root = made.taken.snapshot.root_entry.as_ref();
        let (files, bytes) = match root.and_then(|root| root.summ.as_ref()) {
            Some(summary) => (summary.files, summary.size),
            None => (1, root.map_or(0, |root| root.size)),
        };
        let mut text = format!(
            "{files} files ({}), {} read, {} new in {} contents, {} stored, {:.1} s, {}",
            sizes.format(bytes),
            sizes.format(made.read_bytes),
            sizes.format(made.stats.new_bytes),
            made.stats.new_contents,
            sizes.format(made.stats.stored_bytes),
            made.elapsed.as_secs_f64(),
            rate(sizes, made.read_bytes, made.elapsed),
        );
        if made.taken.expired > 0 {
            write!(text, "; retention removed {} snapshots", made.taken.expired)
                .expect("writing to a string cannot fail");
        }
        text
    }

    /// A source that is not saved at all outranks files that are not in a snapshot.
    fn outcome(mut self) -> Result<()> {
        let (n, not_in) =
            (self.fatal_errors, "files or directories could not be read and are not in the snapshot");
        match self.failures.len() {
            0 if n == 0 => Ok(()),
            0 => Err(Failure::new(format!("{n} {not_in}")).with_status(Status::Incomplete)),
            1 => Err(self.failures.remove(0)),
            n => {
                for failure in &self.failures {
                    self.ctx.talk().line(format_args!("error: {failure}"));
                }
                Err(Failure::new(format!("{n} sources could not be saved")))
            }
        }
    }
}

/// A source that is saved under another name, or not from a path, is not for schedulers. Whoever has set a schedule for
/// it gets a word, and keeps schedule and snapshot.
fn set_manual(ctx: &Context, writer: &mut RepositoryWriter<'_>, source: &SourceInfo) -> Result<()> {
    let mut own = PolicyStore::new(writer.manifests()).defined(source)?.unwrap_or_default();
    if own.scheduling.manual {
        return Ok(());
    }
    own.scheduling.manual = true;
    match own.save(source, writer) {
        Err(policy::Error::ManualWithSchedule) => {
            ctx.talk().warning(format_args!("{source} has a schedule, which no scheduler can follow"));
            Ok(())
        }
        saved => Ok(saved.map(drop)?),
    }
}

fn sum(a: WriteStats, b: WriteStats) -> WriteStats {
    WriteStats {
        contents: a.contents + b.contents,
        new_contents: a.new_contents + b.new_contents,
        new_bytes: a.new_bytes + b.new_bytes,
        stored_bytes: a.stored_bytes + b.stored_bytes,
    }
}

/// What was written since an earlier look.
fn difference(after: WriteStats, before: WriteStats) -> WriteStats {
    WriteStats {
        contents: after.contents - before.contents,
        new_contents: after.new_contents - before.new_contents,
        new_bytes: after.new_bytes - before.new_bytes,
        stored_bytes: after.stored_bytes - before.stored_bytes,
    }
}
