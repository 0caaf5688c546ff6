//! The cache on disk: it saves requests, and whatever happens to it, results are as without it.

use crate::cli::Home;
use crate::support::world::{PASSWORD, World, noise, small_format, snapshot};
use packhorse::base::{Counters, MemoryBudget};
use packhorse::blob::{Call, Fault, Faulty, Operation, Recording, Storage};
use packhorse::cache::{CacheLimits, CacheOptions, SUBFOLDER};
use packhorse::repo::Repository;
use packhorse::restore::{RestoreOptions, restore};
use packhorse::snapshot::{self, DirEntry, VerifyOptions};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// What a file of the tree says in plain text.
const MARK: &str = "the quick brown fox jumps over the lazy cache";

type Files = BTreeMap<PathBuf, Vec<u8>>;

struct Scene {
    world: World,
    dir: tempfile::TempDir,
    warnings: Arc<Mutex<Vec<String>>>,
}

fn limits(soft_bytes: u64) -> CacheLimits {
    CacheLimits { soft_bytes, hard_bytes: None, sweep_age: Duration::ZERO }
}

impl Scene {
    /// A repository with a snapshot of a tree.
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        for folder in 0..12_u64 {
            let path = dir.path().join(format!("data/folder-{folder}"));
            fs::create_dir_all(&path).unwrap();
            for file in 0..9_u64 {
                write(&path.join(format!("file-{file}")), &noise(folder * 100 + file, 2000));
            }
        }
        write(&dir.path().join("data/text"), MARK.repeat(20).as_bytes());
        let world = World::new(small_format());
        snapshot(&world.open(), &dir.path().join("data"));
        Self { world, dir, warnings: Arc::default() }
    }

    fn cache(&self) -> PathBuf {
        self.dir.path().join("cache")
    }

    fn options(&self) -> CacheOptions {
        CacheOptions { folder: self.cache(), metadata: limits(1 << 30), contents: limits(1 << 30) }
    }

    fn open_on(&self, storage: Arc<dyn Storage>, options: CacheOptions) -> Repository {
        let warnings = Arc::clone(&self.warnings);
        let warn = Arc::new(move |text: &str| warnings.lock().push(text.to_owned()));
        self.world.open_cached(storage, options, warn)
    }

    fn open(&self) -> Repository {
        self.open_on(self.world.storage.clone(), self.options())
    }

    /// Saves, verifies and restores; all of it through the cache.
    fn results(&self, repository: &Repository) -> (String, Files) {
        let root = snapshot(repository, &self.dir.path().join("data")).uploaded.root_entry;
        let roots = [("root".to_owned(), root.clone())];
        let options = VerifyOptions { read_percent: 100.0, max_errors: 0, memory: MemoryBudget::UNLIMITED };
        let report = snapshot::verify(repository, &roots, &options, &Counters::default()).unwrap();
        assert!(report.errors.is_empty(), "{:?}", report.errors);
        (root.obj.to_string(), self.restored(repository, &root))
    }

    fn restored(&self, repository: &Repository, root: &DirEntry) -> Files {
        let target = tempfile::tempdir_in(self.dir.path()).unwrap();
        let to = target.path().join("restored");
        restore(repository, root, &to, &RestoreOptions::default(), &Counters::default()).unwrap();
        files(&to)
    }

    /// Damages the warm cache, and compares what comes out then with what comes out without a cache.
    fn compare(&self, damage: impl FnOnce(&Path)) {
        let wanted = self.results(&self.world.open());
        assert_eq!(self.results(&self.open()), wanted, "cold");
        assert_eq!(self.results(&self.open()), wanted, "warm");
        damage(&self.cache());
        assert_eq!(self.results(&self.open()), wanted, "damaged");
        assert_eq!(self.results(&self.open()), wanted, "healed");
    }
}

#[expect(clippy::disallowed_methods, reason = "files of a live tree and of a foreign hand")]
fn try_write(path: &Path, data: &[u8]) -> std::io::Result<()> {
    fs::write(path, data)
}

fn write(path: &Path, data: &[u8]) {
    try_write(path, data).unwrap();
}

fn files(root: &Path) -> Files {
    let found = walkdir::WalkDir::new(root).into_iter().map(Result::unwrap);
    let files = found.filter(|entry| entry.file_type().is_file());
    files
        .map(|entry| (entry.path().strip_prefix(root).unwrap().to_owned(), fs::read(entry.path()).unwrap()))
        .collect()
}

