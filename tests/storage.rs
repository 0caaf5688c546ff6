//! Every store and every wrapper keeps the contract of `Storage`; the file-system store keeps Kopia's layout besides.

mod filesystem;
mod others;
mod s3;

use bytes::Bytes;
use packhorse::base::{Clock, ErrorClass, FixedClock, Secret, SystemClock, Timestamp};
use packhorse::blob::{
    self, BlobId, BlobMetadata, ByteRange, Call, ConnectionInfo, Counted, Distance, Durability, Error, Fault,
    Faulty, Filesystem, FilesystemOptions, Latency, Limits, Memory, Mirrored, OpenMode, Operation,
    PutOptions, ReadOnly, Recording, Retention, RetentionMode, Retrying, Storage, StorageExt, Throttle,
    Throttled,
};
use packhorse::cache::{CacheLimits, CacheOptions, Cached};
use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;

const LONG: &str = "p0123456789abcdef0123456789abcdef-s0123456789abcdef";

fn clock() -> Arc<dyn Clock> {
    Arc::new(SystemClock)
}

fn id(name: &str) -> BlobId {
    BlobId::from(name)
}

#[expect(clippy::unnecessary_wraps, reason = "as `get` takes it")]
fn range(offset: u64, length: u64) -> Option<ByteRange> {
    Some(ByteRange { offset, length })
}

fn later() -> PutOptions {
    PutOptions { durability: Durability::AtBarrier, ..PutOptions::default() }
}

#[expect(clippy::disallowed_methods, reason = "files of a foreign hand, which nobody needs to keep")]
fn write(path: &Path, data: impl AsRef<[u8]>) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, data).unwrap();
}

fn names(store: &dyn Storage, prefix: &str) -> Vec<String> {
    store.list_all(prefix).unwrap().into_iter().map(|blob| blob.id.as_str().to_owned()).collect()
}

fn planted(class: ErrorClass) -> Error {
    Error::Other { message: "planted".into(), class }
}

// ---- the contract -------------------------------------------------------------------------------------------------

/// Checks the whole contract on fresh stores from `make`.
fn conformance(make: &dyn Fn() -> Arc<dyn Storage>) {
    missing_blobs(&*make());
    whole_and_ranged_reads(&*make());
    reads_within(&*make());
    replacing(&*make());
    large_and_empty(&*make());
    deleting_many(&*make());
    locks(&*make());
    metadata(&*make());
    listing(&*make());
    listing_stops(&*make());
    deleting(&*make());
    hostile_names(&*make());
    durability(&*make());
    many_threads(&*make());
    housekeeping(&*make());
}

fn missing_blobs(store: &dyn Storage) {
    for name in ["kopia.repository", LONG] {
        assert!(store.get(&id(name), None).unwrap_err().is_not_found());
        assert!(store.get(&id(name), range(0, 0)).unwrap_err().is_not_found());
        assert!(store.get(&id(name), range(5, 10)).unwrap_err().is_not_found());
        assert!(store.metadata(&id(name)).unwrap_err().is_not_found());
        assert_eq!(store.get_optional(&id(name)).unwrap(), None);
        store.delete(&id(name)).unwrap();
    }
    assert!(names(store, "").is_empty());
}

fn whole_and_ranged_reads(store: &dyn Storage) {
    let data: Vec<u8> = (0..300_000_u32).map(|n| (n * 7 % 251) as u8).collect();
    store.put_now(&id(LONG), &data).unwrap();
    assert_eq!(store.get(&id(LONG), None).unwrap(), data);
    let size = data.len();
    for (offset, length) in
        [(0, 10), (1, 10), (2, 1), (5, 0), (size, 0), (size + 7, 0), (size - 5, 5), (0, size)]
    {
        let wanted = data.get(offset..offset + length).unwrap_or_default();
        assert_eq!(store.get(&id(LONG), range(offset as u64, length as u64)).unwrap(), wanted);
    }
    let size = size as u64;
    for (offset, length) in
        [(0, size + 1), (size - 5, 6), (size, 1), (size + 100, 1), (0, u64::MAX), (u64::MAX, 2), (3, 1 << 31)]
    {
        let error = store.get(&id(LONG), range(offset, length)).unwrap_err();
        assert!(matches!(error, Error::InvalidRange { .. }), "{offset}+{length}: {error}");
        assert_eq!(error.class(), ErrorClass::Corrupt);
    }
}

