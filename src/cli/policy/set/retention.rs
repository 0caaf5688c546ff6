//! How many snapshots are kept.

use super::change::Changes;
use super::setting::{Setting, count, loose_switch};
use packhorse::policy::RetentionPolicy;

/// Flags of the section.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Retention")]
pub(super) struct RetentionFlags {
    /// Newest snapshots to keep, or `inherit`.
    #[arg(long, value_name = "N", value_parser = count)]
    keep_latest: Option<Setting<i64>>,
    /// Hours to keep the last snapshot of.
    #[arg(long, value_name = "N", value_parser = count)]
    keep_hourly: Option<Setting<i64>>,
    /// Days to keep the last snapshot of.
    #[arg(long, value_name = "N", value_parser = count)]
    keep_daily: Option<Setting<i64>>,
    /// Weeks to keep the last snapshot of.
    #[arg(long, value_name = "N", value_parser = count)]
    keep_weekly: Option<Setting<i64>>,
    /// Months to keep the last snapshot of.
    #[arg(long, value_name = "N", value_parser = count)]
    keep_monthly: Option<Setting<i64>>,
    /// Years to keep the last snapshot of.
    #[arg(long, value_name = "N", value_parser = count)]
    keep_annual: Option<Setting<i64>>,
    /// Whether a snapshot equal to the one before is not saved.
    #[arg(long, value_name = "BOOL", value_parser = loose_switch)]
    ignore_identical_snapshots: Option<Setting<bool>>,
}

impl RetentionFlags {
    pub(super) fn apply(&self, policy: &mut RetentionPolicy, changes: &mut Changes) {
        changes.set("keep-annual", self.keep_annual.as_ref(), &mut policy.keep_annual);
        changes.set("keep-monthly", self.keep_monthly.as_ref(), &mut policy.keep_monthly);
        changes.set("keep-weekly", self.keep_weekly.as_ref(), &mut policy.keep_weekly);
        changes.set("keep-daily", self.keep_daily.as_ref(), &mut policy.keep_daily);
        changes.set("keep-hourly", self.keep_hourly.as_ref(), &mut policy.keep_hourly);
        changes.set("keep-latest", self.keep_latest.as_ref(), &mut policy.keep_latest);
        let identical = &mut policy.ignore_identical_snapshots;
        changes.set("ignore-identical-snapshots", self.ignore_identical_snapshots.as_ref(), identical);
    }
}
