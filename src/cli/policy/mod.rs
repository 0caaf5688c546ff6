//! `policy`: what is saved, how, and for how long.

mod delete;
mod edit;
mod export;
mod import;
mod list;
mod set;
mod show;
mod table;
mod target;

use super::Result;
use super::context::Context;
pub(crate) use show::show_created;

/// Verbs of the group.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Remove policies; what they set is inherited again.
    #[command(visible_aliases = ["remove", "rm"])]
    Delete(delete::Args),
    /// Change policies in an editor.
    Edit(edit::Args),
    /// Write policies as JSON.
    Export(export::Args),
    /// Set policies from JSON.
    Import(import::Args),
    /// List the policies that are defined.
    #[command(visible_alias = "ls")]
    List(list::Args),
    /// Change values of policies.
    Set(Box<set::Args>),
    /// Show the policy that holds for a target, inherited values included.
    #[command(visible_alias = "get")]
    Show(show::Args),
}

/// Runs a verb.
pub(crate) fn run(ctx: &Context, command: &Command) -> Result<()> {
    match command {
        Command::Delete(args) => delete::run(ctx, args),
        Command::Edit(args) => edit::run(ctx, args),
        Command::Export(args) => export::run(ctx, args),
        Command::Import(args) => import::run(ctx, args),
        Command::List(args) => list::run(ctx, args),
        Command::Set(args) => set::run(ctx, args),
        Command::Show(args) => show::run(ctx, args),
    }
}
