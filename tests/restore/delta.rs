//! How little is read and written: packs once, equal contents once, and over what is there only what differs.

use super::*;
use packhorse::base::Counter;
use packhorse::blob::StorageExt;
use packhorse::content::PackKind;
use std::collections::HashSet;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicU64, Ordering};

/// Contents that the files have in packs, in bytes, each counted once.
fn needed(fixture: &Fixture, files: &[DirEntry]) -> u64 {
    let objects = fixture.repository.objects();
    let ids: HashSet<_> = files
        .iter()
        .flat_map(|file| match objects.segments(file.obj).unwrap() {
            Some(parts) => parts.into_iter().filter_map(|part| part.object.content()).collect(),
            None => vec![file.obj.content().unwrap()],
        })
        .collect();
    let length = |id| u64::from(objects.contents().info(id).unwrap().packed_length);
    ids.iter().map(length).sum()
}

fn lose_data(fixture: &Fixture) {
    for pack in fixture.storage.list_all(PackKind::Data.prefix()).unwrap() {
        fixture.storage.delete(&pack.id).unwrap();
    }
}

#[test]
fn no_more_is_read_than_needed() {
    let (fixture, temp) = (Fixture::new(), tempfile::tempdir().unwrap());
    let sizes = [0, 1, 100, 5_000, 40_000, 131_072, 131_073, 300_000, 1_000_000];
    let all: Vec<_> = (0..300_usize)
        .map(|number| fixture.file(&format!("f{number}"), &noise(sizes[number % sizes.len()] + number / 100)))
        .collect();
    for (name, step) in [("all", 1), ("some", 2), ("few", 13)] {
        let chosen: Vec<_> = all.iter().step_by(step).cloned().collect();
        let needed = needed(&fixture, &chosen);
        let root = fixture.directory("", chosen);
        let stats = fixture.restore(&root, &temp.path().join(name), &RestoreOptions::default()).unwrap();
        assert!(stats.stored_bytes >= needed, "{name}");
        assert!(stats.stored_bytes <= needed + needed / 20, "{name}: {} of {needed}", stats.stored_bytes);
    }
}

#[test]
fn equal_contents_are_read_once() {
    let (fixture, temp) = (Fixture::new(), tempfile::tempdir().unwrap());
    let (small, big) = (fixture.file("", &noise(50_000)), fixture.file("", &noise(500_000)));
    let named = |entry: &DirEntry, name: String| DirEntry { name, ..entry.clone() };
    let members = (0..150)
        .flat_map(|number| [named(&small, format!("s{number}")), named(&big, format!("b{number}"))])
        .collect();
    let root = fixture.directory("", members);
    let stats = fixture.restore(&root, &temp.path().join("t"), &RestoreOptions::default()).unwrap();
    assert_eq!((stats.files, stats.bytes), (300, 150 * 550_000));
    assert_eq!(stats.stored_bytes, needed(&fixture, &[small, big]));
}

#[test]
fn over_an_equal_tree_no_data_is_read() {
    let (fixture, temp) = (Fixture::new(), tempfile::tempdir().unwrap());
    let (target, other) = (temp.path().join("target"), temp.path().join("other"));
    let members = vec![
        fixture.file("empty", b""),
        fixture.file("small", b"small"),
        fixture.file("big", &noise(700_000)),
        fixture.link("link", "small"),
    ];
    let root = fixture.directory("", vec![fixture.directory("sub", members)]);
    fixture.restore(&root, &target, &RestoreOptions::default()).unwrap();
    let before = look(&target);
    lose_data(&fixture);
    // Attributes that are wrong are set; for that no data is needed either.
    set_mode(&target.join("sub/small"), 0o600);
    set_time(&target.join("sub/big"), TIME + 5);
    let stats = fixture.restore(&root, &target, &RestoreOptions::default()).unwrap();
    assert_eq!((stats.files, stats.unchanged_files, stats.unchanged_symlinks), (0, 3, 1));
    assert_eq!(look(&target), before);
    fixture.restore(&root, &other, &RestoreOptions::default()).unwrap_err();
}

#[test]
fn a_changed_part_is_found_and_only_it_is_read() {
    let (fixture, temp) = (Fixture::new(), tempfile::tempdir().unwrap());
    let data = noise(2_000_000);
    let root = fixture.directory("", vec![fixture.file("big", &data), fixture.file("small", b"right")]);
    fixture.restore(&root, temp.path(), &RestoreOptions::default()).unwrap();
    let before = look(temp.path());
    // The same size and time: only the bytes tell.
    for (name, at) in [("big", 1_234_567), ("small", 3)] {
        let file = std::fs::File::options().write(true).open(temp.path().join(name)).unwrap();
        file.write_all_at(b"\0\0", at).unwrap();
        set_time(&temp.path().join(name), TIME);
    }
    let stats = fixture.restore(&root, temp.path(), &RestoreOptions::default()).unwrap();
    assert_eq!(look(temp.path()), before);
    assert_eq!((stats.files, stats.unchanged_files), (2, 0));
    assert!(stats.stored_bytes < 140_000, "one part and a small file: {}", stats.stored_bytes);
    // Longer, shorter, with a hole where the rest was.
    for length in [2_000_001, 1_999_999, 100_000] {
        let file = std::fs::File::options().write(true).open(temp.path().join("big")).unwrap();
        file.set_len(length).unwrap();
        let stats = fixture.restore(&root, temp.path(), &RestoreOptions::default()).unwrap();
        assert_eq!(look(temp.path()), before, "{length}");
        assert_eq!(stats.unchanged_files, 1);
        assert!(length < 1_000_000 || stats.stored_bytes < 140_000, "{length}: {}", stats.stored_bytes);
    }
}

