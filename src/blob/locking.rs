//! A store whose blobs cannot be deleted for a while.

use super::pass_on::pass_on;
use super::{BlobId, PutOptions, Result, Retention, Storage};
use bytes::Bytes;
use std::sync::Arc;

/// Names of blobs without which a repository cannot be read. Session markers, logs and the like must stay deletable.
///
/// Source: kopia `repo/open.go`, `GetLockingStoragePrefixes`.
const LOCKED_PREFIXES: [&str; 6] = ["n", "x", "p", "q", "kopia.repository", "kopia.blobcfg"];

/// Asks another store to lock what a repository is made of.
#[derive(Debug)]
pub struct Locking {
    inner: Arc<dyn Storage>,
    retention: Retention,
}

impl Locking {
    /// Locks what is put into `inner`.
    pub fn new(inner: Arc<dyn Storage>, retention: Retention) -> Self {
        Self { inner, retention }
    }

    /// The same if there is a lock to ask for, else `inner` itself.
    pub fn around(inner: Arc<dyn Storage>, retention: Option<Retention>) -> Arc<dyn Storage> {
        match retention {
            Some(retention) => Arc::new(Self::new(inner, retention)),
            None => inner,
        }
    }
}

impl Storage for Locking {
    pass_on!(
        inner: get, get_within, metadata, barrier, adopt, delete, delete_many, extend_retention, list, capacity,
        is_read_only, display_name, parallelism
    );

    fn put(&self, id: &BlobId, data: Bytes, options: PutOptions) -> Result<()> {
        let is_locked = LOCKED_PREFIXES.iter().any(|prefix| id.as_str().starts_with(prefix));
        let retention = if is_locked { Some(self.retention) } else { options.retention };
        self.inner.put(id, data, PutOptions { retention, ..options })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{FixedClock, Timestamp};
    use crate::blob::{Memory, Recording, RetentionMode, StorageExt};
    use std::time::Duration;

    #[test]
    fn what_is_needed_for_reading_is_locked_and_nothing_else() {
        let clock = Arc::new(FixedClock::new(Timestamp::EPOCH));
        let store = Arc::new(Recording::new(Arc::new(Memory::new(clock))));
        let retention = Retention { mode: RetentionMode::Compliance, period: Duration::from_hours(24) };
        let locking = Locking::new(store.clone(), retention);
        for name in
            ["n1", "xn0_1", "p1", "q1", "kopia.repository", "kopia.blobcfg", "s1", "kopia.maintenance", "m1"]
        {
            locking.put_now(&name.into(), b"x").unwrap();
        }
        let locked: Vec<_> = store.calls().iter().map(|call| call.options.unwrap().retention).collect();
        assert!(locked[..6].iter().all(|lock| *lock == Some(retention)));
        assert!(locked[6..].iter().all(Option::is_none));
    }
}
