//! `repository set-parameters`: what may be changed of a repository that exists.

#![expect(clippy::doc_markdown, reason = "doc comments of flags are their help, which shows no backticks")]

use super::cache_dir;
use crate::cli::context::Context;
use crate::cli::exit::{Explain, Failure};
use crate::cli::units::{self, format_nanos};
use crate::cli::{Result, switches};
use packhorse::base::MIB;
use packhorse::format::{BlobConfig, IfNotUnderstood, RequiredFeature};
use packhorse::repo::{MaintenanceParameters, Parameters};

/// Flags of `set-parameters`. Zero means "as it is".
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Size at which a pack is closed: 10 to 120 MiB.
    #[arg(long, value_name = "MB", default_value = "0", value_parser = units::parse_integer, allow_negative_numbers = true)]
    max_pack_size_mb: i64,
    /// Version of the index files written; it can only be raised.
    #[arg(long, value_name = "VERSION", default_value = "0", value_parser = units::parse_integer, allow_negative_numbers = true)]
    index_version: i64,
    /// Object lock of the store; none turns it off.
    #[arg(long, value_name = "MODE", value_parser = ["none", "GOVERNANCE", "COMPLIANCE"])]
    retention_mode: Option<String>,
    /// How long objects stay locked: a day at least.
    #[arg(long, value_name = "DURATION", default_value = "0", value_parser = units::parse_nanos, allow_negative_numbers = true)]
    retention_period: i64,
    /// Bring an old repository to today's format; disconnect all other clients before.
    #[arg(long)]
    upgrade: bool,
    /// How long a client may use its view of the epochs.
    #[arg(long, value_name = "DURATION", default_value = "0", value_parser = units::parse_nanos, allow_negative_numbers = true)]
    epoch_refresh_frequency: i64,
    /// Shortest life of an epoch: 10 minutes at least.
    #[arg(long, value_name = "DURATION", default_value = "0", value_parser = units::parse_nanos, allow_negative_numbers = true)]
    epoch_min_duration: i64,
    /// How long replaced index blobs are kept.
    #[arg(long, value_name = "DURATION", default_value = "0", value_parser = units::parse_nanos, allow_negative_numbers = true)]
    epoch_cleanup_safety_margin: i64,
    /// Number of index blobs that ends an epoch.
    #[arg(long, value_name = "N", default_value = "0", value_parser = units::parse_integer, allow_negative_numbers = true)]
    epoch_advance_on_count: i64,
    /// Size of all index blobs that ends an epoch.
    #[arg(long, value_name = "MB", default_value = "0", value_parser = units::parse_integer, allow_negative_numbers = true)]
    epoch_advance_on_size_mb: i64,
    /// How many index blobs are deleted at once.
    #[arg(long, value_name = "N", default_value = "0", value_parser = units::parse_integer, allow_negative_numbers = true)]
    epoch_delete_parallelism: i64,
    /// After how many epochs their indexes are merged.
    #[arg(long, value_name = "N", default_value = "0", value_parser = units::parse_integer, allow_negative_numbers = true)]
    epoch_checkpoint_frequency: i64,
    /// For tests: a feature that every client must know from now on [needs KOPIA_TESTONLY_FLAGS]
    #[arg(long, hide = true, value_name = "FEATURE")]
    add_required_feature: Option<String>,
    /// For tests: a feature that no client needs to know any more [needs KOPIA_TESTONLY_FLAGS]
    #[arg(long, hide = true, value_name = "FEATURE")]
    remove_required_feature: Option<String>,
    /// For tests: clients that do not know the feature only warn [needs KOPIA_TESTONLY_FLAGS]
    #[arg(long, hide = true)]
    warn_on_missing_required_feature: bool,
}

/// Runs the command.
pub(super) fn run(ctx: &Context, args: &Args) -> Result<()> {
    const SETTING: &str = "cannot change the parameters of the repository";
    args.check(ctx)?;
    let mut editor = ctx.edit_format()?;
    let before = editor.parameters().explain(SETTING)?;
    let mut change = Change { ctx, parameters: before, is_any: false };
    args.apply(&mut change)?;
    if !change.is_any {
        ctx.talk().line("No changes.");
        return Ok(());
    }
    check_maintenance(ctx, &change.parameters.config).explain(SETTING)?;
    editor.set_parameters(&change.parameters).explain(SETTING)?;
    cache_dir::forget_format(ctx)?;
    ctx.talk()
        .line("The parameters of the repository were changed. Disconnect and connect all other clients.");
    Ok(())
}

/// The parameters to be, and who hears of them.
struct Change<'a> {
    ctx: &'a Context,
    parameters: Parameters,
    is_any: bool,
}

impl Change<'_> {
    fn say(&mut self, what: &str, value: impl std::fmt::Display) {
        self.is_any = true;
        self.ctx.talk().line(format_args!(" - setting {what} to {value}."));
    }

    /// `given` unless it is zero.
    fn number(&mut self, what: &str, given: i64, field: fn(&mut Parameters) -> &mut i64) {
        if given != 0 {
            *field(&mut self.parameters) = given;
            self.say(what, given);
        }
    }

    fn duration(&mut self, what: &str, given: i64, field: fn(&mut Parameters) -> &mut i64) {
        if given != 0 {
            *field(&mut self.parameters) = given;
            self.say(what, format_nanos(given));
        }
    }
}

