//! Repositories on a volume that fails as NFS does: for every call that a backup and its verification make, and every
//! fault that can meet it, both succeed or say why not; and what was committed before is whole.
//!
//! `PACKHORSE_TEST_NFS_FAULTS` names how many of the calls of each kind are tried (2 by default).

#![expect(
    clippy::disallowed_methods,
    reason = "what is written here is no backup, and volumes have their own clock"
)]

mod volume;

use crate::support::programs::named;
use crate::support::world::{self, World, alice, environment, noise, small_format};
use packhorse::base::{Clock, ErrorClass, FixedClock, Quiet, Stopwatch, SystemClock, error_chain};
use packhorse::blob::{BlobId, Filesystem, FilesystemOptions, PutOptions, Storage, StorageExt};
use packhorse::policy::PolicyTree;
use packhorse::repo::Repository;
use packhorse::snapshot::{self, Catalog, SnapshotManifest, SourceFilter, UploadOptions, VerifyOptions};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use volume::{Behaviour, Op, Volume};

const EIO: i32 = 5;
const EACCES: i32 = 13;
const ENOSPC: i32 = 28;
const ESTALE: i32 = 116;
const EDQUOT: i32 = 122;
/// Longer than any name that is asked for to find out whether it is there.
const PACK: &str = "p0123456789abcdef0123456789abcdef-s0102144";
const DAY: Duration = Duration::from_hours(24);

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

fn open_with(options: FilesystemOptions, clock: Arc<dyn Clock>) -> Filesystem {
    Filesystem::create(options, clock).unwrap()
}

fn open(root: &Path) -> Filesystem {
    open_with(FilesystemOptions::new(root), Arc::new(SystemClock))
}

/// Everything below a folder that is not where a blob is looked for.
fn litter(root: &Path) -> Vec<PathBuf> {
    let entries = walkdir::WalkDir::new(root).into_iter().map(Result::unwrap);
    let files = entries.filter(|entry| entry.file_type().is_file()).map(walkdir::DirEntry::into_path);
    files.filter(|path| path.extension().is_none_or(|it| it != "f") && !path.ends_with(".shards")).collect()
}

/// A repository with one snapshot, seen through the volume.
struct Stage {
    volume: Volume,
    source: tempfile::TempDir,
    clock: Arc<FixedClock>,
    seed: std::cell::Cell<u64>,
}

impl Stage {
    fn new() -> Option<Self> {
        let volume = Volume::mount()?;
        let source = tempfile::tempdir().unwrap();
        fs::create_dir(source.path().join("below")).unwrap();
        fs::write(source.path().join("below/large"), noise(1, 300 << 10)).unwrap();
        fs::write(source.path().join("small"), "small").unwrap();
        let clock = world::clock();
        let storage = Arc::new(open_with(FilesystemOptions::new(&volume.behind), clock.clone()));
        let world = World::on(storage, clock.clone(), small_format());
        world::snapshot(&world.open(), source.path());
        Some(Self { volume, source, clock, seed: 100.into() })
    }

    fn repository(&self, root: &Path) -> Outcome<Repository> {
        self.seed.set(self.seed.get() + 1);
        let store = Filesystem::open(FilesystemOptions::new(root), self.clock.clone())?;
        let environment = environment(self.clock.clone(), self.seed.get());
        Ok(Repository::open(Arc::new(store), &world::password(), alice(), environment)?)
    }

    /// A backup of what has changed, and a look at every byte of all snapshots.
    fn round(&self, root: &Path, number: usize) -> Outcome<usize> {
        fs::write(self.source.path().join("changes"), noise(number as u64 + 2, 200 << 10))?;
        let repository = self.repository(root)?;
        let mut writer = world::begin_or(&repository)?;
        writer.objects().contents().adopt_abandoned_packs()?;
        let (policies, options) = (PolicyTree::built_in(), UploadOptions::default());
        let uploaded = snapshot::upload(&mut writer, self.source.path(), &policies, &[], &Quiet, &options)?;
        let now = repository.environment().clock.now();
        let mut manifest: SnapshotManifest = world::manifest(world::source(), &uploaded, now, now);
        manifest.save(&mut writer)?;
        writer.flush()?;
        drop(writer);
        look(&repository)
    }
}

