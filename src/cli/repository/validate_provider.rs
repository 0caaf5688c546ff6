//! `repository validate-provider`: whether the storage keeps its promises.

use crate::cli::Result;
use crate::cli::context::Context;
use crate::cli::exit::{Explain, Failure, Status};
use crate::cli::output::{JsonFlags, JsonList};
use crate::cli::units;
use packhorse::blob::{self, CheckOutcome, OpenMode, Storage, ValidationOptions, validate};
use parking_lot::Mutex;
use serde::Serialize;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

/// Flags of `validate-provider`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Connections that must see each other's changes.
    #[arg(long, value_name = "N", default_value = "5")]
    num_storage_connections: NonZeroUsize,
    /// How long many threads read and write at once.
    #[arg(long, default_value = "30s", value_parser = units::parse_duration)]
    concurrency_test_duration: Duration,
    /// Threads that put blobs.
    #[arg(long, value_name = "N", default_value = "3")]
    put_blob_workers: usize,
    /// Threads that read blobs.
    #[arg(long, value_name = "N", default_value = "3")]
    get_blob_workers: usize,
    /// Threads that ask for lengths of blobs.
    #[arg(long, value_name = "N", default_value = "3")]
    get_metadata_workers: usize,
    #[command(flatten)]
    json: JsonFlags,
}

/// A check in JSON.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Item<'a> {
    check: &'static str,
    passed: bool,
    detail: &'a str,
    elapsed_seconds: f64,
}

/// Runs the command.
pub(super) fn run(ctx: &Context, args: &Args) -> Result<()> {
    if ctx.environment().skips_provider_validation {
        ctx.talk().line("Nothing is validated: KOPIA_SKIP_PROVIDER_VALIDATION is set.");
        return Ok(());
    }
    let stores = connections(ctx, args.num_storage_connections.get())?;
    let options = ValidationOptions {
        concurrency_duration: args.concurrency_test_duration,
        put_workers: args.put_blob_workers,
        get_workers: args.get_blob_workers,
        metadata_workers: args.get_metadata_workers,
        ..ValidationOptions::default()
    };
    let cancel = ctx.cancel()?;
    let validated = |said: &dyn Fn(&CheckOutcome)| {
        validate(&stores, &**ctx.clock(), &**ctx.entropy(), &options, &cancel, said)
    };
    let outcome = if args.json.json {
        in_json(ctx, args.json, validated)?
    } else {
        validated(&|check| say(ctx, check))
    };
    // Whatever the storage did, nothing of the repository is damaged.
    outcome.map_err(|error| {
        let status = Status::of_class(error.class());
        let status = if status == Status::Interrupted { status } else { Status::Failed };
        Failure::from(error).with_status(status)
    })?;
    ctx.talk().line("All good.");
    Ok(())
}

/// The connection of this client, and others beside it.
fn connections(ctx: &Context, count: usize) -> Result<Vec<Arc<dyn Storage>>> {
    let mut stores = vec![ctx.open_blobs(true)?];
    let path = ctx.config_path()?;
    let connection = ctx.connection()?;
    let info = connection.store(&path)?;
    for _ in 1..count {
        let store = blob::open(info, OpenMode::Connect, Arc::clone(ctx.clock()));
        stores.push(store.explain("cannot open another connection to the storage")?);
    }
    Ok(stores)
}

fn say(ctx: &Context, check: &CheckOutcome) {
    let verdict = if check.passed { "ok" } else { "FAILED" };
    let detail = if check.detail.is_empty() { String::new() } else { format!(" ({})", check.detail) };
    ctx.talk().line(format_args!("Validating {}: {verdict}{detail}", check.check));
}

fn in_json(
    ctx: &Context,
    flags: JsonFlags,
    validated: impl FnOnce(&dyn Fn(&CheckOutcome)) -> blob::Result<()>,
) -> Result<blob::Result<()>> {
    let mut out = ctx.stdout();
    let list = Mutex::new((JsonList::begin(&mut out, flags)?, Ok(())));
    let outcome = validated(&|check| {
        let mut list = list.lock();
        let item = Item {
            check: check.check,
            passed: check.passed,
            detail: &check.detail,
            elapsed_seconds: check.elapsed.as_secs_f64(),
        };
        let written = list.0.item(&item);
        if list.1.is_ok() {
            list.1 = written;
        }
    });
    let (list, written) = list.into_inner();
    written?;
    list.end()?;
    Ok(outcome)
}
