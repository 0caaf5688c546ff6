//! Random trees that mean harm, restored beside what must not change.
//!
//! Run in a process of their own, whose memory is measured. `PACKHORSE_TEST_HOSTILE` says how many.

use super::forge::{Forge, LEFTOVER};
use super::*;
use crate::support::programs::named;
use crate::support::trees::Dice;
use packhorse::base::Stopwatch;
use packhorse::snapshot::{VerifyOptions, verify};
use std::collections::BTreeMap;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

/// Without a wish, so many trees.
const TREES: u64 = 60;
/// Trees that share a repository.
const TREES_PER_REPOSITORY: u64 = 20;
/// The longest that a tree may take.
const TREE_MAX: Duration = Duration::from_mins(2);
/// The most that the process may ever have in memory, in KiB.
const MEMORY_KIB_MAX: u64 = 700 << 10;
/// Set in the process that does the work.
const INSIDE: &str = "PACKHORSE_TEST_HOSTILE_INSIDE";

/// What must stay as it is of one member.
#[derive(Debug, PartialEq, Eq)]
struct Canary {
    inode: u64,
    mode: u32,
    owner: (u32, u32),
    mtime: (i64, i64),
    /// The time of the last change of anything, and the number of names; both of nothing that is linked into the target.
    change: Option<(i64, i64, u64)>,
    device: u64,
    xattrs: Vec<u8>,
    data: Vec<u8>,
}

/// A target among siblings, with traps in it.
struct Cage {
    temp: tempfile::TempDir,
    before: BTreeMap<PathBuf, Canary>,
}

impl Cage {
    fn new(dice: &mut Dice) -> Self {
        let temp = tempfile::tempdir().unwrap();
        let (outside, target) = (temp.path().join("outside"), temp.path().join("target"));
        std::fs::create_dir_all(outside.join("sub/deep")).unwrap();
        for name in ["canary", "linked", "empty", "sub/canary", "sub/deep/a0"] {
            let data = if name == "empty" { Vec::new() } else { name.as_bytes().to_vec() };
            put(&outside.join(name), &data);
            set_time(&outside.join(name), TIME + 77);
        }
        put(&temp.path().join("sibling"), b"alive");
        for name in ["fifo", "fifo linked"] {
            let mode = rustix::fs::Mode::from_raw_mode(0o640);
            rustix::fs::mknodat(rustix::fs::CWD, outside.join(name), rustix::fs::FileType::Fifo, mode, 0)
                .unwrap();
        }
        symlink("sub", outside.join("link")).unwrap();
        if dice.percent(60) {
            std::fs::create_dir(&target).unwrap();
            plant(&target, &outside, dice);
        }
        let mut cage = Self { temp, before: BTreeMap::new() };
        cage.before = cage.look();
        cage
    }

    fn target(&self) -> PathBuf {
        self.temp.path().join("target")
    }

    fn outside(&self) -> PathBuf {
        self.temp.path().join("outside")
    }

    fn look(&self) -> BTreeMap<PathBuf, Canary> {
        let (root, target) = (self.temp.path(), self.target());
        let walk = walkdir::WalkDir::new(root).into_iter().filter_entry(|found| found.path() != target);
        walk.map(|found| {
            let path = found.unwrap().into_path();
            let meta = std::fs::symlink_metadata(&path).unwrap();
            let data = if meta.is_file() {
                std::fs::read(&path).unwrap()
            } else if meta.is_symlink() {
                std::fs::read_link(&path).unwrap().into_os_string().into_encoded_bytes()
            } else {
                Vec::new()
            };
            let mut xattrs = vec![0; 4096];
            let length = rustix::fs::llistxattr(&path, &mut xattrs[..]).unwrap_or(0);
            xattrs.truncate(length);
            let is_linked = path.to_string_lossy().contains("linked");
            // The target comes and goes in it.
            let is_root = path == root;
            let mtime = if is_root { (0, 0) } else { (meta.mtime(), meta.mtime_nsec()) };
            let change = (!is_linked && !is_root).then(|| (meta.ctime(), meta.ctime_nsec(), meta.nlink()));
            let owner = (meta.uid(), meta.gid());
            let (inode, mode, device) = (meta.ino(), meta.mode(), meta.rdev());
            (path, Canary { inode, mode, owner, mtime, change, device, xattrs, data })
        })
        .collect()
    }

    fn check(&self, what: &str) {
        let now = self.look();
        for (path, before) in &self.before {
            assert_eq!(now.get(path), Some(before), "{what}: {}", path.display());
        }
        assert_eq!(now.len(), self.before.len(), "{what}: {:?}", now.keys());
    }
}

