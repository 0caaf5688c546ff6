//! Sources that change while they are saved: what is in the snapshot is as long as it says and was there, and what is
//! not in it was reported.

use crate::support::compare;
use crate::support::live_tree::write;
use crate::support::world::{self, World, noise};
use packhorse::base::{Counter, Counters, MIB, MemoryBudget, Monitor, Quiet};
use packhorse::policy::{Policy, PolicyTree};
use packhorse::repo::{Repository, WriteOptions};
use packhorse::snapshot::{
    DirEntry, EntryType, UploadOptions, Uploaded, VerifyOptions, read_directory, upload, verify,
};
use parking_lot::Mutex;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

/// More than what is read ahead.
const BIG_BYTES: usize = 16 << 20;
const LATER_BYTES: usize = 6 << 20;
const SMALL_BYTES: usize = 1000;
/// What [`world::small_format`] cuts.
const CHUNK_BYTES: u64 = 128 << 10;

/// When the source is meddled with: `big` is read first, then `later`, then `small`, and `dir` is opened last.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Moment {
    /// The listing is over, and a part of `big` was read.
    First,
    /// `big` was read to its end, and its last chunk stored; it is not yet recorded.
    EndOfBig,
    /// The small files were read, and are not yet recorded.
    EndOfSmall,
}

/// Does something to the source at a moment.
struct Meddler<'a> {
    counters: Counters,
    moment: Moment,
    meddle: &'a (dyn Fn() + Sync),
    done: AtomicBool,
    errors: Mutex<Vec<(String, bool)>>,
}

impl Meddler<'_> {
    fn is_now(&self) -> bool {
        let bytes = self.counters.get(Counter::HashedBytes);
        match self.moment {
            Moment::First => bytes > 0,
            Moment::EndOfBig => bytes >= BIG_BYTES as u64,
            // The big ones are counted in whole chunks.
            Moment::EndOfSmall => !bytes.is_multiple_of(CHUNK_BYTES),
        }
    }
}

impl Monitor for Meddler<'_> {
    fn add(&self, counter: Counter, n: u64) {
        self.counters.add(counter, n);
        if counter == Counter::HashedBytes && self.is_now() && !self.done.swap(true, Ordering::SeqCst) {
            (self.meddle)();
        }
    }

    fn source_error(&self, path: &str, message: &str, ignored: bool) {
        assert!(!message.is_empty());
        self.errors.lock().push((path.to_owned(), ignored));
    }
}

/// How a meddled source is uploaded.
#[derive(Clone, Copy)]
struct Meeting {
    moment: Moment,
    is_ignored: bool,
    /// Files above this are read in parts; 0 for never.
    part_bytes: i64,
}

const AT_FIRST: Meeting = Meeting { moment: Moment::First, is_ignored: false, part_bytes: 0 };

/// What became of a source that was meddled with.
struct Met {
    members: Vec<DirEntry>,
    errors: Vec<(String, bool)>,
    listed: Vec<String>,
}

impl Met {
    fn get(&self, name: &str) -> Option<&DirEntry> {
        self.members.iter().find(|entry| entry.name == name)
    }

    fn size(&self, name: &str) -> Option<u64> {
        self.get(name).map(|entry| entry.size)
    }

    /// One entry has failed, and is not there; all others are.
    #[track_caller]
    fn assert_failed(&self, name: &str, is_ignored: bool, what: &str) {
        assert_eq!(self.errors, [(name.to_owned(), is_ignored)], "{what}");
        assert_eq!(self.listed, [name], "{what}");
        assert!(self.get(name).is_none() && self.members.len() == 3, "{what}");
    }

    /// Nothing has failed, and everything is there.
    #[track_caller]
    fn assert_clean(&self, what: &str) {
        assert_eq!((self.errors.len(), self.members.len()), (0, 4), "{what}");
    }
}