/// The files with blobs in them.
fn kept(cache: &Path) -> Vec<PathBuf> {
    let mut kept: Vec<_> =
        files(&cache.join(SUBFOLDER)).into_keys().map(|path| cache.join(SUBFOLDER).join(path)).collect();
    kept.retain(|path| path.file_name().unwrap() != "CACHEDIR.TAG");
    assert!(!kept.is_empty());
    kept
}

fn reads(recording: &Recording) -> Vec<String> {
    let calls = recording.calls().into_iter();
    let reads = calls.filter(|call| matches!(call.operation, Operation::Get | Operation::Metadata));
    reads.map(|call| call.id_or_prefix).filter(|id| !id.starts_with("kopia.")).collect()
}

#[test]
fn an_unchanged_run_reads_nothing_but_the_format() {
    let scene = Scene::new();
    let data = scene.dir.path().join("data");
    snapshot(&scene.open(), &data);
    let mut entries: Vec<_> =
        fs::read_dir(scene.cache()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    entries.sort();
    assert_eq!(entries, ["CACHEDIR.TAG", SUBFOLDER], "Kopia's folders are left alone");
    for _ in 0..3 {
        let recording = Arc::new(Recording::new(scene.world.storage.clone()));
        snapshot(&scene.open_on(recording.clone(), scene.options()), &data);
        assert_eq!(reads(&recording), [""; 0]);
        assert_eq!(recording.calls().iter().filter(|call| call.operation != Operation::Barrier).count(), 9);
    }
    assert!(scene.warnings.lock().is_empty(), "{:?}", scene.warnings.lock());
}

#[test]
fn nothing_in_plain_text_reaches_the_disk() {
    let scene = Scene::new();
    scene.results(&scene.open());
    scene.results(&scene.open());
    for path in kept(&scene.cache()) {
        let bytes = fs::read(&path).unwrap();
        for secret in [MARK, PASSWORD, "folder-1", "hostname", "laptop"] {
            assert!(!bytes.windows(secret.len()).any(|part| part == secret.as_bytes()), "{path:?}");
        }
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
    let own = scene.cache().join(SUBFOLDER);
    assert_eq!(fs::metadata(own).unwrap().permissions().mode() & 0o777, 0o700);
}

#[test]
fn poisoned_files_are_misses_and_go() {
    let scene = Scene::new();
    scene.compare(|cache| {
        for path in kept(cache) {
            let mut bytes = fs::read(&path).unwrap();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            write(&path, &bytes);
        }
    });
    assert!(scene.warnings.lock().len() <= 1, "one for each run: {:?}", scene.warnings.lock());
}

#[test]
fn truncated_emptied_and_swapped_files_are_misses() {
    Scene::new().compare(|cache| {
        let kept = kept(cache);
        for (number, path) in kept.iter().enumerate() {
            let bytes = fs::read(path).unwrap();
            match number % 4 {
                0 => write(path, &bytes[..bytes.len() / 2]),
                1 => write(path, b""),
                2 => write(path, &fs::read(&kept[0]).unwrap()),
                _ => {
                    fs::remove_file(path).unwrap();
                    fs::create_dir(path).unwrap();
                }
            }
        }
    });
    let scene = Scene::new();
    scene.compare(|cache| {
        let kept = kept(cache);
        let all: Vec<_> = kept.iter().map(|path| fs::read(path).unwrap()).collect();
        for (path, bytes) in kept.iter().zip(all.iter().cycle().skip(1)) {
            write(path, bytes);
        }
    });
}

#[test]
fn a_folder_that_is_gone_or_none_costs_time_only() {
    Scene::new().compare(|cache| fs::remove_dir_all(cache).unwrap());
    let scene = Scene::new();
    let wanted = scene.results(&scene.world.open());
    write(&scene.cache(), b"a file");
    assert_eq!(scene.results(&scene.open()), wanted);
    assert_eq!(scene.warnings.lock().len(), 1, "{:?}", scene.warnings.lock());
    assert_eq!(fs::read(scene.cache()).unwrap(), b"a file");
}

#[test]
fn a_read_only_cache_is_read_and_costs_one_warning() {
    if rustix::process::geteuid().is_root() {
        return eprintln!("skipped: root writes everywhere");
    }
    let scene = Scene::new();
    scene.compare(|cache| {
        for entry in walkdir::WalkDir::new(cache).contents_first(true) {
            let path = entry.unwrap().into_path();
            let mode = if path.is_dir() { 0o500 } else { 0o400 };
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        }
    });
    assert_eq!(scene.warnings.lock().len(), 2, "{:?}", scene.warnings.lock());
}

#[test]
fn a_cache_that_vanishes_during_a_run_is_missed_by_nobody() {
    let scene = Scene::new();
    let wanted = scene.results(&scene.world.open());
    for at in [4, 11] {
        scene.results(&scene.open());
        let (cache, calls) = (scene.cache(), AtomicUsize::new(0));
        let plan = move |_: &Call| {
            if calls.fetch_add(1, Ordering::Relaxed) == at {
                fs::remove_dir_all(&cache).ok();
            }
            Fault::None
        };
        let store = Arc::new(Faulty::new(scene.world.storage.clone(), plan));
        assert_eq!(scene.results(&scene.open_on(store, scene.options())), wanted);
    }
}

#[test]
fn a_full_disk_is_no_failure() {
    let scene = Scene::new();
    let wanted = scene.results(&scene.world.open());
    fs::create_dir(scene.cache()).unwrap();
    let mount = |args: &[&str]| {
        let program = if args[0] == "-t" { "mount" } else { "umount" };
        std::process::Command::new(program)
            .args(args)
            .arg(scene.cache())
            .output()
            .is_ok_and(|run| run.status.success())
    };
    if !mount(&["-t", "tmpfs", "-o", "size=24k", "tmpfs"]) {
        return eprintln!("skipped: a small volume cannot be mounted here");
    }
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let small = scene.results(&scene.open());
        // Filled by others to the last byte.
        try_write(&scene.cache().join("filler"), &vec![0; 64 << 10]).unwrap_err();
        [small, scene.results(&scene.open())]
    }));
    assert!(mount(&["-l"]));
    assert_eq!(outcome.unwrap(), [wanted.clone(), wanted]);
    assert!(scene.warnings.lock().len() <= 2, "{:?}", scene.warnings.lock());
}

