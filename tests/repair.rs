//! Snapshots rewritten without what they should not have, and estimates of snapshots to come.

use crate::cli::{Home, Run, write};
use crate::support::world::{self, World, begin, small_format};
use packhorse::compression;
use packhorse::content::Scratch;
use packhorse::object::{ObjectId, ObjectOptions};
use packhorse::snapshot::{
    DirEntry, DirectoryManifest, EntryError, EntryType, Handling, NamePattern, RewriteOptions, Rewriter,
    UnwantedFiles, read_directory,
};
use serde_json::Value;
use std::path::PathBuf;

fn path(home: &Home, name: &str) -> String {
    home.path(name).to_str().unwrap().to_owned()
}

fn snapshot(home: &Home) -> Value {
    home.run(&["snapshot", "create", &path(home, "src"), "--json"]).expect(0).json()
}

fn list(home: &Home) -> Vec<Value> {
    home.run(&["snapshot", "list", "--all", "--json"]).expect(0).json().as_array().unwrap().clone()
}

fn fix(home: &Home, args: &[&str]) -> Run {
    home.run(&[&["snapshot", "fix"], args].concat())
}

fn text<'a>(snapshot: &'a Value, pointer: &str) -> &'a str {
    snapshot.pointer(pointer).and_then(Value::as_str).unwrap()
}

/// The blobs of the store, and those among them that hold file data.
fn blobs(home: &Home) -> (usize, Vec<PathBuf>) {
    let root = home.path("repo");
    let files: Vec<_> = walkdir::WalkDir::new(&root)
        .into_iter()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.file_type().is_file())
        .map(walkdir::DirEntry::into_path)
        .collect();
    let is_data = |path: &&PathBuf| {
        path.strip_prefix(&root).unwrap().to_str().unwrap().replace('/', "").starts_with('p')
    };
    (files.len(), files.iter().filter(is_data).cloned().collect())
}

/// A home with two snapshots, of which the second has a file whose data is gone.
fn damaged() -> (Home, Value, Value) {
    let home = Home::connected();
    std::fs::create_dir_all(home.path("src/a")).unwrap();
    std::fs::create_dir_all(home.path("src/b")).unwrap();
    write(&home.path("src/a/one.txt"), b"one\n");
    write(&home.path("src/b/keep.txt"), b"keep\n");
    let first = snapshot(&home);
    let (_, before) = blobs(&home);
    write(&home.path("src/b/two.bin"), &world::noise(1, 5000));
    let second = snapshot(&home);
    let lost: Vec<_> = blobs(&home).1.into_iter().filter(|blob| !before.contains(blob)).collect();
    assert!(!lost.is_empty());
    for blob in &lost {
        std::fs::remove_file(blob).unwrap();
    }
    home.run(&["snapshot", "verify"]).expect(13);
    (home, first, second)
}

#[test]
fn files_that_cannot_be_read_are_replaced_by_what_is_known_of_them() {
    let (home, first, second) = damaged();
    let before = blobs(&home).0;
    let would = fix(&home, &["invalid-files"]).expect(0);
    assert!(would.stderr.contains("b/two.bin cannot be read and is replaced"), "{would:?}");
    assert!(would.stderr.contains("1 snapshots would be rewritten; pass --commit"), "{would:?}");
    let failed = fix(&home, &["invalid-files", "--invalid-file-handling=fail", "--commit"]).expect(13);
    assert!(failed.stderr.contains("b/two.bin"), "{failed:?}");
    let kept = fix(&home, &["invalid-files", "--invalid-file-handling=keep", "--commit"]).expect(0);
    assert!(kept.stderr.contains("b/two.bin") && kept.stderr.contains("0 snapshots were"), "{kept:?}");
    assert_eq!(blobs(&home).0, before, "nothing was written so far");

    fix(&home, &["invalid-files", "--commit", "--parallel=2"]).expect(0);
    let listed = list(&home);
    assert_eq!(text(&listed[0], "/id"), text(&first, "/id"), "what is whole stays as it is");
    assert_ne!(text(&listed[1], "/id"), text(&second, "/id"));
    assert_eq!(text(&listed[1], "/startTime"), text(&second, "/startTime"));
    home.run(&["snapshot", "verify", "--verify-files-percent=100"]).expect(0);
    let name = format!("{}/b/.INVALID.two.bin", text(&listed[1], "/id"));
    let stub = home.run(&["show", &name]).expect(0);
    assert!(stub.stdout.starts_with("{\n      \"info\": \"") && stub.stdout.ends_with("\n  }\n"), "{stub:?}");
    let stub = stub.json();
    assert_eq!((text(&stub, "/entry/name"), &stub["entry"]["size"]), ("two.bin", &5000.into()));
    assert!(text(&stub, "/error").contains("pack"), "{stub}");
    let again = fix(&home, &["invalid-files", "--commit", "--verify-files-percent=100"]).expect(0);
    assert!(again.stderr.contains("0 snapshots were rewritten"), "{again:?}");

    // Without the stub the tree is that of the first snapshot, but for the times of the changed folder.
    fix(&home, &["remove-files", "--filename=.INVALID.*", "--commit"]).expect(0);
    let listed = list(&home);
    let summary = |at: usize, key: &str| listed[at]["rootEntry"]["summ"][key].clone();
    assert_eq!((summary(1, "files"), summary(1, "size")), (summary(0, "files"), summary(0, "size")));
}

