//! `blob shards`: which folders of a store blobs lie in.

use crate::cli::Result;
use crate::cli::context::Context;
use crate::cli::exit::Failure;
use packhorse::blob::{LayoutChange, Reshard};
use std::path::PathBuf;

/// Verbs of the group.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Move the blobs of a repository's folder into other folders.
    #[command(hide = true, visible_alias = "reshard")]
    Modify(Args),
}

/// Flags of `modify`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Nobody uses the repository, neither with this program nor with Kopia.
    #[arg(long, required = true)]
    i_am_sure_kopia_is_not_running: bool,
    /// Folder of the repository.
    #[arg(long)]
    path: PathBuf,
    /// Letters of the names of folders, from the top: `1,3`, or `flat` for no folders.
    #[arg(long, value_name = "N,…", default_value = "")]
    default_shards: String,
    /// The same for blobs that begin so; may be given again.
    #[arg(long = "override", value_name = "PREFIX=N,…")]
    overrides: Vec<String>,
    /// Prefix that gets no folders of its own any more; may be given again.
    #[arg(long, value_name = "PREFIX")]
    remove_override: Vec<String>,
    /// Names up to so many letters stay outside of folders.
    #[arg(long, value_name = "N", default_value = "-1", allow_negative_numbers = true)]
    unsharded_length: i64,
    /// Only say what would be moved.
    #[arg(long)]
    dry_run: bool,
}

impl Args {
    fn change(&self) -> Result<LayoutChange> {
        let default = Some(self.default_shards.as_str()).filter(|text| !text.is_empty());
        let widths_of = |text: &str| {
            widths(text)
                .ok_or_else(|| Failure::usage(format!("{text:?} is not a list such as 1,3, nor `flat`")))
        };
        let of_prefix = |text: &String| {
            let parts = text.split_once('=');
            let (prefix, text) = parts.ok_or_else(|| {
                Failure::usage(format!("--override: {text:?} is not a prefix and a list such as p=1,3"))
            })?;
            Ok((prefix.to_owned(), widths_of(text)?))
        };
        Ok(LayoutChange {
            default: default.map(widths_of).transpose()?,
            removed: self.remove_override.clone(),
            overrides: self.overrides.iter().map(of_prefix).collect::<Result<_>>()?,
            max_non_sharded_length: Some(self.unsharded_length).filter(|length| *length != -1),
        })
    }
}

fn widths(text: &str) -> Option<Vec<u32>> {
    if text == "flat" {
        return Some(Vec::new());
    }
    text.split(',').filter(|part| !part.is_empty()).map(|part| part.parse().ok()).collect()
}

/// Runs a verb.
pub(super) fn run(ctx: &Context, command: &Command) -> Result<()> {
    let Command::Modify(args) = command;
    let change = args.change()?;
    let (cancel, talk) = (ctx.cancel()?, ctx.talk());
    talk.line("Reading .shards file.");
    let reshard = Reshard::plan(&ctx.environment().absolute(&args.path), &change)?;
    talk.line("Moving files...");
    let mut out = ctx.stdout();
    for (from, to) in reshard.moves() {
        out.line(format_args!("mv {} {}", from.display(), to.display()))?;
    }
    let (moved, unchanged) = (reshard.moves().len(), reshard.unchanged());
    if args.dry_run {
        talk.line(format_args!("Would move {moved} file, {unchanged} unchanged."));
        return Ok(());
    }
    let mut folders = Vec::new();
    let run = reshard.run(&cancel, &mut |folder| folders.push(folder.to_owned()));
    let removed = run.map_err(|error| {
        Failure::from(error)
            .with_hint("the repository cannot be used until the same command has completed the move")
    })?;
    for folder in folders {
        out.line(format_args!("rmdir {}", folder.display()))?;
    }
    talk.line(format_args!("Moved {moved} files, {unchanged} unchanged."));
    talk.line(format_args!("Removed {removed} empty directories."));
    Ok(())
}
