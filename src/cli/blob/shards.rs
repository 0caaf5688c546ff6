//! `blob shards`: which folders of a store blobs lie in.

use crate::cli::Result;
use crate::cli::context::Context;

/// Verbs of the group.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {}

/// Runs a verb.
pub(super) fn run(_ctx: &Context, command: &Command) -> Result<()> {
    match *command {}
}