fn reads_within(store: &dyn Storage) {
    let part = |offset, length| store.get_within(&id(LONG), ByteRange { offset, length });
    assert!(part(0, 10).unwrap_err().is_not_found());
    store.put_now(&id(LONG), b"0123456789").unwrap();
    for (offset, length, wanted) in [
        (0, 4, &b"0123"[..]),
        (8, 2, b"89"),
        (8, 3, b"89"),
        (0, 1 << 20, b"0123456789"),
        (10, 5, b""),
        (99, 5, b""),
        (3, 0, b""),
        (3, u64::MAX, b"3456789"),
    ] {
        assert_eq!(part(offset, length).unwrap(), wanted, "{offset}+{length}");
    }
}

fn replacing(store: &dyn Storage) {
    let name = id("kopia.repository");
    for data in [&b"a long first version"[..], b"short", b"", b"the last one"] {
        store.put_now(&name, data).unwrap();
        assert_eq!(store.get(&name, None).unwrap(), data);
        assert_eq!(store.metadata(&name).unwrap().length, data.len() as u64);
        assert_eq!(names(store, ""), ["kopia.repository"]);
    }
}

fn large_and_empty(store: &dyn Storage) {
    let many: Vec<u8> = (0..5_000_000_u32).map(|n| (n.wrapping_mul(0x9e37_79b9) >> 24) as u8).collect();
    let data = Bytes::from(many.clone());
    store.put(&id(LONG), data.clone(), PutOptions::default()).unwrap();
    assert!(store.get(&id(LONG), None).unwrap() == many);
    for (offset, length) in [(0, 10), (1, 10), (2, 1), (5, 0), (4_999_995, 5)] {
        let part = store.get(&id(LONG), range(offset, length)).unwrap();
        assert_eq!(part, data.slice(offset as usize..(offset + length) as usize));
    }
    store.put(&id("empty"), Bytes::new(), PutOptions::default()).unwrap();
    assert_eq!(store.get(&id("empty"), None).unwrap(), b"");
    assert_eq!(store.get(&id("empty"), range(0, 0)).unwrap(), b"");
}

fn deleting_many(store: &dyn Storage) {
    let all: Vec<BlobId> = (0..70_u32).map(|n| id(&format!("p{n:032x}-s1"))).collect();
    for one in &all[..60] {
        store.put(one, Bytes::from_static(b"x"), later()).unwrap();
    }
    store.put_now(&id("kopia.repository"), b"stays").unwrap();
    store.delete_many(&[]).unwrap();
    // Those that are missing are no error.
    store.delete_many(&all).unwrap();
    assert_eq!(names(store, ""), ["kopia.repository"]);
}

/// A store without locks says so before anything is stored; one that has them keeps the blob readable.
fn locks(store: &dyn Storage) {
    let retention = Retention { mode: RetentionMode::Governance, period: Duration::from_hours(24) };
    let options = PutOptions { retention: Some(retention), ..PutOptions::default() };
    match store.put(&id(LONG), Bytes::from_static(b"locked"), options) {
        Ok(()) => {
            store.extend_retention(&id(LONG), retention).unwrap();
            assert_eq!(store.get(&id(LONG), None).unwrap(), b"locked");
        }
        Err(error) => {
            assert_eq!(error.class(), ErrorClass::Unsupported);
            assert!(store.get(&id(LONG), None).unwrap_err().is_not_found());
            store.put_now(&id(LONG), b"open").unwrap();
            assert_eq!(
                store.extend_retention(&id(LONG), retention).unwrap_err().class(),
                ErrorClass::Unsupported
            );
        }
    }
}