/// How many snapshots there are, every one of them whole.
fn look(repository: &Repository) -> Outcome<usize> {
    let manifests = repository.load_manifests()?;
    let snapshots = Catalog::new(&manifests).list(&SourceFilter::default())?;
    let roots: Vec<_> = snapshots
        .iter()
        .filter_map(|snapshot| Some((snapshot.id.to_string(), snapshot.root_entry.clone()?)))
        .collect();
    let report = snapshot::verify(repository, &roots, &VerifyOptions::EVERYTHING, &Quiet)?;
    match report.errors.first() {
        Some(error) => Err(format!("{}: {}", error.path, error.message).into()),
        None => Ok(roots.len()),
    }
}

/// What a fault may lead to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// Whoever meets it does not notice.
    Survived,
    /// It is said; or it met something that can be done without.
    Said,
}

const FAULTS: [(Op, i32, Verdict); 22] = [
    (Op::Lookup, ESTALE, Verdict::Survived),
    (Op::Open, ESTALE, Verdict::Survived),
    (Op::Read, ESTALE, Verdict::Survived),
    (Op::Create, ESTALE, Verdict::Survived),
    (Op::Write, ESTALE, Verdict::Survived),
    (Op::Sync, ESTALE, Verdict::Survived),
    (Op::Rename, ESTALE, Verdict::Survived),
    (Op::Unlink, ESTALE, Verdict::Survived),
    (Op::OpenFolder, ESTALE, Verdict::Survived),
    (Op::ReadFolder, ESTALE, Verdict::Survived),
    (Op::SyncFolder, ESTALE, Verdict::Survived),
    (Op::MakeFolder, ESTALE, Verdict::Survived),
    (Op::Read, EIO, Verdict::Survived),
    (Op::Sync, EIO, Verdict::Survived),
    (Op::Flush, EIO, Verdict::Survived),
    (Op::SyncFolder, EIO, Verdict::Said),
    (Op::Write, ENOSPC, Verdict::Said),
    (Op::Sync, ENOSPC, Verdict::Said),
    (Op::Flush, ENOSPC, Verdict::Survived),
    (Op::Sync, EDQUOT, Verdict::Said),
    (Op::Create, EACCES, Verdict::Said),
    (Op::Open, EACCES, Verdict::Said),
];

#[test]
fn no_fault_at_any_call_costs_a_snapshot() {
    let Some(stage) = Stage::new() else { return };
    let tried = named("PACKHORSE_TEST_NFS_FAULTS")
        .map_or(2, |number| number.to_str().unwrap().parse::<u64>().expect("a number"));
    let mut number = 1;
    let mut committed = stage.round(&stage.volume.root, number).unwrap();
    let asked = FAULTS.map(|(op, ..)| stage.volume.calls(op));
    for ((op, errno, verdict), calls) in FAULTS.into_iter().zip(asked) {
        assert!(calls > 0, "{op:?} is never asked for");
        let tried = tried.min(calls);
        for at in (0..tried).map(|try_number| (2 * try_number + 1) * calls / (2 * tried)) {
            let what = format!("call {at} of {calls}, {op:?}, fails with {errno}");
            stage.volume.behave(Behaviour { fault: Some((op, at, 1, errno)), ..Behaviour::default() });
            number += 1;
            let outcome = stage.round(&stage.volume.root, number);
            stage.volume.behave(Behaviour::default());
            if let Err(error) = &outcome {
                let said = error_chain(&**error);
                assert!(verdict == Verdict::Said, "{what}: {said}");
                assert!(said.contains(&format!("os error {errno}")), "{what}: {said}");
            }
            let there = look(&stage.repository(&stage.volume.behind).unwrap()).unwrap_or_else(|error| {
                panic!("{what}: {}", error_chain(&*error));
            });
            let promised = outcome.unwrap_or(committed);
            assert!(there >= promised, "{what}: {there} snapshots of {promised}");
            assert_eq!(litter(&stage.volume.behind), [""; 0].map(PathBuf::from), "{what}");
            committed = there;
        }
    }
}

