//! `repository connect`: writes a connection file after a look at the repository.
//!
//! The repository is opened before anything is written, so that a failed attempt leaves no trace and an older
//! connection as it was. (Kopia writes first, and after a failure removes its file and the whole cache folder.)

use super::{Provider, Target, connection};
use crate::cli::Result;
use crate::cli::context::Context;
use crate::cli::exit::Explain;
use packhorse::blob::{self, OpenMode, ReadOnly, StorageExt};
use packhorse::format::REPOSITORY_BLOB;
use packhorse::repo;
use std::sync::Arc;

/// Flags of `connect`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    connection: connection::ConnectFlags,
    #[command(subcommand)]
    provider: Provider,
}

/// Runs the command.
pub(super) fn run(ctx: &Context, args: &Args) -> Result<()> {
    const CONNECTING: &str = "cannot connect to the repository";
    let Target { info, password } = args.provider.target(ctx, None).explain(CONNECTING)?;
    let storage = blob::open(&info, OpenMode::Connect, Arc::clone(ctx.clock())).explain(CONNECTING)?;
    // Before anybody is asked for a password.
    if storage.get_optional(&REPOSITORY_BLOB.into()).explain(CONNECTING)?.is_none() {
        let missing = repo::Error::NoRepository { store: storage.display_name() };
        return Err(missing).explain(CONNECTING);
    }
    args.connection.check(ctx).explain(CONNECTING)?;
    let password = password.map_or_else(|| ctx.password_to_connect(), Ok)?;
    let identity = args.connection.identity(ctx);
    let looked_at = Arc::new(ReadOnly::new(Arc::clone(&storage)));
    let repository = ctx.open_storage(looked_at, &password, identity)?;
    args.connection.save(ctx, info, &*storage, repository.unique_id(), &password).explain(CONNECTING)?;
    ctx.talk().line("Connected to repository.");
    Ok(())
}