fn metadata(store: &dyn Storage) {
    store.put_now(&id(LONG), b"12345").unwrap();
    let found = store.metadata(&id(LONG)).unwrap();
    assert_eq!((found.id.as_str(), found.length), (LONG, 5));
    let skew = SystemClock.now().nanos_since(found.timestamp).abs();
    assert!(skew < 180 * 1_000_000_000, "the store's clock is {skew} ns away");
    let listed = store.list_all("p").unwrap();
    assert_eq!((listed.len(), &listed[0].id, listed[0].length), (1, &found.id, 5));
    // HTTP has whole seconds where a listing may have more.
    let apart = listed[0].timestamp.nanos_since(found.timestamp);
    assert!((0..1_000_000_000).contains(&apart) && (apart == 0 || found.timestamp.subsecond_nanos() == 0));

    for nanos in [1_700_000_000_123_456_789, 1, -1_500_000_000] {
        let at = Timestamp::from_nanos(nanos);
        let options = PutOptions { set_timestamp: Some(at), ..PutOptions::default() };
        if let Err(error) = store.put(&id(LONG), Bytes::from_static(b"1"), options) {
            // A store whose times are its own says so, and has stored nothing.
            assert_eq!(error.class(), ErrorClass::Unsupported);
            assert_eq!(store.metadata(&id(LONG)).unwrap().length, 5);
            continue;
        }
        assert_eq!(store.metadata(&id(LONG)).unwrap().timestamp, at);
        assert_eq!(store.list_all("p").unwrap()[0].timestamp, at);
    }
}

fn listing(store: &dyn Storage) {
    let all: Vec<String> = [
        "kopia.maintenance",
        "kopia.repository",
        "xe1",
        "xe17",
        "xn1_0123456789abcdef0123456789abcdef-s1-c1",
        "xn10_0123456789abcdef0123456789abcdef-s1-c1",
        "_log_20260101000000_abcd_1_2_3_0123456789abcdef",
    ]
    .into_iter()
    .map(str::to_owned)
    .chain((0..40_u32).map(|n| format!("p{:032x}-s1", n.wrapping_mul(0x9e37_79b9))))
    .chain((0..40_u32).map(|n| format!("q{:032x}-s1", u128::from(n) << 100 | 0xabc)))
    .collect();
    for name in &all {
        let options = PutOptions { durability: Durability::AtBarrier, ..PutOptions::default() };
        store.put(&id(name), Bytes::copy_from_slice(name.as_bytes()), options).unwrap();
    }
    store.barrier().unwrap();
    let mut prefixes: BTreeSet<&str> =
        ["", "xn1_", "xn1", "nothing", "pz", "p0123456789abcdefz", "../", "p/"].into();
    for name in &all {
        prefixes.extend((0..=name.len().min(12)).map(|length| &name[..length]));
        prefixes.insert(name);
    }
    for prefix in prefixes {
        let mut wanted: Vec<_> = all.iter().filter(|name| name.starts_with(prefix)).cloned().collect();
        wanted.sort();
        assert_eq!(names(store, prefix), wanted, "prefix {prefix:?}");
    }
    assert!(store.list_all("").unwrap().iter().all(|blob| blob.length == blob.id.as_str().len() as u64));
}

fn listing_stops(store: &dyn Storage) {
    for n in 0..50_u32 {
        store.put_now(&id(&format!("p{:032x}", u128::from(n) << 108)), b"x").unwrap();
    }
    for stop_at in [1, 2, 50] {
        let mut seen = 0;
        let error = store
            .list("p", &mut |_| {
                seen += 1;
                if seen == stop_at { Err(planted(ErrorClass::Canceled)) } else { Ok(()) }
            })
            .unwrap_err();
        assert_eq!((seen, error.class()), (stop_at, ErrorClass::Canceled));
    }
    let caller = std::thread::current().id();
    let mut found = Vec::new();
    store
        .list("p", &mut |blob: BlobMetadata| {
            assert_eq!(std::thread::current().id(), caller);
            // The callback may use the store it is called by.
            found.push(store.get(&blob.id, None)?);
            Ok(())
        })
        .unwrap();
    assert_eq!(found.len(), 50);
}

fn deleting(store: &dyn Storage) {
    store.put_now(&id(LONG), b"1").unwrap();
    store.put_now(&id("xe1"), b"2").unwrap();
    store.delete(&id(LONG)).unwrap();
    store.delete(&id(LONG)).unwrap();
    assert!(store.get(&id(LONG), None).unwrap_err().is_not_found());
    assert_eq!(names(store, ""), ["xe1"]);
    store.put_now(&id(LONG), b"again").unwrap();
    assert_eq!(store.get(&id(LONG), None).unwrap(), b"again");
    store.barrier().unwrap();
}

