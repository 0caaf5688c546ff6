//! `blob delete`: blobs by name, whatever hangs on them.

use crate::cli::Result;
use crate::cli::context::Context;
use packhorse::blob::BlobId;

/// Flags of `delete`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Names of blobs.
    #[arg(required = true)]
    blob_ids: Vec<String>,
}

/// Runs the command.
pub(super) fn run(ctx: &Context, args: &Args) -> Result<()> {
    ctx.check_dangerous()?;
    let ids: Vec<BlobId> = args.blob_ids.iter().map(|id| BlobId::from(id.as_str())).collect();
    Ok(ctx.open_blobs(true)?.delete_many(&ids)?)
}
