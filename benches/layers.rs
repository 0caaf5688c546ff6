//! What one layer costs on its own: bytes per second of splitting, hashing, encrypting, compressing, packing, indexing.
//!
//! Groups are called as in Kopia's `benchmark` commands. `cargo bench --bench layers -- hashing` runs one of them.

#[path = "layers/compression.rs"]
mod compression;
#[path = "layers/encryption.rs"]
mod encryption;
#[path = "layers/hashing.rs"]
mod hashing;
#[path = "layers/index.rs"]
mod index;
#[path = "layers/pack.rs"]
mod pack;
#[path = "layers/splitter.rs"]
mod splitter;

use criterion::Criterion;
use packhorse::base::{Entropy, SeededEntropy};
use std::time::Duration;

/// Length of a typical content, in bytes.
const CONTENT_LEN: usize = 4 << 20;
/// Length of a small content, where the cost per item shows, in bytes.
const SMALL_LEN: usize = 100;

/// Bytes without any pattern.
fn noise(len: usize) -> Vec<u8> {
    let mut data = vec![0; len];
    SeededEntropy::new(1).fill(&mut data);
    data
}

/// Bytes that compress about as well as program text.
fn text(len: usize) -> Vec<u8> {
    let word = |pair: &[u8]| format!("{:x} ", u32::from(pair[0]) * u32::from(pair[1] % 23)).into_bytes();
    noise(len).chunks(2).flat_map(word).take(len).collect()
}

fn main() {
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(2))
        .sample_size(20)
        .configure_from_args();
    splitter::bench(&mut criterion);
    hashing::bench(&mut criterion);
    encryption::bench(&mut criterion);
    compression::bench(&mut criterion);
    pack::bench(&mut criterion);
    index::bench(&mut criterion);
    criterion.final_summary();
}
