//! What cannot be read, or not be named, is a failure: recorded, counted, and seen in the exit status.

use super::changing::{proven_members, room};
use super::{create, repository};
use crate::support::compare;
use crate::support::live_tree::write;
use crate::support::programs::{Program, text};
use crate::support::world::{self, World, noise};
use packhorse::base::Quiet;
use packhorse::policy::PolicyTree;
use packhorse::snapshot::{Stream, Upload, UploadOptions, UploadSource, read_directory};
use serde_json::Value;
use std::ffi::OsStr;
use std::fs;
use std::io::{Cursor, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

#[test]
fn a_name_that_becomes_anothers_is_a_failure() {
    let source = tempfile::tempdir().unwrap();
    for (name, data) in [(&b"\xff"[..], "odd"), ("\u{fffd}".as_bytes(), "plain"), (b"x\xfe", "alone")] {
        write(&source.path().join(OsStr::from_bytes(name)), data.as_bytes());
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
    let ours = Program::packhorse().plain();
    let base = repository(&ours);
    let folder = base.path().join(OsStr::from_bytes(b"source/d\xe2\x82 <&>"));
    fs::create_dir_all(&folder).unwrap();
    let pipe = folder.join(OsStr::from_bytes(b"p\xff\xfe\xc3\xa9\""));
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
