//! Snapshots through the binary: made, listed, shown, checked, restored and deleted; and what each command says of what
//! is missing, unreadable or damaged.

use crate::cli::{Home, Run, finish, kopia, write};
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A home with a repository and a small source in `src`.
fn home() -> Home {
    let home = Home::connected();
    let src = home.path("src");
    std::fs::create_dir_all(src.join("sub/deep")).unwrap();
    write(&src.join("hello.txt"), b"hello\n");
    write(&src.join("empty"), b"");
    write(&src.join("sub/a & <b> é.txt"), &[b'x'; 10_000]);
    write(&src.join("sub/deep/noise.bin"), &noise(300_000));
    symlink("hello.txt", src.join("link")).unwrap();
    home
}

/// Bytes that do not compress.
fn noise(length: usize) -> Vec<u8> {
    use packhorse::base::{Entropy, SeededEntropy};
    let mut bytes = vec![0; length];
    SeededEntropy::new(7).fill(&mut bytes);
    bytes
}

impl Home {
    fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    /// Makes a snapshot of `src`; its document.
    fn snapshot(&self) -> Value {
        self.run(&["snapshot", "create", &self.text("src"), "--json"]).expect(0).json()
    }

    /// The blobs of the repository whose names begin with `prefix`.
    fn blobs(&self, prefix: &str) -> Vec<PathBuf> {
        let root = self.path("repo");
        let name = |path: &Path| path.strip_prefix(&root).unwrap().to_str().unwrap().replace('/', "");
        let mut found: Vec<_> = walkdir::WalkDir::new(&root)
            .into_iter()
            .map(|entry| entry.unwrap())
            .filter(|entry| entry.file_type().is_file())
            .map(walkdir::DirEntry::into_path)
            .filter(|path| name(path).starts_with(prefix))
            .collect();
        found.sort();
        found
    }
}

fn id(snapshot: &Value) -> &str {
    snapshot["id"].as_str().unwrap()
}

fn root(snapshot: &Value) -> &str {
    snapshot["rootEntry"]["obj"].as_str().unwrap()
}

fn flip(path: &Path, at: usize) {
    let mut data = std::fs::read(path).unwrap();
    data[at] ^= 0x40;
    write(path, &data);
}

#[test]
fn a_snapshot_goes_the_whole_way() {
    let home = home();
    let first = home.run(&["snapshot", "create", &home.text("src")]).expect(0);
    assert_eq!(first.stdout, "", "results go to stdout, and text reports are none");
    assert!(first.stderr.contains("Created snapshot with root k"), "{first:?}");
    let second = home.snapshot();
    assert!(second.get("stats").is_none() && second.get("retentionReason").is_none(), "{second}");
    assert_eq!(second["rootEntry"]["summ"]["files"], 4);

    let listed = home.run(&["snapshot", "list", "--json"]).expect(0);
    assert!(listed.stdout.starts_with("[\n {\"id\":") && listed.stdout.ends_with("}\n]"), "{listed:?}");
    let listed = listed.json();
    assert_eq!(listed.as_array().unwrap().len(), 2);
    assert_eq!(id(&listed[1]), id(&second), "the newer is the last");
    assert_eq!(listed[0]["retentionReason"], serde_json::json!(["latest-2"]));
    assert_eq!(listed[1]["stats"]["cachedFiles"], 5, "{listed}");
    assert_eq!(root(&listed[0]), root(&second), "an unchanged tree is the same object");

    let ls = home.run(&["ls", "-r", root(&second)]).expect(0);
    let mut lines: Vec<_> = ls.stdout.lines().map(|line| line.strip_prefix(root(&second)).unwrap()).collect();
    lines.sort_unstable();
    let expected =
        ["/empty", "/hello.txt", "/link", "/sub/", "/sub/a & <b> é.txt", "/sub/deep/", "/sub/deep/noise.bin"];
    assert_eq!(lines, expected);
    let shown = home.run(&["show", &format!("{}/hello.txt", id(&second))]).expect(0);
    assert_eq!(shown.stdout, "hello\n");

    let verified = home.run(&["snapshot", "verify", "--verify-files-percent=100", "--json"]).expect(0).json();
    assert_eq!(verified["errorCount"], 0);
    assert_eq!(verified["stats"]["readBytes"], 310_006 + 9, "the link's target is read, too: {verified}");

    let out = home.text("out");
    let restored = home.run(&["restore", id(&second), &out]).expect(0);
    assert!(restored.stderr.contains("Restored 4 files, 3 directories and 1 symbolic links"), "{restored:?}");
    assert_same(&home.path("src"), &home.path("out"));

    let would = home.run(&["snapshot", "delete", id(&second)]).expect(0);
    assert!(would.stderr.contains("--delete"), "{would:?}");
    assert_eq!(home.run(&["snapshot", "list", "--json"]).json().as_array().unwrap().len(), 2);
    home.run(&["snapshot", "delete", "--delete", id(&second)]).expect(0);
    home.run(&["snapshot", "delete", "--delete", id(&second)]).expect(1);
    home.run(&["snapshot", "delete", "--delete", root(&second)]).expect(0);
    assert_eq!(home.run(&["snapshot", "list", "--json"]).expect(0).stdout, "[\n]");
}

