//! Real Kopia and this program on stored snapshots and policies: what one pins, moves, fixes, expires or imports, the
//! other sees. Runs where `PACKHORSE_TEST_KOPIA` names a kopia executable.

use crate::support::programs::{Program, text};
use serde_json::Value;
use std::path::Path;
use std::process::Command;

/// A source with a folder, and snapshots of it by `program`, the second of which has more.
fn two_snapshots(program: &Program, source: &Path) -> [Value; 2] {
    std::fs::create_dir_all(source.join("sub/deep")).unwrap();
    for (name, data) in [("a.tmp", "one"), ("b", "two"), ("sub/c.tmp", "three"), ("sub/deep/d", "four")] {
        crate::cli::write(&source.join(name), data.as_bytes());
    }
    let first = program.snapshot(source);
    crate::cli::write(&source.join("sub/e"), b"five");
    [first, program.snapshot(source)]
}

fn list(program: &Program) -> Vec<Value> {
    serde_json::from_str(&program.ok(["snapshot", "list", "--all", "--json"])).unwrap()
}

#[track_caller]
fn assert_agree(ours: &Program, kopia: &Program) {
    assert_eq!(list(ours), list(kopia));
    ours.verify();
    kopia.verify();
}

fn copy(from: &Path, to: &Path) {
    assert!(Command::new("cp").arg("-a").args([from, to]).status().unwrap().success());
}

#[test]
fn pins_and_histories_are_seen_by_the_other() {
    let Some(kopia) = Program::kopia() else { return };
    let ours = Program::packhorse();
    let base = tempfile::tempdir().unwrap();
    let repository = base.path().join("repository");
    ours.create(&repository, &[]);
    kopia.connect(&repository);
    let [first, second] = two_snapshots(&kopia, &base.path().join("source"));
    let id = |snapshot: &Value| snapshot["id"].as_str().unwrap().to_owned();
    ours.ok(["snapshot", "pin", &id(&first), "--add=ours"]);
    assert_agree(&ours, &kopia);
    kopia.ok(["snapshot", "pin", &id(&second), "--add=theirs"]);
    assert_agree(&ours, &kopia);
    let pins: Vec<_> = list(&ours).iter().map(|snapshot| snapshot["pins"][0].clone()).collect();
    assert_eq!(pins, ["ours", "theirs"]);
    ours.ok(["snapshot", "pin", second["rootEntry"]["obj"].as_str().unwrap(), "--remove=theirs"]);
    ours.ok(["snapshot", "copy-history", "groom@stable", "bob@other"]);
    assert_agree(&ours, &kopia);
    kopia.ok(["snapshot", "move-history", "bob@other", "carol@new"]);
    assert_agree(&ours, &kopia);
    ours.ok(["snapshot", "move-history", "carol@new", "@old"]);
    // What is there already is not there twice, whoever looks.
    kopia.ok(["snapshot", "copy-history", "groom@stable", "carol@old"]);
    assert_agree(&ours, &kopia);
    assert_eq!(list(&ours).len(), 4);
}

#[test]
fn both_expire_the_same() {
    let Some(kopia) = Program::kopia() else { return };
    let base = tempfile::tempdir().unwrap();
    let (one, other) = (base.path().join("one"), base.path().join("other"));
    let source = base.path().join("source");
    std::fs::create_dir(&source).unwrap();
    let ours = Program::packhorse();
    ours.create(&one, &[]);
    ours.ok(["policy", "set", "--global", "--keep-latest=50"]);
    let source = source.display().to_string();
    for number in 0..24 {
        let (month, day, hour) = (1 + number / 8, 1 + (number * 5) % 27, (number * 7) % 24);
        let time = format!("--start-time=2024-{month:02}-{day:02} {hour:02}:10:00 UTC");
        let pin = if number == 3 { "--pin=p" } else { "--no-fail-fast" };
        ours.ok(["snapshot", "create", &source, &time, pin]);
    }
    let keep =
        ["--keep-latest=2", "--keep-hourly=4", "--keep-daily=3", "--keep-weekly=3", "--keep-monthly=2"];
    ours.ok(["policy", "set", "--global"].iter().chain(&keep));
    copy(&one, &other);
    kopia.connect(&other);
    ours.ok(["snapshot", "expire", "--all", "--delete"]);
    kopia.ok(["snapshot", "expire", "--all", "--delete"]);
    let kept = |program: &Program| {
        list(program).iter().map(|snapshot| snapshot["startTime"].clone()).collect::<Vec<_>>()
    };
    let left = kept(&ours);
    assert_eq!(left, kept(&kopia));
    assert!((5..24).contains(&left.len()), "{left:?}");
}

