//! Checks of many threads that put and read the same blobs.

use super::Found;
use super::bench::{Bench, data, ensure, wrong};
use crate::base::Stopwatch;
use crate::blob::{BlobId, Result};
use parking_lot::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::ScopedJoinHandle;
use std::time::Duration;

/// The blob that is replaced again and again is as long as this, and a little longer each time.
const REPLACED_LENGTH: usize = 5_000_000;
const REPLACEMENTS_MAX: u64 = 40;
const REPLACEMENT_DURATION_MAX: Duration = Duration::from_secs(10);
const READERS: usize = 2;
/// Longest blob of the others.
const LENGTH_MAX: u64 = 2_000_000;
const PAUSE_MILLIS_MAX: u64 = 500;

/// One byte again and again, so that a mixture shows; its length tells the byte.
fn generation(number: u64) -> Vec<u8> {
    vec![number as u8; REPLACED_LENGTH + number as usize]
}

fn check_generation(data: &[u8], oldest: u64) -> Result<()> {
    let number = data.len().checked_sub(REPLACED_LENGTH).map(|number| number as u64);
    let number = number.filter(|number| *number <= REPLACEMENTS_MAX);
    let number = number.ok_or_else(|| wrong(format!("a part of {} bytes was read", data.len())))?;
    ensure(data.iter().all(|byte| *byte == number as u8), || "two versions were read as one".to_owned())?;
    ensure(number >= oldest, || "an older version was read than one that was put before".to_owned())
}

/// No reader ever sees a part of a blob, nor an older one than the last whose put had returned.
pub(super) fn replacement(bench: &Bench<'_>) -> Found {
    let id = bench.id("r");
    bench.put(&id, generation(0))?;
    let (confirmed, is_over) = (AtomicU64::new(0), AtomicBool::new(false));
    let reads = AtomicU64::new(0);
    let read = || -> Result<()> {
        while !is_over.load(Ordering::Relaxed) {
            let oldest = confirmed.load(Ordering::SeqCst);
            let store = bench.next();
            check_generation(&store.get(&id, None)?, oldest)?;
            let length = store.metadata(&id)?.length;
            ensure(length >= REPLACED_LENGTH as u64, || format!("a length of {length} bytes was told"))?;
            reads.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    };
    let replaced = std::thread::scope(|scope| {
        let readers: Vec<_> = (0..READERS).map(|_| scope.spawn(read)).collect();
        let replaced = replace(bench, &id, &confirmed, || readers.iter().any(ScopedJoinHandle::is_finished));
        is_over.store(true, Ordering::Relaxed);
        let read = readers.into_iter().try_for_each(|reader| reader.join().expect("a get does not panic"));
        read.and(replaced)
    })?;
    Ok(format!("{replaced} replacements, {} reads", reads.into_inner()))
}

fn replace(
    bench: &Bench<'_>,
    id: &BlobId,
    confirmed: &AtomicU64,
    has_failed: impl Fn() -> bool,
) -> Result<u64> {
    let (watch, most) =
        (Stopwatch::start(), bench.options.concurrency_duration.min(REPLACEMENT_DURATION_MAX));
    for number in 1..=REPLACEMENTS_MAX {
        bench.check_cancel()?;
        bench.put(id, generation(number))?;
        confirmed.store(number, Ordering::SeqCst);
        if watch.elapsed() > most || has_failed() {
            return Ok(number);
        }
    }
    Ok(REPLACEMENTS_MAX)
}

/// A blob that somebody puts.
#[derive(Clone)]
struct Entry {
    id: BlobId,
    seed: u64,
    is_written: bool,
}

impl Entry {
    fn length(&self) -> u64 {
        self.seed % LENGTH_MAX
    }
}

struct Rivals<'a> {
    bench: &'a Bench<'a>,
    watch: Stopwatch,
    entries: Mutex<Vec<Entry>>,
    has_failed: AtomicBool,
    reads: AtomicU64,
}

