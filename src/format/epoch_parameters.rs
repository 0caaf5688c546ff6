//! How the index of a repository is divided into epochs.

use super::{Error, Result};
use crate::base::{ExtraFields, keeps_extra_fields};
use serde::{Deserialize, Serialize};

const SECOND: i64 = 1_000_000_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;

/// Parameters of the epoch manager; durations are nanoseconds. Unlike everywhere else the keys are in `PascalCase`.
///
/// Source: kopia `internal/epoch/epoch_manager.go`, `Parameters`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default, remote = "Self")]
pub struct EpochParameters {
    /// Whether index blobs are kept in epochs at all (`xn…`) or in the older way (`n…`).
    pub enabled: bool,
    /// How long a view of the epochs may be used. A client that writes with an older view may write into an epoch that
    /// is being compacted, and its index is lost.
    pub epoch_refresh_frequency: i64,
    /// After how many epochs a range of them is merged.
    pub full_checkpoint_frequency: i64,
    /// How much younger than a replacement a client's view may be before the replaced blobs go. Too short, and readers
    /// miss blobs they were told to load.
    pub cleanup_safety_margin: i64,
    /// Shortest life of an epoch.
    pub min_epoch_duration: i64,
    /// Number of index blobs that ends an epoch.
    pub epoch_advance_on_count_threshold: i64,
    /// Total size of index blobs that ends an epoch, in bytes.
    pub epoch_advance_on_total_size_bytes_threshold: i64,
    /// How many blobs to delete at once.
    pub delete_parallelism: i64,
    /// What others have written here, kept.
    #[serde(flatten, skip_deserializing)]
    pub extra: ExtraFields,
}

keeps_extra_fields!(EpochParameters);

impl EpochParameters {
    /// What new repositories get.
    pub const DEFAULT: Self = Self {
        enabled: true,
        epoch_refresh_frequency: 20 * MINUTE,
        full_checkpoint_frequency: 7,
        cleanup_safety_margin: 4 * HOUR,
        min_epoch_duration: 24 * HOUR,
        epoch_advance_on_count_threshold: 20,
        epoch_advance_on_total_size_bytes_threshold: 10 << 20,
        delete_parallelism: 4,
        extra: ExtraFields::NONE,
    };

    /// Checks what Kopia checks before it writes them.
    ///
    /// # Errors
    /// [`Error::Parameter`].
    pub fn validate(&self) -> Result<()> {
        if !self.enabled {
            return Ok(());
        }
        let thrice = self.epoch_refresh_frequency.saturating_mul(3);
        let at_least = |parameter, value: i64, least: i64, rule| {
            if value >= least {
                Ok(())
            } else {
                Err(Error::Parameter { parameter, value: value.into(), rule })
            }
        };
        at_least("MinEpochDuration", self.min_epoch_duration, 10 * MINUTE, "it must be at least 10 minutes")?;
        at_least(
            "MinEpochDuration",
            self.min_epoch_duration,
            thrice,
            "it must be at least 3 × EpochRefreshFrequency",
        )?;
        at_least("FullCheckpointFrequency", self.full_checkpoint_frequency, 1, "it must be positive")?;
        at_least(
            "CleanupSafetyMargin",
            self.cleanup_safety_margin,
            thrice,
            "it must be at least 3 × EpochRefreshFrequency",
        )?;
        let count = self.epoch_advance_on_count_threshold;
        at_least("EpochAdvanceOnCountThreshold", count, 10, "it must be at least 10")?;
        let size = self.epoch_advance_on_total_size_bytes_threshold;
        at_least("EpochAdvanceOnTotalSizeBytesThreshold", size, 1 << 20, "it must be at least 1 MiB")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_valid_and_each_rule_bites() {
        assert!(EpochParameters::DEFAULT.validate().is_ok());
        assert!(EpochParameters::default().validate().is_ok(), "disabled: nothing is checked");
        let broken: [fn(&mut EpochParameters); 6] = [
            |p| p.min_epoch_duration = 10 * MINUTE - 1,
            |p| p.epoch_refresh_frequency = 9 * HOUR,
            |p| p.full_checkpoint_frequency = 0,
            |p| p.cleanup_safety_margin = HOUR - 1,
            |p| p.epoch_advance_on_count_threshold = 9,
            |p| p.epoch_advance_on_total_size_bytes_threshold = (1 << 20) - 1,
        ];
        for (n, damage) in broken.into_iter().enumerate() {
            let mut parameters = EpochParameters::DEFAULT;
            damage(&mut parameters);
            assert!(parameters.validate().is_err(), "rule {n}");
        }
    }
}
