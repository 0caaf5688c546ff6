//! What the file-system store promises beyond the contract: Kopia's layout, modes, and no traces of what failed.

use super::{LONG, clock, id, later, names, range, write};
use bytes::Bytes;
use packhorse::base::{Clock, ErrorClass, FixedClock, Timestamp};
use packhorse::blob::{Error, Filesystem, FilesystemOptions, PutOptions, Storage, StorageExt};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;
use tempfile::TempDir;

fn new_filesystem() -> (TempDir, Filesystem) {
    let dir = tempfile::tempdir().unwrap();
    let store = Filesystem::create(FilesystemOptions::new(dir.path()), clock()).unwrap();
    (dir, store)
}

/// Every file below a folder, relative to it.
fn files(root: &Path) -> Vec<String> {
    fn walk(dir: &Path, root: &Path, found: &mut Vec<String>) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, root, found);
            } else {
                found.push(path.strip_prefix(root).unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    let mut found = Vec::new();
    walk(root, root, &mut found);
    found.sort();
    found
}

#[test]
fn paths_are_kopias() {
    let (dir, store) = new_filesystem();
    for (name, path) in [
        ("kopia.repository", "kopia.repository.f"),
        ("kopia.maintenance", "kopia.maintenance.f"),
        ("xe17", "xe17.f"),
        ("xw1700000000", "xw1700000000.f"),
        ("p0123456789abcdef0123456789abcdef-s01", "p/012/3456789abcdef0123456789abcdef-s01.f"),
        ("xn0_0123456789abcdef-s01-c1", "x/n0_/0123456789abcdef-s01-c1.f"),
        ("_log_20260101000000_abcd", "_/log/_20260101000000_abcd.f"),
    ] {
        store.put_now(&id(name), name.as_bytes()).unwrap();
        assert_eq!(fs::read(dir.path().join(path)).unwrap(), name.as_bytes());
    }
    assert_eq!(files(dir.path()).len(), 7 + 1, "seven blobs, the layout and nothing else");
}

#[test]
fn a_new_store_gets_kopias_layout_file() {
    let wanted = "{\"default\":[1,3],\"maxNonShardedLength\":20}\n";
    let (dir, store) = new_filesystem();
    assert!(names(&store, "").is_empty());
    assert_eq!(files(dir.path()), [""; 0], "listing needs no path");
    assert!(store.metadata(&id("kopia.repository")).unwrap_err().is_not_found());
    assert_eq!(fs::read_to_string(dir.path().join(".shards")).unwrap(), wanted);

    let (dir, store) = new_filesystem();
    write(&dir.path().join(".shards"), "{\"default\":[2]}");
    store.put_now(&id("abcdef"), b"").unwrap();
    assert_eq!(files(dir.path()), [".shards", "ab/cdef.f"], "a layout that is there wins");
}

#[test]
fn a_store_older_than_layout_files_keeps_its_layout() {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().join("foo/bar/baz12345678910123213123.f");
    write(&home, "old");
    let store = Filesystem::open(FilesystemOptions::new(dir.path()), clock()).unwrap();
    let name = id("foobarbaz12345678910123213123");
    assert_eq!(store.get(&name, None).unwrap(), b"old");
    assert!(!dir.path().join(".shards").exists(), "reading writes nothing");
    store.put_now(&name, b"new").unwrap();
    assert_eq!(fs::read(&home).unwrap(), b"new");
    let layout = fs::read_to_string(dir.path().join(".shards")).unwrap();
    assert_eq!(layout, "{\"default\":[3,3],\"maxNonShardedLength\":20}\n");
}

#[test]
fn a_broken_layout_file_stops_everything_until_it_is_mended() {
    let (dir, store) = new_filesystem();
    let layout = dir.path().join(".shards");
    for broken in [&b""[..], b"\x01\x02\x03", b"{\"default\":[-1]}", &vec![b' '; 2 << 20]] {
        write(&layout, broken);
        for error in [
            store.put_now(&id("someblob"), b"x").unwrap_err(),
            store.get(&id("someblob"), None).unwrap_err(),
            store.delete(&id("someblob")).unwrap_err(),
            store.list("", &mut |_| Ok(())).unwrap_err(),
        ] {
            assert!(matches!(error, Error::Layout { .. }), "{error}");
            assert_eq!(error.class(), ErrorClass::Corrupt);
        }
    }
    fs::remove_file(&layout).unwrap();
    store.put_now(&id("someblob"), b"x").unwrap();
    write(&layout, "broken again");
    store.put_now(&id("someblob2"), b"x").unwrap();
    assert_eq!(names(&store, ""), ["someblob", "someblob2"], "it is read once");
}

#[test]
fn modes_are_the_options_modes() {
    let dir = tempfile::tempdir().unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    for (file_mode, dir_mode, file_wanted, dir_wanted) in
        [(None, None, 0o600, 0o700), (Some(0o640), Some(0o750), 0o640, 0o750)]
    {
        let root = dir.path().join(format!("{file_wanted:o}/store"));
        let options = FilesystemOptions { file_mode, dir_mode, ..FilesystemOptions::new(&root) };
        let store = Filesystem::create(options, clock()).unwrap();
        store.put_now(&id(LONG), b"x").unwrap();
        let home = root.join("p/012");
        let file = home.join(format!("{}.f", &LONG[4..]));
        for path in [&file, &root.join(".shards")] {
            assert_eq!(mode(path), file_wanted);
        }
        for path in [&root, &home, &root.join("p")] {
            assert_eq!(mode(path), dir_wanted);
        }
    }
}

#[test]
fn owners_are_set_for_root_only() {
    let dir = tempfile::tempdir().unwrap();
    let is_root = fs::metadata(dir.path()).unwrap().uid() == 0;
    let options =
        FilesystemOptions { uid: Some(1234), gid: Some(2345), ..FilesystemOptions::new(dir.path()) };
    let store = Filesystem::create(options, clock()).unwrap();
    store.put_now(&id("xe1"), b"x").unwrap();
    let found = fs::metadata(dir.path().join("xe1.f")).unwrap();
    assert_eq!((found.uid(), found.gid()) == (1234, 2345), is_root);
}

#[test]
fn foreign_files_are_passed_over() {
    let (dir, store) = new_filesystem();
    store.put_now(&id(LONG), b"x").unwrap();
    store.put_now(&id("xe1"), b"x").unwrap();
    let root = dir.path();
    for foreign in [
        "foreign-file",
        "xe2.f.tmp.0123456789abcdef",
        "p/012/3456789abcdef.f.tmp.0123456789abcdef",
        ".hidden.f",
        ".snapshot/xe3.f",
        "lost+found/xe4.f",
        "a b/c.f",
        "bad name.f",
        "xe5.F",
        "p/notes.txt",
    ] {
        write(&root.join(foreign), "foreign");
    }
    fs::create_dir(root.join("folder.f")).unwrap();
    std::os::unix::fs::symlink("/nonexistent", root.join("xe6.f")).unwrap();
    std::os::unix::fs::symlink(root, root.join("loop")).unwrap();
    for prefix in ["", "p", "x", "xe"] {
        let wanted: Vec<_> = [LONG, "xe1"].into_iter().filter(|name| name.starts_with(prefix)).collect();
        assert_eq!(names(&store, prefix), wanted);
    }
    assert!(store.get(&id("folder"), None).is_err());
}

#[test]
fn a_blob_in_two_places_is_listed_once() {
    let (dir, store) = new_filesystem();
    store.put_now(&id(LONG), b"home").unwrap();
    for stray in
        [format!("{LONG}.f"), format!("p0/{}.f", &LONG[2..]), "xe/7.f".to_owned(), "x/e7.f".to_owned()]
    {
        write(&dir.path().join(stray), "a stray of another length");
    }
    assert_eq!(names(&store, ""), [LONG, "xe7"]);
    assert_eq!(store.list_all("p").unwrap()[0].length, 4);
}

#[test]
fn a_missing_root_is_said_and_not_made() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("volume");
    let is_root_error = |error: &Error| matches!(error, Error::Root { .. }) && !error.is_not_found();
    let open = || Filesystem::open(FilesystemOptions::new(&root), clock());
    assert!(is_root_error(&open().unwrap_err()));
    let relative = Filesystem::create(FilesystemOptions::new("relative/path"), clock()).unwrap_err();
    assert_eq!(relative.class(), ErrorClass::Invalid);

    let fresh = Filesystem::create(FilesystemOptions::new(&root), clock()).unwrap();
    let used = open().unwrap();
    used.put_now(&id(LONG), b"x").unwrap();
    fs::rename(&root, dir.path().join("elsewhere")).unwrap();
    for store in [&fresh, &used] {
        for name in [LONG, "xe1"] {
            assert!(is_root_error(&store.get(&id(name), None).unwrap_err()));
            assert!(is_root_error(&store.get_optional(&id(name)).unwrap_err()));
            assert!(is_root_error(&store.metadata(&id(name)).unwrap_err()));
            assert!(is_root_error(&store.put_now(&id(name), b"x").unwrap_err()));
            assert!(is_root_error(&store.delete(&id(name)).unwrap_err()));
        }
        assert!(is_root_error(&store.list("", &mut |_| Ok(())).unwrap_err()));
        assert!(is_root_error(&store.capacity().unwrap_err()));
    }
    assert!(!root.exists());

    write(&root, "a file");
    assert!(is_root_error(&open().unwrap_err()));
    assert!(is_root_error(&Filesystem::create(FilesystemOptions::new(&root), clock()).unwrap_err()));
}

