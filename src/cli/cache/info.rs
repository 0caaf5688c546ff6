//! `cache info`.

use crate::cli::Result;
use crate::cli::context::Context;
use crate::cli::exit::Explain;
use crate::cli::units::format_nanos;
use packhorse::cache::{CacheOptions, SUBFOLDER, TEMPORARY};
use packhorse::repo::CachingOptions;
use std::path::{Path, PathBuf};

/// Flags of `info`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Print the folder, and nothing else.
    #[arg(long)]
    path: bool,
}

/// Runs the command.
pub(super) fn run(ctx: &Context, args: &Args) -> Result<()> {
    ctx.open_without_cache(false)?;
    let folder = super::folder(ctx)?;
    if args.path {
        return ctx.stdout().line(folder.display());
    }
    let caching = ctx.connection()?.caching.unwrap_or_default();
    for part in parts(&folder).explain("unable to scan cache directory")? {
        let (files, bytes) = count(&part);
        let size = ctx.sizes().format(bytes);
        let limits = limits(ctx, &caching, &part);
        ctx.stdout().line(format_args!("{}: {files} files {size}{limits}", part.display()))?;
    }
    ctx.talk().line("To adjust cache sizes use 'packhorse cache set'.");
    ctx.talk().line("To clear caches use 'packhorse cache clear'.");
    Ok(())
}

/// The folders in it, this program's one by one; none where nothing has been kept yet.
fn parts(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut parts = Vec::new();
    for folder in [folder, &folder.join(SUBFOLDER)] {
        let entries = match std::fs::read_dir(folder) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            entries => entries?,
        };
        for entry in entries {
            let entry = entry?;
            if entry.file_type()?.is_dir() && entry.file_name() != SUBFOLDER && entry.file_name() != TEMPORARY
            {
                parts.push(entry.path());
            }
        }
    }
    parts.sort();
    Ok(parts)
}

/// Files below a folder, and their bytes. What goes away meanwhile does not count.
fn count(folder: &Path) -> (u64, u64) {
    let (mut files, mut bytes) = (0, 0);
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            match entry.metadata() {
                Ok(stat) if stat.is_dir() => folders.push(entry.path()),
                Ok(stat) => (files, bytes) = (files + 1, bytes + stat.len()),
                Err(_) => {}
            }
        }
    }
    (files, bytes)
}

fn limits(ctx: &Context, caching: &CachingOptions, part: &Path) -> String {
    let age = |key, default| format_nanos(caching.sweep_age(key).unwrap_or(default).as_nanos() as i64);
    let bytes = |value: i64| ctx.sizes().format(u64::try_from(value).unwrap_or(0));
    let (soft, hard, age) = match part.file_name().and_then(|name| name.to_str()) {
        Some("contents" | "server-contents") => (
            caching.max_cache_size,
            caching.content_cache_size_limit_bytes,
            age(CachingOptions::CONTENT_AGE, CacheOptions::CONTENT_SWEEP_AGE),
        ),
        Some("metadata") => (
            caching.max_metadata_cache_size,
            caching.metadata_cache_size_limit_bytes,
            age(CachingOptions::METADATA_AGE, CacheOptions::METADATA_SWEEP_AGE),
        ),
        Some("blob-list") => {
            let seconds = caching.max_list_cache_duration.as_ref().and_then(serde_json::Number::as_f64);
            return format!(" (duration: {})", format_nanos((seconds.unwrap_or(0.0) * 1e9) as i64));
        }
        _ => return String::new(),
    };
    let hard = if hard > 0 { bytes(hard) } else { "none".to_owned() };
    format!(" (soft limit: {}, hard limit: {hard}, min sweep age: {age})", bytes(soft))
}
