//! `show`: the bytes of a stored object.

use super::Result;
use super::context::Context;
use packhorse::snapshot;

/// Flags of the command.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Object, as ID or ID/path; the id is that of a snapshot, of its root, or of any object
    object_path: String,
}

/// Runs the command.
pub(crate) fn run(ctx: &Context, args: &Args) -> Result<()> {
    let repository = ctx.open_repository(false)?;
    let manifests = repository.load_manifests()?;
    let entry = snapshot::resolve(repository.objects(), &manifests, &args.object_path, false)?;
    let objects = repository.objects();
    let Some(segments) = objects.segments(entry.obj)? else {
        return ctx.stdout().bytes(&objects.read_content(entry.obj)?);
    };
    for segment in &segments {
        ctx.stdout().bytes(&objects.read_segment(entry.obj, segment)?)?;
    }
    Ok(())
}
