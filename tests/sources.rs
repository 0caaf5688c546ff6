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
    DirEntry, EntryType, Stream, Upload, UploadOptions, UploadSource, VerifyOptions, read_directory, upload,
    verify,
};
use parking_lot::Mutex;
use serde_json::Value;
use std::fs;
use std::io::{BufRead, BufReader, Cursor, Write};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
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

/// Does something to the source when the first bytes of it have been stored.
struct Meddler<'a> {
    counters: Counters,
    meddle: &'a (dyn Fn() + Sync),
    done: AtomicBool,
    errors: Mutex<Vec<(String, bool)>>,
}

impl Monitor for Meddler<'_> {
    fn add(&self, counter: Counter, n: u64) {
        self.counters.add(counter, n);
        if counter == Counter::HashedBytes && !self.done.swap(true, Ordering::SeqCst) {
            (self.meddle)();
        }
    }

    fn source_error(&self, path: &str, message: &str, ignored: bool) {
        assert!(!message.is_empty());
        self.errors.lock().push((path.to_owned(), ignored));
    }
}

const BIG_BYTES: usize = 24 << 20;

/// What became of a source that was meddled with.
struct Met {
    members: Vec<DirEntry>,
    errors: Vec<(String, bool)>,
    listed: Vec<String>,
}

impl Met {
    fn size(&self, name: &str) -> Option<u64> {
        self.members.iter().find(|entry| entry.name == name).map(|entry| entry.size)
    }
}

/// Uploads `big` and `small`; the listing is over and a part of `big` was read when `meddle` is called. What the snapshot
/// says must be what its objects hold.
fn meet(is_ignored: bool, meddle: impl Fn(&Path) + Sync) -> Met {
    let source = tempfile::tempdir().unwrap();
    write(&source.path().join("big"), &noise(3, BIG_BYTES));
    write(&source.path().join("small"), &noise(4, 1000));
    let world = World::new(world::small_format());
    let repository = world.open();
    let options = WriteOptions::new(1, MemoryBudget::MINIMUM);
    let mut writer = repository.begin(&options).unwrap();
    let mut policy = Policy::built_in();
    policy.error_handling.ignore_file_errors = Some(is_ignored);
    let policies = PolicyTree::new(policy, []);
    let monitor = Meddler {
        counters: Counters::default(),
        meddle: &|| meddle(source.path()),
        done: AtomicBool::new(false),
        errors: Mutex::default(),
    };
    let options = UploadOptions { parallel: 1, ..UploadOptions::default() };
    let uploaded = upload(&mut writer, source.path(), &policies, &[], &monitor, &options).unwrap();
    writer.flush().unwrap();
    let repository = world.open();
    let root = uploaded.root_entry;
    let roots = [("root".to_owned(), root.clone())];
    let report =
        verify(&repository, &roots, &VerifyOptions { read_percent: 100.0, max_errors: -1 }, &Quiet).unwrap();
    assert!(report.errors.is_empty(), "{:?}", report.errors);
    let members = read_directory(repository.objects(), root.obj).unwrap().entries;
    let summary = root.summ.unwrap();
    let errors = monitor.errors.into_inner();
    let (ignored, fatal) = if is_ignored { (errors.len(), 0) } else { (0, errors.len()) };
    assert_eq!((summary.num_ignored_errors, summary.num_failed), (ignored as u64, fatal as u64));
    assert_eq!(
        (uploaded.stats.ignored_error_count, uploaded.stats.error_count),
        (ignored as i32, fatal as i32)
    );
    Met { members, errors, listed: summary.errors.into_iter().map(|error| error.path).collect() }
}

#[test]
fn a_file_that_is_something_else_when_it_is_opened_is_a_failure() {
    type Replace = fn(&Path);
    let kinds: [(&str, Replace); 4] = [
        ("directory", |path| fs::create_dir(path).unwrap()),
        ("link", |path| symlink("big", path).unwrap()),
        ("pipe", |path| assert!(Command::new("mkfifo").arg(path).status().unwrap().success())),
        ("socket", |path| drop(std::os::unix::net::UnixListener::bind(path).unwrap())),
    ];
    for (kind, replace) in kinds {
        for is_ignored in [false, true] {
            let met = meet(is_ignored, |source| {
                fs::remove_file(source.join("small")).unwrap();
                replace(&source.join("small"));
            });
            assert_eq!(met.errors, [("small".to_owned(), is_ignored)], "{kind}");
            assert_eq!((met.listed.as_slice(), met.members.len()), (&["small".to_owned()][..], 1), "{kind}");
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
fn a_file_that_vanished_before_it_was_opened_was_never_there() {
    let met = meet(false, |source| fs::remove_file(source.join("small")).unwrap());
    assert_eq!((met.errors.len(), met.members.len()), (0, 1));
}

#[test]
fn a_file_is_as_long_as_what_was_read_of_it() {
    let set = |path: &Path, len: u64| {
        fs::OpenOptions::new().write(true).open(path).unwrap().set_len(len).unwrap();
    };
    // Before it is opened: longer, shorter, longer than what is read whole.
    for (len, kind) in [(5000, "longer"), (10, "shorter"), (0, "empty"), (3 * MIB, "big")] {
        let met = meet(false, |source| set(&source.join("small"), len));
        assert_eq!((met.size("small"), met.errors.len()), (Some(len), 0), "{kind}");
    }
    // While it is read.
    let grown = BIG_BYTES as u64 + 300_000;
    let met = meet(false, |source| set(&source.join("big"), grown));
    assert_eq!((met.size("big"), met.errors.len()), (Some(grown), 0));
    let met = meet(false, |source| set(&source.join("big"), 0));
    let size = met.size("big").unwrap();
    assert!(size > 0 && size < BIG_BYTES as u64 && met.errors.is_empty(), "{size}");
}

#[test]
fn a_file_that_is_open_stays_what_it_was() {
    let met = meet(false, |source| {
        fs::remove_file(source.join("big")).unwrap();
        fs::create_dir(source.join("big")).unwrap();
    });
    let big = met.members.iter().find(|entry| entry.name == "big").unwrap();
    assert_eq!((big.kind, big.size, met.errors.len()), (EntryType::File, BIG_BYTES as u64, 0));
}