#[test]
fn another_name_of_a_file_is_not_changed_with_it() {
    let (fixture, temp) = (Fixture::new(), tempfile::tempdir().unwrap());
    let root = fixture.directory("", vec![fixture.file("file", b"right")]);
    fixture.restore(&root, temp.path(), &RestoreOptions::default()).unwrap();
    let (file, other) = (temp.path().join("file"), temp.path().join("other"));
    std::fs::hard_link(&file, &other).unwrap();
    set_mode(&file, 0o600);
    fixture.restore(&root, temp.path(), &RestoreOptions::default()).unwrap();
    let mode = |path| std::fs::metadata(path).unwrap().mode() & 0o7777;
    assert_eq!((mode(&file), mode(&other)), (0o644, 0o600));
}

/// Asks to stop when so many bytes were restored, and counts them.
struct StopAt {
    at: u64,
    done: AtomicU64,
    cancel: Arc<std::sync::atomic::AtomicBool>,
}

impl Monitor for StopAt {
    fn add(&self, counter: Counter, n: u64) {
        // More at once than a content has was right already.
        if counter == Counter::RestoredBytes
            && n <= 131_072
            && self.done.fetch_add(n, Ordering::SeqCst) + n >= self.at
        {
            self.cancel.store(true, Ordering::SeqCst);
        }
    }
}

#[test]
fn an_interrupted_restore_is_gone_on_with() {
    let (fixture, temp) = (Fixture::new(), tempfile::tempdir().unwrap());
    let members: Vec<_> =
        (0..4).map(|number| fixture.file(&format!("f{number}"), &noise(8_000_000 + number))).collect();
    let needed = needed(&fixture, &members);
    let root = fixture.directory("", vec![fixture.directory("sub", members)]);
    let (target, whole) = (temp.path().join("target"), temp.path().join("whole"));
    fixture.restore(&root, &whole, &RestoreOptions::default()).unwrap();
    let mut written = 0;
    for at in [1, 3_000_000, 5_000_000] {
        let options = RestoreOptions { parallel: 2, ..RestoreOptions::default() };
        let monitor = StopAt { at, done: AtomicU64::new(0), cancel: Arc::clone(&options.cancel) };
        let error = restore(&fixture.repository, &root, &target, &options, &monitor).unwrap_err();
        assert!(matches!(error, Error::Canceled), "{error}");
        written += monitor.done.into_inner();
    }
    let stats = fixture.restore(&root, &target, &RestoreOptions::default()).unwrap();
    assert_eq!(look(&target), look(&whole));
    let total = written + stats.stored_bytes;
    assert!(total <= needed + needed / 20, "{written} before and {} then, of {needed}", stats.stored_bytes);
    assert!(written > needed / 4, "{written}");
}

#[test]
fn rubbish_in_what_was_left_does_not_come_through() {
    let (fixture, temp) = (Fixture::new(), tempfile::tempdir().unwrap());
    let mut data = noise(12_000_000);
    data[8_000_000..10_000_000].fill(0);
    let root = fixture.directory("", vec![fixture.file("big", &data)]);
    let options = RestoreOptions { parallel: 1, write_sparse_files: true, ..RestoreOptions::default() };
    let monitor = StopAt { at: 1, done: AtomicU64::new(0), cancel: Arc::clone(&options.cancel) };
    restore(&fixture.repository, &root, temp.path(), &options, &monitor).unwrap_err();
    let left = names(temp.path());
    assert!(left.len() == 1 && left[0].starts_with(".packhorse-restore-"), "{left:?}");
    // As after a power cut: blocks of what somebody else had on the disk.
    put_at(&temp.path().join(&left[0]), &noise(12_200_000));
    let options = RestoreOptions { write_sparse_files: true, ..RestoreOptions::default() };
    fixture.restore(&root, temp.path(), &options).unwrap();
    assert_eq!(std::fs::read(temp.path().join("big")).unwrap(), data);
    assert_eq!(names(temp.path()), ["big"]);
}

fn put_at(path: &Path, data: &[u8]) {
    let file = std::fs::File::options().write(true).open(path).unwrap();
    file.write_all_at(data, 0).unwrap();
}
