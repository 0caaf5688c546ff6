//! `blob list`: names, lengths and times.

use crate::cli::Result;
use crate::cli::context::Context;
use crate::cli::exit::Failure;
use crate::cli::output::{JsonFlags, JsonList};
use crate::cli::units;
use packhorse::base::Timestamp;
use packhorse::blob::{BlobMetadata, StorageExt};
use serde::Serialize;

/// What names of blobs without data begin with.
const NO_DATA: [&str; 4] = ["n", "x", "_log_", "kopia."];

/// Flags of `list`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// What names must begin with.
    #[arg(long, default_value = "")]
    prefix: String,
    /// What names must not begin with; may be given again.
    #[arg(long, value_name = "PREFIX")]
    exclude_prefix: Vec<String>,
    /// Shortest length, in bytes.
    #[arg(long, value_name = "BYTES", value_parser = units::parse_integer, allow_negative_numbers = true)]
    min_size: Option<i64>,
    /// Greatest length, in bytes.
    #[arg(long, value_name = "BYTES", value_parser = units::parse_integer, allow_negative_numbers = true)]
    max_size: Option<i64>,
    /// No index blobs, logs and settings.
    #[arg(long)]
    data_only: bool,
    #[command(flatten)]
    json: JsonFlags,
}

#[derive(Serialize)]
struct Item<'a> {
    id: &'a str,
    length: u64,
    timestamp: Timestamp,
}

impl Args {
    /// Zero is no limit, as in Kopia.
    fn includes(&self, blob: &BlobMetadata) -> bool {
        let name = blob.id.as_str();
        let is_data = !self.data_only || !NO_DATA.iter().any(|prefix| name.starts_with(prefix));
        let limit = |limit: Option<i64>| limit.filter(|limit| *limit != 0).map(i128::from);
        let length = i128::from(blob.length);
        is_data
            && limit(self.max_size).is_none_or(|most| length <= most)
            && limit(self.min_size).is_none_or(|least| length >= least)
            && !self.exclude_prefix.iter().any(|prefix| name.starts_with(prefix.as_str()))
    }
}

/// Runs the command. Blobs are sorted by name.
pub(super) fn run(ctx: &Context, args: &Args) -> Result<()> {
    let mut blobs = ctx.open_blobs(false)?.list_all(&args.prefix)?;
    blobs.retain(|blob| args.includes(blob));
    let mut out = ctx.stdout();
    if args.json.json {
        let mut list = JsonList::begin(&mut out, args.json)?;
        for BlobMetadata { id, length, timestamp } in &blobs {
            list.item(&Item { id: id.as_str(), length: *length, timestamp: *timestamp })?;
        }
        return list.end();
    }
    blobs.iter().try_for_each(|blob| {
        let time = ctx.zone().format(blob.timestamp);
        out.line(format_args!("{:<70} {:>10} {time}", blob.id.as_str(), blob.length))?;
        Ok::<_, Failure>(())
    })
}