#[test]
fn the_limit_is_kept_and_what_was_used_last_stays() {
    let scene = Scene::new();
    let options = CacheOptions { metadata: limits(100_000), contents: limits(1), ..scene.options() };
    let used = || -> u64 { kept(&scene.cache()).iter().map(|path| fs::metadata(path).unwrap().len()).sum() };
    for round in 0..12_u64 {
        write(&scene.dir.path().join("data/new"), &noise(1000 + round, 100));
        let repository = scene.open_on(scene.world.storage.clone(), options.clone());
        snapshot(&repository, &scene.dir.path().join("data"));
        assert!(used() < 140_000, "{}", used());
    }
    let none = CacheOptions { metadata: limits(0), folder: scene.dir.path().join("other"), ..options };
    scene.results(&scene.open_on(scene.world.storage.clone(), none.clone()));
    assert!(!none.folder.join(SUBFOLDER).join("metadata").exists());
}

#[test]
fn two_at_once_share_a_folder() {
    let scene = Scene::new();
    let wanted = scene.results(&scene.world.open());
    std::thread::scope(|scope| {
        let runs: Vec<_> = (0..4).map(|_| scope.spawn(|| scene.results(&scene.open()))).collect();
        for run in runs {
            assert_eq!(run.join().unwrap(), wanted);
        }
    });
    assert!(scene.warnings.lock().is_empty(), "{:?}", scene.warnings.lock());
}

#[test]
fn what_is_deleted_in_the_store_is_dropped() {
    let scene = Scene::new();
    scene.results(&scene.open());
    let repository = scene.open();
    let before = kept(&scene.cache()).len();
    let ids: Vec<_> = {
        use packhorse::blob::StorageExt;
        repository.storage().list_all("q").unwrap().into_iter().map(|blob| blob.id).collect()
    };
    repository.storage().delete(&ids[0]).unwrap();
    repository.storage().delete_many(&ids[1..]).unwrap();
    assert!(kept(&scene.cache()).len() <= before - ids.len());
}

const ALWAYS: [(&str, Option<&str>); 1] = [("PACKHORSE_CACHE", Some("always"))];