fn hostile_names(store: &dyn Storage) {
    let too_long = "a".repeat(256);
    for name in [
        "../x",
        "a/b",
        "",
        ".",
        "..",
        ".shards",
        "/etc/passwd",
        "a\0b",
        "a\nb",
        "a b",
        "é",
        too_long.as_str(),
    ] {
        let refused = |error: &Error| matches!(error, Error::InvalidName { .. });
        assert!(refused(&store.put_now(&id(name), b"x").unwrap_err()), "{name:?}");
        assert!(refused(&store.get(&id(name), None).unwrap_err()), "{name:?}");
        assert!(refused(&store.get(&id(name), range(0, 1)).unwrap_err()), "{name:?}");
        assert!(refused(&store.metadata(&id(name)).unwrap_err()), "{name:?}");
        assert!(refused(&store.delete(&id(name)).unwrap_err()), "{name:?}");
    }
    assert!(names(store, "").is_empty());
}

fn durability(store: &dyn Storage) {
    store.barrier().unwrap();
    let later = PutOptions { durability: Durability::AtBarrier, ..PutOptions::default() };
    store.put(&id(LONG), Bytes::from_static(b"later"), later).unwrap();
    assert_eq!(store.get(&id(LONG), None).unwrap(), b"later", "seen before the barrier");
    store.barrier().unwrap();
    store.barrier().unwrap();
    assert_eq!(store.get(&id(LONG), None).unwrap(), b"later");
}

/// Puts, replaces, reads, lists and deletes from eight threads at once: nobody ever sees half a blob.
fn many_threads(store: &dyn Storage) {
    let version = |n: u8| vec![n; 20_000 + usize::from(n)];
    let is_whole =
        |data: &[u8]| data.len() == 20_000 + usize::from(data[0]) && data.iter().all(|b| *b == data[0]);
    store.put_now(&id(LONG), &version(0)).unwrap();
    std::thread::scope(|scope| {
        for n in 0..8_u8 {
            scope.spawn(move || {
                for round in 0..8_u8 {
                    store.put_now(&id(LONG), &version(n * 8 + round)).unwrap();
                    assert!(is_whole(&store.get(&id(LONG), None).unwrap()));
                    let own = format!("p{n:032x}-{round}");
                    store.put_now(&id(&own), &[n; 100]).unwrap();
                    assert_eq!(store.get(&id(&own), range(90, 10)).unwrap(), [n; 10]);
                    let listed = names(store, "p");
                    assert!(listed.contains(&own) && listed.contains(&LONG.to_owned()));
                    if round % 2 == 0 {
                        store.delete(&id(&own)).unwrap();
                    }
                    store.barrier().unwrap();
                }
            });
        }
    });
    assert!(is_whole(&store.get(&id(LONG), None).unwrap()));
    assert_eq!(names(store, "p").len(), 1 + 8 * 4);
}

fn housekeeping(store: &dyn Storage) {
    assert!(!store.is_read_only());
    assert!(!store.display_name().is_empty());
    assert!(!format!("{store:?}").is_empty());
    if let Some(room) = store.capacity().unwrap() {
        assert!(room.total_bytes >= room.available_bytes && room.total_bytes > 0);
    }
}

/// Temporary folders that live as long as the test.
#[derive(Default)]
struct Folders(RefCell<Vec<TempDir>>);

impl Folders {
    fn fresh(&self) -> PathBuf {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("repository");
        self.0.borrow_mut().push(dir);
        path
    }

    fn filesystem(&self, shards: Option<&[u32]>) -> Arc<dyn Storage> {
        let mut options = FilesystemOptions::new(self.fresh());
        options.dir_shards = shards.map(<[u32]>::to_vec);
        Arc::new(Filesystem::create(options, clock()).unwrap())
    }
}

#[test]
fn filesystem_conforms_in_every_layout() {
    let folders = Folders::default();
    conformance(&|| folders.filesystem(None));
    for shards in [&[][..], &[3, 3], &[2, 2, 2], &[0], &[1]] {
        conformance(&|| folders.filesystem(Some(shards)));
    }
    conformance(&|| {
        let root = folders.fresh();
        let store = Filesystem::create(FilesystemOptions::new(&root), clock()).unwrap();
        let text = r#"{"default":[3,2],"maxNonShardedLength":2,
            "overrides":[{"prefix":"p","shards":[2,2]},{"prefix":"x","shards":[1,1,1]}]}"#;
        write(&root.join(".shards"), text);
        Arc::new(store)
    });
}

