//! The world around a repository: a clock that stands still, repeatable randomness, silence; and runs in it.

use packhorse::base::{Clock, Counters, FixedClock, MIB, MemoryBudget, SeededEntropy, Timestamp};
use packhorse::blob::{Memory, Storage, StorageExt};
use packhorse::cache::CacheOptions;
use packhorse::crypto::PBKDF2_SHA256_600000;
use packhorse::format::NewFormat;
use packhorse::policy::{PolicyTree, SourceInfo};
use packhorse::repo::{
    self, ClientIdentity, CreateOptions, Environment, OpenOptions, Repository, RepositoryWriter, WriteOptions,
};
use packhorse::snapshot::{Catalog, SnapshotManifest, UploadOptions, Uploaded, upload};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Later than everything in the fixtures, which are from November 2026.
const NOW: &str = "2026-11-24T00:00:00Z";

/// The smallest packs there are, so that little data fills several.
pub(crate) const PACK_BYTES: u64 = 10 * MIB;

/// Password of every repository made here.
pub(crate) const PASSWORD: &str = "correct horse";

/// A clock standing at a fixed moment after the making of all fixtures.
pub(crate) fn clock() -> Arc<FixedClock> {
    Arc::new(FixedClock::new(NOW.parse().unwrap()))
}

/// An environment around `clock` whose random bytes follow from `seed`; warnings go nowhere.
pub(crate) fn environment(clock: Arc<dyn Clock>, seed: u64) -> Environment {
    Environment { clock, entropy: Arc::new(SeededEntropy::new(seed)), warn: Arc::new(|_| {}) }
}

/// The client that most fixtures were written by.
pub(crate) fn alice() -> ClientIdentity {
    ClientIdentity { username: "alice".to_owned(), hostname: "laptop".to_owned() }
}

/// Bytes that follow from a seed and do not shrink.
pub(crate) fn noise(seed: u64, len: usize) -> Vec<u8> {
    use packhorse::base::Entropy;
    let mut bytes = vec![0; len];
    SeededEntropy::new(seed).fill(&mut bytes);
    bytes
}

/// What new repositories of tests are made of: cheap to cut, quick to fill packs.
pub(crate) fn small_format() -> NewFormat {
    NewFormat { splitter: "FIXED-128K".to_owned(), max_pack_size: PACK_BYTES, ..NewFormat::default() }
}

/// A store with a repository in it, and a clock.
pub(crate) struct World {
    pub(crate) clock: Arc<FixedClock>,
    pub(crate) storage: Arc<dyn Storage>,
    runs: AtomicU64,
}

impl World {
    /// A new repository in memory.
    pub(crate) fn new(format: NewFormat) -> Self {
        let clock = clock();
        Self::on(Arc::new(Memory::new(clock.clone())), clock, format)
    }

    /// A new repository in `storage`.
    pub(crate) fn on(storage: Arc<dyn Storage>, clock: Arc<FixedClock>, format: NewFormat) -> Self {
        let key_derivation = PBKDF2_SHA256_600000.to_owned();
        let options = CreateOptions { format, key_derivation, ..CreateOptions::default() };
        let entropy = SeededEntropy::new(1);
        repo::create(storage.as_ref(), &PASSWORD.into(), &options, &entropy).unwrap();
        Self { clock, storage, runs: AtomicU64::new(2) }
    }

    /// The same moment with a copy of all blobs, as after a crash of everything else.
    pub(crate) fn copy(&self) -> Self {
        let storage = Memory::new(self.clock.clone());
        for blob in self.storage.list_all("").unwrap() {
            storage.put_now(&blob.id, &self.storage.get(&blob.id, None).unwrap()).unwrap();
        }
        let runs = AtomicU64::new(self.runs.load(Ordering::Relaxed) + 1000);
        Self { clock: self.clock.clone(), storage: Arc::new(storage), runs }
    }

    /// Opens the repository; no two openings draw the same random bytes.
    pub(crate) fn open(&self) -> Repository {
        self.open_through(self.storage.clone())
    }

