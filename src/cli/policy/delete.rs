//! `policy delete`

use super::target;
use crate::cli::Result;
use crate::cli::context::Context;
use packhorse::policy::remove_policy;

/// Flags of `delete`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only say what would be removed.
    #[arg(short = 'n', long)]
    dry_run: bool,
    #[command(flatten)]
    target: target::TargetFlags,
}

/// Runs the command.
pub(super) fn run(ctx: &Context, args: &Args) -> Result<()> {
    args.target.check()?;
    let repository = ctx.open_repository(!args.dry_run)?;
    let manifests = repository.load_manifests()?;
    let targets = args.target.resolve(ctx, &manifests, repository.identity())?;
    for target in &targets {
        ctx.talk().line(format_args!("Removing the policy of {target}"));
    }
    if args.dry_run {
        return Ok(());
    }
    let mut writer = repository.begin(&ctx.write_options())?;
    for target in &targets {
        if !remove_policy(target, &mut writer) {
            ctx.talk().line(format_args!("{target} has no policy"));
        }
    }
    Ok(writer.flush()?)
}