/// Puts into a target what may lead out of it.
fn plant(target: &Path, outside: &Path, dice: &mut Dice) {
    let names = ["a", "a0", "a1", "b0", "canary0", "canary", "sub", "sub0", "link", "way", "pipe", LEFTOVER];
    for name in names {
        let path = target.join(name);
        match dice.below(10) {
            0 => symlink(outside, &path).unwrap(),
            1 => symlink("../outside/sub", &path).unwrap(),
            2 => symlink(outside.join("new"), &path).unwrap(),
            3 => std::fs::hard_link(outside.join("linked"), &path).unwrap(),
            4 => std::fs::hard_link(outside.join("fifo linked"), &path).unwrap(),
            5 => {
                std::fs::create_dir(&path).unwrap();
                symlink(outside, path.join("a0")).unwrap();
                std::fs::hard_link(outside.join("linked"), path.join("b1")).unwrap();
            }
            6 => put(&path, b"part"),
            _ => {}
        }
    }
}

fn draw_options(dice: &mut Dice) -> RestoreOptions {
    RestoreOptions {
        parallel: dice.between(1, 3) as usize,
        overwrite_directories: dice.percent(90),
        overwrite_files: dice.percent(85),
        overwrite_symlinks: dice.percent(85),
        skip_owners: dice.percent(20),
        skip_permissions: dice.percent(10),
        skip_times: dice.percent(10),
        skip_xattrs: dice.percent(10),
        skip_special_files: dice.percent(10),
        skip_hard_links: dice.percent(20),
        drop_set_id: dice.percent(20),
        ignore_permission_errors: dice.percent(80),
        write_sparse_files: dice.percent(20),
        skip_existing: dice.percent(20),
        delete_extra: dice.percent(30),
        ignore_errors: dice.percent(75),
        shallow_at_depth: dice.percent(15).then(|| dice.below(3) as usize),
        memory: MemoryBudget::MINIMUM,
        ..RestoreOptions::default()
    }
}

/// Temporary names that nobody has asked for.
fn check_leftovers(target: &Path, asked_for: &[String], what: &str) {
    for found in walkdir::WalkDir::new(target).into_iter().filter_map(Result::ok) {
        let name = found.file_name().to_string_lossy();
        // A placeholder of a stored name, too.
        let name = name.trim_end_matches(".kopia-entry").to_owned();
        let is_stored = name == LEFTOVER || asked_for.contains(&name);
        assert!(!name.starts_with(".packhorse-restore-") || is_stored, "{what}: {name} was left");
    }
}

#[derive(Debug, Default)]
struct Tally {
    restored: u64,
    refused: u64,
    files: u64,
    errors: u64,
    slowest: Duration,
}

fn play(fixture: &Fixture, seed: u64, tally: &mut Tally) {
    let watch = Stopwatch::start();
    let mut dice = Dice::new(seed);
    let cage = Cage::new(&mut dice);
    let mut forge = Forge::new(&fixture.repository, dice.seed(), &cage.outside());
    let root = forge.root();
    let names = forge.flush();
    for round in 0..dice.between(1, 3) {
        let options = draw_options(&mut dice);
        let what = format!("seed {seed}, restore {round}, {options:?}");
        let result = fixture.restore(&root, &cage.target(), &options);
        cage.check(&what);
        check_leftovers(&cage.target(), &names, &what);
        match result {
            Ok(stats) => {
                tally.restored += 1;
                tally.files += stats.files;
                tally.errors += stats.ignored_errors;
            }
            Err(_) => tally.refused += 1,
        }
    }
    let roots = [("root".to_owned(), root)];
    verify(&fixture.repository, &roots, &VerifyOptions::EVERYTHING, &Counters::default()).unwrap();
    assert!(watch.elapsed() < TREE_MAX, "seed {seed} took {:?}", watch.elapsed());
    tally.slowest = tally.slowest.max(watch.elapsed());
}

fn number(variable: &str) -> Option<u64> {
    Some(named(variable)?.to_str().unwrap().parse().unwrap())
}

/// The most memory that this process ever had, in KiB.
fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Runs a test of this file in a process of its own.
fn in_own_process(test: &str) -> bool {
    if named(INSIDE).is_some() {
        return true;
    }
    let name = format!("restore::hostile_trees::{test}");
    let mut command = Command::new("/proc/self/exe");
    command.args([&name, "--exact", "--nocapture", "--test-threads=1"]).env(INSIDE, "yes");
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stdout));
    assert!(String::from_utf8_lossy(&output.stdout).contains("1 passed"));
    eprintln!("{said}");
    false
}

