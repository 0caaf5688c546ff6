//! What is between the commands and the store of a connection: counts and limits.

use super::context::Context;
use super::{Result, requests};
use packhorse::blob::{Counted, Limits, REMOTE_PARALLELISM, RequestCounters, Storage, Throttle, Throttled};
use packhorse::repo::ConnectionFile;
use parking_lot::Mutex;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// What this process asks of stores.
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    counters: Arc<RequestCounters>,
    is_remote: AtomicBool,
}

impl Traffic {
    /// Counts, and keeps the limits of the connection or of the command line. A change of the connection file counts for
    /// those who are at work, too.
    pub(super) fn through(
        &self,
        ctx: &Context,
        storage: Arc<dyn Storage>,
        connection: &ConnectionFile,
        path: &Path,
    ) -> Result<Arc<dyn Storage>> {
        let given = Given { upload: ctx.globals().limit_upload, download: ctx.globals().limit_download };
        let limits = given.over(connection.limits()?);
        let watched = Watched { path: path.to_owned(), seen: Mutex::new(stamp(path)) };
        let watch = move || Some(given.over(watched.changed()?.limits().ok()?));
        let throttle = Throttle::new(limits, Arc::clone(ctx.clock())).watching(Box::new(watch));
        Ok(Arc::new(Throttled::new(self.counted(storage), Arc::new(throttle))))
    }

    /// Counts what is asked of a store, of a folder and of a remote one.
    fn counted(&self, storage: Arc<dyn Storage>) -> Arc<dyn Storage> {
        if storage.parallelism() >= REMOTE_PARALLELISM {
            self.is_remote.store(true, Ordering::Relaxed);
        }
        Arc::new(Counted::new(storage, Arc::clone(&self.counters)))
    }

    /// Says at the end what was asked for.
    pub(super) fn report(&self, ctx: &Context) {
        requests::report(ctx, self.counters.counts(), self.is_remote.load(Ordering::Relaxed));
    }
}

/// The limits on the command line, in bytes per second.
#[derive(Clone, Copy)]
struct Given {
    upload: Option<u64>,
    download: Option<u64>,
}

impl Given {
    fn over(self, limits: Limits) -> Limits {
        let or = |given: Option<u64>, stored: f64| given.map_or(stored, |bytes| bytes as f64);
        Limits {
            upload_bytes_per_second: or(self.upload, limits.upload_bytes_per_second),
            download_bytes_per_second: or(self.download, limits.download_bytes_per_second),
            ..limits
        }
    }
}

/// A connection file that others may change.
struct Watched {
    path: PathBuf,
    seen: Mutex<Option<Stamp>>,
}

/// What is different about a file that was replaced or rewritten.
type Stamp = (u64, i64, i64, u64);

impl Watched {
    /// The file, if it is another one than before. One that cannot be read counts as unchanged.
    fn changed(&self) -> Option<ConnectionFile> {
        let now = stamp(&self.path)?;
        let mut seen = self.seen.lock();
        if *seen == Some(now) {
            return None;
        }
        let file = ConnectionFile::load(&self.path).ok()?;
        *seen = Some(now);
        Some(file)
    }
}

fn stamp(path: &Path) -> Option<Stamp> {
    use std::os::unix::fs::MetadataExt;
    let stat = std::fs::metadata(path).ok()?;
    Some((stat.ino(), stat.mtime(), stat.mtime_nsec(), stat.size()))
}
