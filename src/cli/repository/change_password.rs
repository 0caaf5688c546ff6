//! `repository change-password`: the same repository under another password.

#![expect(clippy::doc_markdown, reason = "doc comments of flags are their help, which shows no backticks")]

use super::cache_dir;
use crate::cli::context::Context;
use crate::cli::exit::Explain;
use crate::cli::{Result, password};

/// Flags of `change-password`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The new password; the variable keeps it out of process listings [env: KOPIA_NEW_PASSWORD]
    #[arg(long, value_name = "PASSWORD")]
    new_password: Option<String>,
}

/// Runs the command.
pub(super) fn run(ctx: &Context, args: &Args) -> Result<()> {
    const CHANGING: &str = "cannot change the password";
    let mut editor = ctx.edit_format()?;
    let new = ctx.new_password(args.new_password.as_deref())?;
    editor.change_password(&new).explain(CHANGING)?;
    ctx.talk().line("The password of the repository was changed. Other clients need to connect again.");
    cache_dir::forget_format(ctx)?;
    let path = ctx.config_path()?;
    let kept = if ctx.persists_password() { password::keep(&path, &new) } else { password::forget(&path) };
    kept.explain("the password of the repository was changed, but the connection still has the old one")
}
