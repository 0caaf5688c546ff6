//! Hashing contents one by one and eight at a time.

use crate::{CONTENT_LEN, SMALL_LEN};
use criterion::{Criterion, Throughput};
use packhorse::crypto::{DEFAULT_HASH, HASHES, hasher};
use std::hint::black_box;

/// How many contents are hashed together.
const BATCH: usize = 8;

pub(crate) fn bench(criterion: &mut Criterion) {
    let data = crate::noise(CONTENT_LEN);
    let mut group = criterion.benchmark_group("hashing");
    group.throughput(Throughput::Bytes(CONTENT_LEN as u64));
    for name in HASHES {
        let hasher = hasher(name, &[1; 32]).expect("the name is registered");
        group.bench_function(*name, |bencher| bencher.iter(|| hasher.hash(black_box(&data))));
    }
    group.finish();

    let hasher = hasher(DEFAULT_HASH, &[1; 32]).expect("the name is registered");
    let mut group = criterion.benchmark_group("hash_many");
    for len in [CONTENT_LEN, 64 << 10, SMALL_LEN] {
        let inputs = [&data[..len]; BATCH];
        let mut out = Vec::with_capacity(BATCH);
        group.throughput(Throughput::Bytes((BATCH * len) as u64));
        group.bench_function(format!("{DEFAULT_HASH}/{len}"), |bencher| {
            bencher.iter(|| {
                out.clear();
                hasher.hash_many(black_box(&inputs), &mut out);
            });
        });
    }
    group.finish();
}