fn cached_home() -> (Home, String) {
    let home = Home::connected();
    fs::create_dir(home.path("data")).unwrap();
    for number in 0..20 {
        write(&home.path(&format!("data/{number}")), &noise(number, 3000));
    }
    let data = home.path("data").to_str().unwrap().to_owned();
    home.run_with(&["snapshot", "create", &data], &ALWAYS).expect(0);
    (home, data)
}

/// The line of `cache info` for a part.
fn line(home: &Home, part: &str) -> Option<String> {
    let stdout = home.run(&["cache", "info"]).expect(0).stdout;
    stdout.lines().find(|line| line.contains(&format!("/{part}: "))).map(str::to_owned)
}

#[test]
fn a_folder_nearby_has_no_cache_unless_asked_for() {
    let home = Home::connected();
    home.run(&["snapshot", "create", home.path("repo").to_str().unwrap()]).expect(0);
    assert!(!home.path("cache").exists());
    assert!(home.run(&["cache", "sync"]).expect(0).stderr.contains("without a cache"));
    let (home, data) = cached_home();
    assert!(home.path("cache/packhorse/metadata").exists());
    home.run_with(&["cache", "set", "--content-cache-size-mb=0"], &ALWAYS).expect(0);
    let config: serde_json::Value = serde_json::from_slice(&fs::read(home.config()).unwrap()).unwrap();
    assert_eq!(config["caching"], serde_json::json!({}));
    home.run(&["cache", "info"]).expect(1);
    fs::remove_dir_all(home.path("cache")).unwrap();
    home.run_with(&["snapshot", "create", &data], &ALWAYS).expect(0);
    assert!(!home.path("cache").exists(), "cacheless");
}

#[test]
fn the_cache_is_described_changed_cleared_and_filled() {
    let (home, _) = cached_home();
    let cache = home.path("cache");
    assert_eq!(home.run(&["cache", "info", "--path"]).expect(0).stdout, format!("{}\n", cache.display()));
    let full = line(&home, "metadata").unwrap();
    assert!(full.contains("(soft limit: 5.2 GB, hard limit: none, min sweep age: 24h0m0s)"), "{full}");

    home.run(&["cache", "set"]).expect(1);
    let set = [
        "cache",
        "set",
        "--metadata-cache-size-mb=44",
        "--metadata-cache-size-limit-mb=441",
        "--metadata-min-sweep-age=2h",
        "--max-list-cache-duration=55s",
    ];
    home.run(&set).expect(0);
    let changed = line(&home, "metadata").unwrap();
    assert!(changed.contains("(soft limit: 44 MB, hard limit: 441 MB, min sweep age: 2h0m0s)"), "{changed}");

    // What is not known to be cache stays, and so does what others have made.
    fs::remove_file(cache.join("CACHEDIR.TAG")).unwrap();
    write(&cache.join("mine"), b"precious");
    fs::create_dir(cache.join("contents")).unwrap();
    write(&cache.join("contents/mine"), b"precious");
    home.run(&["cache", "clear", "--partial=contents"]).expect(0);
    assert_eq!(line(&home, "metadata").unwrap(), changed);
    home.run(&["cache", "clear"]).expect(0);
    assert_eq!(line(&home, "metadata"), None);
    assert!(cache.join("mine").exists() && cache.join("contents/mine").exists());
    write(&cache.join("CACHEDIR.TAG"), b"Signature: 8a477f597d28d172789f06886806bc55\n");
    home.run(&["cache", "clear"]).expect(0);
    assert!(cache.join("mine").exists() && !cache.join("contents").exists());

    home.run_with(&["cache", "sync"], &ALWAYS).expect(0);
    let filled = line(&home, "metadata").unwrap();
    home.run_with(&["cache", "sync"], &ALWAYS).expect(0);
    assert_eq!(line(&home, "metadata").unwrap(), filled);
    let listed = home.run(&["snapshot", "list", "--json"]).expect(0).json();
    let root = listed[0]["rootEntry"]["obj"].as_str().unwrap().to_owned();
    let said = home.run_with(&["cache", "prefetch", &format!("{root}/7"), &root], &ALWAYS).expect(0);
    assert!(said.stderr.contains("prefetched 2 contents"), "{said:?}");
    assert!(line(&home, "contents").unwrap().contains(": 1 files"), "the pack of that file");
    home.run(&["repository", "disconnect"]).expect(0);
    assert!(!cache.join(SUBFOLDER).exists() && cache.join("mine").exists());
}
