//! When a server makes snapshots.

use super::SourceInfo;
use super::field::Field;
use serde::{Deserialize, Serialize};
use std::fmt;

/// A time of day, local.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct TimeOfDay {
    /// 0 to 23.
    pub hour: i64,
    /// 0 to 59.
    pub min: i64,
}

impl fmt::Display for TimeOfDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{:02}", self.hour, self.min)
    }
}

/// When snapshots are due.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SchedulingPolicy {
    /// Seconds between snapshots, 0 for none.
    #[serde(skip_serializing_if = "Field::is_unset")]
    pub interval_seconds: i64,
    /// Times of each day.
    #[serde(skip_serializing_if = "Field::is_unset")]
    pub time_of_day: Vec<TimeOfDay>,
    /// Whether less specific policies add no times of day.
    #[serde(skip_serializing_if = "Field::is_unset")]
    pub no_parent_time_of_day: bool,
    /// Whether snapshots are made on request only.
    #[serde(skip_serializing_if = "Field::is_unset")]
    pub manual: bool,
    /// Cron expressions.
    #[serde(skip_serializing_if = "Field::is_unset")]
    pub cron: Vec<String>,
    /// Whether a missed run is made up for.
    #[serde(skip_serializing_if = "Field::is_unset")]
    pub run_missed: Option<bool>,
}

/// Which target gave each value of [`SchedulingPolicy`].
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SchedulingDefinition {
    /// The interval.
    pub interval_seconds: SourceInfo,
    /// The last that named times of day.
    pub time_of_day: SourceInfo,
    /// The cron expressions.
    pub cron: SourceInfo,
    /// On request only.
    pub manual: SourceInfo,
    /// Making up for missed runs.
    pub run_missed: SourceInfo,
}

impl SchedulingPolicy {
    pub(super) fn merge(&mut self, from: &Self, definition: &mut SchedulingDefinition, target: &SourceInfo) {
        if self.interval_seconds.inherit(&from.interval_seconds) {
            definition.interval_seconds.clone_from(target);
        }
        if !from.time_of_day.is_empty() {
            // Kopia names the target even if a more specific policy closed the list.
            definition.time_of_day.clone_from(target);
            if !self.no_parent_time_of_day {
                self.time_of_day.extend(&from.time_of_day);
                self.time_of_day.sort_unstable();
                self.time_of_day.dedup();
            }
        }
        if self.cron.inherit(&from.cron) {
            definition.cron.clone_from(target);
        }
        self.no_parent_time_of_day |= from.no_parent_time_of_day;
        if self.manual.inherit(&from.manual) {
            definition.manual.clone_from(target);
        }
        if self.run_missed.inherit(&from.run_missed) {
            definition.run_missed.clone_from(target);
        }
    }
}
