//! When a server makes snapshots. This program has no server; the values are for those that do.

use super::change::Changes;
use super::setting::{Setting, switch};
use crate::cli::exit::Failure;
use crate::cli::{Result, units};
use packhorse::policy::{SchedulingPolicy, TimeOfDay};

const NANOS_PER_SECOND: i64 = 1_000_000_000;

/// Flags of the section.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Schedule (for servers)")]
pub(super) struct SchedulingFlags {
    /// Time between two snapshots.
    #[arg(long, value_name = "DURATION", value_parser = units::parse_nanos)]
    snapshot_interval: Vec<i64>,
    /// Times of day, `HH:mm[,HH:mm…]`, or `inherit`.
    #[arg(long, value_name = "TIMES")]
    snapshot_time: Vec<String>,
    /// Cron expressions, separated by semicolons, or `inherit`.
    #[arg(long, value_name = "EXPRESSIONS")]
    snapshot_time_crontab: Option<String>,
    /// Make up for snapshots missed.
    #[arg(long, value_name = "BOOL", value_parser = switch)]
    run_missed: Option<Setting<bool>>,
    /// Never by itself.
    #[arg(long)]
    manual: bool,
}

impl SchedulingFlags {
    pub(super) fn apply(&self, policy: &mut SchedulingPolicy, changes: &mut Changes) -> Result<()> {
        let crontab = self.snapshot_time_crontab.as_deref().filter(|text| !text.is_empty());
        let is_scheduled =
            !self.snapshot_interval.is_empty() || !self.snapshot_time.is_empty() || crontab.is_some();
        if self.manual && is_scheduled {
            return Err(Failure::usage("--manual cannot be combined with a schedule"));
        }
        if let Some(nanos) = self.snapshot_interval.first() {
            policy.interval_seconds = nanos / NANOS_PER_SECOND;
            changes.note("snapshot-interval", units::format_nanos(*nanos));
        }
        self.apply_times(policy, changes)?;
        match crontab {
            Some("inherit" | "default") => {
                policy.cron.clear();
                changes.note_removed("snapshot-time-crontab");
            }
            Some(text) => {
                policy.cron = parts(text, ';').map(str::to_owned).collect();
                changes.note("snapshot-time-crontab", policy.cron.join("; "));
            }
            None => {}
        }
        changes.set("run-missed", self.run_missed.as_ref(), &mut policy.run_missed);
        self.apply_manual(policy, changes);
        Ok(())
    }

    fn apply_times(&self, policy: &mut SchedulingPolicy, changes: &mut Changes) -> Result<()> {
        if self.snapshot_time.is_empty() {
            return Ok(());
        }
        let mut times = Vec::new();
        // As in Kopia: it drops what stands before it, and the rest of its own list.
        for text in &self.snapshot_time {
            for time in parts(text, ',') {
                if time == "inherit" {
                    times.clear();
                    break;
                }
                times.push(time_of_day(time)?);
            }
        }
        times.sort_unstable();
        times.dedup();
        if times.is_empty() {
            changes.note_removed("snapshot-time");
        } else {
            let texts: Vec<_> = times.iter().map(ToString::to_string).collect();
            changes.note("snapshot-time", texts.join(", "));
        }
        policy.time_of_day = times;
        Ok(())
    }

    /// A change without `--manual` ends manual mode, as in Kopia.
    fn apply_manual(&self, policy: &mut SchedulingPolicy, changes: &mut Changes) {
        if self.manual {
            policy.interval_seconds = 0;
            policy.time_of_day.clear();
            policy.cron.clear();
        }
        if self.manual || policy.manual {
            policy.manual = self.manual;
            changes.note("manual", self.manual);
        }
    }
}

fn parts(text: &str, separator: char) -> impl Iterator<Item = &str> {
    text.split(separator).map(str::trim).filter(|part| !part.is_empty())
}

fn time_of_day(text: &str) -> Result<TimeOfDay> {
    let bad = || Failure::usage(format!("--snapshot-time: {text:?} is not a time of day such as 18:30"));
    let (hour, min) = text.split_once(':').ok_or_else(bad)?;
    match (hour.parse(), min.parse()) {
        (Ok(hour @ 0..=23), Ok(min @ 0..=59)) => Ok(TimeOfDay { hour, min }),
        _ => Err(bad()),
    }
}
