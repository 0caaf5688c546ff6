//! Restores that cannot be finished, and what they leave.

use super::*;
use packhorse::base::{Counter, ErrorClass};
use packhorse::blob::StorageExt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Asks to stop after so many bytes.
struct StopAfter {
    left: AtomicU64,
    cancel: Arc<AtomicBool>,
}

impl Monitor for StopAfter {
    fn add(&self, counter: Counter, n: u64) {
        if counter == Counter::RestoredBytes {
            let before = self
                .left
                .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| Some(left.saturating_sub(n)));
            if before.is_ok_and(|before| before <= n) {
                self.cancel.store(true, Ordering::SeqCst);
            }
        }
    }
}

#[test]
fn an_interrupted_restore_shows_only_whole_files_and_can_be_resumed() {
    let (fixture, temp) = (Fixture::new(), tempfile::tempdir().unwrap());
    let mut members: Vec<_> =
        (0..60).map(|number| fixture.file(&format!("f{number:02}"), &noise(1000 + number))).collect();
    members.push(fixture.file("a big one", &noise(3_000_000)));
    members.push(fixture.link("link", "f00"));
    let root = fixture.directory("", vec![fixture.directory("sub", members.clone()), members[0].clone()]);
    let complete = temp.path().join("complete");
    fixture.restore(&root, &complete, &RestoreOptions::default()).unwrap();
    let target = temp.path().join("target");
    for bytes in [500, 200_000, 900_000, 3_020_000] {
        let options = RestoreOptions { skip_existing: true, parallel: 3, ..RestoreOptions::default() };
        let cancel = Arc::clone(&options.cancel);
        let monitor = StopAfter { left: AtomicU64::new(bytes), cancel };
        match restore(&fixture.repository, &root, &target, &options, &monitor) {
            Err(error) => assert_eq!(error.class(), ErrorClass::Canceled),
            // What the others have done need not be done again.
            Ok(_) => assert!(bytes >= 200_000),
        }
        let whole = look(&complete);
        for seen in look(&target).into_iter().skip(1).filter(|seen| seen.mode & 0o170_000 != 0o040_000) {
            // Only the big file is gone on with.
            if seen.path.starts_with("sub/.packhorse-restore-") {
                continue;
            }
            assert!(whole.contains(&seen), "{} is not what it will be", seen.path);
        }
    }
    let options = RestoreOptions { skip_existing: true, ..RestoreOptions::default() };
    let stats = fixture.restore(&root, &target, &options).unwrap();
    assert!(stats.skipped_files > 0);
    assert_eq!(look(&target), look(&complete));
}

#[test]
fn a_half_file_is_not_taken_for_a_whole_one() {
    let (fixture, temp) = (Fixture::new(), tempfile::tempdir().unwrap());
    let root = fixture.directory("", vec![fixture.file("f", b"complete")]);
    // As a killed restore leaves it: as long as it should be, but without the time, which comes last.
    put(&temp.path().join("f"), b"comp\0\0\0\0");
    let options = RestoreOptions { skip_existing: true, ..RestoreOptions::default() };
    let stats = fixture.restore(&root, temp.path(), &options).unwrap();
    assert_eq!((stats.files, stats.skipped_files), (1, 0));
    assert_eq!(std::fs::read(temp.path().join("f")).unwrap(), b"complete");
}

/// A tree in which one pack, to be deleted, holds the data of two files.
fn broken_tree(fixture: &Fixture) -> DirEntry {
    let good = fixture.file("good", b"in another pack");
    let before = fixture.storage.list_all("p").unwrap();
    let (lost, big) = (fixture.file("lost", b"in the pack that goes"), fixture.file("big", &noise(400_000)));
    for pack in fixture.storage.list_all("p").unwrap() {
        if !before.iter().any(|old| old.id == pack.id) {
            fixture.storage.delete(&pack.id).unwrap();
        }
    }
    let inner = fixture.directory("inner", vec![lost, good.clone()]);
    fixture.directory("", vec![fixture.directory("outer", vec![inner, big]), good])
}

#[test]
fn what_cannot_be_read_is_named_and_the_rest_restored() {
    let (fixture, temp) = (Fixture::new(), tempfile::tempdir().unwrap());
    let root = broken_tree(&fixture);
    let target = temp.path().join("target");
    let listener = Listener::default();
    let options = RestoreOptions { ignore_errors: true, ..RestoreOptions::default() };
    let stats = restore(&fixture.repository, &root, &target, &options, &listener).unwrap();
    assert_eq!((stats.files, stats.directories, stats.ignored_errors), (2, 3, 2));
    let mut warnings = listener.0.into_inner().unwrap();
    warnings.sort();
    assert!(warnings[0].contains(target.join("outer/big").to_str().unwrap()), "{}", warnings[0]);
    assert!(warnings[1].contains(target.join("outer/inner/lost").to_str().unwrap()), "{}", warnings[1]);
    assert_eq!(names(&target), ["good", "outer", "outer/inner", "outer/inner/good"]);
    for seen in look(&target) {
        assert_eq!(seen.mtime.1, TIME % 1_000_000_000, "{} has its time", seen.path);
        assert_ne!(seen.mode & 0o7777, 0o700, "{} has its permissions", seen.path);
    }
}

#[test]
fn damage_is_told_in_the_end_and_harms_nothing_else() {
    let (fixture, temp) = (Fixture::new(), tempfile::tempdir().unwrap());
    let root = broken_tree(&fixture);
    let target = temp.path().join("target");
    let listener = Listener::default();
    let error =
        restore(&fixture.repository, &root, &target, &RestoreOptions::default(), &listener).unwrap_err();
    assert!(matches!(&error, Error::Damaged { count: 2, .. }), "{error}");
    assert_eq!(error.class(), ErrorClass::Corrupt);
    let warnings = listener.0.into_inner().unwrap();
    for path in ["outer/big", "outer/inner/lost"] {
        let path = target.join(path);
        assert!(warnings.iter().any(|warning| warning.contains(path.to_str().unwrap())), "{warnings:?}");
    }
    assert_eq!(names(&target), ["good", "outer", "outer/inner", "outer/inner/good"]);
}