fn assert_same(a: &Path, b: &Path) {
    let diff = Command::new("diff").args(["-r", "--no-dereference"]).args([a, b]).output().unwrap();
    assert!(diff.status.success(), "{}", String::from_utf8_lossy(&diff.stdout));
}

#[test]
fn text_lists_have_kopias_rows() {
    let home = home();
    home.snapshot();
    home.snapshot();
    let src = home.text("src");
    home.run(&["snapshot", "create", &src, "--override-source=bob@other:/x", "--pin=b", "--pin=a"]).expect(0);
    let list = |args: &[&str]| {
        let args = [&["snapshot", "list"], args].concat();
        home.run(&args).expect(0).stdout
    };
    let text = list(&[]);
    let lines: Vec<_> = text.lines().collect();
    assert!(lines[0].ends_with(&format!(":{src}")) && lines.len() == 3, "{text}");
    let reasons = "(latest-1..2,hourly-1,daily-1,weekly-1,monthly-1,annual-1)";
    assert!(
        lines[1].ends_with(&format!(" UTC {} 310 KB drwxr-xr-x files:4 dirs:3 {reasons}", &lines[1][26..59])),
        "{text}"
    );
    assert!(lines[2].starts_with("  + 1 identical snapshots until 20"), "{text}");
    assert!(list(&["--all"]).starts_with("bob@other:/x\n"), "groups are sorted by source");
    assert!(list(&["--all"]).contains(" pins:a,b"));
    assert_eq!(list(&["-l"]).matches("files:4").count(), 2);
    assert_eq!(list(&["-l", "-n", "1", "--no-retention"]).matches("files:4").count(), 1);
    assert!(list(&["-m"]).contains(" manifest:"));
    assert!(list(&["--no-human-readable"]).contains(" 310006 drwxr-xr-x"));
    let below = list(&[&format!("{src}/sub/deep")]);
    assert!(below.contains(" 300 KB drwxr-xr-x files:1 dirs:1"), "{below}");
    assert_eq!(list(&["nobody@nowhere:/x"]), "");
    let others = home.run(&["snapshot", "list", "bob@other:/x"]).expect(0);
    assert!(others.stdout.is_empty() && others.stderr.contains("--all"), "{others:?}");
    assert_eq!(
        home.run(&["snapshot", "list", "bob@other:/x", "--json"]).json()[0]["source"]["userName"],
        "bob"
    );
    let policy = home.run(&["policy", "show", "bob@other:/x", "--json"]).expect(0).json();
    assert_eq!(
        policy["scheduling"]["manual"], true,
        "a source saved under another name is not for schedulers"
    );
}

#[test]
fn a_schedule_does_not_stop_a_snapshot_under_another_name() {
    let home = home();
    home.run(&["policy", "set", "bob@other:/x", "--snapshot-interval=1h"]).expect(0);
    let made =
        home.run(&["snapshot", "create", &home.text("src"), "--override-source=bob@other:/x"]).expect(0);
    assert!(made.stderr.contains("bob@other:/x has a schedule"), "{made:?}");
    let listed = home.run(&["snapshot", "list", "--json", "bob@other:/x"]).expect(0).json();
    assert_eq!(listed.as_array().unwrap().len(), 1);
    let policy = home.run(&["policy", "show", "bob@other:/x", "--json"]).expect(0).json();
    assert_eq!(policy["scheduling"]["intervalSeconds"], 3600);
}

