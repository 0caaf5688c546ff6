//! `policy set`: changes values of policies. Nothing changes unless its flag is given.

mod actions;
mod change;
mod compression;
mod files;
mod rest;
mod retention;
mod scheduling;
mod setting;

use super::target;
use crate::cli::Result;
use crate::cli::context::Context;
use crate::cli::exit::Failure;
use change::Changes;
use packhorse::policy::{Policy, PolicyStore};

/// Flags of `set`. Values that are numbers or switches can be `inherit`, which removes them from the policy.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    target: target::TargetFlags,
    #[command(flatten)]
    retention: retention::RetentionFlags,
    #[command(flatten)]
    files: files::FilesFlags,
    #[command(flatten)]
    compression: compression::CompressionFlags,
    #[command(flatten)]
    scheduling: scheduling::SchedulingFlags,
    #[command(flatten)]
    actions: actions::ActionsFlags,
    #[command(flatten)]
    rest: rest::RestFlags,
}

/// Runs the command.
pub(super) fn run(ctx: &Context, args: &Args) -> Result<()> {
    args.target.check()?;
    let repository = ctx.open_repository(true)?;
    let mut writer = repository.begin(&ctx.write_options())?;
    let targets = args.target.resolve(ctx, writer.manifests(), repository.identity())?;
    let mut is_changed = false;
    for target in &targets {
        let known = PolicyStore::new(writer.manifests()).defined(target)?;
        let mut policy = known.unwrap_or_default();
        let mut changes = Changes::default();
        args.apply(&mut policy, &mut changes)?;
        if changes.is_empty() {
            return Err(Failure::new(format!("{target}: no changes specified")));
        }
        ctx.talk().line(format_args!("Setting the policy of {target}:"));
        changes.lines().for_each(|line| ctx.talk().line(format_args!("  {line}")));
        is_changed |= policy.save(target, &mut writer)?;
    }
    if is_changed {
        writer.flush()?;
    } else {
        ctx.talk().line("Nothing to change: every value is as wanted.");
    }
    Ok(())
}

impl Args {
    fn apply(&self, policy: &mut Policy, changes: &mut Changes) -> Result<()> {
        self.retention.apply(&mut policy.retention, changes);
        self.files.apply(policy, changes);
        self.compression.apply(policy, changes);
        self.scheduling.apply(&mut policy.scheduling, changes)?;
        self.actions.apply(&mut policy.actions, changes)?;
        self.rest.apply(policy, changes);
        Ok(())
    }
}
