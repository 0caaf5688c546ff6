//! Sources other than directories that hold still: streams, devices, what changes meanwhile, what cannot be read.

mod changing;
mod unreadable;

use crate::support::compare;
use crate::support::fixture::{Fixture, storage};
use crate::support::live_tree::write;
use crate::support::programs::{Program, text};
use crate::support::world::{self, noise};
use packhorse::base::{Clock, FixedClock, Quiet, Timestamp};
use packhorse::policy::PolicyStore;
use packhorse::repo::Repository;
use packhorse::snapshot::{DirEntry, Stream, Upload, UploadOptions, UploadSource};
use serde_json::Value;
use std::fs;
use std::io::{BufRead, BufReader, Cursor, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
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
