//! Index: merging many files, finding contents, encoding.

use criterion::{BatchSize, Criterion, Throughput};
use packhorse::base::{Entropy, SeededEntropy};
use packhorse::compression::HeaderId;
use packhorse::crypto::Hash;
use packhorse::format::{ContentId, IdPrefix};
use packhorse::index::{IndexEntry, MergedIndex, PackIndex, build};
use std::hint::black_box;

const ENTRIES: usize = 1_000_000;
const FILES: usize = 500;

fn id(entropy: &SeededEntropy, n: usize) -> ContentId {
    let mut bytes = [0; 16];
    entropy.fill(&mut bytes);
    let prefix = if n.is_multiple_of(10) { IdPrefix::DIRECTORY } else { IdPrefix::NONE };
    ContentId::new(prefix, Hash::from_slice(&bytes).expect("16 bytes are a hash"))
}

fn entries(entropy: &SeededEntropy, first: usize, count: usize) -> Vec<IndexEntry> {
    let entry = |n: usize| IndexEntry {
        id: id(entropy, n),
        pack: format!("p{:032x}-s0102030405060708144", n / 20).into(),
        pack_offset: (n % 20 * 1_000_000) as u32,
        packed_length: 1_000_000,
        original_length: 1_000_100,
        timestamp_seconds: 1_714_557_600,
        deleted: n.is_multiple_of(100),
        format_version: 3,
        compression: HeaderId(0x1100),
        encryption_key_id: 0,
    };
    (first..first + count).map(entry).collect()
}

fn files(count: usize) -> Vec<PackIndex> {
    let entropy = SeededEntropy::new(1);
    let per_file = ENTRIES / count;
    let file = |n| build(2, entries(&entropy, n * per_file, per_file)).expect("entries fit").remove(0);
    (0..count).map(|n| PackIndex::open(file(n)).expect("what was built opens")).collect()
}

pub(crate) fn bench(criterion: &mut Criterion) {
    merge(criterion);
    find(criterion);
    codec(criterion);
}

/// One million entries in 1 and in 500 files.
fn merge(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("index/merge");
    group.throughput(Throughput::Elements(ENTRIES as u64)).sample_size(10);
    for count in [1, FILES] {
        let files = files(count);
        group.bench_function(format!("{count} files"), |bencher| {
            bencher.iter(|| MergedIndex::new(&files, i64::MIN).expect("fits"));
        });
    }
    let all = files(FILES);
    let base = MergedIndex::new(&all, i64::MIN).expect("fits");
    let new = build(2, entries(&SeededEntropy::new(2), 0, 1000)).expect("entries fit").remove(0);
    let new = [PackIndex::open(new).expect("what was built opens")];
    group.throughput(Throughput::Elements(1000)).bench_function("add 1000 entries", |bencher| {
        let add = |mut index: MergedIndex| index.merge_with(&new).map(|()| index);
        bencher.iter_batched(|| base.clone(), add, BatchSize::LargeInput);
    });
    group.finish();
}

/// Finding contents among one million.
fn find(criterion: &mut Criterion) {
    let merged = MergedIndex::new(&files(1), i64::MIN).expect("fits");
    let known = entries(&SeededEntropy::new(1), 0, ENTRIES);
    let entropy = SeededEntropy::new(3);
    let unknown: Vec<_> = (0..ENTRIES).map(|n| id(&entropy, n)).collect();
    let mut group = criterion.benchmark_group("index/find");
    group.throughput(Throughput::Elements(1));
    // In the order they were made, which is a random order in the table, so that reading the ids themselves costs little.
    let mut next = (0..ENTRIES).cycle();
    group.bench_function("hit", |bencher| {
        bencher.iter(|| black_box(merged.find(&known[next.next().expect("endless")].id)).is_some());
    });
    group.bench_function("miss", |bencher| {
        bencher.iter(|| black_box(merged.find(&unknown[next.next().expect("endless")])).is_some());
    });
    group.finish();
}

/// Encoding and checking a file of 50,000 entries.
fn codec(criterion: &mut Criterion) {
    let entries = entries(&SeededEntropy::new(4), 0, 50_000);
    let file = build(2, entries.clone()).expect("entries fit").remove(0);
    let mut group = criterion.benchmark_group("index/codec");
    group.throughput(Throughput::Elements(50_000));
    group.bench_function("build", |bencher| {
        bencher.iter_batched(|| entries.clone(), |entries| build(2, entries), BatchSize::LargeInput);
    });
    group.bench_function("open", |bencher| {
        bencher.iter_batched(|| file.clone(), PackIndex::open, BatchSize::LargeInput);
    });
    group.finish();
}
