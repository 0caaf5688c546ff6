//! Inheritance, uploads, log detail, snapshots by the operating system.

use super::change::Changes;
use super::setting::{Setting, bytes, count, detail, shadow_copy};
use crate::cli::units;
use packhorse::policy::Policy;

const MIB: i64 = 1 << 20;

/// Flags of the sections.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Other")]
pub(super) struct RestFlags {
    /// Whether values not set here come from the parent's policies.
    #[arg(long, value_name = "BOOL", value_parser = units::parse_bool)]
    inherit: Vec<bool>,
    /// Files read at once.
    #[arg(long, value_name = "N", value_parser = count)]
    max_parallel_file_reads: Option<Setting<i64>>,
    /// Snapshots made at once, by servers.
    #[arg(long, value_name = "N", value_parser = count)]
    max_parallel_snapshots: Option<Setting<i64>>,
    /// Files above this size are uploaded in parts at once.
    #[arg(long, value_name = "MIB", value_parser = bytes)]
    parallel_upload_above_size_mib: Option<Setting<i64>>,
    /// Volume Shadow Copy of Windows: never, always, when-available.
    #[arg(long, value_name = "MODE", value_parser = shadow_copy)]
    enable_volume_shadow_copy: Option<Setting<u8>>,
    /// Log detail of folders saved.
    #[arg(long, value_name = "N", value_parser = detail)]
    log_dir_snapshotted: Option<Setting<i64>>,
    /// Log detail of folders left out.
    #[arg(long, value_name = "N", value_parser = detail)]
    log_dir_ignored: Option<Setting<i64>>,
    /// Log detail of files saved.
    #[arg(long, value_name = "N", value_parser = detail)]
    log_entry_snapshotted: Option<Setting<i64>>,
    /// Log detail of files left out.
    #[arg(long, value_name = "N", value_parser = detail)]
    log_entry_ignored: Option<Setting<i64>>,
    /// Log detail of files taken over.
    #[arg(long, value_name = "N", value_parser = detail)]
    log_entry_cache_hit: Option<Setting<i64>>,
    /// Log detail of files read.
    #[arg(long, value_name = "N", value_parser = detail)]
    log_entry_cache_miss: Option<Setting<i64>>,
}

impl RestFlags {
    pub(super) fn apply(&self, policy: &mut Policy, changes: &mut Changes) {
        if let Some(inherits) = self.inherit.last() {
            policy.no_parent = !inherits;
            changes.note("inherit", inherits);
        }
        let upload = &mut policy.upload;
        let (reads, snapshots) = (&mut upload.max_parallel_file_reads, &mut upload.max_parallel_snapshots);
        changes.set("max-parallel-file-reads", self.max_parallel_file_reads.as_ref(), reads);
        changes.set("max-parallel-snapshots", self.max_parallel_snapshots.as_ref(), snapshots);
        let above = self.parallel_upload_above_size_mib.as_ref().map(|setting| match setting {
            Setting::To(mib) => Setting::To(mib.saturating_mul(MIB)),
            other => other.clone(),
        });
        changes.set("parallel-upload-above-size", above.as_ref(), &mut upload.parallel_upload_above_size);
        let shadow = &mut policy.os_snapshots.volume_shadow_copy.enable;
        changes.set("enable-volume-shadow-copy", self.enable_volume_shadow_copy.as_ref(), shadow);
        self.apply_logging(policy, changes);
    }

    fn apply_logging(&self, policy: &mut Policy, changes: &mut Changes) {
        let directories = &mut policy.logging.directories;
        changes.set("log-dir-snapshotted", self.log_dir_snapshotted.as_ref(), &mut directories.snapshotted);
        changes.set("log-dir-ignored", self.log_dir_ignored.as_ref(), &mut directories.ignored);
        let entries = &mut policy.logging.entries;
        changes.set("log-entry-snapshotted", self.log_entry_snapshotted.as_ref(), &mut entries.snapshotted);
        changes.set("log-entry-ignored", self.log_entry_ignored.as_ref(), &mut entries.ignored);
        changes.set("log-entry-cache-hit", self.log_entry_cache_hit.as_ref(), &mut entries.cache_hit);
        changes.set("log-entry-cache-miss", self.log_entry_cache_miss.as_ref(), &mut entries.cache_miss);
    }
}
