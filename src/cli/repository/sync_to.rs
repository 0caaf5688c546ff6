//! `repository sync-to`: a copy of the repository elsewhere, made or brought up to date.

use super::Provider;
use crate::cli::context::Context;
use crate::cli::exit::{Explain, Status};
use crate::cli::progress::{Progress, Work, rate};
use crate::cli::{Result, grace};
use packhorse::base::Counter;
use packhorse::blob::{self, OpenMode, Storage, StorageExt};
use packhorse::format::REPOSITORY_BLOB;
use packhorse::repo::{SyncOptions, SyncPlan, SyncReport, sync_to};
use std::num::NonZeroUsize;
use std::sync::Arc;

/// Blobs copied at once unless told otherwise: enough to hide the delays of a server.
const PARALLEL: NonZeroUsize = NonZeroUsize::new(8).expect("eight is not zero");

/// Flags of `sync-to`, before or after the provider.
#[derive(Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of Kopia's command line")]
pub(crate) struct Args {
    #[command(subcommand)]
    provider: Provider,
    /// Copy blobs again that are newer here than there; on unless --no-update.
    #[arg(long, global = true, num_args = 0, default_missing_value = "true")]
    update: Option<bool>,
    /// Delete blobs that are only there.
    #[arg(long, global = true)]
    delete: bool,
    /// Only say what would be done.
    #[arg(short = 'n', long, global = true)]
    dry_run: bool,
    /// Blobs copied at once (8).
    #[arg(long, global = true, value_name = "N")]
    parallel: Option<NonZeroUsize>,
    /// Fail if there is no repository there yet.
    #[arg(long, global = true)]
    must_exist: bool,
    /// Give copies the times of the originals, where the storage can.
    #[arg(long, global = true)]
    times: bool,
}

impl Args {
    fn options(&self, ctx: &Context) -> SyncOptions {
        SyncOptions {
            update: self.update.unwrap_or(true),
            delete: self.delete,
            dry_run: self.dry_run,
            must_exist: self.must_exist,
            keep_times: self.times,
            threads: self.parallel.unwrap_or(PARALLEL).get(),
            in_flight_bytes: ctx.memory().buffer_bytes,
        }
    }
}

/// Runs the command.
pub(super) fn run(ctx: &Context, args: &Args) -> Result<()> {
    let to = destination(ctx, args).explain("can't connect to storage")?;
    let from = ctx.open_blobs(false)?;
    let talk = ctx.talk();
    talk.line("Synchronizing repositories:");
    talk.line(format_args!("  Source:      {}", from.display_name()));
    talk.line(format_args!("  Destination: {}", to.display_name()));
    if !args.delete {
        talk.line("NOTE: By default no BLOBs are deleted, pass --delete to allow it.");
    }
    talk.line("Looking for BLOBs to synchronize...");
    let cancel = ctx.cancel()?;
    let _grace = grace::Grace::begin(ctx)?;
    let progress = Progress::start(ctx, Work::Copy, None)?;
    let planned = |plan: &SyncPlan| say_plan(ctx, plan, args.dry_run);
    let report = sync_to(&*from, &*to, &args.options(ctx), &cancel, &progress, &planned);
    let (copied, bytes) = (progress.get(Counter::CopiedBlobs), progress.get(Counter::CopiedBytes));
    let (size, speed) = (ctx.sizes().format(bytes), rate(ctx.sizes(), bytes, progress.elapsed()));
    drop(progress);
    if !args.dry_run {
        talk.line(format_args!("Copied {copied} blobs ({size}), {speed}."));
    }
    say_rest(ctx, &report.map_err(stopped)?);
    Ok(())
}

/// Opens the destination, which must be there; new ones are laid out as new repositories are.
fn destination(ctx: &Context, args: &Args) -> Result<Arc<dyn Storage>> {
    let info = args.provider.target(ctx, None)?.info;
    let open = |mode| blob::open(&info, mode, Arc::clone(ctx.clock()));
    let store = open(OpenMode::Connect)?;
    let is_fixed = args.dry_run || args.must_exist || store.get_optional(&REPOSITORY_BLOB.into())?.is_some();
    Ok(if is_fixed { store } else { open(OpenMode::Create)? })
}

fn say_plan(ctx: &Context, plan: &SyncPlan, is_dry: bool) {
    let (talk, sizes) = (ctx.talk(), ctx.sizes());
    let said =
        |tally: packhorse::repo::Tally| format!("{} BLOBs ({})", tally.blobs, sizes.format(tally.bytes));
    talk.line(format_args!("  Found {} in the destination repository", said(plan.destination)));
    talk.line(format_args!(
        "  Found {} in the source repository, {} to copy",
        said(plan.source),
        said(plan.to_copy)
    ));
    talk.line(format_args!("  Found {} to delete, {} in sync", said(plan.to_delete), said(plan.in_sync)));
    if !is_dry {
        talk.line("Copying...");
    }
}

fn say_rest(ctx: &Context, report: &SyncReport) {
    let talk = ctx.talk();
    for id in &report.copied.vanished {
        talk.line(format_args!("ignoring BLOB not found: {id}"));
    }
    if report.deleted.blobs > 0 {
        let size = ctx.sizes().format(report.deleted.bytes);
        talk.line(format_args!("Deleted {} blobs ({size}).", report.deleted.blobs));
    }
}

/// What a stopped copy leaves is sound, and worth going on from.
fn stopped(error: packhorse::repo::Error) -> crate::cli::exit::Failure {
    let is_stopped = matches!(error, packhorse::repo::Error::Canceled);
    let failure = crate::cli::exit::Failure::from(error);
    if is_stopped {
        return failure
            .with_status(Status::Interrupted)
            .with_hint("what is copied is not copied again when the command is run again");
    }
    failure
}
