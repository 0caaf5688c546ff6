//! `snapshot pin`: keep snapshots from expiry, or give them up to it again.

use super::by_id_or_root;
use crate::cli::Result;
use crate::cli::context::Context;
use crate::cli::exit::Failure;

/// Flags of the command.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Manifest ids, or root object ids (of all snapshots that share the root)
    #[arg(required = true, value_name = "ID")]
    ids: Vec<String>,
    /// Pin to set; may be repeated
    #[arg(long, value_name = "NAME")]
    add: Vec<String>,
    /// Pin to remove; may be repeated
    #[arg(long, value_name = "NAME")]
    remove: Vec<String>,
}

/// Runs the command.
pub(crate) fn run(ctx: &Context, args: &Args) -> Result<()> {
    if args.add.is_empty() && args.remove.is_empty() {
        return Err(Failure::usage("give --add or --remove"));
    }
    let repository = ctx.open_repository(true)?;
    let mut writer = repository.begin(&ctx.write_options())?;
    let mut said = Vec::new();
    for mut snapshot in by_id_or_root(writer.manifests(), &args.ids)? {
        let (time, source) = (ctx.zone().format(snapshot.start_time), snapshot.source.clone());
        if snapshot.update_pins(&args.add, &args.remove) {
            let id = snapshot.update(&mut writer)?;
            said.push(format!("Changed the pins of {source} at {time}; its id is now {id}"));
        } else {
            said.push(format!("Nothing to change for {source} at {time}"));
        }
    }
    writer.flush()?;
    for line in &said {
        ctx.talk().line(line);
    }
    Ok(())
}
