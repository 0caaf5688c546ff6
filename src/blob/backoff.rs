//! Trying again after a passing fault.

use super::{Error, Result};
use crate::base::{Clock, Entropy};
use std::time::Duration;

/// Longest pause that a store may ask for.
const RETRY_AFTER_MAX: Duration = Duration::from_mins(1);

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
        operation: impl FnMut() -> Result<T>,
    ) -> Result<T> {
        self.run_jittered(clock, None, may_repeat, operation)
    }

    /// The same. With `jitter`, each pause is drawn between nothing and what
    /// it would be, so that clients that failed together do not come back together.
    pub(super) fn run_jittered<T>(
        self,
        clock: &dyn Clock,
        jitter: Option<&dyn Entropy>,
        may_repeat: impl Fn() -> bool,
        mut operation: impl FnMut() -> Result<T>,
    ) -> Result<T> {
        let mut pause = self.first;
        let mut attempt = 1;
        loop {
            match operation() {
                Err(error) if attempt < self.attempts && is_retriable(&error) && may_repeat() => {
                    tracing::debug!(%error, attempt, "storage call failed, trying again");
                    let drawn = jitter.map_or(pause, |entropy| part_of(pause, entropy));
                    // What the store asks for is a least pause: the jitter comes on top.
                    let asked = error.retry_after().map(|asked| asked.min(RETRY_AFTER_MAX) + drawn);
                    clock.sleep(asked.unwrap_or(drawn));
                    pause = (pause * 3 / 2).min(self.cap);
                    attempt += 1;
                }
                outcome => return outcome,
            }
        }
    }
}

/// A time between nothing and `pause`.
fn part_of(pause: Duration, entropy: &dyn Entropy) -> Duration {
    let share = u64::from_le_bytes(entropy.bytes());
    Duration::from_nanos(((pause.as_nanos() * u128::from(share)) >> 64) as u64)
}

fn is_retriable(error: &Error) -> bool {
    error.class().is_retriable()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{ErrorClass, FixedClock, SeededEntropy, Timestamp};
    use crate::blob::remote::Cause;

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
    fn jitter_shortens_pauses_and_stores_lengthen_them() {
        let entropy = SeededEntropy::new(1);
        let run = |cause: Cause| {
            let clock = FixedClock::new(Timestamp::EPOCH);
            let outcome: Result<()> = Backoff::KOPIA.run_jittered(
                &clock,
                Some(&entropy),
                || true,
                || Err(Error::Remote { operation: "read", subject: "blob".into(), cause: cause.clone() }),
            );
            assert!(outcome.is_err());
            clock.now().as_nanos() / 1_000_000
        };
        let (first, second) = (run(Cause::Reset), run(Cause::Reset));
        assert!(first != second && (500..7_000).contains(&first), "{first} {second}");
        let asks =
            |seconds| Cause::Throttled { status: 429, retry_after: Some(Duration::from_secs(seconds)) };
        assert!((9 * 20_000..9 * 20_000 + 7_500).contains(&run(asks(20))));
        assert!((9 * 60_000..9 * 60_000 + 7_500).contains(&run(asks(86_400))), "a day is too long");
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
