//! A least distance in time between writes of one key.

use crate::base::{Clock, Timestamp};
use crate::blob::BlobId;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::time::Duration;

/// Makes later writes of a key wait until the earlier one is long enough ago.
#[derive(Debug)]
pub(in crate::blob) struct Pace {
    distance: Duration,
    /// When the latest write of a key may begin. Keys leave as soon as they need not wait.
    begins: Mutex<HashMap<BlobId, Timestamp>>,
}

impl Pace {
    /// At most one write of a key in `distance`.
    pub(in crate::blob) fn new(distance: Duration) -> Self {
        Self { distance, begins: Mutex::default() }
    }

    /// Waits until `id` may be written.
    pub(in crate::blob) fn wait(&self, id: &BlobId, clock: &dyn Clock) {
        let now = clock.now();
        let distance = i64::try_from(self.distance.as_nanos()).unwrap_or(i64::MAX);
        let mut begins = self.begins.lock();
        // Also those of a clock that was set back, which would have to wait for ever.
        begins.retain(|_, begin| (-distance * 64..distance).contains(&now.nanos_since(*begin)));
        let next = begins.get(id).map(|begin| begin.saturating_add_nanos(distance));
        let begin = next.filter(|next| *next > now).unwrap_or(now);
        begins.insert(id.clone(), begin);
        drop(begins);
        let wait = begin.nanos_since(now);
        if wait > 0 {
            clock.sleep(Duration::from_nanos(wait as u64));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::FixedClock;

    #[test]
    fn a_key_is_written_once_in_a_while_and_others_do_not_wait() {
        let clock = FixedClock::new(Timestamp::from_nanos(0));
        let pace = Pace::new(Duration::from_secs(1));
        pace.wait(&"a".into(), &clock);
        pace.wait(&"b".into(), &clock);
        assert_eq!(clock.now().as_nanos(), 0);
        pace.wait(&"a".into(), &clock);
        pace.wait(&"a".into(), &clock);
        assert_eq!(clock.now().as_nanos(), 2_000_000_000);
        clock.advance(Duration::from_millis(400));
        pace.wait(&"a".into(), &clock);
        assert_eq!(clock.now().as_nanos(), 3_000_000_000);
        clock.advance(Duration::from_secs(5));
        pace.wait(&"a".into(), &clock);
        assert_eq!(clock.now().as_nanos(), 8_000_000_000);
        assert_eq!(pace.begins.lock().len(), 1, "keys that need not wait are forgotten");
    }
}
