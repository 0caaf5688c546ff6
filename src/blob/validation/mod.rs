//! Whether a store keeps the promises of [`Storage`], tried out on blobs of its own.
//!
//! All blobs begin with `z` and random digits, letters that no client looks for; they are removed at the end, also after
//! a failure. The store is asked through several connections, since what one has written another must see.
//!
//! Source: kopia `internal/providervalidation/providervalidation.go`, whose checks are among these.

mod bench;
mod blobs;
mod rivals;
mod several;

use super::{Error, Result, Storage};
use crate::base::{Clock, Entropy, Stopwatch};
use bench::Bench;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

/// How long and how hard a store is tried.
#[derive(Debug, Clone, Copy)]
pub struct ValidationOptions {
    /// How much the store's clock may differ from ours.
    pub clock_drift_max: Duration,
    /// How long many threads work at once.
    pub concurrency_duration: Duration,
    /// Threads that put.
    pub put_workers: usize,
    /// Threads that get.
    pub get_workers: usize,
    /// Threads that ask for lengths.
    pub metadata_workers: usize,
}

impl Default for ValidationOptions {
    fn default() -> Self {
        Self {
            clock_drift_max: Duration::from_mins(3),
            concurrency_duration: Duration::from_secs(30),
            put_workers: 3,
            get_workers: 3,
            metadata_workers: 3,
        }
    }
}

/// A check that has ended.
#[derive(Debug, Clone, PartialEq)]
pub struct CheckOutcome {
    /// What was checked.
    pub check: &'static str,
    /// What was found out, or what is wrong.
    pub detail: String,
    /// Whether the store does what it should.
    pub passed: bool,
    /// How long it took.
    pub elapsed: Duration,
}

/// What a check found out.
type Found = Result<String>;

type Check = (&'static str, fn(&Bench<'_>) -> Found);

const CHECKS: &[Check] = &[
    ("capacity", blobs::capacity),
    ("empty listing", blobs::empty_listing),
    ("missing blobs", blobs::missing),
    ("write", blobs::write),
    ("listing", blobs::listing),
    ("partial reads", blobs::partial_reads),
    ("full reads from every connection", blobs::full_reads),
    ("metadata", blobs::metadata),
    ("clock", blobs::clock),
    ("overwriting", blobs::overwriting),
    ("deletion", blobs::deletion),
    ("names", several::names),
    ("parallel puts", several::parallel_puts),
    ("batch deletion", several::batch_deletion),
    ("atomic replacement", rivals::replacement),
    ("concurrency", rivals::concurrency),
];

/// Runs all checks up to the first that fails, and cleans up. `stores` are connections to one store, at least one;
/// `said` hears of each check.
///
/// # Errors
/// [`Error::Validation`] for the first check that failed, [`Error::Canceled`].
pub fn validate(
    stores: &[Arc<dyn Storage>],
    clock: &dyn Clock,
    entropy: &dyn Entropy,
    options: &ValidationOptions,
    cancel: &AtomicBool,
    said: &dyn Fn(&CheckOutcome),
) -> Result<()> {
    let bench = Bench::new(stores, clock, entropy, options, cancel);
    let outcome = CHECKS.iter().try_for_each(|(check, run)| {
        bench.check_cancel()?;
        tell(check, said, || run(&bench))
    });
    let cleaned = tell("cleaning up", said, || bench.clean_up());
    outcome.and(cleaned)
}

fn tell(check: &'static str, said: &dyn Fn(&CheckOutcome), run: impl FnOnce() -> Found) -> Result<()> {
    let watch = Stopwatch::start();
    let found = run();
    let passed = found.is_ok();
    let (detail, outcome) = match found {
        Ok(detail) => (detail, Ok(())),
        Err(Error::Canceled) => return Err(Error::Canceled),
        Err(error) => (crate::base::error_chain(&error), Err(wrapped(check, error))),
    };
    said(&CheckOutcome { check, detail, passed, elapsed: watch.elapsed() });
    outcome
}

fn wrapped(check: &'static str, error: Error) -> Error {
    Error::Validation { check, source: Box::new(error) }
}

#[cfg(test)]
mod tests;