#[test]
fn snapshots_carry_what_the_user_says_of_them() {
    let home = home();
    let create = |args: &[&str]| {
        let src = home.text("src");
        let args = [&["snapshot", "create", &src, "--json"], args].concat();
        home.run(&args).expect(0).json()
    };
    let tagged = create(&["--description=with text", "--tags=env:prod", "--tags=a:b:c", "--pin=keep"]);
    assert_eq!(tagged["tags"], serde_json::json!({"tag:a": "b:c", "tag:env": "prod"}));
    assert_eq!((&tagged["description"], &tagged["pins"][0]), (&"with text".into(), &"keep".into()));
    let early = create(&["--start-time=2020-02-29 12:00:00 UTC"]);
    assert_eq!(early["startTime"], "2020-02-29T12:00:00Z");
    assert!(early["endTime"].as_str().unwrap().starts_with("2020-02-29T12:00:0"), "{early}");
    let list = |tag: &str| home.run(&["snapshot", "list", "--json", tag]).expect(0).json();
    assert_eq!(list("--tags=env:prod").as_array().unwrap().len(), 1);
    assert_eq!(list("--tags=env:none").as_array().unwrap().len(), 0);
    let indented = home.run(&["snapshot", "list", "--json", "--json-indent"]).expect(0);
    assert!(indented.stdout.starts_with("[{\n") && indented.json()[0]["id"].is_string(), "{indented:?}");
}

#[test]
fn retention_works_at_once_and_equal_snapshots_can_be_refused() {
    let home = home();
    let src = home.text("src");
    let keep = ["latest=2", "hourly=0", "daily=0", "weekly=0", "monthly=0", "annual=0"]
        .map(|keep| format!("--keep-{keep}"));
    let mut args = vec!["policy", "set", &src];
    args.extend(keep.iter().map(String::as_str));
    home.run(&args).expect(0);
    for _ in 0..3 {
        home.snapshot();
    }
    assert_eq!(home.run(&["snapshot", "list", "--json"]).json().as_array().unwrap().len(), 2);
    home.run(&["policy", "set", &src, "--ignore-identical-snapshots=true"]).expect(0);
    let same = home.run(&["snapshot", "create", &src, "--json"]).expect(0);
    assert_eq!(same.stdout, "", "what was not saved is not shown: {same:?}");
    write(&home.path("src/hello.txt"), b"changed\n");
    assert!(home.snapshot()["id"].is_string());
}

#[test]
fn what_makes_no_sense_is_refused_and_nothing_is_saved() {
    let home = home();
    let src = &home.text("src");
    let long = &format!("--description={}", "x".repeat(1025));
    for args in [
        &["create"][..],
        &["create", "--all", src],
        &["create", src, "--tags=novalue"],
        &["create", src, "--tags=a:1", "--tags=a:2"],
        &["create", src, long],
        &["create", src, "--start-time=yesterday"],
        &["create", src, "--start-time=2020-03-01 12:00:00 UTC", "--end-time=2020-03-01 11:00:00 UTC"],
        &["create", src, "--override-source=bob@other"],
        &["create", src, "--checkpoint-interval=46m"],
        &["create", "--stdin-file=x"],
        &["create", src, "--parallel=x"],
        &["list", "--tags=env"],
        &["delete"],
        &["verify", "--max-errors=x"],
        &["restore"],
        &["restore", "a", "b", "c"],
        &["restore", src, "out", "--snapshot-time=nonsense"],
        &["restore", src, "out", "--shallow=-1"],
        &["restore", src, "out.zip", "--shallow=1"],
        &["restore", src, "out", "--mode=nosuch"],
        &["restore", src, "out", "--json"],
        &["restore", src, "a.kopia-entry"],
        &["restore", "a.kopia-entry", "--mode=tar"],
    ] {
        let run = home.run(&[&["snapshot"], args].concat()).expect(2);
        assert!(run.stdout.is_empty() && run.stderr.contains("packhorse: error: "), "{args:?}: {run:?}");
    }
    assert_eq!(home.run(&["snapshot", "list", "--json"]).expect(0).stdout, "[\n]");
}

