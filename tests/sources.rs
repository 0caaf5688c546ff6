//! Sources other than directories that hold still: streams, devices, and files that change while they are read.

use crate::support::compare;
use crate::support::fixture::{Fixture, storage};
use crate::support::live_tree::write;
use crate::support::programs::{Program, text};
use crate::support::world::{self, World, noise};
use packhorse::base::{Clock, Counter, Counters, FixedClock, MIB, MemoryBudget, Monitor, Quiet, Timestamp};
use packhorse::policy::{Policy, PolicyStore, PolicyTree};
use packhorse::repo::{Repository, WriteOptions};
use packhorse::snapshot::{
    DirEntry, EntryType, Stream, Upload, UploadOptions, UploadSource, Uploaded, VerifyOptions,
    read_directory, upload, verify,
};
use parking_lot::Mutex;
use serde_json::Value;
use std::fs;
use std::io::{BufRead, BufReader, Cursor, Read, Write};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

#[test]
fn a_stream_gets_the_ids_that_kopia_gave_it() {
    let fixture = Fixture::load("stdin");
    let folder = fixture.unpack();
    let mut compared = 0;
    for (root, tree) in fixture.facts["trees"].as_object().unwrap() {
        // Kopia took the time when it opened its input.
        let at = Timestamp::from_nanos(tree[1]["mtime_ns"].as_i64().unwrap());
        let clock: Arc<dyn Clock> = Arc::new(FixedClock::new(at));
        let environment = world::environment(Arc::clone(&clock), 5);
        let storage = storage(folder.path(), Arc::clone(&clock));
        let repository = Repository::open(storage, &fixture.password(), world::alice(), environment).unwrap();
        let stored =
            DirEntry { obj: tree[1]["object"].as_str().unwrap().parse().unwrap(), ..DirEntry::default() };
        let bytes = compare::bytes(&repository, &stored).unwrap();
        let stream = Stream {
            directory: "/backups/db".to_owned(),
            name: tree[1]["path"].as_str().unwrap().to_owned(),
            reader: Box::new(Cursor::new(bytes)),
            is_essential: false,
        };
        let manifests = repository.load_manifests().unwrap();
        let policies = PolicyStore::new(&manifests).tree(&world::source()).unwrap();
        let mut writer = world::begin(&repository);
        let options = UploadOptions::default();
        let (actions, checkpoints) = (None, None);
        let upload = Upload {
            policies: &policies,
            previous: &[],
            options: &options,
            actions,
            checkpoints,
            monitor: &Quiet,
        };
        let uploaded = upload.run(&mut writer, UploadSource::Stream(stream)).unwrap();
        assert_eq!(uploaded.root_entry.obj.to_string(), *root);
        compared += 1;
    }
    assert_eq!(compared, 2);
}

fn create(program: &Program, args: &[&str], input: &[u8]) -> std::process::Output {
    let args = [&["snapshot", "create", "--json", "--json-verbose"], args].concat();
    let mut command = program.command(args);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // A program that does not read is no failure here.
    child.stdin.take().unwrap().write_all(input).ok();
    child.wait_with_output().unwrap()
}

fn count(program: &Program) -> usize {
    let json = program.ok(["snapshot", "list", "--all", "--incomplete", "--json"]);
    serde_json::from_str::<Vec<Value>>(&json).unwrap().len()
}

fn repository(program: &Program) -> tempfile::TempDir {
    let base = tempfile::tempdir().unwrap();
    program.create(&base.path().join("repository"), &[]);
    base
}

