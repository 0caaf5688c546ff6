//! `snapshot copy-history` and `snapshot move-history`: snapshots under the name of another source.

use super::parse_source;
use crate::cli::Result;
use crate::cli::context::Context;
use packhorse::manifest::ManifestStore;
use packhorse::policy::SourceInfo;
use packhorse::repo::Repository;
use packhorse::snapshot::{HistoryStep, plan_history};

/// Flags of both commands.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Whose snapshots: user@host:path, all of user@host, or all of @host
    source: String,
    /// Whose they become, in the same forms; parts left out stay as they are. Default: this user@host
    destination: Option<String>,
    /// Only say what would be done
    #[arg(short = 'n', long)]
    dry_run: bool,
}

/// What becomes of the old snapshots.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// They stay.
    Copy,
    /// They go.
    Move,
}

/// Runs either command.
pub(crate) fn run(ctx: &Context, args: &Args, way: Way) -> Result<()> {
    let repository = ctx.open_repository(!args.dry_run)?;
    if args.dry_run {
        let manifests = repository.load_manifests()?;
        let steps = plan(ctx, args, &repository, &manifests)?;
        for step in &steps {
            say(ctx, step, way, true);
        }
        return Ok(());
    }
    let mut writer = repository.begin(&ctx.write_options())?;
    for step in plan(ctx, args, &repository, writer.manifests())? {
        say(ctx, &step, way, false);
        match way {
            Way::Copy => step.copy(&mut writer)?,
            Way::Move => step.move_over(&mut writer)?,
        }
    }
    Ok(writer.flush()?)
}

fn plan(
    ctx: &Context,
    args: &Args,
    repository: &Repository,
    manifests: &ManifestStore,
) -> Result<Vec<HistoryStep>> {
    let source = parse_source(ctx, repository, &args.source)?;
    let identity = repository.identity();
    let destination = match &args.destination {
        Some(text) => parse_source(ctx, repository, text)?,
        None => SourceInfo::new(&identity.username, &identity.hostname, ""),
    };
    Ok(plan_history(manifests, &source, &destination)?)
}

fn say(ctx: &Context, step: &HistoryStep, way: Way, is_dry: bool) {
    let HistoryStep { snapshot, destination, is_there } = step;
    let time = ctx.zone().format(snapshot.start_time);
    let source = &snapshot.source;
    let dry = if is_dry { " (dry run)" } else { "" };
    let talk = ctx.talk();
    match (is_there, way) {
        (false, Way::Copy) => talk.line(format_args!("copying{dry} {source} ({time}) => {destination}")),
        (false, Way::Move) => talk.line(format_args!("moving{dry} {source} ({time}) => {destination}")),
        (true, Way::Copy) => talk.line(format_args!("{destination} ({time}) is there already")),
        (true, Way::Move) => {
            talk.line(format_args!(
                "{destination} ({time}) is there already; deleting{dry} it from {source}"
            ));
        }
    }
}