#[test]
fn hostile_trees_stay_inside() {
    if !in_own_process("hostile_trees_stay_inside") {
        return;
    }
    let first = number("PACKHORSE_TEST_HOSTILE_SEED").unwrap_or(1);
    let trees = number("PACKHORSE_TEST_HOSTILE").unwrap_or(TREES);
    let (watch, mut tally) = (Stopwatch::start(), Tally::default());
    let mut fixture = Fixture::new();
    for seed in first..first + trees {
        if (seed - first).is_multiple_of(TREES_PER_REPOSITORY) {
            fixture = Fixture::new();
        }
        play(&fixture, seed, &mut tally);
    }
    eprintln!("{trees} trees in {:?}, {tally:?}, {} MiB at most", watch.elapsed(), peak_kib() >> 10);
    assert!(tally.restored > trees / 4 && tally.files > trees, "{tally:?}");
    assert!(peak_kib() < MEMORY_KIB_MAX, "{} KiB", peak_kib());
}

/// Asks to stop after so many directories.
struct StopAfter(std::sync::atomic::AtomicU64, Arc<std::sync::atomic::AtomicBool>);

impl Monitor for StopAfter {
    fn add(&self, counter: packhorse::base::Counter, n: u64) {
        use std::sync::atomic::Ordering;
        if counter == packhorse::base::Counter::RestoredFiles && self.0.fetch_add(n, Ordering::SeqCst) > 5000
        {
            self.1.store(true, Ordering::SeqCst);
        }
    }
}

#[test]
fn a_tree_of_a_billion_names_costs_no_memory() {
    if !in_own_process("a_tree_of_a_billion_names_costs_no_memory") {
        return;
    }
    let fixture = Fixture::new();
    let mut below = fixture.directory("d", (0..10).map(|n| fixture.file(&format!("f{n}"), b"x")).collect());
    for _ in 0..3 {
        let members = (0..1000).map(|n| DirEntry { name: format!("d{n}"), ..below.clone() }).collect();
        below = fixture.directory("d", members);
    }
    let temp = tempfile::tempdir().unwrap();
    let before = peak_kib();
    let options = RestoreOptions { parallel: 2, ..RestoreOptions::default() };
    let monitor = StopAfter(0.into(), Arc::clone(&options.cancel));
    let error = restore(&fixture.repository, &below, &temp.path().join("t"), &options, &monitor).unwrap_err();
    assert!(matches!(error, Error::Canceled), "{error}");
    let grown = peak_kib() - before;
    assert!(grown < 64 << 10, "{grown} KiB more than before");
    let roots = [("root".to_owned(), below)];
    let report =
        verify(&fixture.repository, &roots, &VerifyOptions::EVERYTHING, &Counters::default()).unwrap();
    assert_eq!((report.errors.len(), report.stats.processed_object_count), (0, 5));
}

#[test]
fn lists_of_lists_cost_no_memory() {
    if !in_own_process("lists_of_lists_cost_no_memory") {
        return;
    }
    let (fixture, temp) = (Fixture::new(), tempfile::tempdir().unwrap());
    for length in [0_u64, 1] {
        let (mut object, mut size) = (fixture.store(&b"x"[..length as usize], IdPrefix::NONE), length);
        for _ in 0..6 {
            let part = |number| serde_json::json!({"s": number * size, "l": size, "o": object.to_string()});
            let parts: Vec<_> = (0..1000).map(part).collect();
            let list = serde_json::json!({"stream": "kopia:indirect", "entries": parts}).to_string();
            object = ObjectId::indirect(fixture.store(list.as_bytes(), IdPrefix::NONE)).unwrap();
            size *= 1000;
        }
        let bomb = entry("bomb", EntryType::File, size, 0o644, object);
        let root = fixture.directory("", vec![bomb, fixture.file("good", b"good")]);
        let before = peak_kib();
        let options = RestoreOptions { ignore_errors: true, ..RestoreOptions::default() };
        let target = temp.path().join(length.to_string());
        let stats = fixture.restore(&root, &target, &options).unwrap();
        assert_eq!((stats.files, stats.ignored_errors), (1, 1));
        assert!(peak_kib() - before < 256 << 10, "{} KiB more than before", peak_kib() - before);
        let roots = [("root".to_owned(), root)];
        let report =
            verify(&fixture.repository, &roots, &VerifyOptions::EVERYTHING, &Counters::default()).unwrap();
        assert_eq!(report.errors.len(), 1);
    }
}
