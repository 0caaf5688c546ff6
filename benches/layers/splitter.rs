//! Splitting a long stream that arrives in pieces.

use criterion::{Criterion, Throughput};
use packhorse::splitter::{Splitter, by_name};

const STREAM_LEN: usize = 64 << 20;
/// How much the caller reads at a time, in bytes.
const PIECE_LEN: usize = 1 << 20;

pub(crate) fn bench(criterion: &mut Criterion) {
    let data = crate::noise(STREAM_LEN);
    let mut group = criterion.benchmark_group("splitter");
    group.throughput(Throughput::Bytes(STREAM_LEN as u64));
    for name in
        ["DYNAMIC-4M-BUZHASH", "DYNAMIC-128K-BUZHASH", "DYNAMIC-4M-RABINKARP", "FASTCDC-4M", "FIXED-4M"]
    {
        let splitter = by_name(name).expect("the name is registered");
        group.bench_function(name, |bencher| bencher.iter(|| split(&*splitter, &data)));
    }
    group.finish();
}

/// The number of boundaries.
fn split(splitter: &dyn Splitter, data: &[u8]) -> usize {
    let (mut start, mut known, mut count) = (0, 0, 0);
    while known < data.len() {
        let mut scanned = known - start;
        known = data.len().min(known + PIECE_LEN);
        while let Some(len) = splitter.boundary(&data[start..known], scanned) {
            start += len;
            scanned = 0;
            count += 1;
        }
    }
    count
}
