//! `cache`: the folder that keeps what never changes of the repository near.

mod clear;
mod info;
mod prefetch;
mod set;
mod sync;

use super::Result;
use super::context::Context;
use super::exit::Failure;
use packhorse::blob::{BlobId, ByteRange, Storage};
use packhorse::repo::Repository;
use std::path::PathBuf;

/// Verbs of the group.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Empty the cache.
    Clear(clear::Args),
    /// Say where the cache is and what it holds.
    Info(info::Args),
    /// Fetch what is needed to read objects.
    Prefetch(prefetch::Args),
    /// Change where the cache is and how large it may become.
    Set(set::Args),
    /// Fetch everything that is needed to read directories.
    Sync(sync::Args),
}

/// Runs a verb.
pub(crate) fn run(ctx: &Context, command: &Command) -> Result<()> {
    match command {
        Command::Clear(args) => clear::run(ctx, args),
        Command::Info(args) => info::run(ctx, args),
        Command::Prefetch(args) => prefetch::run(ctx, args),
        Command::Set(args) => set::run(ctx, args),
        Command::Sync(args) => sync::run(ctx, args),
    }
}

/// The cache folder of the connection.
fn folder(ctx: &Context) -> Result<PathBuf> {
    ctx.cache_folder(&ctx.connection()?)?.ok_or_else(|| Failure::new("caching not enabled"))
}

/// The repository with its cache; none, with a word, where it is read without one.
fn open(ctx: &Context) -> Result<Option<Repository>> {
    folder(ctx)?;
    let repository = ctx.open_with_cache()?;
    if repository.is_none() {
        ctx.talk().line("This store is read without a cache; PACKHORSE_CACHE=always changes that.");
    }
    Ok(repository)
}

/// So much is fetched with one request.
const FETCH_BYTES: u64 = 2 << 20;

/// Brings a part of a pack into the cache.
fn fetch(storage: &dyn Storage, pack: &BlobId, offset: u64, length: u64) -> Result<()> {
    let end = offset.saturating_add(length);
    let mut at = offset;
    while at < end {
        let next = (at / FETCH_BYTES + 1).saturating_mul(FETCH_BYTES).min(end);
        storage.get_within(pack, ByteRange { offset: at, length: next - at })?;
        at = next;
    }
    Ok(())
}