#[test]
fn a_put_that_fails_late_leaves_the_name_as_it_was() {
    let Some(volume) = Volume::mount() else { return };
    let clock = world::clock();
    let store = open_with(FilesystemOptions::new(&volume.root), clock);
    for id in ["xe1", PACK] {
        store.put_now(&id.into(), b"old").unwrap();
    }
    for (op, errno, class) in [
        (Op::Sync, ENOSPC, ErrorClass::Full),
        (Op::Sync, EDQUOT, ErrorClass::Full),
        (Op::Sync, EIO, ErrorClass::Unavailable),
        (Op::Flush, ENOSPC, ErrorClass::Unavailable),
        (Op::Flush, EIO, ErrorClass::Unavailable),
        (Op::Write, EDQUOT, ErrorClass::Full),
        (Op::Rename, ESTALE, ErrorClass::Unavailable),
    ] {
        volume.behave(Behaviour { fault: Some((op, 0, u64::MAX, errno)), ..Behaviour::default() });
        for id in ["xe1", PACK, "p-new-0123456789abcdef"] {
            let error = store.put_now(&id.into(), &noise(3, 100 << 10)).unwrap_err();
            assert_eq!(error.class(), class, "{op:?} {errno}: {}", error_chain(&error));
        }
        volume.behave(Behaviour::default());
        let names: Vec<_> = store.list_all("").unwrap().into_iter().map(|blob| blob.id).collect();
        assert_eq!(names, [PACK, "xe1"].map(BlobId::from), "{op:?} {errno}");
        assert_eq!(store.get(&PACK.into(), None).unwrap(), b"old");
        assert_eq!(litter(&volume.behind), [""; 0].map(PathBuf::from), "{op:?} {errno}");
    }
}

#[test]
fn a_folder_that_becomes_stale_while_it_is_listed_is_listed_once() {
    let Some(volume) = Volume::mount() else { return };
    let direct = open(&volume.behind);
    for n in 0..3000 {
        let later =
            PutOptions { durability: packhorse::blob::Durability::AtBarrier, ..PutOptions::default() };
        direct.put(&format!("x{n:018}").as_str().into(), bytes::Bytes::from_static(b"x"), later).unwrap();
    }
    let store = open_with(FilesystemOptions::new(&volume.root), world::clock());
    store.list_all("").unwrap();
    let calls = volume.calls(Op::ReadFolder);
    assert!(calls > 5, "{calls} readings of the folder");
    for at in 0..calls {
        volume.behave(Behaviour { fault: Some((Op::ReadFolder, at, 1, ESTALE)), ..Behaviour::default() });
        let mut names: Vec<_> = store.list_all("").unwrap().into_iter().map(|blob| blob.id).collect();
        assert_eq!(names.len(), 3000, "call {at}");
        names.dedup();
        assert_eq!(names.len(), 3000, "call {at}");
    }
}

#[test]
fn what_another_client_has_just_written_is_waited_for() {
    let Some(volume) = Volume::mount() else { return };
    let (direct, store) = (open(&volume.behind), open(&volume.root));
    let late = Duration::from_millis(700);
    for (n, behaviour) in [
        Behaviour { unseen: late, ..Behaviour::default() },
        Behaviour { empty: late, ..Behaviour::default() },
    ]
    .into_iter()
    .enumerate()
    {
        volume.behave(behaviour);
        let id = BlobId::from(format!("{PACK}{n}"));
        direct.put_now(&id, b"0123456789").unwrap();
        let range = packhorse::blob::ByteRange { offset: 3, length: 4 };
        assert_eq!(store.get(&id, Some(range)).unwrap(), b"3456");
        direct.put_now(&id, b"0123456789").unwrap();
        assert_eq!(store.get(&id, None).unwrap(), b"0123456789");
    }
}

#[test]
fn what_is_not_there_is_not_waited_for_often() {
    let Some(volume) = Volume::mount() else { return };
    let store = open(&volume.root);
    let watch = Stopwatch::start();
    for n in 0..100 {
        assert!(store.get(&"kopia.repository".into(), None).unwrap_err().is_not_found());
        assert!(store.metadata(&format!("{PACK}{n}").as_str().into()).unwrap_err().is_not_found());
    }
    assert!(watch.elapsed() < Duration::from_secs(2), "a probe is answered at once");
    for n in 0..100 {
        assert!(store.get(&format!("{PACK}{n}").as_str().into(), None).unwrap_err().is_not_found());
    }
    assert!(watch.elapsed() < Duration::from_secs(12), "{:?}", watch.elapsed());
}

