//! `repository throttle set`.

use super::speed;
use crate::cli::Result;
use crate::cli::context::Context;
use crate::cli::exit::Failure;
use std::str::FromStr;

/// Flags of `set`: a number, or `unlimited`, or `-`, which is the same.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Bytes to read per second.
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    download_bytes_per_second: Option<String>,
    /// Bytes to write per second.
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    upload_bytes_per_second: Option<String>,
    /// Reads per second.
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    read_requests_per_second: Option<String>,
    /// Writes and deletes per second.
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    write_requests_per_second: Option<String>,
    /// Listings per second.
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    list_requests_per_second: Option<String>,
    /// Reads at once.
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    concurrent_reads: Option<String>,
    /// Writes at once.
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    concurrent_writes: Option<String>,
}

/// Runs the command.
pub(super) fn run(ctx: &Context, args: &Args) -> Result<()> {
    ctx.open_repository(true)?;
    let path = ctx.config_path()?;
    let mut connection = ctx.connection()?;
    let mut limits = connection.limits()?;
    let mut said = Vec::new();
    let as_speed = |value: f64| speed(ctx.sizes(), value);
    let as_number = |value: f64| value.to_string();
    let speeds: [(_, _, _, &dyn Fn(f64) -> String); 5] = [
        (
            &args.download_bytes_per_second,
            &mut limits.download_bytes_per_second,
            "max download speed",
            &as_speed,
        ),
        (&args.upload_bytes_per_second, &mut limits.upload_bytes_per_second, "max upload speed", &as_speed),
        (&args.read_requests_per_second, &mut limits.reads_per_second, "reads per second", &as_number),
        (&args.write_requests_per_second, &mut limits.writes_per_second, "writes per second", &as_number),
        (&args.list_requests_per_second, &mut limits.lists_per_second, "lists per second", &as_number),
    ];
    for (given, limit, what, print) in speeds {
        said.extend(change(given.as_deref(), limit, what, print)?);
    }
    for (given, limit, what) in [
        (&args.concurrent_reads, &mut limits.concurrent_reads, "concurrent reads"),
        (&args.concurrent_writes, &mut limits.concurrent_writes, "concurrent writes"),
    ] {
        said.extend(change(given.as_deref(), limit, what, &|value: i64| value.to_string())?);
    }
    if said.is_empty() {
        ctx.talk().line("No changes made.");
        return Ok(());
    }
    let limits = limits.checked()?;
    let limits = serde_json::to_value(limits).map_err(|error| Failure::new(error.to_string()))?;
    connection.client.throttling_limits = Some(limits);
    connection.save(&path)?;
    for line in &said {
        ctx.talk().line(line);
    }
    Ok(())
}

/// Changes a limit if a new one is given; what there is to say about it.
fn change<T: FromStr + Default + Copy>(
    given: Option<&str>,
    limit: &mut T,
    what: &str,
    print: &dyn Fn(T) -> String,
) -> Result<Option<String>> {
    match given.unwrap_or_default() {
        "" => Ok(None),
        "unlimited" | "-" => {
            *limit = T::default();
            Ok(Some(format!("Setting {what} to a unlimited.")))
        }
        text => {
            *limit = text.parse().map_err(|_| Failure::new(format!("can't parse the {what} {text:?}")))?;
            Ok(Some(format!("Setting {what} to {}.", print(*limit))))
        }
    }
}
