//! Snapshots to files: nothing is lost, nothing outside the target is touched, and what is there is treated by the rules.

#![expect(clippy::unwrap_used, reason = "a helper of a test may fail it as the test itself may")]

mod archives;
mod damage;
mod delta;
mod forge;
mod hostile;
mod hostile_trees;
mod links;
mod round_trip;
mod rules;
mod shallow;

use packhorse::base::{Clock, Counters, Entropy, FixedClock, MemoryBudget, Monitor, Secret, SeededEntropy};
use packhorse::blob::{Memory, Storage};
use packhorse::content::{ClientIdentity, Scratch};
use packhorse::format::{IdPrefix, NewFormat};
use packhorse::object::{ObjectId, ObjectOptions};
use packhorse::policy::PolicyTree;
use packhorse::repo::{self, CreateOptions, Environment, Repository, WriteOptions};
use packhorse::restore::{Error, RestoreOptions, RestoreStats, restore};
use packhorse::snapshot::{DirEntry, DirectoryManifest, EntryForm, EntryType, Mode, UploadOptions, upload};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::sync::{Arc, Mutex};

/// 2024-05-01T10:00:00.123456789Z
const TIME: i64 = 1_714_557_600_123_456_789;

/// A repository in memory with contents of at most 128 KiB, so that small files have several.
struct Fixture {
    storage: Arc<dyn Storage>,
    repository: Repository,
}

impl Fixture {
    fn new() -> Self {
        let at = "2026-01-01T00:00:00Z".parse().unwrap();
        let clock: Arc<dyn Clock> = Arc::new(FixedClock::new(at));
        let entropy: Arc<dyn Entropy> = Arc::new(SeededEntropy::new(1));
        let storage: Arc<dyn Storage> = Arc::new(Memory::new(Arc::clone(&clock)));
        let format = NewFormat { splitter: "FIXED-128K".to_owned(), ..NewFormat::default() };
        let options = CreateOptions { format, ..CreateOptions::default() };
        let password = Secret::from("secret");
        repo::create(storage.as_ref(), &password, &options, entropy.as_ref()).unwrap();
        let identity = ClientIdentity { username: "user".to_owned(), hostname: "host".to_owned() };
        let environment = Environment { clock, entropy, warn: Arc::new(|_| ()) };
        let repository = Repository::open(Arc::clone(&storage), &password, identity, environment).unwrap();
        Self { storage, repository }
    }

    /// Uploads a tree and returns its root.
    fn snapshot(&self, path: &Path) -> DirEntry {
        let mut writer = self.repository.begin(&write_options()).unwrap();
        let policies = PolicyTree::built_in();
        let options = UploadOptions::default();
        let uploaded = upload(&mut writer, path, &policies, &[], &Counters::default(), &options).unwrap();
        writer.flush().unwrap();
        assert_eq!(uploaded.root_entry.summ.as_ref().map_or(0, |summary| summary.num_failed), 0);
        uploaded.root_entry
    }

    /// Stores bytes as an object.
    fn store(&self, data: &[u8], prefix: IdPrefix) -> ObjectId {
        let mut writer = self.repository.begin(&write_options()).unwrap();
        let options = ObjectOptions { prefix, compressor: None, metadata_compressor: None };
        let id = writer.objects().write(&mut data.to_vec(), &options, &mut Scratch::default()).unwrap();
        writer.flush().unwrap();
        id
    }

    fn file(&self, name: &str, data: &[u8]) -> DirEntry {
        let obj = self.store(data, IdPrefix::NONE);
        entry(name, EntryType::File, data.len() as u64, 0o644, obj)
    }

    fn link(&self, name: &str, target: &str) -> DirEntry {
        let obj = self.store(target.as_bytes(), IdPrefix::NONE);
        entry(name, EntryType::Symlink, target.len() as u64, 0o777, obj)
    }

    fn directory(&self, name: &str, members: Vec<DirEntry>) -> DirEntry {
        let manifest = DirectoryManifest::build(members, Vec::new(), TIME_STAMP, "");
        self.raw_directory(name, &manifest.to_bytes())
    }