#[test]
fn files_that_cannot_be_read_can_go() {
    let (home, _, second) = damaged();
    let id = format!("--manifest-id={}", text(&second, "/id"));
    fix(&home, &["invalid-files", &id, "--invalid-file-handling=remove", "--commit"]).expect(0);
    let listed = list(&home);
    assert_eq!(listed[1]["rootEntry"]["summ"]["files"], 2);
    home.run(&["snapshot", "verify", "--verify-files-percent=100"]).expect(0);
    fix(&home, &["invalid-files", &id]).expect(1);
    fix(&home, &["invalid-files", "--source=bob@other:/none"]).expect(1);
    fix(&home, &["invalid-files", "--source=(global)"]).expect(2);
    fix(&home, &["invalid-files", "--invalid-directory-handling=remove"]).expect(2);
    fix(&home, &["invalid-files", "--invalid-file-handling=burn"]).expect(2);
}

#[test]
fn unwanted_files_go_by_name_and_by_object() {
    let home = Home::connected();
    std::fs::create_dir_all(home.path("src/deep/er")).unwrap();
    std::fs::create_dir_all(home.path("src/other")).unwrap();
    for name in ["secret.key", "deep/er/secret.key", "deep/note.txt", "other/x", "same"] {
        write(&home.path("src").join(name), name.as_bytes());
    }
    let first = snapshot(&home);
    write(&home.path("src/new"), b"new");
    snapshot(&home);
    home.run(&["snapshot", "create", &path(&home, "src/other"), "--pin=p", "--tags=a:b"]).expect(0);

    fix(&home, &["remove-files"]).expect(2);
    fix(&home, &["remove-files", "--filename=[x"]).expect(2);
    fix(&home, &["remove-files", "--object-id=nonsense"]).expect(2);
    let before = blobs(&home).0;
    let would = fix(&home, &["remove-files", "--filename=*.key"]).expect(0);
    assert!(would.stderr.contains("2 snapshots would be rewritten"), "{would:?}");
    assert_eq!(would.stderr.matches("deep/er/secret.key is left out").count(), 1, "once: {would:?}");
    assert_eq!(blobs(&home).0, before);
    fix(&home, &["remove-files", "--filename=*.key", "--commit"]).expect(0);
    let listed = list(&home);
    let files: Vec<_> = listed.iter().map(|listed| listed["rootEntry"]["summ"]["files"].clone()).collect();
    assert_eq!(files, [3, 4, 1].map(Value::from));
    let root = text(&listed[0], "/rootEntry/obj").to_owned();
    let names = home.run(&["ls", "-r", &root]).expect(0).stdout;
    assert!(
        !names.contains("secret") && names.contains("/deep/er/") && names.contains("/other/x"),
        "{names}"
    );
    assert_eq!((&listed[2]["pins"][0], &listed[2]["tags"]["tag:a"]), (&"p".into(), &"b".into()));
    home.run(&["snapshot", "verify", "--verify-files-percent=100"]).expect(0);

    // A folder goes with everything in it, by its object.
    let ids = home.run(&["ls", "-o", text(&first, "/rootEntry/obj")]).expect(0).stdout;
    let other = ids.lines().find(|line| line.ends_with(" other/") || line.ends_with(" other")).unwrap();
    let object = format!("--object-id={}", other.split_whitespace().next().unwrap());
    let source = format!("--source={}", path(&home, "src"));
    fix(&home, &["remove-files", &object, &source, "--commit"]).expect(0);
    assert_eq!(list(&home)[0]["rootEntry"]["summ"]["dirs"], 3);
    // Its own snapshot keeps a root: what cannot be left out is replaced, kept or refused.
    let own = format!("--source={}", path(&home, "src/other"));
    let refused = [object.as_str(), &own, "--commit", "--invalid-directory-handling=fail"];
    fix(&home, &[&["remove-files"], &refused[..]].concat()).expect(1);
    let kept = [object.as_str(), &own, "--commit", "--invalid-directory-handling=keep"];
    assert!(fix(&home, &[&["remove-files"], &kept[..]].concat()).expect(0).stderr.contains("0 snapshots"));
    fix(&home, &["remove-files", &object, &own, "--commit"]).expect(0);
    assert_eq!(list(&home)[2]["rootEntry"]["name"], ".INVALID.other");
}

