//! `cache sync`: all packs of directories.

use super::{fetch, open};
use crate::cli::context::Context;
use crate::cli::{Result, units};
use packhorse::blob::StorageExt;
use rayon::prelude::*;

/// What packs of directories begin with.
const METADATA_PACKS: &str = "q";

/// Flags of `sync`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Packs fetched at once.
    #[arg(long, default_value = "16", value_name = "N", value_parser = units::parse_number)]
    parallel: i64,
}

/// Runs the command.
pub(super) fn run(ctx: &Context, args: &Args) -> Result<()> {
    let Some(repository) = open(ctx)? else { return Ok(()) };
    let storage = repository.storage().as_ref();
    let packs = storage.list_all(METADATA_PACKS)?;
    let pool = ctx.thread_pool(args.parallel)?;
    pool.install(|| packs.par_iter().try_for_each(|pack| fetch(storage, &pack.id, 0, pack.length)))
}
