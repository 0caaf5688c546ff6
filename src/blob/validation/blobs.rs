//! Checks of single blobs, one call after the other.

use super::Found;
use super::bench::{Bench, data, ensure, wrong};
use crate::base::MIB;
use crate::blob::{BlobId, ByteRange, Error, Result, StorageExt};

/// Length of the blob of the first checks: of several parts wherever a store cuts.
const LENGTH: usize = 5_000_000;
const SEED: u64 = 1;
/// Room that a pack in the making and an index take.
const FREE_MIN: u64 = 64 * MIB;
const NANOS: i64 = 1_000_000_000;

fn first(bench: &Bench<'_>) -> BlobId {
    bench.id("a1")
}

pub(super) fn capacity(bench: &Bench<'_>) -> Found {
    let Some(capacity) = bench.next().capacity()? else { return Ok("no volume".to_owned()) };
    let (free, total) = (capacity.available_bytes, capacity.total_bytes);
    ensure(free <= total, || format!("{free} bytes are free of {total}"))?;
    ensure(free >= FREE_MIN, || format!("only {free} bytes are free"))?;
    Ok(format!("{free} bytes free of {total}"))
}

pub(super) fn empty_listing(bench: &Bench<'_>) -> Found {
    let found = bench.count("")?;
    ensure(found == 0, || format!("{found} blobs are listed where there is none"))?;
    Ok(String::new())
}

pub(super) fn missing(bench: &Bench<'_>) -> Found {
    is_missing(bench, &first(bench))?;
    bench.next().delete(&first(bench))?;
    Ok(String::new())
}

/// Through each connection.
fn is_missing(bench: &Bench<'_>, id: &BlobId) -> Result<()> {
    let ranges = [None, Some(ByteRange { offset: 0, length: 5 })];
    for store in bench.all() {
        for range in ranges {
            not_found(store.get(id, range), "read")?;
        }
        not_found(store.metadata(id), "asked for its length")?;
    }
    Ok(())
}

fn not_found<T>(answer: Result<T>, what: &str) -> Result<()> {
    match answer {
        Err(error) if error.is_not_found() => Ok(()),
        Err(error) => Err(error),
        Ok(_) => Err(wrong(format!("a blob that is not there could be {what}"))),
    }
}

pub(super) fn write(bench: &Bench<'_>) -> Found {
    bench.put(&first(bench), data(SEED, LENGTH))?;
    Ok(format!("{LENGTH} bytes"))
}

pub(super) fn listing(bench: &Bench<'_>) -> Found {
    for _ in bench.all() {
        for (rest, wanted) in [("", 1), ("a", 1), ("a1", 1), ("a12", 0), ("b", 0)] {
            let found = bench.count(rest)?;
            let prefix = bench.id(rest);
            ensure(found == wanted, || {
                format!("{found} blobs are listed under {prefix}, but {wanted} should be")
            })?;
        }
    }
    let listed = bench.next().list_all(bench.id("a").as_str())?;
    let length = listed.first().map_or(0, |blob| blob.length);
    ensure(length == LENGTH as u64, || format!("{length} bytes are listed of {LENGTH}"))?;
    Ok(String::new())
}

pub(super) fn partial_reads(bench: &Bench<'_>) -> Found {
    let whole = data(SEED, LENGTH);
    for (offset, length) in [(0, 10), (1, 10), (2, 1), (5, 0), (LENGTH - 5, 5), (1_000_000, 3_000_000)] {
        let range = ByteRange { offset: offset as u64, length: length as u64 };
        let got = bench.next().get(&first(bench), Some(range))?;
        ensure(got == whole[offset..offset + length], || format!("other bytes were read at {range}"))?;
    }
    let beyond = ByteRange { offset: LENGTH as u64 - 5, length: 10 };
    match bench.next().get(&first(bench), Some(beyond)) {
        Err(Error::InvalidRange { .. }) => Ok(String::new()),
        Err(error) => Err(error),
        Ok(got) => Err(wrong(format!("{} bytes were read at {beyond}, beyond the end", got.len()))),
    }
}

pub(super) fn full_reads(bench: &Bench<'_>) -> Found {
    let whole = data(SEED, LENGTH);
    for store in bench.all() {
        let got = store.get(&first(bench), None)?;
        ensure(got == whole, || format!("{} other bytes were read than written", got.len()))?;
    }
    Ok(format!("{} connections", bench.all().count()))
}

pub(super) fn metadata(bench: &Bench<'_>) -> Found {
    let length = bench.next().metadata(&first(bench))?.length;
    ensure(length == LENGTH as u64, || format!("{length} bytes instead of {LENGTH}"))?;
    Ok(String::new())
}

/// Which clock is right cannot be told, but which one is ahead.
pub(super) fn clock(bench: &Bench<'_>) -> Found {
    let id = bench.id("k");
    let before = bench.clock.now();
    bench.put(&id, vec![1])?;
    let after = bench.clock.now();
    let stored = bench.next().metadata(&id)?.timestamp;
    // Many stores keep whole seconds.
    let ahead = (stored.nanos_since(after)).max(0);
    let behind = (before.nanos_since(stored) - NANOS).max(0);
    let (direction, nanos) = if ahead > 0 { ("ahead of", ahead) } else { ("behind", behind) };
    let seconds = nanos as f64 / NANOS as f64;
    let said = format!("the storage's clock is {seconds:.1} s {direction} this machine's");
    let most = i64::try_from(bench.options.clock_drift_max.as_nanos()).unwrap_or(i64::MAX);
    ensure(nanos <= most, || format!("{said}; more than {} s endanger running backups", most / NANOS))?;
    Ok(if nanos == 0 { "the clocks agree".to_owned() } else { said })
}

pub(super) fn overwriting(bench: &Bench<'_>) -> Found {
    let id = first(bench);
    for (seed, length) in [(2, 1000), (3, 0), (4, 70_000)] {
        let wanted = data(seed, length);
        bench.put(&id, wanted.clone())?;
        for store in bench.all() {
            ensure(store.get(&id, None)? == wanted, || {
                "an older blob was read than the last put".to_owned()
            })?;
            let told = store.metadata(&id)?.length;
            ensure(told == length as u64, || format!("a length of {told} was told instead of {length}"))?;
            let listed: Vec<_> = store.list_all(id.as_str())?.into_iter().map(|blob| blob.length).collect();
            ensure(listed == [length as u64], || {
                format!("listed with lengths {listed:?} instead of {length}")
            })?;
        }
    }
    Ok(String::new())
}

pub(super) fn deletion(bench: &Bench<'_>) -> Found {
    let id = first(bench);
    bench.next().delete(&id)?;
    is_missing(bench, &id)?;
    for _ in bench.all() {
        ensure(bench.count("a")? == 0, || "a blob is listed that was deleted".to_owned())?;
    }
    bench.next().delete(&id)?;
    Ok(String::new())
}
