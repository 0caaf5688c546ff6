//! Checks of several blobs.

use super::Found;
use super::bench::{Bench, data, ensure};
use crate::blob::{BlobId, Result, StorageExt};
use std::sync::atomic::{AtomicUsize, Ordering};

const SMALL_BLOBS: usize = 100;
const PUT_THREADS: usize = 10;
const BATCH: usize = 20;

/// What names are made of: those of packs, indexes, logs, locks and settings, and a long one.
const NAMES: &[&str] = &[
    "0123456789abcdef0123456789abcdef-s0123456789abcdef146",
    "n0_0123456789abcdef0123456789abcdef-s0123456789abcdef146-c1",
    "_log_20260101000000_abcd_1700000000_1700000001_1_0123456789abcdef0123456789abcdef",
    ".repository.backup.user@host.example.org",
    "kopia.maintenance",
    ".",
    "-",
    "_",
    "long-0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
];

pub(super) fn names(bench: &Bench<'_>) -> Found {
    for (seed, name) in NAMES.iter().enumerate() {
        let id = bench.id(&format!("n{name}"));
        let wanted = data(seed as u64, 10 + seed);
        bench.put(&id, wanted.clone())?;
        ensure(bench.next().get(&id, None)? == wanted, || format!("other bytes were read from {id}"))?;
        let listed = bench.next().list_all(id.as_str())?;
        let is_there = listed.iter().any(|blob| blob.id == id && blob.length == wanted.len() as u64);
        ensure(is_there, || format!("{id} is not listed"))?;
    }
    let found = bench.count("n")?;
    ensure(found == NAMES.len(), || format!("{found} blobs are listed of {}", NAMES.len()))?;
    Ok(format!("{} names", NAMES.len()))
}

fn small(bench: &Bench<'_>, number: usize) -> BlobId {
    bench.id(&format!("s{number:03}"))
}

pub(super) fn parallel_puts(bench: &Bench<'_>) -> Found {
    let next = AtomicUsize::new(0);
    let put = || -> Result<()> {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= SMALL_BLOBS {
                return Ok(());
            }
            bench.check_cancel()?;
            bench.put(&small(bench, number), data(number as u64, 100 + number))?;
        }
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..PUT_THREADS).map(|_| scope.spawn(put)).collect();
        threads.into_iter().try_for_each(|thread| thread.join().expect("a put does not panic"))
    })?;
    let found = bench.count("s")?;
    ensure(found == SMALL_BLOBS, || format!("{found} blobs are listed of {SMALL_BLOBS}"))?;
    for number in 0..SMALL_BLOBS {
        let (id, wanted) = (small(bench, number), data(number as u64, 100 + number));
        ensure(bench.next().get(&id, None)? == wanted, || format!("other bytes were read from {id}"))?;
    }
    Ok(format!("{SMALL_BLOBS} blobs by {PUT_THREADS} threads"))
}

/// Of the blobs that the check before has left, and of some that are not there.
pub(super) fn batch_deletion(bench: &Bench<'_>) -> Found {
    let mut batch: Vec<_> = (0..BATCH).map(|number| small(bench, number)).collect();
    batch.push(bench.id("missing"));
    bench.next().delete_many(&batch)?;
    let found = bench.count("s")?;
    ensure(found == SMALL_BLOBS - BATCH, || {
        format!("{found} blobs are listed instead of {}", SMALL_BLOBS - BATCH)
    })?;
    bench.next().delete_many(&batch)?;
    bench.next().delete_many(&[])?;
    Ok(format!("{BATCH} blobs"))
}
