//! `cache prefetch`: what is needed to read objects.

use super::{fetch, open};
use crate::cli::Result;
use crate::cli::context::Context;
use packhorse::format::ContentId;
use packhorse::repo::Repository;
use packhorse::snapshot;
use rayon::prelude::*;
use std::collections::BTreeSet;

/// Flags of `prefetch`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Objects, as ID or ID/path
    #[arg(required = true, value_name = "OBJECT")]
    objects: Vec<String>,
    /// Without effect: what is fetched is what the objects consist of
    #[arg(long, hide = true)]
    hint: Option<String>,
}

/// Runs the command.
pub(super) fn run(ctx: &Context, args: &Args) -> Result<()> {
    let Some(repository) = open(ctx)? else { return Ok(()) };
    let contents = contents_of(&repository, &args.objects)?;
    let pool = ctx.thread_pool(repository.storage().parallelism() as i64)?;
    pool.install(|| {
        contents.par_iter().try_for_each(|id| {
            let entry = repository.contents().info(id)?;
            let (offset, length) = (u64::from(entry.pack_offset), u64::from(entry.packed_length));
            fetch(repository.storage().as_ref(), &entry.pack, offset, length)
        })
    })?;
    ctx.talk().line(format_args!("prefetched {} contents", contents.len()));
    Ok(())
}

fn contents_of(repository: &Repository, objects: &[String]) -> Result<BTreeSet<ContentId>> {
    let manifests = repository.load_manifests()?;
    let mut contents = BTreeSet::new();
    for object in objects {
        let entry = snapshot::resolve(repository.objects(), &manifests, object, false)?;
        contents.extend(repository.objects().content_ids(entry.obj)?);
    }
    Ok(contents)
}