#[test]
fn names_cannot_lead_out_through_shards() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("root");
    let options = FilesystemOptions { dir_shards: Some(vec![1, 2, 2]), ..FilesystemOptions::new(&root) };
    let store = Filesystem::create(options, clock()).unwrap();
    for name in ["p....outside-of-everything", "p..outside-of-everything", "pab..outside-of-everything"] {
        assert!(matches!(store.put_now(&id(name), b"x").unwrap_err(), Error::InvalidName { .. }), "{name}");
        assert!(matches!(store.get(&id(name), None).unwrap_err(), Error::InvalidName { .. }), "{name}");
    }
    assert_eq!(files(dir.path()), ["root/.shards"]);
}

#[test]
fn a_hostile_range_costs_no_memory() {
    let (_dir, store) = new_filesystem();
    store.put_now(&id(LONG), b"small").unwrap();
    for length in [1 << 31, u64::MAX / 2, u64::MAX] {
        let error = store.get(&id(LONG), range(1, length)).unwrap_err();
        assert!(matches!(error, Error::InvalidRange { .. }));
    }
}

#[test]
fn a_put_that_fails_leaves_nothing() {
    let (dir, store) = new_filesystem();
    store.put_now(&id("xe1"), b"old").unwrap();
    // A folder under the final name: the rename cannot succeed.
    fs::create_dir(dir.path().join("xe2.f")).unwrap();
    assert!(store.put_now(&id("xe2"), b"new").is_err());
    // A file where the shard folder should be.
    write(&dir.path().join("p"), "foreign");
    assert!(store.put_now(&id(LONG), b"new").is_err());
    assert_eq!(files(dir.path()), [".shards", "p", "xe1.f"]);
    assert_eq!(store.get(&id("xe1"), None).unwrap(), b"old");
}