#[test]
fn filesystem_conforms_whatever_the_parallelism() {
    let folders = Folders::default();
    for parallelism in [1, 3, 1000] {
        conformance(&|| {
            let mut options = FilesystemOptions::new(folders.fresh());
            options.list_parallelism = Some(parallelism);
            Arc::new(Filesystem::create(options, clock()).unwrap())
        });
    }
}

#[test]
fn filesystem_conforms_over_a_connection() {
    let folders = Folders::default();
    conformance(&|| {
        let root = folders.fresh();
        fs::create_dir(&root).unwrap();
        let info = ConnectionInfo::filesystem(&FilesystemOptions::new(root)).unwrap();
        blob::open(&info, OpenMode::Connect, clock()).unwrap()
    });
}

#[test]
fn memory_conforms() {
    conformance(&|| Arc::new(Memory::new(clock())));
}

/// A store with a cache in a folder that is not there yet.
fn cached(inner: Arc<dyn Storage>, folder: PathBuf) -> Arc<dyn Storage> {
    let limits = CacheLimits { soft_bytes: 1 << 30, hard_bytes: None, sweep_age: Duration::ZERO };
    let options = CacheOptions { folder, metadata: limits, contents: limits };
    let warn = |text: &str| panic!("{text}");
    Arc::new(Cached::new(inner, &options, &Secret::new(vec![7; 32]), clock(), Arc::new(warn)))
}

/// Limits that hold nobody up for long.
fn throttle() -> Arc<Throttle> {
    let limits = Limits {
        reads_per_second: 1e6,
        upload_bytes_per_second: 1e9,
        download_bytes_per_second: 1e9,
        concurrent_reads: 2,
        concurrent_writes: 3,
        ..Limits::NONE
    };
    Arc::new(Throttle::new(limits, clock()))
}

#[test]
fn wrappers_conform() {
    let memory = || Arc::new(Memory::new(clock()));
    let folders = Folders::default();
    conformance(&|| Arc::new(Retrying::new(memory(), clock())));
    conformance(&|| Arc::new(Recording::new(memory())));
    conformance(&|| Arc::new(Faulty::new(memory(), |_| Fault::None)));
    conformance(&|| {
        let mirrored = Mirrored::new(memory(), memory(), false, Arc::new(|_| {}));
        mirrored.take_packs();
        Arc::new(mirrored)
    });
    conformance(&|| Arc::new(Throttled::new(memory(), throttle())));
    conformance(&|| Arc::new(Counted::new(memory(), Arc::default())));
    conformance(&|| cached(memory(), folders.fresh()));
    conformance(&|| Arc::new(Latency::new(memory(), Distance::default(), clock())));
    conformance(&|| {
        let counted = Arc::new(Counted::new(folders.filesystem(None), Arc::default()));
        Arc::new(Throttled::new(Arc::new(Latency::new(counted, Distance::default(), clock())), throttle()))
    });
    conformance(&|| {
        let store = Arc::new(Recording::new(folders.filesystem(None)));
        Arc::new(Retrying::new(Arc::new(Faulty::new(store, |_| Fault::None)), clock()))
    });
}

/// Two calls in three fail in passing, before or after they were done, and nobody above notices.
#[test]
fn retrying_hides_passing_faults() {
    thread_local!(static CALLS: Cell<usize> = const { Cell::new(0) });
    let plan = |call: &Call| {
        if matches!(call.operation, Operation::Barrier | Operation::List) {
            return Fault::None;
        }
        match CALLS.replace(CALLS.get() + 1) % 3 {
            0 => Fault::Before(ErrorClass::Unavailable),
            1 => Fault::After(ErrorClass::Unavailable),
            _ => Fault::None,
        }
    };
    conformance(&|| {
        let faulty = Faulty::new(Arc::new(Memory::new(clock())), plan);
        Arc::new(Retrying::new(Arc::new(faulty), Arc::new(FixedClock::new(Timestamp::EPOCH))))
    });
}

// ---- wrappers -----------------------------------------------------------------------------------------------------

