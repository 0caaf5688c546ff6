//! How the library reports without knowing who listens.

use std::sync::atomic::{AtomicU64, Ordering};

/// What is counted while work goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub enum Counter {
    /// Files whose bytes were read and hashed.
    HashedFiles,
    /// Bytes read and hashed.
    HashedBytes,
    /// Files taken over from a previous snapshot without being opened.
    CachedFiles,
    /// Their bytes.
    CachedBytes,
    /// Files left out by a rule.
    ExcludedFiles,
    /// Directories left out by a rule.
    ExcludedDirs,
    /// Errors that the policy ignores.
    IgnoredErrors,
    /// Errors that make the run fail.
    FatalErrors,
    /// Directories finished.
    Directories,
    /// Files written by a restore.
    RestoredFiles,
    /// Bytes written by a restore.
    RestoredBytes,
    /// Entries found to be restored, blobs found to be copied.
    ExpectedFiles,
    /// Bytes found to be restored or copied.
    ExpectedBytes,
    /// Objects looked at by a verification.
    VerifiedObjects,
    /// Bytes read by a verification.
    VerifiedBytes,
    /// Blobs copied from one store to another.
    CopiedBlobs,
    /// Their bytes.
    CopiedBytes,
}

const COUNTERS: usize = Counter::CopiedBytes as usize + 1;

/// Receives counts and messages from many threads at once. Calls must be cheap and must not block.
pub trait Monitor: Send + Sync {
    /// Adds `n` to a counter.
    fn add(&self, counter: Counter, n: u64);
    /// The path being worked on.
    fn current(&self, _path: &str) {}
    /// A file or directory of the source failed; `ignored` tells whether the policy forgives it.
    fn source_error(&self, _path: &str, _message: &str, _ignored: bool) {}
    /// Something the operator should know although work goes on.
    fn warn(&self, _message: &str) {}
}

/// Plain totals of every [`Counter`]; the base of any progress display.
#[derive(Debug, Default)]
pub struct Counters([AtomicU64; COUNTERS]);

impl Counters {
    /// The total so far.
    pub fn get(&self, counter: Counter) -> u64 {
        self.0[counter as usize].load(Ordering::Relaxed)
    }
}

impl Monitor for Counters {
    fn add(&self, counter: Counter, n: u64) {
        self.0[counter as usize].fetch_add(n, Ordering::Relaxed);
    }
}

/// Listens to nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Quiet;

impl Monitor for Quiet {
    fn add(&self, _counter: Counter, _n: u64) {}
}