impl Args {
    fn check(&self, ctx: &Context) -> Result<()> {
        let is_for_tests = self.add_required_feature.is_some()
            || self.remove_required_feature.is_some()
            || self.warn_on_missing_required_feature;
        if is_for_tests { switches::check_test_flags(ctx.environment()) } else { Ok(()) }
    }

    fn apply(&self, change: &mut Change<'_>) -> Result<()> {
        if self.upgrade {
            change.is_any = true;
            change.parameters.upgrade();
        }
        self.apply_sizes(change)?;
        self.apply_retention(change);
        self.apply_epochs(change)?;
        self.apply_features(change);
        Ok(())
    }

    fn apply_sizes(&self, change: &mut Change<'_>) -> Result<()> {
        if self.max_pack_size_mb != 0 {
            let bytes = bytes_of_mb("--max-pack-size-mb", self.max_pack_size_mb)?;
            change.parameters.max_pack_size = bytes;
            let size = change.ctx.sizes().format(bytes);
            change.say("maximum pack size", size);
        }
        let current = i64::from(change.parameters.index_version);
        if self.index_version != 0 && self.index_version != current {
            if self.index_version < current {
                return Err(Failure::new("the index version can only be raised"));
            }
            change.parameters.index_version = u8::try_from(self.index_version).unwrap_or(u8::MAX);
            change.say("index format version", self.index_version);
        }
        Ok(())
    }

    fn apply_retention(&self, change: &mut Change<'_>) {
        match self.retention_mode.as_deref() {
            Some("none") => {
                let config = &mut change.parameters.config;
                if config.is_retention_enabled() {
                    config.retention_mode.clear();
                    config.retention_period = 0;
                    change.is_any = true;
                    change.ctx.talk().line(" - turning object lock off.");
                }
                return;
            }
            Some(mode) => {
                mode.clone_into(&mut change.parameters.config.retention_mode);
                change.say("retention mode of the store", mode);
            }
            None => {}
        }
        change.duration("retention period of the store", self.retention_period, |parameters| {
            &mut parameters.config.retention_period
        });
    }

    fn apply_epochs(&self, change: &mut Change<'_>) -> Result<()> {
        change.duration("minimum epoch duration", self.epoch_min_duration, |to| {
            &mut to.epochs.min_epoch_duration
        });
        change.duration("epoch refresh frequency", self.epoch_refresh_frequency, |to| {
            &mut to.epochs.epoch_refresh_frequency
        });
        change.duration("epoch cleanup safety margin", self.epoch_cleanup_safety_margin, |to| {
            &mut to.epochs.cleanup_safety_margin
        });
        change.number("epoch advance on count", self.epoch_advance_on_count, |to| {
            &mut to.epochs.epoch_advance_on_count_threshold
        });
        if self.epoch_advance_on_size_mb != 0 {
            let bytes = bytes_of_mb("--epoch-advance-on-size-mb", self.epoch_advance_on_size_mb)?;
            change.parameters.epochs.epoch_advance_on_total_size_bytes_threshold =
                i64::try_from(bytes).unwrap_or(i64::MAX);
            let size = change.ctx.sizes().format(bytes);
            change.say("epoch advance on total size", size);
        }
        change.number("epoch delete parallelism", self.epoch_delete_parallelism, |to| {
            &mut to.epochs.delete_parallelism
        });
        change.number("epoch range-compaction period", self.epoch_checkpoint_frequency, |to| {
            &mut to.epochs.full_checkpoint_frequency
        });
        Ok(())
    }

    fn apply_features(&self, change: &mut Change<'_>) {
        let named = |feature: &RequiredFeature| {
            [&self.add_required_feature, &self.remove_required_feature]
                .into_iter()
                .flatten()
                .any(|name| *name == feature.feature)
        };
        let features = &mut change.parameters.required_features;
        let count = features.len();
        features.retain(|feature| !named(feature));
        change.is_any |= features.len() != count;
        if let Some(name) = self.add_required_feature.clone().filter(|name| !name.is_empty()) {
            let warn = self.warn_on_missing_required_feature;
            let if_not_understood = IfNotUnderstood { warn, ..IfNotUnderstood::default() };
            features.push(RequiredFeature { feature: name, if_not_understood, ..RequiredFeature::default() });
            change.is_any = true;
        }
    }
}

fn bytes_of_mb(flag: &str, mb: i64) -> Result<u64> {
    let bytes = u64::try_from(mb).ok().and_then(|mb| mb.checked_mul(MIB));
    bytes
        .filter(|bytes| i64::try_from(*bytes).is_ok())
        .ok_or_else(|| Failure::new(format!("{flag}: {mb} MB is no size that anything here can have")))
}

/// Locks that maintenance extends must be longer than the time between two runs of it.
fn check_maintenance(ctx: &Context, config: &BlobConfig) -> Result<()> {
    if !config.is_retention_enabled() {
        return Ok(());
    }
    let repository = ctx.open_repository(false)?;
    let manifests = repository.load_manifests()?;
    if let Some(maintenance) = MaintenanceParameters::load(&manifests)? {
        maintenance.check_retention(config)?;
    }
    Ok(())
}