#[test]
fn read_only_refuses_changes_and_passes_reads() {
    let memory = Arc::new(Memory::new(clock()));
    memory.put_now(&id("xe1"), b"1").unwrap();
    let store = ReadOnly::new(memory.clone());
    for error in [store.put_now(&id("xe1"), b"2").unwrap_err(), store.delete(&id("xe1")).unwrap_err()] {
        assert!(matches!(error, Error::ReadOnly { .. }));
        assert_eq!(error.class(), ErrorClass::ReadOnly);
    }
    assert!(store.is_read_only() && Retrying::new(Arc::new(store), clock()).is_read_only());
    let store = ReadOnly::new(memory);
    assert_eq!(store.get(&id("xe1"), range(0, 1)).unwrap(), b"1");
    assert_eq!(store.metadata(&id("xe1")).unwrap().length, 1);
    assert_eq!(names(&store, "x"), ["xe1"]);
    store.barrier().unwrap();
}

/// A recording of a store that always fails with `class`, behind a `Retrying` that waits by a clock without time.
fn failing(class: ErrorClass) -> (Arc<Recording>, Retrying, Arc<FixedClock>) {
    let faulty = Faulty::new(Arc::new(Memory::new(clock())), move |_| Fault::Before(class));
    let recording = Arc::new(Recording::new(Arc::new(faulty)));
    let time = Arc::new(FixedClock::new(Timestamp::EPOCH));
    (recording.clone(), Retrying::new(recording, time.clone()), time)
}

#[test]
fn retrying_gives_up_after_ten_attempts() {
    let (recording, store, time) = failing(ErrorClass::Unavailable);
    assert!(store.get(&id("xe1"), None).is_err());
    assert_eq!(recording.calls().len(), 10);
    assert_eq!(time.now().as_nanos() / 1_000_000, 7488);
    assert!(store.list("", &mut |_| Ok(())).is_err());
    assert_eq!(recording.calls().len(), 20, "a listing that has shown nothing is repeated");
    assert!(store.barrier().is_err());
    assert_eq!(recording.calls().len(), 21, "a barrier is not");
}

#[test]
fn retrying_leaves_lasting_errors_alone() {
    for class in [
        ErrorClass::Denied,
        ErrorClass::NotFound,
        ErrorClass::Full,
        ErrorClass::Corrupt,
        ErrorClass::ReadOnly,
    ] {
        let (recording, store, time) = failing(class);
        assert_eq!(store.put_now(&id("xe1"), b"1").unwrap_err().class(), class);
        assert_eq!(store.delete(&id("xe1")).unwrap_err().class(), class);
        assert_eq!(recording.calls().len(), 2);
        assert_eq!(time.now(), Timestamp::EPOCH);
    }
}

#[test]
fn retrying_does_not_list_a_blob_twice() {
    let memory = Arc::new(Memory::new(clock()));
    memory.put_now(&id("xe1"), b"1").unwrap();
    let faulty = Faulty::new(memory, |_| Fault::After(ErrorClass::Unavailable));
    let store = Retrying::new(Arc::new(faulty), Arc::new(FixedClock::new(Timestamp::EPOCH)));
    let mut seen = 0;
    let outcome = store.list("", &mut |_| {
        seen += 1;
        Ok(())
    });
    assert!(outcome.is_err());
    assert_eq!(seen, 1);
}

#[test]
fn recording_proves_order() {
    let store = Recording::new(Arc::new(Memory::new(clock())));
    let later = PutOptions { durability: Durability::AtBarrier, ..PutOptions::default() };
    store.put(&id("p1"), Bytes::from_static(b"123"), later).unwrap();
    store.barrier().unwrap();
    store.put_now(&id("xn0_1"), b"4567").unwrap();
    store.get(&id("p1"), range(1, 2)).unwrap();
    store.metadata(&id("p2")).unwrap_err();
    store.list("x", &mut |_| Ok(())).unwrap();
    store.delete(&id("p1")).unwrap();
    let calls = store.calls();
    let seen: Vec<_> =
        calls.iter().map(|call| (call.operation, call.id_or_prefix.as_str(), call.amount)).collect();
    assert_eq!(
        seen,
        [
            (Operation::Put, "p1", 3),
            (Operation::Barrier, "", 0),
            (Operation::Put, "xn0_1", 4),
            (Operation::Get, "p1", 2),
            (Operation::Metadata, "p2", 0),
            (Operation::List, "x", 1),
            (Operation::Delete, "p1", 0),
        ]
    );
    assert!(calls.windows(2).all(|pair| pair[0].is_before(&pair[1]) && !pair[1].is_before(&pair[0])));
    assert_eq!(calls[0].options, Some(later));
    assert_eq!(calls[3].range, range(1, 2));
    assert_eq!(calls[4].error, Some(ErrorClass::NotFound));
}

