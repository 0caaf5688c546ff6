//! `cache set`: what the connection says of caches.

use crate::cli::Result;
use crate::cli::context::Context;
use crate::cli::exit::Failure;
use crate::cli::repository::cache_dir;
use crate::cli::units::{self, format_nanos};
use packhorse::repo::CachingOptions;
use std::path::{Path, PathBuf};
use std::time::Duration;

const MEGABYTE: i64 = 1_000_000;

/// Flags of `set`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Folder of the cache.
    #[arg(long, value_name = "PATH")]
    cache_directory: Option<PathBuf>,
    /// Size that the contents should have; 0 for no cache.
    #[arg(long, value_name = "MB", value_parser = units::parse_integer)]
    content_cache_size_mb: Option<i64>,
    /// Size that the contents must not exceed.
    #[arg(long, value_name = "MB", value_parser = units::parse_integer)]
    content_cache_size_limit_mb: Option<i64>,
    /// Contents younger than this stay.
    #[arg(long, value_parser = units::parse_duration)]
    content_min_sweep_age: Option<Duration>,
    /// Size that the metadata should have.
    #[arg(long, value_name = "MB", value_parser = units::parse_integer)]
    metadata_cache_size_mb: Option<i64>,
    /// Size that the metadata must not exceed.
    #[arg(long, value_name = "MB", value_parser = units::parse_integer)]
    metadata_cache_size_limit_mb: Option<i64>,
    /// Metadata younger than this stays.
    #[arg(long, value_parser = units::parse_duration)]
    metadata_min_sweep_age: Option<Duration>,
    /// Kept for Kopia: opened indexes younger than this stay.
    #[arg(long, hide = true, value_parser = units::parse_duration)]
    index_min_sweep_age: Option<Duration>,
    /// Kept for Kopia: how long it may reuse a listing.
    #[arg(long, hide = true, value_parser = units::parse_duration)]
    max_list_cache_duration: Option<Duration>,
}

/// Runs the command.
pub(super) fn run(ctx: &Context, args: &Args) -> Result<()> {
    let repository = ctx.open_without_cache(false)?;
    let config = ctx.config_path()?;
    let mut connection = ctx.connection()?;
    let mut caching = connection.caching.take().unwrap_or_default();
    let said = args.apply(ctx, &config, &mut caching);
    if said.is_empty() {
        return Err(Failure::new("no changes"));
    }
    if caching.max_cache_size == 0 {
        caching = CachingOptions::default();
    } else if caching.cache_directory.is_empty() {
        let folder = cache_dir::choose(ctx, None, repository.unique_id(), &config)?;
        caching.cache_directory = relative(&config, &folder);
    }
    connection.caching = Some(caching);
    connection.save(&config)?;
    for line in &said {
        ctx.talk().line(line);
    }
    Ok(())
}

fn relative(config: &Path, folder: &Path) -> String {
    cache_dir::relative_to(config.parent().unwrap_or(config), folder)
}

impl Args {
    /// Changes `caching`; what was changed, line by line.
    fn apply(&self, ctx: &Context, config: &Path, caching: &mut CachingOptions) -> Vec<String> {
        let mut said = Vec::new();
        if let Some(folder) = &self.cache_directory {
            caching.cache_directory = relative(config, &ctx.environment().absolute(folder));
            said.push(format!("setting cache directory to {}", folder.display()));
        }
        for (given, size, what) in [
            (self.content_cache_size_mb, &mut caching.max_cache_size, "content cache size"),
            (
                self.content_cache_size_limit_mb,
                &mut caching.content_cache_size_limit_bytes,
                "content cache size limit",
            ),
            (self.metadata_cache_size_mb, &mut caching.max_metadata_cache_size, "metadata cache size"),
            (
                self.metadata_cache_size_limit_mb,
                &mut caching.metadata_cache_size_limit_bytes,
                "metadata cache size limit",
            ),
        ] {
            if let Some(megabytes) = given.filter(|megabytes| *megabytes >= 0) {
                *size = megabytes.saturating_mul(MEGABYTE);
                said.push(format!("changing {what} to {}", ctx.sizes().format(size.unsigned_abs())));
            }
        }
        let nanos = |age: Duration| format_nanos(i64::try_from(age.as_nanos()).unwrap_or(i64::MAX));
        if let Some(duration) = self.max_list_cache_duration {
            caching.max_list_cache_duration = cache_dir::seconds(duration);
            said.push(format!("changing list cache duration to {}", nanos(duration)));
        }
        for (given, key, what) in [
            (self.metadata_min_sweep_age, CachingOptions::METADATA_AGE, "metadata"),
            (self.content_min_sweep_age, CachingOptions::CONTENT_AGE, "content"),
            (self.index_min_sweep_age, CachingOptions::INDEX_AGE, "index"),
        ] {
            let Some(age) = given else { continue };
            match cache_dir::seconds(age) {
                Some(seconds) => caching.other.insert(key.to_owned(), seconds.into()),
                None => caching.other.remove(key),
            };
            said.push(format!("changing minimum {what} sweep age to {}", nanos(age)));
        }
        said
    }
}