type Work<'a> = fn(&Rivals<'a>) -> Result<()>;

/// Whoever reads finds nothing or the whole blob, and the whole blob once its put has returned.
pub(super) fn concurrency(bench: &Bench<'_>) -> Found {
    let rivals = Rivals {
        bench,
        watch: Stopwatch::start(),
        entries: Mutex::default(),
        has_failed: AtomicBool::new(false),
        reads: AtomicU64::new(0),
    };
    let options = bench.options;
    let workers: [(usize, Work<'_>); 3] = [
        (options.put_workers, Rivals::put),
        (options.get_workers, Rivals::get),
        (options.metadata_workers, Rivals::ask),
    ];
    std::thread::scope(|scope| {
        let works = workers.iter().flat_map(|(count, work)| std::iter::repeat_n(*work, *count));
        let rivals = &rivals;
        let threads: Vec<_> = works.map(|work| scope.spawn(move || rivals.again_and_again(work))).collect();
        threads.into_iter().try_for_each(|thread| thread.join().expect("a call does not panic"))
    })?;
    let written = rivals.entries.lock().len();
    let listed = bench.count("c")?;
    ensure(listed == written, || format!("{listed} blobs are listed of {written}"))?;
    Ok(format!("{written} blobs, {} reads", rivals.reads.into_inner()))
}

impl<'a> Rivals<'a> {
    fn again_and_again(&self, work: Work<'a>) -> Result<()> {
        while self.watch.elapsed() < self.bench.options.concurrency_duration
            && !self.has_failed.load(Ordering::Relaxed)
        {
            let done = self.bench.check_cancel().and_then(|()| work(self));
            if done.is_err() {
                self.has_failed.store(true, Ordering::Relaxed);
                return done;
            }
        }
        Ok(())
    }

    fn random(&self) -> u64 {
        u64::from_le_bytes(self.bench.entropy.bytes())
    }

    fn pause(&self) {
        self.bench.clock.sleep(Duration::from_millis(self.random() % PAUSE_MILLIS_MAX));
    }

    /// Readers ask for it before it is there, too.
    fn put(&self) -> Result<()> {
        let seed = self.random();
        let entry = Entry { id: self.bench.id(&format!("c{seed:016x}")), seed, is_written: false };
        self.entries.lock().push(entry.clone());
        self.pause();
        self.bench.put(&entry.id, data(seed, entry.length() as usize))?;
        let mut entries = self.entries.lock();
        if let Some(entry) = entries.iter_mut().find(|other| other.seed == seed) {
            entry.is_written = true;
        }
        Ok(())
    }

    fn pick(&self) -> Option<Entry> {
        self.pause();
        let entries = self.entries.lock();
        let count = entries.len() as u64;
        self.random().checked_rem(count).and_then(|at| entries.get(at as usize)).cloned()
    }

    fn get(&self) -> Result<()> {
        let Some(entry) = self.pick() else { return Ok(()) };
        let Some(got) = found(&entry, self.bench.next().get(&entry.id, None))? else { return Ok(()) };
        self.reads.fetch_add(1, Ordering::Relaxed);
        let wanted = data(entry.seed, entry.length() as usize);
        ensure(got == wanted, || format!("{} other bytes were read from {}", got.len(), entry.id))
    }

    fn ask(&self) -> Result<()> {
        let Some(entry) = self.pick() else { return Ok(()) };
        let Some(got) = found(&entry, self.bench.next().metadata(&entry.id))? else { return Ok(()) };
        ensure(got.length == entry.length(), || {
            format!("{} has {} bytes instead of {}", entry.id, got.length, entry.length())
        })
    }
}

/// An answer, or none where the blob may still be missing.
fn found<T>(entry: &Entry, answer: Result<T>) -> Result<Option<T>> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(error) if error.is_not_found() && !entry.is_written => Ok(None),
        Err(error) => Err(error),
    }
}
