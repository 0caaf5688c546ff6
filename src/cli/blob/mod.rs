//! `blob`: the blobs of the storage, as they are.

mod delete;
mod gc;
mod list;
mod shards;
mod show;
mod stats;

use super::Result;
use super::context::Context;

/// Verbs of the group.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Delete blobs.
    #[command(hide = true, visible_aliases = ["remove", "rm"])]
    Delete(delete::Args),
    /// Delete packs that no index names.
    #[command(hide = true)]
    Gc(gc::Args),
    /// List blobs.
    #[command(visible_alias = "ls")]
    List(list::Args),
    /// Change the folders that blobs lie in.
    #[command(subcommand, hide = true)]
    Shards(shards::Command),
    /// Print blobs.
    #[command(visible_alias = "cat")]
    Show(show::Args),
    /// Count blobs by their size.
    Stats(stats::Args),
}

/// Runs a verb.
pub(crate) fn run(ctx: &Context, command: &Command) -> Result<()> {
    match command {
        Command::Delete(args) => delete::run(ctx, args),
        Command::Gc(args) => gc::run(ctx, args),
        Command::List(args) => list::run(ctx, args),
        Command::Shards(command) => shards::run(ctx, command),
        Command::Show(args) => show::run(ctx, args),
        Command::Stats(args) => stats::run(ctx, args),
    }
}
