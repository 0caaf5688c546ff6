//! What happens to what is there already.

use super::*;
use packhorse::base::ErrorClass;
use std::os::unix::fs::symlink;

#[test]
fn existing_files_links_and_directories_may_be_protected() {
    let (fixture, temp) = (Fixture::new(), tempfile::tempdir().unwrap());
    let root = fixture.directory(
        "",
        vec![
            fixture.directory("dir", vec![fixture.file("inner", b"1")]),
            fixture.file("file", b"new"),
            fixture.file("big", &noise(300_000)),
            fixture.link("link", "new"),
        ],
    );
    let base = RestoreOptions::default();
    let cases = [
        ("file", RestoreOptions { overwrite_files: false, ..base.clone() }),
        ("big", RestoreOptions { overwrite_files: false, ..base.clone() }),
        ("link", RestoreOptions { overwrite_symlinks: false, ..base.clone() }),
        ("dir", RestoreOptions { overwrite_directories: false, ..base.clone() }),
    ];
    for (name, options) in cases {
        // The target exists and is empty, which is no obstacle to any of the options.
        let target = temp.path().join(name);
        std::fs::create_dir(&target).unwrap();
        fixture.restore(&root, &target, &options).unwrap();
        let first = look(&target);
        // The root of a target that is not empty is protected like any other directory.
        let error = fixture.restore(&root, &target, &options).unwrap_err();
        assert_eq!(error.class(), ErrorClass::Exists, "{name}: {error}");
        assert!(look(&target).iter().all(|seen| first.iter().any(|was| was.data == seen.data)));
        let options = RestoreOptions { skip_existing: true, ..options };
        if name != "dir" {
            let stats = fixture.restore(&root, &target, &options).unwrap();
            assert_eq!((stats.skipped_files, stats.skipped_bytes), (4, 300_004));
        }
    }
}

#[test]
fn things_of_another_kind_are_in_the_way() {
    let (fixture, temp) = (Fixture::new(), tempfile::tempdir().unwrap());
    let path = temp.path();
    let cases = [
        (fixture.directory("x", Vec::new()), "file"),
        (fixture.file("x", b"data"), "dir"),
        (fixture.file("x", &noise(200_000)), "dir"),
        (fixture.link("x", "there"), "file"),
        (fixture.link("x", "there"), "dir"),
    ];
    for (number, (entry, there)) in cases.into_iter().enumerate() {
        let target = path.join(number.to_string());
        std::fs::create_dir(&target).unwrap();
        match there {
            "file" => put(&target.join("x"), b"old"),
            _ => std::fs::create_dir_all(target.join("x/y")).unwrap(),
        }
        let root = fixture.directory("", vec![entry]);
        let error = fixture.restore(&root, &target, &RestoreOptions::default()).unwrap_err();
        assert!(matches!(&error, Error::InTheWay { path, .. } if *path == target.join("x")), "{error}");
        // Deleting what does not belong makes way for it.
        let options = RestoreOptions { delete_extra: true, ..RestoreOptions::default() };
        let result = fixture.restore(&root, &target, &options);
        if there == "file" && root_kind(&fixture, &root) == EntryType::Symlink {
            // Both are no directories: Kopia does not delete then either.
            assert_eq!(result.unwrap_err().class(), ErrorClass::Exists);
        } else {
            let stats = result.unwrap();
            assert_eq!(stats.deleted_files + stats.deleted_directories, 1);
        }
    }
    put(&path.join("plain"), b"old");
    let root = fixture.directory("", Vec::new());
    let error = fixture.restore(&root, &path.join("plain"), &RestoreOptions::default()).unwrap_err();
    assert!(matches!(error, Error::InTheWay { .. }), "{error}");
}

fn root_kind(fixture: &Fixture, root: &DirEntry) -> EntryType {
    let manifest = packhorse::snapshot::read_directory(fixture.repository.objects(), root.obj).unwrap();
    manifest.entries[0].kind
}

