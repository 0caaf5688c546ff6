//! Sealing and opening contents in place; deriving the key of the repository.

use crate::{CONTENT_LEN, SMALL_LEN};
use criterion::{BatchSize, Criterion, Throughput};
use packhorse::crypto::{
    AES256_GCM, ENCRYPTIONS, Encryptor, KEY_DERIVATIONS, derive_key_from_password, encryptor,
    encryptor_portable, seal_to_vec,
};
use std::hint::black_box;

const IV: [u8; 16] = [1; 16];
const NONCE: [u8; 12] = [2; 12];

pub(crate) fn bench(criterion: &mut Criterion) {
    for name in ENCRYPTIONS {
        let encryptor = encryptor(name, &[1; 32]).expect("the name is registered");
        bench_cipher(criterion, name, &*encryptor);
    }
    let portable = encryptor_portable(AES256_GCM, &[1; 32]).expect("there is a portable AES");
    bench_cipher(criterion, "portable-AES256-GCM", &*portable);

    let mut group = criterion.benchmark_group("key-derivation");
    group.sample_size(10);
    for name in KEY_DERIVATIONS {
        group.bench_function(*name, |bencher| {
            bencher.iter(|| derive_key_from_password(name, black_box(b"password"), &[1; 32]));
        });
    }
    group.finish();
}

fn bench_cipher(criterion: &mut Criterion, name: &str, encryptor: &dyn Encryptor) {
    let mut group = criterion.benchmark_group("encryption");
    for len in [CONTENT_LEN, SMALL_LEN] {
        let mut data = crate::noise(len);
        group.throughput(Throughput::Bytes(len as u64));
        group.bench_function(format!("{name}/seal/{len}"), |bencher| {
            bencher.iter(|| encryptor.seal(black_box(&IV), &NONCE, &mut data));
        });
        let stored = seal_to_vec(encryptor, &IV, &NONCE, &data).expect("short enough to seal");
        group.bench_function(format!("{name}/open/{len}"), |bencher| {
            let open = |mut item: Vec<u8>| {
                encryptor.open(&IV, &mut item).expect("sealed just now");
                item
            };
            bencher.iter_batched(|| stored.clone(), open, BatchSize::LargeInput);
        });
    }
    group.finish();
}
