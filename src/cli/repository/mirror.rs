//! `repository mirror`: the second copy that is written along with the first.

use super::{Provider, Target};
use crate::cli::Result;
use crate::cli::context::Context;
use crate::cli::exit::{Explain, Failure, Status};
use crate::cli::output::JsonFlags;
use packhorse::blob::{self, BlobId, Mirrored, OpenMode};
use packhorse::repo::Repository;
use packhorse::repo::mirror::{self, CaughtUp, Comparison, Holds};
use std::sync::Arc;

/// Names shown of each kind of difference.
const SHOWN_MAX: usize = 20;

/// Verbs of the group.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Mirror the repository from now on.
    Set(Box<SetArgs>),
    /// Mirror it no more; what is in the mirror stays.
    Remove,
    /// Copy to the mirror what it lacks.
    CatchUp,
    /// Compare the mirror with the repository.
    Compare(CompareArgs),
}

/// Flags of `set`.
#[derive(Debug, clap::Args)]
pub(crate) struct SetArgs {
    /// Copy nothing now; the next run that saves something does.
    #[arg(long)]
    later: bool,
    #[command(subcommand)]
    provider: Provider,
}

/// Flags of `compare`.
#[derive(Debug, clap::Args)]
pub(crate) struct CompareArgs {
    #[command(flatten)]
    json: JsonFlags,
}

/// Runs a verb.
pub(super) fn run(ctx: &Context, command: &Command) -> Result<()> {
    match command {
        Command::Set(args) => set(ctx, args),
        Command::Remove => remove(ctx),
        Command::CatchUp => {
            let repository = ctx.open_repository(true)?;
            bring_up_to_date(ctx, &repository)
        }
        Command::Compare(args) => compare(ctx, args),
    }
}

fn set(ctx: &Context, args: &SetArgs) -> Result<()> {
    const SETTING: &str = "cannot mirror the repository";
    let Target { info, .. } = args.provider.target(ctx, None).explain(SETTING)?;
    let path = ctx.config_path()?;
    let mut connection = ctx.connection()?;
    if connection.store(&path)? == &info {
        return Err(Failure::usage("a repository cannot be its own mirror"));
    }
    blob::open(&info, OpenMode::Create, Arc::clone(ctx.clock())).explain(SETTING)?;
    let old = connection.mirror.replace(info);
    connection.save(&path)?;
    let joined = ctx.open_repository(true).and_then(|repository| {
        let holds = mirror::join(&repository, mirrored(&repository)?)?;
        Ok((repository, holds))
    });
    let (repository, holds) = joined.or_else(|error| {
        connection.mirror = old;
        connection.save(&path)?;
        Err(error).explain(SETTING)
    })?;
    let what = match holds {
        Holds::Nothing => "is new",
        Holds::Same => "holds this repository already",
    };
    ctx.talk().line(format_args!("The mirror {} {what}.", name(mirrored(&repository)?)));
    if args.later { Ok(()) } else { bring_up_to_date(ctx, &repository) }
}

fn remove(ctx: &Context) -> Result<()> {
    let path = ctx.config_path()?;
    let mut connection = ctx.connection()?;
    if connection.mirror.take().is_none() {
        return Err(Failure::new("the connection has no mirror"));
    }
    connection.save(&path)?;
    ctx.talk().line("The repository is mirrored no more. What is in the mirror stays there.");
    Ok(())
}

fn bring_up_to_date(ctx: &Context, repository: &Repository) -> Result<()> {
    let mirrored = mirrored(repository)?;
    let done =
        mirror::catch_up(repository, mirrored).explain("the mirror could not be brought up to date")?;
    let CaughtUp { packs, indexes, bytes, deleted } = done;
    ctx.talk().line(format_args!(
        "The mirror {} is up to date: {packs} packs and {indexes} index blobs copied ({}), {deleted} blobs deleted.",
        name(mirrored),
        ctx.sizes().format(bytes),
    ));
    Ok(())
}

fn compare(ctx: &Context, args: &CompareArgs) -> Result<()> {
    let repository = ctx.open_repository(false)?;
    let mirrored = mirrored(&repository)?;
    let found = mirror::compare(&**mirrored.primary(), &**mirrored.mirror())?;
    if args.json.json {
        ctx.stdout().json(&found, args.json.json_indent)?;
    } else {
        print(ctx, &found)?;
    }
    if found.is_complete() {
        return Ok(());
    }
    let lacking = found.missing.len() + found.different.len();
    Err(Failure::new(format!("the mirror {} lacks {lacking} blobs", name(mirrored)))
        .with_status(Status::Failed)
        .with_hint("`packhorse repository mirror catch-up` copies what is missing"))
}

fn print(ctx: &Context, found: &Comparison) -> Result<()> {
    let mut out = ctx.stdout();
    out.line(format_args!("{} blobs are in both ({}).", found.equal, ctx.sizes().format(found.equal_bytes)))?;
    for (what, blobs) in [
        ("missing in the mirror", &found.missing),
        ("of another length in the mirror", &found.different),
        ("only in the mirror", &found.extra),
    ] {
        if !blobs.is_empty() {
            out.line(format_args!("{} blobs are {what}: {}", blobs.len(), some_of(blobs)))?;
        }
    }
    Ok(())
}

fn some_of(blobs: &[BlobId]) -> String {
    let names: Vec<_> = blobs.iter().take(SHOWN_MAX).map(BlobId::as_str).collect();
    let more = if blobs.len() > SHOWN_MAX { ", …" } else { "" };
    names.join(", ") + more
}

fn mirrored(repository: &Repository) -> Result<&Arc<Mirrored>> {
    repository.mirrored().ok_or_else(|| {
        Failure::new("the repository has no mirror that can be reached")
            .with_hint("`packhorse repository mirror set` gives it one")
    })
}

fn name(mirrored: &Mirrored) -> String {
    mirrored.mirror().display_name()
}
