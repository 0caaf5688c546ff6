//! `repository status`: the connection and the repository behind it.

use super::from_config::Token;
use super::masked::masked;
use crate::cli::Result;
use crate::cli::context::Context;
use crate::cli::exit::Failure;
use crate::cli::output::{JsonFlags, Output};
use crate::cli::units::{Sizes, format_nanos};
use packhorse::base::{ExtraFields, Secret, gojson};
use packhorse::blob::{Capacity, ConnectionInfo};
use packhorse::format::{BlobConfig, EpochParameters, RepositoryFormat, UpgradeLock};
use packhorse::repo::{ClientOptions, ConnectionFile, Repository};
use serde::Serialize;
use std::path::PathBuf;

/// Flags of `status`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Print a token with which another client can connect to the storage.
    #[arg(short = 't', long)]
    reconnect_token: bool,
    /// Put the password into the token as well.
    #[arg(short = 's', long)]
    reconnect_token_with_password: bool,
    #[command(flatten)]
    json: JsonFlags,
}

/// Runs the command.
pub(super) fn run(ctx: &Context, args: &Args) -> Result<()> {
    let config_file = ctx.config_path()?;
    let connection = ctx.connection()?;
    let repository = ctx.open_repository(false)?;
    let storage = masked(connection.store(&config_file)?);
    let volume = repository.storage().capacity()?;
    let document = Document {
        config_file,
        unique_id: hex::encode(repository.unique_id()),
        client_options: &connection.client,
        storage,
        volume: volume.map(Volume::from),
        content_format: public_part(repository.format()),
        object_format: ObjectFormat { splitter: &repository.format().splitter },
        blob_retention: repository.config(),
    };
    let mut out = ctx.stdout();
    if args.json.json {
        return out.json(&document, args.json.json_indent);
    }
    print(&mut out, &document, &repository, ctx.sizes())?;
    if let Some(lock) = &repository.format().upgrade_lock {
        print_upgrade(ctx, &mut out, lock)?;
    }
    if args.reconnect_token {
        let password =
            args.reconnect_token_with_password.then(|| ctx.password_to_open(&document.config_file));
        print_token(&mut out, &connection, password.transpose()?.as_ref())?;
    }
    Ok(())
}

/// What `--json` prints.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document<'a> {
    config_file: PathBuf,
    #[serde(rename = "uniqueIDHex")]
    unique_id: String,
    client_options: &'a ClientOptions,
    storage: ConnectionInfo,
    #[serde(skip_serializing_if = "Option::is_none")]
    volume: Option<Volume>,
    content_format: RepositoryFormat,
    object_format: ObjectFormat<'a>,
    blob_retention: &'a BlobConfig,
}

#[derive(Serialize)]
struct Volume {
    capacity: u64,
    available: u64,
}

impl From<Capacity> for Volume {
    fn from(capacity: Capacity) -> Self {
        Self { capacity: capacity.total_bytes, available: capacity.available_bytes }
    }
}

#[derive(Serialize)]
struct ObjectFormat<'a> {
    splitter: &'a str,
}

/// The format without keys and without what Kopia shows elsewhere.
fn public_part(format: &RepositoryFormat) -> RepositoryFormat {
    RepositoryFormat {
        secret: Secret::default(),
        master_key: Secret::default(),
        splitter: String::new(),
        upgrade_lock: None,
        required_features: Vec::new(),
        extra: ExtraFields::NONE,
        ..format.clone()
    }
}

fn print(out: &mut Output, document: &Document<'_>, repository: &Repository, sizes: Sizes) -> Result<()> {
    let client = document.client_options;
    let format_cache = match client.format_blob_cache_duration {
        ..=0 => "disabled".to_owned(),
        nanos => format_nanos(nanos),
    };
    row(out, "Config file", document.config_file.display())?;
    out.line("")?;
    row(out, "Description", &client.description)?;
    row(out, "Hostname", &client.hostname)?;
    row(out, "Username", &client.username)?;
    row(out, "Read-only", client.readonly)?;
    row(out, "Format blob cache", format_cache)?;
    out.line("")?;
    print_storage(out, document, sizes)?;
    out.line("")?;
    print_format(out, document, repository, sizes)?;
    out.line("")?;
    let epochs = &document.content_format.epoch_parameters;
    match repository.contents().index_blobs().write_epoch()? {
        Some(epoch) if epochs.enabled => print_epochs(out, epochs, epoch, sizes)?,
        _ => row(out, "Epoch Manager", "disabled")?,
    }
    if document.blob_retention.is_retention_enabled() {
        out.line("")?;
        row(out, "Blob retention mode", &document.blob_retention.retention_mode)?;
        row(out, "Blob retention period", format_nanos(document.blob_retention.retention_period))?;
    }
    Ok(())
}

