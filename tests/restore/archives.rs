//! Archives: what other programs read out of them is what was stored.

use super::*;
use crate::support::trees::{self, Dice, Times, Tree};
use packhorse::base::{Counter, ErrorClass};
use packhorse::blob::StorageExt;
use packhorse::restore::{ArchiveFormat, restore_archive};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

const ALL: [ArchiveFormat; 4] =
    [ArchiveFormat::Tar, ArchiveFormat::GzippedTar, ArchiveFormat::Zip, ArchiveFormat::StoredZip];

fn archive(
    fixture: &Fixture,
    entry: &DirEntry,
    target: &Path,
    format: ArchiveFormat,
    options: &RestoreOptions,
) -> Result<RestoreStats, Error> {
    restore_archive(&fixture.repository, entry, target, format, options, &Counters::default())
}

/// Small batches, so that there are many.
fn options() -> RestoreOptions {
    RestoreOptions { memory: MemoryBudget::MINIMUM, parallel: 3, ..RestoreOptions::default() }
}

/// Runs a program; `false` with a word on stderr where it is missing.
fn has_run(program: &str, args: &[&str], into: &Path) -> bool {
    std::fs::create_dir_all(into).unwrap();
    let run = Command::new(program).args(args).current_dir(into).stdin(Stdio::null()).output();
    let Ok(output) = run else {
        eprintln!("skipped: there is no {program}");
        return false;
    };
    assert!(output.status.success(), "{program} {args:?}: {output:?}");
    true
}

/// Everything that an archive can hold, one file longer than several batches.
fn make_tree(source: &Path) {
    trees::make(source, &mut Dice::new(5));
    put(&source.join("long"), &noise(9_000_001));
    let name = "n".repeat(120);
    std::fs::create_dir_all(source.join(&name).join("ünïcode")).unwrap();
    put(&source.join(&name).join(&name), b"a long way");
    std::os::unix::fs::symlink(source.join(&name).join(&name), source.join("to a long name")).unwrap();
    set_time(&source.join("long"), -1_500_000_000);
    set_time(&source.join(&name), 5_000_000_000_123_456_789);
}

/// What is said of the root is in no archive.
fn differences(source: &Path, found: &Path) -> Vec<String> {
    let mode = std::fs::metadata(source).unwrap();
    set_mode(found, mode.mode() & 0o7777);
    set_time(found, mode.mtime() * 1_000_000_000 + mode.mtime_nsec());
    Tree::look(source).stored().differences(&Tree::look(found), Times::Exact)
}

#[test]
fn tars_are_read_by_tar() {
    let (fixture, temp) = (Fixture::new(), tempfile::tempdir().unwrap());
    let source = temp.path().join("source");
    make_tree(&source);
    let root = fixture.snapshot(&source);
    let summary = root.summ.as_ref().unwrap();
    for (name, format) in [("a.tar", ArchiveFormat::Tar), ("a.tgz", ArchiveFormat::GzippedTar)] {
        let target = temp.path().join("new").join(name);
        let stats = archive(&fixture, &root, &target, format, &options()).unwrap();
        assert_eq!((stats.files, stats.bytes), (summary.files, summary.size));
        assert_eq!((stats.directories, stats.symlinks), (summary.dirs, summary.symlinks));
        assert_eq!(std::fs::metadata(&target).unwrap().mode() & 0o7777, 0o600);
        let out = temp.path().join(format!("out of {name}"));
        if has_run("tar", &["-xpf", target.to_str().unwrap(), "--numeric-owner"], &out) {
            assert_eq!(differences(&source, &out), [""; 0], "{name}");
        }
        assert_eq!(names(&temp.path().join("new")), [name]);
        std::fs::remove_file(target).unwrap();
    }
}

