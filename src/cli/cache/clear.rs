//! `cache clear`: removes what is known to be cache, Kopia's included, and nothing else.

use crate::cli::Result;
use crate::cli::context::Context;
use crate::cli::repository::cache_dir;

/// Flags of `clear`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Empty only this part.
    #[arg(long, value_name = "PART", value_parser = ["contents", "indexes", "metadata", "own-writes", "blob-list"])]
    partial: Option<String>,
}

/// Runs the command.
pub(super) fn run(ctx: &Context, args: &Args) -> Result<()> {
    ctx.open_without_cache(false)?;
    let folder = super::folder(ctx)?;
    let shown = args.partial.as_ref().map_or_else(|| folder.clone(), |part| folder.join(part));
    ctx.talk().line(format_args!("Clearing cache directory: {}.", shown.display()));
    cache_dir::clear(&folder, args.partial.as_deref())
}