fn print_storage(out: &mut Output, document: &Document<'_>, sizes: Sizes) -> Result<()> {
    row(out, "Storage type", &document.storage.kind)?;
    match &document.volume {
        Some(volume) => {
            row(out, "Storage capacity", sizes.format(volume.capacity))?;
            row(out, "Storage available", sizes.format(volume.available))?;
        }
        None => row(out, "Storage capacity", "unbounded")?,
    }
    let config = gojson::to_pretty(&document.storage.config)
        .map_err(|error| Failure::new(format!("cannot print the options of the store: {error}")))?;
    row(out, "Storage config", String::from_utf8_lossy(&config).replace('\n', &format!("\n{:21}", "")))
}

fn print_format(
    out: &mut Output,
    document: &Document<'_>,
    repository: &Repository,
    sizes: Sizes,
) -> Result<()> {
    let format = &document.content_format;
    row(out, "Unique ID", &document.unique_id)?;
    row(out, "Hash", &format.hash)?;
    row(out, "Encryption", &format.encryption)?;
    if format.has_ecc() {
        row(out, "ECC", format_args!("{} with {}% overhead", format.ecc, format.ecc_overhead_percent))?;
    }
    row(out, "Splitter", document.object_format.splitter)?;
    row(out, "Format version", format.version)?;
    row(out, "Content compression", format.index_version >= 2)?;
    row(out, "Password changes", format.enable_password_change)?;
    let features = &repository.format().required_features;
    if !features.is_empty() {
        let names: Vec<_> = features.iter().map(|feature| feature.feature.as_str()).collect();
        row(out, "Required Features", names.join(" "))?;
    }
    row(out, "Max pack length", sizes.format(format.max_pack_size))?;
    row(out, "Index Format", format_args!("v{}", format.index_version))
}

fn print_epochs(out: &mut Output, epochs: &EpochParameters, current: i64, sizes: Sizes) -> Result<()> {
    let bytes = u64::try_from(epochs.epoch_advance_on_total_size_bytes_threshold).unwrap_or(0);
    row(out, "Epoch Manager", "enabled")?;
    out.line(format_args!("Current Epoch: {current}"))?;
    out.line("")?;
    out.line(format_args!("Epoch refresh frequency: {}", format_nanos(epochs.epoch_refresh_frequency)))?;
    out.line(format_args!(
        "Epoch advance on:        {} blobs or {}, minimum {}",
        epochs.epoch_advance_on_count_threshold,
        sizes.format(bytes),
        format_nanos(epochs.min_epoch_duration)
    ))?;
    out.line(format_args!("Epoch cleanup margin:    {}", format_nanos(epochs.cleanup_safety_margin)))?;
    out.line(format_args!("Epoch range-compaction every: {} epochs", epochs.full_checkpoint_frequency))
}

fn print_upgrade(ctx: &Context, out: &mut Output, lock: &UpgradeLock) -> Result<()> {
    let status = lock.status(ctx.clock().now());
    out.line("")?;
    row(out, "Ongoing upgrade", &lock.message)?;
    row(out, "Upgrade Time", ctx.zone().format(lock.upgrade_time()))?;
    row(out, "Upgrade Owner", &lock.owner_id)?;
    row(out, "Upgrade lock", if status.locked { "Locked" } else { "Unlocked" })?;
    row(out, "Lock status", if status.drained { "Fully Established" } else { "Draining" })
}

fn row(out: &mut Output, label: &str, value: impl std::fmt::Display) -> Result<()> {
    out.line(format_args!("{:<21}{value}", format!("{label}:")))
}

fn print_token(out: &mut Output, connection: &ConnectionFile, password: Option<&Secret>) -> Result<()> {
    let Some(storage) = &connection.storage else { return Ok(()) };
    let token = Token::new(storage, password).encode()?;
    out.line("\nTo connect another client to the same storage:\n")?;
    out.line(format_args!("$ kopia repository connect from-config --token {token}"))?;
    out.line("\nKeep the token secret: it holds all that is needed to reach the storage.")
}