#[test]
fn accepted_flags_without_effect_change_nothing() {
    let home = home();
    let src = &home.text("src");
    let args =
        ["--send-snapshot-report", "--flush-per-source", "--log-dir-detail=3", "--log-entry-detail=-1"];
    let more = [
        "--upload-limit-mb=-1",
        "--parallel=-1",
        "--force-disable-actions",
        "--force-hash=100",
        "--no-fail-fast",
    ];
    home.run(&[&["snapshot", "create", src][..], &args, &more].concat()).expect(0);
    let flags = [
        "--parallel=2",
        "--file-parallelism=2",
        "--file-queue-length=10",
        "--all-sources",
        "--max-errors=-1",
    ];
    home.run(&[&["snapshot", "verify"][..], &flags].concat()).expect(0);
}

#[test]
fn other_programs_get_progress_as_lines_of_json() {
    let home = home();
    let src = home.text("src");
    write(&home.path("src/much"), &noise(30 << 20));
    let create = ["snapshot", "create", &src, "--json", "--progress-json", "--progress-update-interval=20ms"];
    let run = home.run(&create).expect(0);
    run.json();
    let events: Vec<Value> = run
        .stderr
        .lines()
        .filter(|line| line.starts_with('{'))
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let (last, others) = events.split_last().unwrap();
    assert_eq!((&last["event"], &last["work"]), (&"end".into(), &"upload".into()));
    assert_eq!((&last["hashedFiles"], &last["errors"]), (&5.into(), &0.into()), "{last}");
    assert!(last["uploadedBytes"].as_u64().unwrap() > 20 << 20, "{last}");
    assert!(!others.is_empty() && others.iter().all(|event| event["event"] == "progress"), "{others:?}");
    let restored = home.run(&["restore", &src, &home.text("out"), "--progress-json"]).expect(0);
    assert!(restored.stderr.contains(r#""event":"end","work":"restore""#), "{restored:?}");
}

#[test]
fn a_missing_source_does_not_stop_the_others() {
    let home = home();
    let run = home.run(&["snapshot", "create", &home.text("none"), &home.text("src"), "--json"]).expect(1);
    assert_eq!(run.json()["source"]["path"], home.text("src").as_str());
    assert!(run.stderr.contains(&home.text("none")), "{run:?}");
    assert_eq!(home.run(&["snapshot", "list", "--json"]).json().as_array().unwrap().len(), 1);
    home.run(&["snapshot", "create", &home.text("none"), &home.text("nor this")]).expect(1);
}

#[test]
fn links_and_files_are_sources_too() {
    let home = home();
    symlink(home.path("src"), home.path("ln")).unwrap();
    let run = |name: &str| home.run(&["snapshot", "create", &home.text(name), "--json"]).expect(0).json();
    let (direct, linked, file) = (run("src"), run("ln"), run("src/hello.txt"));
    assert_eq!(root(&direct), root(&linked));
    assert_eq!(linked["source"]["path"], home.text("ln").as_str());
    assert_eq!(file["rootEntry"]["type"], "f");
    home.run(&["restore", id(&file), &home.text("one.txt")]).expect(0);
    assert_eq!(std::fs::read(home.path("one.txt")).unwrap(), b"hello\n");
    let all = home.run(&["snapshot", "create", "--all"]).expect(0);
    assert_eq!(all.stderr.matches("Created snapshot").count(), 3, "{all:?}");
}

#[test]
fn what_cannot_be_saved_is_named_and_counted() {
    let home = home();
    let src = home.text("src");
    let pipe = Command::new("mkfifo").arg(home.path("src/pipe")).status().unwrap();
    assert!(pipe.success());
    home.run(&["snapshot", "create", &src]).expect(0);
    home.run(&["policy", "set", &src, "--ignore-unknown-types=false"]).expect(0);
    // Saved, it is no error.
    let whole = home.run(&["snapshot", "create", &src, "--json"]).expect(0).json();
    assert_eq!(whole["rootEntry"]["summ"]["numFailed"], 0, "{whole}");
    let run = home.run(&["snapshot", "create", &src, "--json", "--plain-entries"]).expect(3);
    let snapshot = run.json();
    assert_eq!(snapshot["rootEntry"]["summ"]["numFailed"], 1, "the snapshot is saved: {run:?}");
    assert!(run.stderr.contains("pipe") && run.stderr.contains("1 files or directories"), "{run:?}");
    let listed = home.run(&["ls", root(&snapshot)]).expect(0);
    assert!(listed.stderr.contains("pipe"), "{listed:?}");
    let fast = ["snapshot", "create", &src, "--json", "--plain-entries", "--fail-fast"];
    let fast = home.run(&fast).expect(3).json();
    assert_eq!(fast["incomplete"], "canceled", "{fast}");
    let list = home.run(&["snapshot", "list", "--json"]).expect(0);
    assert!(list.stderr.contains("incomplete"), "{list:?}");
}

#[test]
fn a_file_without_permission_is_named_and_counted() {
    let home = home();
    if !drop_root(&home.packhorse(&["--version"])).output().is_ok_and(|output| output.status.success()) {
        println!("skipped: cannot become another user here");
        return;
    }
    let secret = home.path("src/secret");
    write(&secret, b"secret");
    let opened = Command::new("chmod").args(["-R", "a+rwX"]).arg(home.path("")).status().unwrap();
    assert!(opened.success());
    std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o000)).unwrap();
    let create = home.packhorse(&["snapshot", "create", &home.text("src"), "--json"]);
    let snapshot = finish(&mut drop_root(&create)).expect(3).json();
    assert_eq!(snapshot["rootEntry"]["summ"]["errors"][0]["path"], "secret", "{snapshot}");
    assert_eq!(snapshot["rootEntry"]["summ"]["files"], 4);
}

