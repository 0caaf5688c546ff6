//! `repository throttle`: limits for speed and requests.

mod get;
mod set;

use crate::cli::Result;
use crate::cli::context::Context;
use crate::cli::units::Sizes;

/// Verbs of the group.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Show the limits.
    Get(get::Args),
    /// Change the limits; processes that are at work take them over within ten seconds.
    Set(set::Args),
}

/// Runs a verb.
pub(super) fn run(ctx: &Context, command: &Command) -> Result<()> {
    match command {
        Command::Get(args) => get::run(ctx, args),
        Command::Set(args) => set::run(ctx, args),
    }
}

fn speed(sizes: Sizes, bytes: f64) -> String {
    format!("{}/s", sizes.format(bytes as u64))
}