#[test]
fn recording_sees_calls_that_overlap() {
    let memory = Arc::new(Memory::new(clock()));
    memory.put_now(&id("xe1"), b"1").unwrap();
    let store = Recording::new(memory);
    store.list("", &mut |blob| store.get(&blob.id, None).map(|_| ())).unwrap();
    let calls = store.calls();
    assert!(!calls[0].is_before(&calls[1]) && !calls[1].is_before(&calls[0]));
    assert!(calls[0].completed > calls[1].completed);
}

#[test]
fn faulty_does_what_its_plan_says() {
    let memory = Arc::new(Memory::new(clock()));
    memory.put_now(&id("p1"), b"0123456789").unwrap();
    let faulty = |operation: Operation, fault: Fault| {
        Faulty::new(memory.clone(), move |call| if call.operation == operation { fault } else { Fault::None })
    };
    assert_eq!(faulty(Operation::Get, Fault::Truncate(4)).get(&id("p1"), None).unwrap(), b"0123");
    assert_eq!(
        faulty(Operation::Get, Fault::Flip(1)).get(&id("p1"), range(0, 3)).unwrap(),
        [b'0', !b'1', b'2']
    );
    assert_eq!(faulty(Operation::Get, Fault::Flip(99)).get(&id("p1"), None).unwrap(), b"0123456789");

    let before = faulty(Operation::Put, Fault::Before(ErrorClass::Full));
    assert_eq!(before.put_now(&id("p2"), b"x").unwrap_err().class(), ErrorClass::Full);
    assert!(memory.get(&id("p2"), None).unwrap_err().is_not_found());
    let after = faulty(Operation::Put, Fault::After(ErrorClass::Unavailable));
    assert!(after.put_now(&id("p2"), b"x").is_err());
    assert_eq!(memory.get(&id("p2"), None).unwrap(), b"x");
}

#[test]
fn memory_takes_its_times_from_the_clock() {
    let time = Arc::new(FixedClock::new(Timestamp::from_nanos(5)));
    let store = Memory::new(time.clone());
    store.put_now(&id("xe1"), b"x").unwrap();
    time.advance(Duration::from_secs(1));
    store.put_now(&id("xe2"), b"x").unwrap();
    let times: Vec<_> = store.list_all("").unwrap().iter().map(|blob| blob.timestamp.as_nanos()).collect();
    assert_eq!(times, [5, 1_000_000_005]);
}

// ---- connections --------------------------------------------------------------------------------------------------

#[test]
fn connections_open_what_they_describe() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("new/root");
    let text = format!(
        r#"{{"type":"filesystem","config":{{"path":{:?},"fileMode":384,"dirMode":448,"dirShards":null}}}}"#,
        root.to_str().unwrap()
    );
    let info: ConnectionInfo = serde_json::from_str(&text).unwrap();
    assert!(matches!(blob::open(&info, OpenMode::Connect, clock()).unwrap_err(), Error::Root { .. }));
    let store = blob::open(&info, OpenMode::Create, clock()).unwrap();
    assert_eq!(store.display_name(), format!("Filesystem: {}", root.display()));
    store.put_now(&id("xe1"), b"x").unwrap();
    let store = blob::open(&info, OpenMode::Connect, clock()).unwrap();
    assert_eq!(names(&*store, ""), ["xe1"]);

    let options: FilesystemOptions = serde_json::from_value(info.config.clone()).unwrap();
    assert_eq!(Filesystem::open(options.clone(), clock()).unwrap().options(), &options);
    let again = ConnectionInfo::filesystem(&options).unwrap();
    assert_eq!(again, info);
    let unknown = ConnectionInfo { kind: "floppy".into(), ..again };
    let error = blob::open(&unknown, OpenMode::Connect, clock()).unwrap_err();
    assert_eq!(error.class(), ErrorClass::Unsupported);
    assert!(error.to_string().contains("floppy"));
    let bad = ConnectionInfo { config: serde_json::json!({"path": 7}), ..info };
    assert!(matches!(blob::open(&bad, OpenMode::Connect, clock()).unwrap_err(), Error::Options { .. }));
}