    /// Opens the repository through a wrapper of its store, with a cache; warnings go to `warn`.
    pub(crate) fn open_cached(
        &self,
        storage: Arc<dyn Storage>,
        cache: CacheOptions,
        warn: packhorse::content::Warn,
    ) -> Repository {
        let seed = self.runs.fetch_add(1, Ordering::Relaxed);
        let environment = Environment { warn, ..environment(self.clock.clone(), seed) };
        let options = OpenOptions { cache: Some(cache), ..OpenOptions::default() };
        Repository::open_with(storage, &PASSWORD.into(), alice(), environment, &options).unwrap()
    }

    /// Opens the repository through a wrapper of its store.
    pub(crate) fn open_through(&self, storage: Arc<dyn Storage>) -> Repository {
        let seed = self.runs.fetch_add(1, Ordering::Relaxed);
        let environment = environment(self.clock.clone(), seed);
        Repository::open(storage, &PASSWORD.into(), alice(), environment).unwrap()
    }

    /// Bytes of all packs whose names begin with `prefix`.
    pub(crate) fn stored_bytes(&self, prefix: &str) -> u64 {
        self.storage.list_all(prefix).unwrap().iter().map(|blob| blob.length).sum()
    }
}

/// The password of those repositories.
pub(crate) fn password() -> packhorse::base::Secret {
    PASSWORD.into()
}

/// Begins to write with two threads.
pub(crate) fn begin(repository: &Repository) -> RepositoryWriter<'_> {
    begin_or(repository).unwrap()
}

/// The same where it may fail.
pub(crate) fn begin_or(repository: &Repository) -> repo::Result<RepositoryWriter<'_>> {
    repository.begin(&WriteOptions::new(2, MemoryBudget::UNLIMITED))
}

/// A source of that client.
pub(crate) fn source() -> SourceInfo {
    SourceInfo::new("alice", "laptop", "/home/alice/data")
}

/// What a run did.
pub(crate) struct Run {
    pub(crate) uploaded: Uploaded,
    pub(crate) counters: Counters,
    pub(crate) adopted: u64,
    pub(crate) new_bytes: u64,
}

/// Uploads `path`, comparing with earlier snapshots, without saving anything.
pub(crate) fn upload_only(writer: &mut RepositoryWriter<'_>, path: &Path) -> Run {
    let adopted = writer.objects().contents().adopt_abandoned_packs().unwrap();
    let previous = Catalog::new(writer.manifests()).previous(&source(), None).unwrap();
    let (policies, counters) = (PolicyTree::built_in(), Counters::default());
    let options = UploadOptions::default();
    let uploaded = upload(writer, path, &policies, &previous, &counters, &options).unwrap();
    Run { uploaded, counters, adopted, new_bytes: writer.stats().new_bytes }
}

/// The manifest of what was uploaded.
pub(crate) fn manifest(
    source: SourceInfo,
    uploaded: &Uploaded,
    start_time: Timestamp,
    end_time: Timestamp,
) -> SnapshotManifest {
    SnapshotManifest {
        id: packhorse::manifest::ManifestId::default(),
        source,
        description: String::new(),
        start_time,
        end_time,
        stats: uploaded.stats,
        incomplete_reason: uploaded.incomplete_reason.clone(),
        root_entry: Some(uploaded.root_entry.clone()),
        tags: std::collections::BTreeMap::new(),
        storage_stats: None,
        pins: Vec::new(),
        extra: packhorse::base::ExtraFields::default(),
    }
}

/// A whole backup: upload, manifest, flush.
pub(crate) fn snapshot(repository: &Repository, path: &Path) -> Run {
    let mut writer = begin(repository);
    let mut run = upload_only(&mut writer, path);
    let now: Timestamp = repository.environment().clock.now();
    let mut manifest = manifest(source(), &run.uploaded, now, now);
    manifest.save(&mut writer).unwrap();
    writer.flush().unwrap();
    run.new_bytes = writer.stats().new_bytes;
    run
}