/// Stores a directory with these members and these own failures.
fn directory(
    writer: &packhorse::repo::RepositoryWriter<'_>,
    name: &str,
    members: Vec<DirEntry>,
    failures: Vec<(EntryError, bool)>,
) -> DirEntry {
    let manifest = DirectoryManifest::build(members, failures, "2024-01-01T00:00:00Z".parse().unwrap(), "");
    let options = ObjectOptions {
        prefix: packhorse::format::IdPrefix::DIRECTORY,
        compressor: None,
        metadata_compressor: None,
    };
    let obj = writer.objects().write(&mut manifest.to_bytes(), &options, &mut Scratch::default()).unwrap();
    let summ = manifest.summary.map(Box::new);
    DirEntry { name: name.to_owned(), kind: EntryType::Directory, obj, summ, ..DirEntry::default() }
}

fn file(name: &str, obj: &str) -> DirEntry {
    let obj: ObjectId = obj.parse().unwrap();
    DirEntry { name: name.to_owned(), kind: EntryType::File, size: 3, obj, ..DirEntry::default() }
}

#[test]
fn directories_that_cannot_be_read_and_failures_of_old_are_remembered() {
    let world = World::new(small_format());
    let repository = world.open();
    let mut writer = begin(&repository);
    let error = |path: &str| EntryError { path: path.to_owned(), error: "denied".to_owned() };
    let inner = directory(
        &writer,
        "inner",
        vec![file("x.tmp", "abcd"), file("y", "abce")],
        vec![(error("inner/z"), false)],
    );
    let lost = DirEntry {
        name: "lost".to_owned(),
        kind: EntryType::Directory,
        obj: "kabcdef0123456789abcdef0123456789".parse().unwrap(),
        summ: inner.summ.clone(),
        ..DirEntry::default()
    };
    let root = directory(&writer, "root", vec![inner, lost.clone()], vec![(error("w"), true)]);
    let whole = directory(&writer, "whole", vec![file("y", "abce")], vec![(error("v"), false)]);
    writer.flush().unwrap();

    let repository = world.open();
    let writer = begin(&repository);
    let judge =
        UnwantedFiles { names: vec![NamePattern::parse("*.tmp").unwrap()], ..UnwantedFiles::default() };
    let said = parking_lot::Mutex::new(Vec::new());
    let say = |line: &str| said.lock().push(line.to_owned());
    let rewriter = |handling| {
        let options = RewriteOptions { invalid_files: Handling::Keep, invalid_directories: handling };
        Rewriter::new(repository.objects(), Some(writer.objects().clone()), &judge, options, &say)
    };
    let compressor = compression::by_name("zstd-fastest");
    assert!(rewriter(Handling::Fail).rewrite(&root, compressor).is_err());
    assert_eq!(
        rewriter(Handling::Fail).rewrite(&whole, compressor).unwrap(),
        None,
        "nothing to do, nothing done"
    );
    let mut stubbing = rewriter(Handling::Stub);
    let new = stubbing.rewrite(&root, compressor).unwrap().unwrap();
    assert_eq!(stubbing.rewrite(&root, compressor).unwrap().as_ref(), Some(&new), "the same the second time");
    assert_eq!(said.lock().iter().filter(|line| line.contains("inner/x.tmp")).count(), 2, "once a rewriter");
    let summary = new.summ.as_deref().unwrap();
    assert_eq!((summary.num_failed, summary.num_ignored_errors, summary.dirs), (1, 1, 2));
    let paths: Vec<_> = summary.errors.iter().map(|error| error.path.as_str()).collect();
    assert_eq!(paths, ["inner/z", "w"], "failures of the lost directory went with it");

    drop(writer.objects().contents().flush());
    let reader = world.open();
    let members = read_directory(reader.objects(), new.obj).unwrap().entries;
    let names: Vec<_> = members.iter().map(|member| member.name.as_str()).collect();
    assert_eq!(names, ["inner", ".INVALID.lost"]);
    let inner = read_directory(reader.objects(), members[0].obj).unwrap();
    assert_eq!(inner.entries.len(), 1);
    let stub: Value = serde_json::from_slice(&reader.objects().read_all(members[1].obj).unwrap()).unwrap();
    assert_eq!(stub["entry"], serde_json::to_value(&lost).unwrap());
    assert_eq!(members[1].kind, EntryType::File);
}