#[test]
fn a_paused_server_is_waited_for() {
    let Some(volume) = Volume::mount() else { return };
    let store = open(&volume.root);
    volume.behave(Behaviour { delay: Duration::from_millis(150), ..Behaviour::default() });
    store.put_now(&PACK.into(), b"x").unwrap();
    assert_eq!(store.get(&PACK.into(), None).unwrap(), b"x");
    assert_eq!(store.list_all("").unwrap().len(), 1);
    store.delete(&PACK.into()).unwrap();
}

#[test]
fn mapped_users_are_no_error() {
    let Some(volume) = Volume::mount() else { return };
    volume.behave(Behaviour { squashes: true, ..Behaviour::default() });
    let options = FilesystemOptions {
        uid: Some(1234),
        gid: Some(2345),
        file_mode: Some(0o640),
        dir_mode: Some(0o750),
        ..FilesystemOptions::new(&volume.root)
    };
    let store = open_with(options, Arc::new(SystemClock));
    store.put_now(&PACK.into(), b"x").unwrap();
    assert_eq!(store.get(&PACK.into(), None).unwrap(), b"x");
    let found = fs::metadata(volume.root.join("p/012")).unwrap();
    assert_eq!((found.uid(), found.mode() & 0o777), (65534, 0o750));
}

#[test]
fn refused_permission_names_owner_and_process_once() {
    let Some(volume) = Volume::mount() else { return };
    let store = open(&volume.root);
    store.put_now(&PACK.into(), b"x").unwrap();
    for (op, mine) in
        [(Op::Open, "456789abcdef"), (Op::Create, "p/012 is owned"), (Op::OpenFolder, "is owned")]
    {
        volume.behave(Behaviour {
            fault: Some((op, 0, u64::MAX, EACCES)),
            squashes: true,
            ..Behaviour::default()
        });
        let error = match op {
            Op::Open => store.get(&PACK.into(), None).map(drop),
            Op::Create => store.put_now(&PACK.into(), b"y"),
            _ => store.list_all("").map(drop),
        }
        .unwrap_err();
        let text = error_chain(&error);
        assert_eq!(error.class(), ErrorClass::Denied, "{text}");
        assert_eq!(text.matches("is owned by 65534:65534 mode 0").count(), 1, "{text}");
        assert!(text.contains("this process is ") && text.contains(mine), "{text}");
        assert_eq!(text.matches("os error 13").count(), 1, "{text}");
        assert_eq!(volume.calls(op), 1, "a refusal is not asked for again");
    }
}

#[test]
fn leftovers_are_passed_over_and_old_ones_swept() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    store.put_now(&PACK.into(), b"x").unwrap();
    let folder = dir.path().join("p/012");
    let make = |name: &str, age: Duration| {
        let path = folder.join(name);
        fs::write(&path, "left").unwrap();
        let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
        file.set_modified(SystemTime::now() - age).unwrap();
        path
    };
    let old = make("a.f.tmp.0123456789abcdef", 2 * DAY);
    let fresh = make("b.f.tmp.0123456789abcdef", DAY / 2);
    let foreign = make("c.tmp.0123456789abcdef", 2 * DAY);
    let silly = make(".nfs000000000001234500000001", 2 * DAY);
    assert_eq!(store.list_all("").unwrap().len(), 1);
    assert!(old.exists(), "who reads removes nothing");
    store.put_now(&"xe1".into(), b"x").unwrap();
    assert_eq!([&old, &fresh, &foreign, &silly].map(|path| path.exists()), [false, true, true, true]);
    let old = make("a.f.tmp.0123456789abcdef", 2 * DAY);
    for (age, dry_run, count) in [(DAY, true, 1), (DAY, false, 1), (DAY, false, 0), (DAY / 4, true, 1)] {
        assert_eq!(store.sweep_leftovers(age, dry_run).unwrap().len(), count);
        assert_eq!(old.exists(), dry_run && age == DAY);
    }
    assert!(fresh.exists() && foreign.exists());
    assert_eq!(litter(dir.path()).len(), 3, "the time of the store leaves nothing");
}