/// Uploads a source and meddles with it meanwhile. What the snapshot says must be what its objects hold, and what was
/// reported what it counts.
fn meet(repository: &Repository, meeting: Meeting, meddle: impl Fn(&Path) + Sync) -> Met {
    let source = tempfile::tempdir().unwrap();
    for (name, len) in [("big", BIG_BYTES), ("later", LATER_BYTES), ("small", SMALL_BYTES), ("dir/in", 10)] {
        write(&source.path().join(name), &original()[..len]);
    }
    let mut writer = repository.begin(&WriteOptions::new(1, MemoryBudget::MINIMUM)).unwrap();
    let mut policy = Policy::built_in();
    policy.error_handling.ignore_file_errors = Some(meeting.is_ignored);
    policy.error_handling.ignore_directory_errors = Some(meeting.is_ignored);
    policy.upload.parallel_upload_above_size = Some(meeting.part_bytes);
    let policies = PolicyTree::new(policy, []);
    let monitor = Meddler {
        counters: Counters::default(),
        moment: meeting.moment,
        meddle: &|| meddle(source.path()),
        done: AtomicBool::new(false),
        errors: Mutex::default(),
    };
    let options = UploadOptions { parallel: 1, ..UploadOptions::default() };
    let uploaded = upload(&mut writer, source.path(), &policies, &[], &monitor, &options).unwrap();
    writer.flush().unwrap();
    assert!(monitor.done.into_inner(), "the moment has not come");
    let members = proven_members(repository, &uploaded);
    let summary = uploaded.root_entry.summ.unwrap();
    let errors = monitor.errors.into_inner();
    let (ignored, fatal) = if meeting.is_ignored { (errors.len(), 0) } else { (0, errors.len()) };
    assert_eq!((summary.num_ignored_errors, summary.num_failed), (ignored as u64, fatal as u64));
    let stats = uploaded.stats;
    assert_eq!((stats.ignored_error_count, stats.error_count), (ignored as i32, fatal as i32));
    Met { members, errors, listed: summary.errors.into_iter().map(|error| error.path).collect() }
}

/// The bytes that every file of these tests begins with.
fn original() -> &'static [u8] {
    static BYTES: OnceLock<Vec<u8>> = OnceLock::new();
    BYTES.get_or_init(|| noise(7, BIG_BYTES))
}

/// The members of the root, each of which is as long as it says. Nothing but the original bytes and zeros behind them
/// is ever in the files of these tests.
pub(super) fn proven_members(repository: &Repository, uploaded: &Uploaded) -> Vec<DirEntry> {
    repository.contents().refresh().unwrap();
    let roots = [("root".to_owned(), uploaded.root_entry.clone())];
    let options = VerifyOptions::EVERYTHING;
    let report = verify(repository, &roots, &options, &Quiet).unwrap();
    assert!(report.errors.is_empty(), "{:?}", report.errors);
    let members = read_directory(repository.objects(), uploaded.root_entry.obj).unwrap().entries;
    for entry in members.iter().filter(|entry| entry.kind == EntryType::File) {
        let bytes = compare::bytes(repository, entry).unwrap();
        assert_eq!(bytes.len() as u64, entry.size, "{}", entry.name);
        let end = bytes.len() - bytes.iter().rev().take_while(|&&byte| byte == 0).count();
        assert!(original().starts_with(&bytes[..end]), "{} holds something else", entry.name);
    }
    members
}

/// A repository that meetings may share.
pub(super) fn room() -> Repository {
    World::new(world::small_format()).open()
}

fn set_len(path: &Path, len: u64) {
    fs::OpenOptions::new().write(true).open(path).unwrap().set_len(len).unwrap();
}

fn remove(path: &Path) {
    if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }.unwrap();
}

type Replace = fn(&Path);

/// What a name may stand for all at once.
const KINDS: [(&str, Replace); 5] = [
    ("nothing", |_| {}),
    ("directory", |path| fs::create_dir(path).unwrap()),
    ("link", |path| symlink("big", path).unwrap()),
    ("pipe", |path| assert!(Command::new("mkfifo").arg(path).status().unwrap().success())),
    ("socket", |path| drop(std::os::unix::net::UnixListener::bind(path).unwrap())),
];

#[test]
fn what_is_something_else_when_it_is_opened_is_a_failure() {
    let room = room();
    let file: (&str, Replace) = ("file", |path| write(path, b""));
    for name in ["small", "later", "dir"] {
        let others = KINDS.iter().filter(|(kind, _)| name != "dir" || *kind != "directory");
        for (kind, replace) in others.chain((name == "dir").then_some(&file)) {
            for is_ignored in [false, true] {
                let met = meet(&room, Meeting { is_ignored, ..AT_FIRST }, |source| {
                    remove(&source.join(name));
                    replace(&source.join(name));
                });
                met.assert_failed(name, is_ignored, &format!("{name} is a {kind}"));
            }
        }
    }
}

