//! Names of one inode, and special files, in repositories and targets that are not as they should be.

use super::*;
use packhorse::snapshot::{HardLink, Supplement};
use serde_json::json;
use std::path::PathBuf;

/// One of several names of an inode.
fn linked(inode: u64, links: u64, entry: DirEntry) -> DirEntry {
    let hard_link = Some(Box::new(HardLink { device: None, inode, links }));
    let supplement = Supplement { inode: Some(inode), hard_link, ..Supplement::default() };
    DirEntry { supplement: Some(Box::new(supplement)), ..entry }
}

fn with_specials(fixture: &Fixture, members: Vec<DirEntry>, specials: &serde_json::Value) -> DirEntry {
    let json = DirectoryManifest::build(members, Vec::new(), TIME_STAMP, "").to_bytes();
    let mut manifest: serde_json::Value = serde_json::from_slice(&json).unwrap();
    manifest["ph"] = json!({ "specials": specials });
    fixture.raw_directory("", manifest.to_string().as_bytes())
}

fn target() -> (tempfile::TempDir, PathBuf) {
    let temp = tempfile::tempdir().unwrap();
    let target = temp.path().join("target");
    std::fs::create_dir(&target).unwrap();
    (temp, target)
}

fn inode(path: PathBuf) -> u64 {
    std::fs::symlink_metadata(path).unwrap().ino()
}

#[test]
fn when_the_first_name_fails_the_next_takes_its_turn() {
    let fixture = Fixture::new();
    for data in [&b"short"[..], &noise(300_000)] {
        let (_temp, target) = target();
        // No file can be made where a directory is.
        std::fs::create_dir(target.join("a")).unwrap();
        std::fs::create_dir(target.join("b")).unwrap();
        let named = |name: &str| linked(7, 5, fixture.file(name, data));
        let sub = fixture.directory("sub", vec![named("e")]);
        let members = vec![named("a"), named("b"), named("c"), named("d"), sub];
        let root = fixture.directory("", members);
        for parallel in [1, 4] {
            let options = RestoreOptions { ignore_errors: true, parallel, ..RestoreOptions::default() };
            let stats = fixture.restore(&root, &target, &options).unwrap();
            assert_eq!(stats.ignored_errors, 2);
            assert_eq!(std::fs::read(target.join("c")).unwrap(), data);
            let first = inode(target.join("c"));
            assert_eq!((inode(target.join("d")), inode(target.join("sub/e"))), (first, first));
        }
    }
}

#[test]
fn thousands_of_damaged_names_of_one_inode_are_thousands_of_failures() {
    let fixture = Fixture::new();
    let (_temp, target) = target();
    let missing: ObjectId = "0123456789abcdef0123456789abcdef".parse().unwrap();
    let named = |number| linked(7, 9000, entry(&format!("{number:04}"), EntryType::File, 5, 0o644, missing));
    let root = fixture.directory("", (0..9000).map(named).collect());
    let error = fixture.restore(&root, &target, &RestoreOptions::default()).unwrap_err();
    assert!(matches!(error, Error::Damaged { count: 9000, .. }), "{error}");
    assert_eq!(names(&target), [""; 0]);
}

#[test]
fn names_of_one_inode_with_other_data_are_files_of_their_own() {
    let fixture = Fixture::new();
    let (_temp, target) = target();
    let members = vec![
        linked(7, 2, fixture.file("a", b"one")),
        linked(7, 2, fixture.file("b", b"two")),
        linked(7, 2, fixture.link("c", "one")),
    ];
    fixture.restore(&fixture.directory("", members), &target, &RestoreOptions::default()).unwrap();
    assert_eq!(std::fs::read(target.join("a")).unwrap(), b"one");
    assert_eq!(std::fs::read(target.join("b")).unwrap(), b"two");
    assert_eq!(std::fs::read_link(target.join("c")).unwrap(), Path::new("one"));
}

#[test]
fn special_files_stay_in_their_directory() {
    let fixture = Fixture::new();
    for bad in ["..", ".", "", "../outside", "/tmp/x", "a/b"] {
        let (temp, target) = target();
        let specials = json!([{ "name": bad, "type": "p" }, { "name": "good", "type": "p" }]);
        let root = with_specials(&fixture, vec![fixture.file("f", b"f")], &specials);
        let error = fixture.restore(&root, &target, &RestoreOptions::default()).unwrap_err();
        assert!(matches!(&error, Error::BadName { name, .. } if name == bad), "{error}");
        let options = RestoreOptions { ignore_errors: true, ..RestoreOptions::default() };
        let stats = fixture.restore(&root, &target, &options).unwrap();
        assert_eq!((stats.ignored_errors, stats.specials), (1, 1));
        assert_eq!(names(&target), ["f", "good"]);
        assert_eq!(std::fs::read_dir(temp.path()).unwrap().count(), 1);
    }
}

#[test]
fn special_files_meet_what_is_there_by_the_rules() {
    let fixture = Fixture::new();
    let (_temp, target) = target();
    let specials = json!([
        { "name": "a", "type": "p", "mode": "0600" },
        { "name": "b", "type": "s", "mode": "0640" },
        { "name": "c", "type": "door" },
        { "name": "f", "type": "p" },
    ]);
    let root = with_specials(&fixture, vec![fixture.file("f", b"f")], &specials);
    put(&target.join("a"), b"a file");
    std::os::unix::fs::symlink("nowhere", target.join("b")).unwrap();
    let refused = RestoreOptions { overwrite_files: false, ..RestoreOptions::default() };
    let error = fixture.restore(&root, &target, &refused).unwrap_err();
    assert!(matches!(error, Error::InTheWay { found: "a file", .. }), "{error}");
    let stats = fixture.restore(&root, &target, &RestoreOptions::default()).unwrap();
    assert_eq!(stats.ignored_specials, 1, "nobody knows what a door is");
    assert_eq!(std::fs::read(target.join("f")).unwrap(), b"f", "of two with one name the file stays");
    let mode = |name: &str| std::fs::symlink_metadata(target.join(name)).unwrap().mode();
    assert_eq!((mode("a"), mode("b")), (0o010_600, 0o140_640));
    let a = inode(target.join("a"));
    fixture.restore(&root, &target, &RestoreOptions::default()).unwrap();
    assert_eq!(inode(target.join("a")), a, "what is right stays");
    std::fs::remove_file(target.join("a")).unwrap();
    std::fs::create_dir(target.join("a")).unwrap();
    let error = fixture.restore(&root, &target, &RestoreOptions::default()).unwrap_err();
    assert!(matches!(error, Error::InTheWay { found: "a directory", .. }), "{error}");
}