#[test]
fn standard_input_is_a_file_in_a_directory_that_is_nowhere() {
    let ours = Program::packhorse();
    let base = repository(&ours);
    let input = noise(1, 5_000_000);
    let output = create(&ours, &["--stdin-file=dump.sql", "/no/such/place"], &input);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let made: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(made["source"]["path"], "/no/such/place");
    let root = &made["rootEntry"];
    assert_eq!(
        (&root["name"], &root["type"], &root["mode"]),
        (&"/no/such/place".into(), &"d".into(), &"0777".into())
    );
    assert_eq!(root["mtime"], "1754-08-30T22:43:41.128654848Z");
    let stats = &made["stats"];
    assert_eq!(
        (&stats["fileCount"], &stats["nonCachedFiles"], &stats["dirCount"]),
        (&1.into(), &1.into(), &1.into())
    );
    let target = base.path().join("out");
    ours.restore(&made, &target);
    assert!(fs::read(target.join("dump.sql")).unwrap() == input);
    let policy = ours.ok(["policy", "show", "--json", "/no/such/place"]);
    assert!(policy.contains(r#""manual":true"#), "{policy}");
    for args in [&["--stdin-file=x"][..], &["--stdin-file=x", "/a", "/b"], &["--stdin-file=a/b", "/a"]] {
        assert_eq!(create(&ours, args, b"").status.code(), Some(2), "{args:?}");
    }
    let Some(kopia) = Program::kopia() else { return };
    kopia.connect(&base.path().join("repository"));
    kopia.verify();
    let theirs = create(&kopia, &["--stdin-file=dump.sql", "/no/such/place"], &input);
    let theirs: Value = serde_json::from_slice(&theirs.stdout).unwrap();
    let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys(&theirs), keys(&made));
    assert_eq!((keys(&theirs["rootEntry"]), &theirs["stats"]), (keys(root), stats));
}

#[test]
fn the_output_of_a_command_is_saved_only_if_it_succeeds() {
    let ours = Program::packhorse();
    let base = repository(&ours);
    let from = |line: &str| {
        create(&ours, &["--stdin-file=all", &format!("--stdin-from-command={line}"), "/db"], b"")
    };
    let failed = from("head -c 3000000 /dev/zero; exit 4");
    assert_eq!((failed.status.code(), count(&ours)), (Some(1), 0));
    assert!(text(&failed.stderr).contains("exit status: 4"), "{}", text(&failed.stderr));
    let made = from("head -c 3000000 /dev/zero; echo end");
    assert_eq!((made.status.code(), count(&ours)), (Some(0), 1), "{}", text(&made.stderr));
    let target = base.path().join("out");
    ours.restore(&serde_json::from_slice(&made.stdout).unwrap(), &target);
    let bytes = fs::read(target.join("all")).unwrap();
    assert!(bytes.len() == 3_000_004 && bytes.ends_with(b"end\n"));
}

#[test]
fn a_stream_that_waits_is_left_when_a_signal_comes() {
    let ours = Program::packhorse();
    let base = repository(&ours);
    let note = base.path().join("pid");
    let waiting = format!("--stdin-from-command=echo begin; echo $$ > {}; sleep 100; true", note.display());
    for args in [&["--stdin-file=x", "/a"][..], &[&waiting, "/b"]] {
        let args = [&["snapshot", "create"], args].concat();
        let mut child = ours.command(args).stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        let mut said = BufReader::new(child.stderr.take().unwrap());
        said.read_line(&mut line).unwrap();
        assert!(line.starts_with("Snapshotting "), "{line}");
        std::thread::sleep(Duration::from_millis(300));
        let killed = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
        let watch = packhorse::base::Stopwatch::start();
        assert!(killed.success());
        let open = child.stdin.take();
        assert_eq!(child.wait().unwrap().code(), Some(143));
        assert!(watch.elapsed() < Duration::from_secs(10));
        drop(open);
    }
    let pid = fs::read_to_string(note).unwrap();
    assert!(!Path::new("/proc").join(pid.trim()).exists(), "the command is left behind");
    let list = ours.ok(["snapshot", "list", "--all", "--incomplete", "--json"]);
    let list: Vec<serde_json::Value> = serde_json::from_str(&list).unwrap();
    assert_eq!(list.len(), 2);
    assert!(list.iter().all(|one| one["incomplete"] == "canceled"), "{list:?}");
}

#[test]
fn a_block_device_is_a_file_as_long_as_the_device() {
    let ours = Program::packhorse();
    let base = repository(&ours);
    let (image, bytes) = (base.path().join("image"), noise(9, 6 << 20));
    write(&image, &bytes);
    let output = Command::new("losetup").args(["--find", "--show", "--read-only"]).arg(&image).output();
    let Some(output) = output.ok().filter(|output| output.status.success()) else {
        eprintln!("skipped: there are no loop devices here");
        return;
    };
    let device = text(&output.stdout).trim().to_owned();
    let made = create(&ours, &[&device], b"");
    let detached = Command::new("losetup").args(["--detach", &device]).status().unwrap();
    assert!(detached.success() && made.status.success(), "{}", text(&made.stderr));
    let made: Value = serde_json::from_slice(&made.stdout).unwrap();
    assert_eq!((&made["rootEntry"]["type"], &made["rootEntry"]["size"]), (&"f".into(), &(6 << 20).into()));
    let target = base.path().join("out");
    ours.restore(&made, &target);
    assert!(fs::read(&target).unwrap() == bytes);
}

#[test]
fn what_is_nothing_to_read_is_refused() {
    let ours = Program::packhorse();
    let base = repository(&ours);
    let pipe = base.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    // The last fails at its first byte.
    for path in [&pipe.display().to_string(), "/dev/null", "/proc/self/mem"] {
        let output = create(&ours, &[path], b"");
        assert_eq!(output.status.code(), Some(1), "{path}: {}", text(&output.stderr));
    }
    assert_eq!(count(&ours), 0);
}

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
            Moment::EndOfSmall => bytes % CHUNK_BYTES != 0,
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
fn proven_members(repository: &Repository, uploaded: &Uploaded) -> Vec<DirEntry> {
    repository.contents().refresh().unwrap();
    let roots = [("root".to_owned(), uploaded.root_entry.clone())];
    let options = VerifyOptions { read_percent: 100.0, max_errors: -1 };
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
fn room() -> Repository {
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
fn a_name_that_becomes_anothers_is_a_failure() {
    use std::os::unix::ffi::OsStrExt;
    let source = tempfile::tempdir().unwrap();
    for (name, data) in [(&b"\xff"[..], "odd"), ("\u{fffd}".as_bytes(), "plain"), (b"x\xfe", "alone")] {
        write(&source.path().join(std::ffi::OsStr::from_bytes(name)), data.as_bytes());
    }
    let world = World::new(world::small_format());
    let repository = world.open();
    let run = world::snapshot(&repository, source.path());
    let summary = run.uploaded.root_entry.summ.unwrap();
    assert_eq!((summary.files, summary.num_failed, summary.errors[0].path.as_str()), (2, 1, "\u{fffd}"));
    let repository = world.open();
    let members = read_directory(repository.objects(), run.uploaded.root_entry.obj).unwrap().entries;
    let plain = members.iter().find(|entry| entry.name == "\u{fffd}").unwrap();
    assert_eq!(compare::bytes(&repository, plain).unwrap(), b"plain");
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

/// Somebody changes everything all the time, so that changes fall between any two calls.
#[test]
fn a_source_that_never_holds_still_is_saved_as_it_was_read() {
    let source = tempfile::tempdir().unwrap();
    let room = room();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for worker in 0..2_u64 {
            let (root, stop) = (source.path(), &stop);
            scope.spawn(move || {
                let mut number = worker;
                while !stop.load(Ordering::Relaxed) {
                    number += 2;
                    let path = root.join(format!("name-{}", number * 7 % 5));
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
        for _ in 0..40 {
            let run = world::snapshot(&room, source.path());
            proven_members(&room, &run.uploaded);
            let summary = run.uploaded.root_entry.summ.as_ref().unwrap();
            assert_eq!(i64::from(run.uploaded.stats.error_count), summary.num_failed as i64);
        }
        stop.store(true, Ordering::Relaxed);
    });
}

/// Some bytes, then an error of the device.
struct Failing(Cursor<Vec<u8>>);

impl Read for Failing {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        match self.0.read(buffer)? {
            0 => Err(rustix::io::Errno::IO.into()),
            read => Ok(read),
        }
    }
}

#[test]
fn a_device_that_fails_while_it_is_read_makes_a_failure() {
    for len in [0, 100, 6 << 20] {
        let room = room();
        let mut writer = world::begin(&room);
        let (policies, options) = (PolicyTree::built_in(), UploadOptions::default());
        let (previous, actions, checkpoints, monitor) = (&[], None, None, &Quiet);
        let upload =
            Upload { policies: &policies, previous, options: &options, actions, checkpoints, monitor };
        let reader = Box::new(Failing(Cursor::new(noise(1, len))));
        let (directory, name) = ("/somewhere".to_owned(), "file".to_owned());
        let stream = Stream { directory, name, reader, is_essential: false };
        let uploaded = upload.run(&mut writer, UploadSource::Stream(stream)).unwrap();
        writer.flush().unwrap();
        assert!(proven_members(&room, &uploaded).is_empty());
        let summary = uploaded.root_entry.summ.unwrap();
        assert_eq!((summary.num_failed, uploaded.stats.error_count), (1, 1));
        assert!(summary.errors[0].path == "file" && summary.errors[0].error.contains("(os error 5)"));
    }
}

/// A program run by a user who may not read everything.
fn create_as_nobody(program: &Program, source: &Path) -> std::process::Output {
    let source = source.display().to_string();
    let command = program.command(["snapshot", "create", "--json", "--json-verbose", &source]);
    let ids = ["--reuid=65534", "--regid=65534", "--clear-groups"];
    let mut other = Command::new("setpriv");
    other.args(ids).arg(command.get_program()).args(command.get_args()).env_clear();
    other.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    other.stdin(Stdio::null()).output().unwrap()
}

/// Gives a tree to everybody.
fn open_up(path: &Path) {
    assert!(Command::new("chmod").args(["-R", "a+rwX"]).arg(path).status().unwrap().success());
}

/// What a snapshot says of its failures: how many are fatal, how many forgiven, and their paths.
fn failures(made: &Value) -> (Value, Value, Vec<Value>) {
    let summary = &made["rootEntry"]["summ"];
    let paths = summary["errors"].as_array().unwrap().iter().map(|error| error["path"].clone());
    (summary["numFailed"].clone(), summary["numIgnoredErrors"].clone(), paths.collect())
}

#[test]
fn what_may_not_be_read_is_named_and_counted() {
    if !rustix::process::geteuid().is_root()
        || !Command::new("setpriv").arg("--version").output().is_ok_and(|output| output.status.success())
    {
        eprintln!("skipped: nobody else's rights can be taken here");
        return;
    }
    let ours = Program::packhorse();
    let base = repository(&ours);
    let source = base.path().join("source");
    let denied = ["small", "big", "closed", "blind"];
    for name in ["ok", "small", "dir/ok", "closed/x", "blind/y"] {
        write(&source.join(name), b"text");
    }
    write(&source.join("big"), &noise(1, 5 << 20));
    open_up(base.path());
    for (name, mode) in [("small", 0), ("big", 0), ("closed", 0), ("blind", 0o444)] {
        fs::set_permissions(source.join(name), fs::Permissions::from_mode(mode)).unwrap();
    }
    let kopia = Program::kopia();
    for (program, partial) in [(Some(&ours), 3), (kopia.as_ref(), 1)] {
        let Some(program) = program else { continue };
        program.connect(&base.path().join("repository"));
        open_up(program.config().parent().unwrap());
        open_up(&base.path().join("repository"));
        for (forgiven, status) in [(false, partial), (true, 0)] {
            let source_text = source.display().to_string();
            let flags =
                ["--ignore-file-errors", "--ignore-dir-errors"].map(|flag| format!("{flag}={forgiven}"));
            program.ok(["policy", "set", &source_text, &flags[0], &flags[1]]);
            open_up(&base.path().join("repository"));
            open_up(program.config().parent().unwrap());
            let output = create_as_nobody(program, &source);
            assert_eq!(output.status.code(), Some(status), "{}", text(&output.stderr));
            let made: Value = serde_json::from_slice(&output.stdout).unwrap();
            let (failed, ignored, paths) = failures(&made);
            // What is in a directory that can be listed and not entered fails one by one.
            let wanted = ["big", "blind/y", "closed", "small"];
            assert_eq!(paths, wanted, "{}", text(&output.stderr));
            let counts = if forgiven { (Value::Null, 4.into()) } else { (4.into(), Value::Null) };
            let zero = |value: Value| if value == 0 { Value::Null } else { value };
            assert_eq!((zero(failed), zero(ignored)), counts);
            assert_eq!(made["rootEntry"]["summ"]["files"], 2);
            if !forgiven {
                assert!(denied[..3].iter().all(|name| text(&output.stderr).contains(name)));
            }
        }
    }
}

#[test]
fn a_file_that_cannot_be_read_at_all_is_a_failure() {
    let mut child = Command::new("sleep").arg("100").spawn().unwrap();
    let source = format!("/proc/{}", child.id());
    let ours = Program::packhorse();
    let _base = repository(&ours);
    let rules = ["/[a-ln-zA-Z0-9]*", "/ma*", "/mo*"].map(|rule| format!("--add-ignore={rule}"));
    ours.ok(["policy", "set", source.as_str()].into_iter().chain(rules.iter().map(String::as_str)));
    let output = create(&ours, &[&source], b"");
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(output.status.code(), Some(3), "{}", text(&output.stderr));
    let made: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(failures(&made), (1.into(), Value::Null, vec!["mem".into()]));
    assert_eq!(made["rootEntry"]["summ"]["files"], 0);
}

/// Paths of failures, too, are text: bytes that are none become U+FFFD, one by one, as Kopia writes them.
#[test]
fn failures_under_odd_names_are_recorded_as_kopia_records_them() {
    use std::os::unix::ffi::OsStrExt;
    let ours = Program::packhorse();
    let base = repository(&ours);
    let folder = base.path().join(std::ffi::OsStr::from_bytes(b"source/d\xe2\x82 <&>"));
    fs::create_dir_all(&folder).unwrap();
    let pipe = folder.join(std::ffi::OsStr::from_bytes(b"p\xff\xfe\xc3\xa9\""));
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let source = base.path().join("source").display().to_string();
    let mut recorded = Vec::new();
    for program in [Some(&ours), Program::kopia().as_ref()].into_iter().flatten() {
        program.connect(&base.path().join("repository"));
        program.ok(["policy", "set", &source, "--ignore-unknown-types=false"]);
        let output = create(program, &[&source], b"");
        assert!(matches!(output.status.code(), Some(1 | 3)), "{}", text(&output.stderr));
        let made: Value = serde_json::from_str(std::str::from_utf8(&output.stdout).unwrap()).unwrap();
        recorded.push(failures(&made));
    }
    let path = "d\u{fffd}\u{fffd} <&>/p\u{fffd}\u{fffd}\u{e9}\"";
    assert_eq!(recorded[0], (1.into(), Value::Null, vec![path.into()]));
    assert!(recorded.iter().all(|one| one.2 == recorded[0].2 && one.0 == recorded[0].0), "{recorded:?}");
}
