//! `blob show`: the bytes of blobs.

use crate::cli::Result;
use crate::cli::context::Context;
use crate::cli::exit::{Explain, Failure};
use packhorse::base::gojson;
use packhorse::blob::{BlobId, Storage};
use packhorse::repo::Repository;

/// Flags of `show`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Names of blobs.
    #[arg(required = true)]
    blob_id: Vec<String>,
    /// Decrypt index blobs, logs and notes on indexes.
    #[arg(long)]
    decrypt: bool,
}

/// Runs the command.
pub(super) fn run(ctx: &Context, args: &Args) -> Result<()> {
    if args.decrypt {
        let repository = ctx.open_repository(false)?;
        return print(ctx, args, repository.storage().as_ref(), Some(&repository));
    }
    print(ctx, args, ctx.open_blobs(false)?.as_ref(), None)
}

fn print(ctx: &Context, args: &Args, store: &dyn Storage, decrypts: Option<&Repository>) -> Result<()> {
    args.blob_id.iter().try_for_each(|name| {
        let bytes = read(name, store, decrypts).explain("error presenting blob")?;
        ctx.stdout().bytes(&bytes)
    })
}

fn read(name: &str, store: &dyn Storage, decrypts: Option<&Repository>) -> Result<Vec<u8>> {
    let mut bytes = store.get(&BlobId::from(name), None)?;
    if let Some(repository) = decrypts.filter(|_| name.starts_with(['_', 'n', 'm', 'l'])) {
        let crypto = &repository.contents().format().crypto;
        bytes = crypto.open(name, bytes).explain(format_args!("cannot decrypt {name}"))?;
    }
    if name.starts_with(['m', 'l']) {
        bytes = gojson::indent(&bytes).ok_or_else(|| Failure::new(format!("{name} is no JSON")))?;
    }
    Ok(bytes)
}
