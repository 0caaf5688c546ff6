//! `repository throttle get`.

use super::speed;
use crate::cli::Result;
use crate::cli::context::Context;
use crate::cli::output::JsonFlags;

/// Flags of `get`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    json: JsonFlags,
}

type Print<'a> = &'a dyn Fn(f64) -> String;

/// Runs the command.
pub(super) fn run(ctx: &Context, args: &Args) -> Result<()> {
    // As Kopia does it: only who can open the repository is told.
    ctx.open_repository(false)?;
    let limits = ctx.connection()?.limits()?;
    let mut out = ctx.stdout();
    if args.json.json {
        return out.json(&limits, args.json.json_indent);
    }
    let bytes = |value| speed(ctx.sizes(), value);
    let number = |value| format!("{value:.0}");
    let rows: [(&str, f64, Print<'_>); 7] = [
        ("Max Download Speed:", limits.download_bytes_per_second, &bytes),
        ("Max Upload Speed:", limits.upload_bytes_per_second, &bytes),
        ("Max Read Requests Per Second:", limits.reads_per_second, &number),
        ("Max Write Requests Per Second:", limits.writes_per_second, &number),
        ("Max List Requests Per Second:", limits.lists_per_second, &number),
        ("Max Concurrent Reads:", limits.concurrent_reads as f64, &number),
        ("Max Concurrent Writes:", limits.concurrent_writes as f64, &number),
    ];
    for (label, value, format) in rows {
        let text = if value == 0.0 { "(unlimited)".to_owned() } else { format(value) };
        out.line(format_args!("{label:<30} {text}"))?;
    }
    Ok(())
}
