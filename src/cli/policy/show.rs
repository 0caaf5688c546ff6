//! `policy show`

use super::{table, target};
use crate::cli::Result;
use crate::cli::context::Context;
use crate::cli::output::JsonFlags;
use packhorse::policy::{PolicyStore, SourceInfo};
use packhorse::repo::Repository;

/// Sections shown after a repository was created.
const CREATED_SECTIONS: [&str; 2] = ["retention", "compression"];

/// Flags of `show`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    target: target::TargetFlags,
    #[command(flatten)]
    json: JsonFlags,
}

/// Runs the command.
pub(super) fn run(ctx: &Context, args: &Args) -> Result<()> {
    args.target.check()?;
    let repository = ctx.open_repository(false)?;
    let manifests = repository.load_manifests()?;
    let mut out = ctx.stdout();
    for target in args.target.resolve(ctx, &manifests, repository.identity())? {
        let effective = PolicyStore::new(&manifests).effective(&target)?;
        if args.json.json {
            out.json(&effective.policy, args.json.json_indent)?;
            continue;
        }
        out.line(format_args!("Policy for {target}:"))?;
        out.line("")?;
        out.text(table::of(&effective, &target, |_| true, ctx.sizes())?)?;
    }
    Ok(())
}

/// Prints what matters of the policy that a new repository starts with.
pub(crate) fn show_created(ctx: &Context, repository: &Repository) -> Result<()> {
    let manifests = repository.load_manifests()?;
    let global = SourceInfo::default();
    let effective = PolicyStore::new(&manifests).effective(&global)?;
    let is_shown = |section: &str| CREATED_SECTIONS.contains(&section);
    ctx.stdout().text(table::of(&effective, &global, is_shown, ctx.sizes())?)?;
    ctx.talk().line("Change this policy with `packhorse policy set --global`.");
    Ok(())
}
