//! How much of a folder is used, and what has to go.

use super::folder::free_bytes;
use super::options::CacheLimits;
use crate::base::Timestamp;
use parking_lot::Mutex;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// Of what is free without the cache, it takes one part in so many.
const FREE_DIVISOR: u64 = 4;
/// So much is written before it is looked what other processes have written.
const LOOK_AFTER_BYTES: u64 = 64 << 20;
/// A temporary file of this age belongs to nobody.
const ABANDONED_NANOS: i64 = 3_600 * 1_000_000_000;

/// The room of a part of the cache.
#[derive(Debug)]
pub(super) struct Room {
    limits: CacheLimits,
    used: AtomicU64,
    /// Above this nothing is kept; 0 before the first look.
    cap: AtomicU64,
    written: AtomicU64,
    /// Held by who looks.
    looking: Mutex<()>,
}

struct Kept {
    path: PathBuf,
    bytes: u64,
    used_at: Timestamp,
}

impl Room {
    pub(super) fn new(limits: CacheLimits) -> Self {
        let counter = || AtomicU64::new(0);
        // The first write looks.
        let written = AtomicU64::new(LOOK_AFTER_BYTES);
        Self { limits, used: counter(), cap: counter(), written, looking: Mutex::new(()) }
    }

    /// Whether anything may be kept at all.
    pub(super) fn is_any(&self) -> bool {
        self.limits.soft_bytes > 0
    }

    /// Whether so many bytes more may be kept; makes room for them.
    pub(super) fn admit(
        &self,
        bytes: u64,
        folder: &Path,
        temporary: &Path,
        now: Timestamp,
    ) -> io::Result<bool> {
        let used = self.used.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes);
        let written = self.written.fetch_add(bytes, Ordering::Relaxed);
        if (written >= LOOK_AFTER_BYTES
            || used > self.limits.soft_bytes.min(self.cap.load(Ordering::Relaxed)))
            && let Some(_looking) = self.looking.try_lock()
        {
            self.written.store(0, Ordering::Relaxed);
            remove_abandoned(temporary, now);
            self.sweep(folder, now)?;
        }
        Ok(self.used.load(Ordering::Relaxed) <= self.cap.load(Ordering::Relaxed))
    }

    /// Counts what is there, and removes what was used longest ago until a tenth of the limit is free.
    fn sweep(&self, folder: &Path, now: Timestamp) -> io::Result<()> {
        let mut kept = kept_in(folder)?;
        let mut used: u64 = kept.iter().map(|file| file.bytes).sum();
        let free = nearest_folder(folder).map_or(Ok(0), free_bytes)?;
        let part = free.saturating_add(used) / FREE_DIVISOR;
        let cap = self.limits.hard_bytes.unwrap_or(u64::MAX).min(part);
        let soft = self.limits.soft_bytes.min(cap);
        if used > soft {
            kept.sort_by_key(|file| file.used_at);
            let age_min = i64::try_from(self.limits.sweep_age.as_nanos()).unwrap_or(i64::MAX);
            for file in kept {
                let is_old = now.nanos_since(file.used_at) >= age_min;
                if used <= soft - soft / 10 || !(is_old || used > cap) {
                    break;
                }
                if std::fs::remove_file(&file.path).is_ok() {
                    used -= file.bytes;
                }
            }
        }
        self.used.store(used, Ordering::Relaxed);
        self.cap.store(cap, Ordering::Relaxed);
        Ok(())
    }
}

/// The folder, or the one above it in which it will be made.
fn nearest_folder(folder: &Path) -> Option<&Path> {
    folder.ancestors().find(|folder| folder.is_dir())
}

fn kept_in(folder: &Path) -> io::Result<Vec<Kept>> {
    let mut kept = Vec::new();
    let shards = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(kept),
        shards => shards?,
    };
    for shard in shards {
        let Ok(files) = std::fs::read_dir(shard?.path()) else { continue };
        for file in files.flatten() {
            // One that has just been removed by somebody else takes no room.
            let Some(stat) = file.metadata().ok().filter(std::fs::Metadata::is_file) else { continue };
            let used_at = Timestamp::from_seconds(stat.mtime(), stat.mtime_nsec());
            kept.push(Kept { path: file.path(), bytes: stat.len(), used_at });
        }
    }
    Ok(kept)
}

fn remove_abandoned(temporary: &Path, now: Timestamp) {
    for file in std::fs::read_dir(temporary).into_iter().flatten().flatten() {
        let is_old = file.metadata().is_ok_and(|stat| {
            now.nanos_since(Timestamp::from_seconds(stat.mtime(), stat.mtime_nsec())) > ABANDONED_NANOS
        });
        if is_old {
            std::fs::remove_file(file.path()).ok();
        }
    }
}
