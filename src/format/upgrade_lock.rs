//! The lock a client places while it upgrades a repository.

use super::{Error, Result};
use crate::base::{ExtraFields, Timestamp, keeps_extra_fields};
use serde::{Deserialize, Serialize};

/// `upgradeLock` of the format document; durations are nanoseconds.
///
/// Source: kopia `repo/format/upgrade_lock_intent.go`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, remote = "Self")]
pub struct UpgradeLock {
    /// Who upgrades; the only client that may go on.
    #[serde(rename = "ownerID", skip_serializing_if = "String::is_empty")]
    pub owner_id: String,
    /// When the lock was placed.
    pub creation_time: Timestamp,
    /// How long before the upgrade the others are told; 0 for at once.
    #[serde(skip_serializing_if = "is_zero")]
    pub advance_notice_duration: i64,
    /// How long others may take to notice the lock: they re-read the format at least this often.
    #[serde(rename = "ioDrainTimeout", skip_serializing_if = "is_zero")]
    pub io_drain_timeout: i64,
    /// How often the owner looks at the lock.
    #[serde(skip_serializing_if = "is_zero")]
    pub status_poll_interval: i64,
    /// What others are told.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// By how much clocks may differ.
    #[serde(skip_serializing_if = "is_zero")]
    pub max_permitted_clock_drift: i64,
    /// What others have written here, kept.
    #[serde(flatten, skip_deserializing)]
    pub extra: ExtraFields,
}

keeps_extra_fields!(UpgradeLock);

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature serde's skip_serializing_if asks for")]
fn is_zero(value: &i64) -> bool {
    *value == 0
}

/// What a lock means at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UpgradeStatus {
    /// Whether everyone but the owner must stay away.
    pub locked: bool,
    /// Whether everyone but the owner must have noticed by now.
    pub drained: bool,
}

impl UpgradeLock {
    fn drain(&self) -> i64 {
        self.io_drain_timeout.saturating_mul(2).saturating_add(self.max_permitted_clock_drift)
    }

    /// When the upgrade may begin.
    pub fn upgrade_time(&self) -> Timestamp {
        self.creation_time.saturating_add_nanos(self.advance_notice_duration.max(self.drain()))
    }

    /// What the lock means at `now`.
    pub fn status(&self, now: Timestamp) -> UpgradeStatus {
        let notice = self.advance_notice_duration.saturating_sub(self.drain());
        let locked = notice < 0 || now >= self.creation_time.saturating_add_nanos(notice);
        UpgradeStatus { locked, drained: now >= self.upgrade_time() }
    }

    /// Refuses everyone but the owner while the lock holds. `client` is this client's id in upgrades, empty for none.
    ///
    /// # Errors
    /// [`Error::Locked`].
    pub fn check(&self, now: Timestamp, client: &str) -> Result<()> {
        if !self.status(now).locked || (!client.is_empty() && client == self.owner_id) {
            return Ok(());
        }
        Err(Error::Locked {
            owner: self.owner_id.clone(),
            since: self.creation_time,
            message: self.message.clone(),
        })
    }

    /// What this standing lock becomes when its owner asks for `other`: only the notice can change, and only grow.
    ///
    /// # Errors
    /// [`Error::UpgradeLock`].
    ///
    /// Source: kopia `repo/format/upgrade_lock_intent.go`, `Update`.
    pub fn updated(&self, other: &Self) -> Result<Self> {
        let (standing, wanted) = (self.advance_notice_duration, other.advance_notice_duration);
        let rules = [
            (self.owner_id == other.owner_id, "another client has placed it"),
            ((standing == 0) == (wanted == 0), "a notice can be neither added nor taken away"),
            (standing == 0 || other.upgrade_time() >= self.upgrade_time(), "its notice can only be extended"),
        ];
        match rules.into_iter().find(|(holds, _)| !holds) {
            Some((_, rule)) => Err(Error::UpgradeLock { rule }),
            None => Ok(Self { advance_notice_duration: wanted, ..self.clone() }),
        }
    }

    /// Checks a lock before it is written.
    ///
    /// # Errors
    /// [`Error::UpgradeLock`].
    pub fn validate(&self) -> Result<()> {
        let rules = [
            (!self.owner_id.is_empty(), "it needs an owner"),
            (self.creation_time != Timestamp::EPOCH, "it needs a time of creation"),
            (self.io_drain_timeout > 0, "the drain timeout must be positive"),
            (
                self.status_poll_interval <= self.io_drain_timeout,
                "the poll interval must not exceed the drain timeout",
            ),
            (!self.message.is_empty(), "it needs a message"),
            (self.max_permitted_clock_drift > 0, "the permitted clock drift must be positive"),
            (
                self.advance_notice_duration == 0 || self.advance_notice_duration > self.drain(),
                "the advance notice must be longer than the drain",
            ),
        ];
        match rules.into_iter().find(|(holds, _)| !holds) {
            Some((_, rule)) => Err(Error::UpgradeLock { rule }),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: i64 = 60_000_000_000;

    fn lock(notice: i64) -> UpgradeLock {
        UpgradeLock {
            owner_id: "me".into(),
            creation_time: Timestamp::from_seconds(1_700_000_000, 0),
            advance_notice_duration: notice,
            io_drain_timeout: 15 * MINUTE,
            status_poll_interval: MINUTE,
            message: "wait".into(),
            max_permitted_clock_drift: 5 * MINUTE,
            extra: ExtraFields::NONE,
        }
    }

    fn status_after(lock: &UpgradeLock, nanos: i64) -> (bool, bool) {
        let status = lock.status(lock.creation_time.saturating_add_nanos(nanos));
        (status.locked, status.drained)
    }

    #[test]
    fn without_notice_the_lock_holds_at_once() {
        let lock = lock(0);
        lock.validate().unwrap();
        assert_eq!(status_after(&lock, -MINUTE), (true, false));
        assert_eq!(status_after(&lock, 35 * MINUTE - 1), (true, false));
        assert_eq!(status_after(&lock, 35 * MINUTE), (true, true));
    }

    #[test]
    fn with_notice_it_holds_one_drain_before_the_upgrade() {
        let lock = lock(60 * MINUTE);
        lock.validate().unwrap();
        assert_eq!(status_after(&lock, 25 * MINUTE - 1), (false, false));
        assert_eq!(status_after(&lock, 25 * MINUTE), (true, false));
        assert_eq!(status_after(&lock, 60 * MINUTE), (true, true));
        assert!(super::UpgradeLock { advance_notice_duration: 35 * MINUTE, ..lock }.validate().is_err());
    }

    #[test]
    fn only_the_owner_passes() {
        let lock = lock(0);
        let now = lock.creation_time;
        assert!(lock.check(now, "me").is_ok());
        assert!(matches!(lock.check(now, "you"), Err(Error::Locked { .. })));
        assert!(UpgradeLock { owner_id: String::new(), ..lock }.check(now, "").is_err());
    }

    #[test]
    fn absurd_durations_do_not_overflow() {
        let lock = UpgradeLock { io_drain_timeout: i64::MAX, max_permitted_clock_drift: i64::MAX, ..lock(1) };
        assert!(lock.status(Timestamp::EPOCH).locked);
    }
}