#[test]
fn estimates_follow_the_rules_of_snapshots() {
    let home = Home::connected();
    let src = path(&home, "src");
    std::fs::create_dir_all(home.path("src/sub/deep")).unwrap();
    std::fs::create_dir_all(home.path("src/skip")).unwrap();
    for (name, len) in [("a", 0), ("sub/b", 2000), ("sub/deep/c", 20_000), ("x.tmp", 500), ("skip/y", 9)] {
        write(&home.path("src").join(name), &vec![b'.'; len]);
    }
    std::os::unix::fs::symlink("a", home.path("src/link")).unwrap();
    home.run(&["policy", "set", &src, "--add-ignore=*.tmp", "--add-ignore=/skip"]).expect(0);
    let estimate = |args: &[&str]| home.run(&[&["snapshot", "estimate", &src], args].concat());
    let found = estimate(&[]).expect(0);
    let lines: Vec<_> = found.stdout.lines().collect();
    let wanted = [
        "3 files would be saved, 22 KB",
        "   10 KB ...100 KB:       1 files, 20 KB",
        "    1 KB ... 10 KB:       1 files, 2 KB",
        "    0 B   ...  1 KB:       1 files, 0 B",
        "",
        "1 files would be left out, 500 B",
        "    0 B   ...  1 KB:       1 files, 500 B",
        " - x.tmp - 500 B",
        "1 directories would be left out",
        " - skip",
        "",
        "Estimated upload time: 0s at 10 Mbit/s",
    ];
    let squeezed = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!(
        lines.iter().map(|line| squeezed(line)).collect::<Vec<_>>(),
        wanted.iter().map(|line| squeezed(line)).collect::<Vec<_>>()
    );
    let looked_at: Vec<_> = found.stderr.lines().collect();
    assert_eq!(looked_at, ["Looking at .", "Looking at sub", "Looking at sub/deep"]);
    let shown = estimate(&["--show-files", "-q", "--upload-speed=0.01"]).expect(0);
    assert!(shown.stdout.contains(" - sub/deep/c - 20 KB") && shown.stderr.is_empty(), "{shown:?}");
    assert!(shown.stdout.contains("Estimated upload time: 17s at 0.01 Mbit/s"), "{shown:?}");
    let few = estimate(&["--show-files", "--max-examples-per-bucket=0"]).expect(0);
    assert!(!few.stdout.contains(" - "), "{few:?}");
    let saved = home.run(&["snapshot", "create", &src, "--json"]).expect(0).json();
    assert_eq!(saved["rootEntry"]["summ"]["files"], 3, "an estimate counts what a snapshot has");
    assert_eq!(saved["rootEntry"]["summ"]["size"], 22_000);
    estimate(&["--upload-speed=0"]).expect(2);
    home.run(&["snapshot", "estimate", &path(&home, "none")]).expect(1);
    home.run(&["snapshot", "estimate", &path(&home, "src/a")]).expect(1);
    home.run(&["policy", "set", &src, "--ignore-unknown-types=false"]).expect(0);
    let pipe = std::process::Command::new("mkfifo").arg(home.path("src/pipe")).status().unwrap();
    assert!(pipe.success());
    let partial = estimate(&[]).expect(3);
    assert!(partial.stderr.contains("pipe") && partial.stdout.contains("1 errors"), "{partial:?}");
}
