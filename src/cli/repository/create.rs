//! `repository create`: a new repository, its global policy and maintenance parameters, and a connection to it.

use super::{Provider, Target, connection};
use crate::cli::context::Context;
use crate::cli::exit::Explain;
use crate::cli::{Result, policy, units};
use clap::builder::PossibleValuesParser;
use packhorse::blob::{self, ConnectionInfo, OpenMode, Storage};
use packhorse::crypto::{self, DEFAULT_ENCRYPTION, DEFAULT_HASH, DEFAULT_KEY_DERIVATION, Ecc};
use packhorse::format::{BlobConfig, NewFormat, VERSION_NEWEST};
use packhorse::policy::{Policy, SourceInfo};
use packhorse::repo::{self, CreateOptions, MaintenanceParameters, Repository};
use packhorse::splitter;
use std::sync::Arc;

const DEFAULT_ECC: &str = "REED-SOLOMON-CRC32";
const CREATING: &str = "cannot create the repository";

/// Flags of `create`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Hash that names contents.
    #[arg(long, global = true, default_value = DEFAULT_HASH, value_name = "ALGORITHM",
          value_parser = PossibleValuesParser::new(crypto::HASHES))]
    block_hash: String,
    /// Encryption of contents.
    #[arg(long, global = true, default_value = DEFAULT_ENCRYPTION, value_name = "ALGORITHM",
          value_parser = PossibleValuesParser::new(crypto::ENCRYPTIONS))]
    encryption: String,
    /// Error correction, used if there is an overhead for it.
    #[arg(long, global = true, hide = true, default_value = DEFAULT_ECC, value_parser = [DEFAULT_ECC])]
    ecc: String,
    /// Room for error correction in percent; 0 for none.
    #[arg(long, global = true, hide = true, default_value = "0", value_name = "PERCENT",
          value_parser = units::parse_integer, allow_negative_numbers = true)]
    ecc_overhead_percent: i64,
    /// Splitter that cuts objects into contents.
    #[arg(long, global = true, default_value = splitter::DEFAULT, value_name = "SPLITTER",
          value_parser = PossibleValuesParser::new(splitter::names()))]
    object_splitter: String,
    /// Create the repository, and do not connect to it.
    #[arg(short, long, global = true)]
    create_only: bool,
    /// Format version, 1 to 3; 0 for the newest.
    #[arg(long, global = true, default_value = "0", value_name = "VERSION")]
    format_version: u8,
    /// Object lock of the store: GOVERNANCE or COMPLIANCE.
    #[arg(long, global = true, value_name = "MODE", value_parser = ["GOVERNANCE", "COMPLIANCE"])]
    retention_mode: Option<String>,
    /// How long objects stay locked.
    #[arg(long, global = true, default_value = "0", value_name = "DURATION", value_parser = units::parse_nanos)]
    retention_period: i64,
    /// How the key of the format blob is derived from the password.
    #[arg(long, global = true, default_value = DEFAULT_KEY_DERIVATION, value_name = "ALGORITHM",
          value_parser = PossibleValuesParser::new(crypto::KEY_DERIVATIONS))]
    format_block_key_derivation_algorithm: String,
    #[command(flatten)]
    connection: connection::ConnectFlags,
    #[command(subcommand)]
    provider: Provider,
}

/// Runs the command.
pub(super) fn run(ctx: &Context, args: &Args) -> Result<()> {
    let options = args.options().explain(CREATING)?;
    let Target { info, password } =
        args.provider.target(ctx, Some(options.format.version)).explain(CREATING)?;
    if !args.create_only {
        args.connection.check(ctx).explain(CREATING)?;
    }
    let password = password.map_or_else(|| ctx.password_to_create(), Ok)?;
    let storage = blob::open(&info, OpenMode::Create, Arc::clone(ctx.clock())).explain(CREATING)?;
    repo::create(&*storage, &password, &options, &**ctx.entropy()).explain(CREATING)?;
    announce(ctx, &*storage, &options);
    if args.create_only {
        return Ok(());
    }
    let repository = ctx.open_storage(Arc::clone(&storage), &password, args.connection.identity(ctx))?;
    initialize(ctx, &repository).explain("cannot write the first policy of the new repository")?;
    connect(ctx, args, info, &repository, &password)
}

impl Args {
    fn options(&self) -> Result<CreateOptions> {
        let version = if self.format_version == 0 { VERSION_NEWEST } else { self.format_version };
        // As Kopia does it: what is no percentage becomes the nearest.
        let ecc_overhead_percent = self.ecc_overhead_percent.clamp(0, 100) as u8;
        if version != 1 {
            Ecc::new(&self.ecc, ecc_overhead_percent.into())?;
        }
        let format = NewFormat {
            version,
            hash: self.block_hash.clone(),
            encryption: self.encryption.clone(),
            ecc: self.ecc.clone(),
            ecc_overhead_percent,
            splitter: self.object_splitter.clone(),
            ..NewFormat::default()
        };
        let key_derivation = self.format_block_key_derivation_algorithm.clone();
        let retention = BlobConfig {
            retention_mode: self.retention_mode.clone().unwrap_or_default(),
            retention_period: self.retention_period,
            ..BlobConfig::default()
        };
        Ok(CreateOptions { format, key_derivation, retention })
    }
}

fn announce(ctx: &Context, storage: &dyn Storage, options: &CreateOptions) {
    let talk = ctx.talk();
    let ecc = match &options.format {
        format if format.version == 1 || format.ecc_overhead_percent == 0 => "none".to_owned(),
        format => format!("{} with {}% overhead", format.ecc, format.ecc_overhead_percent),
    };
    talk.line(format_args!("Created a repository in {}:", storage.display_name()));
    for (label, value) in [
        ("format version", options.format.version.to_string().as_str()),
        ("block hash", &options.format.hash),
        ("encryption", &options.format.encryption),
        ("key derivation", &options.key_derivation),
        ("ecc", &ecc),
        ("splitter", &options.format.splitter),
    ] {
        talk.line(format_args!("  {:<16}{value}", format!("{label}:")));
    }
}

/// Writes what every repository has: the global policy and the parameters of its maintenance.
fn initialize(ctx: &Context, repository: &Repository) -> Result<()> {
    let mut writer = repository.begin(&ctx.write_options())?;
    Policy::built_in().save(&SourceInfo::default(), &mut writer)?;
    MaintenanceParameters::ensure(repository, &mut writer);
    Ok(writer.flush()?)
}

fn connect(
    ctx: &Context,
    args: &Args,
    info: ConnectionInfo,
    repository: &Repository,
    password: &packhorse::base::Secret,
) -> Result<()> {
    let storage = Arc::clone(repository.storage());
    args.connection
        .save(ctx, info, &*storage, repository.unique_id(), password)
        .explain("the repository was created, but cannot connect to it")?;
    ctx.talk().line("Connected to repository.");
    policy::show_created(ctx, repository)
}