#[test]
fn tars_have_hard_links_special_files_and_attributes() {
    let (fixture, temp) = (Fixture::new(), tempfile::tempdir().unwrap());
    let source = temp.path().join("source");
    std::fs::create_dir_all(source.join("sub")).unwrap();
    put(&source.join("one"), b"an inode");
    for other in ["two", "sub/three"] {
        std::fs::hard_link(source.join("one"), source.join(other)).unwrap();
    }
    let fifo = source.join("fifo");
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, 0o640.into(), 0).unwrap();
    let flags = rustix::fs::XattrFlags::empty();
    let has_xattrs = rustix::fs::setxattr(source.join("sub"), "user.a=%", b"\0\n\xff", flags).is_ok();
    // Until nothing is so new that it might change without another time.
    std::thread::sleep(std::time::Duration::from_millis(60));
    let root = save(&fixture, &source, EntryForm::Identified);
    let target = temp.path().join("a.tar");
    let stats = archive(&fixture, &root, &target, ArchiveFormat::Tar, &options()).unwrap();
    assert_eq!((stats.files, stats.hard_links, stats.specials), (1, 2, 1));
    assert_eq!(stats.xattrs, u64::from(has_xattrs));
    let out = temp.path().join("out");
    if has_run("tar", &["--xattrs", "-xpf", target.to_str().unwrap()], &out) {
        assert_eq!(std::fs::metadata(out.join("sub/three")).unwrap().nlink(), 3);
        assert_eq!(std::fs::metadata(out.join("fifo")).unwrap().mode(), 0o010_640);
        if has_xattrs {
            let mut value = [0; 8];
            let length = rustix::fs::getxattr(out.join("sub"), "user.a=%", &mut value[..]).unwrap();
            assert_eq!(&value[..length], b"\0\n\xff");
        }
    }
    let all =
        RestoreOptions { skip_hard_links: true, skip_special_files: true, skip_xattrs: true, ..options() };
    let stats = archive(&fixture, &root, &target, ArchiveFormat::Tar, &all).unwrap();
    assert_eq!((stats.files, stats.hard_links, stats.specials, stats.xattrs), (3, 0, 0, 0));
    let stats = archive(&fixture, &root, &target, ArchiveFormat::Zip, &options()).unwrap();
    assert_eq!((stats.files, stats.hard_links, stats.ignored_specials), (3, 0, 1));
}

#[test]
fn zips_are_read_by_unzip_and_python() {
    let (fixture, temp) = (Fixture::new(), tempfile::tempdir().unwrap());
    let source = temp.path().join("source");
    make_tree(&source);
    let root = fixture.snapshot(&source);
    // Whole seconds, no setuid bits, and no times of links.
    let simple = |root: &Path| -> Vec<_> {
        let simple = |seen: Seen| {
            let is_link = seen.mode & 0o170_000 == 0o120_000;
            let time =
                if is_link || seen.mtime.0 < 315_532_800 { 0 } else { seen.mtime.0.min(i64::from(i32::MAX)) };
            (seen.path, seen.mode & 0o170_777, time, seen.data)
        };
        look(root).into_iter().skip(1).map(simple).collect()
    };
    for (name, format) in [("a.zip", ArchiveFormat::Zip), ("s.zip", ArchiveFormat::StoredZip)] {
        let target = temp.path().join(name);
        let stats = archive(&fixture, &root, &target, format, &options()).unwrap();
        assert_eq!(stats.files, root.summ.as_ref().unwrap().files);
        let out = temp.path().join(format!("out of {name}"));
        if has_run("unzip", &["-q", target.to_str().unwrap()], &out) {
            let (found, wanted) = (simple(&out), simple(&source));
            assert_eq!(found.len(), wanted.len());
            for (found, wanted) in found.iter().zip(&wanted) {
                let is_far = wanted.2 == i64::from(i32::MAX) || wanted.2 == 0;
                assert_eq!((&found.0, found.1), (&wanted.0, wanted.1), "{name}");
                assert!(is_far || found.2 == wanted.2, "{name}: {} has time {}", found.0, found.2);
                assert!(found.3 == wanted.3, "{name}: {} has other bytes", found.0);
            }
        }
        has_run("python3", &["-m", "zipfile", "-t", target.to_str().unwrap()], &out);
    }
}

#[test]
fn files_and_links_are_archives_by_themselves() {
    let (fixture, temp) = (Fixture::new(), tempfile::tempdir().unwrap());
    for entry in [fixture.file("f", &noise(300_000)), fixture.file("empty", b""), fixture.link("l", "there")]
    {
        for format in ALL {
            let target = temp.path().join("a");
            let stats = archive(&fixture, &entry, &target, format, &options()).unwrap();
            assert_eq!(stats.files + stats.symlinks, 1);
        }
    }
    for entry in [fixture.file("", b"x"), fixture.file("..", b"x")] {
        let error = archive(&fixture, &entry, &temp.path().join("b"), ALL[0], &options()).unwrap_err();
        assert!(matches!(error, Error::BadName { .. }), "{error:?}");
    }
    assert_eq!(names(temp.path()), ["a"]);
}

#[test]
fn names_that_lead_elsewhere_are_in_no_archive() {
    let (fixture, temp) = (Fixture::new(), tempfile::tempdir().unwrap());
    let file = fixture.file("good", b"data");
    for bad in ["..", ".", "", "a/b", "/etc/passwd"] {
        let bad = DirEntry { name: bad.to_owned(), ..file.clone() };
        let sub = fixture.directory("sub", vec![file.clone(), bad]);
        let root = fixture.directory("", vec![file.clone(), sub]);
        let target = temp.path().join("a");
        for format in ALL {
            let error = archive(&fixture, &root, &target, format, &options()).unwrap_err();
            assert_eq!(error.class(), ErrorClass::Corrupt);
            assert_eq!(names(temp.path()), [""; 0]);
            let ignoring = RestoreOptions { ignore_errors: true, ..options() };
            let stats = archive(&fixture, &root, &target, format, &ignoring).unwrap();
            assert_eq!((stats.files, stats.ignored_errors), (2, 1));
            std::fs::remove_file(&target).unwrap();
        }
    }
}