#[test]
fn both_remove_files_alike() {
    let Some(kopia) = Program::kopia() else { return };
    let ours = Program::packhorse().plain();
    let base = tempfile::tempdir().unwrap();
    let (one, other) = (base.path().join("one"), base.path().join("other"));
    ours.create(&one, &[]);
    two_snapshots(&ours, &base.path().join("source"));
    copy(&one, &other);
    kopia.connect(&other);
    for program in [&ours, &kopia] {
        program.ok(["snapshot", "fix", "remove-files", "--filename=*.tmp", "--commit"]);
    }
    let roots = |program: &Program| {
        list(program).into_iter().map(|snapshot| snapshot["rootEntry"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(roots(&ours), roots(&kopia), "the same trees, to the byte");
    // Each is content with what the other made of it.
    let reader = Program::packhorse();
    reader.connect(&other);
    reader.verify();
    let Some(reader) = Program::kopia() else { return };
    reader.connect(&one);
    reader.verify();
}

#[test]
fn stubs_are_files_to_the_other() {
    let Some(kopia) = Program::kopia() else { return };
    let ours = Program::packhorse().plain();
    let base = tempfile::tempdir().unwrap();
    let (repository, source) = (base.path().join("repository"), base.path().join("source"));
    ours.create(&repository, &[]);
    std::fs::create_dir_all(&source).unwrap();
    crate::cli::write(&source.join("a"), b"one");
    ours.snapshot(&source);
    let data = |root: &Path| -> Vec<_> {
        let files = walkdir::WalkDir::new(root).into_iter().map(|entry| entry.unwrap().into_path());
        let name = |path: &Path| path.strip_prefix(root).unwrap().to_str().unwrap().replace('/', "");
        files.filter(|path| path.is_file() && name(path).starts_with('p')).collect()
    };
    let before = data(&repository);
    crate::cli::write(&source.join("b"), b"to be lost");
    ours.snapshot(&source);
    for lost in data(&repository).iter().filter(|path| !before.contains(path)) {
        std::fs::remove_file(lost).unwrap();
    }
    ours.ok(["snapshot", "fix", "invalid-files", "--commit"]);
    kopia.connect(&repository);
    assert_agree(&ours, &kopia);
    let nothing = kopia.run(["snapshot", "fix", "invalid-files", "--commit"]);
    assert!(
        nothing.status.success() && text(&nothing.stderr).contains("No changes"),
        "{}",
        text(&nothing.stderr)
    );
    let root = list(&kopia)[1]["rootEntry"]["obj"].as_str().unwrap().to_owned();
    let stub: Value = serde_json::from_str(&kopia.ok(["show", &format!("{root}/.INVALID.b")])).unwrap();
    assert_eq!(stub["entry"]["name"], "b");
}

#[test]
fn policies_go_over_as_documents() {
    let Some(kopia) = Program::kopia() else { return };
    let ours = Program::packhorse();
    let base = tempfile::tempdir().unwrap();
    let repository = base.path().join("repository");
    kopia.create(&repository, &[]);
    ours.connect(&repository);
    kopia.ok([
        "policy",
        "set",
        "bob@other:/x",
        "--keep-latest=5",
        "--add-ignore=*.tmp",
        "--snapshot-time=6:05",
    ]);
    ours.ok(["policy", "set", "@other", "--keep-daily=9", "--before-snapshot-root-action=/bin/true x"]);
    let (mine, theirs) = (ours.ok(["policy", "export"]), kopia.ok(["policy", "export"]));
    assert_eq!(mine, theirs, "the same document, to the byte");
    let file = base.path().join("p.json");
    crate::cli::write(&file, mine.replace("\"keepDaily\":9", "\"keepDaily\":10").as_bytes());
    let from = format!("--from-file={}", file.display());
    ours.ok(["policy", "import", &from]);
    assert!(kopia.ok(["policy", "export"]).contains("\"keepDaily\":10"));
    crate::cli::write(&file, br#"{"bob@other:/x":{"retention":{"keepLatest":6}}}"#);
    kopia.ok(["policy", "import", &from, "--delete-other-policies"]);
    assert_eq!(ours.ok(["policy", "export"]), kopia.ok(["policy", "export"]));
    assert_eq!(ours.ok(["policy", "list"]).lines().count(), 1);
}
