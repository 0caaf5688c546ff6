//! So much per second.

use crate::base::Timestamp;
use parking_lot::Mutex;
use std::time::Duration;

/// What has gathered after a pause, and may go at once: what one second brings. Kopia lets a minute's worth through,
/// which fills a line for as long.
const BURST_SECONDS: f64 = 1.0;

/// Tokens that come back at a steady rate. Whoever takes more than there are leaves a debt, and the next one waits until
/// it is paid: so a blob larger than the burst gets through, and the average is kept.
#[derive(Debug)]
pub(in crate::blob) struct Bucket(Mutex<State>);

#[derive(Debug)]
struct State {
    /// Per second; 0 for no limit.
    rate: f64,
    tokens: f64,
    at: Timestamp,
}

impl Bucket {
    /// A full bucket.
    pub(in crate::blob) fn new(rate: f64, now: Timestamp) -> Self {
        Self(Mutex::new(State { rate, tokens: rate * BURST_SECONDS, at: now }))
    }

    /// Changes the rate. What was taken before stays taken, but no debt is paid at a rate under which it would not have
    /// been allowed for more than a second.
    pub(in crate::blob) fn set_rate(&self, rate: f64, now: Timestamp) {
        let mut state = self.0.lock();
        state.refill(now);
        state.rate = rate;
        state.tokens = state.tokens.clamp(-rate, rate * BURST_SECONDS);
    }

    /// Takes `amount` if no debt is open; else says how long it will be.
    pub(in crate::blob) fn take(&self, amount: f64, now: Timestamp) -> Option<Duration> {
        let mut state = self.0.lock();
        if state.rate <= 0.0 {
            return None;
        }
        state.refill(now);
        // Less than what a clock of nanoseconds can tell counts as paid.
        if state.tokens < -state.rate * 1e-9 {
            return Some(Duration::try_from_secs_f64(-state.tokens / state.rate).unwrap_or(Duration::MAX));
        }
        state.tokens -= amount;
        None
    }

    /// Takes what was used without asking, or gives back what was not; a negative amount.
    pub(in crate::blob) fn settle(&self, amount: f64) {
        let mut state = self.0.lock();
        if state.rate > 0.0 {
            state.tokens = (state.tokens - amount).min(state.rate * BURST_SECONDS);
        }
    }
}

impl State {
    /// A clock that was set back brings nothing, and costs nothing.
    fn refill(&mut self, now: Timestamp) {
        let seconds = now.nanos_since(self.at).max(0) as f64 / 1e9;
        self.tokens = (self.tokens + seconds * self.rate).min(self.rate * BURST_SECONDS);
        self.at = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_nanos(millis * 1_000_000)
    }

    #[test]
    fn a_debt_is_paid_before_the_next_one() {
        let bucket = Bucket::new(100.0, at(0));
        assert_eq!(bucket.take(100.0, at(0)), None, "the burst");
        assert_eq!(bucket.take(300.0, at(0)), None, "on credit");
        assert_eq!(bucket.take(1.0, at(0)), Some(Duration::from_secs(3)));
        assert_eq!(bucket.take(1.0, at(2000)), Some(Duration::from_secs(1)));
        assert_eq!(bucket.take(1.0, at(3000)), None);
        bucket.settle(-1.0);
        assert_eq!(bucket.take(100.0, at(3000)), None, "what was given back");
    }

    #[test]
    fn a_pause_saves_up_no_more_than_a_second() {
        let bucket = Bucket::new(10.0, at(0));
        assert_eq!(bucket.take(10.0, at(3_600_000)), None);
        assert_eq!(bucket.take(1.0, at(3_600_000)), None, "nothing is owed yet");
        assert!(bucket.take(1.0, at(3_600_000)).is_some());
    }

    #[test]
    fn clocks_that_are_set_back_and_new_rates_lock_nobody_out() {
        let bucket = Bucket::new(1.0, at(1_000_000));
        assert_eq!(bucket.take(5000.0, at(1_000_000)), None);
        assert!(bucket.take(1.0, at(0)).is_some());
        bucket.set_rate(1000.0, at(0));
        assert!(bucket.take(1.0, at(0)).unwrap() <= Duration::from_secs(1));
        bucket.set_rate(0.0, at(0));
        assert_eq!(bucket.take(1e9, at(0)), None, "no limit");
    }
}
