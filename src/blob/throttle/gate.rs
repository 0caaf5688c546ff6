//! So many at once.

use parking_lot::{Condvar, Mutex};

/// Lets a changeable number of callers in at once.
#[derive(Debug, Default)]
pub(super) struct Gate {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// 0 for no limit.
    limit: i64,
    inside: i64,
}

/// A caller inside; leaves when dropped.
#[derive(Debug)]
pub(super) struct Inside<'a>(&'a Gate);

impl Gate {
    pub(super) fn set_limit(&self, limit: i64) {
        self.state.lock().limit = limit;
        self.changed.notify_all();
    }

    /// Waits for room. `each_wait` is how long to wait until `meanwhile` is called again, without a lock.
    pub(super) fn enter(&self, each_wait: std::time::Duration, meanwhile: impl Fn()) -> Inside<'_> {
        let mut state = self.state.lock();
        while state.limit > 0 && state.inside >= state.limit {
            if self.changed.wait_for(&mut state, each_wait).timed_out() {
                drop(state);
                meanwhile();
                state = self.state.lock();
            }
        }
        state.inside += 1;
        Inside(self)
    }
}

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        self.0.state.lock().inside -= 1;
        self.0.changed.notify_one();
    }
}
