//! `blob stats`: how many blobs of which size.

use crate::cli::Result;
use crate::cli::context::Context;

/// The histogram's rows end at 10 bytes, 100 bytes … 100 MB.
const ROWS: u32 = 8;

/// Flags of `stats`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Print sizes as numbers of bytes.
    #[arg(short, long)]
    raw: bool,
    /// What names must begin with.
    #[arg(long, default_value = "")]
    prefix: String,
}

#[derive(Clone, Copy, Default)]
struct Tally {
    count: u64,
    bytes: u64,
}

impl Tally {
    fn add(&mut self, bytes: u64) {
        self.count += 1;
        self.bytes += bytes;
    }
}

/// Runs the command.
pub(super) fn run(ctx: &Context, args: &Args) -> Result<()> {
    let (mut total, mut rows) = (Tally::default(), [Tally::default(); ROWS as usize]);
    ctx.open_blobs(false)?.list(&args.prefix, &mut |blob| {
        total.add(blob.length);
        let row = (1..=ROWS).position(|power| blob.length < 10_u64.pow(power));
        if let Some(row) = row.and_then(|row| rows.get_mut(row)) {
            row.add(blob.length);
        }
        Ok(())
    })?;
    let size = |bytes: u64| if args.raw { bytes.to_string() } else { ctx.sizes().format(bytes) };
    let mut out = ctx.stdout();
    out.line(format_args!("Count: {}", total.count))?;
    out.line(format_args!("Total: {}", size(total.bytes)))?;
    let Some(average) = total.bytes.checked_div(total.count) else { return Ok(()) };
    out.line(format_args!("Average: {}", size(average)))?;
    out.line("Histogram:\n")?;
    let mut from = 0;
    for (row, power) in rows.into_iter().zip(1..) {
        let to = 10_u64.pow(power);
        let (count, bytes) = (row.count, size(row.bytes));
        out.line(format_args!("{count:>9} between {} and {} (total {bytes})", size(from), size(to)))?;
        from = to;
    }
    Ok(())
}
