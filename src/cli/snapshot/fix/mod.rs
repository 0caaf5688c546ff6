//! `snapshot fix`: rewrite snapshots without what they should not have.

mod invalid_files;
mod remove_files;
mod rewrite;

use crate::cli::Result;
use crate::cli::context::Context;

/// Verbs of the group.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Replace or remove files and directories that cannot be read.
    InvalidFiles(invalid_files::Args),
    /// Remove files and directories by name or object.
    RemoveFiles(remove_files::Args),
}

/// Runs a verb.
pub(crate) fn run(ctx: &Context, command: &Command) -> Result<()> {
    match command {
        Command::InvalidFiles(args) => invalid_files::run(ctx, args),
        Command::RemoveFiles(args) => remove_files::run(ctx, args),
    }
}
