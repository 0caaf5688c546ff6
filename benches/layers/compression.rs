//! Compressing contents of two kinds, and getting them back.

use crate::CONTENT_LEN;
use criterion::{Criterion, Throughput};
use packhorse::compression::{by_name, compress_framed, decompress_framed};
use std::hint::black_box;

const NAMES: &[&str] = &[
    "zstd-fastest",
    "zstd",
    "zstd-better-compression",
    "s2-default",
    "s2-better",
    "gzip",
    "deflate-best-speed",
];

pub(crate) fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("compression");
    group.throughput(Throughput::Bytes(CONTENT_LEN as u64));
    for (kind, data) in [("text", crate::text(CONTENT_LEN)), ("noise", crate::noise(CONTENT_LEN))] {
        for name in NAMES {
            let compressor = by_name(name).expect("the name is registered");
            let mut out = Vec::new();
            group.bench_function(format!("{name}/{kind}"), |bencher| {
                bencher.iter(|| compress_framed(compressor, black_box(&data), &mut out));
            });
            if kind == "text" {
                compress_framed(compressor, &data, &mut out).expect("there is memory enough");
                group.bench_function(format!("{name}/decompress"), |bencher| {
                    bencher.iter(|| decompress_framed(compressor.id(), black_box(&out), data.len()));
                });
            }
        }
    }
    group.finish();
}