/// The same command as a user without rights.
fn drop_root(command: &Command) -> Command {
    let mut other = Command::new("setpriv");
    other.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(command.get_program());
    other.args(command.get_args()).env_clear().stdin(Stdio::null());
    for (name, value) in command.get_envs() {
        if let Some(value) = value {
            other.env(name, value);
        }
    }
    other
}

#[test]
fn a_signal_leaves_an_incomplete_snapshot() {
    let home = home();
    // Holes take no room and long to read.
    for number in 0..1000 {
        let path = home.path(&format!("src/zeros{number}"));
        let file = std::fs::OpenOptions::new().create_new(true).write(true).open(path);
        file.unwrap().set_len(128 << 20).unwrap();
    }
    let mut command = home.packhorse(&["snapshot", "create", &home.text("src"), "--json"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    stderr.read_line(&mut line).unwrap();
    assert!(line.starts_with("Snapshotting "), "{line}");
    std::thread::sleep(std::time::Duration::from_millis(300));
    let killed = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    assert!(killed.success());
    let output = child.wait_with_output().unwrap();
    let run = Run {
        status: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: stderr.lines().map(Result::unwrap).collect::<Vec<_>>().join("\n"),
    };
    let snapshot = run.expect(143).json();
    assert_eq!(snapshot["incomplete"], "canceled", "{snapshot}");
    assert_eq!(home.run(&["snapshot", "list"]).expect(0).stdout.lines().count(), 1, "only the source");
    assert!(home.run(&["snapshot", "list", "-i"]).expect(0).stdout.contains("incomplete:canceled"));
    home.run(&["snapshot", "verify"]).expect(0);
}

#[test]
fn a_restore_finds_its_snapshot_by_path_and_time() {
    let home = home();
    let src = home.text("src");
    home.run(&["snapshot", "create", &src, "--start-time=2024-01-01 00:00:00 UTC"]).expect(0);
    write(&home.path("src/hello.txt"), b"changed\n");
    home.snapshot();
    let restored = |time: &str, status: i32| {
        let out = home.path("out");
        if out.exists() {
            std::fs::remove_dir_all(&out).unwrap();
        }
        let time = format!("--snapshot-time={time}");
        home.run(&["restore", &src, &home.text("out"), &time]).expect(status);
        std::fs::read_to_string(out.join("hello.txt")).unwrap_or_default()
    };
    for (time, content) in [
        ("latest", "changed\n"),
        ("oldest", "hello\n"),
        ("2024-06-01", "hello\n"),
        ("2024", "hello\n"),
        ("1d-ago", "hello\n"),
        ("2024-01-01 00:00:00 UTC", "hello\n"),
    ] {
        assert_eq!(restored(time, 0), content, "{time}");
    }
    restored("2023", 1);
    home.run(&["restore", &format!("{src}/sub/deep"), &home.text("deep")]).expect(0);
    assert_same(&home.path("src/sub/deep"), &home.path("deep"));
    home.run(&["restore", &home.text("none"), &home.text("out")]).expect(1);
    home.run(&["restore", "00000000000000000000000000000000", &home.text("out")]).expect(1);
    std::fs::remove_file(home.path("src/hello.txt")).unwrap();
    home.run(&["restore", &src]).expect(0);
    assert_eq!(
        std::fs::read(home.path("src/hello.txt")).unwrap(),
        b"changed\n",
        "a path is restored onto itself"
    );
}

#[test]
fn a_restore_spares_what_it_is_told_to() {
    let home = home();
    let snapshot = home.snapshot();
    let out = home.text("out");
    std::fs::create_dir(&out).unwrap();
    write(&home.path("out/extra"), b"extra");
    let restore = |flag: &str, status: i32| {
        home.run(&["snapshot", "restore", id(&snapshot), &out, flag]).expect(status)
    };
    restore("--no-overwrite-directories", 1);
    assert_eq!(std::fs::read_dir(&out).unwrap().count(), 1, "nothing was restored");
    restore("--overwrite-directories", 0);
    restore("--no-overwrite-files", 1);
    restore("--no-overwrite-symlinks", 1);
    let skipped = restore("--skip-existing", 0);
    assert!(skipped.stderr.contains("Restored 0 files"), "{skipped:?}");
    let deleted = restore("--delete-extra", 0);
    assert!(deleted.stderr.contains("deleted files 1"), "{deleted:?}");
    assert_same(&home.path("src"), &home.path("out"));
    write(&home.path("file"), b"");
    home.run(&["restore", id(&snapshot), &home.text("file")]).expect(1);
}

#[test]
fn damaged_packs_are_found_and_named() {
    let home = home();
    home.snapshot();
    let pack = home.blobs("p").pop().unwrap();
    let good = std::fs::read(&pack).unwrap();
    let verify = |status: i32| {
        let args = ["snapshot", "verify", "--verify-files-percent=100", "--max-errors=-1", "--json"];
        home.run(&args).expect(status)
    };
    verify(0);
    flip(&pack, good.len() / 2);
    let run = verify(13);
    assert_eq!(run.json()["errorCount"], 1, "{run:?}");
    assert!(run.json()["errorStrings"][0].as_str().unwrap().contains("/sub/deep/noise.bin"), "{run:?}");
    let restore = home.run(&["restore", &home.text("src"), &home.text("out")]).expect(13);
    assert!(restore.stderr.contains("noise.bin"), "{restore:?}");
    assert!(!home.path("out/sub/deep/noise.bin").exists(), "no file of damaged bytes");
    home.run(&["snapshot", "verify"]).expect(0);

    write(&pack, &good[..good.len() / 2]);
    home.run(&["snapshot", "verify"]).expect(13);
    std::fs::remove_file(&pack).unwrap();
    let run = verify(13);
    assert!(run.stderr.contains("/hello.txt"), "{run:?}");
    write(&pack, &good);
    verify(0);

    let metadata = home.blobs("q");
    for blob in &metadata {
        std::fs::remove_file(blob).unwrap();
    }
    home.run(&["snapshot", "list"]).expect(13);
}

#[test]
fn damaged_indexes_stop_everything_and_empty_ones_are_set_aside() {
    let home = home();
    home.snapshot();
    let index = home.blobs("x").pop().unwrap();
    let good = std::fs::read(&index).unwrap();
    for damaged in [good[..good.len() / 2].to_vec(), good.iter().map(|byte| byte ^ 1).collect()] {
        write(&index, &damaged);
        for args in [&["snapshot", "list"][..], &["snapshot", "create", &home.text("src")]] {
            let run = home.run(args).expect(13);
            assert!(run.stderr.contains("index blob xn0_"), "{run:?}");
        }
    }
    write(&index, &good);
    let empty = index.with_file_name("f6e94de7cdbc2d5de229471be279fc3f-s18a8ad2a06b257a0147-c1.f");
    write(&empty, b"");
    let run = home.run(&["snapshot", "list", "--json"]).expect(0);
    assert!(run.stderr.contains("warning:") && run.json().as_array().unwrap().len() == 1, "{run:?}");
}

#[test]
fn without_a_repository_or_its_password_every_command_says_why() {
    let home = home();
    home.snapshot();
    let src = &home.text("src");
    let commands = [
        &["snapshot", "list"][..],
        &["snapshot", "create", src],
        &["snapshot", "verify"],
        &["restore", src, "out"],
    ];
    for args in commands {
        home.run_with(args, &[("KOPIA_PASSWORD", Some("wrong"))]).expect(12);
        home.run_with(args, &[("KOPIA_CONFIG_PATH", Some("/nowhere/repository.config"))]).expect(10);
    }
    let kept = home.path("config/repository.config.kopia-password");
    std::fs::remove_file(kept).unwrap();
    let run = home.run_with(&["snapshot", "list"], &[("KOPIA_PASSWORD", None)]).expect(1);
    assert!(run.stderr.contains("KOPIA_PASSWORD"), "{run:?}");
    let format = home.path("repo/kopia.repository.f");
    let good = std::fs::read(&format).unwrap();
    write(&format, &good[..good.len() / 2]);
    home.run(&["snapshot", "list"]).expect(13);
    std::fs::remove_file(&format).unwrap();
    for args in commands {
        home.run(args).expect(10);
    }
}

#[test]
fn a_full_or_closed_stdout_is_an_error() {
    let home = home();
    home.snapshot();
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let status =
        home.packhorse(&["snapshot", "list", "--json"]).stdout(full).stderr(Stdio::null()).status().unwrap();
    assert_eq!(status.code(), Some(1));
}

#[test]
fn the_demonstration_proves_itself() {
    let home = home();
    let temporary = home.text("tmp");
    std::fs::create_dir(&temporary).unwrap();
    let run = home.run_with(&["demo", &home.text("src")], &[("TMPDIR", Some(&temporary))]).expect(0);
    assert!(run.stdout.contains("all equal"), "{run:?}");
    assert_eq!(
        std::fs::read(home.path("src/hello.txt")).unwrap(),
        b"hello\n",
        "the user's folder is only read"
    );
    assert_eq!(
        home.run(&["snapshot", "list", "--json"]).expect(0).stdout,
        "[\n]",
        "nor is his repository used"
    );
}

#[test]
fn benchmarks_rank_what_there_is() {
    let home = Home::connected();
    let small = ["--block-size=4K", "--repeat=2"];
    for (verb, rows) in [("hashing", 11), ("encryption", 2), ("crypto", 22)] {
        let run = home.run(&[&["benchmark", verb][..], &small].concat()).expect(0);
        assert_eq!(run.stdout.matches(" / second").count(), rows, "{run:?}");
        assert!(run.stdout.contains("Fastest option for this machine is: --"), "{run:?}");
    }
    let run = home
        .run(&["benchmark", "splitter", "--data-size=1MB", "--block-count=1", "--print-options"])
        .expect(0);
    assert!(run.stdout.contains("DYNAMIC-4M-BUZHASH") && run.stdout.contains(" max:1048576"), "{run:?}");
    write(&home.path("data"), &vec![b'x'; 100_000]);
    let data = format!("--data-file={}", home.text("data"));
    let run =
        home.run(&["benchmark", "compression", &data, "--repeat=1", "--algorithms=zstd,gzip"]).expect(0);
    assert_eq!(run.stdout.matches("zstd").count(), 2, "{run:?}");
    home.run(&["benchmark", "compression", &data, "--algorithms=nosuch"]).expect(2);
}

#[test]
fn kopia_reads_what_was_saved_and_the_reverse() {
    let Some(kopia) = kopia() else {
        println!("skipped: no Kopia");
        return;
    };
    let home = home();
    let create = ["snapshot", "create", &home.text("src"), "--json", "--plain-entries"];
    let ours = home.run(&create).expect(0).json();
    let kopia = |args: &[&str]| finish(&mut home.command(&kopia, args)).expect(0);
    kopia(&["snapshot", "verify", "--verify-files-percent=100"]);
    let theirs = kopia(&["snapshot", "create", &home.text("src"), "--json"]).json();
    assert_eq!(root(&ours), root(&theirs), "both make the same tree");
    let listed = kopia(&["snapshot", "list", "--json"]).json();
    assert_eq!(home.run(&["snapshot", "list", "--json"]).json(), listed);
    home.run(&["snapshot", "verify", "--verify-files-percent=100"]).expect(0);
}