    fn raw_directory(&self, name: &str, json: &[u8]) -> DirEntry {
        let obj = self.store(json, IdPrefix::DIRECTORY);
        entry(name, EntryType::Directory, 0, 0o755, obj)
    }

    fn restore(
        &self,
        entry: &DirEntry,
        target: &Path,
        options: &RestoreOptions,
    ) -> Result<RestoreStats, Error> {
        restore(&self.repository, entry, target, options, &Counters::default())
    }
}

const TIME_STAMP: packhorse::base::Timestamp = packhorse::base::Timestamp::from_nanos(TIME);

fn write_options() -> WriteOptions {
    WriteOptions::new(2, MemoryBudget::MINIMUM)
}

fn entry(name: &str, kind: EntryType, size: u64, mode: u32, obj: ObjectId) -> DirEntry {
    let (uid, gid) = (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw());
    let (mode, mtime) = (Mode::from_posix(mode), TIME_STAMP);
    DirEntry { name: name.to_owned(), kind, mode, size, mtime, uid, gid, obj, ..DirEntry::default() }
}

/// Uploads a tree, failures and all, with entries of a form.
fn save(fixture: &Fixture, path: &Path, entries: EntryForm) -> DirEntry {
    let mut writer = fixture.repository.begin(&write_options()).unwrap();
    let (policies, options) = (PolicyTree::built_in(), UploadOptions { entries, ..UploadOptions::default() });
    let uploaded = upload(&mut writer, path, &policies, &[], &Counters::default(), &options).unwrap();
    writer.flush().unwrap();
    uploaded.root_entry
}

/// Listens to warnings.
#[derive(Default)]
struct Listener(Mutex<Vec<String>>);

impl Monitor for Listener {
    fn add(&self, _counter: packhorse::base::Counter, _n: u64) {}

    fn warn(&self, message: &str) {
        self.0.lock().unwrap().push(message.to_owned());
    }
}

/// Everything that can be seen of one member of a tree.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    path: String,
    mode: u32,
    owner: (u32, u32),
    mtime: (i64, i64),
    data: Vec<u8>,
}

/// Everything in a tree, the root first.
fn look(root: &Path) -> Vec<Seen> {
    let walk = walkdir::WalkDir::new(root).sort_by_file_name();
    walk.into_iter()
        .map(|found| {
            let found = found.unwrap();
            let meta = std::fs::symlink_metadata(found.path()).unwrap();
            let data = if meta.is_file() {
                std::fs::read(found.path()).unwrap()
            } else if meta.is_symlink() {
                std::fs::read_link(found.path()).unwrap().to_string_lossy().into_owned().into_bytes()
            } else {
                Vec::new()
            };
            let path = found.path().strip_prefix(root).unwrap();
            let path = packhorse::base::gojson::lossy(path.as_os_str().as_encoded_bytes()).into_owned();
            let (mode, owner) = (meta.mode(), (meta.uid(), meta.gid()));
            Seen { path, mode, owner, mtime: (meta.mtime(), meta.mtime_nsec()), data }
        })
        .collect()
}

fn names(root: &Path) -> Vec<String> {
    look(root).into_iter().skip(1).map(|seen| seen.path).collect()
}

fn put(path: &Path, data: &[u8]) {
    packhorse::base::file::replace(path, data, 0o644).unwrap();
}

fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

fn set_time(path: &Path, nanos: i64) {
    let time = packhorse::base::Timestamp::from_nanos(nanos);
    let time = rustix::fs::Timespec { tv_sec: time.as_seconds(), tv_nsec: i64::from(time.subsecond_nanos()) };
    let times = rustix::fs::Timestamps { last_access: time, last_modification: time };
    rustix::fs::utimensat(rustix::fs::CWD, path, &times, rustix::fs::AtFlags::SYMLINK_NOFOLLOW).unwrap();
}

/// Bytes that do not repeat.
fn noise(length: usize) -> Vec<u8> {
    let mut data = vec![0; length];
    SeededEntropy::new(length as u64).fill(&mut data);
    data
}
