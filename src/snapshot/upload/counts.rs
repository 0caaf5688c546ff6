//! Counters of one upload.

use crate::snapshot::SnapshotStats;
use std::sync::atomic::{AtomicI64, Ordering};

/// One counter for each field of [`SnapshotStats`].
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) total_size: AtomicI64,
    pub(super) excluded_total_size: AtomicI64,
    pub(super) file_count: AtomicI64,
    pub(super) cached_files: AtomicI64,
    pub(super) non_cached_files: AtomicI64,
    pub(super) dir_count: AtomicI64,
    pub(super) excluded_file_count: AtomicI64,
    pub(super) excluded_dir_count: AtomicI64,
    pub(super) ignored_error_count: AtomicI64,
    pub(super) error_count: AtomicI64,
}

/// Adds to a counter.
pub(super) fn add(counter: &AtomicI64, n: u64) {
    counter.fetch_add(i64::try_from(n).unwrap_or(i64::MAX), Ordering::Relaxed);
}

impl Counts {
    /// The totals; Kopia's counters of files are 32 bits wide, and a manifest it cannot decode would lose its data.
    pub(super) fn to_stats(&self) -> SnapshotStats {
        let wide = |counter: &AtomicI64| counter.load(Ordering::Relaxed);
        let narrow = |counter: &AtomicI64| i32::try_from(wide(counter)).unwrap_or(i32::MAX);
        SnapshotStats {
            total_size: wide(&self.total_size),
            excluded_total_size: wide(&self.excluded_total_size),
            file_count: narrow(&self.file_count),
            cached_files: narrow(&self.cached_files),
            non_cached_files: narrow(&self.non_cached_files),
            dir_count: narrow(&self.dir_count),
            excluded_file_count: narrow(&self.excluded_file_count),
            excluded_dir_count: narrow(&self.excluded_dir_count),
            ignored_error_count: narrow(&self.ignored_error_count),
            error_count: narrow(&self.error_count),
        }
    }
}
