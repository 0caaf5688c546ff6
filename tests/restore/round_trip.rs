//! What was stored comes back.

use super::*;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;

/// A tree with every kind of entry, attributes out of the ordinary.
fn make_tree(root: &Path) {
    for directory in ["empty", "deep/er/still", "sealed", "sticky"] {
        std::fs::create_dir_all(root.join(directory)).unwrap();
    }
    put(&root.join("none"), b"");
    put(&root.join("one"), b"x");
    put(&root.join("deep/er/still/text"), b"hello");
    put(&root.join("several"), &noise(1_000_001));
    put(&root.join("even"), &noise(256 << 10));
    put(&root.join("zeros"), &vec![0; 700_000]);
    put(&root.join("sealed/inside"), b"secret");
    put(&root.join("suid"), b"#!");
    put(&root.join("naïve & <odd> \"name\"\n"), b"odd");
    put(&root.join(std::ffi::OsStr::from_bytes(b"caf\xe9")), b"not Unicode");
    symlink("one", root.join("link")).unwrap();
    symlink("/nowhere/at all", root.join("deep/dangling")).unwrap();
    if rustix::process::geteuid().is_root() {
        let ids = [("one", 1234, 4321), ("suid", 77, 88), ("link", 5, 6), ("empty", 0, 1000)];
        for (name, uid, gid) in ids {
            std::os::unix::fs::lchown(root.join(name), Some(uid), Some(gid)).unwrap();
        }
    }
    for (name, mode) in [("suid", 0o6755), ("one", 0), ("sealed/inside", 0o400), ("sticky", 0o3777)] {
        set_mode(&root.join(name), mode);
    }
    set_mode(&root.join("sealed"), 0o500);
    let paths: Vec<_> = walkdir::WalkDir::new(root).contents_first(true).into_iter().collect();
    for (number, found) in paths.into_iter().enumerate() {
        set_time(found.unwrap().path(), TIME - number as i64 * 1_000_000_007);
    }
}

#[test]
fn every_kind_of_entry_comes_back_with_its_attributes() {
    let (fixture, temp) = (Fixture::new(), tempfile::tempdir().unwrap());
    let source = temp.path().join("source");
    std::fs::create_dir(&source).unwrap();
    make_tree(&source);
    let root = fixture.snapshot(&source);
    let wanted = look(&source);
    let base = RestoreOptions::default();
    let variants = [
        base.clone(),
        RestoreOptions { parallel: 1, ..base.clone() },
        RestoreOptions { parallel: 16, ..base.clone() },
        RestoreOptions { write_sparse_files: true, flush_files: true, ..base },
    ];
    for (number, options) in variants.iter().enumerate() {
        let target = temp.path().join(format!("a/b/target{number}"));
        let stats = fixture.restore(&root, &target, options).unwrap();
        assert_eq!(look(&target), wanted, "variant {number}");
        assert_eq!((stats.files, stats.directories, stats.symlinks), (10, 7, 2));
        assert_eq!(stats.bytes, root.summ.as_ref().unwrap().size);
        // Once more over what is there now.
        let again = fixture.restore(&root, &target, options).unwrap();
        assert_eq!((again.files, again.symlinks, again.stored_bytes), (0, 0, 0));
        assert_eq!(
            (again.unchanged_files, again.unchanged_symlinks, again.unchanged_bytes),
            (10, 2, stats.bytes)
        );
        assert_eq!(look(&target), wanted, "variant {number}, again");
    }
    let sparse = std::fs::metadata(temp.path().join("a/b/target3/zeros")).unwrap();
    assert_eq!(sparse.blocks(), 0);
}

#[test]
fn files_and_links_are_restored_by_themselves() {
    let (fixture, temp) = (Fixture::new(), tempfile::tempdir().unwrap());
    let big = fixture.file("name in the snapshot", &noise(500_000));
    let target = temp.path().join("new/file");
    let stats = fixture.restore(&big, &target, &RestoreOptions::default()).unwrap();
    assert_eq!((stats.files, stats.directories, stats.bytes), (1, 0, 500_000));
    assert_eq!(std::fs::read(&target).unwrap(), noise(500_000));
    assert_eq!(std::fs::metadata(&target).unwrap().mtime_nsec(), TIME % 1_000_000_000);
    let small = fixture.file("small", b"small");
    fixture.restore(&small, &target, &RestoreOptions::default()).unwrap();
    assert_eq!(std::fs::read(&target).unwrap(), b"small");
    let link = fixture.link("link", "over/there");
    fixture.restore(&link, &temp.path().join("new/link"), &RestoreOptions::default()).unwrap();
    assert_eq!(std::fs::read_link(temp.path().join("new/link")).unwrap(), Path::new("over/there"));
    assert_eq!(names(&temp.path().join("new")), ["file", "link"]);
}

#[test]
fn what_is_skipped_is_left_alone() {
    let (fixture, temp) = (Fixture::new(), tempfile::tempdir().unwrap());
    let mut file = fixture.file("f", b"data");
    (file.mode, file.uid) = (Mode::from_posix(0o755), file.uid + 1);
    let root = fixture.directory("", vec![file]);
    let all = RestoreOptions {
        skip_owners: true,
        skip_permissions: true,
        skip_times: true,
        ..RestoreOptions::default()
    };
    fixture.restore(&root, temp.path(), &all).unwrap();
    let meta = std::fs::metadata(temp.path().join("f")).unwrap();
    assert_eq!((meta.mode() & 0o7777, meta.uid()), (0o600, rustix::process::getuid().as_raw()));
    assert_ne!(meta.mtime(), TIME / 1_000_000_000);
    set_mode(&temp.path().join("f"), 0o640);
    fixture.restore(&root, temp.path(), &all).unwrap();
    let mode = std::fs::metadata(temp.path().join("f")).unwrap().mode() & 0o7777;
    assert_eq!(mode, 0o640, "as the file had it that was replaced");
}

#[test]
fn a_chain_of_many_directories_comes_back() {
    let (fixture, temp) = (Fixture::new(), tempfile::tempdir().unwrap());
    let mut entry = fixture.file("leaf", b"at the bottom");
    for _ in 0..600 {
        entry = fixture.directory("d", vec![entry]);
    }
    let stats = fixture.restore(&entry, &temp.path().join("t"), &RestoreOptions::default()).unwrap();
    assert_eq!((stats.directories, stats.files), (600, 1));
    let bottom = temp.path().join("t").join("d/".repeat(599)).join("leaf");
    assert_eq!(std::fs::read(bottom).unwrap(), b"at the bottom");
}