#[test]
fn refused_permission_is_named_and_not_retried() {
    let (dir, _) = new_filesystem();
    let time = Arc::new(FixedClock::new(Timestamp::EPOCH));
    let store = Filesystem::open(FilesystemOptions::new(dir.path()), time.clone()).unwrap();
    store.put_now(&id("xe1"), b"x").unwrap();
    let file = dir.path().join("xe1.f");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o000)).unwrap();
    if fs::read(&file).is_ok() {
        println!("skipped: the superuser is refused nothing; the classes are tested beside the error type");
        return;
    }
    let error = store.get(&id("xe1"), None).unwrap_err();
    assert_eq!(error.class(), ErrorClass::Denied);
    assert!(error.to_string().contains("xe1") && error.to_string().contains(file.to_str().unwrap()));
    assert_eq!(time.now(), Timestamp::EPOCH);
}

/// A small volume of its own, taken away when dropped.
struct SmallVolume(TempDir);

impl SmallVolume {
    fn mount(options: &str) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let mounted = std::process::Command::new("mount")
            .args(["-t", "tmpfs", "-o", options, "tmpfs"])
            .arg(dir.path())
            .output()
            .is_ok_and(|output| output.status.success());
        mounted.then_some(Self(dir))
    }
}

impl Drop for SmallVolume {
    fn drop(&mut self) {
        std::process::Command::new("umount").arg(self.0.path()).status().unwrap();
    }
}

