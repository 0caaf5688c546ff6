//! Flags that describe this client in a new connection, and the file they end up in.

#![expect(clippy::doc_markdown, reason = "doc comments of flags are their help, which shows no backticks")]

use super::cache_dir::{self, seconds};
use crate::cli::context::Context;
use crate::cli::{Result, password, units};
use packhorse::base::Secret;
use packhorse::blob::{ConnectionInfo, Storage};
use packhorse::content::ClientIdentity;
use packhorse::repo::{CachingOptions, ClientOptions, ConnectionFile};
use serde_json::Value;
use std::path::PathBuf;
use std::time::Duration;

const MIB: i64 = 1 << 20;
/// How long Kopia may use a cached format blob, in nanoseconds.
const FORMAT_CACHE_NANOS: i64 = 15 * 60 * 1_000_000_000;
const NEVER: i64 = -1;

/// Flags of `connect` and `create`, before or after the provider.
#[derive(Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "they are the switches of the command line")]
pub(super) struct ConnectFlags {
    /// Folder for caches [env: KOPIA_CACHE_DIRECTORY]
    #[arg(long, global = true, value_name = "PATH")]
    cache_directory: Option<PathBuf>,
    /// Size that the cache of contents should have; 0 for no cache.
    #[arg(long, global = true, hide = true, default_value = "5000", value_name = "MB", value_parser = units::parse_integer)]
    content_cache_size_mb: i64,
    /// Size that the cache of contents must not exceed.
    #[arg(long, global = true, hide = true, default_value = "0", value_name = "MB", value_parser = units::parse_integer)]
    content_cache_size_limit_mb: i64,
    /// Size that the cache of metadata should have.
    #[arg(long, global = true, hide = true, default_value = "5000", value_name = "MB", value_parser = units::parse_integer)]
    metadata_cache_size_mb: i64,
    /// Size that the cache of metadata must not exceed.
    #[arg(long, global = true, hide = true, default_value = "0", value_name = "MB", value_parser = units::parse_integer)]
    metadata_cache_size_limit_mb: i64,
    /// Contents younger than this stay in the cache.
    #[arg(long, global = true, hide = true, value_parser = units::parse_duration)]
    content_min_sweep_age: Option<Duration>,
    /// Metadata younger than this stays in the cache.
    #[arg(long, global = true, hide = true, value_parser = units::parse_duration)]
    metadata_min_sweep_age: Option<Duration>,
    /// Youngest indexes that Kopia's cache may drop.
    #[arg(long, global = true, hide = true, value_parser = units::parse_duration)]
    index_min_sweep_age: Option<Duration>,
    /// How long Kopia may reuse a listing.
    #[arg(long, global = true, hide = true, default_value = "30s", value_parser = units::parse_duration)]
    max_list_cache_duration: Duration,
    /// Host name of this client, instead of the machine's.
    #[arg(long, global = true, value_name = "NAME")]
    override_hostname: Option<String>,
    /// User name of this client, instead of the one that runs it.
    #[arg(long, global = true, value_name = "NAME")]
    override_username: Option<String>,
    /// Accepted for the sake of Kopia's scripts; without effect.
    #[arg(long, global = true, hide = true, num_args = 0, default_missing_value = "true")]
    check_for_updates: Option<bool>,
    /// Refuse changes through this connection.
    #[arg(long, global = true)]
    readonly: bool,
    /// Kopia's way to open a repository with bad index blobs; kept for it.
    #[arg(long, global = true, hide = true)]
    permissive_cache_loading: bool,
    /// Free text about the repository.
    #[arg(long, global = true, value_name = "TEXT")]
    description: Option<String>,
    /// Allow the policies' actions to run on this client.
    #[arg(long, global = true)]
    enable_actions: bool,
    /// How long Kopia may use a cached copy of the format blob.
    #[arg(long, global = true, hide = true, value_parser = units::parse_nanos)]
    repository_format_cache_duration: Option<i64>,
    /// Keep Kopia from caching the format blob.
    #[arg(long, global = true, hide = true)]
    disable_repository_format_cache: bool,
}