#[test]
fn a_file_is_as_long_as_what_was_read_of_it() {
    let room = room();
    // Before it is opened: longer, shorter, nothing; longer than what is read whole, and short enough for that.
    for (name, len) in [
        ("small", 5000),
        ("small", 10),
        ("small", 0),
        ("small", 3 * MIB),
        ("later", LATER_BYTES as u64 + 300_000),
        ("later", 2_000_001),
        ("later", 10),
        ("later", 0),
    ] {
        for part_bytes in [0, 1 << 20] {
            let met =
                meet(&room, Meeting { part_bytes, ..AT_FIRST }, |source| set_len(&source.join(name), len));
            met.assert_clean(name);
            assert_eq!(met.size(name), Some(len), "{name}, parts of {part_bytes}");
        }
    }
    // While it is read.
    for part_bytes in [0, 1 << 20, 5_000_001] {
        let meeting = Meeting { part_bytes, ..AT_FIRST };
        let grown = BIG_BYTES as u64 + 300_000;
        let met = meet(&room, meeting, |source| set_len(&source.join("big"), grown));
        met.assert_clean("grows");
        assert_eq!(met.size("big"), Some(grown));
        for len in [0, 14_000_000] {
            let met = meet(&room, meeting, |source| set_len(&source.join("big"), len));
            met.assert_clean("shrinks");
            let size = met.size("big").unwrap();
            assert!(size > 0 && size >= len && size < BIG_BYTES as u64, "{size}");
        }
    }
}

#[test]
fn what_was_read_stays_what_it_was() {
    let room = room();
    for (moment, name, len) in [
        (Moment::First, "big", BIG_BYTES),
        (Moment::EndOfBig, "big", BIG_BYTES),
        (Moment::EndOfSmall, "small", SMALL_BYTES),
    ] {
        let meeting = Meeting { moment, ..AT_FIRST };
        for (kind, replace) in KINDS {
            let met = meet(&room, meeting, |source| {
                remove(&source.join(name));
                replace(&source.join(name));
            });
            met.assert_clean(kind);
            let entry = met.get(name).unwrap();
            assert_eq!((entry.kind, entry.size), (EntryType::File, len as u64), "{name} is a {kind}");
        }
    }
    for (moment, name, len) in
        [(Moment::EndOfBig, "big", BIG_BYTES), (Moment::EndOfSmall, "small", SMALL_BYTES)]
    {
        for new_len in [0, len / 2, len + 100_000] {
            let meeting = Meeting { moment, ..AT_FIRST };
            let met = meet(&room, meeting, |source| set_len(&source.join(name), new_len as u64));
            met.assert_clean(name);
            assert_eq!(met.size(name), Some(len as u64), "{name} is {new_len} bytes now");
        }
    }
}

/// Sends the others home, also when a check has failed.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Somebody changes everything all the time, so that changes fall between any two calls.
#[test]
fn a_source_that_never_holds_still_is_saved_as_it_was_read() {
    let source = tempfile::tempdir().unwrap();
    let room = room();
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for worker in 0..2_u64 {
            let (folder, is_over) = (source.path(), &is_over);
            scope.spawn(move || {
                let mut number = worker;
                while !is_over.load(Ordering::Relaxed) {
                    number += 2;
                    let path = folder.join(format!("name-{}", number * 7 % 5));
                    // Whatever fails was done to a name that the other worker has changed.
                    match number * 13 % 6 {
                        0 => drop(fs::remove_file(&path)),
                        1 => drop(fs::create_dir(&path)),
                        2 => drop(fs::remove_dir(&path)),
                        3 => drop(symlink("name-0", &path)),
                        _ => {
                            let file = fs::OpenOptions::new().create(true).append(true).open(&path);
                            let len = [0, 900, 40_000, 1_100_000, 4_500_000][(number % 5) as usize];
                            drop(file.and_then(|file| file.set_len(len)));
                        }
                    }
                }
            });
        }
        let _over = Over(&is_over);
        for _ in 0..40 {
            let run = world::snapshot(&room, source.path());
            proven_members(&room, &run.uploaded);
            let summary = run.uploaded.root_entry.summ.as_ref().unwrap();
            assert_eq!(i64::from(run.uploaded.stats.error_count), summary.num_failed as i64);
        }
    });
}