#[test]
fn a_full_volume_keeps_no_half_blob() {
    let Some(volume) = SmallVolume::mount("size=1m") else {
        println!("skipped: cannot mount a small volume here");
        return;
    };
    let root = volume.0.path();
    let time = Arc::new(FixedClock::new(Timestamp::EPOCH));
    let store = Filesystem::create(FilesystemOptions::new(root), time.clone()).unwrap();
    store.put_now(&id("xe1"), b"old").unwrap();
    let large = vec![1_u8; 700 << 10];
    for name in [LONG, "xe1"] {
        let error =
            store.put(&id(name), [&large[..], &large].concat().into(), PutOptions::default()).unwrap_err();
        assert_eq!(error.class(), ErrorClass::Full, "{error}");
    }
    assert_eq!(time.now(), Timestamp::EPOCH, "a full volume is not asked again");
    assert_eq!(files(root), [".shards", "xe1.f"]);
    assert_eq!(store.get(&id("xe1"), None).unwrap(), b"old");
    store.put_now(&id(LONG), &large).unwrap();
    let capacity = store.capacity().unwrap().unwrap();
    assert_eq!(capacity.total_bytes, 1 << 20);
    assert!(capacity.available_bytes < 400 << 10);
}

#[test]
fn a_volume_that_refuses_writes_can_be_read() {
    let Some(volume) = SmallVolume::mount("size=1m") else {
        println!("skipped: cannot mount a small volume here");
        return;
    };
    let root = volume.0.path();
    let home = root.join("foo/bar/baz12345678910123213123.f");
    write(&home, "old");
    let remount = ["-o", "remount,ro"];
    assert!(std::process::Command::new("mount").args(remount).arg(root).status().unwrap().success());
    let store = Filesystem::open(FilesystemOptions::new(root), clock()).unwrap();
    assert_eq!(store.get(&id("foobarbaz12345678910123213123"), None).unwrap(), b"old");
    assert_eq!(names(&store, "foo").len(), 1);
    assert_eq!(store.put_now(&id("xe1"), b"x").unwrap_err().class(), ErrorClass::ReadOnly);
    assert_eq!(store.delete(&id("foobarbaz12345678910123213123")).unwrap_err().class(), ErrorClass::ReadOnly);
}

#[test]
fn eight_writers_of_one_name_leave_whole_bytes() {
    let (dir, store) = new_filesystem();
    let version = |n: u8| vec![n; 1 << 20];
    std::thread::scope(|scope| {
        for n in 0..8 {
            let store = &store;
            scope.spawn(move || {
                for _ in 0..4 {
                    store.put_now(&id(LONG), &version(n)).unwrap();
                }
            });
        }
    });
    let data = store.get(&id(LONG), None).unwrap();
    assert_eq!(data, version(data[0]));
    assert_eq!(files(dir.path()).len(), 2, "no temporary file stays");
}

#[test]
fn a_panic_in_the_callback_ends_the_listing() {
    let (_dir, store) = new_filesystem();
    for n in 0..64_u32 {
        store
            .put(&id(&format!("p{:032x}", u128::from(n) << 116)), Bytes::from_static(b"x"), later())
            .unwrap();
    }
    let panicked =
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| store.list("", &mut |_| panic!("planted"))));
    assert!(panicked.is_err());
    assert_eq!(names(&store, "").len(), 64);
}

#[test]
fn a_barrier_after_the_volume_is_gone_fails() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("volume");
    let store = Filesystem::create(FilesystemOptions::new(&root), clock()).unwrap();
    store.put(&id(LONG), Bytes::from_static(b"x"), later()).unwrap();
    fs::rename(&root, dir.path().join("away")).unwrap();
    assert!(matches!(store.barrier().unwrap_err(), Error::Root { .. }));
    fs::rename(dir.path().join("away"), &root).unwrap();
    fs::rename(root.join("p"), root.join("r")).unwrap();
    assert!(matches!(store.barrier().unwrap_err(), Error::Sync { .. }));
    fs::rename(root.join("r"), root.join("p")).unwrap();
    store.barrier().unwrap();
}