#[test]
fn extra_members_are_deleted_without_following_links() {
    let (fixture, temp) = (Fixture::new(), tempfile::tempdir().unwrap());
    let target = temp.path().join("target");
    std::fs::create_dir_all(target.join("keep/extra/deep")).unwrap();
    std::fs::create_dir_all(temp.path().join("outside")).unwrap();
    put(&temp.path().join("outside/canary"), b"alive");
    put(&target.join("keep/extra/deep/file"), b"1");
    put(&target.join("extra file"), b"1");
    put(&target.join(".packhorse-restore-0011223344556677-0"), b"left by a killed restore");
    symlink("../../../outside", target.join("keep/extra/to-outside")).unwrap();
    symlink("../outside", target.join("extra link")).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        target.join("keep/pipe"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR,
        0,
    )
    .unwrap();
    let root = fixture.directory(
        "",
        vec![fixture.directory("keep", vec![fixture.file("f", b"1")]), fixture.file("g", b"2")],
    );
    let options = RestoreOptions { delete_extra: true, ..RestoreOptions::default() };
    let stats = fixture.restore(&root, &target, &options).unwrap();
    assert_eq!(names(&target), ["g", "keep", "keep/f"]);
    // What a killed restore has left goes in any case, and counts for nothing.
    assert_eq!((stats.deleted_files, stats.deleted_directories, stats.deleted_symlinks), (2, 1, 1));
    assert_eq!(names(&temp.path().join("outside")), ["canary"]);
}

#[test]
fn nothing_is_deleted_before_the_directory_was_read() {
    let (fixture, temp) = (Fixture::new(), tempfile::tempdir().unwrap());
    put(&temp.path().join("precious"), b"1");
    std::fs::create_dir(temp.path().join("broken")).unwrap();
    put(&temp.path().join("broken/precious"), b"1");
    let options = RestoreOptions { delete_extra: true, ignore_errors: true, ..RestoreOptions::default() };
    let broken = fixture.raw_directory("broken", b"nonsense");
    fixture.restore(&broken, temp.path(), &options).unwrap_err();
    assert_eq!(names(temp.path()), ["broken", "broken/precious", "precious"]);
    let root = fixture.directory("", vec![broken]);
    let stats = fixture.restore(&root, temp.path(), &options).unwrap();
    assert_eq!((stats.ignored_errors, stats.deleted_files), (1, 1));
    assert_eq!(names(temp.path()), ["broken", "broken/precious"]);
}

#[test]
fn other_hard_links_of_a_replaced_file_keep_their_data() {
    let (fixture, temp) = (Fixture::new(), tempfile::tempdir().unwrap());
    put(&temp.path().join("file"), b"old");
    std::fs::hard_link(temp.path().join("file"), temp.path().join("other")).unwrap();
    let root = fixture.directory("", vec![fixture.file("file", b"new")]);
    fixture.restore(&root, temp.path(), &RestoreOptions::default()).unwrap();
    assert_eq!(std::fs::read(temp.path().join("file")).unwrap(), b"new");
    assert_eq!(std::fs::read(temp.path().join("other")).unwrap(), b"old");
}

#[test]
fn only_files_with_the_stored_size_and_time_are_skipped() {
    let (fixture, temp) = (Fixture::new(), tempfile::tempdir().unwrap());
    let members = ["same", "near", "late", "longer"].map(|name| fixture.file(name, b"good")).to_vec();
    let root = fixture.directory("", members);
    for (name, data, time) in [
        ("same", "left", TIME),
        ("near", "left", TIME + 1_900_000_000),
        ("late", "left", TIME + 2_000_000_000),
        ("longer", "left!", TIME),
    ] {
        put(&temp.path().join(name), data.as_bytes());
        set_time(&temp.path().join(name), time);
    }
    let options = RestoreOptions { skip_existing: true, ..RestoreOptions::default() };
    let stats = fixture.restore(&root, temp.path(), &options).unwrap();
    assert_eq!((stats.files, stats.skipped_files, stats.skipped_bytes), (2, 2, 8));
    let data: Vec<_> = look(temp.path()).into_iter().skip(1).map(|seen| seen.data).collect();
    assert_eq!(data, [b"good", b"good", b"left", b"left"]);
}