/// A tree in which the data of two files is gone.
fn broken_tree(fixture: &Fixture) -> DirEntry {
    let good = fixture.file("z good", b"in another pack");
    let before = fixture.storage.list_all("p").unwrap();
    let mut lost = fixture.file("lost", b"in the pack that goes");
    let big = fixture.file("big", &noise(400_000));
    for pack in fixture.storage.list_all("p").unwrap() {
        if !before.iter().any(|old| old.id == pack.id) {
            fixture.storage.delete(&pack.id).unwrap();
        }
    }
    let link = packhorse::snapshot::HardLink { device: None, inode: 7, links: 2 };
    let supplement = packhorse::snapshot::Supplement {
        inode: Some(7),
        hard_link: Some(Box::new(link)),
        ..packhorse::snapshot::Supplement::default()
    };
    lost.supplement = Some(Box::new(supplement));
    let again = DirEntry { name: "lost again".to_owned(), ..lost.clone() };
    let gone = DirEntry {
        name: "gone".to_owned(),
        obj: "k0123456789abcdef0123456789abcdef".parse().unwrap(),
        ..fixture.directory("", vec![])
    };
    fixture.directory("", vec![big, lost, again, good, gone])
}

#[test]
fn a_damaged_file_leaves_no_archive_or_is_left_out() {
    let (fixture, temp) = (Fixture::new(), tempfile::tempdir().unwrap());
    let root = broken_tree(&fixture);
    let target = temp.path().join("a");
    for format in ALL {
        let error = archive(&fixture, &root, &target, format, &options()).unwrap_err();
        let (Error::Data { path, .. } | Error::Directory { path, .. }) = &error else { panic!("{error:?}") };
        assert!(path.starts_with(&target) && *path != target, "{error:?}");
        assert_eq!(error.class(), ErrorClass::Corrupt);
        assert_eq!(names(temp.path()), [""; 0]);
        let ignoring = RestoreOptions { ignore_errors: true, ..options() };
        let heard = Listener::default();
        let stats = restore_archive(&fixture.repository, &root, &target, format, &ignoring, &heard).unwrap();
        assert_eq!((stats.files, stats.ignored_errors), (1, 4), "{format:?}");
        let heard = heard.0.into_inner().unwrap().join("\n");
        for name in ["big", "lost", "lost again", "gone"] {
            assert!(heard.contains(target.join(name).to_str().unwrap()), "{name}: {heard}");
        }
        let out = temp.path().join("out");
        if matches!(format, ArchiveFormat::Tar | ArchiveFormat::GzippedTar)
            && has_run("tar", &["-xf", target.to_str().unwrap()], &out)
        {
            assert_eq!(names(&out), ["z good"]);
            std::fs::remove_dir_all(out).unwrap();
        }
        std::fs::remove_file(&target).unwrap();
    }
}

/// Asks to stop at the first byte.
struct Stop(Arc<AtomicBool>);

impl Monitor for Stop {
    fn add(&self, counter: Counter, _n: u64) {
        if counter == Counter::RestoredBytes {
            self.0.store(true, Ordering::SeqCst);
        }
    }
}

#[test]
fn a_canceled_archive_is_not_there_and_the_old_one_is() {
    let (fixture, temp) = (Fixture::new(), tempfile::tempdir().unwrap());
    let files = (0..50).map(|number| fixture.file(&format!("{number}"), &noise(200_000 + number)));
    let root = fixture.directory("", files.collect());
    let target = temp.path().join("a");
    put(&target, b"older");
    for format in ALL {
        let options = RestoreOptions { cancel: Arc::default(), ..options() };
        let monitor = Stop(Arc::clone(&options.cancel));
        let error =
            restore_archive(&fixture.repository, &root, &target, format, &options, &monitor).unwrap_err();
        assert_eq!(error.class(), ErrorClass::Canceled);
        assert_eq!(
            (names(temp.path()), std::fs::read(&target).unwrap()),
            (vec!["a".to_owned()], b"older".to_vec())
        );
    }
    let refused = RestoreOptions { overwrite_files: false, ..options() };
    let error = archive(&fixture, &root, &target, ALL[0], &refused).unwrap_err();
    assert!(matches!(error, Error::InTheWay { .. }), "{error:?}");
    let error = archive(&fixture, &root, temp.path(), ALL[0], &options()).unwrap_err();
    assert!(matches!(error, Error::InTheWay { .. }), "{error:?}");
    assert_eq!(std::fs::read(&target).unwrap(), b"older");
}
