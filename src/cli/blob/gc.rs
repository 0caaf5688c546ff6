//! `blob gc`: packs that no index names.

use crate::cli::Result;
use crate::cli::context::Context;
use clap::ValueEnum;
use packhorse::maintenance::{BlobGc, SafetyParameters, Tally, collect_blobs};

/// Flags of `gc`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Delete them, if this is `yes`.
    #[arg(long, value_name = "YES", default_value = "")]
    delete: String,
    /// Accepted for the sake of Kopia's scripts; without effect.
    #[arg(long, value_name = "N", default_value = "16")]
    parallel: u32,
    /// Only blobs that begin so.
    #[arg(long)]
    prefix: Option<String>,
    /// How long what may belong to a running backup is kept.
    #[arg(long, value_enum, default_value = "full")]
    safety: Safety,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Safety {
    /// As long as other clients may be at work.
    Full,
    /// Not at all: no other client may be at work.
    None,
}

/// Runs the command.
pub(super) fn run(ctx: &Context, args: &Args) -> Result<()> {
    ctx.check_dangerous()?;
    let cancel = ctx.cancel()?;
    let repository = ctx.open_repository(true)?;
    let gc = BlobGc {
        prefix: args.prefix.as_deref().filter(|prefix| !prefix.is_empty()),
        safety: match args.safety {
            Safety::Full => SafetyParameters::FULL,
            Safety::None => SafetyParameters::NONE,
        },
        dry_run: args.delete != "yes",
    };
    let report = collect_blobs(&repository, gc, &cancel)?;
    let said = |tally: Tally| format!("{} blobs ({})", tally.blobs, ctx.sizes().format(tally.bytes));
    let talk = ctx.talk();
    talk.line(format_args!("Found {} that nothing refers to", said(report.unreferenced)));
    talk.line(format_args!("Kept {} that may belong to a running backup", said(report.retained)));
    if !gc.dry_run {
        talk.line(format_args!("Deleted {}", said(report.deleted)));
    } else if report.unreferenced.blobs > 0 {
        talk.line("Pass --delete=yes to delete.");
    }
    Ok(())
}