impl ConnectFlags {
    /// Who this client will be.
    pub(super) fn identity(&self, ctx: &Context) -> ClientIdentity {
        let or = |given: &Option<String>, own: &str| {
            given.as_deref().filter(|name| !name.is_empty()).unwrap_or(own).to_owned()
        };
        ClientIdentity {
            username: or(&self.override_username, &ctx.environment().user_name),
            hostname: or(&self.override_hostname, &ctx.environment().host_name),
        }
    }

    /// Finds out early whether the connection file and the cache have a place.
    pub(super) fn check(&self, ctx: &Context) -> Result<()> {
        self.caching(ctx, &[]).map(drop)
    }

    /// Writes the connection file and keeps the password if that is wanted. Only called with a password that opens the
    /// repository; when it fails, what it wrote is gone again.
    pub(super) fn save(
        &self,
        ctx: &Context,
        info: ConnectionInfo,
        storage: &dyn Storage,
        unique_id: &[u8],
        secret: &Secret,
    ) -> Result<()> {
        let path = ctx.config_path()?;
        let file = ConnectionFile {
            storage: Some(info),
            mirror: None,
            api_server: None,
            caching: Some(self.caching(ctx, unique_id)?),
            client: self.client(ctx, storage),
            other: serde_json::Map::default(),
        };
        let was_there = path.exists();
        file.save(&path)?;
        let kept =
            if ctx.persists_password() { password::keep(&path, secret) } else { password::forget(&path) };
        if kept.is_err() && !was_there {
            // The first error is the one that matters.
            super::remove_if_there(&path).ok();
        }
        kept
    }

    fn client(&self, ctx: &Context, storage: &dyn Storage) -> ClientOptions {
        let identity = self.identity(ctx);
        let description = self.description.clone().filter(|text| !text.is_empty());
        let format_blob_cache_duration =
            match (self.disable_repository_format_cache, self.repository_format_cache_duration) {
                (true, _) => NEVER,
                (false, None | Some(0)) => FORMAT_CACHE_NANOS,
                (false, Some(nanos)) => nanos,
            };
        ClientOptions {
            hostname: identity.hostname,
            username: identity.username,
            readonly: self.readonly,
            permissive_cache_loading: self.permissive_cache_loading,
            description: description.unwrap_or_else(|| format!("Repository in {}", storage.display_name())),
            enable_actions: self.enable_actions,
            format_blob_cache_duration,
            throttling_limits: None,
        }
    }

    fn caching(&self, ctx: &Context, unique_id: &[u8]) -> Result<CachingOptions> {
        let config = ctx.config_path()?;
        if self.content_cache_size_mb == 0 {
            return Ok(CachingOptions::default());
        }
        let cache = cache_dir::choose(ctx, self.cache_directory.as_deref(), unique_id, &config)?;
        let folder = config.parent().unwrap_or(&config);
        let mut caching = CachingOptions {
            cache_directory: cache_dir::relative_to(folder, &cache),
            max_cache_size: self.content_cache_size_mb.saturating_mul(MIB),
            content_cache_size_limit_bytes: self.content_cache_size_limit_mb.saturating_mul(MIB),
            max_metadata_cache_size: self.metadata_cache_size_mb.saturating_mul(MIB),
            metadata_cache_size_limit_bytes: self.metadata_cache_size_limit_mb.saturating_mul(MIB),
            max_list_cache_duration: seconds(self.max_list_cache_duration),
            other: serde_json::Map::default(),
        };
        for (key, age) in [
            ("minMetadataSweepAge", self.metadata_min_sweep_age),
            ("minContentSweepAge", self.content_min_sweep_age),
            ("minIndexSweepAge", self.index_min_sweep_age),
        ] {
            if let Some(number) = age.and_then(seconds) {
                caching.other.insert(key.to_owned(), Value::Number(number));
            }
        }
        Ok(caching)
    }
}
