//! Trying again after a passing fault.

use super::{Error, Result};
use crate::base::Clock;
use std::time::Duration;

/// How often to try and how long to wait in between.
#[derive(Debug, Clone, Copy)]
pub(super) struct Backoff {
    /// Attempts in all.
    pub(super) attempts: u32,
    /// Pause after the first failure; each later one is half as long again.
    pub(super) first: Duration,
    /// Longest pause.
    pub(super) cap: Duration,
}

impl Backoff {
    /// Kopia's policy for stores; 7.5 s of pauses when everything fails.
    ///
    /// Source: kopia `internal/retry/retry.go`.
    pub(super) const KOPIA: Self = Self::of_attempts(10);

    /// Kopia's pauses with another number of attempts.
    pub(super) const fn of_attempts(attempts: u32) -> Self {
        Self { attempts, first: Duration::from_millis(100), cap: Duration::from_secs(32) }
    }

    /// Calls `operation` until it succeeds, fails for good, or has had all its attempts.
    pub(super) fn run<T>(self, clock: &dyn Clock, operation: impl FnMut() -> Result<T>) -> Result<T> {
        self.run_while(clock, || true, operation)
    }

    /// The same, but gives up as soon as `may_repeat` says no.
    pub(super) fn run_while<T>(
        self,
        clock: &dyn Clock,
        may_repeat: impl Fn() -> bool,
        mut operation: impl FnMut() -> Result<T>,
    ) -> Result<T> {
        let mut pause = self.first;
        let mut attempt = 1;
        loop {
            match operation() {
                Err(error) if attempt < self.attempts && is_retriable(&error) && may_repeat() => {
                    tracing::debug!(%error, attempt, "storage call failed, trying again");
                    clock.sleep(pause);
                    pause = (pause * 3 / 2).min(self.cap);
                    attempt += 1;
                }
                outcome => return outcome,
            }
        }
    }
}

fn is_retriable(error: &Error) -> bool {
    error.class().is_retriable()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{ErrorClass, FixedClock, Timestamp};

    fn fault(class: ErrorClass) -> Error {
        Error::Other { message: "planted".into(), class }
    }

    #[test]
    fn pauses_grow_and_attempts_end() {
        let clock = FixedClock::new(Timestamp::EPOCH);
        let mut attempts = 0;
        let outcome: Result<()> = Backoff::KOPIA.run(&clock, || {
            attempts += 1;
            Err(fault(ErrorClass::Unavailable))
        });
        assert!(outcome.is_err());
        assert_eq!(attempts, 10);
        // 0.1 s × (1.5⁹ − 1) ÷ 0.5
        assert_eq!(clock.now().as_nanos() / 1_000_000, 7_488);
    }

    #[test]
    fn only_passing_faults_are_tried_again() {
        let clock = FixedClock::new(Timestamp::EPOCH);
        for class in [ErrorClass::Denied, ErrorClass::NotFound, ErrorClass::Full, ErrorClass::Other] {
            let mut attempts = 0;
            let outcome: Result<()> = Backoff::KOPIA.run(&clock, || {
                attempts += 1;
                Err(fault(class))
            });
            assert_eq!(outcome.unwrap_err().class(), class);
            assert_eq!(attempts, 1);
        }
        assert_eq!(clock.now(), Timestamp::EPOCH);
        assert!(
            Backoff::KOPIA
                .run_while(&clock, || false, || -> Result<()> { Err(fault(ErrorClass::Unavailable)) })
                .is_err()
        );
        assert_eq!(clock.now(), Timestamp::EPOCH);
    }
}