#[test]
fn what_is_set_aside_is_no_blob_any_more() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    store.put_now(&PACK.into(), b"damaged").unwrap();
    let aside = store.set_aside(&PACK.into()).unwrap();
    assert_eq!(fs::read(&aside).unwrap(), b"damaged");
    assert!(aside.to_str().unwrap().ends_with(".f.damaged"));
    assert!(store.list_all("").unwrap().is_empty());
    assert!(store.set_aside(&PACK.into()).unwrap_err().is_not_found());
}

#[test]
fn modes_hold_whatever_the_umask_and_folders_keep_their_group() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("shared");
    fs::create_dir(&root).unwrap();
    fs::set_permissions(&root, fs::Permissions::from_mode(0o2770)).unwrap();
    let options =
        FilesystemOptions { file_mode: Some(0o666), dir_mode: Some(0o777), ..FilesystemOptions::new(&root) };
    let store = open_with(options, Arc::new(SystemClock));
    store.put_now(&PACK.into(), b"x").unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o7777;
    let file = root.join(format!("p/012/{}.f", &PACK[4..]));
    assert_eq!([&file, &root.join(".shards")].map(|path| mode(path)), [0o666; 2]);
    assert_eq!([root.join("p"), root.join("p/012")].map(|path| mode(&path)), [0o2777; 2]);
    assert_eq!(mode(&root), 0o2770, "the root was there before");
}

#[test]
fn what_is_left_of_a_damaged_index_is_read_and_not_written_to() {
    let source = tempfile::tempdir().unwrap();
    fs::write(source.path().join("file"), noise(9, 100 << 10)).unwrap();
    let world = World::new(small_format());
    world::snapshot(&world.open(), source.path());
    let older = world.storage.list_all("xn").unwrap();
    fs::write(source.path().join("file"), noise(10, 100 << 10)).unwrap();
    world::snapshot(&world.open(), source.path());
    let blobs = world.storage.list_all("xn").unwrap();
    let newer = blobs.iter().find(|blob| !older.contains(blob)).unwrap();
    let bytes = world.storage.get(&newer.id, None).unwrap();

    let mut broken = bytes.clone();
    broken[40] ^= 1;
    for (stored, was_whole) in [(broken, true), (vec![0; bytes.len()], false), (Vec::new(), false)] {
        world.storage.put_now(&newer.id, &stored).unwrap();
        let repository = world.open();
        let damaged = repository.contents().damaged_index_blobs();
        assert_eq!(damaged.len(), 1);
        assert_eq!((&damaged[0].blob, damaged[0].was_whole()), (&newer.id, was_whole));
        assert_eq!(look(&repository).is_err(), was_whole, "the older snapshot is whole, the blob is told");
        let begun = world::begin_or(&repository).map(drop);
        match begun {
            Err(error) => {
                assert!(was_whole && error.class() == ErrorClass::Corrupt, "{error}");
                assert!(error.to_string().contains(newer.id.as_str()), "{error}");
            }
            Ok(()) => assert!(!was_whole),
        }
    }
    world.storage.put_now(&newer.id, &bytes).unwrap();
    assert_eq!(look(&world.open()).unwrap(), 2);
}

#[test]
fn an_empty_format_is_named() {
    let world = World::new(small_format());
    for name in ["kopia.repository", "kopia.blobcfg"] {
        let id = BlobId::from(name);
        let stored = world.storage.get(&id, None).unwrap();
        for void in [Vec::new(), vec![0; stored.len()]] {
            world.storage.put_now(&id, &void).unwrap();
            let environment = environment(world.clock.clone(), 77);
            let opened = Repository::open(world.storage.clone(), &world::password(), alice(), environment);
            let error = opened.unwrap_err();
            assert_eq!(error.class(), ErrorClass::Corrupt);
            assert!(error.to_string().starts_with(&format!("{name} is empty or all zeroes")), "{error}");
        }
        world.storage.put_now(&id, &stored).unwrap();
    }
}
