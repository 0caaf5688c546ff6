//! Contents into packs: everything between a plaintext and a finished pack, without a disk.

use crate::{CONTENT_LEN, SMALL_LEN, noise};
use bytes::Bytes;
use criterion::{BatchSize, Criterion, Throughput};
use packhorse::base::{MemoryBudget, OsEntropy, Secret, SystemClock};
use packhorse::blob::{self, BlobId, BlobMetadata, ByteRange, Memory, PutOptions, Storage};
use packhorse::compression;
use packhorse::content::{NewContent, Scratch};
use packhorse::format::IdPrefix;
use packhorse::repo::{ClientIdentity, CreateOptions, Environment, Repository, WriteOptions, create};
use std::sync::Arc;

/// Keeps everything but packs, which would fill the memory.
#[derive(Debug)]
struct WithoutPacks(Memory);

impl Storage for WithoutPacks {
    fn get(&self, id: &BlobId, range: Option<ByteRange>) -> blob::Result<Vec<u8>> {
        self.0.get(id, range)
    }

    fn metadata(&self, id: &BlobId) -> blob::Result<BlobMetadata> {
        self.0.metadata(id)
    }

    fn put(&self, id: &BlobId, data: Bytes, options: PutOptions) -> blob::Result<()> {
        if id.as_str().starts_with(['p', 'q']) { Ok(()) } else { self.0.put(id, data, options) }
    }

    fn delete(&self, id: &BlobId) -> blob::Result<()> {
        self.0.delete(id)
    }

    fn list(
        &self,
        prefix: &str,
        visit: &mut dyn FnMut(BlobMetadata) -> blob::Result<()>,
    ) -> blob::Result<()> {
        self.0.list(prefix, visit)
    }

    fn display_name(&self) -> String {
        self.0.display_name()
    }
}

fn repository() -> Repository {
    let clock = Arc::new(SystemClock);
    let storage = Arc::new(WithoutPacks(Memory::new(clock.clone())));
    let password = Secret::from("bench");
    create(storage.as_ref(), &password, &CreateOptions::default(), &OsEntropy).expect("memory takes it");
    let identity = ClientIdentity { username: "groom".into(), hostname: "stable".into() };
    let environment = Environment { clock, entropy: Arc::new(OsEntropy), warn: Arc::new(|_| ()) };
    Repository::open(storage, &password, identity, environment).expect("it was just made")
}

/// `count` contents of `len` bytes that were never seen before.
fn fresh(count: usize, len: usize, next: &mut u64) -> Vec<Vec<u8>> {
    let body = noise(len);
    let content = |_| {
        *next += 1;
        let mut data = body.clone();
        data[..8].copy_from_slice(&next.to_le_bytes());
        data
    };
    (0..count).map(content).collect()
}

pub(crate) fn bench(criterion: &mut Criterion) {
    let repository = repository();
    let options = WriteOptions::new(1, MemoryBudget::UNLIMITED);
    let writer = repository.begin(&options).expect("the repository is not read-only");
    let contents = writer.objects().contents();
    let mut scratch = Scratch::default();
    let mut next = 0;
    let mut group = criterion.benchmark_group("pack");
    for (name, count, len, compressor) in [
        ("large", 4, CONTENT_LEN, None),
        ("small", 64, SMALL_LEN, None),
        ("small/zstd-fastest", 64, SMALL_LEN, compression::by_name("zstd-fastest")),
    ] {
        group.throughput(Throughput::Bytes((count * len) as u64));
        group.bench_function(name, |bencher| {
            bencher.iter_batched_ref(
                || fresh(count, len, &mut next),
                |data| {
                    let prefix = IdPrefix::NONE;
                    let mut batch: Vec<_> =
                        data.iter_mut().map(|data| NewContent { data, prefix, compressor }).collect();
                    contents.write_batch(&mut batch, &mut scratch, |_, _| ()).expect("memory takes it");
                },
                BatchSize::LargeInput,
            );
        });
    }
    group.finish();
}
