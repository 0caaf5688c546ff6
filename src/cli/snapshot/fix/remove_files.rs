//! `snapshot fix remove-files`

use super::rewrite::{HandlingFlag, RewriteFlags, rewrite};
use crate::cli::Result;
use crate::cli::context::Context;
use crate::cli::exit::{Failure, Status};
use packhorse::object::ObjectId;
use packhorse::snapshot::{NamePattern, UnwantedFiles};

/// Flags of the command.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    rewrite: RewriteFlags,
    /// Object of files or directories to remove; may be repeated
    #[arg(long, value_name = "ID")]
    object_id: Vec<String>,
    /// Name of files or directories to remove, with wildcards *, ? and [a-z]; may be repeated
    #[arg(long, value_name = "PATTERN")]
    filename: Vec<String>,
}

/// Runs the command.
pub(super) fn run(ctx: &Context, args: &Args) -> Result<()> {
    if args.object_id.is_empty() && args.filename.is_empty() {
        return Err(Failure::usage("nothing to remove: give --filename or --object-id"));
    }
    let object = |text: &String| match text.parse::<ObjectId>() {
        Ok(id) if !id.is_none() => Ok(id),
        _ => Err(Failure::usage(format!("--object-id: {text:?} is no object id"))),
    };
    let name = |text: &String| {
        NamePattern::parse(text).map_err(|error| Failure::from(error).with_status(Status::Usage))
    };
    let unwanted = UnwantedFiles {
        objects: args.object_id.iter().map(object).collect::<Result<_>>()?,
        names: args.filename.iter().map(name).collect::<Result<_>>()?,
    };
    rewrite(ctx, &args.rewrite, HandlingFlag::Keep, move |_| Ok(Box::new(unwanted)))
}
